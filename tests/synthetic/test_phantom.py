import numpy as np
import pytest
from sklearn.linear_model import Ridge

from synthetic import phantom
from synthetic.phantom import LATENTS, SIZES, VIEWS, Nuisance, draw_nuisance, render, slice_hu, window
from synthetic.phantom_anatomy import ANATOMY, FIELD_OF_VIEW
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


@pytest.mark.parametrize("view", VIEWS)
def test_no_patients_give_no_images(view, rng):
    assert render(np.empty((0, 10)), view=view, rng=rng).shape == (0, 1, 28, 28)


def test_every_view_has_ten_distinct_latents():
    assert tuple(LATENTS) == VIEWS
    assert all(len(set(names)) == 10 for names in LATENTS.values())


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
    images = render(latents, view=view, size=size, rng=np.random.default_rng(1))
    # 13 patients and 3 rows at a time.
    monkeypatch.setattr(phantom, "_n_chunk", lambda _: 13)
    monkeypatch.setattr(phantom, "_BAND", 3 * 13 * size)
    assert np.array_equal(render(latents, view=view, size=size, rng=np.random.default_rng(1)), images)


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


@pytest.mark.parametrize("view", VIEWS)
def test_nuisance_varies_anatomy_but_far_less_than_the_latents_do(view, rng):
    n = 300
    nuisance = Nuisance(draw_nuisance(n, rng).anatomy, None)
    by_nuisance = slice_hu(np.zeros((n, 10)), nuisance, view=view).var(axis=0).sum()
    by_all = slice_hu(rng.standard_normal((n, 10)), nuisance, view=view).var(axis=0).sum()
    assert 0.02 < by_nuisance / by_all < 0.6


def test_noise_is_mildly_correlated_and_the_same_in_air_and_organs(rng):
    nuisance = draw_nuisance(400, rng)
    latents = rng.standard_normal((400, 10))
    noisy = slice_hu(latents, nuisance, view="axial")
    noise = (noisy - slice_hu(latents, Nuisance(nuisance.anatomy, None), view="axial"))[:, 0]
    assert noise.std() == pytest.approx(phantom._NOISE_SD, rel=0.02)
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


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": "axail"}, r"The view 'axail' is unknown. Did you mean 'axial'\?"),
        ({"view": "sagittal plane"}, r"The view 'sagittal plane' is unknown. There are axial, coronal."),
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
