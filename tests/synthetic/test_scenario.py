from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import synthetic
from synthetic import images
from synthetic.clinical import GaussianTables
from synthetic.decision import Term
from synthetic.scenario import Scenario, generate
from synthetic.seeding import numpy_rng

SPLITS = ("train", "explain", "test")


def paper(case, n=240, seed=0):
    return generate(synthetic.scenario(f"paper-F{case}"), seed=seed, n=n)


def tensors(dataset):
    """Every tensor of a dataset, in a fixed order."""
    for split in SPLITS:
        samples = getattr(dataset, split)
        yield from (samples.inputs[name] for name in sorted(samples.modalities))
        yield samples.labels
        yield dataset.latents[split]


def fingerprint(dataset):
    digest = hashlib.sha256(repr((dataset.threshold, dataset.decision_scale)).encode())
    for tensor in tensors(dataset):
        digest.update(repr((tensor.shape, tensor.dtype)).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def clear_draws():
    images._draw_phantom.cache_clear()


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
        assert torch.equal(samples.labels, (values >= dataset.threshold).long())
    values = dataset.latents["train"].double().sum(1)
    assert dataset.threshold == pytest.approx(float(np.median(values.numpy())), rel=1e-12)
    assert dataset.decision_scale == pytest.approx(float(values.std()), rel=1e-12)


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("n", [400, 403])
def test_classes_balance(case, n):
    dataset = paper(case, n=n)
    n_train, n_test = len(dataset.train), len(dataset.test)
    assert abs(2 * int(dataset.train.labels.sum()) - n_train) <= 2
    share = float(dataset.test.labels.double().mean())
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / n_test + 0.25 / n_train)


@pytest.mark.parametrize("case", range(8))
def test_the_truth_is_that_of_the_data(case):
    scenario = synthetic.scenario(f"paper-F{case}")
    dataset = generate(scenario, seed=1, n=2000)
    z = torch.cat([dataset.latents[split] for split in SPLITS]).double().requires_grad_()
    (slopes,) = torch.autograd.grad(scenario.decision(z).sum(), z)
    mean = slopes.abs().mean(0)
    shares = mean / mean.sum()
    truth = dataset.truth["gradient"]
    assert list(truth.features) == [name for modality in dataset.modalities for name in modality.features]
    np.testing.assert_allclose(list(truth.features.values()), shares.numpy(), atol=0.01)


def test_the_same_seed_gives_the_same_dataset():
    one = fingerprint(paper(7))
    clear_draws()
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    assert fingerprint(paper(7)) == one


def test_another_process_gives_the_same_dataset():
    here = Path(__file__)
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_scenario as it; "
    code += "print(it.fingerprint(it.paper(6)))"
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=here.parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert result.stdout.strip() == fingerprint(paper(6))


def test_seeds_share_nothing():
    one, other = paper(6, seed=0), paper(6, seed=1)
    for split in SPLITS:
        both = torch.cat([one.latents[split], other.latents[split]])
        for columns in (slice(0, 10), slice(10, 20), slice(20, 30), slice(30, 40)):
            assert len(both[:, columns].unique(dim=0)) == len(both)
        for view in ("axial", "coronal"):
            same = getattr(one, split).inputs[view] == getattr(other, split).inputs[view]
            assert not same.flatten(1).all(1).any()
    assert one.threshold != other.threshold
    # The truth is a property of the scenario, not of the draw.
    assert one.truth == other.truth


def test_generating_leaves_the_global_generators_alone():
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    clear_draws()
    paper(7)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


def test_no_patient_is_in_two_splits():
    dataset = paper(6, n=800)
    every = torch.cat([dataset.latents[split] for split in SPLITS])
    assert len(every.unique(dim=0)) == len(every) == 800
    # Neither as a whole nor in one table.
    for columns in (slice(0, 10), slice(10, 20), slice(20, 30), slice(30, 40)):
        assert len(every[:, columns].unique(dim=0)) == 800


def test_scenarios_share_their_patients():
    reference = paper(0)
    for case in range(1, 8):
        other = paper(case)
        for split in SPLITS:
            assert torch.equal(other.latents[split], reference.latents[split])
            for name, value in getattr(reference, split).inputs.items():
                assert torch.equal(getattr(other, split).inputs[name], value)
        assert not torch.equal(other.train.labels, reference.train.labels)


@pytest.mark.parametrize("part", ["images", "tables"])
@pytest.mark.parametrize("split", ["explain", "test"])
def test_only_training_patients_set_the_threshold(monkeypatch, part, split):
    before = paper(6)
    if part == "images":

        def drawn(*arguments, draw=images.draw, **options):
            result = draw(*arguments, **options)
            latents = {**result.latents, split: result.latents[split] * 3 + 50}
            return dataclasses.replace(result, latents=latents)

        monkeypatch.setattr(images, "draw", drawn)
    else:
        monkeypatch.setitem(
            generate.__globals__,
            "numpy_rng",
            lambda *names: np.random.default_rng(3) if split in names else numpy_rng(*names),
        )
    after = paper(6)
    assert not torch.equal(after.latents[split], before.latents[split])
    assert torch.equal(after.latents["train"], before.latents["train"])
    assert (after.threshold, after.decision_scale) == (before.threshold, before.decision_scale)
    assert torch.equal(after.train.labels, before.train.labels)


def test_a_change_of_the_training_patients_moves_the_threshold(monkeypatch):
    before = paper(6)

    def drawn(*arguments, draw=images.draw, **options):
        result = draw(*arguments, **options)
        return dataclasses.replace(result, latents={**result.latents, "train": result.latents["train"] + 1})

    monkeypatch.setattr(images, "draw", drawn)
    after = paper(6)
    assert after.threshold == pytest.approx(before.threshold + 20, abs=1e-4)


def test_what_one_user_does_to_a_dataset_does_not_reach_the_next():
    before = fingerprint(paper(4))
    spoilt = paper(4)
    for tensor in tensors(spoilt):
        tensor.zero_()
    assert fingerprint(spoilt) != before
    assert fingerprint(paper(4)) == before


def test_the_inputs_share_no_memory_with_the_latent_features():
    dataset = paper(5)
    z = dataset.latents["explain"].clone()
    dataset.explain.inputs["clinical_a"].zero_()
    assert torch.equal(dataset.latents["explain"], z)


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


def make(**changes):
    arguments = {"name": "mine", "description": "", "terms": (Term(("axial/liver_size",)),), **changes}
    return Scenario(**arguments)


def test_a_scenario_of_ones_own():
    tables = GaussianTables({"labs": 3}, {(0, 2): 0.8})
    terms = (Term(("axial/liver_size",)), Term(("labs/feature_0", "labs/feature_2"), "square", 0.5))
    dataset = generate(make(terms=terms, tables=tables), seed=0, n=4000)
    assert tuple(dataset.train.inputs) == ("axial", "coronal", "labs")
    # E|∂F/∂z| = 1 for the liver, E|u| = √(2/π · 3.6) for each of the two table columns.
    labs = 2 * np.sqrt(2 / np.pi * 3.6)
    assert list(dataset.truth["gradient"].modalities.values()) == pytest.approx(
        [1 / (1 + labs), 0, labs / (1 + labs)]
    )
    assert torch.corrcoef(dataset.train.inputs["labs"].T)[0, 2] == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "organs"}, "'source' must be one of phantom, organamnist, organ-ac. Got 'organs'"),
        ({"features": "pca"}, "'features' of phantom images must be 'anatomy'. Got 'pca'"),
        (
            {"source": "organ-ac"},
            "'features' of organ-ac images must be 'autoencoder' or 'pca'. Got 'anatomy'",
        ),
        ({"source": "organ-ac", "features": "ae"}, "Got 'ae'"),
        ({"terms": (Term(("axial/lung_size",)),)}, "'axial/lung_size' of term .* is not a latent feature"),
        ({"terms": ()}, "at least one term"),
        ({"tables": GaussianTables({"axial": 3})}, "distinct names"),
    ],
)
def test_a_bad_scenario_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
