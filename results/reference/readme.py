"""Write the tables of README.md, results/reference/README.md and networks.md from what is committed.

Run it from the project's root after the runs were made again; with ``--check`` it writes nothing, shows what
would change, and fails if anything would::

    .venv/bin/python results/reference/readme.py [--check]
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.diagnosis_table import missing_board
from benchmark.models import ORACLE
from benchmark.report.markdown import table as markdown
from benchmark.report.text import number
from benchmark.store import CONTROL
from benchmark.suite import SUITES
from benchmark.table import leaderboard

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
SOURCES = {
    "phantoms": "paper-phantom",
    "scans, autoencoder": "paper-organamnist-autoencoder",
    "scans, PCA": "paper-organamnist-pca",
}
PUBLISHED = ("gradient", "permutation", "lime", "kernel_shap", "mean_of_methods", "modality_contribution")
_TRUTHS = ("gradient", "total_effect", "shapley", "permutation", "sage", "information", "bayes_accuracy")
_REGRETS = {
    "accuracy_all": "all there",
    "accuracy_all_but_one": "one missing",
    "accuracy_one": "one alone",
    "accuracy_missing_50": "half missing",
    "log_loss_all": "bits, all",
    "log_loss_all_but_one": "bits, one missing",
    "log_loss_one": "bits, one alone",
}
_BOARD = {
    "method": "method",
    "targets": "targets",
    "rmse": "RMSE ↓",
    "rmse_sd": "± seeds",
    "rmse_gradient": "vs gradient",
    "rbo": "RBO ↑",
    "rbo_chance": "chance RBO",
    "rbo_corrected": "RBO corr. ↑",
    "rmse_oracle": "RMSE oracle",
    "model_calls": "model calls",
}


def board_of(folder: str) -> pd.DataFrame:
    """Return the leaderboard of a run that is committed."""
    file = REFERENCE / folder / "scores.csv"
    return leaderboard(pd.read_csv(file, keep_default_na=False, na_values=[""]))


def published_cases() -> str:
    """Return the leaderboard of ``make benchmark`` with what is to be known of its numbers."""
    board = board_of(SOURCES["phantoms"])
    board = board[board["method"].isin(SUITES["paper"].methods) | (board["targets"] == CONTROL)]
    methods = board[board["targets"] != CONTROL]
    uniform = board.set_index("method").loc["uniform"]
    rows = [
        [f"{value:,.0f}" if key == "model_calls" else _cell(value) for key, value in row.items()]
        for row in board[list(_BOARD)].to_dict(orient="records")
    ]
    text = (
        "Made by `make benchmark`: pooled over eight cases and three seeds. Each method is scored against "
        "the truth that it *targets*, and, as Azmat & Alessio (2022) score all of them, against the gradient "
        f"truth beside. RMSE of equal shares is {number(uniform['rmse'])}; RBO is that with p = 0.75 for "
        f"four modalities, *chance RBO* that of a random order, {_range(methods['rbo_chance'])} by the truth "
        "that is targeted, and *corr.* is RBO with chance taken out. *Oracle* is the same method on the true "
        "decision function: its own error, apart from the network's. `kernel_shap(n_coalitions=2128, "
        "selection=10)` has the budget and the selection that the package `shap` has by default. "
        "`calibrated_gradient` is this project's own; it was developed on the first of the three seeds."
    )
    return f"{markdown([*_BOARD.values()], rows)}\n\n{_wrapped(text)}"


def image_sources() -> str:
    """Return the same of all methods of the reference runs, on every image source."""
    boards = {name: board_of(folder).set_index("method") for name, folder in SOURCES.items()}
    first = boards["phantoms"]
    head = ["method", "targets", "oracle"]
    for name in boards:
        head += [f"{name}: RMSE", "vs gradient", "RBO (chance)"]
    rows = []
    for method in first.index:
        row = [method, str(first.loc[method, "targets"]), number(first.loc[method, "rmse_oracle"])]
        for board in boards.values():
            if method not in board.index:
                row += ["–"] * 3
                continue
            it = board.loc[method]
            row += [
                f"{number(it['rmse'])} ± {number(it['rmse_sd'])}",
                number(it["rmse_gradient"]),
                f"{number(it['rbo'])} ({number(it['rbo_chance'])})",
            ]
        rows.append(row)
    text = (
        "Pooled RMSE (± over seeds) against the truth that each method targets and against the gradient "
        "truth, and mean RBO (p = 0.75; in brackets that of a random order on the same cases and truths) on "
        "trained `hybrid` networks; *oracle* is the RMSE on the true decision function (phantoms):"
    )
    return f"{_wrapped(text)}\n\n{markdown(head, rows)}"


def tracked_truths() -> str:
    """Return the errors of the published methods against every truth, on the true decision function."""
    text = (REFERENCE / "catalogue-phantom" / "leaderboard.md").read_text(encoding="utf-8")
    lines = text.partition("## Which truth each method tracks")[2].partition("## ")[0].splitlines()
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")
    ]
    shown = [head.index(name) for name in ("method", *_TRUTHS)]
    wanted = [row for row in rows if row[0] == ORACLE and row[1] in PUBLISHED]
    return markdown(["method", *_TRUTHS], [[row[place] for place in shown] for row in wanted])


def missing_modalities() -> str:
    """Return the regrets of networks when modalities are missing: all of them."""
    return _regrets(())


def missing_modalities_in_short() -> str:
    """Return the same without the ablations of the contrastive network's parts."""
    return _regrets(("contrastive=False", "tokens=False"))


def _regrets(without: Sequence[str]) -> str:
    # An empty cell is no number where there is none, and no name where a network sees everything.
    frame = pd.read_csv(
        REFERENCE / "missing" / "missing.csv", dtype={"only": str, "available": str}, keep_default_na=True
    )
    frame = frame.fillna({"only": "", "available": ""})
    board = missing_board(frame)
    rows = [
        [f"`{row['model']}`", *(number(row[column]) for column in _REGRETS)]
        for row in board.to_dict(orient="records")
        if not any(option in row["model"] for option in without)
    ]
    return markdown(["network", *_REGRETS.values()], rows)


BLOCKS = {
    ("README.md", "leaderboard"): published_cases,
    ("README.md", "missing"): missing_modalities_in_short,
    ("results/reference/README.md", "image sources"): image_sources,
    ("results/reference/README.md", "truths"): tracked_truths,
    ("results/reference/networks.md", "missing"): missing_modalities,
}


def written(text: str, marker: str, content: str) -> str:
    """Return a document with what stands between its two marks replaced."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    found, n = re.subn(pattern, lambda it: f"{it[1]}{content}\n{it[2]}", text, flags=re.DOTALL)
    if n != 1:
        raise ValueError(f"The document must have the marks '<!-- {marker} -->' once. Got them {n} times.")
    return found


def main() -> int:
    """Write the blocks, or show what would change."""
    check, changed = "--check" in sys.argv[1:], False
    for (name, marker), make in BLOCKS.items():
        old = (ROOT / name).read_text(encoding="utf-8")
        new = written(old, marker, make())
        changed |= new != old
        sys.stdout.writelines(
            f"{line}\n"
            for line in difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="", n=0)
        )
        if not check:
            (ROOT / name).write_text(new, encoding="utf-8")
    return int(check and changed)


def _cell(value: object) -> str:
    return value if isinstance(value, str) else number(float(value))  # pyright: ignore[reportArgumentType]


def _range(values: pd.Series) -> str:
    low, high = number(values.min()), number(values.max())
    return low if low == high else f"{low} to {high}"


def _wrapped(text: str) -> str:
    whole = text.replace("p = ", "p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    lines = textwrap.fill(whole, 118, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")


if __name__ == "__main__":
    raise SystemExit(main())
