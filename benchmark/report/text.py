"""The leaderboard as a terminal table and as Markdown."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import math

import pandas as pd
from rich import box
from rich.table import Table

_COLUMNS = {
    "method": "method",
    "rmse": "RMSE ↓",
    "rmse_sd": "± seeds",
    "skill": "skill ↑",
    "rbo": "RBO ↑",
    "rbo_corrected": "RBO corr. ↑",
    "rbo_p90": "RBO p=0.9",
    "rmse_oracle": "RMSE oracle",
    "model_calls": "model calls",
    "seconds": "seconds",
    "n_failed": "failed",
}


def leaderboard_table(board: pd.DataFrame, *, title: str) -> Table:
    """Return the leaderboard for a terminal; controls stand below a line."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for place, name in enumerate(_COLUMNS.values()):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    is_control = list(board["targets"] == "control")
    for place, cells in enumerate(_cells(board)):
        last_method = not is_control[place] and place + 1 < len(board) and is_control[place + 1]
        table.add_row(*cells, style="dim" if is_control[place] else "", end_section=last_method)
    return table


def leaderboard_markdown(
    board: pd.DataFrame,
    scores: pd.DataFrame,
    importances: pd.DataFrame,
    fidelity: pd.DataFrame,
    *,
    title: str,
    command: str,
) -> str:
    """Return the whole account of a run as Markdown: leaderboard, importances a case, fidelity, failures.

    Args:
        board: from ``table.leaderboard``.
        scores: from ``table.scores``.
        importances: from ``table.importances``.
        fidelity: from ``table.fidelity``.
        title: heading.
        command: what made the run.
    """
    parts = [
        f"# {title}",
        f"Made by `{command}`.",
        _markdown([*_COLUMNS.values()], _cells(board)),
        _legend(scores),
        "## Importances, case by case",
        "Mean share over seeds (± standard deviation), on the trained networks where there are any.",
        _importances(board, importances),
        "## RMSE, case by case",
        _cases(board, scores),
    ]
    if len(fidelity):
        parts += ["## Fidelity of the networks", _fidelity(fidelity)]
    failed = scores[scores["status"] == "failed"]
    if len(failed):
        parts += [
            "## Failed",
            "\n".join(
                f"- {_escape(row.method)} on {row.scenario}, {row.model}, seed {row.data_seed}"
                for row in failed.itertuples()
            ),
        ]
    return "\n\n".join(parts) + "\n"


def chance_note(scores: pd.DataFrame) -> str:
    """Return the sentence that must stand beside every RBO: p, n and the chance level."""
    done = scores[scores["status"] == "done"]
    cases = done.drop_duplicates(["scenario", "features"])
    informative = cases[cases["informative"] > 0]
    n_blank = len(cases) - len(informative)
    n = int(done["n_modalities"].max())
    note = (
        f"RBO: extrapolated, p = 1 − 1/n = {1 - 1 / n:.2f} for n = {n} modalities; any order inside a tie "
        f"of the truth is right. Chance level {cases['rbo_chance'].mean():.3f} (a random order), ceiling 1"
    )
    if n_blank:
        note += f"; {n_blank} of {len(cases)} cases ties all modalities, scores 1 whatever the order and is "
        note += "left out of the corrected mean"
    return note + "."


def _legend(scores: pd.DataFrame) -> str:
    return (
        "RMSE is pooled over modalities, cases and seeds; ± is its standard deviation over seeds; skill = "
        "1 − RMSE / RMSE of equal shares. RBO corr. = (RBO − chance) / (1 − chance). *RMSE oracle* is the "
        "method's own error, on the true decision function instead of a network.\n\n" + chance_note(scores)
    )


def _cells(board: pd.DataFrame) -> list[list[str]]:
    formats = {
        "method": str,
        "model_calls": lambda value: f"{value:,.0f}" if value == value else "–",  # noqa: PLR0124 - NaN
        "seconds": lambda value: _number(value, 2),
        "n_failed": lambda value: str(int(value)) if value else "",
    }
    return [
        [formats.get(column, _number)(row[column]) for column in _COLUMNS]
        for row in board.to_dict(orient="records")
    ]


def _number(value: float, digits: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _importances(board: pd.DataFrame, importances: pd.DataFrame) -> str:
    rows, names = [], []
    shown = _trained_if_any(importances)
    for scenario, case in shown.groupby("scenario", sort=False):
        names = list(dict.fromkeys(case["modality"]))
        truth = case.groupby("modality")["truth"].mean()
        rows.append([str(scenario), "**truth**", *(f"**{truth[name]:.3f}**" for name in names)])
        for method in board.loc[board["targets"] != "control", "method"]:
            mine = case[case["method"] == method].groupby("modality")["estimate"]
            mean, spread = mine.mean(), mine.std()
            rows.append(["", str(method), *(_share(mean.get(name), spread.get(name)) for name in names)])
    return _markdown(["case", "method", *names], rows) if rows else ""


def _share(mean: float | None, spread: float | None) -> str:
    if mean is None or math.isnan(mean):
        return "failed"
    return f"{mean:.3f}" if spread is None or math.isnan(spread) else f"{mean:.3f} ± {spread:.3f}"


def _cases(board: pd.DataFrame, scores: pd.DataFrame) -> str:
    shown = _trained_if_any(scores)
    grid = shown.pivot_table(index="method", columns="scenario", values="rmse", aggfunc="mean", sort=False)
    rows = [
        [str(method), *(_number(value) for value in grid.loc[method])]
        for method in board["method"]
        if method in grid.index
    ]
    return _markdown(["method", *map(str, grid.columns)], rows)


def _fidelity(fidelity: pd.DataFrame) -> str:
    grouped = fidelity.groupby(["scenario", "model"], sort=False)
    rows = [
        [
            str(scenario),
            str(model),
            str(len(group)),
            *(
                f"{group[name].mean():.3f} (least {group[name].min():.3f})"
                for name in ("accuracy", "auroc", "r2")
            ),
            "" if group["counts"].all() else f"{(~group['counts']).sum()} below the gate, not counted",
        ]
        for (scenario, model), group in grouped  # pyright: ignore[reportGeneralTypeIssues]
    ]
    return _markdown(["case", "model", "networks", "accuracy", "AUROC", "R² of logit and F", ""], rows)


def _trained_if_any(frame: pd.DataFrame) -> pd.DataFrame:
    trained = frame[frame["model"] != "oracle"]
    return trained if len(trained) else frame


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *[[_escape(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
