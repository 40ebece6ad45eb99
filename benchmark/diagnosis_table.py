"""Diagnoses of networks → tables: regret with every set of modalities, balance of network and data set."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmark.diagnosis import DIAGNOSIS, MOST_ENUMERATED
from benchmark.store import CONTROL, Result
from benchmark.table import frame_of

NETWORK = ("scenario", "images", "features", "model", "data_seed", "train_seed")
"""Columns that say which network a row is of."""

METRICS = ("accuracy", "auroc", "log_loss")

MATTERS = 0.02
"""Accuracy that a modality is worth, at least, for a network that makes nothing of it to be flagged."""

LITTLE = 0.25
"""A network ignores a modality if permuting it costs less than this share of what it should."""

LEANED_ON = 0.05
"""A network leans on a modality if permuting it costs so much more accuracy than it should."""

SURE = 2.0
"""Standard errors by which a flag must be clear of its limit."""

IGNORED, LEANED = "ignored", "leaned on"

RATES = (0.25, 0.5)
"""Rates at which modalities go missing in `missing_board`."""


def missing(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a network and set of available modalities: how it fares, and how one could at best.

    Returns:
        The columns of `NETWORK`; ``only``, the modality that the network sees, empty for all; ``available``
        (names joined by ``" + "``, empty for none), ``n_available``, ``n_modalities``, ``n_test``;
        ``accuracy``, ``auroc`` and ``log_loss`` (bits) of the network, the same with ``best_`` of the Bayes
        classifier of these modalities, and with ``regret_`` the difference, above 0 where the network is
        worse; NaN for unknown. No columns where no network was diagnosed that can do without some.
    """
    return frame_of(row for result in _diagnosed(results) for row in _missing(result))


def _diagnosed(results: Sequence[Result]) -> Iterator[Result]:
    return (it for it in results if it.job["method"] == DIAGNOSIS and it.status == "done")


def _missing(result: Result) -> Iterator[dict[str, object]]:
    rows = result.diagnosis["available"]
    n_modalities = max((len(row["modalities"]) for row in rows), default=0)
    for row in rows:
        found: dict[str, object] = {
            **{name: result.job[name] for name in NETWORK},
            "only": result.diagnosis["only"],
            "available": " + ".join(row["modalities"]),
            "n_available": len(row["modalities"]),
            "n_modalities": n_modalities,
            "n_test": result.diagnosis["n_test"],
        }
        for name in METRICS:
            value, best = _number(row[name]), _number(row[f"best_{name}"])
            worse = value - best if name == "log_loss" else best - value
            found |= {name: value, f"best_{name}": best, f"regret_{name}": worse}
        yield found


def balance(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a network and modality: what it is worth, and what the network makes of it.

    Returns:
        The columns of `NETWORK`, ``only`` (see `missing`) and ``modality``; ``drop``, the accuracy that the
        network loses when the modality is permuted, its standard error ``drop_se``, and ``true_drop``, the
        same of the true classifier; ``share_network`` and ``share_data``, both normalised over modalities
        (negative ones count as 0; NaN where there is nothing to share); ``alone`` and ``best_alone``, the
        accuracy of the network and of the Bayes classifier with this modality alone; ``flag``: ``ignored``
        where the modality is worth `MATTERS` and the network's loss is surely below `LITTLE` of what it
        should be, ``leaned on`` where the network surely loses `LEANED_ON` more than it should, else empty.
    """
    return frame_of(row for result in _diagnosed(results) for row in _balance(result))


def _balance(result: Result) -> Iterator[dict[str, object]]:
    rows = result.diagnosis["reliance"]
    drop, true = (np.array([row[name] for row in rows], dtype=float) for name in ("drop", "true_drop"))
    alone = {
        row["modalities"][0]: row for row in result.diagnosis["available"] if len(row["modalities"]) == 1
    }
    for row, share_network, share_data in zip(rows, shares(drop), shares(true), strict=True):
        single = alone.get(row["modality"], {})
        yield {
            **{name: result.job[name] for name in NETWORK},
            "only": result.diagnosis["only"],
            "modality": row["modality"],
            "drop": row["drop"],
            "drop_se": row["drop_se"],
            "true_drop": np.nan if row["true_drop"] is None else row["true_drop"],
            "share_network": share_network,
            "share_data": share_data,
            "alone": _number(single.get("accuracy")),
            "best_alone": _number(single.get("best_accuracy")),
            "flag": flag(row["drop"], row["drop_se"], _number(row["true_drop"])),
        }


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def shares(values: np.ndarray) -> np.ndarray:
    """Return values ``[n]`` as shares of their sum; negative ones count as 0, and NaN stands for 0 / 0.

    Example:
        >>> shares(np.array([0.3, -0.1, 0.1])).round(2)
        array([0.75, 0.  , 0.25])
    """
    positive = np.maximum(values, 0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(values), np.nan)


def flag(drop: float, error: float, true: float) -> str:
    """Return what there is to say of what a network makes of a modality.

    Args:
        drop: accuracy that the network loses when the modality is permuted.
        error: its standard error.
        true: what the true classifier loses; NaN for unknown.

    Example:
        >>> flag(0.01, 0.002, 0.25), flag(0.14, 0.005, 0.0), flag(0.2, 0.005, 0.25)
        ('ignored', 'leaned on', '')
    """
    if true >= MATTERS and drop + SURE * error < LITTLE * true:
        return IGNORED
    return LEANED if drop - SURE * error > true + LEANED_ON else ""


def evenness(values: np.ndarray) -> float:
    """Return how evenly shares ``[n]`` are spread: 0 for one that has all, 1 for equal ones.

    Their entropy over its greatest value (Pielou 1966, J. Theor. Biol. 13:131); NaN for a single share.

    Example:
        >>> evenness(np.array([0.5, 0.5, 0.0, 0.0]))
        0.5
    """
    if len(values) < 2 or np.isnan(values).any():
        return np.nan
    positive = values[values > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(values)) + 0.0)


def networks(balanced: pd.DataFrame) -> pd.DataFrame:
    """Return one row a network: how even data set and network are, and which modalities are flagged.

    Args:
        balanced: from `balance`.

    Returns:
        The columns of `NETWORK`, ``even_data``, ``even_network`` (see `evenness`), ``ignored`` and
        ``leaned_on`` (names joined by ``", "``).
    """
    if balanced.empty:
        return balanced
    rows = [
        {
            **dict(zip(NETWORK, names, strict=True)),
            "even_data": evenness(group["share_data"].to_numpy(float)),
            "even_network": evenness(group["share_network"].to_numpy(float)),
            "ignored": ", ".join(group.loc[group["flag"] == IGNORED, "modality"]),
            "leaned_on": ", ".join(group.loc[group["flag"] == LEANED, "modality"]),
        }
        for names, group in balanced.groupby([*NETWORK], sort=False)
    ]
    return pd.DataFrame(rows)


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `missing` where networks of one modality are one model: what separate ones can do.

    Each counts with its own modality alone. Those of the model ``unimodal`` are one together where every
    modality has one, with the same scenario and seeds; elsewhere each keeps a name with its modality.

    Args:
        frame: from `missing`.
    """
    rows = frame[(frame["only"] == "") | (frame["only"] == frame["available"])].reset_index(drop=True)
    own = (rows["only"] != "") & rows["model"].str.match(r"unimodal(\(|$)")
    case = [name for name in NETWORK if name != "model"]
    has = rows.assign(only=rows["only"].where(own)).groupby(case)["only"].transform("nunique")
    names = rows["model"].mask(own, "unimodal(modality=" + rows["only"] + ")")
    rows = rows.assign(model=names.mask(own & (has == rows["n_modalities"]), "unimodal"))
    return rows[~(own & rows.duplicated([*NETWORK, "only"]))]  # the first modality is also the default


def missing_board(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model: its mean regret by what is available, least with one modality alone first.

    Scenarios weigh the same, whatever their number of seeds and modalities; what is unknown in one is unknown
    in their mean.

    Args:
        frame: from `missing`; networks of one modality are told as by `compared`.

    Returns:
        ``model``, ``n_scenarios``, ``n_networks`` and, for each of `METRICS`, the regret with ``all``
        modalities, ``all_but_one``, ``one`` alone, and with each missing at random in a share of the patients
        (``missing_25``, ``missing_50``, see `at_rate`): ``accuracy_all``, ….
    """
    if frame.empty:
        return frame
    rows = []
    for model, group in compared(frame).groupby("model", sort=False):
        cases = [_regrets(case) for _, case in group.groupby(["scenario", "images", "features"], sort=False)]
        rows.append(
            {
                "model": model,
                "n_scenarios": len(cases),
                "n_networks": len(group.drop_duplicates([*NETWORK, "only"])),
                **pd.DataFrame(cases).mean(skipna=False).to_dict(),
            }
        )
    return pd.DataFrame(rows).sort_values("log_loss_one", kind="stable").reset_index(drop=True)


def _regrets(case: pd.DataFrame) -> dict[str, float]:
    n, there = case["n_modalities"].max(), case["n_available"]
    n_single = len(set(case.loc[there == 1, "available"]))
    found = {}
    for metric in METRICS:
        regret = case[f"regret_{metric}"]
        found |= {
            f"{metric}_all": regret[there == n].mean(skipna=False),
            f"{metric}_all_but_one": regret[there == n - 1].mean(skipna=False),
            f"{metric}_one": regret[there == 1].mean(skipna=False) if n_single == n else np.nan,
            **{f"{metric}_missing_{rate:.0%}".rstrip("%"): at_rate(case, metric, rate) for rate in RATES},
        }
    return found


def at_rate(case: pd.DataFrame, metric: str, rate: float) -> float:
    """Return the mean regret where each modality is missing in a share of the patients, independently.

    Exact for accuracy and log loss, which are means over patients: Σ P(S) · regret(S) over all sets S. For
    AUROC it is the mean over the sets, not that of the mixed patients.

    Args:
        case: rows of `missing` of one scenario and model.
        metric: one of `METRICS`.
        rate: share of the patients in which a modality is missing.

    Returns:
        NaN where not all sets were looked at.
    """
    n = int(case["n_modalities"].max())
    if case["n_available"].nunique() <= n or n > MOST_ENUMERATED:
        return np.nan
    there = case["n_available"]
    weights = (1 - rate) ** there * rate ** (n - there)
    n_networks = len(case.drop_duplicates([*NETWORK]))
    return float((weights * case[f"regret_{metric}"]).sum(skipna=False) / n_networks)


def noticed(importances: pd.DataFrame, balanced: pd.DataFrame) -> pd.DataFrame:
    """Return one row a method: whether it tells that networks ignore modalities, or lean on them.

    Where a network's use of a modality is far from the modality's worth, a method that explains the network
    says what the network does. It has noticed if its share of the modality is nearer to the network's than to
    the data set's, both of the accuracy lost by permuting.

    Args:
        importances: from ``table.importances``.
        balanced: from `balance`. Networks that see one modality alone are left out, and those that make
            nothing of any.

    Returns:
        ``method``, ``flag``, ``n`` flagged modalities of networks; ``share_said``, ``share_network`` and
        ``share_data``, means over them; ``noticed``, the part of them that the method noticed. Most noticed
        first, then nearest to the network first. No rows where nothing is flagged.
    """
    columns = ["method", "flag", "n", "share_said", "share_network", "share_data", "noticed"]
    if importances.empty or balanced.empty:
        return pd.DataFrame(columns=columns)
    flagged = balanced[(balanced["flag"] != "") & (balanced["only"] == "")]
    flagged = flagged.dropna(subset=["share_network", "share_data"])
    said = importances[(importances["status"] == "done") & (importances["targets"] != CONTROL)]
    said = said.drop_duplicates([*NETWORK, "method", "modality"])
    both = flagged.merge(said[[*NETWORK, "method", "modality", "estimate"]], on=[*NETWORK, "modality"])
    to_network = (both["estimate"] - both["share_network"]).abs()
    both = both.assign(right=to_network < (both["estimate"] - both["share_data"]).abs(), distance=to_network)
    rows = [
        {
            "method": method,
            "flag": flag,
            "n": len(group),
            "share_said": group["estimate"].mean(),
            "share_network": group["share_network"].mean(),
            "share_data": group["share_data"].mean(),
            "noticed": group["right"].mean(),
            "distance": group["distance"].mean(),
        }
        for (method, flag), group in both.groupby(["method", "flag"], sort=False)
    ]
    if not rows:
        return pd.DataFrame(columns=columns)
    order = ["flag", "noticed", "distance"]
    found = pd.DataFrame(rows).sort_values(order, ascending=[True, False, True], kind="stable")
    return found[columns].reset_index(drop=True)
