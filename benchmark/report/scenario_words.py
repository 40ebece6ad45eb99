"""A scenario in words: its decision function, labels, modalities, correlations and missing values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise

from synthetic.clinical import Table
from synthetic.decision import DecisionFunction, matching
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.scenario import Scenario
from synthetic.types import Dataset, Modality, SubsetValues

LARGEST_ZERO = 1e-9
"""Up to here, values of the order of 1 are rounding."""

_MOST_LISTED = 5  # players of which all subsets are listed: 32 rows
_MECHANISMS = {
    "mcar": "completely at random",
    "mar": "more often where {driver} is high (missing at random, slope {strength:g})",
    "mnar": "more often where the value itself is high (missing not at random, slope {strength:g})",
}


def facts(scenario: Scenario, dataset: Dataset) -> list[tuple[str, str]]:
    """Return what there is to know of how the patients come about: pairs of a name and a line."""
    sizes = [len(split) for split in (dataset.train, dataset.explain, dataset.test)]
    usual = "" if scenario.n is None else f"{scenario.n:,} unless told otherwise; "
    found = [
        ("F", decision_text(scenario.decision)),
        ("labels", _labels(scenario, dataset)),
        (
            "patients",
            f"{usual}here {sum(sizes):,}: {sizes[0]:,} train, {sizes[1]:,} explain, {sizes[2]:,} test",
        ),
        ("images", f"{scenario.source}, {scenario.image_size} × {scenario.image_size} pixels"),
        *_latents(scenario),
        *(("correlations", line) for line in _correlations(scenario.named_correlations)),
        *(("missing", line) for line in missing_text(scenario, dataset)),
    ]
    return [*found, ("expected", scenario.expected)] if scenario.expected else found


def decision_text(decision: DecisionFunction) -> str:
    """Return F written out, with whole modalities as sums and three digits."""
    return re.sub(r"(?<![\w/.])\d+\.\d{4,}", lambda match: f"{float(match[0]):.3g}", str(decision))


def features_read(decision: DecisionFunction) -> set[str]:
    """Return the full names of the features that F reads: those with a coefficient other than 0."""
    return {
        name
        for term in decision.terms
        if all(factor.weight for factor in term.factors)
        for factor in term.factors
        for name, slope in zip(factor.features, factor.slopes, strict=True)
        if slope
    }


def class_text(dataset: Dataset) -> list[str]:
    """Return the rule for each class, ``"F < 0"``, from the lowest class on."""
    cuts = [f"{cut + 0.0:.3g}" if abs(cut) > LARGEST_ZERO else "0" for cut in dataset.thresholds]
    middle = [f"{low} ≤ F < {high}" for low, high in pairwise(cuts)]
    return [f"F < {cuts[0]}", *middle, f"F ≥ {cuts[-1]}"]


def missing_text(scenario: Scenario, dataset: Dataset) -> Iterator[str]:
    """Yield what is missing and why, a line for each rule and table."""
    groups: dict[tuple[str, Missing], list[str]] = defaultdict(list)
    for name, rule in scenario.missing_rules.items():
        owner, latent = name.rsplit("/", 1)
        groups[owner, rule].append(latent)
    sizes = {modality.name: len(modality.latents) for modality in scenario.modalities}
    for (owner, rule), latents in groups.items():
        n = len(latents)
        some = ", ".join(latents[:3]) + ", …" * (n > 3)
        which = f"all {n} columns" if n == sizes[owner] else f"{n} of {sizes[owner]} columns ({some})"
        driver = matching(rule.driver, scenario.modalities)[0] if rule.driver else ""
        how = _MECHANISMS[rule.mechanism].format(driver=driver, strength=rule.strength)
        columns = [scenario.decision.columns[f"{owner}/{latent}"] for latent in latents]
        here = dataset.missing["train"][:, columns].float().mean().item()
        rate = f"{_percent(rule.rate)} of the values ({_percent(here)} here)"
        yield f"{owner}, {which}: {rate}, {how}; models see the mean instead"


def shown_subsets(values: SubsetValues) -> list[tuple[str, ...]]:
    """Return the sets of modalities to show: all, or, of many, none, one, all but one and all."""
    players = values.players
    if len(players) <= _MOST_LISTED:
        return [names for names, _ in values.items()]
    but_one = [tuple(name for name in players if name != left) for left in players]
    return [(), *((name,) for name in players), *but_one, players]


def subset_text(names: tuple[str, ...], players: tuple[str, ...]) -> str:
    """Return how a set of modalities is called."""
    if not names:
        return "nothing (chance)"
    if len(names) == len(players):
        return (
            f"all {len(players)}: {' + '.join(names)}"
            if len(players) <= _MOST_LISTED
            else f"all {len(players)}"
        )
    if len(players) > _MOST_LISTED and len(names) == len(players) - 1:
        return f"all but {next(name for name in players if name not in names)}"
    return " + ".join(names)


def _labels(scenario: Scenario, dataset: Dataset) -> str:
    labels = scenario.labels
    shares = labels.shares
    if labels.thresholds is not None and dataset.train.labels is not None:  # 'shares' count classes, no more
        counts = dataset.train.labels.bincount(minlength=labels.n_classes)
        shares = (counts / counts.sum()).tolist()
    about = "" if labels.thresholds is None else "about "
    classes = [
        f"class {place} ({about}{_percent(part)}) where {rule}"
        for place, (part, rule) in enumerate(zip(shares, class_text(dataset), strict=True))
    ]
    noise = f"; {_percent(labels.noise)} of the labels are wrong" if labels.noise else ""
    return ", ".join(classes) + noise


def _latents(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Yield what each modality consists of; three or more alike that follow each other share a line."""
    lines = [
        (modality.name, _latents_of(modality, scenario.tables.get(modality.name)))
        for modality in scenario.modalities
    ]
    for line, group in groupby(lines, key=lambda named: named[1]):
        names = [name for name, _ in group]
        if len(names) > 2:
            yield f"{names[0]} … {names[-1]}", f"{len(names)} modalities, each a {line}"
        else:
            yield from ((name, line) for name in names)


def _latents_of(modality: Modality, table: object) -> str:
    names, kind = modality.latents, modality.kind
    if isinstance(table, Table) and not table.variables:
        margin = "" if table.margin.is_normal else f", each {_margin(table.margin)}"
        return f"{kind} of {len(names)} generic columns{margin}"
    return f"{kind}: {', '.join(names)}"


def _margin(margin: Margin) -> str:
    parameters = ", ".join(f"{value:g}" for value in margin.parameters)
    return margin.family.replace("_", " ") + (f" ({parameters})" if parameters else "")


def _correlations(correlations: Mapping[tuple[str, str], float]) -> Iterator[str]:
    """Yield a line for each two modalities; equal values are named once."""
    groups: dict[tuple[str, str], dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (first, second), value in correlations.items():
        (one, latent), (other, other_latent) = first.rsplit("/", 1), second.rsplit("/", 1)
        groups[one, other][value].append(f"{latent} – {other_latent}")
    for (one, other), values in groups.items():
        parts = []
        for value, names in values.items():
            listed = ", ".join(names[:3]) + (f", … ({len(names)} pairs)" if len(names) > 3 else "")
            parts.append(f"{listed} {value:.2g}")
        yield f"{one if one == other else f'{one} – {other}'}: {'; '.join(parts)}"


def _percent(part: float) -> str:
    return f"{100 * part:.3g} %"
