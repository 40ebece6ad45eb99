from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import synthetic
from synthetic import features, images, medmnist, phantom
from synthetic.law import Population
from synthetic.seeding import numpy_rng

OFFICIAL = {"train": "train", "explain": "val", "test": "test"}
N_SCANS = {
    "organamnist": {"train": 300, "val": 80, "test": 141},
    "organcmnist": {"train": 120, "val": 50, "test": 60},
}


def fake_scans(flag, size):
    """Scans whose first pixels say which file, split and row they are."""
    pixels = {}
    for place, (split, n) in enumerate(N_SCANS[flag].items()):
        pixels[split] = np.zeros((n, size, size), dtype=np.uint8)
        pixels[split][:, 0, 0] = tuple(N_SCANS).index(flag)
        pixels[split][:, 0, 1] = place
        pixels[split][:, 0, 2], pixels[split][:, 0, 3] = np.divmod(np.arange(n), 256)
    labels = {split: np.zeros(n, dtype=np.int64) for split, n in N_SCANS[flag].items()}
    return medmnist.Scans(flag, pixels, labels, Path(flag), "0")


def fake_values(flag_place, split_place, n):
    return np.random.default_rng([flag_place, split_place]).standard_normal((n, 10)).astype(np.float32)


def fake_features(pixels, *, kind, n_features):
    assert n_features == 10
    values = {
        split: fake_values(int(value[0, 0, 0]), int(value[0, 0, 1]), len(value))
        for split, value in pixels.items()
    }
    return features.LatentFeatures(kind, values, {}, "0", cached=False)


@pytest.fixture
def loaded(monkeypatch):
    """Put small scans in the place of the real ones; return the files that were asked for."""
    calls = []

    def load(flag, *, data_root, size):
        calls.append((flag, data_root, size))
        return fake_scans(flag, size)

    monkeypatch.setattr(medmnist, "load", load)
    monkeypatch.setattr(features, "latent_features", fake_features)
    caches = (images._draw_organs, images._scan_features)
    for cache in caches:
        cache.cache_clear()
    yield calls
    for cache in caches:
        cache.cache_clear()


def draw_organs(source="organamnist", *, n=None, seed=0, kind="pca", data_root=None):
    return images.draw(source, size=28, kind=kind, n=n, seed=seed, data_root=data_root)


def rows_of(pixels):
    assert pixels.shape[1:] == (1, 28, 28)
    return pixels[:, 0, 0, 2].astype(int) * 256 + pixels[:, 0, 0, 3]


@pytest.mark.parametrize(
    ("source", "kind", "names"),
    [
        ("phantom", "anatomy", ("axial", "coronal")),
        ("phantom", "lesion", ("axial", "coronal")),
        ("organamnist", "autoencoder", ("axial_1", "axial_2")),
        ("organ-ac", "pca", ("axial", "coronal")),
    ],
)
def test_a_source_has_two_image_modalities_of_ten_features(source, kind, names):
    pair = images.modalities(source, kind)
    assert tuple(modality.name for modality in pair) == names
    for modality in pair:
        assert modality.kind == "image"
        numbered = tuple(f"{kind}_{place}" for place in range(10))
        expected = phantom.latent_names(modality.name, kind=kind) if source == "phantom" else numbered
        assert modality.latents == expected
        assert len(modality.latents) == 10


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("phantoms", "anatomy", "'source' must be one of phantom, organamnist, organ-ac. Got 'phantoms'"),
        ("phantom", "pca", "'features' of phantom images must be 'anatomy' or 'lesion'. Got 'pca'"),
        ("organamnist", "anatomy", "of organamnist images must be 'autoencoder' or 'pca'. Got 'anatomy'"),
        ("organ-ac", "anatomy", "of organ-ac images must be 'autoencoder' or 'pca'. Got 'anatomy'"),
        ("organ-ac", "lesion", "of organ-ac images must be 'autoencoder' or 'pca'. Got 'lesion'"),
        ("organ-ac", "ica", "Got 'ica'"),
    ],
)
def test_a_source_and_features_that_do_not_fit_are_refused(source, kind, message):
    with pytest.raises(ValueError, match=message):
        images.modalities(source, kind)


def test_real_scans_without_anatomy_are_refused_before_they_are_loaded(loaded):
    with pytest.raises(ValueError, match="must be 'autoencoder' or 'pca'"):
        draw_organs(kind="anatomy")
    assert not loaded


# Phantoms


def draw_phantom(n=200, seed=0, size=28, kind="anatomy"):
    return images.draw("phantom", size=size, kind=kind, n=n, seed=seed)


def test_phantoms_are_drawn_from_their_latent_features():
    drawn = draw_phantom()
    assert {split: len(z) for split, z in drawn.latents.items()} == {"train": 125, "explain": 25, "test": 50}
    for split, z in drawn.latents.items():
        assert z.dtype == np.float32
        assert z.shape == (len(z), 20)
        for place, view in enumerate(("axial", "coronal")):
            pixels = drawn.images[split][view]
            assert pixels.dtype == np.uint8
            assert pixels.shape == (len(z), 1, 28, 28)
            again = phantom.render(
                z[:, 10 * place : 10 * place + 10], view=view, rng=numpy_rng("phantom", view, split, 0)
            )
            np.testing.assert_array_equal(pixels, again)


def test_phantom_latents_are_independent_unless_linked():
    drawn = draw_phantom(n=4000)
    assert drawn.scans == ()
    z = np.concatenate(list(drawn.latents.values()))
    # 4000 rows: standard errors 0.016 (mean) and at most 0.022 (covariance).
    np.testing.assert_allclose(z.mean(0), 0, atol=0.08)
    np.testing.assert_allclose(np.cov(z.T), np.eye(20), atol=0.1)


def test_no_phantom_patient_is_in_two_splits():
    latents = draw_phantom(n=400).latents
    rows = np.concatenate(list(latents.values()))
    assert len(np.unique(rows[:, :10], axis=0)) == len(np.unique(rows[:, 10:], axis=0)) == len(rows)


def test_the_first_patients_do_not_depend_on_their_number():
    few, many = draw_phantom(n=160), draw_phantom(n=400)
    for split, z in few.latents.items():
        np.testing.assert_array_equal(many.latents[split][: len(z)], z)
        for view, pixels in few.images[split].items():
            np.testing.assert_array_equal(many.images[split][view][: len(z)], pixels)


def test_phantom_seeds_differ():
    one, other = draw_phantom(seed=0), draw_phantom(seed=1)
    for split in images.SPLITS:
        both = np.concatenate([one.latents[split], other.latents[split]])
        assert len(np.unique(both, axis=0)) == len(both)
        assert (one.images[split]["axial"] != other.images[split]["axial"]).any(axis=(1, 2, 3)).all()


def test_phantoms_with_and_without_a_lesion_are_the_same_patients():
    without, having = draw_phantom(kind="anatomy"), draw_phantom(kind="lesion")
    for split in images.SPLITS:
        np.testing.assert_array_equal(without.latents[split], having.latents[split])
        np.testing.assert_array_equal(without.images[split]["coronal"], having.images[split]["coronal"])
        differs = without.images[split]["axial"] != having.images[split]["axial"]
        assert differs.any(axis=(1, 2, 3)).all()
        assert differs.mean() < 0.1  # lesion and stomach
    np.testing.assert_array_equal(
        draw_phantom(kind="anatomy").images["test"]["axial"], without.images["test"]["axial"]
    )


@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("kind", phantom.KINDS)
def test_the_nuisance_of_a_split_gives_its_very_images(kind, size):
    drawn = draw_phantom(n=800, seed=3, size=size, kind=kind)
    for split in images.SPLITS:
        for place, view in enumerate(phantom.VIEWS):
            z = drawn.latents[split][:90, 10 * place : 10 * place + 10]
            nuisance = images.phantom_nuisance(len(z), view=view, split=split, seed=3, size=size)
            again = phantom.window(phantom.slice_hu(z, nuisance, view=view, size=size, kind=kind))
            np.testing.assert_array_equal(again, drawn.images[split][view][: len(z)])
            quiet = images.phantom_nuisance(7, view=view, split=split, seed=3)
            assert quiet.noise is None
            np.testing.assert_array_equal(quiet.anatomy, nuisance.anatomy[:7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "sagital"}, "The view 'sagital' is unknown"),
        ({"split": "val"}, "The split 'val' is unknown. There are train, explain, test"),
        ({"size": 30}, "'size' must be one of"),
    ],
)
def test_nuisance_of_nowhere_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        images.phantom_nuisance(5, **{"view": "axial", "split": "test", "seed": 0, **options})


def test_a_phantom_source_has_no_natural_number():
    with pytest.raises(ValueError, match=r"'n' must be given for phantoms. Got None"):
        draw_phantom(n=None)


@pytest.mark.parametrize("n", [127, 10, 0, -5])
def test_too_few_phantoms_are_refused_with_the_sizes(n):
    with pytest.raises(
        ValueError, match=rf"at least 16 in each split. Got {n}, which gives .*'explain'.*more"
    ):
        draw_phantom(n=n)


def test_the_fewest_phantoms():
    assert {split: len(z) for split, z in draw_phantom(n=128).latents.items()} == {
        "train": 80, "explain": 16, "test": 32
    }  # fmt: skip


def test_an_impossible_image_size_is_refused():
    with pytest.raises(ValueError, match="'size' must be one of"):
        draw_phantom(size=30)


# Real scans, faked


def test_scans_of_one_file_are_paired_within_their_official_split(loaded):
    drawn = draw_organs(data_root="somewhere")
    assert loaded == [("organamnist", "somewhere", 28)]
    for split, name in OFFICIAL.items():
        n = N_SCANS["organamnist"][name]
        first, second = (drawn.images[split][view] for view in ("axial_1", "axial_2"))
        assert len(first) == len(second) == len(drawn.latents[split]) == n // 2
        place = tuple(OFFICIAL).index(split)
        assert {*first[:, 0, 0, 1], *second[:, 0, 0, 1]} == {place}
        rows = np.concatenate([rows_of(first), rows_of(second)])
        assert len(np.unique(rows)) == len(rows)  # no scan twice, in neither role
        table = fake_values(0, place, n)
        np.testing.assert_array_equal(drawn.latents[split][:, :10], table[rows_of(first)])
        np.testing.assert_array_equal(drawn.latents[split][:, 10:], table[rows_of(second)])


def test_scans_of_two_files_are_paired_across_them(loaded):
    drawn = draw_organs("organ-ac")
    assert [flag for flag, _, _ in loaded] == ["organamnist", "organcmnist"]
    for place, (split, name) in enumerate(OFFICIAL.items()):
        n = min(N_SCANS[flag][name] for flag in N_SCANS)
        for flag_place, view in enumerate(("axial", "coronal")):
            pixels = drawn.images[split][view]
            assert len(pixels) == n
            assert set(pixels[:, 0, 0, 0]) == {flag_place}
            assert set(pixels[:, 0, 0, 1]) == {place}
            rows = rows_of(pixels)
            assert len(np.unique(rows)) == n
            table = fake_values(flag_place, place, N_SCANS[tuple(N_SCANS)[flag_place]][name])
            columns = slice(10 * flag_place, 10 * flag_place + 10)
            np.testing.assert_array_equal(drawn.latents[split][:, columns], table[rows])


@pytest.mark.parametrize("source", ["organamnist", "organ-ac"])
@pytest.mark.usefixtures("loaded")
def test_the_law_of_scans_is_all_of_their_features(source):
    scans = draw_organs(source, n=200).scans
    flags = (0, 0) if source == "organamnist" else (0, 1)
    assert len(scans) == 2
    for block, flag in zip(scans, flags, strict=True):
        assert isinstance(block, Population)
        tables = [
            fake_values(flag, place, n) for place, n in enumerate(N_SCANS[tuple(N_SCANS)[flag]].values())
        ]
        np.testing.assert_array_equal(block.rows, np.concatenate(tables))


@pytest.mark.usefixtures("loaded")
def test_fewer_patients_are_the_first_of_all():
    every, few = draw_organs(), draw_organs(n=130)
    assert {split: len(z) for split, z in few.latents.items()} == {"train": 75, "explain": 20, "test": 35}
    for split, z in few.latents.items():
        np.testing.assert_array_equal(z, every.latents[split][: len(z)])
        for view, pixels in few.images[split].items():
            np.testing.assert_array_equal(pixels, every.images[split][view][: len(z)])


@pytest.mark.usefixtures("loaded")
def test_the_seed_decides_the_pairs():
    one, other = draw_organs(seed=0), draw_organs(seed=1)
    assert not np.array_equal(one.latents["train"], other.latents["train"])
    images._draw_organs.cache_clear()
    np.testing.assert_array_equal(draw_organs(seed=0).latents["train"], one.latents["train"])


def test_files_are_read_once(loaded):
    for seed in range(3):
        draw_organs("organ-ac", seed=seed)
    assert len(loaded) == 2


def test_prepared_scans_are_not_read_again(loaded):
    images.prepare("organ-ac", size=28, kind="pca", n=200, data_root="somewhere")
    assert len(loaded) == 2
    draw_organs("organ-ac", n=200, seed=3, data_root="somewhere")
    assert len(loaded) == 2


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "phantom", "kind": "anatomy", "size": 30, "n": 200}, "'size' must be one of"),
        ({"source": "phantom", "kind": "pca", "n": 200}, "must be 'anatomy' or 'lesion'. Got 'pca'"),
        ({"source": "phantom", "kind": "anatomy", "n": 100}, "at least 16 in each split. Got 100"),
        ({"source": "phantom", "kind": "anatomy", "n": None}, "'n' must be given for phantoms"),
        ({"source": "organamnist", "kind": "pca", "n": 261}, "at most 260"),
        ({"source": "organamnist", "kind": "pca", "n": 50}, "at least 16 in each split. Got 50"),
        ({"source": "organamnist", "kind": "anatomy", "n": None}, "'autoencoder' or 'pca'"),
    ],
)
def test_preparing_finds_what_a_draw_would_stumble_over(options, message, monkeypatch):
    monkeypatch.setattr(phantom, "render", None)  # nothing is drawn yet
    with pytest.raises(ValueError, match=message):
        images.prepare(**{"size": 28, **options})


@pytest.mark.usefixtures("loaded")
def test_impossible_numbers_of_scans_are_refused():
    with pytest.raises(ValueError, match=r"at most 260 for organamnist images. Got 261"):
        draw_organs(n=261)
    with pytest.raises(
        ValueError, match=r"at least 16 in each split. Got 50.*'train': 28, 'explain': 7, 'test'"
    ):
        draw_organs(n=50)


@given(
    available=st.tuples(*[st.integers(16, 5000)] * 3),
    share=st.floats(0, 1),
)
def test_splits_keep_their_proportions(available, share):
    pools = dict(zip(images.SPLITS, available, strict=True))
    total = sum(available)
    assert images.split_sizes(pools, total) == pools
    n = round(share * total)
    try:
        sizes = images.split_sizes(pools, n)
    except ValueError:
        assert min(available) * n / total < 17
        return
    assert n - 3 < sum(sizes.values()) <= n
    for split, size in sizes.items():
        assert 16 <= size <= pools[split]
        assert abs(size - n * pools[split] / total) < 1


def test_scenarios_on_scans_share_their_patients_and_read_them_once(loaded):
    first, second = (
        synthetic.generate(synthetic.scenario(name, source="organamnist"))
        for name in ("paper-F0", "paper-F7")
    )
    assert len(loaded) == 1
    assert [modality.name for modality in first.modalities] == [
        "axial_1",
        "axial_2",
        "clinical_a",
        "clinical_b",
    ]
    for split in images.SPLITS:
        assert torch.equal(first.latents[split], second.latents[split])
        for name, value in getattr(first, split).inputs.items():
            assert torch.equal(value, getattr(second, split).inputs[name])
    rows = np.concatenate(
        [fake_values(0, place, n) for place, n in enumerate(N_SCANS["organamnist"].values())]
    )
    rows = rows.astype(float)
    slopes = 2 * 2 * np.abs(rows[:, 0] + rows[:, 1]).mean(), 0.05 * np.exp(rows[:, 8]).mean()
    truth = second.truth["gradient"]
    assert truth.method == "exact over the scans"
    assert list(truth.modalities.values()) == pytest.approx([*(np.array(slopes) / sum(slopes)), 0, 0])


@pytest.mark.real_data
def test_real_scans(real_data_root):
    for cache in (images._draw_organs, images._scan_features):
        cache.cache_clear()
    scenario = synthetic.scenario("paper-F7", source="organamnist", features="pca")
    dataset = synthetic.generate(scenario, seed=0, data_root=real_data_root)
    assert {split: len(z) for split, z in dataset.latents.items()} == {
        "train": 34561 // 2, "explain": 6491 // 2, "test": 17778 // 2
    }  # fmt: skip
    with np.load(real_data_root / "organamnist.npz", allow_pickle=False) as archive:
        official = {name: archive[f"{name}_images"] for name in OFFICIAL.values()}
    table = features.latent_features(official, kind="pca", n_features=10).values
    for split, name in OFFICIAL.items():
        order = numpy_rng("organs", "pairs", split, 0).permutation(len(official[name]))
        half = len(order) // 2
        for place, view in enumerate(("axial_1", "axial_2")):
            rows = order[place * half : (place + 1) * half]
            pixels = getattr(dataset, split).inputs[view]
            np.testing.assert_array_equal(pixels[:, 0].numpy(), official[name][rows])
            columns = slice(10 * place, 10 * place + 10)
            np.testing.assert_array_equal(dataset.latents[split][:, columns].numpy(), table[name][rows])
    # Half of the law's patients; its scans are those of all splits, which differ a little.
    assert float(dataset.train.labels.double().mean()) == pytest.approx(0.5, abs=0.03)
    every = np.concatenate(list(table.values())).astype(float)
    slopes = np.array([4 * np.abs(every[:, 0] + every[:, 1]).mean(), 0.05 * np.exp(every[:, 8]).mean()])
    shares = [*(slopes / slopes.sum()), 0, 0]
    assert list(dataset.truth["gradient"].modalities.values()) == pytest.approx(shares)
    for cache in (images._draw_organs, images._scan_features):
        cache.cache_clear()
