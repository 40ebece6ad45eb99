"""What every method must keep to: the checks of ``methods.checks``, and the harness's own.

That the checks can fail is shown in tests/methods/test_checks.py.
"""

import numpy as np
import pytest

import methods
import synthetic
from benchmark import metering, models
from methods import admission, evaluation
from methods.checks import calling, network, parametrize_with_checks

SHAPES = {"axial": (1, 28, 28), "clinical": (4,), "coronal": (1, 28, 28), "history": (2,)}
NEXT_TO_NOTHING = 0.012

every_method = pytest.mark.parametrize("name", methods.names())


# They weigh evidence (is a link between modalities there, or a leak?): three copies of a sample are none, but
# look like some.
WEIGH_EVIDENCE = ("calibrated_shapley", "modality_interactions", "unimodal_accuracy", "unimodal_information")


# Of a family of one code, one is checked in every run and the others in `make test-all`.
TWINS = (
    *(
        "calibrated_permutation",
        "calibrated_total_effect",
        "calibrated_sage",
        "ablation_loss",
        "gradient_shap",
    ),
    *("ablation_variance", "modality_shap", "modality_sage", "intershap", "deeplift_shap", "single_modality"),
)


# Of those that take long by their number of steps, a short one is checked in every run, the default likewise.
SHORT = {
    "occlusion": "occlusion(n_maps=10)",
    "patch_shap": "patch_shap(patches=4, n_orders=2)",
    "pixel_integrated_gradients": "pixel_integrated_gradients(n_steps=8)",
}
OFTEN = [SHORT.get(name, name) for name in methods.names() if name not in (*WEIGH_EVIDENCE, *TWINS)]


@parametrize_with_checks(OFTEN)
def test_contract(method, check):
    check(method)


@pytest.mark.slow
@parametrize_with_checks([*TWINS, *SHORT])
def test_contract_of_twins(method, check):
    check(method)


@parametrize_with_checks(
    WEIGH_EVIDENCE, expected_failures={"check_number_of_samples": "copies of samples look like evidence"}
)
def test_contract_of_methods_that_weigh_evidence(method, check):
    check(method)


@pytest.fixture(scope="module")
def model_and_samples():
    given = network.case(SHAPES, n=40)
    return given.model, given.samples


def attribute(name, model, samples):
    """Return what a method says; the test is skipped where it does not apply."""
    retrain = network.retrain(model)
    try:
        return methods.get(name).attribute(model, samples, np.random.default_rng(0), retrain=retrain)
    except methods.NotApplicableError as reason:
        pytest.skip(f"{name!r} does not apply: {reason}")


def assert_same_maps(found, expected):
    assert list(found.pixels) == list(expected.pixels)
    for name, maps in expected.pixels.items():
        assert np.abs(found.pixels[name] - maps).max() <= 1e-3 * np.abs(maps).max()


@every_method
@pytest.mark.few(14)
def test_chunk_sizes_do_not_matter(model_and_samples, name, monkeypatch):
    model, samples = model_and_samples
    expected = attribute(name, model, samples)
    calls = []

    class Watched:
        def __init__(self, model):
            self.modalities, self.groups, self._model = model.modalities, model.groups, model

        def encode(self, inputs):
            calls.append(("encode", len(next(iter(inputs.values())))))
            return self._model.encode(inputs)

        def encode_modality(self, name, value):
            calls.append(("encode", len(value)))
            return self._model.encode_modality(name, value)

        def classify(self, features):
            calls.append(("classify", len(features)))
            return self._model.classify(features)

    monkeypatch.setattr(admission, "N_PROBED", 5)
    # A file that imported the constants holds its own copy of them.
    for module in (evaluation, methods.gradient, methods.modality_contribution):
        for constant, size in (("CLASSIFY_ROWS", 33), ("ENCODE_ROWS", 7)):
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, size)
    small = attribute(name, Watched(model), samples)
    assert small.modalities == pytest.approx(expected.modalities, rel=1e-3, abs=1e-5)
    assert_same_maps(small, expected)
    assert max(rows for kind, rows in calls if kind == "encode") == 7
    assert max(rows for kind, rows in calls if kind == "classify") == 33


@every_method
def test_the_model_that_the_harness_hands_over_is_enough(model_and_samples, name):
    """It shows nothing but the protocol and gives the same; nothing is encoded by the back door."""
    model, samples = model_and_samples
    metered = metering.meter(model)
    assert calling.said(attribute(name, metered, samples)) == calling.said(attribute(name, model, samples))
    assert metered.model_calls >= len(samples)


@every_method
@pytest.mark.parametrize(
    "architecture",
    [
        name if name.startswith("hybrid") else pytest.param(name, marks=pytest.mark.slow)
        for name in models.names()[1:]
    ],
)
@pytest.mark.few(14)
def test_the_networks_of_the_benchmark_are_explained(name, architecture):
    model = models.build(architecture, SHAPES).eval()
    samples = network.case(SHAPES, n=12).samples
    found = attribute(name, model, samples)
    says_pixels_only = methods.get(name).estimand == methods.PIXELS and not found.modalities
    assert says_pixels_only or tuple(found.modalities) == model.modalities
    if methods.get(name).estimand == methods.PIXELS:
        assert {image: maps.shape for image, maps in found.pixels.items()} == {
            "axial": (12, 28, 28),
            "coronal": (12, 28, 28),
        }


@pytest.fixture(scope="module")
def oracles():
    """Return scenario → the oracle and what it sees of 100 patients."""
    found = {}
    for case_number in range(4):
        scenario = synthetic.scenario(f"paper-F{case_number}")
        dataset = synthetic.generate(scenario, seed=0, n=800)
        truth = dataset.truth["gradient"].modalities
        found[scenario.name] = (
            models.oracle(dataset, scenario.decision),
            models.oracle_samples(dataset, "explain"),
            truth,
        )
    return found


@pytest.mark.parametrize("name", [name for name in methods.names() if not methods.get(name).trains])
@pytest.mark.parametrize("scenario", [f"paper-F{case_number}" for case_number in range(4)])
@pytest.mark.few(30)
def test_what_the_oracle_ignores_gets_next_to_nothing(oracles, name, scenario):
    model, samples, truth = oracles[scenario]
    values = attribute(name, model, samples).modalities
    if methods.get(name).estimand == "interaction":  # there are none: F reads one modality
        assert max(values.values()) < NEXT_TO_NOTHING
        return
    total = sum(max(value, 0) for value in values.values())
    ignored = [modality for modality, share in truth.items() if share == 0]
    assert len(ignored) == 3
    assert max(values[modality] for modality in ignored) < NEXT_TO_NOTHING * total
