"""Clinical tables: generic columns of any margin, or realistic variables in units, under one joint law.

Every latent feature of a table is z = T(u), T its standardised margin and u a normal score; the scores of all
tables (and images) are jointly normal. Decision functions and models see z; people see what `Table.raw` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from synthetic.clinical_variables import CORRELATIONS, VARIABLES, Variable
from synthetic.margins import NORMAL, Margin
from synthetic.names import check_known
from synthetic.types import Modality

__all__ = [
    "CORRELATIONS",
    "PAPER_CORRELATIONS",
    "PAPER_TABLES",
    "VARIABLES",
    "Table",
    "Variable",
    "correlation_matrix",
    "intrinsic_correlations",
    "raw_tables",
]


@dataclass(frozen=True)
class Table:
    """One clinical table, which is one modality: generic columns, or variables by name.

    Attributes:
        columns: number of generic standardised columns, ``feature_0`` and on.
        variables: names of realistic variables (`VARIABLES`) instead.
        margin: of every generic column.

    Example:
        >>> Table(3).latents
        ('feature_0', 'feature_1', 'feature_2')
        >>> Table(variables=("sex", "haemoglobin")).raw(np.array([[-1.0, 0.0], [1.0, 0.0]]))
              sex  haemoglobin [g/L]
        0  female              135.0
        1    male              152.0
    """

    columns: int = 0
    variables: tuple[str, ...] = ()
    margin: Margin = NORMAL

    def __post_init__(self) -> None:
        if isinstance(self.variables, str):
            raise ValueError(  # noqa: TRY004 - all that callers get wrong is a ValueError
                "The 'variables' of a Table must be a tuple of names. "
                f"Got the string {self.variables!r}; write ({self.variables!r},)."
            )
        if self.columns < 0 or bool(self.columns) == bool(self.variables):
            raise ValueError(
                "A Table must have 'columns' (at least one) or 'variables', and not both. "
                f"Got columns={self.columns!r} and variables={self.variables!r}."
            )
        for name in self.variables:
            check_known("clinical variable", name, VARIABLES)
        if len(set(self.variables)) != len(self.variables):
            raise ValueError(f"The 'variables' of a Table must be distinct. Got {self.variables!r}.")
        if self.variables and self.margin != NORMAL:
            raise ValueError(
                "The 'margin' of a Table is that of its generic columns; 'variables' bring their own. "
                f"Got margin={self.margin!r} and variables={self.variables!r}; leave the margin out."
            )

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.variables or tuple(f"feature_{column}" for column in range(self.columns))

    @property
    def margins(self) -> tuple[Margin, ...]:
        """Law of each standardised column."""
        if self.variables:
            return tuple(VARIABLES[name].margin for name in self.variables)
        return (self.margin,) * self.columns

    def modality(self, name: str) -> Modality:
        """Return the table as a modality of that name; its latent features are its columns."""
        return Modality(name, "table", self.latents)

    def raw(
        self, latents: np.ndarray, *, male: np.ndarray | None = None, missing: np.ndarray | None = None
    ) -> pd.DataFrame:
        """Return the table as people read it: in units, rounded, with words for binary variables.

        Args:
            latents: the standardised columns, ``[n, k]``, with nothing imputed.
            male: which patients are men, ``[n]`` of bool; None for what the column ``sex`` says, or, without
                one, unknown (`Variable.location_scale`).
            missing: True where a value is not shown, ``[n, k]`` of bool; None for nowhere.

        Returns:
            One row a patient; columns named like ``"haemoglobin [g/L]"``, missing values as pandas has them.
            Generic columns are left as they are.

        Raises:
            ValueError: if the number of columns is another, or the mask has another shape.
        """
        latents = np.asarray(latents, dtype=np.float64)
        if latents.ndim != 2 or latents.shape[1] != len(self.latents):
            raise ValueError(
                f"The 'latents' of this Table must have shape [n, {len(self.latents)}]. Got {latents.shape}."
            )
        if missing is not None and missing.shape != latents.shape:
            raise ValueError(
                f"The mask 'missing' must have the latents' shape {latents.shape}. Got {missing.shape}."
            )
        if male is None:
            male = self.male(latents)
        shown = {}
        for name, column in zip(self.latents, latents.T, strict=True):
            variable = VARIABLES[name] if self.variables else None
            if variable is None:
                shown[name] = column
            elif variable.is_binary:
                shown[variable.label] = variable.raw(column)
            else:
                shown[variable.label] = variable.raw(column, male).round(variable.decimals)
        frame = pd.DataFrame(shown)
        return frame if missing is None else frame.mask(missing)

    def male(self, latents: np.ndarray) -> np.ndarray | None:
        """Return which patients are men, ``[n]`` of bool; None without a column ``sex``."""
        return latents[:, self.variables.index("sex")] > 0 if "sex" in self.variables else None


def raw_tables(
    tables: Mapping[str, Table],
    latents: Mapping[str, np.ndarray],
    missing: Mapping[str, np.ndarray] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return all tables of the same patients as people read them: the sex in one is known in the others.

    Args:
        tables: name → table.
        latents: name → standardised columns ``[n, k]``, rows in the same order.
        missing: name → True where a value is not shown, ``[n, k]`` of bool.
    """
    sexes = (table.male(latents[name]) for name, table in tables.items())
    male = next((sex for sex in sexes if sex is not None), None)
    masks = missing or {}
    return {
        name: table.raw(latents[name], male=male, missing=masks.get(name)) for name, table in tables.items()
    }


def intrinsic_correlations(tables: Mapping[str, Table]) -> dict[tuple[str, str], float]:
    """Return what is known of the realistic variables in the tables, within and across them.

    Args:
        tables: name → table.

    Returns:
        Two full names, ``"labs/alt"``, → correlation of the normal scores; pairs that are not there have 0.

    Raises:
        ValueError: if two tables have the same variable.

    Example:
        >>> intrinsic_correlations({"blood": Table(variables=("alt",)), "liver": Table(variables=("ast",))})
        {('blood/alt', 'liver/ast'): 0.6}
    """
    owners: dict[str, str] = {}
    for name, table in tables.items():
        for variable in table.variables:
            if variable in owners:
                raise ValueError(
                    f"Variable {variable!r} must be in one table: a patient has one value of it. "
                    f"Got it in {owners[variable]!r} and {name!r}; leave it out of one."
                )
            owners[variable] = name
    return {
        (f"{owners[first]}/{first}", f"{owners[second]}/{second}"): value
        for (first, second), value in CORRELATIONS.items()
        if first in owners and second in owners
    }


def correlation_matrix(names: Sequence[str], correlations: Mapping[tuple[str, str], float]) -> np.ndarray:
    """Return the correlation matrix of named features, ``[k, k]``; pairs that are not given have 0.

    Args:
        names: of the features, in the order of rows and columns.
        correlations: two names → correlation in (-1, 1); every pair once, in either order.

    Raises:
        ValueError: if a name is unknown, a pair is a feature with itself or given twice, a value is outside
            (-1, 1), or the matrix is not positive definite.

    Example:
        >>> correlation_matrix(["labs/a", "labs/b"], {("labs/a", "labs/b"): 0.5})
        array([[1. , 0.5],
               [0.5, 1. ]])
    """
    columns = {name: column for column, name in enumerate(names)}
    if len(columns) != len(names):
        raise ValueError(f"The 'names' of a correlation matrix must be distinct. Got {list(names)}.")
    matrix = np.eye(len(names))
    for (first, second), value in correlations.items():
        for name in (first, second):
            check_known("correlated feature", name, columns)
        if first == second:
            raise ValueError(
                f"The 'correlations' must name two different features. Got {first!r} twice; drop the pair."
            )
        if (second, first) in correlations:
            raise ValueError(
                f"The correlation of {first!r} and {second!r} must be given once. Got both orders; drop one."
            )
        if not -1 < value < 1:
            raise ValueError(
                f"The correlation of {first!r} and {second!r} must lie in (-1, 1), without the ends. "
                f"Got {value}."
            )
        row, column = columns[first], columns[second]
        matrix[row, column] = matrix[column, row] = value
    smallest = np.linalg.eigvalsh(matrix).min(initial=1.0)
    if smallest <= 1e-10:
        raise ValueError(
            "The 'correlations' must form a positive definite matrix. Got one with smallest eigenvalue "
            f"{smallest:.3g}; make some correlations smaller."
        )
    return matrix


_TWO_TABLES = {"clinical_a": Table(10), "clinical_b": Table(10)}

PAPER_TABLES: Mapping[str, Table] = MappingProxyType(_TWO_TABLES)
"""The simulated clinical features of Azmat & Alessio (2022): m3 and m4, ten columns each."""

PAPER_CORRELATIONS: Mapping[tuple[str, str], float] = MappingProxyType(
    {(f"clinical_a/feature_{column}", "clinical_a/feature_8"): 0.5 for column in (2, 3, 4)}
)
"""Their correlations: C[2:5, 8] = 0.5, and 0 elsewhere."""
