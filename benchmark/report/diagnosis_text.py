"""What diagnoses of networks say, as Markdown and on a terminal: missing modalities, balance."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from benchmark import diagnosis_table
from benchmark.report.markdown import escape
from benchmark.report.markdown import table as markdown
from benchmark.report.text import number
from synthetic.names import printable

_COLUMNS = {
    "model": "model",
    "n_scenarios": "scenarios",
    "accuracy_all": "all",
    "accuracy_all_but_one": "all but one",
    "accuracy_one": "one",
    "accuracy_missing_25": "25 % missing",
    "accuracy_missing_50": "50 % missing",
    "auroc_one": "AUROC, one",
    "log_loss_all": "bits, all",
    "log_loss_all_but_one": "bits, all but one",
    "log_loss_one": "bits, one",
}
_SHORT = {
    "model": "model",
    "accuracy_all": "all",
    "accuracy_all_but_one": "all−1",
    "accuracy_one": "one",
    "auroc_one": "AUROC",
    "log_loss_all": "bits all",
    "log_loss_one": "bits one",
    "n_networks": "nets",
}
_LEGEND = (
    "Regret: how much worse a network does than the Bayes classifier of the modalities that are available, "
    "mean over sets of that size, seeds and scenarios; 0 is the best that is possible at all. Accuracy, "
    "where no other word stands; *bits* is log loss, which also feels a network that is too sure. "
    "*Missing*: each modality is missing in so many of the patients, independently. The network is told what "
    "is missing. *unimodal*: a network of its own for each modality, with that one alone. Networks that "
    "learnt little count here: that they did is their regret. Negative values are chance: the test split is "
    "finite."
)
_EVENNESS_LEGEND = (
    "How evenly the modalities share what permuting them costs: 0, one has all; 1, all have the same (the "
    "entropy of the shares over its greatest value). The data set's is that of the true classifier. Where "
    "the network's is lower, it has settled for fewer modalities than there are to use."
)
_BALANCE_LEGEND = (
    "Permuting a modality over patients costs the network so much accuracy (± standard error), and the "
    f"true classifier so much. *Ignored*: the modality is worth {diagnosis_table.MATTERS:.0%} or more, "
    f"and permuting it costs the network less than {diagnosis_table.LITTLE:.0%} of that (unimodal collapse). "
    f"*Leaned on*: it costs the network {diagnosis_table.LEANED_ON:.0%} of accuracy more than it should. "
    "Alone: accuracy with that modality alone, of the network and at best. Where values of tables are "
    "missing, the true classifier of *should be* sees them, and *best alone* does not. The error is that of "
    "the test split; seeds differ by more."
)
_NOTICED_LEGEND = (
    "Of modalities that networks ignore, or lean on: the share that the method gives them, the one that the "
    "network makes of them, and the one that they are worth. A method noticed if it is nearer to the network."
)
_MOST_SETS = 16


def diagnosis_markdown(
    missing: pd.DataFrame, balance: pd.DataFrame, noticed: pd.DataFrame, *, in_full: bool
) -> list[str]:
    """Return the sections on what networks make of their modalities; none where no network was diagnosed.

    Args:
        missing: from ``diagnosis_table.missing``.
        balance: from ``diagnosis_table.balance``.
        noticed: from ``diagnosis_table.noticed``.
        in_full: with a table of every set of modalities a scenario.
    """
    sections = []
    if len(missing):
        board = diagnosis_table.missing_board(missing)
        rows = [[*map(escape, cells)] for cells in _cells(board, _COLUMNS)]
        sections += ["## When modalities are missing", markdown([*_COLUMNS.values()], rows), _LEGEND]
        sections += _scenarios(missing) if in_full else []
    balance = balance.loc[balance["only"] == ""] if len(balance) else balance  # the rest are blind
    if len(balance):
        sections += ["## Balance of data set and network", _evenness(balance), _EVENNESS_LEGEND]
        sections += ["### What the networks make of each modality", _balance(balance), _BALANCE_LEGEND]
    if len(noticed):
        sections += ["### Which methods notice", _noticed(noticed), _NOTICED_LEGEND]
    return sections


def missing_table(missing: pd.DataFrame) -> Table:
    """Return the mean regrets of each model for a terminal.

    Args:
        missing: from ``diagnosis_table.missing``.
    """
    table = Table(
        title=Text("Regret when modalities are missing"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1),
        pad_edge=False,
    )
    for key, head in _SHORT.items():
        table.add_column(
            head, justify="left" if key == "model" else "right", no_wrap=key != "model", overflow="fold"
        )
    for cells in _cells(diagnosis_table.missing_board(missing), _SHORT):
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def flags_note(balance: pd.DataFrame) -> str:
    """Return one line on the networks that ignore a modality or lean on one; empty where none does.

    Args:
        balance: from ``diagnosis_table.balance``.
    """
    if balance.empty:
        return ""
    balance = balance.loc[balance["only"] == ""]  # the others are blind to the rest by design
    parts = []
    for flag in (diagnosis_table.IGNORED, diagnosis_table.LEANED):
        rows = balance[balance["flag"] == flag]
        places = list(
            dict.fromkeys(f"{row.model} on {row.scenario} ({row.modality})" for row in rows.itertuples())
        )
        if places:
            more = f" and {len(places) - 3} more" if len(places) > 3 else ""
            verb = "ignore" if flag == diagnosis_table.IGNORED else "lean too much on"
            parts.append(f"Networks that {verb} a modality: {', '.join(places[:3])}{more}.")
    return " ".join(parts)


def _cells(board: pd.DataFrame, columns: dict[str, str]) -> list[list[str]]:
    return [
        [
            str(row[name]) if name in ("model", "n_networks", "n_scenarios") else number(row[name])
            for name in columns
        ]
        for row in board.to_dict(orient="records")
    ]


def _scenarios(missing: pd.DataFrame) -> list[str]:
    sections = []
    for (scenario, images, _), case in missing.groupby(["scenario", "images", "features"], sort=False):
        several = len(set(missing["images"])) > 1
        title = f"{scenario} on {images}" if several else str(scenario)
        sets = list(dict.fromkeys(case["available"]))
        by = "available" if len(sets) <= _MOST_SETS else "n_available"
        accuracy, bits = (
            case.pivot_table(index=by, columns="model", values=name, sort=False, dropna=False)
            for name in ("accuracy", "regret_log_loss")
        )
        best = case.groupby(by, sort=False)["best_accuracy"].mean()
        sections += [
            f"### {escape(title)}",
            "Accuracy with these modalities alone (in brackets: regret of log loss, in bits).",
            markdown(
                ["available" if by == "available" else "number", "Bayes", *map(escape, accuracy.columns)],
                [
                    [
                        escape(str(place)) or "none",
                        number(best[place]),
                        *(
                            f"{number(accuracy.loc[place, model])} ({number(bits.loc[place, model], 2)})"
                            for model in accuracy.columns
                        ),
                    ]
                    for place in accuracy.index
                ],
            ),
        ]
    return sections


def _evenness(balance: pd.DataFrame) -> str:
    """Return one row a scenario and model: how even data set and networks are, and what is flagged."""
    found = diagnosis_table.networks(balance)
    rows = []
    for (scenario, _, _, model), group in found.groupby(
        ["scenario", "images", "features", "model"], sort=False
    ):
        flagged = [
            f"{word}: {', '.join(names)}"
            for word, column in (("ignored", "ignored"), ("leaned on", "leaned_on"))
            if (names := sorted({name for row in group[column] for name in row.split(", ") if name}))
        ]
        rows.append(
            [
                *map(escape, (str(scenario), str(model))),
                number(group["even_data"].mean(), 2),
                number(group["even_network"].mean(), 2),
                escape("; ".join(flagged)),
            ]
        )
    return markdown(["case", "model", "data set", "network", ""], rows)


def _noticed(noticed: pd.DataFrame) -> str:
    rows = [
        [
            escape(row["method"]),
            row["flag"],
            f"{row['noticed']:.0%} of {row['n']}",
            *(number(row[name]) for name in ("share_said", "share_network", "share_data")),
        ]
        for row in noticed.to_dict(orient="records")
    ]
    return markdown(["method", "networks", "noticed", "says", "network", "data set"], rows)


def _balance(balance: pd.DataFrame) -> str:
    keys = ["scenario", "images", "features", "model", "modality"]
    rows = []
    for (scenario, _, _, model, modality), group in balance.groupby(keys, sort=False):
        flags = [
            f"{flag} ({count} of {len(group)})" if count < len(group) else flag
            for flag, count in group.loc[group["flag"] != "", "flag"].value_counts().items()
        ]
        error = (group["drop_se"].pow(2).sum() ** 0.5) / len(group)
        rows.append(
            [
                *map(escape, (str(scenario), str(model), str(modality))),
                f"{number(group['drop'].mean())} ± {number(error)}",
                number(group["true_drop"].mean()),
                number(group["alone"].mean()),
                number(group["best_alone"].mean()),
                ", ".join(map(str, flags)),
            ]
        )
    head = ["case", "model", "modality", "lost", "should be", "alone", "best alone", ""]
    return markdown(head, rows)
