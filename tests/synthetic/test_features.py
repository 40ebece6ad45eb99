from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from synthetic import features, medmnist
from synthetic.features import latent_features

KINDS = ("autoencoder", "pca")


def pictures(n: int, seed: int, height: int = 12, width: int = 10) -> np.ndarray:
    """Draw smooth pictures that vary in eight ways, with a little noise: uint8 [n, height, width]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = np.stack([np.cos(np.pi * (i * y + j * x)) for i, j in np.ndindex(3, 3) if i + j])
    amplitude = rng.normal(size=(n, 8)) * 25 / np.arange(1, 9) ** 0.5
    images = 128 + np.tensordot(amplitude, waves, axes=1) + rng.normal(size=(n, height, width)) * 2
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return {"train": pictures(300, 0), "val": pictures(40, 1), "test": pictures(60, 2)}


@pytest.fixture(autouse=True)
def short_training(request, monkeypatch):
    if "real_data" not in request.keywords:
        monkeypatch.setattr(features, "N_STEPS", 40)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_standardised_over_the_training_split(images, kind):
    latent = latent_features(images, kind=kind, n_features=5, cache=False)
    assert latent.kind == kind
    assert {split: value.shape for split, value in latent.values.items()} == {
        "train": (300, 5), "val": (40, 5), "test": (60, 5)
    }  # fmt: skip
    assert {value.dtype for value in latent.values.values()} == {np.dtype(np.float32)}
    train = latent.values["train"].astype(float)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-6)
    # The other splits are scaled by the training split, not by themselves.
    assert abs(latent.values["test"].mean(axis=0)).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_only_training_images_move_the_fit(images, kind):
    changed = {"train": images["train"], "val": pictures(40, 7), "test": 255 - images["test"]}
    one = latent_features(images, kind=kind, n_features=5, cache=False)
    other = latent_features(changed, kind=kind, n_features=5, cache=False)
    alone = latent_features({"train": images["train"]}, kind=kind, n_features=5, cache=False)
    assert one.key == other.key == alone.key
    np.testing.assert_array_equal(one.values["train"], other.values["train"])
    np.testing.assert_array_equal(one.values["train"], alone.values["train"])
    assert one.reconstruction_r2["train"] == other.reconstruction_r2["train"]
    assert abs(one.values["test"] - other.values["test"]).max() > 0.1
    # The control: one pixel of one training image is enough.
    train = images["train"].copy()
    train[0, 5, 5] ^= 64
    moved = latent_features({"train": train}, kind=kind, n_features=5, cache=False)
    assert moved.key != one.key
    assert abs(one.values["train"] - moved.values["train"]).max() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_features_are_the_same_whatever_the_random_state_and_the_threads(images, kind, n_threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        torch.manual_seed(n_threads)
        state = torch.get_rng_state()
        latent = latent_features(images, kind=kind, n_features=4, cache=False)
        assert torch.get_num_threads() == n_threads
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)
    reference = latent_features(images, kind=kind, n_features=4, cache=False)
    np.testing.assert_array_equal(latent.values["test"], reference.values["test"])


def test_a_failure_restores_the_threads(images, monkeypatch):
    def fail(*_):
        assert torch.get_num_threads() == 1
        raise RuntimeError("stop")

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        monkeypatch.setattr(features, "_fit_pca", fail)
        with pytest.raises(RuntimeError, match="stop"):
            latent_features(images, kind="pca", cache=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(images, mode):
    with mode():
        inside = latent_features(images, n_features=3, cache=False)
    outside = latent_features(images, n_features=3, cache=False)
    np.testing.assert_array_equal(inside.values["train"], outside.values["train"])


def test_pca_equals_the_singular_value_decomposition(images):
    latent = latent_features(images, kind="pca", n_features=4, cache=False)
    flat = images["train"].reshape(300, -1) / 255
    mean = flat.mean(axis=0)
    _, sizes, axes = np.linalg.svd(flat - mean, full_matrices=False)
    signs = np.sign([axis[abs(axis).argmax()] for axis in axes[:4]])
    test = (images["test"].reshape(60, -1) / 255 - mean) @ (signs[:, None] * axes[:4]).T
    expected = test / (sizes[:4] / np.sqrt(300))
    np.testing.assert_allclose(latent.values["test"], expected, atol=1e-4)
    share = (sizes[:4] ** 2).sum() / (sizes**2).sum()
    assert latent.reconstruction_r2["train"] == pytest.approx(share, abs=1e-5)


@pytest.mark.slow
def test_training_the_autoencoder_improves_the_reconstruction(images, monkeypatch):
    monkeypatch.setattr(features, "N_STEPS", 1)
    untrained = latent_features(images, n_features=8, cache=False)
    monkeypatch.setattr(features, "N_STEPS", 300)
    trained = latent_features(images, n_features=8, cache=False)
    assert untrained.reconstruction_r2["test"] < 0.2
    assert trained.reconstruction_r2["test"] > 0.8
    assert trained.key != untrained.key


def test_progress_counts_the_steps(images):
    seen = []
    latent_features(images, n_features=3, cache=False, progress=lambda done, n: seen.append((done, n)))
    assert seen == [(step, 40) for step in range(1, 41)]


@settings(max_examples=25, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 40))
def test_the_autoencoder_gives_back_every_size(height, width):
    model = features.Autoencoder(height, width, 3)
    with torch.no_grad():
        code = model.encoder(torch.zeros(2, 1, height, width))
        assert code.shape == (2, 3)
        assert model.decoder(code).shape == (2, 1, height, width)


def test_every_training_image_is_used_equally():
    rows = torch.cat(list(features._batches(100, 25, 12)))
    assert rows.bincount(minlength=100).tolist() == [3] * 100


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_time_comes_from_the_cache(images, kind, tmp_path):
    first = latent_features(images, kind=kind, n_features=4, cache=tmp_path)
    second = latent_features(images, kind=kind, n_features=4, cache=tmp_path)
    assert not first.cached
    assert second.cached
    for split in images:
        np.testing.assert_array_equal(first.values[split], second.values[split])
        assert first.reconstruction_r2[split] == second.reconstruction_r2[split]
    assert [each.name for each in tmp_path.iterdir()] == [f"{first.key}.safetensors"]


def test_whatever_determines_the_fit_is_in_the_key(images, monkeypatch):
    def keys():
        return [
            latent_features(given, kind=kind, n_features=n, cache=False).key
            for given, kind, n in [
                (images, "pca", 4),
                (images, "pca", 5),
                (images, "autoencoder", 4),
                ({"train": images["train"].reshape(300, 10, 12)}, "pca", 4),
                ({"train": images["train"][1:]}, "pca", 4),
            ]
        ]

    monkeypatch.setattr(features, "N_STEPS", 2)
    before = keys()
    assert len(set(before)) == len(before)
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    assert not set(before) & set(keys())
    monkeypatch.undo()
    monkeypatch.setattr(features, "N_STEPS", 2)
    monkeypatch.setattr(torch, "__version__", "0.0")
    other_torch = keys()
    assert [a == b for a, b in zip(before, other_torch, strict=True)] == [True, True, False, True, True]


def test_the_cache_lies_where_the_environment_says(images, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path))
    key = latent_features(images, kind="pca", n_features=4).key
    assert (tmp_path / "features" / f"{key}.safetensors").is_file()


def test_a_damaged_cache_entry_is_made_again(images, tmp_path, caplog):
    first = latent_features(images, kind="pca", n_features=4, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    second = latent_features(images, kind="pca", n_features=4, cache=tmp_path)
    assert not second.cached
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(first.values["train"], second.values["train"])
    assert latent_features(images, kind="pca", n_features=4, cache=tmp_path).cached


def test_an_unwritable_cache_is_reported_and_done_without(images, tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        latent = latent_features(images, kind="pca", n_features=4, cache=tmp_path / "file" / "cache")
    assert not latent.cached
    assert latent.values["train"].shape == (300, 4)
    assert "Going on without a cache" in caplog.text


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "Latent feature 2 is not finite on split 'val'"),
     (np.inf, "Latent feature 2 is not finite on split 'val'"),
     (5.0, r"Latent feature 2 is constant on split 'val' \(1 such features\).*'n_features'")],
)  # fmt: skip
def test_a_useless_feature_is_refused_and_not_stored(images, tmp_path, monkeypatch, value, message):
    encode = features._encode

    def spoil(fitted, pixels, kind, n_features):
        codes, r2 = encode(fitted, pixels, kind, n_features)
        if len(pixels) == len(images["val"]):
            codes[:, 2] = value
        return codes, r2

    monkeypatch.setattr(features, "_encode", spoil)
    with pytest.raises(ValueError, match=message):
        latent_features(images, kind="pca", n_features=4, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_copies_of_one_image_are_refused(images, kind, split):
    copies = {**images, split: np.repeat(images[split][:1], 50, axis=0)}
    with pytest.raises(ValueError, match=f"images of split '{split}' are all the same.* Got 50 copies"):
        latent_features(copies, kind=kind, cache=False)


def test_images_of_too_few_kinds_are_refused():
    grey = np.repeat(np.arange(200, dtype=np.uint8), 30).reshape(200, 6, 5)  # vary in brightness, and only so
    with pytest.raises(
        ValueError, match=r"Latent feature 1 is constant on split 'train' \(2 such features\)"
    ):
        latent_features({"train": grey}, kind="pca", n_features=3, cache=False)
    assert latent_features({"train": grey}, kind="pca", n_features=1, cache=False).values["train"].any()


def test_a_single_test_image_is_enough(images):
    latent = latent_features({**images, "test": images["test"][:1]}, kind="pca", n_features=4, cache=False)
    assert latent.values["test"].shape == (1, 4)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"kind": "vae"}, "'kind' must be 'autoencoder' or 'pca'. Got 'vae'"),
        ({}, {"n_features": 0}, "'n_features' must be between 1 and 120.* Got 0"),
        ({}, {"n_features": 121}, "'n_features' must be between 1 and 120.* Got 121"),
        ({"train": pictures(5, 0)}, {"n_features": 5}, "'n_features' must be between 1 and 4.* Got 5"),
        ({"test": pictures(5, 0, 12, 12)}, {}, r"Got uint8 with shape \(5, 12, 12\) for 'test'"),
        ({"test": pictures(5, 0) / 255}, {}, "must be uint8.* Got float64 .* for 'test'"),
        ({"val": pictures(0, 0)}, {}, r"not empty. Got uint8 with shape \(0, 12, 10\) for 'val'"),
        ({"train": pictures(5, 0)[:, None]}, {}, r"Got uint8 with shape \(5, 1, 12, 10\) for 'train'"),
    ],
)
def test_bad_input_is_named(images, change, arguments, message):
    with pytest.raises(ValueError, match=message):
        latent_features({**images, **change}, **{"kind": "pca", "cache": False, **arguments})


def test_a_training_split_is_needed(images):
    with pytest.raises(ValueError, match=r"must have a split 'train' to fit on. Got \['test'\]"):
        latent_features({"test": images["test"]}, cache=False)


@pytest.mark.slow
@pytest.mark.real_data
def test_ten_components_explain_sixty_percent_of_the_real_scans(real_data_root):
    scans = medmnist.load(data_root=real_data_root, download=False)
    latent = latent_features(scans.images, kind="pca", cache=False)
    assert latent.reconstruction_r2["train"] == pytest.approx(0.5986, abs=5e-4)
    assert latent.reconstruction_r2["test"] == pytest.approx(0.5772, abs=5e-4)


@pytest.mark.slow
@pytest.mark.real_data
def test_the_autoencoder_beats_ten_components_on_the_real_scans(real_data_root, tmp_path):
    scans = medmnist.load(data_root=real_data_root, download=False)
    latent = latent_features(scans.images, cache=tmp_path)
    linear = latent_features(scans.images, kind="pca", cache=tmp_path)
    for split, r2 in latent.reconstruction_r2.items():
        assert r2 > linear.reconstruction_r2[split] + 0.01
    # Smooth: a ridge regression on the pixels already finds most of each feature.
    rows = {split: scans.images[split].reshape(-1, 784) / 255 for split in ("train", "test")}
    guess = Ridge().fit(rows["train"], latent.values["train"]).predict(rows["test"])
    test = latent.values["test"]
    unexplained = ((guess - test) ** 2).sum(axis=0) / ((test - test.mean(axis=0)) ** 2).sum(axis=0)
    assert (1 - unexplained).min() > 0.85
    assert latent_features(scans.images, cache=tmp_path).cached
