"""What is lost at best without a modality: A(all) − A(all but it), in accuracy."""

from __future__ import annotations

import numpy as np
import pytest

import synthetic
from synthetic.decision import Term
from synthetic.labels import Labels
from synthetic.missing import Missing
from synthetic.truth import Precision

CURVED = Term(("a/x",), "sin", weight=1e-9)  # takes the closed form away, and changes nothing else
XOR = (Term(("a/x",)) * Term(("b/x",)),)
ZERO = Labels(thresholds=(0.0,))


@pytest.fixture
def lost(work_out):
    """Return the truth of terms over modalities of one latent each."""

    def make(terms, covariance, labels=None, **options):
        return work_out(terms, covariance, labels, **options)["leave_one_out"]

    return make


def test_all_is_lost_without_the_one_modality_that_is_read(lost):
    truth = lost([Term(("a/x",))], np.eye(3))
    assert truth.raw == pytest.approx({"a": 0.5, "b": 0, "c": 0})
    assert truth.modalities == {"a": 1, "b": 0, "c": 0}
    assert truth.unit == "accuracy"
    assert truth.method == "closed form"
    assert set(truth.standard_error.values()) == {0}


def test_two_alike_lose_a_quarter_each(lost):
    # One of two knows the sign of the sum where the signs agree: 1 − arccos(1/√2)/π = 3/4.
    truth = lost([Term(("a/x", "b/x"))], np.eye(2))
    assert truth.raw == pytest.approx({"a": 0.25, "b": 0.25}, abs=1e-6)
    assert truth.modalities == pytest.approx({"a": 0.5, "b": 0.5})
    assert truth.summary == pytest.approx({"chance": 0.5, "all": 1})
    assert truth.subsets["accuracy"]["a"] == pytest.approx(0.75, abs=1e-6)


def test_unequal_weights_by_hand(lost):
    # Without i, the rest correlates with F by sqrt(1 − wᵢ²/Σw²); right where the signs agree.
    weights = {"a": 3.0, "b": 2.0, "c": 1.0}
    truth = lost([Term((f"{name}/x",), weight=weight) for name, weight in weights.items()], np.eye(3))
    for name, weight in weights.items():
        known = np.sqrt(1 - weight**2 / 14)
        assert truth.raw[name] == pytest.approx(np.arccos(known) / np.pi, abs=1e-5)


def test_of_two_that_say_the_same_neither_is_missed(lost, work_out):
    truths = work_out([Term(("a/x", "b/x"))], np.ones((2, 2)))
    truth = truths["leave_one_out"]
    assert truth.raw == pytest.approx({"a": 0, "b": 0}, abs=1e-9)
    assert not truth.informative
    assert truth.modalities == {"a": 0.5, "b": 0.5}
    # Alone each says it all: the opposite question.
    assert truths["bayes_accuracy"].raw == pytest.approx({"a": 0.5, "b": 0.5})
    # A third that says something else is all that is missed.
    covariance = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    for terms in ([Term(("a/x", "c/x"))], [Term(("a/x",)), Term(("c/x",)), CURVED]):
        third = lost(terms, covariance)
        assert third.modalities == pytest.approx({"a": 0, "b": 0, "c": 1}, abs=1e-3)
        assert third.raw["c"] == pytest.approx(0.25, abs=2e-3)


def test_neither_part_of_an_exclusive_or_can_be_spared(lost, work_out):
    truths = work_out(XOR, np.eye(3), ZERO)
    assert truths["leave_one_out"].raw == pytest.approx({"a": 0.5, "b": 0.5, "c": 0}, abs=2e-3)
    assert truths["leave_one_out"].modalities == pytest.approx({"a": 0.5, "b": 0.5, "c": 0}, abs=1e-3)
    assert not truths["bayes_accuracy"].informative


@pytest.mark.parametrize("curve", [(), (CURVED,)], ids=["exact", "drawn"])
def test_label_noise_scales_what_is_lost_and_leaves_the_shares(lost, curve):
    terms = [Term(("a/x",)), Term(("b/x",), weight=0.5), *curve]
    clean, noisy = (lost(terms, np.eye(2), Labels((0.5, 0.5), noise=noise)) for noise in (0, 0.2))
    for name in "ab":
        error = 5 * np.hypot(clean.raw_standard_error[name], noisy.raw_standard_error[name]) + 1e-9
        # A patient who changes sides gains or loses 0.8 − 0.2.
        assert noisy.raw[name] == pytest.approx(0.6 * clean.raw[name], abs=error)
    assert noisy.summary["all"] == pytest.approx(0.8)
    assert noisy.modalities == pytest.approx(clean.modalities, abs=0.005)


def test_what_no_guess_depends_on_is_not_missed(lost):
    # b moves F by half a unit at most, a by two: no patient changes sides for b's sake.
    truth = lost([Term(("a/x",), "step", weight=2.0), Term(("b/x",), "tanh", weight=0.5)], np.eye(2))
    assert truth.raw["a"] == pytest.approx(0.5, abs=2e-3)
    assert truth.raw["b"] == pytest.approx(0, abs=2e-3)


def test_a_drawn_truth_has_an_honest_standard_error(lost):
    exact = lost([Term(("a/x",)), Term(("b/x",), weight=-0.7)], np.eye(2))
    deviations = []
    for seed in range(12):
        drawn = lost(
            [Term(("a/x",)), Term(("b/x",), weight=-0.7), CURVED],
            np.eye(2),
            precision=Precision(first=32, last=32, seed=seed),
        )
        assert drawn.method.startswith("quasi-Monte Carlo")
        assert 0 < drawn.raw_standard_error["a"] < 0.01
        assert 0 < drawn.standard_error["a"] < 0.02
        deviations.append((drawn.raw["a"] - exact.raw["a"]) / drawn.raw_standard_error["a"])
    assert 0.3 < np.sqrt(np.mean(np.square(deviations))) < 2


def test_it_is_the_difference_of_the_subsets_where_values_are_missing(work_out):
    terms, covariance = [Term(("a/x", "b/x"))], np.eye(2)
    gaps = {"a/x": Missing(("a/x",), "mcar", 0.4)}
    truths, whole = work_out(terms, covariance, missing=gaps), work_out(terms, covariance)["leave_one_out"]
    truth, accuracy = truths["leave_one_out"], truths["bayes_accuracy"].subsets["accuracy"]
    # In six patients of ten both are there, else b alone.
    assert truth.summary["all"] == pytest.approx(0.6 + 0.4 * 0.75, abs=2e-3)
    assert truth.raw["a"] == pytest.approx(0.9 - 0.75, abs=2e-3)
    assert truth.raw["a"] == pytest.approx(accuracy["ab"] - accuracy["b"], abs=1e-9)
    # Without b: a where it is there, else chance.
    assert truth.raw["b"] == pytest.approx(0.9 - (0.6 * 0.75 + 0.4 * 0.5), abs=2e-3)
    assert truth.raw["a"] < whole.raw["a"] - 0.09  # what has gaps is missed less


def test_the_scenarios_that_tell_it_from_its_opposite():
    found = synthetic.truths(synthetic.scenario("redundancy"))
    assert found["leave_one_out"].raw["clinical_a"] < 0.02
    assert found["bayes_accuracy"].raw["clinical_a"] > 0.2
    found = synthetic.truths(synthetic.scenario("xor"))
    read = [name for name, share in found["gradient"].modalities.items() if share > 0]
    assert len(read) == 2
    for name in read:
        assert found["leave_one_out"].raw[name] == pytest.approx(0.5, abs=2e-3)
        assert found["bayes_accuracy"].raw[name] == pytest.approx(0, abs=2e-3)
