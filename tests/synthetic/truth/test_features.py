from __future__ import annotations

import numpy as np
import pytest

from synthetic.decision import Term
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import Margin

COVARIANCE = np.array([[1, 0.5, 0.3, 0], [0.5, 1, -0.4, 0], [0.3, -0.4, 1, 0], [0, 0, 0, 1]])
LINEAR = (Term(("a/x",)), Term(("b/x",), weight=-0.7), Term(("c/x",), weight=0.4))
TWISTED = (Term(("a/x",), "tanh", weight=2.0) * Term(("b/x",)), Term(("c/x",), "square"), Term(("b/x",)))
ESTIMANDS = ("total_effect", "permutation")


@pytest.mark.parametrize("terms", [LINEAR, TWISTED], ids=["linear", "twisted"])
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_modalities_of_one_feature_are_their_feature(work_out, terms, estimand):
    margins = (
        (Margin(),) * 4
        if terms is LINEAR
        else (Margin("uniform"), Margin(), Margin("lognormal", (0.3,)), Margin())
    )
    law = LatentLaw((GaussianCopula(COVARIANCE, margins),))
    truth = work_out(terms, law, Labels((0.3, 0.3, 0.4)))[estimand]
    for name, share in truth.modalities.items():
        assert truth.features[f"{name}/x"] == pytest.approx(share, abs=0.01)
    assert truth.features["d/x"] == 0
    assert sum(truth.features.values()) == pytest.approx(1)


def test_total_effects_of_correlated_features_by_hand(work_out):
    # a/x + a/y + 2·b/x, a/x and a/y with correlation ρ: what only one of them says is (1 − ρ²), and 4.
    rho = 0.8
    covariance = np.array([[1, rho, 0, 0], [rho, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    truth = work_out([Term(("a/*",)), Term(("b/x",), weight=2.0)], covariance, latents=2)["total_effect"]
    alone = 1 - rho**2
    total = 2 * alone + 4
    expected = {"a/x": alone / total, "a/y": alone / total, "b/x": 4 / total, "b/y": 0}
    assert truth.features == pytest.approx(expected)
    # The modality as a whole has 2 + 2ρ of its own: a group is not the sum of its members.
    assert truth.modalities == pytest.approx({"a": (2 + 2 * rho) / (6 + 2 * rho), "b": 4 / (6 + 2 * rho)})


def test_features_of_a_nonlinear_function_by_hand(work_out):
    # x·y + z: E[Var(F | others)] is E[y²] = 1, E[x²] = 1 and 1.
    truth = work_out([Term(("a/x",)) * Term(("a/y",)), Term(("b/x",))], np.eye(4), latents=2)["total_effect"]
    assert truth.features == pytest.approx({"a/x": 1 / 3, "a/y": 1 / 3, "b/x": 1 / 3, "b/y": 0}, abs=0.01)


def test_duplicated_features_have_no_total_effect(work_out):
    covariance = np.kron(np.eye(2), np.ones((2, 2)))  # x and y of a modality are one
    for terms in ([Term(("a/x", "b/x"))], [Term(("a/x",), "tanh"), Term(("b/x",))]):
        truth = work_out(terms, covariance, latents=2)["total_effect"]
        assert list(truth.features.values()) == pytest.approx([0.25] * 4)  # nothing to divide: equal shares


def test_features_of_scans_have_no_total_effect(work_out):
    law = LatentLaw((Population(np.random.default_rng(0).normal(size=(50, 2))), GaussianCopula(np.eye(2))))
    truths = work_out([Term(("a/x",)), Term(("b/x",))], law, latents=2)
    assert truths["total_effect"].features == {}
    assert sum(truths["permutation"].features.values()) == pytest.approx(1)
    assert truths["permutation"].features["a/y"] == truths["permutation"].features["b/y"] == 0


def test_permuting_a_feature_by_hand(work_out):
    # Three independent parts of equal size, two of them in one modality: cos of the angle is what is left.
    truth = work_out([Term(("a/x", "a/y", "b/x"))], np.eye(4), latents=2)["permutation"]
    assert truth.features == pytest.approx({"a/x": 1 / 3, "a/y": 1 / 3, "b/x": 1 / 3, "b/y": 0}, abs=0.01)
    losses = np.arccos([1 / 3, 2 / 3])
    assert truth.modalities == pytest.approx(dict(zip("ab", losses / losses.sum(), strict=True)), abs=1e-5)


def test_estimands_of_whole_modalities_have_no_features(work_out):
    truths = work_out(LINEAR, COVARIANCE)
    for estimand in ("shapley", "sage", "interaction", "information", "bayes_accuracy"):
        assert truths[estimand].features == {}
