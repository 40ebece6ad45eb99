"""The named scenarios: data only."""

from __future__ import annotations

from synthetic import images
from synthetic.clinical import PAPER_TABLES
from synthetic.decision import paper_terms
from synthetic.images import FeatureKind, Source
from synthetic.names import check_known
from synthetic.scenario import Scenario

PHANTOM_PATIENTS = 16_000

_PAPER = {
    "paper-F0": (0, "the first image alone matters"),
    "paper-F1": (1, "the second image alone matters"),
    "paper-F2": (2, "the first clinical table alone matters; its features are correlated"),
    "paper-F3": (3, "the second clinical table alone matters"),
    "paper-F4": (4, "both images matter equally, the tables not at all"),
    "paper-F5": (5, "both tables matter equally, the images not at all"),
    "paper-F6": (6, "all four modalities matter equally: learnt and given features compete"),
    "paper-F7": (7, "a nonlinear function of one image, with a faint trace of the other"),
}


def scenarios() -> tuple[str, ...]:
    """Return the names of all scenarios."""
    return tuple(_PAPER)


def describe(name: str) -> str:
    """Return one line on what a scenario tests."""
    return scenario(name).description


def scenario(
    name: str, *, source: Source = "phantom", image_size: int = 28, features: FeatureKind | None = None
) -> Scenario:
    """Return a scenario by name.

    Args:
        name: one of ``scenarios()``.
        source: image source.
        image_size: height and width in pixels.
        features: latent features; None for the source's default (``anatomy`` or ``autoencoder``).

    Raises:
        ValueError: if there is no scenario of that name (with the closest one that there is), or no such
            combination of images and features.
    """
    check_known("scenario", name, scenarios())
    if features is None:
        features = "anatomy" if source == "phantom" else "autoencoder"
    case, description = _PAPER[name]
    modalities = (*images.modalities(source, features), *PAPER_TABLES.modalities)
    return Scenario(
        name=name,
        description=description,
        terms=paper_terms(case, modalities),
        source=source,
        image_size=image_size,
        features=features,
        tables=PAPER_TABLES,
        n=PHANTOM_PATIENTS if source == "phantom" else None,
    )
