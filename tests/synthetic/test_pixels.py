from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import synthetic
from synthetic import images, phantom
from synthetic.decision import DecisionFunction, Term
from synthetic.phantom_anatomy import FIELD_OF_VIEW, LESION_CONTRAST
from synthetic.pixels import pixel_truth
from synthetic.types import Modality

TABLES = tuple(
    Modality(name, "table", tuple(f"feature_{place}" for place in range(10)))
    for name in ("clinical_a", "clinical_b")
)
LIVER, LESION = "axial/liver_attenuation", "axial/lesion_contrast"
KIDNEY, BLADDER, TABLE = "axial/kidney_enhancement", "coronal/bladder_attenuation", "clinical_a/feature_0"


def modalities(kind="anatomy"):
    return (*images.modalities("phantom", kind), *TABLES)


def function(*terms, kind="anatomy"):
    return DecisionFunction(
        modalities(kind), tuple(term if isinstance(term, Term) else Term((term,)) for term in terms)
    )


def latents(n=20, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 40)).astype(np.float32)


def millimetres(view, size):
    return (np.arange(size) + 0.5) * FIELD_OF_VIEW[view] / size - FIELD_OF_VIEW[view] / 2


@dataclass(frozen=True)
class Formula:
    """A decision function that is nothing but a formula over the columns of the phantom's modalities."""

    formula: object
    kind: str = "anatomy"

    @property
    def modalities(self):
        return modalities(self.kind)

    @property
    def slices(self):
        return function(LIVER).slices

    def __call__(self, z):
        return self.formula(z)


def column(name, kind="anatomy"):
    return function(name, kind=kind).columns[name]


# Where


@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize(
    ("name", "centre", "axes"),
    [  # what the painter paints: mm from the centre, half axes
        (BLADDER, (0, 170), (40, 26)),
        ("axial/spleen_attenuation", (100, -2), (25, 46)),
    ],
)
def test_the_mask_of_an_organ_is_the_organ(name, centre, axes, size):
    view = name.split("/")[0]
    truth = pixel_truth(function(name), latents(), size=size, seed=0)
    mask = truth.mask[view]
    mm = millimetres(view, size)
    pixel = mm[1] - mm[0]
    # Tilts, pose, and moves of organs: some mm on either side, beside the soft edge.
    far, near = (
        np.hypot(*np.broadcast_arrays((mm - centre[0]) / a, (mm[:, None] - centre[1]) / b))
        for a, b in ((axes[0] + pixel + 14, axes[1] + pixel + 8), (axes[0] / 2, axes[1] / 2))
    )
    assert not mask[:, far > 1].any()
    assert mask[:, near < 1].all()
    other = "coronal" if view == "axial" else "axial"
    assert not truth.mask[other].any()
    assert not truth.relevance[other].any()


def test_the_relevance_of_an_attenuation_is_its_change_in_grey_values():
    truth = pixel_truth(function(Term((BLADDER,), weight=-3)), latents(), size=64, seed=0)
    latent = phantom.ANATOMY["coronal"][phantom.LATENTS["coronal"].index("bladder_attenuation")]
    # In the organ's middle nothing but the organ shows: weight · HU a standard deviation · grey values a HU.
    assert truth.relevance["coronal"].max(axis=(1, 2)) == pytest.approx(3 * latent.sd * 255 / 500, rel=1e-4)
    assert truth.relevance["coronal"].dtype == np.float32
    assert (truth.relevance["coronal"] >= 0).all()


@pytest.mark.parametrize("size", [28, 64, 128])
def test_the_mask_of_a_lesion_is_its_disc(size):
    z = latents(150)
    truth = pixel_truth(function(LESION, kind="lesion"), z, kind="lesion", size=size, seed=0)
    mask, relevance = truth.mask["axial"], truth.relevance["axial"]
    mm = millimetres("axial", size)
    pixel = mm[1] - mm[0]
    total = relevance.sum(axis=(1, 2))
    x = (relevance * mm).sum(axis=(1, 2)) / total
    y = (relevance * mm[:, None]).sum(axis=(1, 2)) / total
    distance = np.hypot(mm - x[:, None, None], mm[:, None] - y[:, None, None])
    assert distance[mask].max() < 14 + pixel + 2
    assert mask[distance < 14 - 0.25 * pixel].mean() > 0.97
    assert not truth.mask["coronal"].any()
    # From patient to patient it moves farther than it is wide.
    assert min(np.ptp(x), np.ptp(y)) > 40
    assert len(np.unique(np.column_stack([x, y]).round(3), axis=0)) == len(z)
    # The truth is bound to the patients of a seed and split.
    for other in ({"seed": 1}, {"split": "test"}):
        moved = pixel_truth(
            function(LESION, kind="lesion"), z, **{"kind": "lesion", "size": size, "seed": 0, **other}
        )
        assert (moved.mask["axial"] != mask).any(axis=(1, 2)).mean() > 0.9


def test_the_mask_of_a_lesion_lies_where_the_datasets_images_have_it():
    drawn = images.draw("phantom", size=64, kind="lesion", n=800, seed=5)
    z = np.concatenate([drawn.latents["explain"], np.zeros((100, 20), np.float32)], axis=1)
    decision = function(LESION, kind="lesion")
    mask = pixel_truth(decision, z, kind="lesion", size=64, seed=5).mask["axial"]
    contrast = LESION_CONTRAST.mean + LESION_CONTRAST.sd * z[:, column(LESION, "lesion")]
    clear = np.flatnonzero(np.abs(contrast) > 40)
    grey = drawn.images["explain"]["axial"][:, 0].astype(float)
    place = {"own": mask, "another's": np.roll(mask, 1, axis=0)}
    correlation = {
        whose: np.corrcoef(
            contrast[clear],
            [grey[row][region[row]].mean() - np.median(grey[row][mask.any(axis=0)]) for row in clear],
        )[0, 1]
        for whose, region in place.items()
    }
    assert correlation["own"] > 0.9
    assert correlation["another's"] < 0.6


@pytest.mark.parametrize("kind", phantom.KINDS)
@pytest.mark.parametrize("view", phantom.VIEWS)
@pytest.mark.few(2)
def test_every_latent_is_carried_by_some_pixels_of_nearly_every_patient(view, kind):
    for size in (28, 224):
        z = latents(4, seed=1).clip(-2, 2)
        for name in phantom.latent_names(view, kind=kind):
            truth = pixel_truth(function(f"{view}/{name}", kind=kind), z, kind=kind, size=size, seed=0)
            assert truth.mask[view].any(axis=(1, 2)).all(), name
            assert (truth.relevance[view][truth.mask[view]] > 0).all()


# What F reads


def test_a_function_of_tables_alone_has_empty_masks():
    truth = pixel_truth(function(TABLE), latents(), seed=0)
    for view in phantom.VIEWS:
        assert truth.mask[view].shape == truth.relevance[view].shape == (20, 28, 28)
        assert truth.mask[view].dtype == bool
        assert not truth.mask[view].any()
        assert not truth.relevance[view].any()


def test_what_is_read_beside_makes_no_difference():
    alone = pixel_truth(function(KIDNEY), latents(), seed=0)
    beside = pixel_truth(function(KIDNEY, TABLE, BLADDER), latents(), seed=0)
    np.testing.assert_array_equal(alone.mask["axial"], beside.mask["axial"])
    np.testing.assert_array_equal(alone.relevance["axial"], beside.relevance["axial"])
    assert beside.mask["coronal"].any()


def test_latents_that_are_not_read_and_not_in_the_way_make_no_difference():
    z = latents()
    other = z.copy()
    other[:, column(BLADDER)] += 1
    other[:, column(TABLE)] -= 2
    one, two = (pixel_truth(function(KIDNEY), values, seed=0) for values in (z, other))
    np.testing.assert_array_equal(one.mask["axial"], two.mask["axial"])
    np.testing.assert_array_equal(one.relevance["axial"], two.relevance["axial"])


def test_masks_unite_and_relevances_add():
    one, two = (pixel_truth(function(name), latents(), seed=0) for name in (LIVER, KIDNEY))
    both = pixel_truth(function(LIVER, KIDNEY), latents(), seed=0)
    np.testing.assert_array_equal(both.mask["axial"], one.mask["axial"] | two.mask["axial"])
    np.testing.assert_allclose(
        both.relevance["axial"], one.relevance["axial"] + two.relevance["axial"], rtol=1e-6
    )


def test_a_doubled_weight_doubles_the_relevance_and_leaves_the_mask():
    once, twice = (
        pixel_truth(function(Term((LIVER, BLADDER), "exp", weight=weight)), latents(), seed=0)
        for weight in (1.0, 2.0)
    )
    for view in phantom.VIEWS:
        np.testing.assert_array_equal(twice.mask[view], once.mask[view])
        np.testing.assert_allclose(twice.relevance[view], 2 * once.relevance[view], rtol=1e-6)


def test_the_slope_is_each_patients_own():
    z = latents()
    plain = pixel_truth(function(KIDNEY), z, seed=0)
    square = pixel_truth(function(Term((KIDNEY,), "square")), z, seed=0)
    slope = 2 * np.abs(z[:, column(KIDNEY)])[:, None, None]
    np.testing.assert_allclose(square.relevance["axial"], slope * plain.relevance["axial"], rtol=1e-5)
    np.testing.assert_array_equal(square.mask["axial"], plain.mask["axial"])


def test_a_latent_that_a_patients_function_does_not_read_is_not_in_the_patients_mask():
    liver, kidney, table = column(LIVER), column(KIDNEY), column(TABLE)
    gate = Formula(lambda z: torch.where(z[:, table] > 0, z[:, liver], z[:, kidney]))
    z = latents()
    truth = pixel_truth(gate, z, seed=0)
    by_name = {name: pixel_truth(function(name), z, seed=0) for name in (LIVER, KIDNEY)}
    for row in range(len(z)):
        read = by_name[LIVER if z[row, table] > 0 else KIDNEY]
        np.testing.assert_array_equal(truth.mask["axial"][row], read.mask["axial"][row])
        np.testing.assert_array_equal(truth.relevance["axial"][row], read.relevance["axial"][row])
    assert 0 < (z[:, table] > 0).sum() < len(z)


def test_a_slope_that_is_nothing_beside_the_others_is_none():
    for weight, read in ((1e-9, False), (1e-3, True)):
        truth = pixel_truth(function(TABLE, Term((KIDNEY,), weight=weight)), latents(), seed=0)
        assert truth.mask["axial"].any() == read
        assert truth.relevance["axial"].any() == read
    # The scale of F as a whole is of no matter.
    faint = pixel_truth(function(Term((KIDNEY,), weight=1e-9)), latents(), seed=0)
    assert faint.mask["axial"].any()


def test_a_product_is_read_where_its_other_factor_is_not_zero():
    liver, bladder = column(LIVER), column(BLADDER)
    z = latents()
    z[:10, bladder] = 0
    truth = pixel_truth(Formula(lambda z: z[:, liver] * z[:, bladder]), z, seed=0)
    assert not truth.mask["axial"][:10].any()
    assert truth.mask["axial"][10:].any(axis=(1, 2)).all()
    assert truth.mask["coronal"].any(axis=(1, 2)).all()


# As the dataset


def test_the_first_patients_do_not_depend_on_how_many_follow():
    many, few = (pixel_truth(function(LIVER, BLADDER), latents()[:n], seed=0) for n in (20, 7))
    for view in phantom.VIEWS:
        np.testing.assert_array_equal(many.mask[view][:7], few.mask[view])
        np.testing.assert_array_equal(many.relevance[view][:7], few.relevance[view])


def test_the_truth_is_the_same_each_time_for_arrays_and_tensors():
    z = latents()
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - must stay untouched
    first, again = (pixel_truth(function(LIVER), values, seed=0) for values in (z, torch.from_numpy(z)))
    np.testing.assert_array_equal(first.relevance["axial"], again.relevance["axial"])
    np.testing.assert_array_equal(first.mask["axial"], again.mask["axial"])
    assert torch.equal(state[0], torch.get_rng_state())
    assert np.array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002
    np.testing.assert_array_equal(z, latents())


def test_a_scenarios_dataset_has_a_pixel_truth():
    scenario = synthetic.scenario("paper-F7")
    dataset = synthetic.generate(scenario, seed=2, n=200)
    truth = pixel_truth(scenario.decision, dataset.latents["explain"], seed=2)
    for view in phantom.VIEWS:
        # Where the patient is there is more information than where there is air.
        grey = dataset.explain.inputs[view][:, 0].numpy()
        assert truth.mask[view].any(axis=(1, 2)).all()
        assert grey[truth.mask[view]].mean() > grey[~truth.mask[view]].mean()


def test_no_patients_have_no_pixels():
    truth = pixel_truth(function(LIVER), latents()[:0], seed=0)
    assert truth.mask["axial"].shape == truth.relevance["coronal"].shape == (0, 28, 28)


# Errors


def real_scans(source):
    return DecisionFunction(
        images.modalities(source, "pca"), (Term((images.modalities(source, "pca")[0].features[0],)),)
    )


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (real_scans("organamnist"), r"Got axial_1 \(pca_0, .*Real scans have no pixel truth"),
        (real_scans("organ-ac"), r"Got axial \(pca_0, .*Real scans have no pixel truth"),
        (
            DecisionFunction((Modality("axial", "table", ("a",)),), (Term(("axial/a",)),)),
            r"must be those of phantoms of kind 'anatomy', axial \(liver_.*Got none; give",
        ),
        (function(LESION, kind="lesion"), r"kind 'anatomy', .*lesion_contrast.*own features as 'kind'"),
    ],
)
def test_functions_of_other_images_are_refused(decision, message):
    with pytest.raises(ValueError, match=message):
        pixel_truth(decision, np.zeros((3, len(decision.columns))), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pca"}, "must be 'anatomy' or 'lesion'. Got 'pca'"),
        ({"size": 30}, "The 'size' must be one of"),
        ({"split": "val"}, "The split 'val' is unknown. There are train, explain, test."),
        ({"latents": np.zeros((3, 20))}, "must have shape [n, 40]. Got (3, 20)"),
        ({"latents": np.full((1, 40), np.nan)}, "The 'latents' must be finite. Got 40 NaN"),
        (
            {"decision": Formula(lambda z: z[:, 0].sqrt()), "latents": -np.ones((3, 40))},
            "slopes of the 'decision' must be finite at all 'latents'. Got 3 patients",
        ),
    ],
)
def test_wrong_arguments_are_named(options, message):
    arguments = {"decision": function(LIVER), "latents": np.zeros((3, 40)), "seed": 0, **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        pixel_truth(arguments.pop("decision"), arguments.pop("latents"), **arguments)
