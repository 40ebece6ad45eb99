from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

from synthetic.types import Modality, Samples, SubsetValues, Truth, as_float


def make_samples(n=6):
    generator = torch.Generator().manual_seed(0)
    return Samples(
        {
            "axial": torch.randint(0, 256, (n, 1, 4, 3), dtype=torch.uint8, generator=generator),
            "clinical": torch.randn(n, 2, generator=generator),
        },
        torch.arange(n) % 2,
    )


def test_a_modality_names_its_features_in_full():
    modality = Modality("axial", "image", ("liver", "fat"))
    assert modality.features == ("axial/liver", "axial/fat")


@pytest.mark.parametrize(
    ("name", "kind", "latents", "message"),
    [
        ("", "image", ("a",), "'name' of a Modality must not be empty.*such as 'axial'"),
        # "a" with the latent "b/c" and "a/b" with the latent "c" would be one feature.
        ("a/b", "image", ("c",), "must not be empty or contain '/'.*Got 'a/b'"),
        ("axial", "images", ("a",), "'kind' of Modality 'axial' must be 'image' or 'table'.*Got 'images'"),
        ("axial", "image", (), r"'latents' of Modality 'axial' must be one or more distinct names.*Got \(\)"),
        ("axial", "image", ("a", "b", "a"), "distinct names"),
    ],
)
def test_a_bad_modality_is_refused(name, kind, latents, message):
    with pytest.raises(ValueError, match=message):
        Modality(name, kind, latents)


TABLE = torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        ({}, None, "at least one modality"),
        ({"a": TABLE, "b": torch.zeros(4, 2)}, None, r"one row a patient.*\{'a': 3, 'b': 4\}"),
        ({"a": torch.zeros(3)}, None, r"'a' must be a table \[n, columns\] or an image.*Got shape \(3,\)"),
        ({"a": torch.zeros(())}, None, r"'a' must be a table.*Got shape \(\)"),
        ({"a": torch.zeros(3, 28, 28)}, None, r"or an image \[n, channels.*Got shape \(3, 28, 28\)"),
        ({"a": TABLE.to(torch.complex64)}, None, "'a' must hold real numbers. Got torch.complex64"),
        ({"a": torch.zeros(3, 1, 28, 28).long()}, None, "'a' is an image .*uint8 .*Got torch.int64"),
        ({"a": TABLE.numpy()}, None, "'a' must be a torch tensor. Got ndarray.*as_tensor"),
        ({"a": TABLE, "b": TABLE / 0}, None, "'b' must be finite. Got 6 NaN or infinite.*impute or drop"),
        ({"a": torch.tensor([[1.0, torch.inf]])}, None, "'a' must be finite. Got 1 NaN"),
        ({"a": TABLE}, torch.zeros(2, dtype=torch.int64), r"int64 of shape \(3,\).*of shape \(2,\)"),
        ({"a": TABLE}, torch.zeros(3, 1, dtype=torch.int64), r"shape \(3,\).*Got .*shape \(3, 1\)"),
        ({"a": TABLE}, torch.zeros(3), "must be int64.*Got torch.float32"),
    ],
)
def test_bad_samples_are_refused(inputs, labels, message):
    with pytest.raises(ValueError, match=message):
        Samples(inputs, labels)


@pytest.mark.parametrize(
    "rows",
    [slice(1, 6, 2), torch.tensor([1, 3, 5]), np.array([1, 3, 5]), np.array([False, True] * 3)],
    ids=["slice", "tensor", "array", "mask"],
)
def test_take_picks_the_same_patients_everywhere(rows):
    samples = make_samples()
    taken = samples.take(rows)
    assert len(taken) == 3
    assert taken.modalities == ("axial", "clinical")
    for name in samples.modalities:
        assert torch.equal(taken.inputs[name], samples.inputs[name][[1, 3, 5]])
    assert taken.labels.tolist() == [1, 1, 1]


def test_take_keeps_the_order_asked_for():
    samples = make_samples()
    taken = samples.take(torch.tensor([4, 0]))
    assert torch.equal(taken.inputs["clinical"], samples.inputs["clinical"][[4, 0]])
    assert taken.labels.tolist() == [0, 0]


def test_as_float_scales_bytes_and_nothing_else():
    samples = make_samples()
    before = samples.inputs["axial"].clone()
    scaled = samples.as_float()
    assert {value.dtype for value in scaled.inputs.values()} == {torch.float32}
    expected = before.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(scaled.inputs["axial"].numpy(), expected, atol=1e-7)
    assert torch.equal(scaled.inputs["clinical"], samples.inputs["clinical"])
    assert torch.equal(scaled.labels, samples.labels)
    assert torch.equal(samples.inputs["axial"], before)
    # A floating image is 0…1 already.
    assert torch.equal(scaled.as_float().inputs["axial"], scaled.inputs["axial"])
    assert as_float(torch.ones(2, 2, dtype=torch.float64)).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_without_labels_withholds_them():
    samples = make_samples()
    bare = samples.without_labels()
    assert bare.labels is None
    assert bare.take(slice(2)).labels is None
    assert bare.as_float().labels is None
    assert torch.equal(bare.inputs["clinical"], samples.inputs["clinical"])
    assert samples.labels is not None


def test_inputs_cannot_be_exchanged():
    given = {"a": TABLE}
    samples = Samples(given)
    with pytest.raises(TypeError):
        samples.inputs["a"] = TABLE + 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        samples.inputs = {}
    given["b"] = TABLE
    assert samples.modalities == ("a",)


@pytest.mark.parametrize("again", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy])  # noqa: S301
@pytest.mark.parametrize("labelled", [True, False])
def test_samples_survive_the_way_to_another_process(again, labelled):
    samples = make_samples() if labelled else make_samples().without_labels()
    other = again(samples)
    assert other.modalities == samples.modalities
    for name, value in samples.inputs.items():
        assert other.inputs[name].dtype == value.dtype
        assert torch.equal(other.inputs[name], value)
    if labelled:
        assert torch.equal(other.labels, samples.labels)
    else:
        assert other.labels is None
    with pytest.raises(TypeError):
        other.inputs["axial"] = TABLE


@pytest.mark.parametrize(
    ("shares", "errors", "message"),
    [
        ({"a": 0.7, "b": 0.4}, {"a": 0, "b": 0}, "'gradient' truth must be non-negative and sum to 1.*0.7"),
        ({"a": 1.2, "b": -0.2}, {"a": 0, "b": 0}, "non-negative"),
        ({"a": float("nan"), "b": 1.0}, {"a": 0, "b": 0}, "non-negative and sum to 1"),
        ({}, {}, "sum to 1"),
        ({"a": 1.0, "b": 0.0}, {"a": 0.0}, r"'standard_error'.*\['a', 'b'\].*Got \['a'\]"),
    ],
)
def test_a_bad_truth_is_refused(shares, errors, message):
    with pytest.raises(ValueError, match=message):
        Truth("gradient", shares, {}, errors)


def test_a_truth_may_be_told_by_its_shares_alone():
    truth = Truth("gradient", {"a": 0.25, "b": 0.75}, {}, {"a": 0.0, "b": 0.0})
    assert truth.informative
    assert truth.method == "closed form"
    assert truth.raw == truth.subsets == truth.pairs == truth.summary == {}


VALUES = SubsetValues(("a", "b", "c"), ("a", "c"), np.array([0.5, 0.6, 0.7, 0.9]))


@pytest.mark.parametrize(
    ("names", "value"),
    [
        ((), 0.5),
        (("a",), 0.6),
        (["c"], 0.7),
        (("c", "a"), 0.9),
        (("a", "a"), 0.6),
        ({"b"}, 0.5),
        (("a", "b"), 0.6),
        (("a", "b", "c"), 0.9),
        ((name for name in "ca"), 0.9),
    ],
)
def test_a_subset_has_the_value_of_what_matters_in_it(names, value):
    found = VALUES[names]
    assert found == value
    assert type(found) is float


def test_subsets_are_listed_smallest_first():
    values = SubsetValues(("a", "b", "c"), ("a", "b", "c"), np.arange(8.0))
    assert [names for names, _ in values.items()] == [
        (),
        ("a",),
        ("b",),
        ("c",),
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
        ("a", "b", "c"),
    ]
    for names, value in values.items():
        assert value == sum(1 << "abc".index(name) for name in names)


def test_an_unknown_modality_has_no_value():
    with pytest.raises(ValueError, match=r"There is no modality 'd'. There are a, b, c\."):
        VALUES["a", "d"]


@pytest.mark.parametrize("shape", [(2,), (5,), (2, 2), ()])
def test_there_is_one_value_a_subset(shape):
    with pytest.raises(ValueError, match=r"one for each of the 4 subsets of the players\. Got shape"):
        SubsetValues(("a", "b", "c"), ("a", "c"), np.zeros(shape))


def test_values_of_subsets_are_compared_by_content():
    others = [
        SubsetValues(("a", "b", "c"), ("a", "b"), VALUES.values),
        SubsetValues(("a", "c"), ("a", "c"), VALUES.values),
        SubsetValues(("a", "b", "c"), ("a", "c"), VALUES.values + 1e-9),
        3,
    ]
    assert SubsetValues(("a", "b", "c"), ("a", "c"), VALUES.values.copy()) == VALUES
    assert all(other != VALUES for other in others)
