from __future__ import annotations

import pickle

import pytest

import synthetic
from synthetic.images import N_FEATURES

NAMES = tuple(f"paper-F{case}" for case in range(8))

# (m1, m2, m3, m4) in the words of each source.
SOURCES = {
    "phantom": ("axial", "coronal", "clinical_a", "clinical_b"),
    "organamnist": ("axial_1", "axial_2", "clinical_a", "clinical_b"),
    "organ-ac": ("axial", "coronal", "clinical_a", "clinical_b"),
}
READ = {0: (0,), 1: (1,), 2: (2,), 3: (3,), 4: (0, 1), 5: (2, 3), 6: (0, 1, 2, 3)}


def test_the_eight_cases_are_there():
    assert synthetic.scenarios() == NAMES
    for name in NAMES:
        assert synthetic.scenario(name).name == name
        assert synthetic.describe(name) == synthetic.scenario(name).description
    assert len({synthetic.describe(name) for name in NAMES}) == 8


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
        square, exponential = scenario.terms
        assert square.features == first.features[:2]
        assert exponential.features == second.features[8:9]


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


def test_a_scenario_survives_the_way_to_another_process():
    scenario = synthetic.scenario("paper-F7")
    again = pickle.loads(pickle.dumps(scenario))  # noqa: S301
    assert again == scenario
    assert again.decision == scenario.decision


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("paper-f6", "Did you mean 'paper-F6'?"),
        ("paperF3", "Did you mean 'paper-F3'?"),
        ("tomography", "There are paper-F0, paper-F1, .*paper-F7."),
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
        ({"features": "autoencoder"}, "'features' of phantom images must be 'anatomy'. Got 'autoencoder'"),
        ({"source": "organamnist", "features": "anatomy"}, "'autoencoder' or 'pca'. Got 'anatomy'"),
        ({"source": "organ-ac", "features": "anatomy"}, "'autoencoder' or 'pca'. Got 'anatomy'"),
    ],
)
def test_images_and_features_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        synthetic.scenario("paper-F0", **options)
