import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from synthetic import phantom
from synthetic.phantom import (
    KINDS,
    LATENTS,
    SIZES,
    VIEWS,
    Nuisance,
    draw_nuisance,
    latent_names,
    render,
    slice_hu,
    window,
)
from synthetic.phantom_anatomy import ANATOMY, BLACK, FIELD_OF_VIEW, LESION_CONTRAST, WHITE
from synthetic.phantom_canvas import Canvas, Pose

# Where each latent may change the image: boxes (left, right, top, bottom) in mm from the centre.
ANYWHERE = (-200, 200, -200, 200)
REGIONS = {
    "axial": {
        "liver_attenuation": (-130, 30, -95, 90),
        "muscle_attenuation": (-140, 140, -115, 115),
        "spleen_attenuation": (60, 135, -60, 60),
        "kidney_enhancement": (-105, 105, 0, 90),
        "vertebra_density": (-55, 55, 10, 110),
        "vessel_enhancement": (-50, 40, -40, 35),
        "stomach_attenuation": (-15, 105, -90, 5),
        "fat_thickness": ANYWHERE,
        "liver_size": (-130, 45, -100, 100),
        "body_width": ANYWHERE,
    },
    "coronal": {
        "liver_attenuation": (-145, 55, -170, 10),
        "muscle_attenuation": ANYWHERE,
        "spleen_attenuation": (55, 135, -135, -15),
        "kidney_enhancement": (-105, 105, -60, 70),
        "spine_density": (-40, 40, -200, 135),
        "diaphragm_height": (-145, 145, -175, 20),
        "bladder_attenuation": (-60, 60, 130, 200),
        "pelvis_density": (-140, 140, 60, 200),
        "bowel_attenuation": (-100, 100, 30, 160),
        "fat_thickness": ANYWHERE,
    },
}
ALL_LATENTS = [(view, name) for view in VIEWS for name in LATENTS[view]]
ATTENUATIONS = [(view, latent.name) for view in VIEWS for latent in ANATOMY[view] if latent.unit == "HU"]
LESION = LATENTS["axial"].index("stomach_attenuation")  # its column, without a lesion
LESION_RADIUS = 14  # mm
EXTENTS = [(view, latent.name) for view in VIEWS for latent in ANATOMY[view] if latent.unit == "mm"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def latents_along(view, name, values):
    """Latents that are 0 but for one, and the nuisance of one and the same patient, without noise."""
    latents = np.zeros((len(values), len(LATENTS[view])))
    latents[:, LATENTS[view].index(name)] = values
    anatomy = draw_nuisance(1, np.random.default_rng(7)).anatomy
    return latents, Nuisance(np.repeat(anatomy, len(values), axis=0), None)


def change(view, name, size=64):
    low, high = slice_hu(*latents_along(view, name, [-1, 1]), view=view, size=size)[:, 0]
    return high - low


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", SIZES)
def test_images_are_grey_values_one_a_patient(view, size, rng):
    images = render(rng.standard_normal((3, 10)), view=view, size=size, rng=rng)
    assert images.shape == (3, 1, size, size)
    assert images.dtype == np.uint8
    assert images.min() == 0
    assert images.max() > 150


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", VIEWS)
def test_no_patients_give_no_images(view, kind, rng):
    assert render(np.empty((0, 10)), view=view, rng=rng, kind=kind).shape == (0, 1, 28, 28)


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_has_ten_distinct_latents(kind):
    assert tuple(LATENTS) == VIEWS
    for view in VIEWS:
        names = latent_names(view, kind=kind)
        assert len(set(names)) == len(names) == 10
        assert kind != "anatomy" or names == LATENTS[view]


# Randomness


@pytest.mark.parametrize("view", VIEWS)
def test_the_generator_alone_decides(view, rng):
    latents = rng.standard_normal((5, 10))
    first, again, other = (render(latents, view=view, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("view", VIEWS)
def test_more_patients_leave_the_first_ones_as_they_are(view, rng):
    latents = rng.standard_normal((900, 10))
    images = render(latents, view=view, rng=np.random.default_rng(1))
    few = render(latents[:501], view=view, rng=np.random.default_rng(1))
    assert np.array_equal(images[:501], few)


@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("view", VIEWS)
def test_images_do_not_depend_on_how_the_work_is_cut(view, size, rng, monkeypatch):
    latents = rng.standard_normal((70, 10))
    kind = "lesion" if view == "axial" else "anatomy"  # whatever anatomy shows, and a lesion
    images = render(latents, view=view, size=size, rng=np.random.default_rng(1), kind=kind)
    # 13 patients and 3 rows at a time.
    monkeypatch.setattr(phantom, "_n_chunk", lambda _: 13)
    monkeypatch.setattr(phantom, "_BAND", 3 * 13 * size)
    again = render(latents, view=view, size=size, rng=np.random.default_rng(1), kind=kind)
    assert np.array_equal(again, images)


def test_the_generator_moves_on_by_the_same_amount_at_any_n_and_size():
    after = []
    for n, size in ((2, 28), (30, 64)):
        rng = np.random.default_rng(3)
        render(np.zeros((n, 10)), view="axial", size=size, rng=rng)
        after.append(rng.integers(2**63))
    assert after[0] == after[1]


def test_two_calls_on_one_generator_give_different_patients(rng):
    first, second = (render(np.zeros((2, 10)), view="axial", rng=rng) for _ in range(2))
    assert not np.array_equal(first, second)


# Nuisance


@pytest.mark.parametrize("view", VIEWS)
def test_render_is_drawing_nuisance_and_a_deterministic_map(view, rng):
    latents = rng.standard_normal((450, 10))
    nuisance = draw_nuisance(450, np.random.default_rng(1))
    hu = slice_hu(latents, nuisance, view=view)
    assert np.array_equal(window(hu), render(latents, view=view, rng=np.random.default_rng(1)))
    assert np.array_equal(hu, slice_hu(latents, nuisance, view=view))


def test_nuisance_without_noise_is_that_of_the_same_patients():
    for size in SIZES:
        noisy = draw_nuisance(5, np.random.default_rng(1), size=size)
        quiet = draw_nuisance(5, np.random.default_rng(1), size=None)
        assert quiet.noise is None
        assert np.array_equal(quiet.anatomy, noisy.anatomy)


@pytest.mark.parametrize("view", VIEWS)
def test_nuisance_varies_anatomy_but_far_less_than_the_latents_do(view, rng):
    n = 300
    nuisance = Nuisance(draw_nuisance(n, rng).anatomy, None)
    by_nuisance = slice_hu(np.zeros((n, 10)), nuisance, view=view).var(axis=0).sum()
    by_all = slice_hu(rng.standard_normal((n, 10)), nuisance, view=view).var(axis=0).sum()
    assert 0.02 < by_nuisance / by_all < 0.6


@pytest.mark.parametrize("size", [28, 64])
def test_noise_is_mildly_correlated_and_the_same_in_air_and_organs(size, rng):
    nuisance = draw_nuisance(400, rng, size=size)
    latents = rng.standard_normal((400, 10))
    noisy = slice_hu(latents, nuisance, view="axial", size=size)
    noise = (noisy - slice_hu(latents, Nuisance(nuisance.anatomy, None), view="axial", size=size))[:, 0]
    assert noise.std() == pytest.approx(phantom.noise_sd(size), rel=0.02)
    neighbours = np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]
    assert neighbours == pytest.approx(0.5, abs=0.02)


# Geometry


@pytest.mark.parametrize("size", [64, 128, 224])
@pytest.mark.parametrize("view", VIEWS)
def test_a_patient_is_the_same_at_every_size(view, size, rng):
    latents = rng.standard_normal((4, 10))
    n_common = 896  # a multiple of every size
    means, pixels = [], []
    for s in (28, size):
        anatomy = draw_nuisance(4, np.random.default_rng(1), size=s).anatomy
        image = slice_hu(latents, Nuisance(anatomy, None), view=view, size=s)[:, 0]
        means.append(image.reshape(4, 4, s // 4, 4, s // 4).mean(axis=(2, 4)))
        image = image.repeat(n_common // s, axis=1).repeat(n_common // s, axis=2)
        pixels.append(image.reshape(4, 28, 32, 28, 32).mean(axis=(2, 4)))
    assert np.abs(means[0] - means[1]).max() < 5
    assert np.corrcoef(pixels[0].ravel(), pixels[1].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("axes", [(60, 40), (20, 20), (50, 4), (3, 3)])
@pytest.mark.parametrize("size", SIZES)
def test_an_ellipse_covers_its_area_at_every_size(axes, size):
    k = 20
    rng = np.random.default_rng(0)
    pose = Pose(rng.normal(0, 0.2, k), rng.normal(0, 5, k), rng.normal(0, 5, k))
    canvas = Canvas(pose, size=size, rows=slice(0, size), field_of_view=360, background=0)
    canvas.ellipse((10, -20), axes, 1, tilt=30)
    areas = canvas.hu.sum(axis=(0, 1)) * (360 / size) ** 2
    # A single pose sees the grid: a little where the shape is thinner than a pixel.
    assert areas.mean() == pytest.approx(np.pi * axes[0] * axes[1], rel=0.06)
    assert areas.std() / areas.mean() < 0.15


def test_the_outside_of_an_ellipse_is_its_complement():
    pose = Pose(*np.full((3, 2), 0.1))
    inside, outside = (
        Canvas(pose, size=28, rows=slice(0, 28), field_of_view=360, background=0) for _ in range(2)
    )
    inside.ellipse((10, 0), (70, 50), 1)
    outside.ellipse((10, 0), (70, 50), 1, outside=True)
    np.testing.assert_allclose(inside.hu + outside.hu, 1, atol=1e-5)


# Latents


@pytest.mark.parametrize(("view", "name"), ALL_LATENTS)
def test_a_latent_changes_the_image_in_its_own_region(view, name):
    size = 64
    difference = np.abs(change(view, name, size))
    left, right, top, bottom = REGIONS[view][name]
    mm = (np.arange(size) + 0.5) * FIELD_OF_VIEW[view] / size - FIELD_OF_VIEW[view] / 2
    within = ((mm >= left) & (mm <= right))[None] & ((mm >= top) & (mm <= bottom))[:, None]
    assert difference.sum() > 1000
    assert difference[within].sum() > 0.98 * difference.sum()


@pytest.mark.parametrize("view", VIEWS)
def test_latents_are_about_equally_visible_and_distinct(view):
    changes = np.stack([change(view, name, 28).ravel() for name in LATENTS[view]])
    strengths = np.linalg.norm(changes, axis=1)
    assert strengths.max() / strengths.min() < 2
    overlap = np.abs(np.corrcoef(changes)) - np.eye(10)
    assert overlap.max() < 0.75


@pytest.mark.parametrize(("view", "name"), ATTENUATIONS)
def test_attenuation_rises_with_its_latent_and_is_not_clipped(view, name):
    values = np.array([-9, -4, -3.5, -2, 0, 2, 3.5, 4, 9])
    hu = slice_hu(*latents_along(view, name, values), view=view)[:, 0]
    organ = np.abs(change(view, name, 28)) > 10
    means = hu[:, organ].mean(axis=1)
    assert (np.diff(means) > 0).all()
    grey = window(hu)[:, organ].mean(axis=1)
    inner = slice(2, 7)
    slopes = np.diff(grey[inner]) / np.diff(values[inner])
    assert slopes == pytest.approx(slopes.mean(), rel=0.05)


@pytest.mark.parametrize(("view", "name"), EXTENTS)
def test_an_extent_changes_the_total_steadily(view, name):
    values = np.linspace(-3.5, 3.5, 15)
    totals = slice_hu(*latents_along(view, name, values), view=view).sum(axis=(1, 2, 3), dtype=float)
    assert (np.diff(totals) > 0).all()
    assert np.corrcoef(values, totals)[0, 1] > 0.99


@pytest.mark.parametrize("view", VIEWS)
def test_extreme_latents_give_the_same_images_as_less_extreme_ones_nearly(view, rng):
    nuisance = Nuisance(draw_nuisance(1, rng).anatomy, None)
    far, farther = (slice_hu(np.full((1, 10), value), nuisance, view=view) for value in (8.0, 1e6))
    assert np.isfinite(farther).all()
    np.testing.assert_allclose(far, farther, atol=0.5)


def test_the_window_rounds_and_saturates():
    hu = np.array([-1000, -200, -199, 50, 300, 3000], dtype=np.float32)
    assert window(hu).tolist() == [0, 0, 1, 128, 255, 255]


# Lesions


def lesion_slices(latents, *, size=64, seed=7, kind="lesion"):
    """Slices of different patients without noise, HU ``[n, size, size]``."""
    nuisance = draw_nuisance(len(latents), np.random.default_rng(seed), size=None)
    return slice_hu(latents, nuisance, view="axial", size=size, kind=kind)[:, 0]


def by_the_lesion(latents, **options):
    """How the slices change as the lesion's contrast rises by one standard deviation."""
    step = np.zeros(10)
    step[LESION] = 0.5
    return lesion_slices(latents + step, **options) - lesion_slices(latents - step, **options)


def centres(change):
    """Centres of gravity, mm ``[n, 2]``."""
    size = change.shape[-1]
    mm = (np.arange(size) + 0.5) * FIELD_OF_VIEW["axial"] / size - FIELD_OF_VIEW["axial"] / 2
    total = change.sum(axis=(1, 2))
    return (
        np.column_stack([(change * mm).sum(axis=(1, 2)), (change * mm[:, None]).sum(axis=(1, 2))])
        / (total[:, None])
    )


def test_a_lesion_takes_the_column_of_the_stomach_in_the_axial_view():
    without, having = latent_names("axial"), latent_names("axial", kind="lesion")
    assert having == (*without[:LESION], "lesion_contrast", *without[LESION + 1 :])
    assert latent_names("coronal", kind="lesion") == latent_names("coronal")


def test_the_coronal_view_has_no_lesion(rng):
    latents = rng.standard_normal((20, 10))
    without, having = (
        render(latents, view="coronal", rng=np.random.default_rng(1), kind=kind) for kind in KINDS
    )
    assert np.array_equal(without, having)


def test_a_lesion_leaves_all_but_its_disc_as_it_is(rng):
    latents = rng.standard_normal((30, 10))
    stomach_at_its_mean = latents.copy()
    stomach_at_its_mean[:, LESION] = 0
    without, having = (
        slice_hu(z, draw_nuisance(30, np.random.default_rng(7), size=64), view="axial", size=64, kind=kind)[
            :, 0
        ]
        for z, kind in ((stomach_at_its_mean, "anatomy"), (latents, "lesion"))
    )
    place = centres(by_the_lesion(latents))
    mm = (np.arange(64) + 0.5) * 350 / 64 - 175
    distance = np.hypot(mm - place[:, :1, None], mm[:, None] - place[:, 1:, None])
    differs = np.abs(without - having) > 1e-3
    assert differs.any(axis=(1, 2)).all()
    assert distance[differs].max() < LESION_RADIUS + 350 / 64 + 1


@pytest.mark.parametrize("size", [28, 64, 128])
def test_a_lesion_is_whole_and_in_the_liver(size, rng):
    latents = rng.standard_normal((400, 10))
    change = by_the_lesion(latents, size=size)
    assert (change > -1e-3).all()
    area = change.sum(axis=(1, 2)) / LESION_CONTRAST.sd * (FIELD_OF_VIEW["axial"] / size) ** 2
    share = area / (np.pi * LESION_RADIUS**2)
    # What hides a part of it are the soft edges of its neighbours: as wide as the pixels are.
    assert share.mean() == pytest.approx(1, abs=0.02)
    assert share.min() > 0.75
    assert np.quantile(share, 0.05) > (0.85 if size == 28 else 0.97)
    # Without the lesion there is liver in all of its places.
    step = np.eye(10)[LATENTS["axial"].index("liver_attenuation")] / 2
    low, high = (lesion_slices(latents + sign * step, size=size, kind="anatomy") for sign in (-1, 1))
    share_of_liver = (high - low) / ANATOMY["axial"][0].sd
    inner = change > 0.8 * LESION_CONTRAST.sd
    assert inner.any(axis=(1, 2)).mean() > 0.95
    assert share_of_liver[inner].min() > 0.9


def test_a_lesion_differs_from_the_liver_by_its_contrast():
    values = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    latents = np.zeros((5, 10))
    latents[:, LESION] = values
    hu = lesion_slices(latents, size=128)
    core = by_the_lesion(latents, size=128) > 0.999 * LESION_CONTRAST.sd
    liver = ANATOMY["axial"][0].mean
    for slice_, inner, z in zip(hu, core, values, strict=True):
        expected = liver + LESION_CONTRAST.mean + LESION_CONTRAST.sd * z
        np.testing.assert_allclose(slice_[inner], expected, atol=0.1)


@pytest.mark.parametrize("liver", [-4.0, 4.0])
def test_no_contrast_is_clipped(liver):
    values = np.array([-4.0, -3.5, -2, 0, 2, 3.5, 4.0])
    latents = np.zeros((len(values), 10))
    latents[:, LESION], latents[:, 0] = values, liver
    anatomy = np.repeat(draw_nuisance(1, np.random.default_rng(7), size=None).anatomy, len(values), axis=0)
    hu = slice_hu(latents, Nuisance(anatomy, None), view="axial", size=64, kind="lesion")[:, 0]
    inner = np.ptp(hu, axis=0) > 0.99 * np.ptp(hu, axis=0).max()
    assert inner.sum() > 5
    assert BLACK + 20 < hu[:, inner].min() < hu[:, inner].max() < WHITE - 20
    grey = window(hu)[:, inner].mean(axis=1)
    assert (np.diff(grey) > 0).all()
    slopes = np.diff(grey[1:-1]) / np.diff(values[1:-1])
    assert slopes == pytest.approx(slopes.mean(), rel=0.05)


def test_the_place_of_a_lesion_is_the_patients_own_and_no_matter_of_latents(rng):
    here, there = (centres(by_the_lesion(rng.standard_normal((400, 10)))) for _ in range(2))
    assert np.abs(here - there).max() < 3  # mm; a centre of gravity sees the soft edges of neighbours
    assert (np.ptp(here, axis=0) > 40).all()  # mm
    nearest = np.sort(np.linalg.norm(here[:, None] - here[None], axis=2), axis=1)[:, 1]
    assert (nearest > 0).all()
    other = centres(by_the_lesion(np.zeros((400, 10)), seed=8))
    assert np.abs(here - other).max() > 40


# Legibility


@pytest.mark.parametrize("view", VIEWS)
def test_small_images_tell_every_latent_and_their_sum(view, rng):
    latents = rng.standard_normal((4000, 10))
    images = render(latents, view=view, rng=rng).reshape(4000, -1) / 255
    train, test = slice(0, 3000), slice(3000, None)
    targets = np.column_stack([latents, latents.sum(axis=1)])
    predicted = Ridge(0.3).fit(images[train], targets[train]).predict(images[test])
    errors = ((targets[test] - predicted) ** 2).mean(axis=0) / targets[test].var(axis=0)
    r2 = dict(zip((*LATENTS[view], "sum"), 1 - errors, strict=True))
    assert min(r2.values()) >= 0.95, r2
    assert r2["sum"] >= 0.99, r2
    # The check itself can fail: images of other patients tell nothing.
    wrong = ((targets[test] - predicted[::-1]) ** 2).mean(axis=0) / targets[test].var(axis=0)
    assert (1 - wrong).max() < 0.1


@pytest.mark.parametrize("size", [28, 64])
def test_the_sum_over_the_liver_tells_a_lesion_wherever_it_lies(size, rng):
    # A linear reader cannot look for the lesion. What it has is the sum over all places.
    latents = rng.standard_normal((3500, 10))
    images = render(latents, view="axial", size=size, rng=rng, kind="lesion").reshape(3500, -1) / 255
    train, test = slice(0, 2700), slice(2700, None)
    predicted = Ridge(0.3 if size == 28 else 1.0).fit(images[train], latents[train]).predict(images[test])
    errors = ((latents[test] - predicted) ** 2).mean(axis=0) / latents[test].var(axis=0)
    r2 = dict(zip(latent_names("axial", kind="lesion"), 1 - errors, strict=True))
    assert r2["lesion_contrast"] >= 0.9, r2
    assert min(r2.values()) == r2["lesion_contrast"]
    assert sorted(r2.values())[1] >= 0.95, r2


def test_a_reader_who_knows_the_place_reads_the_contrast_off_the_noisy_image(rng):
    n = 400
    latents = rng.standard_normal((n, 10))
    grey = render(latents, view="axial", size=64, rng=np.random.default_rng(7), kind="lesion")[:, 0] / 1.0
    change = by_the_lesion(latents)
    step = np.eye(10)[LATENTS["axial"].index("liver_attenuation")] / 2
    with_the_liver = lesion_slices(latents + step) - lesion_slices(latents - step)
    lesion = change > 0.95 * LESION_CONTRAST.sd
    liver = (with_the_liver > 0.99 * ANATOMY["axial"][0].sd) & (change < 1e-3)
    inside, outside = (
        (grey * region).sum(axis=(1, 2)) / region.sum(axis=(1, 2)) for region in (lesion, liver)
    )
    contrast = (inside - outside) / phantom.GREY_PER_HU
    expected = LESION_CONTRAST.mean + LESION_CONTRAST.sd * latents[:, LESION]
    assert np.sqrt(np.mean((contrast - expected) ** 2)) < 0.15 * LESION_CONTRAST.sd


@pytest.mark.slow
@pytest.mark.parametrize("size", [28, 64])
def test_a_small_network_reads_a_lesion(size, rng):
    n_train, n_test = 2000, 600
    latents = rng.standard_normal((n_train + n_test, 10))
    images = render(latents, view="axial", size=size, rng=rng, kind="lesion")
    x = torch.from_numpy(images).float() / 255
    y = torch.from_numpy(latents[:, [LESION]]).float()
    steps = 15 * n_train // 64
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = []
        for n_in, n_out, stride in ((1, 16, 2 if size == 64 else 1), (16, 16, 2), (16, 32, 1)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
        head = (nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(2048, 64), nn.ReLU(), nn.Linear(64, 1))
        network = nn.Sequential(*layers, *head)
        optimiser = torch.optim.Adam(network.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for _ in range(steps):
            rows = torch.randint(n_train, (64,))
            optimiser.zero_grad()
            nn.functional.mse_loss(network(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        errors = nn.functional.mse_loss(network.eval()(x[n_train:]), y[n_train:])
    assert 1 - errors / y[n_train:].var() > 0.9


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": "axail"}, r"The view 'axail' is unknown. Did you mean 'axial'\?"),
        ({"view": "sagittal plane"}, r"The view 'sagittal plane' is unknown. There are axial, coronal."),
        ({"kind": "leison"}, r"The kind 'leison' is unknown. Did you mean 'lesion'\?"),
        ({"size": 32}, r"The 'size' must be one of \(28, 64, 128, 224\). Got 32; choose"),
        ({"latents": np.zeros((4, 9))}, r"The 'latents' must have shape \[n, 10\].*Got shape \(4, 9\)"),
        ({"latents": np.zeros(10)}, r"The 'latents' must have shape \[n, 10\].*Got shape \(10,\)"),
        ({"latents": np.full((2, 10), np.nan)}, r"The 'latents' must be finite. Got 20 NaN"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, rng):
    valid = {"latents": np.zeros((4, 10)), "view": "axial", "size": 28, "rng": rng}
    with pytest.raises(ValueError, match=message):
        render(**(valid | arguments))


def test_nuisance_of_other_patients_or_another_size_is_refused(rng):
    with pytest.raises(ValueError, match=r"The 'nuisance' must have one row a patient \(4\). Got 3"):
        slice_hu(np.zeros((4, 10)), draw_nuisance(3, rng), view="axial")
    with pytest.raises(
        ValueError, match=r"'noise' of the nuisance must have shape \[n, 65, 65\] for size 64"
    ):
        slice_hu(np.zeros((3, 10)), draw_nuisance(3, rng), view="axial", size=64)
    with pytest.raises(ValueError, match="The 'size' must be one of"):
        draw_nuisance(3, rng, size=30)
