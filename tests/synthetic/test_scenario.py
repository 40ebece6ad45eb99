from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import synthetic
from synthetic import features, images, medmnist, phantom
from synthetic.clinical import CORRELATIONS, VARIABLES, Table
from synthetic.decision import Term
from synthetic.generation import generate, truths
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, Population
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.scenario import Scenario
from synthetic.seeding import numpy_rng

SPLITS = ("train", "explain", "test")
TABLE_COLUMNS = (slice(0, 10), slice(10, 20), slice(20, 30), slice(30, 40))


def paper(case, n=240, seed=0):
    return generate(synthetic.scenario(f"paper-F{case}"), seed=seed, n=n)


def make(**changes):
    arguments = {"name": "mine", "description": "", "terms": (Term(("axial/liver_size",)),), **changes}
    return Scenario(**arguments)


def every(dataset):
    """Latent features of all patients, ``[n, d]`` float64."""
    return torch.cat([dataset.latents[split] for split in SPLITS]).double().numpy()


def labels_of(dataset):
    return np.concatenate([getattr(dataset, split).labels.numpy() for split in SPLITS])


def values_of(scenario, dataset):
    return scenario.decision(torch.from_numpy(every(dataset))).numpy()


def tensors(dataset):
    """Every tensor of a dataset, in a fixed order."""
    for split in SPLITS:
        samples = getattr(dataset, split)
        yield from (samples.inputs[name] for name in sorted(samples.modalities))
        yield samples.labels
        yield dataset.latents[split]
        if dataset.missing:
            yield dataset.missing[split]


def fingerprint(dataset):
    digest = hashlib.sha256(repr((dataset.thresholds, dataset.decision_scale)).encode())
    for tensor in tensors(dataset):
        digest.update(repr((tensor.shape, tensor.dtype)).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def clear_draws():
    images._draw_phantom.cache_clear()


@pytest.fixture
def blank(monkeypatch):
    """Leave the images black, so that thousands of patients cost nothing."""
    monkeypatch.setattr(
        phantom, "render", lambda z, *, size, **_: np.zeros((len(z), 1, size, size), dtype=np.uint8)
    )
    clear_draws()
    yield
    clear_draws()


@pytest.fixture
def scans(monkeypatch):
    """Put small scans and random features in the place of the real ones; return the features by split."""
    sizes = {"train": 600, "val": 160, "test": 240}
    pixels = {split: np.zeros((n, 28, 28), dtype=np.uint8) for split, n in sizes.items()}
    labels = {split: np.zeros(n, dtype=np.int64) for split, n in sizes.items()}
    values = {
        split: np.random.default_rng(n).standard_normal((n, 10)).astype(np.float32)
        for split, n in sizes.items()
    }
    monkeypatch.setattr(
        medmnist, "load", lambda flag, **_: medmnist.Scans(flag, pixels, labels, Path(flag), "0")
    )
    monkeypatch.setattr(
        features,
        "latent_features",
        lambda _, *, kind, n_features: features.LatentFeatures(kind, values, {}, "0", cached=False),
    )
    caches = (images._draw_organs, images._scan_features)
    for cache in caches:
        cache.cache_clear()
    yield values
    for cache in caches:
        cache.cache_clear()


# What a dataset holds


def test_a_dataset_has_what_its_documentation_says():
    scenario = synthetic.scenario("paper-F6")
    dataset = generate(scenario, seed=5, n=320)
    assert (dataset.scenario, dataset.seed) == ("paper-F6", 5)
    names = ("axial", "coronal", "clinical_a", "clinical_b")
    assert tuple(modality.name for modality in dataset.modalities) == names
    assert dataset.modalities == scenario.modalities
    assert dict(dataset.truth["gradient"].modalities) == pytest.approx(dict.fromkeys(names, 0.25))
    assert [len(getattr(dataset, split)) for split in SPLITS] == [200, 40, 80]
    for split in SPLITS:
        samples, z = getattr(dataset, split), dataset.latents[split]
        assert samples.modalities == names
        assert samples.inputs["axial"].dtype == samples.inputs["coronal"].dtype == torch.uint8
        assert samples.inputs["axial"].shape == (len(z), 1, 28, 28)
        assert z.dtype == torch.float32
        assert z.shape == (len(z), 40)
        # The tables are the latent features themselves, so a network sees what F reads.
        assert torch.equal(samples.inputs["clinical_a"], z[:, 20:30])
        assert torch.equal(samples.inputs["clinical_b"], z[:, 30:])
        values = z.double().sum(1)
        assert torch.equal(samples.labels, (values >= dataset.thresholds[0]).long())
    assert dataset.thresholds == (0.0,)  # the median of F's law, whatever the patients
    assert dataset.missing == {}
    values = dataset.latents["train"].double().sum(1)
    assert dataset.decision_scale == pytest.approx(float(values.std()), rel=1e-12)


@pytest.mark.parametrize("case", range(8))
def test_classes_balance(blank, case):
    share = labels_of(paper(case, n=8000)).mean()
    assert share == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 8000))


@pytest.mark.parametrize("case", range(8))
def test_the_truth_is_that_of_the_data(blank, case):
    scenario = synthetic.scenario(f"paper-F{case}")
    dataset = generate(scenario, seed=1, n=2000)
    z = torch.from_numpy(every(dataset)).requires_grad_()
    (slopes,) = torch.autograd.grad(scenario.decision(z).sum(), z)
    mean = slopes.abs().mean(0)
    shares = mean / mean.sum()
    truth = dataset.truth["gradient"]
    assert list(truth.features) == [name for modality in dataset.modalities for name in modality.features]
    np.testing.assert_allclose(list(truth.features.values()), shares.numpy(), atol=0.01)


def test_the_truths_need_no_patients(monkeypatch):
    dataset = generate(synthetic.scenario("graded"), n=128)
    monkeypatch.setattr(images, "draw", None)
    alone = truths(synthetic.scenario("graded"))
    for estimand in ("gradient", "shapley", "bayes_accuracy"):
        assert alone[estimand] == dataset.truth[estimand]
    assert tuple(alone.thresholds) == dataset.thresholds


# One seed, one dataset


def test_the_same_seed_gives_the_same_dataset():
    one = fingerprint(paper(7))
    clear_draws()
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    assert fingerprint(paper(7)) == one


def test_another_process_gives_the_same_dataset():
    here = Path(__file__)
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_scenario as it, synthetic; "
    code += "print(it.fingerprint(synthetic.generate(synthetic.scenario('missing-mnar'), n=240)))"
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=here.parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert result.stdout.strip() == fingerprint(generate(synthetic.scenario("missing-mnar"), n=240))


def test_seeds_share_nothing():
    one, other = paper(6, seed=0), paper(6, seed=1)
    for split in SPLITS:
        both = torch.cat([one.latents[split], other.latents[split]])
        for columns in TABLE_COLUMNS:
            assert len(both[:, columns].unique(dim=0)) == len(both)
        for view in ("axial", "coronal"):
            same = getattr(one, split).inputs[view] == getattr(other, split).inputs[view]
            assert not same.flatten(1).all(1).any()
    # Truth and thresholds are properties of the scenario, not of the draw.
    assert one.thresholds == other.thresholds
    assert one.truth["gradient"] == other.truth["gradient"]


def test_masks_and_wrong_labels_are_those_of_the_seed(blank):
    scenario = make(missing=(Missing(("clinical_a/*",), rate=0.5),), labels=Labels(noise=0.3))
    one, again, other = (generate(scenario, seed=seed, n=800) for seed in (0, 0, 1))
    assert fingerprint(one) == fingerprint(again)
    for split in SPLITS:
        differ = one.missing[split][:, 20:30] != other.missing[split][:, 20:30]
        assert 0.4 < float(differ.double().mean()) < 0.6
    # No split's mask is another's.
    assert not torch.equal(one.missing["train"][:100, 20:30], one.missing["explain"][:100, 20:30])
    wrong = [labels_of(it) != (values_of(scenario, it) >= it.thresholds[0]) for it in (one, other)]
    assert np.mean(wrong[0] != wrong[1]) == pytest.approx(2 * 0.3 * 0.7, abs=0.07)


def test_generating_leaves_the_global_generators_alone():
    state, legacy = torch.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    clear_draws()
    _ = generate(synthetic.scenario("missing-mar"), n=240).truth["bayes_accuracy"]
    assert torch.equal(torch.get_rng_state(), state)
    assert pickle.dumps(np.random.get_state()) == legacy  # noqa: NPY002


def test_no_patient_is_in_two_splits(blank):
    every_row = torch.from_numpy(every(paper(6, n=800)))
    assert len(every_row.unique(dim=0)) == len(every_row) == 800
    # Neither as a whole nor in one table.
    for columns in TABLE_COLUMNS:
        assert len(every_row[:, columns].unique(dim=0)) == 800


def test_scenarios_share_their_patients():
    plain = ("graded", "product", "xor", "gate", "step", "imbalance", "label-noise", "three-classes")
    for family in ([f"paper-F{case}" for case in range(8)], plain):
        reference = generate(synthetic.scenario(family[0]), n=240)
        for name in family[1:]:
            other = generate(synthetic.scenario(name), n=240)
            for split in SPLITS:
                assert torch.equal(other.latents[split], reference.latents[split])
                for modality, value in getattr(reference, split).inputs.items():
                    assert torch.equal(getattr(other, split).inputs[modality], value)
            assert not np.array_equal(labels_of(other), labels_of(reference))


@pytest.mark.parametrize(
    "name", ["redundancy", "suppressor", "fatty-liver", "missing-mnar", "irrelevant-wide"]
)
def test_whatever_the_tables_the_images_are_the_same(name):
    reference, other = paper(6), generate(synthetic.scenario(name), n=240)
    for split in SPLITS:
        assert torch.equal(other.latents[split][:, :20], reference.latents[split][:, :20])
        for view in ("axial", "coronal"):
            assert torch.equal(getattr(other, split).inputs[view], getattr(reference, split).inputs[view])


@pytest.mark.parametrize("part", ["images", "tables"])
@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_a_patients_own(monkeypatch, part, split):
    # No split decides where the classes of another are cut: the threshold belongs to F's law.
    before = paper(6)
    if part == "images":

        def drawn(*arguments, draw=images.draw, **options):
            result = draw(*arguments, **options)
            return dataclasses.replace(
                result, latents={**result.latents, split: result.latents[split] * 3 + 50}
            )

        monkeypatch.setattr(images, "draw", drawn)
    else:
        monkeypatch.setattr(
            "synthetic.generation.numpy_rng",
            lambda *names: np.random.default_rng(3) if split in names else numpy_rng(*names),
        )
    after = paper(6)
    assert not torch.equal(after.latents[split], before.latents[split])
    assert after.thresholds == before.thresholds
    for other in set(SPLITS) - {split}:
        assert torch.equal(after.latents[other], before.latents[other])
        assert torch.equal(getattr(after, other).labels, getattr(before, other).labels)


def test_what_one_user_does_to_a_dataset_does_not_reach_the_next():
    before = fingerprint(paper(4))
    spoilt = paper(4)
    for tensor in tensors(spoilt):
        tensor.zero_()
    assert fingerprint(spoilt) != before
    assert fingerprint(paper(4)) == before


@pytest.mark.parametrize("name", ["paper-F5", "missing-mcar"])
def test_the_inputs_share_no_memory_with_the_latent_features(name):
    dataset = generate(synthetic.scenario(name), n=240)
    z = dataset.latents["explain"].clone()
    dataset.explain.inputs["clinical_a"].zero_()
    assert torch.equal(dataset.latents["explain"], z)


@pytest.mark.parametrize("name", ["paper-F6", "redundancy", "missing-mar", "sixteen-modalities"])
def test_a_dataset_survives_the_way_to_another_process(name):
    scenario = synthetic.scenario(name)
    dataset = generate(scenario, n=128)
    first = dataset.truth["gradient"]
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert fingerprint(again) == fingerprint(dataset)
    assert again.truth["gradient"] == first
    assert again.truth["shapley"] == dataset.truth["shapley"]
    assert pickle.loads(pickle.dumps(scenario)) == scenario  # noqa: S301


# Numbers and sizes


def test_n_defaults_to_the_scenarios_own():
    scenario = dataclasses.replace(synthetic.scenario("paper-F2"), n=160)
    assert sum(len(getattr(generate(scenario), split)) for split in SPLITS) == 160
    assert sum(len(getattr(generate(scenario, n=240), split)) for split in SPLITS) == 240
    with pytest.raises(ValueError, match=r"'n' must be given for phantoms. Got None"):
        generate(dataclasses.replace(scenario, n=None))


def test_too_few_patients_are_refused_with_the_sizes():
    with pytest.raises(
        ValueError, match=r"Got 100, which gives \{'train': 62, 'explain': 12, 'test': 25\}; ask"
    ):
        generate(synthetic.scenario("paper-F0"), n=100)


@pytest.mark.parametrize("size", [28, 64])
def test_image_size(size):
    scenario = synthetic.scenario("paper-F0", image_size=size)
    dataset = generate(scenario, n=128)
    assert dataset.train.inputs["coronal"].shape == (80, 1, size, size)
    # The patients are the same at every size.
    assert torch.equal(dataset.latents["train"], paper(0, n=128).latents["train"])


# Tables and correlations


def scores(column):
    """Normal scores of a continuous column, by its ranks."""
    return stats.norm.ppf((stats.rankdata(column) - 0.5) / len(column))


LABS = Table(variables=("alt", "ast", "crp", "bmi", "diabetes"))
LINKED = {
    "tables": {"labs": LABS, "other": 3, "skewed": Table(2, margin=Margin("lognormal", (0.8,)))},
    "correlations": {
        ("axial/liver_attenuation", "labs/alt"): -0.4,
        ("image_1/fat_thickness", "labs/bmi"): 0.5,
        ("other/*", "image_2/0"): 0.3,  # one feature of an image with each of many
        ("skewed/0", "image_2/8"): 0.8,
        ("other/1", "skewed/1"): -0.6,
        ("labs/ast", "labs/alt"): 0.1,  # instead of the variables' own, in either order
    },
}


def test_correlations_are_as_stated(blank):
    scenario = make(**LINKED)
    dataset = generate(scenario, n=20_000)
    names = [name for modality in dataset.modalities for name in modality.features]
    z = every(dataset)
    continuous = [place for place, name in enumerate(names) if name != "labs/diabetes"]
    found = np.corrcoef(np.stack([scores(z[:, place]) for place in continuous]))
    stated = {
        ("axial/liver_attenuation", "labs/alt"): -0.4,
        ("axial/fat_thickness", "labs/bmi"): 0.5,
        **{(f"other/feature_{place}", names[10]): 0.3 for place in range(3)},
        ("skewed/feature_0", names[18]): 0.8,
        ("other/feature_1", "skewed/feature_1"): -0.6,
        ("labs/alt", "labs/ast"): 0.1,
        # Of the variables themselves.
        ("labs/bmi", "labs/crp"): CORRELATIONS["bmi", "crp"],
        ("labs/bmi", "labs/alt"): CORRELATIONS["bmi", "alt"],
        ("labs/bmi", "labs/ast"): CORRELATIONS["bmi", "ast"],
    }
    wanted = np.eye(len(names))
    for (first, second), value in stated.items():
        row, column = names.index(first), names.index(second)
        wanted[row, column] = wanted[column, row] = value
    wanted = wanted[np.ix_(continuous, continuous)]
    assert np.abs(found - wanted).max() < 5 / np.sqrt(20_000)
    # Every split is drawn from that law.
    z = dataset.latents["explain"].double().numpy()
    low, high = names.index("axial/liver_attenuation"), names.index("labs/alt")
    assert np.corrcoef(z[:, low], z[:, high])[0, 1] == pytest.approx(-0.4, abs=4 / np.sqrt(2500))


def test_links_leave_the_images_as_they_are(blank):
    linked, free = (generate(make(**arguments), n=800) for arguments in (LINKED, {}))
    for split in SPLITS:
        assert torch.equal(linked.latents[split][:, :20], free.latents[split][:, :20])


def test_the_law_of_the_truths_is_that_of_the_patients(blank):
    scenario = make(**LINKED)
    (law,) = truths(scenario).law.blocks
    assert isinstance(law, GaussianCopula)
    z, again = every(generate(scenario, n=20_000)), law.sample(20_000, np.random.default_rng(0))
    again = again.astype(np.float32).astype(np.float64)  # as the patients: a binary column has two values
    for place in range(z.shape[1]):
        result = stats.ks_2samp(z[:, place], again[:, place])
        assert result.pvalue > 1e-4  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(np.corrcoef(z.T), np.corrcoef(again.T), atol=0.06)


def test_realistic_and_binary_variables(blank):
    table = Table(variables=("age", "sex", "haemoglobin", "diabetes"))
    dataset = generate(make(tables={"labs": table}), n=20_000)
    z = every(dataset)[:, 20:]
    np.testing.assert_allclose(z.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(z.std(0), 1, atol=0.03)
    for name in ("sex", "diabetes"):
        column = z[:, table.variables.index(name)]
        low, high = np.unique(column)
        assert low < 0 < high
        (probability,) = VARIABLES[name].margin.parameters
        assert np.mean(column == high) == pytest.approx(probability, abs=0.015)
    shown = table.raw(dataset.train.inputs["labs"].numpy())
    assert set(shown["sex"]) == {"female", "male"}
    men = shown["sex"] == "male"
    assert shown.loc[men, "haemoglobin [g/L]"].mean() - shown.loc[~men, "haemoglobin [g/L]"].mean() > 10


def test_a_scenario_of_ones_own(blank):
    tables = {"labs": 3}
    terms = (Term(("axial/liver_size",)), Term(("labs/feature_0", "labs/2"), "square", 0.5))
    scenario = make(terms=terms, tables=tables, correlations={("labs/0", "labs/2"): 0.8})
    dataset = generate(scenario, seed=0, n=4000)
    assert tuple(dataset.train.inputs) == ("axial", "coronal", "labs")
    # E|∂F/∂z| = 1 for the liver, E|u| = √(2/π · 3.6) for each of the two table columns.
    labs = 2 * np.sqrt(2 / np.pi * 3.6)
    assert list(dataset.truth["gradient"].modalities.values()) == pytest.approx(
        [1 / (1 + labs), 0, labs / (1 + labs)]
    )
    assert torch.corrcoef(dataset.train.inputs["labs"].T)[0, 2] == pytest.approx(0.8, abs=0.04)
    assert scenario.tables == {"labs": Table(3)}


def test_images_alone(blank):
    dataset = generate(make(tables={}), n=400)
    assert tuple(dataset.train.inputs) == ("axial", "coronal")
    assert dataset.truth["shapley"].modalities == {"axial": 1.0, "coronal": 0.0}


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        Labels(shares=(0.95, 0.05)),
        Labels(shares=(1 / 3, 1 / 3, 1 / 3)),
        Labels(shares=(0.2, 0.5, 0.2, 0.1), noise=0.2),
        Labels(noise=0.15),
        Labels(thresholds=(1.0,)),
        Labels(shares=(1 / 3, 1 / 3, 1 / 3), thresholds=(-0.5, 1.0), noise=0.1),
    ],
)
@pytest.mark.parametrize("function", ["identity", "exp"])
def test_labels_follow_thresholds_shares_and_noise(blank, labels, function):
    scenario = make(terms=(Term(("axial/liver_size", "clinical_a/0"), function),), labels=labels)
    dataset, n = generate(scenario, n=16_000), 16_000
    if labels.thresholds is not None:
        assert dataset.thresholds == labels.thresholds
    clean = np.searchsorted(dataset.thresholds, values_of(scenario, dataset), side="right")
    found = labels_of(dataset)
    if labels.thresholds is None:
        shares = np.bincount(clean, minlength=labels.n_classes) / n
        np.testing.assert_allclose(shares, labels.shares, atol=4 * np.sqrt(0.25 / n))
    wrong = found != clean
    assert wrong.mean() == pytest.approx(labels.noise, abs=4 * np.sqrt(labels.noise / n))
    if labels.noise:
        # Wrong with the same probability everywhere, and every other class as likely.
        for label in np.unique(clean):
            among = clean == label
            assert wrong[among].mean() == pytest.approx(
                labels.noise, abs=4 * np.sqrt(labels.noise / among.sum())
            )
            others = np.bincount(found[among & wrong], minlength=labels.n_classes)
            assert others[label] == 0
            expected = labels.noise * among.sum() / (labels.n_classes - 1)
            assert np.abs(np.delete(others, label) - expected).max() < 4 * np.sqrt(expected)


def test_noise_and_shares_change_no_patient(blank):
    plain = generate(make(), n=400)
    for labels in (Labels(noise=0.3), Labels(shares=(0.9, 0.1)), Labels(thresholds=(0.3,))):
        other = generate(make(labels=labels), n=400)
        for split in SPLITS:
            assert torch.equal(other.latents[split], plain.latents[split])


# What labels allow: the truths against the patients


@pytest.mark.parametrize(
    "name",
    ["paper-F7", "graded", "xor", "gate", "step", "imbalance", "label-noise", "three-classes", "fatty-liver"],
)
def test_the_true_rule_is_as_good_as_the_noise_allows(blank, name):
    scenario = synthetic.scenario(name)
    dataset = generate(scenario, n=16_000)
    predicted = np.searchsorted(dataset.thresholds, values_of(scenario, dataset), side="right")
    accuracy = np.mean(predicted == labels_of(dataset))
    noise = scenario.labels.noise
    assert accuracy == pytest.approx(1 - noise, abs=4 * np.sqrt(noise / 16_000) + 1e-12)
    best = dataset.truth["bayes_accuracy"]
    assert best.summary["all"] == pytest.approx(1 - noise, abs=1e-6)
    share = np.bincount(labels_of(dataset)).max() / 16_000
    assert best.summary["chance"] == pytest.approx(share, abs=4 * np.sqrt(0.25 / 16_000))


@pytest.mark.parametrize(
    "name",
    ["paper-F6", "graded", "suppressor", "redundancy", "redundancy-used", "shortcut", "label-noise"],
)
def test_the_best_rule_of_one_modality_is_as_good_as_its_truth(blank, name):
    scenario, n = synthetic.scenario(name), 16_000
    dataset = generate(scenario, n=n)
    z, labels = every(dataset), labels_of(dataset)
    (law,) = truths(scenario).law.blocks
    assert isinstance(law, GaussianCopula)
    slopes = np.zeros(z.shape[1])
    for term in scenario.decision.terms:
        slopes[scenario.decision.columns_of(term)] += term.weight * np.asarray(term.slopes)
    accuracy = dataset.truth["bayes_accuracy"].subsets["accuracy"]
    known = {modality.name: [modality.name] for modality in dataset.modalities}
    known["the first image and table"] = ["axial", "clinical_a"]
    for names in known.values():
        columns = np.concatenate([np.arange(len(slopes))[scenario.decision.slices[name]] for name in names])
        # F is Gaussian with median 0, so the best guess is the sign of E[F | z_S].
        within = law.covariance[np.ix_(columns, columns)]
        weights = np.linalg.solve(within, law.covariance[columns] @ slopes)
        if np.abs(weights).max() < 1e-12:
            assert accuracy[names] == pytest.approx(0.5, abs=1e-6)
        else:
            found = np.mean((z[:, columns] @ weights >= 0) == labels)
            assert found == pytest.approx(accuracy[names], abs=4 * np.sqrt(0.25 / n))


# Missing values

RULES = (
    Missing(("clinical_a/1", "clinical_a/2"), "mcar", rate=0.4),
    Missing(("clinical_a/3",), "mar", rate=0.3, driver="clinical_b/0", strength=2.0),
    Missing(("clinical_b/9",), "mnar", rate=0.2, strength=1.5),
)


def test_missing_values_are_as_stated(blank):
    scenario, n = make(missing=RULES), 16_000
    dataset, whole = generate(scenario, n=n), generate(make(), n=n)
    z = every(dataset)
    hidden = torch.cat([dataset.missing[split] for split in SPLITS]).numpy()
    assert hidden.dtype == bool
    for split in SPLITS:
        # Latents and labels are those of the whole patient; only what models see is not.
        assert torch.equal(dataset.latents[split], whole.latents[split])
        samples, complete = getattr(dataset, split), getattr(whole, split)
        assert torch.equal(samples.labels, complete.labels)
        for name, columns in scenario.decision.slices.items():
            mask = dataset.missing[split][:, columns]
            if name in ("axial", "coronal"):
                assert not mask.any()
                assert torch.equal(samples.inputs[name], complete.inputs[name])
            else:
                expected = torch.where(mask, 0.0, complete.inputs[name])
                assert torch.equal(samples.inputs[name], expected)
    rates = {21: 0.4, 22: 0.4, 23: 0.3, 39: 0.2}
    for column in range(40):
        if column in rates:
            rate = rates[column]
            assert hidden[:, column].mean() == pytest.approx(rate, abs=4 * np.sqrt(rate / n))
        else:
            assert not hidden[:, column].any()
    # Who is missing: anybody; those with a high driver; those with a high value.
    assert abs(np.corrcoef(hidden[:, 21], z[:, 21])[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(hidden[:, 21], hidden[:, 22])[0, 1]) < 4 / np.sqrt(n)
    for column, decisive in ((23, 30), (39, 39)):
        rule = RULES[1] if column == 23 else RULES[2]
        bins = np.digitize(z[:, decisive], (-1, 0, 1))
        for place in range(4):
            expected = rule.probability(z[bins == place, decisive]).mean()
            assert hidden[bins == place, column].mean() == pytest.approx(expected, abs=0.03)
    assert abs(np.corrcoef(hidden[:, 23], z[:, 23])[0, 1]) < 4 / np.sqrt(n)


def test_a_rule_changes_no_other_columns_mask(blank):
    one, all_three = (generate(make(missing=rules), n=400) for rules in (RULES[:1], RULES))
    for split in SPLITS:
        assert torch.equal(one.missing[split][:, 21:23], all_three.missing[split][:, 21:23])


def test_truths_of_f_ignore_what_is_missing():
    # Models see less; F does not.
    gone, whole = (truths(make(missing=rules)) for rules in (RULES, ()))
    for estimand in ("gradient", "shapley", "total_effect", "permutation"):
        assert gone[estimand].modalities == whole[estimand].modalities


# Real scans, faked


@pytest.mark.parametrize("source", ["organamnist", "organ-ac"])
def test_scenarios_on_scans(scans, source):
    tables = {"labs": LABS, "other": 3}
    scenario = Scenario(
        "mine",
        "d",
        (Term(("image_1/0",)) * Term(("labs/alt",)), Term(("other/*", "image_2/1"))),
        source=source,
        features="pca",
        tables=tables,
        correlations={("other/0", "labs/crp"): 0.5},
        labels=Labels(shares=(0.8, 0.2), noise=0.1),
        missing=(Missing(("other/2",), rate=0.5),),
    )
    dataset = generate(scenario, seed=2)
    assert fingerprint(generate(scenario, seed=2)) == fingerprint(dataset)
    assert len(dataset.train) == (300 if source == "organamnist" else 600)
    image_columns = torch.cat([dataset.latents[split] for split in SPLITS])[:, :10].numpy()
    pool = {tuple(row) for table in scans.values() for row in table}
    assert {tuple(row) for row in image_columns} <= pool
    clean = np.searchsorted(dataset.thresholds, values_of(scenario, dataset), side="right")
    assert clean.mean() == pytest.approx(0.2, abs=0.08)
    assert np.mean(clean != labels_of(dataset)) == pytest.approx(0.1, abs=0.06)
    z = every(dataset)
    assert np.corrcoef(z[:, 22], z[:, 25])[0, 1] == pytest.approx(0.5, abs=0.15)
    assert dataset.missing["train"][:, 27].double().mean() == pytest.approx(0.5, abs=0.12)
    law = truths(scenario).law
    assert [type(block) for block in law.blocks] == [Population, Population, GaussianCopula]
    assert truths(scenario)["total_effect"] == dataset.truth["total_effect"]
    assert pickle.loads(pickle.dumps(dataset)).thresholds == dataset.thresholds  # noqa: S301


@pytest.mark.real_data
def test_scenarios_on_real_scans(real_data_root):
    for name in ("xor", "three-classes", "missing-mcar"):
        scenario = synthetic.scenario(name, source="organamnist", features="pca")
        dataset = generate(scenario, n=4000, data_root=real_data_root)
        shares = np.bincount(labels_of(dataset)) / len(labels_of(dataset))
        if name != "xor":  # whose threshold is given
            # The classes are cut for all scans; those of the three splits differ a little.
            np.testing.assert_allclose(shares, scenario.labels.shares, atol=0.05)
        assert dataset.truth["total_effect"].informative
    for cache in (images._draw_organs, images._scan_features):
        cache.cache_clear()


# What a scenario is


def test_equal_scenarios_are_equal_and_hash_alike():
    one, other = make(**LINKED), make(**LINKED)
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, make()}) == 2
    assert one != "mine"
    _ = one.named_correlations  # kept once it was asked for; no part of what the scenario is
    assert one == other
    assert pickle.loads(pickle.dumps(one)) == other  # noqa: S301


def test_tables_in_another_order_are_another_scenario():
    # The order of the tables is that of the columns of z.
    assert make(tables={"a": 3, "b": 4}) != make(tables={"b": 4, "a": 3})
    assert make(tables={"a": 3}) == make(tables={"a": Table(3)})


def test_lists_will_do():
    scenario = make(terms=[Term(("axial/0",))], missing=[Missing(("clinical_a/0",))])
    assert scenario == make(terms=(Term(("axial/0",)),), missing=(Missing(("clinical_a/0",)),))
    assert hash(scenario)


def test_what_is_done_to_a_mapping_does_not_reach_the_scenario():
    tables, correlations = {"labs": 3}, {("labs/0", "labs/1"): 0.5}
    scenario = make(tables=tables, correlations=correlations)
    tables["more"] = 5
    correlations.clear()
    assert list(scenario.tables) == ["labs"]
    assert scenario.correlations == {("labs/0", "labs/1"): 0.5}


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"terms": (Term(("image_1/*",)),)}, False),
        ({"terms": (Term(("clinical_a/*",)) * Term(("image_2/3",)),)}, False),
        ({"terms": (Term(("clinical_a/*",)) * Term(("axial/liver_size",)),)}, True),
        ({"terms": (Term(("image_1/0",)),), "features": "lesion"}, True),
        ({"terms": (Term(("image_1/0",)),), "correlations": {("clinical_a/0", "image_2/0"): 0.1}}, True),
        ({"terms": (Term(("image_1/0",)),), "correlations": {("clinical_a/0", "clinical_b/0"): 0.1}}, False),
        ({"terms": (Term(("axial/*",)),), "source": "organ-ac", "features": "pca"}, False),
    ],
)
def test_what_needs_rendering(changes, needed):
    assert make(**changes).needs_rendering == needed


REAL = {"source": "organ-ac", "features": "pca", "terms": (Term(("image_1/0",)),)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # Images and names.
        (
            {"source": "organs"},
            r"'mine': .*'source' must be one of phantom, organamnist, organ-ac. Got 'organs'",
        ),
        ({"features": "pca"}, r"'mine': The 'features' of phantom images must be 'anatomy' or 'lesion'. Got"),
        (
            {"source": "organ-ac"},
            r"'features' of organ-ac images must be 'autoencoder' or 'pca'. Got 'anatomy'",
        ),
        ({**REAL, "features": "ae"}, "Got 'ae'"),
        ({"image_size": 30}, r"'image_size' of scenario 'mine' must be one of 28, 64, 128, 224. Got 30"),
        ({"name": ""}, r"'name' of a Scenario must be 1 to 80 letters.*Got ''"),
        ({"name": "../up"}, r"folders are named after it. Got '../up'"),
        ({"name": "a b"}, "Got 'a b'"),
        ({"name": "x" * 81}, "must be 1 to 80 letters"),
        # Terms.
        (
            {"terms": (Term(("axial/lung_size",)),)},
            r"scenario 'mine': In term .*'axial/lung_size' is not a lat",
        ),
        ({"terms": (Term(("image_1/10",)),)}, "Feature 'image_1/10' is not a latent feature"),
        ({"terms": (Term(("labs/*",)),)}, r"'labs/\*' is not .*modalities are axial, coronal, clinical_a"),
        ({"terms": ()}, "scenario 'mine': The 'terms' .* at least one term"),
        # Numbers.
        ({"n": 0}, r"'n' of scenario 'mine' must be a whole number from 1 to 10,000,000, or None. Got 0"),
        ({"n": 400.0}, r"Got 400.0"),
        ({"n": True}, r"Got True"),
        ({"n": 10**9}, r"Got 1000000000"),
        # Tables.
        ({"tables": {"axial": 3}}, r"'tables' of scenario 'mine' must have distinct names .*Got 'axial'"),
        ({"tables": {"image_1": 3}}, r"no image has \(axial, coronal, image_1, image_2\). Got 'image_1'"),
        (
            {"tables": {"labs": "alt"}},
            r"Table 'labs' of scenario 'mine' must be a Table or a number.*Got 'alt'",
        ),
        ({"tables": {"labs": True}}, r"Got True"),
        ({"tables": {"labs": 0}}, r"at least one.*Got columns=0"),
        ({"tables": {"a/b": 3}}, r"must not be empty or contain '/'.*Got 'a/b'"),
        ({"tables": {"a": 3000, "b": 2001}}, r"at most 5,000 columns in all. Got 5,001"),
        (
            {"tables": {"a": Table(variables=("alt",)), "b": Table(variables=("alt",))}},
            r"scenario 'mine': Variable 'alt' must be in one table.*Got it in 'a' and 'b'",
        ),
        # Correlations.
        (
            {"correlations": {("clinical_a/0", "clinical_c/0"): 0.5}},
            r"'correlations' of scenario 'mine': Feature 'clinical_c/0' is not",
        ),
        (
            {"tables": {"a": 3, "b": 4}, "correlations": {("a/*", "b/*"): 0.5}},
            r"scenario 'mine' must pair equally many .* Got 'a/\*' \(3\) and 'b/\*' \(4\)",
        ),
        (
            {"correlations": {("clinical_a/0", "clinical_a/*"): 0.9}},
            r"scenario 'mine': .*two different features. Got 'clinical_a/feature_0' twice",
        ),
        (
            {"correlations": {("clinical_a/0", "clinical_b/*"): 0.9}},
            r"scenario 'mine': The 'correlations' must form a positive definite matrix. Got .* -1.85",
        ),
        ({"correlations": {("clinical_a/0", "axial/0"): 1.0}}, r"must lie in \(-1, 1\), .*Got 1.0"),
        ({"correlations": {("clinical_a/0", "axial/0"): float("nan")}}, r"must lie in \(-1, 1\), .*Got nan"),
        (
            {"correlations": {("clinical_a/0", "axial/0"): 0.1, ("axial/0", "clinical_a/0"): 0.2}},
            r"'correlations' of scenario 'mine' must name every pair once. Got 'axial/liver_attenuation' and",
        ),
        (
            {"correlations": {("clinical_a/*", "image_1/*"): 0.1, ("clinical_a/3", "image_1/3"): 0.2}},
            r"again under 'clinical_a/3' and 'image_1/3'; drop one",
        ),
        (
            {"tables": {"labs": LABS}, "correlations": {("labs/diabetes", "axial/0"): 0.3}},
            r"'mine' must leave out binary features.*Got 0.3 for 'labs/diabetes' and 'axial/liver_att",
        ),
        (
            {**REAL, "correlations": {("clinical_a/0", "image_2/0"): 0.3}},
            r"Scenario 'mine' links clinical_a/feature_0 and coronal/pca_0. .*use source='phantom'",
        ),
        # Missing values.
        (
            {"missing": (Missing(("clinical_z/*",)),)},
            r"scenario 'mine': In the 'features' of Missing: Feature 'clinical_z/\*'",
        ),
        ({"missing": (Missing(("axial/0",)),)}, "scenario 'mine': .*must be columns of tables.*Got 'axial"),
        (
            {
                "missing": (Missing(("clinical_a/1",)),),
                "correlations": {("clinical_a/1", "axial/0"): 0.2},
            },
            r"'missing' of scenario 'mine' must be indep.*with 'axial/liver_attenuation' is 0.2; set it to 0",
        ),
        (
            {"tables": {"labs": LABS}, "missing": (Missing(("labs/crp",)),)},
            r"Got 'labs/crp', whose correlation with 'labs/bmi' is 0.31; set it to 0",
        ),
        (
            {"missing": (Missing(("clinical_a/*",)), Missing(("clinical_a/1",)))},
            r"scenario 'mine': Feature 'clinical_a/feature_1' must be under one rule",
        ),
    ],
)
def test_a_bad_scenario_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_correlation_of_0_counts_as_none():
    tables = {"labs": Table(variables=("alt", "ast", "diabetes"))}
    free = make(
        tables=tables,
        correlations={("labs/alt", "labs/ast"): 0.0, ("labs/diabetes", "labs/alt"): 0.0},
        missing=(Missing(("labs/alt",)),),
    )
    assert list(free.missing_rules) == ["labs/alt"]


def test_wide_tables_cost_no_time():
    # The matrix that is checked is that of the correlated features alone.
    scenario = make(
        tables={"genes": 4000}, correlations={("genes/0", "genes/3999"): 0.5, ("genes/7", "axial/0"): 0.5}
    )
    covariance = scenario.copula.covariance
    assert covariance[20, 4019] == covariance[4019, 20] == covariance[0, 27] == 0.5
    assert np.count_nonzero(covariance) == 4020 + 4
