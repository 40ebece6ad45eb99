from dataclasses import replace
from functools import lru_cache
from io import StringIO

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import synthetic
from benchmark.report import scenario_words as words
from benchmark.report.scenario_text import GAP, scenario_text
from synthetic.types import SubsetValues

QUICK = (
    "graded",
    "paper-F7",
    "xor",
    "redundancy",
    "fatty-liver",
    "lesion",
    "missing-mnar",
    "three-classes",
    "sixteen-modalities",
)
WIDTHS = (80, 110)


@lru_cache
def drawn(name):
    scenario = synthetic.scenario(name)
    dataset = synthetic.generate(scenario, seed=0, n=400)
    return scenario, dataset, dict(synthetic.truths(scenario).items())


def written(scenario, dataset, truths, width=80):
    console = Console(file=StringIO(), width=width)
    console.print(scenario_text(scenario, dataset, truths))
    return console.file.getvalue()


def section(text, title):
    """Return the lines from a heading to the next blank line that a line without indentation follows."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(title))
    ends = [
        place
        for place in range(start + 1, len(lines) - 1)
        if not lines[place].strip() and lines[place + 1][:1].strip()
    ]
    return lines[start : ends[0] if ends else len(lines)]


def row(lines, name):
    return next(line.split()[1:] for line in lines if line.split()[:1] == [name])


CASES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in synthetic.scenarios()
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.few(3)
def test_every_scenario_fits_and_names_what_it_has(name):
    scenario, dataset, truths = drawn(name)
    for width in WIDTHS:
        text = written(scenario, dataset, truths, width)
        assert max(map(cell_len, text.splitlines())) <= width
        assert "…" not in "".join(section(text, "Truths"))  # no number is cut off
        assert "nan" not in text.lower().replace("nance", "")
        assert "\x1b" not in text  # no colours without a terminal
        for modality in scenario.modalities:
            assert row(section(text, "Truths"), modality.name)


def test_the_truths_of_graded_weights():
    text = written(*drawn("graded"))
    shares = section(text, "Truths")
    expected = ["0.400", "0.533", "0.533", "0.408", "0.467", "none", "0.565", "0.419", "0.419"]
    assert row(shares, "axial") == expected
    assert row(shares, "clinical_b")[:3] == ["0.100", "0.033", "0.033"]
    assert not any("±" in line for line in shares[1:])  # all exact
    raw = section(text, "The same before normalising")
    assert row(raw, "axial") == ["40.000", "0.533", "0.533", "0.345", "0.467", "0", "0.302", "0.261", "0.261"]
    assert "none: no two modalities do more, or less, together than alone" in text


def test_what_every_subset_allows_at_best():
    lines = section(written(*drawn("graded")), "At best")
    assert row(lines, "nothing") == ["(chance)", "0.500", "0.500", "0.000", "0.000"]
    assert row(lines, "clinical_a") == ["0.619", "0.666", "0.064", "0.133"]
    assert sum("0." in line or "1.000" in line for line in lines) == 16


def test_standard_errors_stand_below_shares_that_are_not_exact():
    shares = section(written(*drawn("xor")), "Truths")
    place = next(place for place, line in enumerate(shares) if line.split()[:1] == ["axial"])
    errors = shares[place + 1].split()
    _, _, truths = drawn("xor")
    assert errors[0] == f"±{truths['gradient'].standard_error['axial']:.4f}".replace("±0.", "±.")
    expected = sum(truth.informative and truth.standard_error["axial"] > 0 for truth in truths.values())
    assert len(errors) == expected
    assert row(shares, "axial")[-3:-1] == ["none", "none"]
    assert row(shares, "coronal") == ["0"] * 6 + ["none"] * 2 + ["0"]


def test_how_each_truth_was_found_is_said():
    _, _, truths = drawn("xor")
    text = " ".join(written(*drawn("xor")).split())
    for estimand, truth in truths.items():
        assert f"{truth.method}; before normalising: {truth.unit}" in text, estimand
    assert "quasi-Monte Carlo" in text
    assert "closed form; before normalising: F per standard deviation" in written(*drawn("graded"))


def test_interactions_have_a_sign_and_words_for_it():
    shared = section(written(*drawn("redundancy")), "Interactions")
    assert any(
        "axial × clinical_a" in line and "-0.405" in line and "less together" in line for line in shared
    )
    assert not any("axial × coronal" in line for line in shared)
    together = section(written(*drawn("xor")), "Interactions")
    assert any(
        "axial × clinical_a" in line and "+1.00" in line and "more together" in line for line in together
    )


def test_the_information_of_two_modalities_is_divided():
    parts = section(written(*drawn("xor")), "Information about the label")
    assert [line.split()[-1] for line in parts[1:]] == ["0.000", "0.000", "0.000", "1.000", "1.000"]
    assert "Information about the label" not in written(*drawn("graded"))


def test_patients_are_shown_in_units():
    scenario, dataset, truths = drawn("fatty-liver")
    lines = section(written(scenario, dataset, truths), "The first five patients")
    cells = next(line.split()[2:] for line in lines if "haemoglobin [g/L]" in line)
    assert len(cells) == 5
    assert all(80 < float(cell) < 220 for cell in cells)
    assert set(row(lines, "sex")) <= {"female", "male"}
    assert any("• alt [U/L]" in line for line in lines)  # F reads it
    assert row(lines, "label") == [str(label) for label in dataset.explain.labels[:5].tolist()]
    values = scenario.decision(dataset.latents["explain"][:5].double()).tolist()
    assert row(lines, "F") == [f"{value:.2f}" for value in values]


def test_missing_values_are_gaps():
    scenario, dataset, truths = drawn("missing-mnar")
    text = written(scenario, dataset, truths)
    lines = section(text, "The first five patients")
    n_gaps = int(dataset.missing["explain"][:5].sum())
    assert n_gaps > 5
    assert sum(line.split().count(GAP) for line in lines) == n_gaps
    assert not any(line.startswith("-0.00 ") for line in lines)
    facts = " ".join(text.split())
    assert "clinical_a, all 10 columns: 33 % of the values" in facts
    assert "more often where the value itself is high" in facts
    assert GAP not in "".join(section(written(*drawn("graded")), "The first five patients"))


def test_what_decides_on_missing_values_has_its_full_name():
    scenario = synthetic.scenario("missing-mar")
    text = " ".join(written(scenario, synthetic.generate(scenario, seed=0, n=400), {}).split())
    assert "9 of 10 columns (feature_1, feature_2, feature_3, …)" in text
    assert "more often where clinical_a/feature_0 is high" in text


def test_modalities_alike_share_a_line():
    text = " ".join(written(*drawn("sixteen-modalities")).split())
    assert "table_00 … table_13 14 modalities, each a table of 4 generic columns" in text


def test_correlations_are_named_once():
    text = " ".join(written(*drawn("redundancy")).split())
    assert "clinical_a – axial: feature_0 – liver_attenuation," in text
    assert "(10 pairs) 0.9" in text
    assert "alt – ast 0.6" in " ".join(written(*drawn("fatty-liver")).split())


def test_labels_follow_a_rule():
    rule = "class 0 (33.3 %) where F < -2.72, class 1 (33.3 %) where -2.72 ≤ F < 2.72"
    assert rule in " ".join(written(*drawn("three-classes")).split())
    noisy = replace(synthetic.scenario("graded"), labels=synthetic.Labels(noise=0.15))
    dataset = synthetic.generate(noisy, seed=0, n=400)
    assert "15 % of the labels are wrong" in " ".join(written(noisy, dataset, {}).split())


def test_the_text_is_the_same_each_time():
    assert written(*drawn("xor")) == written(*drawn("xor"))


def test_markup_in_names_is_text():
    scenario = synthetic.Scenario(
        "markup",
        "[bold]y[/bold] :smile:",
        (synthetic.Term(("[red]t/*",)), synthetic.Term(("axial/*",))),
        tables={"[red]t": 2, "b": 1},
        expected="[link]nothing",
    )
    dataset = synthetic.generate(scenario, seed=0, n=200)
    text = written(scenario, dataset, synthetic.truths(scenario))
    for part in ("[bold]y[/bold] :smile:", "• feature_0", "  b/feature_0", "[link]nothing"):
        assert part in text, part
    assert row(section(text, "Truths"), "[red]t")


def test_images_alone():
    scenario = synthetic.Scenario("images", "no table", (synthetic.Term(("axial/*",)),), tables={})
    dataset = synthetic.generate(scenario, seed=0, n=200)
    text = written(scenario, dataset, synthetic.truths(scenario))
    assert row(section(text, "Truths"), "axial")[:2] == ["1.000", "1.000"]


def test_of_many_subsets_some_are_shown():
    players = tuple("abcdefghi")
    shown = words.shown_subsets(SubsetValues(players, players, np.zeros(2**9)))
    assert len(shown) == 1 + 9 + 9 + 1
    names = [words.subset_text(subset, players) for subset in shown]
    assert names[0] == "nothing (chance)"
    assert (names[1], names[10], names[-1]) == ("a", "all but a", "all 9")
    few = tuple("abcde")
    assert len(words.shown_subsets(SubsetValues(few, few, np.zeros(32)))) == 32


def test_a_decision_function_has_three_digits_and_whole_names():
    scenario = synthetic.Scenario(
        "digits",
        "",
        (synthetic.Term(("t1.123456/feature_0",), coefficients=10**-0.5),),
        tables={"t1.123456": 2},
    )
    assert words.decision_text(scenario.decision) == "(0.316·t1.123456/feature_0)"


def test_features_with_a_coefficient_of_0_are_not_read():
    terms = (
        synthetic.Term(("axial/0", "axial/1"), coefficients=(1.0, 0.0)),
        synthetic.Term(("coronal/*",), weight=0.0),
    )
    scenario = synthetic.Scenario("some", "", terms)
    assert words.features_read(scenario.decision) == {"axial/liver_attenuation"}
