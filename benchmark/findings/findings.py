"""Runs → everything that a report says of them. All that is computed for a report is computed here."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

import methods
from benchmark import fine_table, models, table
from benchmark.diagnosis_table import compared
from benchmark.findings.answer import Answer, answer, warnings
from benchmark.findings.boards import ALL, OWN, Boards, work_out
from benchmark.findings.contest import Contest, hold
from benchmark.findings.fusion import by_modality, by_number, by_subset
from benchmark.findings.joining import unlike
from benchmark.findings.lost import lost
from benchmark.findings.networks import Agreement, agree
from benchmark.findings.tables import Run, read_run, read_shares, read_table
from benchmark.statistics import Groups


@dataclass(frozen=True)
class Findings:
    """What runs tell, together.

    Attributes:
        runs: folders, commands and manifests, as they were named.
        scores: from ``table.scores``, without the columns that no report needs.
        boards: leaderboards under every filter.
        contests: model → which methods can be told apart; networks, or the oracle where there are none.
        answer: a sentence or more for each of these models.
        warnings: what a reader must know before the answer.
        estimands: pooled RMSE, models and methods (rows) × truths (columns).
        heat: pooled RMSE against the truth that a method targets, models and methods (rows) × scenarios.
        shares: truth and mean estimate of every modality, from ``tables.read_shares``, against the gradient
            truth; no rows where the runs hold no importances.
        fidelity: from ``table.fidelity``, one row a network.
        failures: one row a result that failed, carries a flag or was skipped: ``scenario``, ``images``,
            ``model``, ``method``, seeds, ``status`` and ``reason``, empty where the run's folder does not
            say.
        missing: ``missing.csv``: networks against the best possible, for every subset of modalities; networks
            of one modality as ``diagnosis_table.compared`` has them.
        balance: ``balance.csv``: share of each modality in data and networks.
        pixels: from ``fine_table.pixels_board``.
        features: from ``fine_table.parts_board``, of clinical features.
        pairs: the same of pairs of modalities.
        synergy: from ``fine_table.synergy_board``.
    """

    runs: tuple[Run, ...]
    scores: pd.DataFrame
    boards: Boards
    contests: Mapping[str, Contest]
    answer: tuple[Answer, ...]
    warnings: tuple[str, ...]
    estimands: pd.DataFrame
    heat: pd.DataFrame
    shares: pd.DataFrame
    fidelity: pd.DataFrame
    failures: pd.DataFrame
    missing: pd.DataFrame
    balance: pd.DataFrame
    pixels: pd.DataFrame
    features: pd.DataFrame
    pairs: pd.DataFrame
    synergy: pd.DataFrame

    @cached_property
    def groups(self) -> dict[str, Groups | None]:
        """Return model → average ranks and groups; None where ``contests[model].no_groups`` says why."""
        return {name: contest.groups for name, contest in self.contests.items()}

    @cached_property
    def agreement(self) -> Agreement:
        """Return whether networks agree on the order of methods."""
        return agree(self.scores, [name for name in self.boards.main_models if name != models.ORACLE])

    @cached_property
    def error_shares(self) -> pd.DataFrame:
        """Return the method's and the network's part of the error, one row a model and method."""
        frames = [contest.parts for contest in self.contests.values() if len(contest.parts)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_PARTS)

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """Return pooled RMSE with 95 % intervals, one row a model and method, as compared in `contests`."""
        frames = [contest.intervals for contest in self.contests.values() if len(contest.intervals)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_INTERVALS)

    @cached_property
    def missing_means(self) -> pd.DataFrame:
        """Return accuracy against the best possible, a model and number of modalities: `fusion.by_number`."""
        return by_number(self.missing)

    @cached_property
    def subset_means(self) -> pd.DataFrame:
        """Return accuracy of every model with every subset of modalities: `fusion.by_subset`."""
        return by_subset(self.missing)

    @cached_property
    def balance_means(self) -> pd.DataFrame:
        """Return shares of modalities in data and networks, means over seeds: `fusion.by_modality`."""
        return by_modality(self.balance)

    @cached_property
    def citations(self) -> dict[str, tuple[str, ...]]:
        """Return citation → the methods of this project that rest on it; a user's own methods have none."""
        found: dict[str, list[str]] = {}
        known = set(methods.names())
        for name in self.targets:
            base = name.partition("(")[0]
            if base in known:  # 'module:function' would import what a table of somebody else's names
                found.setdefault(methods.get(base).citation, []).append(name)
        return {citation: tuple(names) for citation, names in found.items() if citation}

    @cached_property
    def targets(self) -> dict[str, str]:
        """Return method → the truth that it targets."""
        return self.scores.drop_duplicates("method").set_index("method")["targets"].to_dict()


_NETWORK = ("scenario", "images", "features", "model", "data_seed", "train_seed")
_NETWORK += ("accuracy", "auroc", "r2", "learnt")
_PARTS = ("model", "method", "mse", "mse_oracle", "added", "share_method", "share_model")
_INTERVALS = ("model", "method", "metric", "value", "low", "high", "n_scenarios", "n_seeds")


def read(paths: Sequence[Path]) -> Findings:
    """Return the findings of runs, their rows together.

    Args:
        paths: folders of runs, as ``plumbline run`` writes them.

    Raises:
        ValueError: if there is none, a folder holds no run, a table cannot be read, or runs say different
            things of the same cell.

    Example:
        >>> found = read([Path("results/reference/paper-phantom")])
        >>> found.contests["hybrid"].methods[0]
        'calibrated_gradient'
    """
    if not paths:
        raise ValueError("A report must be of one run or more. Got none: name a run's folder.")
    runs = [read_run(path) for path in paths]
    scores = read_table(runs, "scores")
    boards = work_out(scores)
    contests = {name: hold(scores, name) for name in boards.main_models}
    # Rows differ by method and truth; of networks, a few columns say all.
    fidelity = table.fidelity(scores[list(_NETWORK)].drop_duplicates())
    failures = lost(runs, scores)
    own = table.own_truth(scores).assign(estimand=OWN)
    parts = read_table(runs, "parts")
    return Findings(
        tuple(runs),
        scores,
        boards,
        contests,
        tuple(answer(contest, boards.board(model=name)) for name, contest in contests.items()),
        (
            *unlike([run.manifest for run in runs]),
            *warnings(fidelity, failures["status"].value_counts().to_dict()),
        ),
        table.by_estimand(scores) if len(scores) else pd.DataFrame(),
        table.case_errors(own, estimand=OWN) if len(scores) else pd.DataFrame(),
        read_shares(runs, scores),
        fidelity,
        failures,
        compared(read_table(runs, "missing")),
        read_table(runs, "balance"),
        fine_table.pixels_board(read_table(runs, "pixels")),
        fine_table.parts_board(parts, part=fine_table.FEATURES),
        fine_table.parts_board(parts, part=fine_table.PAIRS),
        fine_table.synergy_board(parts),
    )


__all__ = ["ALL", "OWN", "Findings", "read"]
