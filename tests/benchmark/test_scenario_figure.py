from dataclasses import replace
from functools import lru_cache
from io import BytesIO

import numpy as np
import pytest
from matplotlib.container import BarContainer, ErrorbarContainer

import synthetic
from benchmark.report import figure
from benchmark.report.scenario_figure import _edges, draw_scenario

QUICK = ("graded", "xor", "redundancy", "fatty-liver", "lesion", "sixteen-modalities")
CASES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in synthetic.scenarios()
]


@lru_cache
def drawn(name):
    scenario = synthetic.scenario(name)
    dataset = synthetic.generate(scenario, seed=0, n=400)
    return scenario, dataset, dict(synthetic.truths(scenario).items())


def panels(picture):
    return {panel.get_title("left"): panel for panel in picture.axes if panel.get_title("left")}


def of(panel, kind):
    return [container for container in panel.containers if isinstance(container, kind)]


def texts(picture):
    parts = [picture, *picture.subfigs, *(inner for part in picture.subfigs for inner in part.subfigs)]
    return [text.get_text() for part in parts for text in part.texts]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.few(2)
def test_every_scenario_can_be_drawn(name):
    scenario, dataset, truths = drawn(name)
    picture = draw_scenario(scenario, dataset, truths)
    buffer = BytesIO()
    picture.savefig(buffer, format="png", dpi=60)  # warnings are errors: a layout that collapses fails
    assert buffer.getvalue().startswith(b"\x89PNG")
    for estimand, truth in truths.items():
        panel = panels(picture)[estimand]
        if not truth.informative:
            assert [text.get_text() for text in panel.texts] == ["none"]
            continue
        widths = [bar.get_width() for container in of(panel, BarContainer) for bar in container]
        assert widths == pytest.approx([truth.modalities[modality.name] for modality in scenario.modalities])


def test_it_is_1600_pixels_wide(tmp_path):
    figure.save(draw_scenario(*drawn("graded")), tmp_path / "graded.png")
    width = int.from_bytes((tmp_path / "graded.png").read_bytes()[16:20], "big")
    assert width == pytest.approx(1600, abs=2)


def test_the_same_scenario_is_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        figure.save(draw_scenario(*drawn("xor")), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_error_bars_stand_where_a_truth_is_not_exact():
    _, _, truths = drawn("xor")
    found = panels(draw_scenario(*drawn("xor")))
    for estimand, truth in truths.items():
        expected = sum(error > 1e-9 for error in truth.standard_error.values()) if truth.informative else 0
        assert len(of(found[estimand], ErrorbarContainer)) == expected, estimand
    assert of(found["gradient"], ErrorbarContainer)
    exact = panels(draw_scenario(*drawn("graded")))
    assert not any(of(panel, ErrorbarContainer) for panel in exact.values())


def test_a_modality_has_one_colour_everywhere():
    found = panels(draw_scenario(*drawn("graded")))
    for place in range(4):
        colours = {
            of(found[estimand], BarContainer)[place][0].get_facecolor()
            for estimand in ("gradient", "shapley", "sage")
        }
        assert len(colours) == 1


def test_pixels_are_marked_in_views_that_f_reads():
    picture = draw_scenario(*drawn("lesion"))
    read = [panel for panel in picture.axes if len(panel.images) == 2]
    assert len(read) == 3  # one for each patient, of the axial view
    for panel in read:
        marked = panel.images[1].get_array()[..., 3] > 0
        assert 0 < marked.mean() < 0.05  # the lesion is small
    assert sum(text.get_text() == "not read" for panel in picture.axes for text in panel.texts) == 3


def test_correlations_are_drawn_where_there_are_any():
    heads = [part.get_suptitle() for part in draw_scenario(*drawn("redundancy")).subfigs[1].subfigs]
    assert heads[-1] == "Correlations of what F reads: 0.9"
    heads = [part.get_suptitle() for part in draw_scenario(*drawn("graded")).subfigs[1].subfigs]
    assert not any("Correlations" in head for head in heads)


def test_the_best_accuracy_stands_between_chance_and_ceiling():
    picture = draw_scenario(*drawn("graded"))
    notes = [text.get_text() for panel in picture.axes for text in panel.texts]
    assert {"all 1.000", "chance 0.500", ".761"} <= set(notes)


def test_dollars_and_backslashes_are_text():
    scenario = synthetic.Scenario(
        "dollars",
        r"costs $5, or $\frac{6",
        (synthetic.Term((r"$\a$/*",)), synthetic.Term(("axial/*",))),
        tables={r"$\a$": 3},
        expected="$_",
    )
    dataset = synthetic.generate(scenario, seed=0, n=200)
    picture = draw_scenario(scenario, dataset, synthetic.truths(scenario))
    picture.savefig(BytesIO(), format="png", dpi=60)
    assert r"dollars: costs $5, or $\frac{6" in texts(picture)


def test_two_modalities_and_some_truths():
    scenario = synthetic.Scenario("images", "no table", (synthetic.Term(("axial/*",)),), tables={})
    dataset = synthetic.generate(scenario, seed=0, n=200)
    truths = synthetic.truths(scenario)
    picture = draw_scenario(scenario, dataset, {name: truths[name] for name in ("gradient", "shapley")})
    picture.savefig(BytesIO(), format="png", dpi=60)
    assert set(panels(picture)) >= {"gradient", "shapley"}
    assert "sage" not in panels(picture)


def test_a_view_that_only_a_jump_reads_has_no_slope():
    scenario = replace(
        synthetic.scenario("step"),
        terms=(synthetic.Term(("axial/*",), "step"), synthetic.Term(("clinical_a/*",))),
    )
    dataset = synthetic.generate(scenario, seed=0, n=200)
    picture = draw_scenario(scenario, dataset, {"gradient": synthetic.truths(scenario)["gradient"]})
    notes = [text.get_text() for panel in picture.axes for text in panel.texts]
    assert (notes.count("slope 0"), notes.count("not read")) == (3, 3)


def test_thresholds_fall_on_edges_of_bins():
    values = np.random.default_rng(0).normal(size=1000)
    for cuts in ((0.1,), (-0.4, 0.5)):
        edges = _edges(values, cuts)
        assert all(np.abs(edges - cut).min() < 1e-9 for cut in cuts)
        assert np.ptp(np.diff(edges)) < 1e-9
        assert edges[0] <= np.quantile(values, 0.01)
        assert edges[-1] >= np.quantile(values, 0.99)
