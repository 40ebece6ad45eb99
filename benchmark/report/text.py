"""The leaderboard as a terminal table and as Markdown."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from benchmark import models
from benchmark.report.choices import choices_note
from benchmark.report.markdown import code, escape
from benchmark.report.markdown import table as markdown
from benchmark.store import CONTROL
from benchmark.table import failures, flagged, own_truth, skipped
from synthetic.names import printable

_COLUMNS = {
    "model": "model",
    "method": "method",
    "targets": "targets",
    "rmse": "RMSE ↓",
    "rmse_sd": "± seeds",
    "skill": "skill ↑",
    "rbo": "RBO ↑",
    "rbo_chance": "chance RBO",
    "rbo_corrected": "RBO corr. ↑",
    "rbo_p90": "RBO p=0.9",
    "rmse_gradient": "vs gradient",
    "rmse_oracle": "RMSE oracle",
    "model_calls": "model calls",
    "seconds": "seconds",
    "n_clipped": "clipped",
    "n_all_zero": "all zero",
    "n_failed": "failed",
    "n_skipped": "skipped",
    "n_flagged": "flagged",
}
# What fits into 80 columns; the rest stands in leaderboard.md.
_SHORT = {
    "model": "model",
    "method": "method",
    "rmse": "RMSE",
    "rmse_sd": "±",
    "rbo": "RBO",
    "rbo_chance": "chance",
    "rbo_corrected": "corr.",
    "rmse_oracle": "oracle",
    "model_calls": "calls",
    "seconds": "s",
    "n_failed": "fail",
    "n_skipped": "skip",
}


def leaderboard_table(board: pd.DataFrame, *, title: str, own: Collection[str] = ()) -> Table:
    """Return the leaderboard for a terminal of 80 columns or more; controls stand below a line.

    Args:
        board: from ``table.leaderboard``.
        title: heading.
        own: names of the user's own methods, which are marked.
    """
    columns = {key: head for key, head in _SHORT.items() if not _needless(board, key)}
    table = Table(
        title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1), pad_edge=False
    )
    for key, head in columns.items():
        is_name = key in ("model", "method")
        table.add_column(head, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    is_control = list(board["targets"] == "control")
    for place, cells in enumerate(_cells(marked(board, own), columns)):
        last_method = not is_control[place] and place + 1 < len(board) and is_control[place + 1]
        shown = (Text(printable(cell)) for cell in cells)
        style = "dim" if is_control[place] else "bold" if board["method"].iloc[place] in own else ""
        table.add_row(*shown, style=style, end_section=last_method)
    return table


def marked(board: pd.DataFrame, own: Collection[str]) -> pd.DataFrame:
    """Return a board in which the names of the user's own methods say whose they are.

    Example:
        >>> list(marked(pd.DataFrame({"method": ["lime", "mine:f"]}), ["mine:f"])["method"])
        ['lime', 'mine:f (yours)']
    """
    return board.assign(method=[f"{name} (yours)" if name in own else name for name in board["method"]])


def _needless(board: pd.DataFrame, column: str) -> bool:
    """Return whether a column says the same in every row, so that its absence says it too."""
    if column == "model":
        return len(set(board["model"])) == 1
    return column.startswith("n_") and not board[column].any()


def leaderboard_markdown(
    board: pd.DataFrame,
    scores: pd.DataFrame,
    shares: pd.DataFrame,
    errors: pd.DataFrame,
    fidelity: pd.DataFrame,
    by_estimand: pd.DataFrame,
    *,
    title: str,
    command: str,
    finer: Sequence[str] = (),
    own: Collection[str] = (),
) -> str:
    """Return the whole account of a run as Markdown: leaderboard, importances a case, fidelity, failures.

    Args:
        board: from ``table.leaderboard``.
        scores: from ``table.scores``.
        shares: from ``table.shares``.
        errors: from ``table.case_errors``.
        fidelity: from ``table.fidelity``.
        by_estimand: from ``table.by_estimand``.
        title: heading.
        command: what made the run.
        finer: sections on what is finer than a modality.
        own: names of the user's own methods, which are marked.
    """
    columns = {key: head for key, head in _COLUMNS.items() if not _needless(board, key)}
    parts = [
        f"# {escape(title)}",
        f"Made by {code(command)}.",
        markdown(
            [*columns.values()], [[*map(escape, cells)] for cells in _cells(marked(board, own), columns)]
        ),
        _LEGEND,
        chance_note(scores),
    ]
    choices = choices_note(board["method"])
    parts += [escape(choices)] if choices else []
    parts += finer
    for model in dict.fromkeys(board["model"]):
        methods = list(board.loc[(board["model"] == model) & (board["targets"] != "control"), "method"])
        parts += [
            f"## Importances on {model}, case by case",
            "Mean share over seeds (± standard deviation).",
            _importances(shares[shares["model"] == model], methods),
        ]
    parts += [
        "## Which truth each method tracks",
        "Pooled RMSE against every truth; the truth that a method targets stands in bold.",
        _tracked(by_estimand, dict(zip(board["method"], board["targets"], strict=True))),
        "## RMSE against the gradient truth, case by case",
        _errors(errors),
    ]
    if len(fidelity):
        parts += ["## Fidelity of the networks", _fidelity(fidelity)]
    for heading, rows in (("Failed", failures(scores)), ("Skipped: not applicable", skipped(scores))):
        if len(rows):
            parts += [f"## {heading}", "\n".join(_without_score(rows))]
    parts += _flagged(scores)
    return "\n\n".join(parts) + "\n"


def _without_score(rows: pd.DataFrame) -> list[str]:
    """Return lines that name results, under the method and the reason."""
    rows = rows.assign(error=rows["error"].fillna("").astype(str) if "error" in rows else "")
    lines = []
    for (method, status, error), group in rows.groupby(["method", "status", "error"], sort=False):
        lines.append(f"- {escape(str(method))}: {status}{f', {escape(str(error))}' if error else ''}")
        lines += [
            f"  - {escape(row['scenario'])}, {escape(row['model'])}, seed {row['data_seed']}"
            for row in group.to_dict(orient="records")
        ]
    return lines


def _flagged(scores: pd.DataFrame) -> list[str]:
    """Return the section on results that count and do not hold what their method claims."""
    rows = flagged(scores)
    if not len(rows):
        return []
    done = scores[scores["status"] == "done"]
    lines = []
    for method, group in rows.groupby("method", sort=False):
        n = len(done[done["method"] == method].drop_duplicates([*_CELL]))
        lines.append(f"- {escape(method)}: {len(group)} of {n} results")
        lines += [
            f"  - {escape(row['scenario'])}, {escape(row['model'])}, seed {row['data_seed']}: "
            f"{escape(row['flags'])}"
            for row in group.to_dict(orient="records")
        ]
    return ["## Flagged: scored, though the method does not hold what it claims", "\n".join(lines)]


_CELL = ("scenario", "images", "features", "model", "method", "data_seed", "train_seed", "method_seed")

_LEGEND = (
    "RMSE is pooled over modalities, cases and seeds; ± is its standard deviation over seeds; skill = "
    "1 − RMSE / RMSE of equal shares. *Chance RBO* is that of a random order on the cases of the row; "
    "RBO corr. = (RBO − chance) / (1 − chance), the mean over the cases that have an order. *RMSE oracle* is "
    "the method's own error, on the true decision function instead of a network. *Targets* is the quantity "
    "that the method estimates, whose truth it is scored against; *vs gradient* is its RMSE against the "
    "gradient truth, as Azmat & Alessio (2022) score all methods. Controls are scored against the gradient "
    "truth. *Clipped* counts results with a negative importance, set to 0."
)


def chance_note(scores: pd.DataFrame) -> str:
    """Return the sentence that must stand beside every RBO: p, n and the chance level.

    Where methods target several truths, chance and uninformative cases are told as a range over these.

    Args:
        scores: from ``table.scores``.
    """
    done = own_truth(scores[scores["status"] == "done"])
    done = done[done["rbo_chance"].notna()]
    if not len(done):
        return "Nothing was scored: every result failed."
    # What controls are scored against speaks for methods only where there are none.
    of_methods = done[done["targets"] != CONTROL]
    done = of_methods if len(of_methods) else done
    sizes = sorted({int(n) for n in done["n_modalities"].dropna()})
    rank = f"1 − 1/n = {1 - 1 / sizes[0]:.2f} for n = {sizes[0]}" if len(sizes) == 1 else "1 − 1/n for n"
    # Of each board: an oracle may have been run on more cases than a network.
    boards = done[done["model"] != models.ORACLE] if (done["model"] != models.ORACLE).any() else done
    cases = boards.drop_duplicates(["model", "estimand", *_CASE, "data_seed"])
    return (
        f"Each method is scored against the truth that it targets. RBO: extrapolated, p = {rank} "
        "modalities; any order inside a tie of the truth is right. "
        f"Chance level {level_words(cases.groupby(['model', 'estimand'])['rbo_chance'].mean())} (a random "
        f"order), ceiling 1{_blank_words(cases)}."
    )


_CASE = ("scenario", "images", "features")


def level_words(levels: pd.Series) -> str:
    """Return the level of chance in words: a number, or the range over the truths that methods target.

    Example:
        >>> level_words(pd.Series([0.75])), level_words(pd.Series([0.75, 0.8]))
        ('0.750', 'from 0.750 to 0.800, by the truth that is targeted: each row has its own')
    """
    low, high = f"{levels.min():.3f}", f"{levels.max():.3f}"
    return (
        low if low == high else f"from {low} to {high}, by the truth that is targeted: each row has its own"
    )


def _blank_words(cases: pd.DataFrame) -> str:
    """Return how many cases have no order to be found; empty where all have one."""
    cases = cases.assign(telling=cases["informative"] > 0)
    telling = cases.groupby(["estimand", *_CASE], sort=False)["telling"].any()
    by_truth = telling.groupby("estimand", sort=False)
    blank, n = by_truth.size() - by_truth.sum(), by_truth.size()
    if not blank.any():
        return ""
    least, most = int(blank.min()), int(blank.max())
    told = f"{most}" if least == most else f"up to {most}"
    ties, scores, left = ("ties", "scores", "is") if most == 1 else ("tie", "score", "are")
    return (
        f"; {told} of {int(n.max())} cases {ties} all modalities, {scores} 1 whatever the order and {left} "
        "left out of the corrected mean"
    )


def _cells(board: pd.DataFrame, columns: Iterable[str]) -> list[list[str]]:
    formats = {
        **dict.fromkeys(("model", "method", "targets"), str),
        "model_calls": lambda value: f"{value:,.0f}" if value == value else "–",  # noqa: PLR0124 - NaN
        "seconds": lambda value: number(value, 2),
        **dict.fromkeys(
            ("n_clipped", "n_all_zero", "n_failed", "n_skipped", "n_flagged"), lambda value: str(int(value))
        ),
    }
    return [
        [formats.get(column, number)(row[column]) for column in columns]
        for row in board.to_dict(orient="records")
    ]


def number(value: float, digits: int = 3) -> str:
    """Return a number as tables show it; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _importances(shares: pd.DataFrame, methods: list[str]) -> str:
    """Return a table for the cases with each set of modalities."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for scenario, case in shares.groupby("scenario", sort=False):
        names = tuple(dict.fromkeys(case["modality"]))
        rows = tables.setdefault(names, [])
        cells = {(row["method"], row["modality"]): row for row in case.to_dict(orient="records")}
        truth = {row["modality"]: row["truth"] for row in cells.values()}
        rows.append([escape(str(scenario)), "**truth**", *(f"**{truth[name]:.3f}**" for name in names)])
        for method in methods:
            found = [cells.get((method, name)) for name in names]
            rows.append(["", escape(method), *("failed" if row is None else _share(row) for row in found)])
    return "\n\n".join(
        markdown(["case", "method", *map(escape, names)], rows) for names, rows in tables.items()
    )


def _share(row: Mapping[str, float]) -> str:
    return f"{row['mean']:.3f}" + ("" if math.isnan(row["sd"]) else f" ± {row['sd']:.3f}")


def _errors(errors: pd.DataFrame) -> str:
    rows = [[*map(escape, names), *map(number, values)] for names, *values in errors.itertuples()]
    return markdown(["model", "method", *map(escape, errors.columns)], rows)


def _tracked(errors: pd.DataFrame, targets: Mapping[str, str]) -> str:
    rows = [
        [
            *map(escape, names),
            *(
                f"**{number(value)}**" if targets.get(names[1]) == estimand else number(value)
                for estimand, value in zip(errors.columns, values, strict=True)
            ),
        ]
        for names, *values in errors.itertuples()
    ]
    return markdown(["model", "method", *map(escape, errors.columns)], rows)


def _fidelity(fidelity: pd.DataFrame) -> str:
    grouped = fidelity.groupby(["scenario", "model"], sort=False)
    rows = [
        [
            escape(str(scenario)),
            escape(str(model)),
            str(len(group)),
            *(
                f"{group[name].mean():.3f} (least {group[name].min():.3f})"
                for name in ("accuracy", "auroc", "r2", "learnt")
            ),
            "" if group["counts"].all() else f"{(~group['counts']).sum()} below the gate, not counted",
        ]
        for (scenario, model), group in grouped  # pyright: ignore[reportGeneralTypeIssues]
    ]
    return markdown(
        ["case", "model", "networks", "accuracy", "AUROC", "R² of logit and F", "learnt", ""], rows
    )
