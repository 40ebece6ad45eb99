"""Scenarios: named, seedable data-generating processes with known importances."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from synthetic import images
from synthetic import missing as gaps
from synthetic.clinical import PAPER_TABLES, Table, correlation_matrix, intrinsic_correlations
from synthetic.decision import DecisionFunction, Term, matching
from synthetic.images import FeatureKind, Source
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import NORMAL, Margin
from synthetic.missing import Missing
from synthetic.phantom import SIZES
from synthetic.types import Modality

_NAME = re.compile(r"\w[\w.-]{0,79}")
_MOST_FEATURES = 5_000  # their correlation matrix then takes 200 MB
_MOST_PATIENTS = 10_000_000


@dataclass(frozen=True)
class Scenario:
    """One data-generating process: images, clinical tables and a decision function.

    Feature names may be short wherever they occur: ``"image_1/*"`` for all latents of the first image,
    ``"labs/3"`` for the one in place 3; see `synthetic.decision.Term`.

    Attributes:
        name: e.g. ``"paper-F6"``; folders and files are named after it.
        description: one line on what it tests.
        terms: terms of the decision function, over ``"modality/latent"`` names.
        source: where the images come from: ``phantom``, ``organamnist`` or ``organ-ac``.
        image_size: height and width in pixels.
        features: latent features: ``anatomy`` or ``lesion`` for phantoms; ``autoencoder`` or ``pca`` for real
            scans.
        tables: name → clinical table; a number stands for so many generic columns.
        correlations: two features → correlation of their normal scores; every pair once. Of two patterns that
            stand for equally many features, the first belongs to the first, and so on; one feature goes with
            each of many. Realistic variables bring their own correlations; a pair given here counts instead.
        labels: class shares and label noise.
        missing: table values that models do not see.
        n: patients in all splits together by default; None for every patient that the source has.
        expected: one line on which methods should fail, and why.
    """

    name: str
    description: str
    terms: tuple[Term, ...]
    source: Source = "phantom"
    image_size: int = 28
    features: FeatureKind = "anatomy"
    tables: Mapping[str, Table | int] = field(default_factory=lambda: dict(PAPER_TABLES))
    correlations: Mapping[tuple[str, str], float] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)
    missing: tuple[Missing, ...] = ()
    n: int | None = None
    expected: str = ""

    def __post_init__(self) -> None:
        self._check_plain_values()
        tables = {
            name: Table(table) if isinstance(table, int) else table for name, table in self.tables.items()
        }
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "correlations", dict(self.correlations))
        object.__setattr__(self, "terms", tuple(self.terms))
        object.__setattr__(self, "missing", tuple(self.missing))
        n_features = sum(len(table.variables) or table.columns for table in tables.values())
        if n_features > _MOST_FEATURES:
            raise ValueError(
                f"The 'tables' of scenario {self.name!r} must have at most {_MOST_FEATURES:,} columns "
                f"in all. Got {n_features:,}."
            )
        try:
            # Each checks its part: source and features, names of latent features, rules of what is missing.
            _ = self.decision
            _ = self.missing_rules
        except ValueError as error:
            raise ValueError(f"In scenario {self.name!r}: {error}") from None
        self._check_correlations()
        _ = self.copula

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        """What makes two scenarios the same: tables in another order are other columns of z."""
        special = {
            "tables": tuple(self.tables.items()),
            "correlations": frozenset(self.correlations.items()),
        }
        return tuple(special.get(entry.name, getattr(self, entry.name)) for entry in fields(self))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The images, then the tables, in the order of the latent features."""
        tables = (table.modality(name) for name, table in self.tables.items())  # pyright: ignore[reportAttributeAccessIssue]
        return (*self._views, *tables)

    @property
    def _views(self) -> tuple[Modality, ...]:
        return images.modalities(self.source, self.features)

    @property
    def decision(self) -> DecisionFunction:
        """The decision function F: ``z [n, d]`` → ``[n]``."""
        return DecisionFunction(self.modalities, self.terms)

    @property
    def needs_rendering(self) -> bool:
        """True where only phantoms will do: tables are linked to images, or single organs are named."""
        if self.source != "phantom":
            return False
        if self.features == "lesion":
            return True
        views = {view.name for view in images.modalities("phantom", "anatomy")}
        roles = {*views, "image_1", "image_2"}
        named = {
            name.rpartition("/")[0]
            for term in self.terms
            for factor in term.factors
            for name in factor.features
        }
        linked = {name.rpartition("/")[0] for pair in self.correlations for name in pair}
        return bool(named & views or linked & roles)

    @property
    def margins(self) -> dict[str, Margin]:
        """Full feature name → margin, of the tables."""
        return {
            f"{name}/{latent}": margin
            for name, table in self.tables.items()
            for latent, margin in zip(table.latents, table.margins, strict=True)  # pyright: ignore[reportAttributeAccessIssue]
        }

    @property
    def missing_rules(self) -> dict[str, Missing]:
        """Full feature name → the rule by which its values are missing."""
        return gaps.resolve(self.missing, self.modalities, self.margins)

    @cached_property
    def named_correlations(self) -> dict[tuple[str, str], float]:
        """Correlations by full names, the tables' own included."""
        try:
            found = intrinsic_correlations(self.tables)  # pyright: ignore[reportArgumentType]
        except ValueError as error:
            raise ValueError(f"In scenario {self.name!r}: {error}") from None
        given: set[frozenset[str]] = set()
        for (first, second), value in self.correlations.items():
            try:
                ones, others = (matching(name, self.modalities) for name in (first, second))
            except ValueError as error:
                raise ValueError(f"In the 'correlations' of scenario {self.name!r}: {error}") from None
            if len(ones) == 1:
                ones *= len(others)
            elif len(others) == 1:
                others *= len(ones)
            if len(ones) != len(others):
                raise ValueError(
                    f"The 'correlations' of scenario {self.name!r} must pair equally many features, or one "
                    f"with each of many. Got {first!r} ({len(ones)}) and {second!r} ({len(others)})."
                )
            for one, other in zip(ones, others, strict=True):
                if {one, other} in given:
                    raise ValueError(
                        f"The 'correlations' of scenario {self.name!r} must name every pair once. "
                        f"Got {one!r} and {other!r} again under {first!r} and {second!r}; drop one."
                    )
                given.add(frozenset((one, other)))
                found.pop((other, one), None)
                found[one, other] = value
        return found

    @cached_property
    def copula(self) -> GaussianCopula:
        """Joint law of the latents that have one in closed form: the phantoms', then the tables'.

        Raises:
            ValueError: if correlations name an image whose latents are those of real scans, or do not form a
                positive definite matrix.
        """
        kept = [it for it in self.modalities if self.source == "phantom" or it.kind == "table"]
        places = {
            name: place for place, name in enumerate(name for modality in kept for name in modality.features)
        }
        for pair in self.named_correlations:
            if not places.keys() >= set(pair):
                raise ValueError(
                    f"Scenario {self.name!r} links {pair[0]} and {pair[1]}. Latents of real scans have "
                    "no joint law with each other or with tables but that of the scans; use source='phantom'."
                )
        margins: list[Margin] = []
        for modality in kept:
            table = self.tables.get(modality.name)
            margins += table.margins if isinstance(table, Table) else (NORMAL,) * len(modality.latents)
        # Most features of a wide table are independent: the eigenvalues of the others say all.
        linked = sorted({name for pair in self.named_correlations for name in pair}, key=places.__getitem__)
        rows = [places[name] for name in linked]
        covariance = np.eye(len(places))
        try:
            covariance[np.ix_(rows, rows)] = correlation_matrix(linked, self.named_correlations)
        except ValueError as error:
            raise ValueError(f"In scenario {self.name!r}: {error}") from None
        return GaussianCopula(covariance, tuple(margins))

    def law(self, scans: tuple[Population, ...] = ()) -> LatentLaw:
        """Return the joint law of all latents: truths are computed from it, and data are drawn from it.

        Args:
            scans: the latents of real scans, a population a view; none for phantoms.
        """
        return LatentLaw((*scans, self.copula))

    def _check_plain_values(self) -> None:
        """Raise a ValueError for a name, number or table that nothing could be made of."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                "The 'name' of a Scenario must be 1 to 80 letters, digits, '.', '_' and '-', the first "
                f"no '.' or '-': folders are named after it. Got {self.name!r}."
            )
        if self.image_size not in SIZES:
            raise ValueError(
                f"The 'image_size' of scenario {self.name!r} must be one of {', '.join(map(str, SIZES))}. "
                f"Got {self.image_size!r}."
            )
        whole = isinstance(self.n, int) and not isinstance(self.n, bool)
        if self.n is not None and not (whole and 1 <= self.n <= _MOST_PATIENTS):
            raise ValueError(
                f"The number of patients 'n' of scenario {self.name!r} must be a whole number from 1 to "
                f"{_MOST_PATIENTS:,}, or None. Got {self.n!r}."
            )
        try:
            taken = {"image_1", "image_2", *(view.name for view in self._views)}
        except ValueError as error:
            raise ValueError(f"In scenario {self.name!r}: {error}") from None
        for name, table in self.tables.items():
            if name in taken:
                raise ValueError(
                    f"The 'tables' of scenario {self.name!r} must have distinct names that no image has "
                    f"({', '.join(sorted(taken))}). Got {name!r}; give it another name."
                )
            if isinstance(table, bool) or not isinstance(table, Table | int):
                raise ValueError(  # noqa: TRY004 - all that callers get wrong is a ValueError
                    f"Table {name!r} of scenario {self.name!r} must be a Table or a number of columns. "
                    f"Got {table!r}."
                )

    def _check_correlations(self) -> None:
        """Raise a ValueError for correlations of features that are coarse, or missing now and then."""
        margins, hidden = self.margins, self.missing_rules
        for pair, value in self.named_correlations.items():
            for name, other in (pair, pair[::-1]):
                if value and not margins.get(name, NORMAL).is_continuous:
                    raise ValueError(
                        f"The 'correlations' of scenario {self.name!r} must leave out binary features: what "
                        f"such a value says of others has no closed form. Got {value} for {name!r} and "
                        f"{other!r}; drop the pair."
                    )
                if value and name in hidden:
                    raise ValueError(
                        f"The features under 'missing' of scenario {self.name!r} must be independent of all "
                        "others: what these say of a missing value has no closed form. "
                        f"Got {name!r}, whose correlation with {other!r} is {value}; set it to 0, or choose "
                        "another feature."
                    )
