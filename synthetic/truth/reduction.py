"""A decision function and the law of its latents, reduced to the few numbers that F is a function of.

F reads its latents through the arguments of its terms. Where the latents are Gaussian scores, an argument is
one number whatever the number of features behind it, and all linear terms together are one more. So

    F = L + N(w₁, …, w_k),   (w₁, …, w_k, L) = A u,   u ~ N(0, Σ),

with a row of A for each argument of a nonlinear term and a last one for L. Latents with another margin have a
row of their own, and the features of real scans enter as rows drawn from a finite population. Conditioning on
a set S of modalities splits A u into m + e: m = E[A u | u_S] and e are independent and Gaussian, with
covariances that follow from Σ (Schur complement). Every truth is an integral over m and e.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from synthetic.decision import FUNCTIONS, DecisionFunction, Term, matching
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import NORMAL, Margin
from synthetic.missing import Missing

NEGLIGIBLE = 1e-12
"""Variances below this share of their scale are 0: what rounding leaves of a singular covariance."""


@dataclass(frozen=True)
class Hidden:
    """Table features whose values are missing for some patients; each is independent of all other features.

    Attributes:
        player: place of the table among the players.
        slopes: what each contributes to the rows, ``[rows, features]``.
        rules: the rule by which each goes missing.
        drivers: row whose value decides whether it does; −1 where none does.
    """

    player: int
    slopes: np.ndarray
    rules: tuple[Missing, ...]
    drivers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Scans:
    """Arguments over one modality whose features are a finite population.

    Attributes:
        player: place of the modality among the players.
        values: the arguments' values of each row of the population ``[n, k]``, sorted by the first.
    """

    player: int
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Reduction:
    """F as a function of few numbers; made by `reduce`.

    Attributes:
        modalities: all names.
        players: those whose latents F reads, or that tell something of latents which F reads.
        rows: A, ``[k + 1, d]``; the last row is L.
        covariance: Σ of the scores that matter ``[d, d]``.
        owners: the player that each score belongs to ``[d]``.
        margins: of the rows; normal except for rows that are one score.
        scans: modalities that are finite populations.
        terms: N: weight and factors, each a function, an offset and (place, slope) pairs; places count the
            rows but the last, then the arguments of the scans.
        hidden: features with missing values; not among the scores.
    """

    modalities: tuple[str, ...]
    players: tuple[str, ...]
    rows: np.ndarray
    covariance: np.ndarray
    owners: np.ndarray
    margins: tuple[Margin, ...]
    scans: tuple[Scans, ...]
    terms: tuple[tuple[float, tuple[tuple[str, float, tuple[tuple[int, float], ...]], ...]], ...]
    hidden: tuple[Hidden, ...] = field(default=())

    @property
    def n_players(self) -> int:
        """Number of modalities that matter."""
        return len(self.players)

    @property
    def n_rows(self) -> int:
        """Number of rows of A."""
        return len(self.rows)

    @property
    def is_linear(self) -> bool:
        """True where F = L: it is Gaussian."""
        return not self.terms

    @property
    def n_hidden(self) -> int:
        """Number of features with missing values that F reads."""
        return sum(len(part.rules) for part in self.hidden)

    @cached_property
    def scale(self) -> np.ndarray:
        """Largest variance that each row could have, were all its parts in step ``[k + 1]``; above 0.

        What is far below it is rounding. Each row has its own, since a row may be in other units.
        """
        spread = np.abs(self.rows) @ np.sqrt(np.diag(self.covariance))
        for part in self.hidden:
            spread = spread + np.abs(part.slopes).sum(1)
        return np.maximum(spread**2, np.finfo(float).tiny)

    @cached_property
    def total(self) -> np.ndarray:
        """Covariance of the rows ``[k + 1, k + 1]``."""
        shared = self.rows @ self.covariance @ self.rows.T
        return shared + self.hidden_covariance(range(self.n_players))

    def hidden_covariance(self, players: Iterable[int]) -> np.ndarray:
        """Return what the hidden features of some players add to the covariance of the rows."""
        chosen = set(players)
        parts = [part.slopes @ part.slopes.T for part in self.hidden if part.player in chosen]
        return sum(parts, np.zeros((self.n_rows, self.n_rows)))

    def known(self, subset: int, *, with_hidden: bool = True) -> np.ndarray:
        """Return Cov(E[A u | u_S]) for the players whose bits are set in `subset`.

        Args:
            subset: bit i stands for player i.
            with_hidden: False leaves out what the hidden features contribute.
        """
        given = [place for place, owner in enumerate(self.owners) if subset >> owner & 1]
        cross = self.rows @ self.covariance[:, given]
        known = cross @ np.linalg.pinv(self.covariance[np.ix_(given, given)], hermitian=True) @ cross.T
        if with_hidden:
            known = known + self.hidden_covariance(p for p in range(self.n_players) if subset >> p & 1)
        return known

    def nonlinear(self, values: Sequence[Tensor]) -> Tensor | float:
        """Return N for the values of the rows (but the last) and of the scans' arguments; they broadcast."""
        result: Tensor | float = 0.0
        for weight, factors in self.terms:
            product: Tensor | float = weight
            for function, offset, parts in factors:
                argument: Tensor | float = offset
                for place, slope in parts:
                    argument = argument + slope * values[place]
                product = product * FUNCTIONS[function][0](torch.as_tensor(argument, dtype=torch.float64))
            result = result + product
        return result

    def through_margin(self, row: int, score: Tensor) -> Tensor:
        """Return a row's value from its score."""
        margin = self.margins[row]
        return score if margin.is_normal else torch.from_numpy(margin.latent(score.numpy()))


def semidefinite_cholesky(covariance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return lower-triangular C with C Cᵀ = covariance; a row that adds no variance has a zero column.

    The order is kept, unlike with pivots: row k belongs to column k for every subset, so that all subsets
    share their random numbers.

    Args:
        covariance: ``[n, n]``, positive semidefinite but for rounding.
        scale: variance of each row against which rounding is judged ``[n]``.
    """
    n = len(covariance)
    root = np.zeros((n, n))
    for k in range(n):
        rest = covariance[k:, k] - root[k:, :k] @ root[k, :k]
        if rest[0] > NEGLIGIBLE * scale[k]:
            root[k:, k] = rest / np.sqrt(rest[0])
    root[np.abs(root) < np.sqrt(NEGLIGIBLE * scale[:, None]) * 1e-3] = 0.0
    return root


def reduce(
    decision: DecisionFunction, law: LatentLaw, missing: Mapping[str, Missing] | None = None
) -> Reduction:
    """Reduce a decision function over latents of a known law.

    Args:
        decision: F.
        law: joint law of the latents; a finite population must be all of one modality's.
        missing: full feature name → the rule by which its values are missing; such a feature must be normal
        and
            uncorrelated with all others.

    Raises:
        ValueError: if the law has another number of columns than F, a finite population spans several
            modalities, or a feature with missing values does not stand alone.
    """
    return _Builder(decision, law, missing or {}).build()


class _Builder:
    def __init__(self, decision: DecisionFunction, law: LatentLaw, missing: Mapping[str, Missing]) -> None:
        if law.n_columns != len(decision.columns):
            raise ValueError(
                f"The 'law' must have one column a latent feature of F ({len(decision.columns)}). "
                f"Got {law.n_columns}."
            )
        self.decision = decision
        self.names = list(decision.columns)
        self.missing = missing
        self.owner = np.empty(law.n_columns, dtype=int)
        for place, columns in enumerate(decision.slices.values()):
            self.owner[columns] = place
        self.covariance = np.zeros((law.n_columns, law.n_columns))
        self.margins: list[Margin] = [NORMAL] * law.n_columns
        self.populations: dict[int, tuple[Population, int]] = {}  # modality → population, its first column
        start = 0
        for block in law.blocks:
            columns = slice(start, start + block.n_columns)
            if isinstance(block, GaussianCopula):
                self.covariance[columns, columns] = block.covariance
                self.margins[columns] = block.margins
            else:
                self._add_population(block, start)
            start += block.n_columns
        self.arguments: list[np.ndarray] = []  # Gaussian arguments over all columns
        self.argument_margins: list[Margin] = []
        self.scan_arguments: dict[int, list[np.ndarray]] = {}
        self.linear = np.zeros(law.n_columns)

    def _add_population(self, block: Population, start: int) -> None:
        owner = int(self.owner[start])
        if not (self.owner[start : start + block.n_columns] == owner).all():
            raise ValueError(
                "A finite population of the 'law' must belong to one modality: what one part of a row says "
                f"of the rest has no law. Got one over columns {start} to {start + block.n_columns - 1}; "
                "give each modality its own."
            )
        if owner in self.populations:
            raise ValueError(
                "A modality must have one finite population in the 'law'. "
                f"Got a second one over columns {start} to {start + block.n_columns - 1}; join their rows."
            )
        self.populations[owner] = (block, start)

    def build(self) -> Reduction:
        terms = []
        for term in self.decision.terms:
            terms += self._term(term)
        hidden_columns = self._hidden_columns()
        for column in hidden_columns:
            self._driver_row(column)
        rows = np.array([*self.arguments, self.linear])
        margins = (*self.argument_margins, NORMAL)
        matter = self._columns_that_matter(rows) & ~np.isin(np.arange(len(self.linear)), hidden_columns)
        players = sorted(
            {int(owner) for owner in self.owner[matter]}
            | {int(self.owner[column]) for column in hidden_columns}
            | set(self.scan_arguments)
        )
        place_of = {owner: place for place, owner in enumerate(players)}
        scan_places, scans = {}, []
        for owner, arguments in self.scan_arguments.items():
            population, start = self.populations[owner]
            columns = range(population.n_columns)
            values = np.stack(
                [population.project(columns, a[start : start + population.n_columns]) for a in arguments], 1
            )
            for number in range(len(arguments)):
                scan_places[owner, number] = len(self.arguments) + len(scan_places)
            scans.append(Scans(place_of[owner], values[np.argsort(values[:, 0], kind="stable")]))
        names = tuple(self.decision.slices)
        return Reduction(
            modalities=names,
            players=tuple(names[owner] for owner in players),
            rows=rows[:, matter],
            covariance=self.covariance[np.ix_(matter, matter)],
            owners=np.array([place_of[int(owner)] for owner in self.owner[matter]], dtype=int),
            margins=margins,
            scans=tuple(scans),
            terms=tuple(
                (
                    weight,
                    tuple(
                        (name, offset, tuple((scan_places.get(at, at), slope) for at, slope in parts))  # pyright: ignore[reportArgumentType, reportCallIssue]
                        for name, offset, parts in factors
                    ),
                )
                for weight, factors in terms
            ),
            hidden=self._hidden(rows, hidden_columns, place_of),
        )

    def _term(self, term: Term) -> list[tuple[float, list[tuple[str, float, list[tuple[object, float]]]]]]:
        """Return what a term adds to N, and add its linear part to L."""
        factors = term.factors
        weight = float(np.prod([factor.weight for factor in factors]))
        if not weight:
            return []
        if len(factors) == 1 and term.function == "identity":
            slopes = weight * self._slopes(term)
            gaussian, rest = self._divide(slopes)
            self.linear += gaussian
            offset = [(weight * term.offset, [])] if term.offset else []
            parts = [(1.0, [("identity", 0.0, [part])]) for part in rest]
            return [*parts, *((1.0, [("identity", value, [])]) for value, _ in offset)]
        reduced = []
        for factor in factors:
            gaussian, rest = self._divide(self._slopes(factor))
            parts = list(rest)
            if gaussian.any():
                parts.append((self._row(gaussian, NORMAL), 1.0))
            reduced.append((factor.function, factor.offset, parts))
        return [(weight, reduced)]

    def _slopes(self, factor: Term) -> np.ndarray:
        slopes = np.zeros(len(self.linear))
        slopes[self.decision.columns_of(factor)] = factor.slopes
        return slopes

    def _divide(self, slopes: np.ndarray) -> tuple[np.ndarray, list[tuple[object, float]]]:
        """Divide an argument: its Gaussian part, and (place, slope) of what else it reads."""
        gaussian, rest = slopes.copy(), []
        for owner, (population, start) in self.populations.items():
            columns = slice(start, start + population.n_columns)
            if slopes[columns].any():
                argument = np.zeros_like(slopes)
                argument[columns] = slopes[columns]
                gaussian[columns] = 0
                rest.append(((owner, self._scan_argument(owner, argument)), 1.0))
        for column in np.flatnonzero(gaussian):
            if not self.margins[column].is_normal:
                unit = np.zeros_like(slopes)
                unit[column] = 1.0
                rest.append((self._row(unit, self.margins[column]), float(gaussian[column])))
                gaussian[column] = 0
        return gaussian, rest

    def _row(self, argument: np.ndarray, margin: Margin) -> int:
        for place, known in enumerate(self.arguments):
            if np.array_equal(known, argument) and self.argument_margins[place] == margin:
                return place
        self.arguments.append(argument)
        self.argument_margins.append(margin)
        return len(self.arguments) - 1

    def _scan_argument(self, owner: int, argument: np.ndarray) -> int:
        arguments = self.scan_arguments.setdefault(owner, [])
        for place, known in enumerate(arguments):
            if np.array_equal(known, argument):
                return place
        arguments.append(argument)
        return len(arguments) - 1

    def _columns_that_matter(self, rows: np.ndarray) -> np.ndarray:
        """Return the columns that rows read, and those that depend on them, as a mask."""
        matter = np.asarray(rows.any(0))
        linked = self.covariance != 0
        while True:
            wider = matter | linked[matter].any(0)
            if np.array_equal(wider, matter):
                return matter
            matter = wider

    def _hidden_columns(self) -> list[int]:
        """Return the columns with missing values that F reads."""
        read = self.linear != 0
        for argument in self.arguments:
            read |= argument != 0
        columns = []
        for name in self.missing:
            column = self.decision.columns[name]
            others = np.delete(self.covariance[column], column)
            if others.any() or not self.margins[column].is_normal:
                raise ValueError(
                    f"Feature {name!r} has missing values, so it must have a normal margin and no "
                    "correlation with others: what the others say of it then has a closed form. "
                    "Choose other features, or drop its correlations."
                )
            if read[column]:
                columns.append(column)
        return columns

    def _hidden(self, rows: np.ndarray, columns: list[int], place_of: dict[int, int]) -> tuple[Hidden, ...]:
        parts = []
        for owner in dict.fromkeys(int(self.owner[column]) for column in columns):
            mine = [column for column in columns if self.owner[column] == owner]
            rules = tuple(self.missing[self.names[column]] for column in mine)
            drivers = tuple(self._driver_row(column) for column in mine)
            scale = np.sqrt(np.diag(self.covariance)[mine])
            parts.append(Hidden(place_of[owner], rows[:, mine] * scale, rules, drivers))
        return tuple(parts)

    def _driver_row(self, column: int) -> int:
        """Return the row that decides whether a column's values are missing, −1 where none does."""
        owner, _, _ = self.names[column].rpartition("/")
        rule = self.missing[self.names[column]]
        if not rule.driver:
            return -1
        (driver,) = matching(rule.driver, self.decision.modalities)
        if driver.rpartition("/")[0] != owner:
            raise ValueError(
                f"The driver of missing values must be of the table that misses them ({owner!r}): "
                "where it is not known, the gaps tell of it, and that has no closed form. "
                f"Got {driver!r}; choose another driver, or 'mnar'."
            )
        return self._row(np.eye(len(self.linear))[self.decision.columns[driver]], NORMAL)
