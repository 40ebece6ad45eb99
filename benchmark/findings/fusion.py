"""How networks do with modalities missing, and which modality they lean on: means over seeds."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportReturnType=false

from __future__ import annotations

import pandas as pd

from benchmark.diagnosis_table import IGNORED, LEANED, NETWORK
from benchmark.table import by_images

_SCORES = ("accuracy", "best_accuracy", "regret_accuracy", "auroc", "best_auroc", "log_loss", "best_log_loss")
_SHARES = ("share_data", "share_network", "drop", "true_drop", "alone", "best_alone")


def by_number(missing: pd.DataFrame) -> pd.DataFrame:
    """Return how well each model does with so many modalities at hand.

    A mean over subsets and seeds, then over scenarios: they weigh the same, whatever their number of either,
    and what is unknown in one is unknown in their mean, as in ``diagnosis_table.missing_board``.

    Args:
        missing: rows of ``missing.csv``.

    Returns:
        One row a model and number of modalities: ``model``, ``n_modalities``, ``n_available``,
        ``n_networks``, ``accuracy``, ``best_accuracy``, ``regret_accuracy``, ``auroc``, ``best_auroc``,
        ``log_loss``, ``best_log_loss`` (bits) and ``regret_log_loss``.
    """
    keys = ["model", "n_modalities", "n_available"]
    scores = [*_SCORES, "regret_log_loss"]
    case = [*keys, "scenario", "images", "features"]
    each = missing.groupby(case, sort=False)[scores].agg(_mean).reset_index()
    means = each.groupby(keys, sort=False)[scores].agg(_mean)
    networks = missing.drop_duplicates([*keys, *NETWORK, "only"])
    means.insert(0, "n_networks", networks.groupby(keys, sort=False).size())
    found = means.reset_index()
    found["_model"] = pd.factorize(found["model"])[0]
    return found.sort_values(["_model", *keys[1:]], kind="stable", ignore_index=True).drop(columns="_model")


def _mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def by_subset(missing: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy that each model (columns) has with each subset of modalities (rows).

    Args:
        missing: rows of ``missing.csv``.

    Returns:
        Rows ``scenario``, ``available``; columns ``best possible``, the highest accuracy that there can be,
        and one a model; means over seeds.
    """
    rows = by_images(missing)
    order = rows[["scenario", "available"]].drop_duplicates()
    keys = ["scenario", "available"]
    best = rows.groupby(keys, sort=False)["best_accuracy"].mean()
    each = rows.pivot_table(index=keys, columns="model", values="accuracy", aggfunc="mean", sort=False)
    each = each.reindex(pd.MultiIndex.from_frame(order))
    each.insert(0, "best possible", best.reindex(each.index))
    return each


def by_modality(balance: pd.DataFrame) -> pd.DataFrame:
    """Return each modality's share in the data and in the networks trained on them, means over seeds.

    Args:
        balance: rows of ``balance.csv``.

    Returns:
        One row a scenario, model and modality: ``share_data``, ``share_network``, ``drop``, ``true_drop``,
        ``alone``, ``best_alone``, ``n_networks``, ``n_ignored`` and ``n_leaned_on``.
    """
    rows = by_images(balance)
    keys = ["scenario", "model", "modality"]
    flags = pd.DataFrame(
        {
            "n_ignored": rows["flag"] == IGNORED,
            "n_leaned_on": rows["flag"] == LEANED,
            "n_networks": 1,
        }
    )
    means = rows.groupby(keys, sort=False)[list(_SHARES)].mean()
    counts = rows[keys].join(flags).groupby(keys, sort=False)[list(flags)].sum()
    return means.join(counts).reset_index()
