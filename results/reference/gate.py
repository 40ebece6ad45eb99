"""Whether the accuracy gate and the intervals keep what they promise, measured on resampled score tables.

Tables like the reference ones are drawn again and again: squared errors of each method and scenario from the
log-normal law of its three seeds, RBO from its three values; or, where there are 24 seeds, the seeds
themselves, drawn apart for run and baseline. Everything goes through the functions that the commands use::

    .venv/bin/python results/reference/gate.py > results/reference/gate.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import methods
from benchmark import baseline, regression, session, statistics
from benchmark.regression.verdicts import ROUNDING
from benchmark.request import Request
from benchmark.statistics.intervals import UNSEEN
from benchmark.table import own_truth
from methods.api import FusionModel, Method
from synthetic.seeding import numpy_rng
from synthetic.types import Samples

HERE = Path(__file__).parent
FITTED = ("paper-phantom", "paper-organamnist-autoencoder", "paper-organamnist-pca")
REAL = "smoke-24-seeds"
N_SEEDS = 3
METRICS = ("rmse", "rbo")
HARM = {"rmse": 0.05, "rbo": 0.1}
HALF = 0.5
"""A rise of RMSE, as a part of the method's own, that a gate must find however small it is."""


@dataclass(frozen=True)
class Source:
    """Score tables that can be drawn again.

    Attributes:
        name: of the reference table.
        frame: rows of one seed, in the order of the values.
        values: metric → ``[rows, seeds]``.
        fitted: whether seeds are drawn from a law, or from those that there are.
    """

    name: str
    frame: pd.DataFrame
    values: Mapping[str, np.ndarray]
    fitted: bool

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return metric → ``[rows, n]`` for n new seeds."""
        rmse, rbo = self.values["rmse"], self.values["rbo"]
        if not self.fitted:
            chosen = rng.permutation(rmse.shape[1])[:n]
            return {"rmse": rmse[:, chosen], "rbo": rbo[:, chosen]}
        mean = np.maximum(rmse.mean(1), 1e-12)[:, None]
        spread = np.sqrt(np.log1p((rmse.std(1, ddof=1)[:, None] / mean) ** 2))
        drawn = mean * np.exp(spread * rng.standard_normal((len(rmse), n)) - spread**2 / 2)
        places = rng.integers(0, rbo.shape[1], (len(rbo), n))
        return {
            "rmse": np.where(mean > 1e-9, drawn, 0.0),
            "rbo": np.take_along_axis(rbo, places, axis=1),
        }

    def means(self) -> dict[str, np.ndarray]:
        """Return what is drawn around: row means of squared errors and of RBO."""
        rmse = self.values["rmse"]
        squares = rmse.mean(1) ** 2 + rmse.var(1, ddof=1) if self.fitted else (rmse**2).mean(1)
        return {"rmse": squares, "rbo": self.values["rbo"].mean(1)}

    def table(self, values: Mapping[str, np.ndarray], first_seed: int) -> pd.DataFrame:
        """Return values as a table of scores, its seeds counted from a number."""
        n = values["rmse"].shape[1]
        frame = self.frame.loc[self.frame.index.repeat(n)].reset_index(drop=True)
        seeds = np.tile(np.arange(first_seed, first_seed + n), len(self.frame))
        columns = dict.fromkeys(("data_seed", "train_seed", "method_seed"), seeds)
        return frame.assign(**columns, **{name: values[name].ravel() for name in METRICS})

    def rows(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each method (and model) with the places of its rows."""
        for (model, method), rows in self.frame.groupby(["model", "method"], sort=False):
            yield f"{method} on {model}", rows.index.to_numpy()


def sources() -> list[Source]:
    """Return the reference tables; each method against the truth that it targets, no controls."""
    found = []
    for name in (*FITTED, REAL):
        table = own_truth(baseline.read(HERE / name).table)
        table = table[table["targets"] != "control"]
        keys = ["model", "method", "scenario"]
        values = {
            metric: table.pivot_table(index=keys, columns="data_seed", values=metric, sort=False)
            for metric in METRICS
        }
        frame = table.drop_duplicates(keys).set_index(keys).loc[values["rmse"].index].reset_index()
        found.append(
            Source(name, frame, {key: part.to_numpy() for key, part in values.items()}, name in FITTED)
        )
    return found


def pairs(source: Source, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return a run and a baseline of three seeds each, none shared."""
    drawn = source.draw(2 * N_SEEDS, rng)
    return tuple({name: part[:, rows] for name, part in drawn.items()} for rows in (slice(3), slice(3, 6)))


def false_alarms(source: Source, n: int, rng: np.random.Generator) -> list[str]:
    """Return how often a check of everything fails when nothing changed."""
    fell, paired, rounded = 0, 0, 0
    n_rounded = max(n // 10, 1)
    for turn in range(n):
        run, before = pairs(source, rng)
        there = source.table(before, 3)
        fell += not regression.compare(source.table(run, 0), there).passed
        # The same seeds, and other random numbers of methods: drawn apart, and told to be paired.
        paired += not regression.compare(source.table(run, 3), there).passed
        if turn >= n_rounded:
            continue
        shaken = {name: part * (1 + 1e-6 * rng.standard_normal(part.shape)) for name, part in before.items()}
        rounded += not regression.compare(source.table(shaken, 0), source.table(before, 0)).passed
    n_tests = 2 * source.frame.groupby(["model", "method"]).ngroups
    return [
        source.name,
        str(n_tests),
        f"{fell / n:.1%} (of {n})",
        f"{paired / n:.1%} (of {n})",
        f"{rounded / n_rounded:.1%} (of {n_rounded})",
    ]


def worsen(values: np.ndarray, metric: str, *, scenarios: slice) -> np.ndarray:
    """Return scores ``[s, k]`` of one method, worse by the stated amount overall, in some scenarios."""
    changed = values.copy()
    if metric == "rbo":
        changed[scenarios] -= HARM["rbo"] * len(values) / len(values[scenarios])
        return changed
    aim = (np.sqrt((values**2).mean()) + HARM["rmse"]) ** 2
    low, high = 0.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        changed[scenarios] = values[scenarios] + middle
        low, high = (middle, high) if (changed**2).mean() < aim else (low, middle)
    return changed


def power(source: Source, n: int, rng: np.random.Generator) -> list[list[str]]:
    """Return how often a fall of one method is found; each method in turn, in all or two scenarios."""
    groups, rows = list(source.rows()), []
    for metric in METRICS:
        for label, scenarios in (("all eight", slice(None)), ("two", slice(2))):
            found: dict[str, list[bool]] = {}
            for turn in range(n):
                name, places = groups[turn % len(groups)]
                run, before = pairs(source, rng)
                run[metric] = run[metric].copy()
                run[metric][places] = worsen(run[metric][places], metric, scenarios=scenarios)
                told = regression.compare(source.table(run, 0), source.table(before, 3))
                caught = {f"{it.method} on {it.model}" for it in told.of("fell")}
                found.setdefault(name, []).append(name in caught)
            shares = {name: float(np.mean(hits)) for name, hits in found.items()}
            worst = min(shares, key=shares.__getitem__)
            low = sum(share < 0.95 for share in shares.values())
            mean = np.mean([hit for hits in found.values() for hit in hits])
            rows.append(
                [
                    source.name,
                    f"{metric.upper()} {HARM[metric]:g}",
                    label,
                    f"{mean:.1%} (of {n})",
                    f"{low} of {len(shares)}",
                    f"{worst}: {shares[worst]:.0%}",
                ]
            )
    return rows


def relative_power(source: Source, n: int, rng: np.random.Generator) -> list[list[str]]:
    """Return how often a rise of one method's RMSE by half of its own is found, by seeds shared or not.

    Methods whose error is so small that half of it is rounding are left out.
    """
    groups = [
        (name, places)
        for name, places in source.rows()
        if HALF * np.sqrt(np.mean(source.means()["rmse"][places])) > 2 * ROUNDING
    ]
    found: dict[str, dict[str, list[bool]]] = {"the same": {}, "others": {}}
    for turn in range(n):
        name, places = groups[turn % len(groups)]
        run, before = pairs(source, rng)
        for seeds, base, first in (("the same", before, 3), ("others", run, 0)):
            worse = {metric: part.copy() for metric, part in base.items()}
            worse["rmse"][places] *= 1 + HALF
            told = regression.compare(source.table(worse, first), source.table(before, 3))
            caught = {f"{it.method} on {it.model}" for it in told.of("fell")}
            found[seeds].setdefault(name, []).append(name in caught)
    rows = []
    for seeds, hits in found.items():
        shares = {name: float(np.mean(part)) for name, part in hits.items()}
        worst = min(shares, key=shares.__getitem__)
        mean = np.mean([hit for part in hits.values() for hit in part])
        low = sum(share < 0.95 for share in shares.values())
        rows.append(
            [
                source.name,
                seeds,
                f"{mean:.1%} (of {n})",
                f"{low} of {len(shares)}",
                f"{worst}: {shares[worst]:.0%}",
            ]
        )
    return rows


def coverage(source: Source, n: int, rng: np.random.Generator) -> list[list[str]]:
    """Return how often the 95 % interval over seeds holds the value that scores are drawn around."""
    rows, means = [], source.means()
    for metric in METRICS:
        hits: dict[str, list[bool]] = {}
        for _ in range(n):
            drawn = source.draw(N_SEEDS, rng)[metric]
            for name, places in source.rows():
                if np.ptp(source.values[metric][places], axis=1).max() < 1e-9:  # noqa: PD011 - no frame
                    continue  # never moves: every interval holds it
                values, squared = drawn[places] ** (2 if metric == "rmse" else 1), metric == "rmse"
                found = statistics.seed_interval(values, squared=squared, unseen=0.0 if squared else UNSEEN)
                value = means[metric][places].mean()
                value = np.sqrt(value) if squared else value
                hits.setdefault(name, []).append(found.low - 1e-9 <= value <= found.high + 1e-9)
        rows.append([source.name, metric.upper(), "seeds", *_summary(hits)])
    return rows


def scenario_coverage(n: int, rng: np.random.Generator) -> list[list[str]]:
    """Return the coverage of the interval over scenarios, scenario effects of known law, and real ones."""
    rows = []
    laws: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
        "normal scenario and seed effects, as wide as the reference tables'": lambda shape: np.clip(
            1 + 0.4 * rng.standard_normal(shape), 0.01, None
        ),
        "gamma (shape 1): as skewed as an exponential": lambda shape: rng.gamma(1.0, 1.0, shape),
    }
    for label, law in laws.items():
        truth = float(law((200_000, 1)).mean())
        hits = []
        for _ in range(n):
            values = law((8, 1)) * np.clip(1 + 0.15 * rng.standard_normal((8, N_SEEDS)), 0.01, None)
            found = statistics.scenario_interval(values, rng=rng, n_resamples=500, squared=True)
            hits.append(found.low <= np.sqrt(truth) <= found.high)
        rows.append([label, "RMSE", "scenarios", f"{np.mean(hits):.1%}", "–", "–"])
    fitted = [source for source in sources() if source.fitted]
    for metric in METRICS:
        hits: dict[str, list[bool]] = {}
        for name, _ in fitted[0].rows():
            places = [dict(source.rows())[name] for source in fitted]
            for _ in range(n // 4):
                drawn = np.concatenate(
                    [s.draw(N_SEEDS, rng)[metric][p] for s, p in zip(fitted, places, strict=True)]
                )
                values = drawn[rng.integers(0, len(drawn), 8)] ** (2 if metric == "rmse" else 1)
                value = np.mean([s.means()[metric][p].mean() for s, p in zip(fitted, places, strict=True)])
                found = statistics.scenario_interval(
                    values,
                    rng=rng,
                    n_resamples=300,
                    squared=metric == "rmse",
                    unseen=UNSEEN * (metric == "rbo"),
                )
                value = np.sqrt(value) if metric == "rmse" else value
                hits.setdefault(name, []).append(found.low - 1e-9 <= value <= found.high + 1e-9)
        rows.append(["eight of the 24 real scenarios", metric.upper(), "scenarios", *_summary(hits)])
    return rows


def _summary(hits: Mapping[str, list[bool]]) -> list[str]:
    if not hits:
        return ["–", "–", "–"]
    shares = {name: float(np.mean(found)) for name, found in hits.items()}
    worst = min(shares, key=shares.__getitem__)
    inside = sum(0.93 <= share <= 0.97 for share in shares.values())
    return [
        f"{np.mean([*shares.values()]):.1%}",
        f"{inside} of {len(shares)}",
        f"{worst}: {shares[worst]:.0%}",
    ]


def comparisons(source: Source, n: int, rng: np.random.Generator) -> list[list[str]]:
    """Return how often a test calls two methods different that are the same, before correction (5 %)."""
    rows = []
    groups = [places for name, places in source.rows() if name.endswith("on oracle")]
    for metric in METRICS:
        false: dict[str, list[bool]] = {"wilcoxon": [], "t": [], "seeds": []}
        for turn in range(n):
            places = groups[turn % len(groups)]
            drawn = source.draw(2 * N_SEEDS, rng)
            two = []
            for half, name in ((slice(3), "a"), (slice(3, 6), "b")):
                part = {key: values[places][:, half] for key, values in drawn.items()}
                sub = replace(
                    source, frame=source.frame.loc[places].assign(method=name).reset_index(drop=True)
                )
                two.append(sub.table(part, 0))
            both = pd.concat(two, ignore_index=True)
            for test, hits in false.items():
                p = statistics.compare_methods(both, metric=metric, test=test)["p"].iloc[0]
                hits.append(p < 0.05)
        rows.append([source.name, metric.upper(), *(f"{np.mean(hits):.1%}" for hits in false.values())])
    return rows


class Stale:
    """Explains the model that it was handed the time before."""

    def __init__(self, base: Method) -> None:
        self.base = base
        self.last: FusionModel | None = None

    def __call__(self, model: FusionModel, samples: Samples, rng: np.random.Generator) -> Mapping[str, float]:
        """Return the importances of the last model."""
        stale, self.last = self.last or model, model
        return self.base.attribute(stale, samples, rng).modalities


Change = Callable[[dict[str, float], np.random.Generator], Mapping[str, float]]


def _after(base: Method, change: Change) -> Callable[..., Mapping[str, float]]:
    def mutant(model: FusionModel, samples: Samples, rng: np.random.Generator) -> Mapping[str, float]:
        return change(dict(base.attribute(model, samples, rng).modalities), rng)

    return mutant


def _half(
    base: Method, model: FusionModel, samples: Samples, rng: np.random.Generator
) -> Mapping[str, float]:
    return base.attribute(model, samples.take(slice(0, len(samples) // 2)), rng).modalities


def _flipped_model(
    base: Method, model: FusionModel, samples: Samples, rng: np.random.Generator
) -> np.ndarray:
    raw = base.function(model, samples, rng, **base.options)
    return -np.asarray(raw.values if isinstance(raw, methods.Flagged) else raw)  # noqa: PD011 - no frame


def _wrong_class(
    base: Method, model: FusionModel, samples: Samples, rng: np.random.Generator
) -> Mapping[str, float]:
    return base.attribute(model, replace(samples, labels=1 - samples.labels), rng).modalities


def _swap(shares: dict[str, float], _rng: np.random.Generator) -> dict[str, float]:
    return dict(zip(shares, [*list(shares.values())[1:], next(iter(shares.values()))], strict=True))


def _noisy(shares: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    total = sum(map(abs, shares.values())) or 1.0
    return {name: abs(value) / total + abs(rng.normal(0, 0.3)) for name, value in shares.items()}


def _shifted(shares: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Columns off by half a modality: each gets half of the next one's."""
    following = _swap(shares, rng)
    return {name: (value + following[name]) / 2 for name, value in shares.items()}


def _one_column(
    base: Method, model: FusionModel, samples: Samples, rng: np.random.Generator
) -> Mapping[str, float]:
    """The last column of a modality in place of all of them."""
    local = np.asarray(base.function(model, samples, rng, **base.options))
    values = np.abs(local).mean(0)
    return {name: float(values[columns.stop - 1]) for name, columns in model.groups.items()}


def mutants() -> dict[str, tuple[str, Method]]:
    """Return what is done wrong → the method that it is done to, and the result."""
    gradient, lime, permutation = (methods.get(name) for name in ("gradient", "lime", "permutation"))
    found: dict[str, tuple[Method, Callable[..., object]]] = {
        "nothing, other random numbers": (lime, _after(lime, lambda shares, _rng: shares)),
        "sign flipped before the mean of absolute values": (gradient, partial(_flipped_model, gradient)),
        "sign flipped after": (
            permutation,
            _after(permutation, lambda shares, _rng: {name: -value for name, value in shares.items()}),
        ),
        "modalities swapped": (gradient, _after(gradient, _swap)),
        "half the samples": (lime, partial(_half, lime)),
        "stale model": (gradient, Stale(gradient)),
        "ranks reversed": (
            gradient,
            _after(
                gradient,
                lambda shares, _rng: {name: max(shares.values()) - value for name, value in shares.items()},
            ),
        ),
        "constant": (gradient, _after(gradient, lambda shares, _rng: dict.fromkeys(shares, 1.0))),
        "squared": (
            lime,
            _after(lime, lambda shares, _rng: {name: value**2 for name, value in shares.items()}),
        ),
        "noise added": (gradient, _after(gradient, _noisy)),
        "wrong class": (permutation, partial(_wrong_class, permutation)),
        "columns off by half a modality": (gradient, _after(gradient, _shifted)),
        "one column for a modality": (gradient, partial(_one_column, gradient)),
        "a modality counted thrice": (
            gradient,
            _after(
                gradient, lambda shares, _rng: {**shares, next(iter(shares)): 3 * next(iter(shares.values()))}
            ),
        ),
        "a modality dropped": (
            gradient,
            _after(gradient, lambda shares, _rng: {**shares, next(iter(shares)): 0.0}),
        ),
    }
    return {
        label: (base.name, replace(base, name=f"mutant {place}", function=function, options={}))
        for place, (label, (base, function)) in enumerate(found.items())
    }


def mutations(*, n_patients: int | None = None, n_seeds: int = N_SEEDS) -> list[dict[str, object]]:
    """Return what each mutation does on suite ``smoke``, and what the gate says.

    Args:
        n_patients: instead of the suite's.
        n_seeds: of run and baseline, which share them.

    Returns:
        Entries ``mutation``, ``method``, ``rmse_before``, ``rmse``, ``rbo_before``, ``rbo``, ``harmful``
        (worse by 0.05 RMSE, half of its own RMSE or 0.1 RBO) and ``fell``.
    """
    broken = mutants()
    with tempfile.TemporaryDirectory() as folder:
        request = Request.from_options(
            suite="smoke",
            methods=["gradient", "lime", "permutation"],
            n_seeds=n_seeds,
            n_patients=n_patients,
            out=Path(folder),
            own_methods=[method for _, method in broken.values()],
        )
        table = session.run(request).scores
    names = ("gradient", "lime", "permutation")
    before = table[table["method"].isin(names)]
    rows = []
    for label, (base, method) in broken.items():
        mutant = table[table["method"] == method.name].assign(method=base)
        run = pd.concat([before[before["method"] != base], mutant], ignore_index=True)
        told = regression.compare(run, before)
        values = {it.metric: it for it in told.findings if it.method == base}
        harm = any(values[metric].drop >= least for metric, least in HARM.items())
        harm |= values["rmse"].drop >= max(HALF * values["rmse"].baseline, ROUNDING)
        fell = any(it.verdict == "fell" for it in values.values())
        others = any(it.method != base for it in told.of("fell"))
        rows.append(
            {
                "mutation": label,
                "method": base,
                **{f"{m}_before": values[m].baseline for m in METRICS},
                **{m: values[m].run for m in METRICS},
                "harmful": harm,
                "fell": fell,
                "others_fell": others,
            }
        )
    return rows


class _Reversed:
    """A model with its classes in the reverse order: what explains class 1 of it explains class 0."""

    def __init__(self, model: FusionModel) -> None:
        self.model, self.modalities, self.groups = model, model.modalities, model.groups

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the model's fusion features."""
        return self.model.encode(inputs)

    def classify(self, features: Tensor) -> Tensor:
        """Return the model's logits, the last first."""
        return self.model.classify(features).flip(1)


def _other_class(base: Method, model: FusionModel, samples: Samples, rng: np.random.Generator) -> object:
    return base.function(_Reversed(model), samples, rng, **base.options)


def _other_method(other: str, model: FusionModel, samples: Samples, rng: np.random.Generator) -> object:
    method = methods.get(other)
    return method.function(model, samples, rng, **method.options)


def _tenth(base: Method, model: FusionModel, samples: Samples, rng: np.random.Generator) -> object:
    return base.function(model, samples.take(slice(0, len(samples) // 10)), rng, **base.options)


def _logits(model: FusionModel, samples: Samples, _rng: np.random.Generator) -> np.ndarray:
    """Return slopes of the difference of two logits, where the method has those of a probability."""
    features = model.encode(samples.inputs).detach().requires_grad_()
    logits = model.classify(features)
    (slopes,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), features)
    return slopes.numpy()


def _one_tenth_more(shares: dict[str, float], _rng: np.random.Generator) -> dict[str, float]:
    first = next(iter(shares))
    return {**shares, first: 1.1 * shares[first]}


_CHEAP = ("gradient", "integrated_gradients", "input_x_gradient", "smoothgrad", "ablation", "permutation")
_LOCAL = _CHEAP[:4]


def quiet_mutants() -> list[tuple[str, Method, Method]]:
    """Return mutations that shares may not show: what is done, to which method, and the result."""
    found: list[tuple[str, str, Callable[..., object]]] = []
    for place, name in enumerate(_CHEAP):
        base = methods.get(name)
        # One of the same kind; one that needs no labels where there are none.
        other = _LOCAL[(place + 1) % 4] if name in _LOCAL else "modality_contribution"
        found += [
            ("one modality × 1.10", name, _after(base, _one_tenth_more)),
            ("another method under the same name", name, partial(_other_method, other)),
            ("a tenth of the samples", name, partial(_tenth, base)),
        ]
        if name in _LOCAL:
            found += [
                ("all signs flipped", name, partial(_flipped_model, base)),
                ("the other class explained", name, partial(_other_class, base)),
            ]
        else:
            flip: Change = lambda shares, _rng: {key: -value for key, value in shares.items()}  # noqa: E731
            found.append(("all signs flipped", name, _after(base, flip)))
    found.append(("logits for probabilities", "gradient", _logits))
    return [
        (label, base := methods.get(name), replace(base, name=f"quiet {i}", function=function, options={}))
        for i, (label, name, function) in enumerate(found)
    ]


def quiet(*, n_patients: int | None = None, n_seeds: int = N_SEEDS) -> pd.DataFrame:
    """Return what becomes of each quiet mutation on suite ``gate``, the seeds being the baseline's.

    Returns:
        A row a mutation and method: ``mutation``, ``method``, ``fell``, ``worse`` (within the margin or
        more), ``values`` (they changed, or the model calls) and ``told``, the line that says so.
    """
    broken = quiet_mutants()
    with tempfile.TemporaryDirectory() as folder:
        request = Request.from_options(
            suite="gate",
            methods=list(_CHEAP),
            n_seeds=n_seeds,
            n_patients=n_patients,
            out=Path(folder),
            own_methods=[method for *_, method in broken],
        )
        outcome = session.run(request)
    table, values = outcome.scores, baseline.raw_values(outcome.importances, outcome.scores)
    before = table[table["method"].isin(_CHEAP)]
    rows = []
    for label, base, mutant in broken:
        run = pd.concat(
            [
                before[before["method"] != base.name],
                table[table["method"] == mutant.name].assign(method=base.name),
            ],
            ignore_index=True,
        )
        told = regression.compare(run, before)
        here = values[values["method"] == mutant.name].assign(method=base.name)
        changes = regression.value_changes(here, values[values["method"] == base.name])
        own = {it.verdict for it in told.findings if it.method == base.name}
        rows.append(
            {
                "mutation": label,
                "method": base.name,
                "lost": sum(it.key[1] == base.name for it in told.lost),
                "fell": "fell" in own,
                "worse": bool(own & {"fell", "worse, within the margin"}),
                "values": bool(changes),
                "told": "; ".join(map(str, changes)),
            }
        )
    return pd.DataFrame(rows)


def _print(head: list[str], rows: list[list[str]]) -> None:
    for line in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(line) + " |")
    print(flush=True)


def print_false_alarms(n: int, tables: list[Source]) -> None:
    """Print how often a check fails when nothing changed."""
    print("## False alarms: nothing changed\n")
    print("Share of checks (all methods, both metrics) that fail. Promised: at most 5 %.\n")
    _print(
        ["table", "tests a check", "other seeds", "same seeds, other numbers", "same seeds, rounding (1e-6)"],
        [false_alarms(source, n, numpy_rng("gate", "alarms", source.name)) for source in tables],
    )


def print_power(n: int, tables: list[Source]) -> None:
    """Print how often a fall is found."""
    print("## Power: one method became worse\n")
    print("By 0.05 of pooled RMSE or 0.1 of mean RBO; all methods in turn, each as often as the others.\n")
    _print(
        ["table", "worse by", "scenarios hit", "found", "methods below 95 %", "worst"],
        [
            row
            for source in tables
            for row in power(source, n * 2 // 5, numpy_rng("gate", "power", source.name))
        ],
    )


def print_relative_power(n: int, tables: list[Source]) -> None:
    """Print how often a rise by half of the method's own error is found."""
    print("## Power: a method's RMSE rose by half of its own\n")
    print("Each cell × 1.5; the seeds of the run are the baseline's, as in `make gate`, or others.\n")
    _print(
        ["table", "seeds", "found", "methods below 95 %", "worst"],
        [
            row
            for source in tables
            for row in relative_power(source, n * 4 // 5, numpy_rng("gate", "relative", source.name))
        ],
    )


def print_quiet(_n: int, _tables: list[Source]) -> None:
    """Print what is seen of mutations that shares may not show."""
    print("## What shares may not show, on suite gate\n")
    print(
        f"Done to {len(_CHEAP)} methods ({', '.join(_CHEAP)}), where it can be; the seeds are the "
        "baseline's. *Fails*: the check does. *Worse*: told, within the margin or beyond. *Values changed*: "
        "told, and a check with `--strict` fails.\n"
    )
    found = quiet()
    _print(
        ["mutation", "methods", "fails", "worse", "values changed", "for example"],
        [
            [
                str(label),
                str(len(rows)),
                *(f"{rows[name].mean():.0%}" for name in ("fell", "worse", "values")),
                str(rows["told"].iloc[0]).split("; gradient")[0] if rows["values"].any() else "–",
            ]
            for label, rows in found.groupby("mutation", sort=False)
        ],
    )


def print_coverage(n: int, tables: list[Source]) -> None:
    """Print the coverage of intervals."""
    print("## Coverage of nominal 95 % intervals\n")
    print("Methods whose scores never move are left out: every interval holds them.\n")
    rows = [
        row for source in tables for row in coverage(source, n, numpy_rng("gate", "coverage", source.name))
    ]
    rows += scenario_coverage(n, numpy_rng("gate", "scenarios"))
    _print(["drawn from", "metric", "over", "mean", "methods within 93–97 %", "worst"], rows)


def print_comparisons(n: int, tables: list[Source]) -> None:
    """Print how often equal methods are called different."""
    print("## Two methods that are the same: how often p < 5 %\n")
    _print(
        ["table", "metric", "wilcoxon", "t", "seeds"],
        [
            row
            for source in tables
            for row in comparisons(source, n, numpy_rng("gate", "comparisons", source.name))
        ],
    )


def print_mutations(_n: int, _tables: list[Source]) -> None:
    """Print what mutations do."""
    print("## Mutations of the project's own methods, on suite smoke\n")
    print("Harmful: worse by 0.05 RMSE, half of its own RMSE or 0.1 RBO. The seeds are the baseline's.\n")
    _print(
        ["mutation", "of", "RMSE before", "after", "RBO before", "after", "harmful", "gate"],
        [
            [
                str(row["mutation"]),
                str(row["method"]),
                *(f"{row[name]:.3f}" for name in ("rmse_before", "rmse", "rbo_before", "rbo")),
                "yes" if row["harmful"] else "no",
                "fails" if row["fell"] else "passes",
            ]
            for row in mutations()
        ],
    )


def print_head(_n: int, _tables: list[Source]) -> None:
    """Print what was done."""
    rules = regression.Rules()
    print("# What the accuracy gate and the intervals keep\n")
    print(
        f"Made by `python results/reference/gate.py`. Margins: RMSE {rules.rmse_margin:g} or "
        f"{rules.relative_margin:.0%} of the method's own, whichever is less, RBO {rules.rbo_margin:g}; "
        f"confidence {rules.confidence:.0%}; three seeds in the run and three others in the baseline, none "
        "shared, unless it is said: the hardest case. With shared seeds, cells are paired, and equal numbers "
        f"have no noise at all. `paper-*`: laws fitted to three seeds; `{REAL}`: real seeds.\n"
    )


PARTS = {
    "head": print_head,
    "false-alarms": print_false_alarms,
    "power": print_power,
    "relative-power": print_relative_power,
    "quiet": print_quiet,
    "coverage": print_coverage,
    "comparisons": print_comparisons,
    "mutations": print_mutations,
}


def main() -> None:
    """Print what was measured as Markdown; each part draws from a stream of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="tables a figure")
    parser.add_argument("--part", choices=PARTS, action="append", help="nothing else; may be repeated")
    options = parser.parse_args()
    start, tables = time.perf_counter(), sources()
    for name in options.part or PARTS:
        PARTS[name](options.draws, tables)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
