from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from sklearn.metrics import roc_auc_score

from synthetic.decision import Term
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.truth import Precision
from synthetic.truth.classes import weighted_auroc

RULES = {
    "balanced": Labels(),
    "rare": Labels((0.95, 0.05)),
    "three": Labels((0.3, 0.3, 0.4)),
    "noisy": Labels((0.5, 0.3, 0.2), noise=0.15),
}
QUANTITIES = ("information", "accuracy", "auroc")
CURVED = Term(("a/x",), "sin", weight=1e-9)
ENOUGH = Precision(first=128, last=128)
COVARIANCE = np.array([[1, 0.5, 0.3], [0.5, 1, -0.4], [0.3, -0.4, 1]])
LINEAR = (Term(("a/x",)), Term(("b/x",), weight=-0.7), Term(("c/x",), weight=0.4))


def found(truths):
    """Information, accuracy and AUROC of every subset, and their standard errors."""
    game = truths.class_game
    replicates = np.stack([getattr(game, quantity) for quantity in QUANTITIES])
    n = replicates.shape[1]
    errors = replicates.std(1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(replicates[:, 0].shape)
    return replicates.mean(1), errors


def judged(weights, posterior, labels):
    """Information, accuracy and AUROC of exact posteriors: another way than the one under test."""
    weights = weights / weights.sum()
    k = labels.n_classes
    mixing = np.full((k, k), labels.noise / (k - 1)) + (1 - labels.noise - labels.noise / (k - 1)) * np.eye(k)
    posterior = posterior @ mixing
    prior = weights @ posterior
    information = stats.entropy(prior, base=2) - weights @ stats.entropy(posterior, base=2, axis=1)
    accuracy = weights @ posterior.max(1)
    areas = []
    for c in [1] if k == 2 else range(k):
        score, mass = np.tile(posterior[:, c], 2), np.concatenate([posterior[:, c], 1 - posterior[:, c]])
        truth = np.repeat([1, 0], len(posterior))
        areas.append(roc_auc_score(truth, np.round(score, 12), sample_weight=mass * np.tile(weights, 2)))
    return information, accuracy, np.mean(areas)


def between(below):
    """Class probabilities from P(F < threshold) ``[n, thresholds]``."""
    return np.diff(below, prepend=0.0, append=1.0, axis=1)


# The linear, Gaussian case, against quadrature


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.999])
def test_the_closed_form_equals_quadrature(work_out, rule, part):
    labels = RULES[rule]
    cuts = special.ndtri(np.cumsum(labels.shares)[:-1])
    truths = work_out(
        [Term(("a/x",), weight=np.sqrt(part)), Term(("b/x",), weight=np.sqrt(1 - part))], np.eye(2), labels
    )
    assert truths["information"].method == "closed form"

    def posterior(score):
        gap = (cuts - np.sqrt(part) * score) / np.sqrt(1 - part)
        return labels.blurred(np.diff(special.ndtr(gap), prepend=0.0, append=1.0))

    # Ends around each threshold, where the posterior turns.
    width = np.sqrt((1 - part) / part)
    ends = np.concatenate([cut / np.sqrt(part) + width * np.linspace(-6, 6, 13) for cut in cuts])
    ends = np.unique(np.clip([*ends, -9, 9], -9, 9))

    def mean(function):
        return sum(
            integrate.quad(lambda u: function(posterior(u)) * stats.norm.pdf(u), low, high)[0]
            for low, high in pairwise(ends)
        )

    entropy = special.entr(labels.blurred(np.array(labels.shares))).sum() / np.log(2)
    information = entropy - mean(lambda p: special.entr(p).sum() / np.log(2))
    assert truths["information"].raw["a"] == pytest.approx(information, abs=2e-6)
    accuracy = truths["bayes_accuracy"].subsets["accuracy"]["a"]
    assert accuracy == pytest.approx(mean(np.max), abs=1e-5)
    grid = np.linspace(-8, 8, 20_001)
    exact = between(special.ndtr((cuts - np.sqrt(part) * grid[:, None]) / np.sqrt(1 - part)))
    area = judged(stats.norm.pdf(grid), exact, labels)[2]
    assert truths["bayes_accuracy"].subsets["auroc"]["a"] == pytest.approx(area, abs=2e-5)


def test_numbers_by_hand(work_out):
    # Half of the variance known, balanced: right where the signs agree, 1 − arccos(1/√2)/π = 3/4.
    truths = work_out([Term(("a/x", "b/x"))], np.eye(2))
    accuracy = truths["bayes_accuracy"]
    assert accuracy.subsets["accuracy"]["a"] == pytest.approx(0.75, abs=1e-6)
    assert accuracy.raw == pytest.approx({"a": 0.25, "b": 0.25}, abs=1e-6)
    # AUROC: P(u > u′ | F > 0 > F′) = 4·P(F > 0, −F′ > 0, (u − u′)/√2 > 0), an orthant of normal variables
    # with correlations 0, ½ and ½: 1/8 + (arcsin 0 + 2·arcsin ½)/4π.
    orthant = 1 / 8 + 2 * np.arcsin(0.5) / (4 * np.pi)
    assert accuracy.subsets["auroc"]["a"] == pytest.approx(4 * orthant, abs=1e-6)
    assert accuracy.summary == pytest.approx({"chance": 0.5, "all": 1.0, "auroc": 1.0})
    assert truths["information"].summary["all"] == pytest.approx(1)


def test_what_all_modalities_say_is_limited_by_noise_alone(work_out):
    labels = Labels((0.5, 0.5), noise=0.11)
    for terms in (LINEAR, (*LINEAR, CURVED)):
        truths = work_out(terms, COVARIANCE, labels)
        capacity = 1 - special.entr([0.11, 0.89]).sum() / np.log(2)
        assert truths["information"].summary["all"] == pytest.approx(capacity, abs=1e-6)
        assert truths["bayes_accuracy"].summary["all"] == pytest.approx(0.89, abs=1e-6)
        assert truths["bayes_accuracy"].summary["auroc"] == pytest.approx(0.89, abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("way", ["vanishing-sine", "exponential"])
@pytest.mark.few(3)
def test_curved_ways_to_the_same_classes_say_as_much(work_out, assert_near, rule, way):
    """Labels are cut at quantiles, so F and exp F have the same; exp F has no linear part."""
    exact = work_out(LINEAR, COVARIANCE, RULES[rule])
    grown = Term(("a/x", "b/x", "c/x"), "exp", coefficients=(1.0, -0.7, 0.4))
    drawn = work_out([grown] if way == "exponential" else [*LINEAR, CURVED], COVARIANCE, RULES[rule])
    values, errors = found(drawn)
    expected, _ = found(exact)
    # What a finite inner sample leaves of bias is within the floor.
    assert_near(values, expected, errors, floor=1e-3 if way == "exponential" else 3e-4)
    for estimand in ("sage", "information", "bayes_accuracy"):
        one, other = exact[estimand], drawn[estimand]
        assert one.method == "closed form"
        assert other.method.startswith("quasi-Monte Carlo, n = ")
        assert_near(
            list(other.raw.values()),
            list(one.raw.values()),
            list(other.raw_standard_error.values()),
            floor=1e-3,
        )


# Nonlinear and correlated, by quadrature

TWISTED = (Term(("a/x",), "tanh", weight=2.0) * Term(("b/x",)), Term(("b/x",)), Term(("c/x",), weight=0.8))
NODES = special.ndtri((np.arange(400) + 0.5) / 400)


def twisted(a, b, c):
    return (2 * np.tanh(a) + 1) * b + 0.8 * c


def conditional(wanted, known):
    """Coefficients of the mean, and the standard deviation, of one score given others."""
    inner = COVARIANCE[np.ix_(known, known)]
    weights = np.linalg.solve(inner, COVARIANCE[known, wanted])
    return weights, np.sqrt(1 - weights @ COVARIANCE[known, wanted])


@cache
def twisted_thresholds(shares):
    rng = np.random.default_rng(0)
    a, b, c = np.linalg.cholesky(COVARIANCE) @ rng.standard_normal((3, 4_000_000))
    return tuple(np.quantile(twisted(a, b, c), np.cumsum(shares)[:-1]))


def below_cuts(known, cuts):
    """P(F < t | known) by quadrature over the unknown: a by nodes, b and c exactly (F is linear in them).

    Args:
        known: place of a score → its values ``[n]``; 0 is a, 1 is b, 2 is c.
        cuts: t.
    """
    scores = {place: value[:, None] for place, value in known.items()}
    if 0 not in scores:
        places = list(known)
        weights, spread = conditional(0, places)
        scores[0] = sum(w * scores[p] for w, p in zip(weights, places, strict=True)) + spread * NODES[None]
    places = sorted(scores)
    left = [place for place in (1, 2) if place not in places]
    slopes = {1: 2 * np.tanh(scores[0]) + 1, 2: 0.8}
    mean = sum(slopes[place] * scores[place] for place in places if place)
    inner = COVARIANCE[np.ix_(places, places)]
    gain = np.linalg.solve(inner, COVARIANCE[np.ix_(places, left)])  # [known, left]
    rest = COVARIANCE[np.ix_(left, left)] - COVARIANCE[np.ix_(left, places)] @ gain
    variance = 0.0
    for i, p in enumerate(left):
        mean = mean + slopes[p] * sum(gain[k, i] * scores[place] for k, place in enumerate(places))
        for j, q in enumerate(left):
            variance = variance + slopes[p] * slopes[q] * rest[i, j]
    if not left:
        return np.stack([(mean < cut).mean(1) for cut in cuts], axis=1)
    return np.stack([special.ndtr((cut - mean) / np.sqrt(variance)).mean(1) for cut in cuts], axis=1)


@pytest.mark.parametrize("rule", ["balanced", "rare", "noisy"])
@pytest.mark.few(1)
def test_a_twisted_function_of_correlated_modalities_equals_quadrature(work_out, assert_near, rule):
    labels = RULES[rule]
    truths = work_out(TWISTED, COVARIANCE, labels, precision=ENOUGH)
    cuts = np.array(twisted_thresholds(labels.shares))
    assert truths.thresholds == pytest.approx(cuts, abs=0.01)
    values, errors = found(truths)
    fine = (np.arange(4000) + 0.5) / 4000
    rng = np.random.default_rng(2)
    for index in range(1, 7):
        members = [place for place in range(3) if index >> place & 1]
        if len(members) == 1:
            known = {members[0]: special.ndtri(fine)}
        else:  # a lattice in the plane: Roberts' R₂ sequence
            n = 8000
            square = (rng.random(2) + np.outer(np.arange(n), [0.7548776662466927, 0.5698402909980532])) % 1
            root = np.linalg.cholesky(COVARIANCE[np.ix_(members, members)])
            known = dict(zip(members, root @ special.ndtri(square).T, strict=True))
        posterior = between(below_cuts(known, truths.thresholds))
        expected = judged(np.ones(len(posterior)), posterior, labels)
        assert_near(values[:, index], expected, errors[:, index], floor=1.5e-3)
    assert_near(
        values[:, 7], judged(np.array(labels.shares), np.eye(labels.n_classes), labels), 0, floor=1e-6
    )
    prior = np.array([labels.shares])
    assert_near(values[:, 0], judged(np.ones(1), prior, labels), 0, floor=1e-6)


# Special structures


@pytest.mark.parametrize("way", ["tanh", "step"])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_exclusive_or(work_out, way, noise):
    if way == "tanh":
        terms = [Term(("a/*",), "tanh", coefficients=2.0) * Term(("b/*",), "tanh", coefficients=2.0)]
    else:
        terms = [
            Term(("a/x",), "step", weight=4.0) * Term(("b/x",), "step"),
            Term(("a/x",), "step", weight=-2.0),
            Term(("b/x",), "step", weight=-2.0),
            Term(("a/x",), "cos", weight=1.0, coefficients=0.0),
        ]
    truths = work_out(terms, np.eye(6), Labels(noise=noise, thresholds=(0.0,)), latents=2)
    capacity = 1 - special.entr([noise, 1 - noise]).sum() / np.log(2)
    information, accuracy, sage = truths["information"], truths["bayes_accuracy"], truths["sage"]
    assert not information.informative
    assert not accuracy.informative
    assert information.modalities == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert set(information.standard_error.values()) == set(accuracy.standard_error.values()) == {0}
    assert information.raw == pytest.approx(dict.fromkeys("abc", 0), abs=1e-4)
    for name in "abc":
        assert accuracy.subsets["accuracy"][name] == pytest.approx(0.5, abs=1e-3)
        assert accuracy.subsets["auroc"][name] == pytest.approx(0.5, abs=1e-3)
    assert accuracy.subsets["accuracy"]["ab"] == pytest.approx(1 - noise)
    assert information.summary["synergistic"] == pytest.approx(capacity, abs=1e-3)
    assert information.summary["redundant"] == pytest.approx(0, abs=1e-3)
    assert sage.modalities == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0}, abs=1e-3)
    assert sum(sage.raw.values()) == pytest.approx(capacity)


def test_three_way_parity_has_no_pair_that_knows(work_out):
    signs = [Term((f"{name}/x",), "tanh", coefficients=3.0) for name in "abc"]
    truths = work_out([signs[0] * signs[1] * signs[2]], np.eye(3), Labels(thresholds=(0.0,)))
    information = truths["sage"].subsets["information"]
    for names in ("a", "b", "c", "ab", "ac", "bc"):
        assert information[names] == pytest.approx(0, abs=2e-3)
    assert truths["sage"].raw == pytest.approx(dict.fromkeys("abc", 1 / 3), abs=2e-3)


def test_parts_of_information_of_duplicates_and_of_strangers(work_out):
    same = work_out([Term(("a/x", "b/x"))], np.ones((2, 2)))["information"].summary
    assert same["redundant"] == pytest.approx(1)
    assert same["unique a"] == same["unique b"] == pytest.approx(0, abs=1e-12)
    assert same["synergistic"] == pytest.approx(0, abs=1e-12)
    # b is tied to nothing that F reads: no player at all.
    assert set(work_out([Term(("a/x",))], np.eye(2))["information"].summary) == {"all"}
    # b knows part of what a knows.
    tied = work_out([Term(("a/x",))], [[1, 0.5], [0.5, 1]])["information"].summary
    assert tied["unique a"] + tied["redundant"] == pytest.approx(1)
    assert tied["unique b"] == pytest.approx(0)
    assert tied["synergistic"] == pytest.approx(0, abs=1e-12)
    assert sum(tied[part] for part in tied if part != "all") == pytest.approx(tied["all"])


def test_duplicates_say_the_same(work_out):
    covariance = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    for terms in ([Term(("a/x", "c/x"))], [Term(("a/x",), "tanh"), Term(("c/x",))]):
        truths = work_out(terms, covariance)
        information = truths["sage"].subsets["information"]
        assert information["a"] == pytest.approx(information["b"], abs=1e-9)
        assert information["ab"] == pytest.approx(information["a"], abs=1e-9)
        assert truths["sage"].raw["a"] == pytest.approx(truths["sage"].raw["b"], abs=1e-9)


@pytest.mark.parametrize("curve", [(), (CURVED,)], ids=["exact", "drawn"])
def test_a_suppressor_says_nothing_alone_but_sharpens_the_other(work_out, curve):
    rho = 0.8
    terms = (Term(("a/x",)), Term(("b/x",), weight=-rho), *curve)
    truths = work_out(terms, [[1, rho], [rho, 1]])
    information = truths["information"]
    assert information.raw["b"] == pytest.approx(0, abs=1e-6)
    assert information.modalities["b"] == pytest.approx(0, abs=1e-6)
    assert truths["bayes_accuracy"].subsets["accuracy"]["b"] == pytest.approx(0.5, abs=1e-4)
    assert truths["bayes_accuracy"].subsets["auroc"]["b"] == pytest.approx(0.5, abs=1e-3)
    assert information.summary["synergistic"] == pytest.approx(1 - information.raw["a"], abs=1e-6)
    assert truths["sage"].raw["b"] > 0.1
    assert truths["gradient"].modalities["b"] == pytest.approx(rho / (1 + rho))


def test_a_product_knows_its_size_from_either_factor(work_out, assert_near):
    # |z₁z₂| is large where z₁ is: three classes by size. P(z₁z₂ < t | z₁) = Φ(t / |z₁|).
    labels = Labels((0.25, 0.5, 0.25))
    truths = work_out([Term(("a/x",)) * Term(("b/x",))], np.eye(2), labels)
    grid = np.abs(special.ndtri((np.arange(4000) + 0.5) / 4000))[:, None]
    expected = judged(np.ones(4000), between(special.ndtr(truths.thresholds / grid)), labels)
    values, errors = found(truths)
    assert_near(values[:, 1], expected, errors[:, 1], floor=5e-4)
    assert_near(values[:, 2], expected, errors[:, 2], floor=5e-4)


# Other margins, and finite populations


def test_a_binary_and_a_lognormal_margin(work_out, assert_near):
    # F = b + l + b·l at a threshold of 1: given b, F grows or falls with l; given l, b has two values.
    sigma, share, cut = 0.6, 0.3, 0.8
    law = LatentLaw((GaussianCopula(np.eye(2), (Margin("binary", (share,)), Margin("lognormal", (sigma,)))),))
    labels = Labels(thresholds=(cut,))
    truths = work_out([Term(("a/x", "b/x")), Term(("a/x",)) * Term(("b/x",))], law, labels)
    low, high = -np.sqrt(share / (1 - share)), np.sqrt((1 - share) / share)
    score = special.ndtri((np.arange(100_000) + 0.5) / 100_000)
    values = (np.exp(sigma * score - sigma**2 / 2) - 1) / np.sqrt(np.expm1(sigma**2))
    above = np.stack([b + values + b * values >= cut for b in (low, high)], axis=1)  # [l, b]
    given_b = above.mean(0)
    given_l = above @ [1 - share, share]
    prior = given_b @ [1 - share, share]
    expected = np.array(
        [
            judged(np.ones(1), np.array([[1 - prior, prior]]), labels),
            judged(np.array([1 - share, share]), np.stack([1 - given_b, given_b], axis=1), labels),
            judged(np.ones(len(score)), np.stack([1 - given_l, given_l], axis=1), labels),
            judged(np.array([1 - prior, prior]), np.eye(2), labels),
        ]
    ).T
    values, errors = found(truths)
    assert_near(values, expected, errors, floor=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("cuts", [(0.2,), (-0.5, 1.0)])
def test_finite_populations_by_enumeration(work_out, assert_near, cuts, noise):
    first = np.random.default_rng(3).normal(size=(7, 2))
    second = np.array([[-1.0], [0.5], [2.5], [2.6], [-0.2]])
    labels = Labels((1 / (len(cuts) + 1),) * (len(cuts) + 1), noise=noise, thresholds=cuts)
    terms = [Term(("a/x",)) * Term(("b/x",)), Term(("a/y",)), Term(("b/x",), "square", weight=0.2)]
    law = LatentLaw((Population(first), Population(second)))
    truths = work_out(terms, law, labels, latents=(2, 1))
    value = first[:, :1] * second.T + first[:, 1:] + 0.2 * second.T**2
    onehot = np.eye(labels.n_classes)[np.digitize(value, cuts)]  # [a, b, class]
    prior = onehot.mean((0, 1))
    expected = np.array(
        [
            judged(np.ones(1), prior[None], labels),
            judged(np.ones(7), onehot.mean(1), labels),
            judged(np.ones(5), onehot.mean(0), labels),
            judged(prior, np.eye(labels.n_classes), labels),
        ]
    ).T
    values, errors = found(truths)
    assert_near(values, expected, errors, floor=2e-3)


def test_classes_of_a_population_have_the_shares_that_they_have(work_out):
    # 100 rows, a threshold at the 30th: the classes have the shares of the rows, whatever was asked for.
    rows = np.arange(101.0)[:, None]
    truths = work_out([Term(("a/x",))], LatentLaw((Population(rows),)), Labels((0.3, 0.7)))
    (cut,) = truths.thresholds
    share = (rows < cut).mean()
    assert share == pytest.approx(0.3, abs=0.01)
    entropy = special.entr([share, 1 - share]).sum() / np.log(2)
    assert truths["information"].summary["all"] == pytest.approx(entropy, abs=1e-5)
    assert truths["bayes_accuracy"].summary["chance"] == pytest.approx(1 - share, abs=1e-5)


@pytest.mark.parametrize("terms", [TWISTED, [Term(("a/x",)), Term(("c/x",), "step", weight=2.5)]])
def test_what_says_too_little_to_change_a_guess_gains_nothing(work_out, terms):
    # One patient in twenty: a modality alone hardly ever makes the rare class the likelier one.
    truths = work_out(terms, np.eye(3), RULES["rare"])
    truth = truths["bayes_accuracy"]
    assert max(truth.standard_error.values()) <= 1
    for name, value in truth.raw.items():
        assert value > -5 * truth.raw_standard_error[name] - 1e-9


# Missing values


def grids(n=801, reach=6.5):
    """Midpoints and weights of a standard normal law."""
    edges = np.linspace(-reach, reach, n + 1)
    weights = np.diff(special.ndtr(edges))
    return (edges[1:] + edges[:-1]) / 2, weights / weights.sum()


@pytest.mark.parametrize("rate", [0.2, 0.6])
@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
@pytest.mark.few(2)
def test_missing_values_equal_quadrature(work_out, assert_near, mechanism, rate):
    """Label [x + d + 0.8·b > 0]: the table has x, which goes missing, and d; b is another modality."""
    rule = Missing(("a/x",), mechanism, rate, "a/y" if mechanism == "mar" else "", 1.5)
    terms = [Term(("a/x", "a/y")), Term(("b/x",), weight=0.8)]
    truths = work_out(terms, np.eye(3), missing={"a/x": rule}, latents=(2, 1))
    x, weight_x = grids()
    d, weight_d = grids(201)
    decides = d[:, None] if mechanism == "mar" else x[None] + 0 * d[:, None]
    gone = rule.probability(decides if mechanism != "mcar" else 0 * decides) + 0 * x[None]  # [d, x]
    joint = weight_d[:, None] * weight_x[None]

    def expected(seen, missing_score):
        """Posteriors [known points, classes] and weights: where x is seen, and where it is not."""
        posterior = np.concatenate([seen[0].ravel(), missing_score[0].ravel()])
        weights = np.concatenate([seen[1].ravel(), missing_score[1].ravel()])
        return judged(weights, np.stack([1 - posterior, posterior], axis=1), truths.labels)

    # The table alone: b is not known.
    positive = special.ndtr((x[None] + d[:, None]) / 0.8)
    unseen = (joint * gone).sum(1)
    alone = expected((positive, joint * (1 - gone)), ((joint * gone * positive).sum(1) / unseen, unseen))
    # Both: where x is missing, its law given that, against −d − 0.8·b.
    b, weight_b = grids(201)
    limit = -d[:, None] - 0.8 * b[None]
    mass = weight_x[None] * gone
    tail = mass[:, ::-1].cumsum(1)[:, ::-1]
    tail = np.minimum(tail / tail[:, :1], 1)  # P(x ≥ grid | missing, d)
    edges = np.concatenate([x - np.diff(x)[0] / 2, [7.0]])
    chance = np.stack(
        [np.interp(limit[row], edges, [*tail[row], 0.0], left=1.0, right=0.0) for row in range(len(d))]
    )
    share_seen = joint * (1 - gone)
    seen_positive = (share_seen * special.ndtr((x[None] + d[:, None]) / 0.8)).sum()
    both = expected(
        (
            np.array([1.0, 0.0]),
            np.array([seen_positive, share_seen.sum() - seen_positive]),
        ),
        (chance, unseen[:, None] * weight_b[None]),
    )
    values, errors = found(truths)
    assert_near(values[:, 1], alone, errors[:, 1], floor=1e-3)
    assert_near(values[:, 3], both, errors[:, 3], floor=1e-3)
    # What is missing is no concern of the other modality, nor of truths about F.
    whole = work_out(terms, np.eye(3), latents=(2, 1))
    assert_near(values[:, 2], found(whole)[0][:, 2], errors[:, 2], floor=1e-3)
    assert truths["shapley"].raw == pytest.approx(whole["shapley"].raw)
    assert truths["permutation"].raw == pytest.approx(whole["permutation"].raw)
    assert truths["bayes_accuracy"].raw["a"] < whole["bayes_accuracy"].raw["a"]


def test_values_missing_in_a_curved_function_equal_binning(work_out, assert_near):
    """(x + y)² at its median, both values missing now and then: four patterns, binned in a large sample."""
    rules = {"a/x": Missing(("a/x",), "mnar", 0.3, strength=2.0), "a/y": Missing(("a/y",), "mcar", 0.4)}
    terms = [Term(("a/x", "a/y"), "square"), Term(("b/x",), "tanh")]
    truths = work_out(terms, np.eye(4), missing=rules, latents=2)
    rng = np.random.default_rng(4)
    n = 2_000_000
    x, y, b = rng.standard_normal((3, n))
    positive = (x + y) ** 2 + np.tanh(b) > truths.thresholds[0]
    lost = rng.random(n) < rules["a/x"].probability(x), rng.random(n) < 0.4
    bins = [
        np.where(gone, 0, 1 + (special.ndtr(it) * 60).astype(int))
        for it, gone in zip((x, y), lost, strict=True)
    ]
    cell = bins[0] * 61 + bins[1]
    total = np.bincount(cell, minlength=61**2).astype(float)
    hits = np.bincount(cell, positive, minlength=61**2)[total > 0]
    total = total[total > 0]
    share = hits / total
    expected = judged(total, np.stack([1 - share, share], axis=1), truths.labels)
    values, errors = found(truths)
    assert_near(values[:, 1], expected, errors[:, 1], floor=4e-3)


def test_a_value_that_is_always_there_to_infer_from_is_not_lost(work_out):
    # Where the missing feature is not read by F, nothing changes.
    rule = {"a/y": Missing(("a/y",), "mcar", 0.5)}
    terms = [Term(("a/x", "b/x"))]
    one, other = (work_out(terms, np.eye(4), missing=it, latents=2) for it in (rule, None))
    assert one["bayes_accuracy"].raw == other["bayes_accuracy"].raw
    assert one["bayes_accuracy"].method == "closed form"


# Thresholds


@pytest.mark.parametrize("rule", RULES)
def test_thresholds_give_the_shares(work_out, rule):
    labels = RULES[rule]
    truths = work_out(TWISTED, COVARIANCE, labels)
    z = truths.law.sample(500_000, np.random.default_rng(0))
    classes = np.digitize(truths.decision(torch.from_numpy(z)), truths.thresholds)
    shares = np.bincount(classes, minlength=labels.n_classes) / len(z)
    assert shares == pytest.approx(labels.shares, abs=4 * 0.5 / np.sqrt(500_000))
    exact = work_out([Term(("a/x", "b/x"))], COVARIANCE[:2, :2], labels).thresholds
    assert exact == pytest.approx(np.sqrt(3) * special.ndtri(np.cumsum(labels.shares)[:-1]))


@pytest.mark.parametrize(
    ("terms", "law", "labels"),
    [
        ([Term(("a/x",), "step", offset=0.5)], np.eye(1), Labels()),
        ([Term(("a/x",), "step", offset=-4.5)], np.eye(1), Labels()),
        ([Term(("a/x",))], LatentLaw((Population(np.array([[0.0], [1.0], [5.0]])),)), Labels()),
        ([Term(("a/x",), "step")], np.eye(1), Labels((0.3, 0.3, 0.4))),
    ],
)
def test_shares_that_cannot_be_reached_are_refused(work_out, terms, law, labels):
    truths = work_out(terms, law, labels)
    for estimand in ("sage", "permutation"):
        with pytest.raises(
            ValueError, match=r"'shares' .* cannot be reached: F takes too few values.*'thresholds'"
        ):
            truths[estimand]


@pytest.mark.parametrize(
    "terms",
    [
        [Term(("a/x",), weight=0.0)],
        [Term(("a/x",)), Term(("b/x",), weight=-1.0)],
        [Term(("a/x",), weight=0.1), Term(("a/x",), weight=0.2), Term(("b/x",), weight=-0.3)],
        [Term(("a/x",), "sin") * Term(("b/x",), "sin"), Term(("a/x",), "cos") * Term(("b/x",), "cos")],
    ],
)
@pytest.mark.parametrize("labels", [Labels(), Labels(thresholds=(0.5,))])
def test_a_function_that_does_not_vary_is_refused(work_out, terms, labels):
    for estimand in ("sage", "information", "bayes_accuracy", "permutation"):
        with pytest.raises(ValueError, match="does not vary"):
            work_out(terms, np.ones((2, 2)), labels)[estimand]


# Laws


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.floats(-2, 2), min_size=4, max_size=4).filter(lambda it: max(map(abs, it)) > 0.1),
    st.integers(0, 3),
    st.sampled_from(list(RULES)),
)
def test_more_modalities_never_say_less(work_out, slopes, seed, rule):
    loadings = np.random.default_rng(seed).standard_normal((4, 3 + seed))
    terms = [
        Term((f"{name}/x",), weight=it) for name, it in zip("abcd", slopes, strict=True) if abs(it) > 0.01
    ]
    truths = work_out(terms, loadings @ loadings.T, RULES[rule])
    values, _ = found(truths)
    for place in range(truths.reduction.n_players):
        for index in range(values.shape[1]):
            assert (values[:, index | 1 << place] >= values[:, index] - 1e-5).all()
    assert sum(truths["sage"].raw.values()) == pytest.approx(truths["information"].summary["all"])
    assert (values[0] >= -1e-9).all()
    for estimand in ("sage", "information", "bayes_accuracy"):
        shares = truths[estimand].modalities
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) >= 0


def test_more_modalities_never_say_less_when_drawn(work_out):
    values, errors = found(work_out(TWISTED, COVARIANCE, RULES["noisy"], precision=ENOUGH))
    for place in range(3):
        for index in range(8):
            wider = index | 1 << place
            gap = values[:, wider] - values[:, index]
            assert (gap >= -5 * np.hypot(errors[:, wider], errors[:, index]) - 1e-3).all()


@pytest.mark.parametrize("factor", [1e-6, -1e7])
@pytest.mark.few(1)
def test_units_and_sign_of_f_do_not_matter(work_out, assert_near, factor):
    scaled = [
        Term(("a/x",), "tanh", weight=2.0 * factor) * Term(("b/x",)),
        Term(("b/x",), weight=factor),
        Term(("c/x",), weight=0.8 * factor),
    ]
    one, other = (found(work_out(terms, COVARIANCE, precision=ENOUGH)) for terms in (TWISTED, scaled))
    assert_near(other[0], one[0], np.hypot(one[1], other[1]), floor=5e-4)


# The area under the curve


@pytest.mark.parametrize("levels", [3, 1000])
def test_areas_equal_those_of_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    score = rng.integers(0, levels, size=500) / levels  # ties, many or few
    posterior, weights = rng.random(500), rng.random(500)
    expected = roc_auc_score(
        np.repeat([1, 0], 500),
        np.tile(score, 2),
        sample_weight=np.concatenate([weights * posterior, weights * (1 - posterior)]),
    )
    assert weighted_auroc(score, posterior, weights) == pytest.approx(expected, abs=1e-12)


def test_areas_by_hand():
    sure = np.array([0.0, 1.0])
    assert weighted_auroc(sure, sure, np.ones(2)) == 1
    assert weighted_auroc(-sure, sure, np.ones(2)) == 0
    assert weighted_auroc(np.zeros(2), sure, np.ones(2)) == 0.5
    # Positives at 1 (3 of 4) and 0 (1 of 4), negatives the other way: 9/16 + ½·(3 + 3)/16 = 3/4.
    assert weighted_auroc(sure, np.array([0.25, 0.75]), np.ones(2)) == pytest.approx(0.75)
