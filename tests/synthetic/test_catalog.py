from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
import torch

import synthetic
from synthetic import catalog
from synthetic.generation import generate, truths
from synthetic.images import N_FEATURES
from synthetic.scenario import Scenario

PAPER = tuple(f"paper-F{case}" for case in range(8))
NAMES = synthetic.scenarios()

# (m1, m2, m3, m4) in the words of each source.
SOURCES = {
    "phantom": ("axial", "coronal", "clinical_a", "clinical_b"),
    "organamnist": ("axial_1", "axial_2", "clinical_a", "clinical_b"),
    "organ-ac": ("axial", "coronal", "clinical_a", "clinical_b"),
}
READ = {0: (0,), 1: (1,), 2: (2,), 3: (3,), 4: (0, 1), 5: (2, 3), 6: (0, 1, 2, 3)}
RENDERED = {
    "redundancy",
    "redundancy-used",
    "suppressor",
    "shortcut",
    "collapse-trap",
    "lesion",
    "fatty-liver",
}


@pytest.fixture(scope="module")
def truth():
    """Return truths of a scenario by its name; what two tests ask for is worked out once."""
    found = {}

    def of(name):
        if name not in found:
            found[name] = truths(synthetic.scenario(name))
        return found[name]

    return of


def slopes(name, n=2**14):
    """Slopes of F ``[n, d]`` at random patients."""
    scenario = synthetic.scenario(name)
    law = truths(scenario).law
    z = torch.from_numpy(law.sample(n, np.random.default_rng(0))).requires_grad_()
    (found,) = torch.autograd.grad(scenario.decision(z).sum(), z)
    return scenario, found.numpy()


def mean_slopes(name):
    """Mean signed slope of each modality's features, and its standard error."""
    scenario, found = slopes(name)
    mean, error = found.mean(0), found.std(0) / np.sqrt(len(found))
    return {modality: (mean[it], error[it]) for modality, it in scenario.decision.slices.items()}


def shares(found):
    """Shares of the four usual modalities in order."""
    return [found.modalities[name] for name in SOURCES["phantom"]]


# All of them


def test_the_catalogue_is_there():
    assert len(NAMES) >= 28
    assert NAMES[:8] == PAPER
    for name in NAMES:
        assert isinstance(synthetic.scenario(name), Scenario)
        assert synthetic.scenario(name).name == name
        assert synthetic.describe(name) == synthetic.scenario(name).description


def test_every_scenario_is_of_one_family():
    families = {name: catalog.family(name) for name in catalog.scenarios()}
    assert catalog.OWN_FAMILY not in families.values()
    assert sum(len(names) for names in catalog._FAMILIES.values()) == len(families)
    assert catalog.family("mine") == catalog.OWN_FAMILY


def test_every_scenario_says_in_a_line_what_it_tests_and_who_should_fail():
    scenarios = [synthetic.scenario(name) for name in NAMES]
    descriptions = Counter(scenario.description for scenario in scenarios)
    expected = Counter(scenario.expected for scenario in scenarios if scenario.expected)
    assert max(descriptions.values()) == max(expected.values()) == 1
    for scenario in scenarios:
        for line in (scenario.description, scenario.expected):
            assert line == line.strip()
            assert len(line.splitlines()) <= 1
            assert len(line) <= 110
            assert not line.endswith(".")
        assert scenario.description
        assert scenario.expected or scenario.name in PAPER, scenario.name


def test_no_two_scenarios_are_the_same_but_for_their_names():
    # But for the paper's first four, which differ in the modality that they read, see below.
    seen = {}
    for name in NAMES:
        scenario = synthetic.scenario(name)
        rest = (
            scenario.terms,
            scenario.labels,
            scenario.missing,
            scenario.image_size,
            tuple(scenario.tables.items()),
            tuple(scenario.correlations.items()),
            scenario.n,
        )
        assert rest not in seen, (name, seen[rest])
        seen[rest] = name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.few(6)
def test_a_scenario_gives_sound_data(name):
    scenario = synthetic.scenario(name)
    dataset = generate(scenario, n=400)
    labels = dataset.train.labels
    assert labels is not None
    assert set(labels.tolist()) == set(range(scenario.labels.n_classes))
    for split in ("train", "explain", "test"):
        samples, z = getattr(dataset, split), dataset.latents[split]
        assert len(samples) == len(z)
        assert bool(torch.isfinite(z).all())
        assert bool(torch.isfinite(scenario.decision(z.double())).all())
        assert samples.modalities == tuple(modality.name for modality in scenario.modalities)
        for modality in scenario.modalities:
            value = samples.inputs[modality.name]
            size = scenario.image_size
            shape = (1, size, size) if modality.kind == "image" else (len(modality.latents),)
            assert value.shape == (len(z), *shape)
            if modality.kind == "table":
                assert bool(torch.isfinite(value).all())
            else:
                assert int(value.amin()) < int(value.amax())


def test_scenarios_survive_the_way_to_another_process():
    for name in NAMES:
        scenario = synthetic.scenario(name)
        again = pickle.loads(pickle.dumps(scenario))  # noqa: S301
        assert again == scenario
        assert hash(again) == hash(scenario)
        assert again.decision == scenario.decision


# Image sources


@pytest.mark.parametrize("source", ["organamnist", "organ-ac"])
def test_what_needs_no_rendering_works_on_scans(source):
    names = synthetic.scenarios(source)
    assert set(NAMES) - set(names) == RENDERED
    for name in names:
        scenario = synthetic.scenario(name, source=source)
        assert (scenario.source, scenario.features) == (source, "autoencoder")
        views = [modality.name for modality in scenario.modalities][:2]
        assert tuple(views) == SOURCES[source][:2]
        plain = synthetic.scenario(name)
        assert [modality for modality in scenario.modalities if modality.kind == "table"] == [
            modality for modality in plain.modalities if modality.kind == "table"
        ]


@pytest.mark.parametrize("name", sorted(RENDERED))
def test_what_needs_rendering_is_refused_on_scans(name):
    with pytest.raises(
        ValueError,
        match=rf"Scenario '{name}' needs rendered images \(source='phantom'\).*Got source='organ-ac'; choose",
    ):
        synthetic.scenario(name, source="organ-ac")


def test_sources_have_their_own_defaults():
    phantom = synthetic.scenario("paper-F0")
    assert (phantom.source, phantom.features, phantom.image_size, phantom.n) == (
        "phantom",
        "anatomy",
        28,
        16_000,
    )
    scans = synthetic.scenario("paper-F0", source="organamnist", image_size=64)
    assert (scans.features, scans.image_size, scans.n) == ("autoencoder", 64, None)
    assert synthetic.scenario("paper-F0", source="organ-ac", features="pca").features == "pca"
    assert synthetic.scenario("small-sample").n == 500
    assert synthetic.scenario("small-sample", source="organamnist").n == 500


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("paper-f6", "Did you mean 'paper-F6'?"),
        ("paperF3", "Did you mean 'paper-F3'?"),
        ("redundant", "Did you mean 'redundancy'?"),
        ("zzz", "There are paper-F0, paper-F1, .*paper-F7, graded, "),
        ("", "There are paper-F0"),
    ],
)
@pytest.mark.parametrize("function", [synthetic.scenario, synthetic.describe])
def test_an_unknown_name_is_answered_with_a_known_one(name, hint, function):
    with pytest.raises(ValueError, match=f"'{name}' is unknown. {hint}".replace("?", r"\?")):
        function(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "organs"}, "'source' must be one of phantom, organamnist, organ-ac. Got 'organs'"),
        (
            {"features": "autoencoder"},
            "'features' of phantom images must be 'anatomy' or 'lesion'. Got 'auto",
        ),
        ({"source": "organamnist", "features": "anatomy"}, "'autoencoder' or 'pca'. Got 'anatomy'"),
        ({"source": "organ-ac", "features": "anatomy"}, "'autoencoder' or 'pca'. Got 'anatomy'"),
        ({"image_size": 27}, "'image_size' of scenario 'paper-F0' must be one of 28, 64, 128, 224. Got 27"),
    ],
)
def test_images_and_features_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        synthetic.scenario("paper-F0", **options)


# The paper's eight


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", range(8))
def test_a_case_reads_the_modalities_of_the_paper(source, case):
    scenario = synthetic.scenario(f"paper-F{case}", source=source)
    names = SOURCES[source]
    assert tuple(modality.name for modality in scenario.modalities) == names
    assert [modality.kind for modality in scenario.modalities] == ["image", "image", "table", "table"]
    assert {len(modality.latents) for modality in scenario.modalities} == {N_FEATURES}
    if case in READ:
        assert str(scenario.decision) == " + ".join(f"Σ {names[place]}" for place in READ[case])
    else:
        first, second = scenario.modalities[:2]
        square, exponential = scenario.decision.terms
        assert square.features == first.features[:2]
        assert exponential.features == second.features[8:9]
        assert (exponential.function, exponential.weight) == ("exp", 0.05)


# What the others promise


def test_graded(truth):
    found = truth("graded")
    assert shares(found["gradient"]) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert shares(found["shapley"]) == pytest.approx(np.array([16, 9, 4, 1]) / 30)
    assert shares(found["total_effect"]) == pytest.approx(np.array([16, 9, 4, 1]) / 30)


def test_nonlinear_additive(truth):
    found = truth("nonlinear-additive")
    assert not found["interaction"].informative
    assert min(shares(found["gradient"])) > 0.1
    assert min(shares(found["shapley"])) > 0.1
    mean = mean_slopes("nonlinear-additive")
    for name, cancels in (("axial", False), ("coronal", True), ("clinical_a", False), ("clinical_b", True)):
        signed, error = mean[name]
        assert bool(np.all(np.abs(signed) < 5 * error)) == cancels


def test_interaction_within(truth):
    found = truth("interaction-within")
    assert found["total_effect"].modalities["axial"] == pytest.approx(0.5, abs=0.01)
    assert not found["interaction"].informative
    signed, error = mean_slopes("interaction-within")["axial"]
    assert np.all(np.abs(signed) < 5 * error)
    assert found["gradient"].modalities["axial"] > 0.5


def test_product(truth):
    found = truth("product")
    assert shares(found["information"]) == pytest.approx([0, 1, 0, 0], abs=0.01)
    # The product's variance counts for both of its factors.
    assert sum(found["total_effect"].raw.values()) == pytest.approx(1.5, abs=0.02)
    assert sum(found["shapley"].raw.values()) == pytest.approx(1, abs=0.02)
    assert found["interaction"].pairs["axial", "clinical_a"] == pytest.approx(0.5, abs=0.01)


def test_xor(truth):
    found = truth("xor")
    accuracy = found["bayes_accuracy"].subsets["accuracy"]
    for name in SOURCES["phantom"]:
        assert accuracy[[name]] == pytest.approx(0.5, abs=0.005)
    assert accuracy[["axial", "clinical_a"]] == pytest.approx(1, abs=0.005)
    assert not found["information"].informative
    assert shares(found["gradient"]) == pytest.approx([0.5, 0, 0.5, 0], abs=0.01)
    assert found["permutation"].raw["axial"] == pytest.approx(0.5, abs=0.01)


def test_gate(truth):
    found = truth("gate")
    assert found["information"].modalities["clinical_a"] == pytest.approx(0, abs=0.005)
    assert found["total_effect"].raw["clinical_a"] > 0.3
    pairs = found["interaction"].pairs
    assert pairs["axial", "clinical_a"] == pytest.approx(pairs["coronal", "clinical_a"], abs=0.02)
    assert pairs["axial", "clinical_a"] > 0.15
    assert abs(pairs["axial", "coronal"]) < 0.01
    # It is one variable of the table that decides.
    for estimand in ("gradient", "total_effect"):
        features = found[estimand].features
        assert features["clinical_a/feature_0"] > 0.1
        assert sum(features[f"clinical_a/feature_{place}"] for place in range(1, 10)) == 0
    # Where it is high the first image matters, where it is low the second.
    scenario, slope = slopes("gate")
    z = truth("gate").law.sample(len(slope), np.random.default_rng(0))
    gate = z[:, scenario.decision.columns["clinical_a/feature_0"]]
    for open_gate, seen, unseen in ((gate > 1, "axial", "coronal"), (gate < -1, "coronal", "axial")):
        size = {
            name: np.abs(slope[open_gate, scenario.decision.slices[name]]).mean() for name in (seen, unseen)
        }
        assert size[seen] > 50 * size[unseen]


def test_step(truth):
    found = truth("step")
    assert found["gradient"].modalities["clinical_a"] == 0
    assert found["total_effect"].modalities["clinical_a"] > 0.4
    assert found["shapley"].modalities["clinical_a"] > 0.4
    assert found["permutation"].modalities["clinical_a"] > 0.4


def test_saturation(truth):
    assert shares(truth("saturation")["total_effect"]) == pytest.approx([0.5, 0, 0.5, 0], abs=0.03)
    scenario, found = slopes("saturation")
    steepness = np.abs(found[:, scenario.decision.slices["clinical_a"]]).sum(1)
    assert np.mean(steepness < 0.01 * steepness.max()) > 0.75
    assert np.mean(steepness > steepness.mean()) < 0.2


def test_opposite_signs(truth):
    found = truth("opposite-signs")
    assert shares(found["gradient"]) == pytest.approx([0.4, 0.2, 0.4, 0])
    assert shares(found["shapley"]) == pytest.approx(np.array([4, 1, 4, 0]) / 9)
    mean = {name: signed for name, (signed, _) in mean_slopes("opposite-signs").items()}
    assert mean["coronal"].sum() > 0
    for name in ("axial", "clinical_a"):
        assert np.abs(mean[name]) == pytest.approx(2 * mean["coronal"])
        assert mean[name].sum() == pytest.approx(0)


def test_non_monotone(truth):
    found = truth("non-monotone")
    assert shares(found["gradient"]) == pytest.approx([0.5, 0, 0.5, 0])
    assert shares(found["shapley"]) == pytest.approx([0.5, 0, 0.5, 0], abs=0.01)
    for signed, error in mean_slopes("non-monotone").values():
        assert np.all(np.abs(signed) <= 5 * error)


def test_redundancy(truth):
    found = truth("redundancy")
    assert found["gradient"].modalities["clinical_a"] == 0
    assert found["permutation"].modalities["clinical_a"] == 0
    assert found["total_effect"].raw["clinical_a"] == pytest.approx(0, abs=1e-9)
    assert found["shapley"].modalities["clinical_a"] > 0.1
    # The table alone says nearly as much as the image that it repeats.
    alone = found["bayes_accuracy"].raw
    assert 0.85 * alone["axial"] < alone["clinical_a"] < alone["axial"]


def test_redundancy_used(truth):
    found = truth("redundancy-used")
    assert shares(found["gradient"]) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    for name in ("axial", "clinical_a"):
        assert found["total_effect"].raw[name] < 0.05
        assert found["shapley"].raw[name] > 0.35
        assert found["permutation"].raw[name] > 0.2


def test_suppressor(truth):
    found = truth("suppressor")
    assert found["information"].raw["clinical_a"] == pytest.approx(0, abs=1e-6)
    assert found["bayes_accuracy"].raw["clinical_a"] == pytest.approx(0, abs=1e-6)
    assert found["gradient"].modalities["clinical_a"] == pytest.approx(4 / 9)
    assert found["total_effect"].modalities["clinical_a"] > 0.3
    # Neither do its columns one by one: each is uncorrelated with F.
    scenario = synthetic.scenario("suppressor")
    z = found.law.sample(2**14, np.random.default_rng(0))
    values = scenario.decision(torch.from_numpy(z)).numpy()
    for column in range(20, 30):
        assert abs(np.corrcoef(values, z[:, column])[0, 1]) < 5 / 2**7


def test_shortcut(truth):
    found = truth("shortcut")
    scenario = synthetic.scenario("shortcut")
    # F reads the image alone, and of it the lesion alone.
    assert shares(found["gradient"]) == pytest.approx([1, 0, 0, 0])
    assert found["gradient"].features["axial/lesion_contrast"] == pytest.approx(1)
    accuracy = found["bayes_accuracy"].subsets["accuracy"]
    assert accuracy[["axial"]] == pytest.approx(1)
    assert accuracy[["clinical_a"]] == pytest.approx(0.86, abs=0.005)
    assert list(scenario.named_correlations) == [("clinical_a/feature_0", "axial/lesion_contrast")]


def test_collapse_trap(truth):
    found, scenario = truth("collapse-trap"), synthetic.scenario("collapse-trap")
    # Image and table share F by halves, without an interaction, and both say much of the label.
    for estimand in ("total_effect", "shapley"):
        assert shares(found[estimand]) == pytest.approx([0.5, 0, 0.5, 0], abs=0.005)
    assert abs(found["interaction"].pairs["axial", "clinical_a"]) < 0.01
    for estimand in ("gradient", "permutation", "sage", "information", "bayes_accuracy", "leave_one_out"):
        assert 0.35 < found[estimand].modalities["clinical_a"] < 0.5 < found[estimand].modalities["axial"]
    accuracy = found["bayes_accuracy"].subsets["accuracy"]
    assert accuracy[["axial"]] == pytest.approx(0.798, abs=0.005)
    assert accuracy[["clinical_a"]] == pytest.approx(0.702, abs=0.005)
    assert found["bayes_accuracy"].summary["all"] == pytest.approx(1)
    # It is hard to learn, since neither finding says anything without the other.
    z = found.law.sample(2**14, np.random.default_rng(0))
    values = scenario.decision(torch.from_numpy(z)).numpy()
    correlation = {
        name: np.corrcoef(values, z[:, scenario.decision.columns[name]])[0, 1]
        for name in ("axial/lesion_contrast", "axial/spleen_attenuation", "clinical_a/feature_0")
    }
    assert abs(correlation["axial/lesion_contrast"]) < 5 / 2**7
    assert abs(correlation["axial/spleen_attenuation"]) < 5 / 2**7
    assert correlation["clinical_a/feature_0"] == pytest.approx(0.5**0.5, abs=0.02)


def test_irrelevant_wide(truth):
    found = truth("irrelevant-wide")
    widths = {
        modality.name: len(modality.latents) for modality in synthetic.scenario("irrelevant-wide").modalities
    }
    assert widths == {"axial": 10, "coronal": 10, "clinical_a": 10, "genomics": 200}
    for estimand in ("gradient", "total_effect", "shapley", "sage", "information", "bayes_accuracy"):
        assert found[estimand].modalities["genomics"] == 0
        assert found[estimand].modalities["clinical_a"] == pytest.approx(0.5)


def test_weak_modality(truth):
    found = truth("weak-modality")
    assert shares(found["gradient"]) == pytest.approx([0.95 / 3, 0.95 / 3, 0.95 / 3, 0.05])
    assert 0 < found["shapley"].modalities["clinical_b"] < 0.01


def test_imbalance(truth):
    found, balanced = truth("imbalance"), truth("small-sample")
    assert found["bayes_accuracy"].summary["chance"] == pytest.approx(0.95)
    assert shares(found["gradient"]) == pytest.approx([0.25] * 4)
    # No modality alone beats calling everybody healthy, and shuffling one costs little.
    assert max(found["bayes_accuracy"].raw.values()) < 0.001
    assert found["permutation"].raw["axial"] < 0.3 * balanced["permutation"].raw["axial"]


def test_label_noise(truth):
    found, clean = truth("label-noise"), truth("small-sample")
    assert found["bayes_accuracy"].summary["all"] == pytest.approx(0.85)
    assert found["bayes_accuracy"].summary["chance"] == pytest.approx(0.5)
    assert found["gradient"] == clean["gradient"]
    assert found["shapley"] == clean["shapley"]
    # A patient who changes sides gains or loses 0.85 − 0.15.
    assert found["permutation"].raw["axial"] == pytest.approx(0.7 * clean["permutation"].raw["axial"])


def test_three_classes(truth):
    best = truth("three-classes")["bayes_accuracy"]
    assert best.summary["chance"] == pytest.approx(1 / 3)
    assert best.summary["all"] == pytest.approx(1)
    thresholds = truth("three-classes").thresholds
    assert thresholds[0] == pytest.approx(-thresholds[1])
    assert thresholds[1] > 0


def test_heavy_tailed(truth):
    assert shares(truth("heavy-tailed")["gradient"]) == pytest.approx([0.5, 0, 0.5, 0])
    z = truth("heavy-tailed").law.sample(2**12, np.random.default_rng(0))
    assert z[:, 20:30].max() > 10
    assert z[:, 20:30].min() > -1
    assert z[:, 20:30].std(0) == pytest.approx(np.ones(10), abs=0.3)


@pytest.mark.parametrize("mechanism", [pytest.param("mcar", marks=pytest.mark.slow), "mar", "mnar"])
def test_missing(truth, mechanism):
    name = f"missing-{mechanism}"
    found, scenario = truth(name), synthetic.scenario(name)
    for estimand in ("gradient", "shapley", "total_effect"):
        assert shares(found[estimand]) == pytest.approx([0.5, 0, 0.5, 0])
    # What can be learnt is less than F, and the image is more of it.
    assert 0.8 < found["bayes_accuracy"].summary["all"] < 0.95
    assert found["information"].modalities["axial"] > 0.52
    assert found["information"].modalities["clinical_a"] < 0.48
    dataset = generate(scenario, n=400)
    hidden = dataset.missing["train"][:, 20:30]
    if mechanism == "mar":
        driver = dataset.latents["train"][:, 20]
        assert not bool(hidden[:, 0].any())
        assert float(hidden[driver > 0.5, 1:].double().mean()) > 0.7
        assert float(hidden[driver < 0, 1:].double().mean()) < 0.1
        hidden = hidden[:, 1:]
    assert float(hidden.double().mean()) == pytest.approx(0.33, abs=0.06)
    if mechanism == "mnar":
        assert float(dataset.latents["train"][:, 20:30][hidden].mean()) > 0.5


def test_small_sample():
    assert synthetic.scenario("small-sample").n == 500
    assert len(generate(synthetic.scenario("small-sample")).train) == 312


def test_eight_modalities(truth):
    scenario, found = synthetic.scenario("eight-modalities"), truth("eight-modalities")
    assert len(scenario.modalities) == 8
    weights = [term.weight for term in scenario.terms]
    assert weights == list(range(8, 0, -1))
    ranked = sorted(found["gradient"].modalities, key=found["gradient"].modalities.__getitem__, reverse=True)
    assert ranked == [term.features[0].split("/")[0] for term in scenario.decision.terms]
    assert len(found["shapley"].subsets["explained variance"].values) == 256


def test_sixteen_modalities(truth):
    scenario, found = synthetic.scenario("sixteen-modalities"), truth("sixteen-modalities")
    assert len(scenario.modalities) == 16
    for estimand in ("gradient", "shapley", "bayes_accuracy"):
        nothing = {name for name, share in found[estimand].modalities.items() if share == 0}
        assert nothing == {f"table_{k:02}" for k in range(1, 14, 2)}
    assert sum(found["shapley"].modalities.values()) == pytest.approx(1)


def test_lesion(truth):
    scenario = synthetic.scenario("lesion")
    found = truth("lesion")
    assert scenario.modalities[0].name == "axial"
    features = found["gradient"].features
    assert features["axial/lesion_contrast"] == pytest.approx(2 / 3)
    assert features["clinical_a/feature_0"] == pytest.approx(1 / 3)
    assert shares(found["shapley"]) == pytest.approx([0.8, 0, 0.2, 0])


def test_size_64(truth):
    scenario = synthetic.scenario("size-64")
    assert scenario.image_size == 64
    assert shares(truth("size-64")["gradient"]) == pytest.approx([2 / 3, 1 / 3, 0, 0])


def test_fatty_liver(truth):
    found = truth("fatty-liver")
    marginal, conditional = found["gradient"].modalities, found["total_effect"].modalities
    assert abs(marginal["labs"] - conditional["labs"]) > 0.1
    assert abs(marginal["history"] - conditional["history"]) > 0.1
    # What the image says the tables say again: every pair of the three overlaps.
    assert max(found["interaction"].pairs.values()) < -0.1
    correlations = synthetic.scenario("fatty-liver").named_correlations
    assert correlations["axial/liver_attenuation", "labs/alt"] < 0
    assert correlations["axial/fat_thickness", "history/bmi"] > 0
    assert correlations["history/bmi", "labs/alt"] > 0  # the variables' own
