"""Are data drawn from the law that truths are computed from? The catalogue, and random scenarios."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import special, stats

import synthetic
from synthetic import images, phantom
from synthetic.decision import FUNCTIONS, Term
from synthetic.generation import generate, truths
from synthetic.labels import Labels
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.scenario import Scenario

SPLITS = ("train", "explain", "test")
N = 4000
MARGINS = (
    Margin("uniform"),
    Margin("lognormal", (0.5,)),
    Margin("student_t", (6.0,)),
    Margin("truncated_normal", (-1.0, 2.0)),
)


@pytest.fixture(autouse=True)
def blank(monkeypatch):
    """Leave the images black, so that thousands of patients cost nothing."""
    monkeypatch.setattr(
        phantom, "render", lambda z, *, size, **_: np.zeros((len(z), 1, size, size), dtype=np.uint8)
    )
    images._draw_phantom.cache_clear()
    yield
    images._draw_phantom.cache_clear()


def random_scenario(seed):
    """Return a scenario of any kind: links within and between images and tables, margins, gaps, classes."""
    rng = np.random.default_rng(seed)
    tables = {}
    for name in ("labs", "history", "genes")[: rng.integers(1, 4)]:
        margin = MARGINS[rng.integers(len(MARGINS))] if rng.random() < 0.4 else Margin()
        tables[name] = synthetic.Table(int(rng.integers(2, 8)), margin=margin)
    kind = "lesion" if rng.random() < 0.3 else "anatomy"
    places = [f"{view}/{place}" for view in phantom.VIEWS for place in range(10)]
    places += [f"{name}/{place}" for name, table in tables.items() for place in range(table.columns)]
    # One common factor: whatever the loadings, the matrix is positive definite.
    linked = rng.choice(places, size=rng.integers(2, 7), replace=False).tolist()
    loadings = dict(zip(linked, rng.uniform(-0.95, 0.95, len(linked)), strict=True))
    correlations = {
        (one, other): float(loadings[one] * loadings[other])
        for place, one in enumerate(linked)
        for other in linked[place + 1 :]
    }
    read = [*linked[:2], *rng.choice(places, size=2, replace=False)]
    terms = [random_factor(rng, dict.fromkeys(read[:2])), random_factor(rng, dict.fromkeys(read[2:]))]
    if rng.random() < 0.5:
        terms.append(random_factor(rng, read[:1]) * random_factor(rng, read[3:]))
    terms.append(Term((read[2],), weight=0.5))  # F is continuous, so every share of classes can be reached
    free = [
        name
        for name in places
        if name not in linked and tables.get(name.split("/")[0], synthetic.Table(1)).margin.is_normal
    ]
    hidden = [name for name in free if name.split("/")[0] in tables][:1]
    shares = rng.dirichlet(np.full(rng.integers(2, 5), 4.0))
    return Scenario(
        f"random-{seed}",
        "",
        tuple(terms),
        features=kind,
        tables=tables,
        correlations=correlations,
        labels=Labels(tuple(shares / shares.sum()), noise=float(rng.choice([0.0, 0.2]))),
        missing=tuple(Missing((name,), "mcar", rate=0.3) for name in hidden),
        n=N,
    )


def random_factor(rng, names):
    names = tuple(names)
    function = str(rng.choice([name for name in FUNCTIONS if name != "exp"]))
    return Term(names, function, weight=float(rng.normal()), coefficients=tuple(rng.normal(size=len(names))))


def drawn(scenario, n=None):
    """Return latents ``[n, d]`` and labels ``[n]`` of all patients, and the dataset."""
    dataset = generate(scenario, seed=11, n=n)
    z = torch.cat([dataset.latents[split] for split in SPLITS]).double().numpy()
    return z, np.concatenate([getattr(dataset, split).labels.numpy() for split in SPLITS]), dataset


def assert_law(scenario, z, *, n_errors=6.0):
    """Compare margins and correlations of z with those of the scenario's copula."""
    law, n = scenario.copula, len(z)
    # Of ranks: heavy tails make moments of z itself vary.
    ranks = special.ndtri((stats.rankdata(z, axis=0) - 0.5) / n)
    assert np.abs(np.corrcoef(ranks, rowvar=False) - law.covariance).max() < n_errors / np.sqrt(n)
    for column, margin in zip(z.T, law.margins, strict=True):
        if not margin.is_continuous:
            assert abs(column.mean()) < n_errors / np.sqrt(n)
            assert np.allclose(np.unique(column), margin.latent(np.array([-9.0, 9.0])))
            continue
        for level in (0.05, 0.25, 0.5, 0.75, 0.95):
            below = (column < margin.latent(special.ndtri(np.array([level])))).mean()
            assert abs(below - level) < n_errors * np.sqrt(level * (1 - level) / n)


def assert_shares(scenario, dataset, labels, n_errors=5.0):
    wanted = scenario.labels.blurred(dataset.truth.cuts.probabilities)
    found = np.bincount(labels, minlength=len(wanted)) / len(labels)
    assert (np.abs(found - wanted) < n_errors * np.sqrt(wanted * (1 - wanted) / len(labels))).all()


@pytest.mark.parametrize("name", synthetic.scenarios())
def test_every_scenario_is_drawn_from_its_law(name):
    scenario = synthetic.scenario(name)
    z, labels, dataset = drawn(scenario, n=N)
    assert_law(scenario, z)
    assert_shares(scenario, dataset, labels)


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 100))]
)
@pytest.mark.few(5)
def test_random_scenarios_are_drawn_from_their_law(seed):
    scenario = random_scenario(seed)
    z, labels, dataset = drawn(scenario)
    assert_law(scenario, z)
    assert_shares(scenario, dataset, labels)
    for name, columns in scenario.decision.slices.items():
        if name in scenario.tables and not scenario.missing:
            assert np.array_equal(
                dataset.train.inputs[name].double().numpy(), z[: len(dataset.train), columns]
            )


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
def test_two_images_may_be_linked(shares):
    """F is the sum of two latents with correlation 0.8: a variance of 3.6, each alone leaves 0.36."""
    scenario = Scenario(
        "linked",
        "",
        (Term(("axial/0",)), Term(("coronal/0",))),
        correlations={("axial/0", "coronal/0"): 0.8},
        labels=Labels(shares),
        n=16_000,
    )
    z, labels, _ = drawn(scenario)
    assert np.corrcoef(z[:, 0], z[:, 10])[0, 1] == pytest.approx(0.8, abs=0.02)
    assert labels.mean() == pytest.approx(shares[1], abs=0.012)
    raw = truths(scenario)["total_effect"].raw
    assert raw["axial"] == raw["coronal"] == pytest.approx(0.1)


def test_the_check_can_fail():
    """Data of the same scenario without its links are told from its law."""
    linked = (random_scenario(seed) for seed in range(100))
    strong = [it for it in linked if max(map(abs, it.correlations.values())) > 0.4]
    for scenario in (synthetic.scenario("redundancy"), *strong[:3]):
        loose = dataclasses.replace(scenario, correlations={})
        with pytest.raises(AssertionError):
            assert_law(scenario, drawn(loose, n=N)[0])


def test_images_show_the_linked_latents(monkeypatch):
    """What is rendered is what F reads."""
    seen = {}

    def render(z, *, view, size, **_):
        seen.setdefault(view, []).append(z)
        return np.zeros((len(z), 1, size, size), dtype=np.uint8)

    monkeypatch.setattr(phantom, "render", render)
    images._draw_phantom.cache_clear()
    scenario = dataclasses.replace(
        synthetic.scenario("paper-F4"),
        correlations={("axial/1", "axial/2"): -0.7, ("axial/0", "coronal/3"): 0.6},
    )
    z, _, _ = drawn(scenario, n=400)
    for place, view in enumerate(phantom.VIEWS):
        assert np.array_equal(
            np.concatenate(seen[view]), z[:, 10 * place : 10 * place + 10].astype(np.float32)
        )


def test_scans_cannot_be_linked():
    with pytest.raises(ValueError, match="no joint law with each other or with tables"):
        Scenario(
            "scans",
            "",
            (Term(("axial_1/0",)),),
            source="organamnist",
            features="pca",
            correlations={("axial_1/0", "axial_2/0"): 0.5},
        )
