"""The named scenarios: data only.

Names of features are short (`synthetic.decision.Term`), so that a scenario works on every image source whose
latents have what it needs. S is the coefficient that gives a sum of ten independent features variance 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from synthetic.clinical import PAPER_CORRELATIONS, PAPER_TABLES, Table
from synthetic.decision import Term
from synthetic.images import FeatureKind, Source
from synthetic.labels import Labels
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.names import check_known
from synthetic.scenario import Scenario

PHANTOM_PATIENTS = 16_000
S = 10**-0.5

M1, M2, M3, M4 = ("image_1/*",), ("image_2/*",), ("clinical_a/*",), ("clinical_b/*",)
_ALL = (Term(M1), Term(M2), Term(M3), Term(M4))
_IMAGE_AND_TABLE = (Term(M1), Term(M3))


def _some(modality: str, places: range) -> tuple[str, ...]:
    return tuple(f"{modality}/{place}" for place in places)


def _paper(case: int, description: str, *terms: Term, expected: str = "") -> Scenario:
    return Scenario(
        f"paper-F{case}",
        description,
        terms,
        tables=PAPER_TABLES,
        correlations=PAPER_CORRELATIONS,
        expected=expected,
    )


_SCENARIOS = (
    _paper(0, "the first image alone matters", Term(M1)),
    _paper(1, "the second image alone matters", Term(M2)),
    _paper(2, "the first clinical table alone matters; its features are correlated", Term(M3)),
    _paper(3, "the second clinical table alone matters", Term(M4)),
    _paper(4, "both images matter equally, the tables not at all", Term(M1), Term(M2)),
    _paper(5, "both tables matter equally, the images not at all", Term(M3), Term(M4)),
    _paper(
        6,
        "all four modalities matter equally: learnt and given features compete",
        *_ALL,
        expected="sums of absolute values over redundant learnt features overrate the tables",
    ),
    _paper(
        7,
        "a nonlinear function of one image, with a faint trace of the other",
        Term(("image_1/0", "image_1/1"), "square"),
        Term(("image_2/8",), "exp", weight=0.05),
    ),
    Scenario(
        "graded",
        "weights 4 : 3 : 2 : 1 over the four modalities",
        (Term(M1, weight=4.0), Term(M2, weight=3.0), Term(M3, weight=2.0), Term(M4, weight=1.0)),
        expected="slopes have ratios 4 : 3 : 2 : 1, variances 16 : 9 : 4 : 1; no method can fit both",
    ),
    Scenario(
        "nonlinear-additive",
        "each modality through a function of its own, no interactions",
        (
            Term(M1, "tanh", weight=2.0, coefficients=2 * S),
            Term(M2, "square", weight=0.7, coefficients=S),
            Term(M3, "exp", weight=0.7, coefficients=0.7 * S),
            Term(M4, "abs", weight=1.5, coefficients=S),
        ),
        expected="linear surrogates (LIME) miss the square and the absolute value, whose slopes cancel",
    ),
    Scenario(
        "interaction-within",
        "two halves of one image multiply; a table adds",
        (
            Term(_some("image_1", range(5)), coefficients=5**-0.5)
            * Term(_some("image_1", range(5, 10)), coefficients=5**-0.5),
            Term(M3, coefficients=S),
        ),
        expected="linear surrogates see no slope in the image; no interaction of modalities may be reported",
    ),
    Scenario(
        "product",
        "an image and a table multiply; the other image adds",
        (Term(M1, coefficients=S) * Term(M3, coefficients=S), Term(M2, coefficients=S)),
        expected="single-modality performance is blind to both factors; total effects count them twice",
    ),
    Scenario(
        "xor",
        "the label says whether an image and a table agree in sign: neither alone says anything",
        (Term(M1, "tanh", coefficients=3 * S) * Term(M3, "tanh", coefficients=3 * S),),
        labels=Labels(thresholds=(0.0,)),
        expected="single-modality performance is at chance for both; signed averages cancel",
    ),
    Scenario(
        "gate",
        "a clinical variable decides which of the two images matters",
        (
            Term(("clinical_a/0",), "sigmoid", coefficients=4.0) * Term(M1, coefficients=S),
            Term(("clinical_a/0",), "sigmoid", coefficients=-4.0) * Term(M2, coefficients=S),
        ),
        expected="the gate says nothing alone, so methods that judge each modality by itself miss it",
    ),
    Scenario(
        "step",
        "a table acts by a jump, an image by a slope",
        (Term(M1, coefficients=S), Term(M3, "step", weight=2.5, coefficients=S)),
        expected="slopes (gradient) are blind to a jump; occlusion and Shapley values are not",
    ),
    Scenario(
        "saturation",
        "a table saturates: large effect, small slope almost everywhere",
        (Term(M1, coefficients=S), Term(M3, "tanh", coefficients=12 * S)),
        expected="half the variance is the table's, yet its slope is 0 at most patients, large at few",
    ),
    Scenario(
        "opposite-signs",
        "half of each modality's features act against the other half",
        (
            Term(_some("image_1", range(5)), weight=2.0),
            Term(_some("image_1", range(5, 10)), weight=-2.0),
            Term(_some("clinical_a", range(5)), weight=2.0),
            Term(_some("clinical_a", range(5, 10)), weight=-2.0),
            Term(M2),
        ),
        expected="signed attributions that are summed before the absolute value cancel",
    ),
    Scenario(
        "non-monotone",
        "U-shaped in an image and in a table: both extremes raise the risk",
        (Term(M1, "square", coefficients=S), Term(M3, "square", coefficients=S)),
        expected="averages of signed slopes are 0; linear surrogates see nothing",
    ),
    Scenario(
        "redundancy",
        "a table repeats the first image's signal, and F reads the image alone",
        (Term(M1), Term(M2)),
        correlations={("clinical_a/*", "image_1/*"): 0.9},
        expected="F's slope gives the table nothing, Shapley values a share; networks take the table",
    ),
    Scenario(
        "redundancy-used",
        "an image and a table carry one signal, and F reads both",
        (*_IMAGE_AND_TABLE, Term(M2)),
        correlations={("clinical_a/*", "image_1/*"): 0.9},
        expected="total effects nearly vanish, since each stands in for the other; permuting breaks the tie",
    ),
    Scenario(
        "suppressor",
        "a table holds the distractor that F subtracts from the image; alone it says nothing of the label",
        (
            Term(_some("image_1", range(5))),
            Term(_some("clinical_a", range(5)), weight=-0.8),
        ),
        correlations={(f"clinical_a/{place}", f"image_1/{place}"): 0.8 for place in range(5)},
        expected="functional truths give it weight, its own information is none: a method can fit one",
    ),
    Scenario(
        "shortcut",
        "a small lesion decides and is hard to find; a column of a table is right in 86 % of the patients",
        (Term(("image_1/lesion_contrast",)),),
        correlations={("clinical_a/0", "image_1/lesion_contrast"): 0.9},
        features="lesion",
        n=3_000,
        expected="networks lean on the table, F does not: a method that repeats F's truth misses the network",
    ),
    Scenario(
        "collapse-trap",
        "whether a lesion and the spleen agree, slow to learn, and a column of a table, learnt at once",
        (
            # The weight gives the product the variance of the column. The idle second image is part of the
            # trap: without it, networks learn the first one beside the table.
            Term(("image_1/lesion_contrast",), "tanh", weight=1.343, coefficients=3.0)
            * Term(("image_1/spleen_attenuation",), "tanh", coefficients=3.0),
            Term(("clinical_a/0",)),
        ),
        features="lesion",
        n=4_000,
        expected="most networks stop at the table (unimodal collapse), yet one of the image alone learns it",
    ),
    Scenario(
        "irrelevant-wide",
        "a table of 200 columns without any effect stands beside an image and a small table that matter",
        _IMAGE_AND_TABLE,
        tables={"clinical_a": Table(10), "genomics": Table(200)},
        expected="sums of absolute values grow with the number of features, noise included",
    ),
    Scenario(
        "weak-modality",
        "one of four modalities has 5 % of the slope, and less than 1 % of the variance",
        (Term(M1), Term(M2), Term(M3), Term(M4, weight=3 / 19)),
        expected="the noise floor of a method hides it, or ranks it by chance",
    ),
    Scenario(
        "imbalance",
        "all four matter equally; 5 % of the patients are ill",
        _ALL,
        labels=Labels(shares=(0.95, 0.05)),
        expected="no modality alone beats calling everybody healthy: single-modality accuracy is blind",
    ),
    Scenario(
        "label-noise",
        "all four matter equally; 15 % of the labels are wrong",
        _ALL,
        labels=Labels(noise=0.15),
        expected="methods that need labels lose precision; those that explain the model do not",
    ),
    Scenario(
        "three-classes",
        "all four matter equally; three classes of one size",
        _ALL,
        labels=Labels(shares=(1 / 3, 1 / 3, 1 / 3)),
        expected="methods that explain the predicted class see slopes of both signs in the middle one",
    ),
    Scenario(
        "heavy-tailed",
        "an image and a table whose columns are log-normal: a few patients are far out",
        _IMAGE_AND_TABLE,
        tables={"clinical_a": Table(10, margin=Margin("lognormal", (1.0,))), "clinical_b": Table(10)},
        expected="surrogates and baselines drawn from a normal law leave the data",
    ),
    Scenario(
        "missing-mcar",
        "a third of a table's values are missing completely at random",
        _IMAGE_AND_TABLE,
        missing=(Missing(M3, "mcar", rate=0.33),),
        expected="the network leans on the image more than F does; F's truth is not what it can learn",
    ),
    Scenario(
        "missing-mar",
        "a third of nine columns is missing, nearly all where the observed tenth is high",
        _IMAGE_AND_TABLE,
        missing=(
            Missing(_some("clinical_a", range(1, 10)), "mar", rate=0.33, driver="clinical_a/0", strength=2.0),
        ),
        expected="one number for all hides two groups: patients whose table is seen, and those whose is not",
    ),
    Scenario(
        "missing-mnar",
        "a third of a table's values are missing, more often where they are high",
        _IMAGE_AND_TABLE,
        missing=(Missing(M3, "mnar", rate=0.33, strength=2.0),),
        expected="the mean that stands for a missing value misleads: high values look average",
    ),
    Scenario(
        "small-sample",
        "all four matter equally; 500 patients in all",
        _ALL,
        n=500,
        expected="networks learn tables before images, and importances follow what was learnt",
    ),
    Scenario(
        "eight-modalities",
        "two images and six tables, weights from 8 to 1",
        tuple(
            Term((f"{name}/*",), weight=float(weight))
            for name, weight in zip(
                ("image_1", "clinical_a", "clinical_b", "image_2", *(f"table_{k}" for k in range(4))),
                range(8, 0, -1),
                strict=True,
            )
        ),
        tables={"clinical_a": 10, "clinical_b": 10, **{f"table_{k}": 5 for k in range(4)}},
        expected="256 subsets: exact Shapley values are still possible",
    ),
    Scenario(
        "sixteen-modalities",
        "two images and fourteen tables; every second table without effect",
        (
            Term(M1, weight=2.0),
            Term(M2),
            *(Term((f"table_{k:02}/*",), weight=1 + k / 2) for k in range(0, 14, 2)),
        ),
        tables={f"table_{k:02}": 4 for k in range(14)},
        expected="65,536 subsets: Shapley methods must sample, and say how well",
    ),
    Scenario(
        "lesion",
        "a focal liver lesion, somewhere in the liver, and a table",
        (Term(("image_1/lesion_contrast",)), Term(("clinical_a/0",), weight=0.5)),
        image_size=64,
        features="lesion",
        n=8_000,
        expected="pixel attributions that follow edges find the liver's outline, not the lesion",
    ),
    Scenario(
        "size-64",
        "both images matter, at 64 × 64 pixels",
        (Term(M1, weight=2.0), Term(M2)),
        image_size=64,
        n=8_000,
        expected="methods that mask fixed patches or few superpixels change their answer with the size",
    ),
    Scenario(
        "fatty-liver",
        "liver attenuation, body fat and laboratory values, linked as in patients",
        (
            Term(("axial/liver_attenuation",), weight=-2.0),
            Term(("axial/fat_thickness",), weight=0.7),
            Term(("labs/alt",), weight=1.2),
            Term(("labs/ast",), weight=0.5),
            Term(("history/bmi",), weight=1.0),
            Term(("history/diabetes",), weight=0.8),
        ),
        tables={
            "labs": Table(
                variables=("haemoglobin", "white_cells", "creatinine", "alt", "ast", "bilirubin", "crp")
            ),
            "history": Table(
                variables=("age", "sex", "bmi", "systolic_blood_pressure", "smoking", "diabetes")
            ),
        },
        correlations={
            ("axial/liver_attenuation", "labs/alt"): -0.35,
            ("axial/liver_attenuation", "history/bmi"): -0.4,
            ("axial/fat_thickness", "history/bmi"): 0.7,
        },
        expected="marginal and conditional truths part ways: ALT and BMI stand in for the image",
    ),
)

_BY_NAME: Mapping[str, Scenario] = {entry.name: entry for entry in _SCENARIOS}

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "published": tuple(name for name in _BY_NAME if name.startswith("paper-")),
    "weights": ("graded", "weak-modality"),
    "shapes": ("nonlinear-additive", "step", "saturation", "opposite-signs", "non-monotone"),
    "interactions": ("interaction-within", "product", "xor", "gate", "collapse-trap"),
    "dependence": ("redundancy", "redundancy-used", "suppressor", "shortcut", "fatty-liver"),
    "labels": ("imbalance", "label-noise", "three-classes"),
    "tables": ("irrelevant-wide", "heavy-tailed", "missing-mcar", "missing-mar", "missing-mnar"),
    "sizes": ("small-sample", "eight-modalities", "sixteen-modalities", "size-64", "lesion"),
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names}
OWN_FAMILY = "own"


def scenarios(source: Source = "phantom") -> tuple[str, ...]:
    """Return the names of all scenarios that work on an image source.

    Raises:
        ValueError: if there is no such source.
    """
    check_known("image source", source, get_args(Source))
    return tuple(name for name, entry in _BY_NAME.items() if source == "phantom" or not entry.needs_rendering)


def describe(name: str) -> str:
    """Return one line on what a scenario tests."""
    return scenario(name).description


def family(name: str) -> str:
    """Return what a scenario has in common with others, one word; ``own`` for one outside the catalogue.

    Example:
        >>> family("xor"), family("mine")
        ('interactions', 'own')
    """
    return _FAMILY_OF.get(name, OWN_FAMILY)


def scenario(
    name: str,
    *,
    source: Source = "phantom",
    image_size: int | None = None,
    features: FeatureKind | None = None,
) -> Scenario:
    """Return a scenario by name.

    Args:
        name: one of ``scenarios()``.
        source: image source.
        image_size: height and width in pixels; None for the scenario's own.
        features: latent features; None for the scenario's own on phantoms, for ``autoencoder`` on scans.

    Raises:
        ValueError: if there is no scenario of that name (with the closest one that there is), it needs
            rendered images, or there is no such combination of images and features.
    """
    check_known("scenario", name, _BY_NAME)
    entry = _BY_NAME[name]
    if source == "phantom":
        return replace(
            entry,
            image_size=entry.image_size if image_size is None else image_size,
            features=entry.features if features is None else features,
            n=PHANTOM_PATIENTS if entry.n is None else entry.n,
        )
    if entry.needs_rendering:
        raise ValueError(
            f"Scenario {name!r} needs rendered images (source='phantom'): it names single organs, or links "
            f"tables to what images show. Got source={source!r}; choose another, such as "
            f"{', '.join(scenarios(source)[-3:])}."
        )
    return replace(
        entry,
        source=source,
        image_size=entry.image_size if image_size is None else image_size,
        features=features or "autoencoder",
    )
