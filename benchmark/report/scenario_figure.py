"""The picture of a scenario: its patients, its decision function, and every truth side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmark.report.figure import name_shown
from benchmark.report.pictures import Axes, Figure, FigureCanvasAgg, SubFigure, own_style, to_rgb
from benchmark.report.scenario_text import N_SHOWN, SPLIT
from benchmark.report.scenario_words import (
    LARGEST_ZERO,
    class_text,
    decision_text,
    features_read,
    missing_text,
)
from benchmark.report.truth_panels import HEADING, SMALL, TEXT, draw_subsets, draw_truths, head
from synthetic.clinical import correlation_matrix
from synthetic.names import printable
from synthetic.pixels import pixel_truth
from synthetic.scenario import Scenario
from synthetic.types import Dataset, Truth

_WIDTH = 10.67  # inches: 1600 pixels where the report saves its figures, at 150 a inch
_TINT = "#F0E442"  # Okabe & Ito's yellow: the one of their colours that stands out on any grey
_N_MARKED = 3  # patients, each with a second image that shows the pixels that matter
_MOST_NAMED = 12  # latents with names in the heat map; more are named by their modality
_N_BINS = 40
_MOST_LINES = 12  # of one text


@own_style()
def draw_scenario(scenario: Scenario, dataset: Dataset, truths: Mapping[str, Truth]) -> Figure:
    """Return one picture of a scenario, 1600 pixels wide when saved by ``figure.save``.

    From top to bottom: what it is; images of the first patients, each beside the pixels that carry what F
    reads where the images are rendered; F and its classes; correlations, where there are any; all truths, a
    panel each; and the accuracy that every subset of the modalities allows at best.

    Args:
        scenario: the data-generating process.
        dataset: a draw from it.
        truths: estimand → Truth, from ``synthetic.truths`` or the dataset itself.
    """
    found = dict(truths.items())
    names = [modality.name for modality in scenario.modalities]
    header = _header(scenario, dataset)
    subsets = found["bayes_accuracy"].subsets.get("accuracy") if "bayes_accuracy" in found else None
    heights = [0.15 + sum(_height(style) for _, style in header), 2.3, 0.75 + 0.19 * max(len(names), 3)]
    if subsets is not None:
        heights.append(1.75 + 0.17 * len(subsets.players))
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _write(parts[0], header, heights[0])
    _draw_patients(parts[1], scenario, dataset)
    draw_truths(parts[2], found, names)
    if subsets is not None:
        draw_subsets(parts[3], found["bayes_accuracy"], names)
    return figure


def _header(scenario: Scenario, dataset: Dataset) -> list[tuple[str, dict[str, Any]]]:
    """Return the lines above the panels, each with its style."""
    title = _lines(f"{scenario.name}: {scenario.description}", 115)
    formula = _lines(f"F = {decision_text(scenario.decision)}")
    gaps = [line for rule in missing_text(scenario, dataset) for line in _lines(f"Missing: {rule}")]
    expected = _lines(f"Expected: {scenario.expected}") if scenario.expected else []
    return [
        *((line, {"fontsize": 11, "fontweight": "bold"}) for line in title),
        *((line, {"fontsize": HEADING}) for line in (*formula, *gaps)),
        *((line, {"fontsize": HEADING, "color": "0.4"}) for line in expected),
    ]


def _lines(text: str, width: int = 150) -> list[str]:
    return textwrap.wrap(printable(text), width, max_lines=_MOST_LINES, placeholder=" …")


def _height(style: Mapping[str, Any]) -> float:
    """Return the height of a line in inches."""
    return 1.45 * style["fontsize"] / 72


def _write(part: SubFigure, lines: list[tuple[str, dict[str, Any]]], height: float) -> None:
    at = 0.08
    for line, style in lines:
        part.text(0.01, 1 - at / height, line, va="top", ha="left", parse_math=False, **style)
        at += _height(style)


def _draw_patients(part: SubFigure, scenario: Scenario, dataset: Dataset) -> None:
    """Draw images, the distribution of F and, where there are any, correlations."""
    latents = _linked(scenario)
    widths = [4.9, 2.3, 3.4] if latents else [5.6, 5.1]
    panels = part.subfigures(1, len(widths), squeeze=False, width_ratios=widths)[0]
    _draw_images(panels[0], scenario, dataset)
    _draw_decision(panels[1], scenario, dataset)
    if latents:
        _draw_correlations(panels[2], scenario, latents)


def _draw_images(part: SubFigure, scenario: Scenario, dataset: Dataset) -> None:
    """Draw the first patients; beside each, where that is known, the pixels that F has its numbers from."""
    views = [modality.name for modality in scenario.modalities if modality.kind == "image"]
    samples = dataset.explain
    is_rendered = scenario.source == "phantom"
    n = min(_N_MARKED if is_rendered else N_SHOWN, len(samples))
    relevance: Mapping[str, np.ndarray] = {}
    if is_rendered:
        found = pixel_truth(
            scenario.decision,
            dataset.latents[SPLIT][:n],
            kind=scenario.features,
            size=scenario.image_size,
            seed=dataset.seed,
            split=SPLIT,
        )
        relevance = {view: found.relevance[view] * mask for view, mask in found.mask.items()}
    panels = part.subplots(len(views), n * (1 + is_rendered), squeeze=False)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    read = {name.rsplit("/", 1)[0] for name in features_read(scenario.decision)}
    for view, row in zip(views, panels, strict=True):
        is_shown = view in relevance and bool(relevance[view].any())
        why = "slope 0" if view in read else "not read"
        for patient in range(n):
            image = samples.inputs[view][patient, 0].numpy()
            place = patient * (1 + is_rendered)
            _show(row[place], image)
            if is_shown:
                _show(row[place + 1], image)
                _tint(row[place + 1], relevance[view][patient])
            elif is_rendered:
                row[place + 1].text(0.5, 0.5, why, fontsize=SMALL, color="0.5", ha="center", va="center")
        row[0].set_ylabel(view, fontsize=TEXT, parse_math=False)
    for patient in range(n):
        label = "" if samples.labels is None else f": class {int(samples.labels[patient])}"
        panel = panels[0, patient * (1 + is_rendered)]
        panel.set_title(f"patient {patient + 1}{label}", fontsize=SMALL, loc="left", pad=2)
    head(part, "Images, and the pixels that carry what F reads" if is_rendered else "Images")


def _show(panel: Axes, image: np.ndarray) -> None:
    panel.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)


def _tint(panel: Axes, relevance: np.ndarray) -> None:
    """Lay colour over the pixels that matter, the more the stronger; the least can still be seen."""
    tint = np.zeros((*relevance.shape, 4))
    tint[..., :3] = to_rgb(_TINT)
    strength = np.sqrt(relevance / max(float(relevance.max()), LARGEST_ZERO))
    tint[..., 3] = np.where(relevance > 0, 0.15 + 0.6 * strength, 0)
    panel.imshow(tint)


def _draw_decision(part: SubFigure, scenario: Scenario, dataset: Dataset) -> None:
    """Draw the distribution of F over all patients, coloured by label, and the thresholds."""
    splits = {"train": dataset.train, "explain": dataset.explain, "test": dataset.test}
    values = np.concatenate([scenario.decision(dataset.latents[name].double()).numpy() for name in splits])
    labels = np.concatenate([split.labels.numpy() for split in splits.values() if split.labels is not None])
    rules = class_text(dataset)
    edges = _edges(values, dataset.thresholds)
    values = np.clip(values, edges[0], edges[-1])
    panel = part.subplots()
    panel.hist(
        [values[labels == place] for place in range(len(rules))],
        bins=edges.tolist(),
        stacked=True,
        color=[str(grey) for grey in np.linspace(0.8, 0.35, len(rules))],  # colours are the modalities'
        label=[f"class {place}: {rule}" for place, rule in enumerate(rules)],
    )
    panel.set_ylim(0, panel.get_ylim()[1] * (1.1 + 0.1 * len(rules)))  # room for the legend
    for cut in dataset.thresholds:
        panel.plot([cut, cut], [0, panel.get_ylim()[1] * 0.75], color="black", linewidth=1, linestyle="--")
    panel.legend(fontsize=SMALL, frameon=False, loc="upper left", borderaxespad=0)
    panel.tick_params(labelsize=SMALL)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel("F", fontsize=TEXT)
    panel.set_ylabel("patients", fontsize=TEXT)
    noise = f"; {100 * scenario.labels.noise:.3g} % of labels wrong" if scenario.labels.noise else ""
    head(part, f"F of {len(values):,} patients{noise}")


def _edges(values: np.ndarray, cuts: tuple[float, ...]) -> np.ndarray:
    """Return the edges of bins of one width, such that the first thresholds fall on edges."""
    # A few patients far out would squeeze the others.
    low, high = float(np.quantile(values, 0.002)), float(np.quantile(values, 0.998))
    width = max((high - low) / _N_BINS, 1e-9)
    first, *others = cuts
    if others:
        gap = others[0] - first
        width = gap / max(round(gap / width), 1)
    below, above = (max(int(np.ceil(part / width)), 1) for part in (first - low, high - first))
    return first + width * np.arange(-below, above + 1)


def _linked(scenario: Scenario) -> list[str]:
    """Return the latents that matter and have correlations: with each other, or with what F reads."""
    read = features_read(scenario.decision)
    pairs = [pair for pair, value in scenario.named_correlations.items() if value and read & set(pair)]
    linked = {name for pair in pairs for name in pair}
    return [name for modality in scenario.modalities for name in modality.features if name in linked]


def _draw_correlations(part: SubFigure, scenario: Scenario, names: list[str]) -> None:
    matter = {pair: value for pair, value in scenario.named_correlations.items() if set(pair) <= set(names)}
    matrix = correlation_matrix(names, matter)
    panel = part.subplots()
    panel.imshow(matrix, cmap="PuOr_r", vmin=-1, vmax=1)
    owners = [name.rsplit("/", 1)[0] for name in names]
    starts = [place for place in range(len(names)) if not place or owners[place] != owners[place - 1]]
    for start in starts[1:]:
        panel.axhline(start - 0.5, color="black", linewidth=0.6)
        panel.axvline(start - 0.5, color="black", linewidth=0.6)
    if len(names) <= _MOST_NAMED:
        places, labels = list(range(len(names))), [name_shown(name) for name in names]
        for row, column in np.argwhere(matrix - np.eye(len(names))).tolist():
            value = float(matrix[row, column])
            panel.text(
                column,
                row,
                _short(value),
                fontsize=6,
                ha="center",
                va="center",
                color="white" if abs(value) > 0.6 else "black",
            )
        note = ""
    else:
        ends = [*starts[1:], len(names)]
        places = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
        labels = [
            f"{name_shown(owners[start])} ({end - start})" for start, end in zip(starts, ends, strict=True)
        ]
        note = f": {', '.join(f'{value:.2g}' for value in sorted(set(matter.values()))[:4])}"
    panel.set_yticks(places, labels, fontsize=SMALL, parse_math=False)
    panel.set_xticks([])
    panel.tick_params(length=0)
    head(part, f"Correlations of what F reads{note}")


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)
