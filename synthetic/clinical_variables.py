"""What people measure: clinical variables with units, reference intervals, and how they go together.

Every variable is standardised *within* its reference group, the way a laboratory report is read: a latent z
of 0 lies in the middle of the interval of healthy adults of the patient's sex, ±1.96 at its ends. Sex
therefore acts on the value in its unit, never on z. Skewed quantities are read on the log scale, so that
their latent is normal as well: the value is exp(location + scale·z).

The limits come from the sources named at each variable. Where none is named that fits, the source says
"typical laboratory interval" or "chosen": a plausible number, with no claim to be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from synthetic.margins import NORMAL, Margin

_END = 1.959963984540054  # normal score of the 97.5th percentile

Interval = tuple[float, float]


@dataclass(frozen=True)
class Variable:
    """A clinical variable: the law of its standardised latent, and how that reads in a unit.

    Attributes:
        name: e.g. ``"haemoglobin"``.
        unit: e.g. ``"g/L"``; empty for none.
        source: where the interval or the frequency comes from.
        intervals: 2.5th and 97.5th percentile in the unit: one pair for everybody, or one for women and one
            for men. Empty for a binary variable.
        scale: ``"linear"``, or ``"log"`` where the logarithm is what has the margin.
        decimals: places after the point that people write.
        margin: law of the standardised latent.
        words: what the smaller and the larger value of a binary variable are called; else empty.
    """

    name: str
    unit: str
    source: str
    intervals: tuple[Interval, ...] = ()
    scale: Literal["linear", "log"] = "linear"
    decimals: int = 0
    margin: Margin = NORMAL
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scale not in get_args(Literal["linear", "log"]):
            raise ValueError(
                f"The 'scale' of Variable {self.name!r} must be 'linear' or 'log'. Got {self.scale!r}."
            )
        described = (len(self.intervals), len(self.words))
        if described not in ([(0, 2)] if self.is_binary else [(1, 0), (2, 0)]):
            raise ValueError(
                f"Variable {self.name!r} must have two 'words' if its margin is binary, else one of the "
                "'intervals', or two for women and men. "
                f"Got margin {self.margin.family!r}, words {self.words!r} and intervals {self.intervals!r}."
            )
        floor = 0.0 if self.scale == "log" else -np.inf
        for low, high in self.intervals:
            if not floor < low < high < np.inf:
                raise ValueError(
                    f"The 'intervals' of Variable {self.name!r} must be finite, with low < high"
                    f"{' and above 0 on a log scale' * (self.scale == 'log')}. Got ({low}, {high})."
                )

    @property
    def is_binary(self) -> bool:
        """True where there are two values, with words for them."""
        return self.margin.family == "binary"

    @property
    def label(self) -> str:
        """The column's name for people, ``"haemoglobin [g/L]"``."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    def location_scale(self, male: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return location and scale of the value, or of its logarithm on a log scale.

        Args:
            male: which patients are men, ``[n]``. Without it everybody gets one law: for a variable with two
                intervals, mean and variance of women and men mixed half and half.

        Returns:
            Location and scale, each ``[n]``, or ``[]`` where they are the same for everybody.
        """
        ends = np.asarray(self.intervals, dtype=np.float64)
        if self.scale == "log":
            ends = np.log(ends)
        low, high = self.margin.latent(np.array([-_END, _END]))
        scales = (ends[:, 1] - ends[:, 0]) / (high - low)
        locations = ends[:, 0] - scales * low
        if len(ends) == 1:
            return locations[0], scales[0]
        if male is None:
            return locations.mean(), np.sqrt(np.square(scales).mean() + locations.var())
        group = np.asarray(male, dtype=np.intp)
        return locations[group], scales[group]

    def raw(self, latent: np.ndarray, male: np.ndarray | None = None) -> np.ndarray:
        """Return the values in the unit, unrounded, or the words of a binary variable.

        Args:
            latent: standardised latents, ``[n]``.
            male: which patients are men, ``[n]`` of bool; None where the sex is unknown, see
                `location_scale`.

        Returns:
            ``[n]``, float64, or str for a binary variable.

        Example:
            >>> sex = np.array([False, True])
            >>> VARIABLES["haemoglobin"].raw(np.zeros(2), male=sex)
            array([135., 152.])
        """
        latent = np.asarray(latent, dtype=np.float64)
        if self.is_binary:
            return np.where(latent > 0, self.words[1], self.words[0])
        location, scale = self.location_scale(male)
        value = location + scale * latent
        return np.exp(value) if self.scale == "log" else value


_RUSTAD = "Rustad et al. 2004, Scand J Clin Lab Invest 64:271 (Nordic Reference Interval Project)"
_NORDIN = "Nordin et al. 2004, Scand J Clin Lab Invest 64:385 (Nordic Reference Interval Project)"
_CERIOTTI = "Ceriotti et al. 2010, Clin Chem Lab Med 48:1593 (IFCC)"
_WRIGHT = "Wright et al. 2011, National Health Statistics Reports 35 (NHANES 2001-2008)"

_VARIABLES = (
    Variable(
        "age",
        "years",
        "chosen: adults of 18 to 90 years, a normal law around 60 (standard deviation 15) cut off there",
        intervals=((31.08, 85.1),),
        margin=Margin("truncated_normal", (-2.8, 2.0)),
    ),
    Variable(
        "sex",
        "",
        "chosen: as many women as men",
        margin=Margin("binary", (0.5,)),
        words=("female", "male"),
    ),
    Variable(
        "bmi",
        "kg/m²",
        "Flegal 2006, Int J Obes 30:374 (healthy non-smokers, NHANES III): 5th and 95th percentile, 18 and "
        "30 in women, 19.5 and 30 in men, widened to the 2.5th and 97.5th on the log scale",
        intervals=((17.1, 31.5), (18.7, 31.3)),
        scale="log",
        decimals=1,
    ),
    Variable(
        "systolic_blood_pressure",
        "mm Hg",
        f"{_WRIGHT}: mean of normotensive adults 116; the upper end is the threshold of hypertension, 140",
        intervals=((92.0, 140.0),),
    ),
    Variable(
        "diastolic_blood_pressure",
        "mm Hg",
        f"{_WRIGHT}: mean of normotensive adults 69; the upper end is the threshold of hypertension, 90",
        intervals=((48.0, 90.0),),
    ),
    Variable(
        "heart_rate",
        "1/min",
        "Persson et al. 2024, Heart 110:831 (healthy adults of 50 to 65 years, mean of 24 hours)",
        intervals=((61.0, 92.0), (57.0, 90.0)),
    ),
    Variable(
        "smoking",
        "",
        "WHO 2021, Global report on trends in prevalence of tobacco use 2000-2025, 4th edition: 22.3 % use "
        "tobacco in some form",
        margin=Margin("binary", (0.223,)),
        words=("no", "yes"),
    ),
    Variable(
        "diabetes",
        "",
        "International Diabetes Federation 2021, Diabetes Atlas, 10th edition: 10.5 % of adults",
        margin=Margin("binary", (0.105,)),
        words=("no", "yes"),
    ),
    Variable("haemoglobin", "g/L", _NORDIN, intervals=((117.0, 153.0), (134.0, 170.0))),
    Variable("white_cells", "10⁹/L", _NORDIN, intervals=((3.5, 8.8),), scale="log", decimals=1),
    Variable("platelets", "10⁹/L", _NORDIN, intervals=((165.0, 387.0), (145.0, 348.0))),
    Variable("creatinine", "µmol/L", _RUSTAD, intervals=((50.0, 90.0), (60.0, 100.0)), scale="log"),
    Variable(
        "urea",
        "mmol/L",
        f"{_RUSTAD}, from 50 years on",
        intervals=((3.1, 7.9), (3.5, 8.1)),
        scale="log",
        decimals=1,
    ),
    Variable("alt", "U/L", _CERIOTTI, intervals=((8.0, 41.0), (9.0, 59.0)), scale="log"),
    Variable("ast", "U/L", _CERIOTTI, intervals=((11.0, 34.0),), scale="log"),
    Variable("bilirubin", "µmol/L", _RUSTAD, intervals=((5.0, 25.0),), scale="log"),
    Variable("albumin", "g/L", f"{_RUSTAD}, 40 to 69 years", intervals=((36.0, 45.0),)),
    Variable(
        "crp",
        "mg/L",
        "Macy et al. 1997, Clin Chem 43:52 (healthy blood donors)",
        intervals=((0.08, 3.11),),
        scale="log",
        decimals=2,
    ),
    Variable("sodium", "mmol/L", _RUSTAD, intervals=((137.0, 145.0),)),
    Variable("potassium", "mmol/L", f"{_RUSTAD}, serum", intervals=((3.6, 4.6),), decimals=1),
    Variable(
        "glucose",
        "mmol/L",
        "typical laboratory interval, fasting plasma",
        intervals=((4.2, 6.3),),
        scale="log",
        decimals=1,
    ),
    Variable(
        "lactate",
        "mmol/L",
        "typical laboratory interval, venous plasma",
        intervals=((0.5, 2.2),),
        scale="log",
        decimals=1,
    ),
)

VARIABLES: Mapping[str, Variable] = MappingProxyType({variable.name: variable for variable in _VARIABLES})
"""Name → variable."""

_CORRELATIONS: dict[tuple[str, str], float] = {
    # Master & Lasser 1965, Am Heart J 70:163, found 4 mm Hg of diastolic for 10 mm Hg of systolic pressure,
    # which is 0.46 here. Raised: the diastolic pressure is then the larger one in three of a million only.
    ("systolic_blood_pressure", "diastolic_blood_pressure"): 0.6,
    # Wang et al. 2016, Int J Environ Res Public Health 13:872: C-reactive protein with age, the two blood
    # pressures, glucose and body mass index (0.151, 0.178, 0.171, 0.158, 0.314).
    ("age", "crp"): 0.15,
    ("systolic_blood_pressure", "crp"): 0.18,
    ("diastolic_blood_pressure", "crp"): 0.17,
    ("crp", "glucose"): 0.16,
    ("bmi", "crp"): 0.31,
    # Ziv-Baran et al. 2020, Clin Chim Acta 501:33: 0.269.
    ("white_cells", "crp"): 0.27,
    # Diabetes Metab Syndr 2008, 2:171, table III, women and men averaged: waist circumference (standing for
    # body mass index), systolic pressure, fasting glucose; 0.33, 0.17, 0.19 with ALT, 0.13 and 0.09 with AST.
    ("bmi", "alt"): 0.33,
    ("systolic_blood_pressure", "alt"): 0.17,
    ("alt", "glucose"): 0.19,
    ("bmi", "ast"): 0.13,
    ("systolic_blood_pressure", "ast"): 0.09,
    # J Paediatr Child Health 2008, 44:579: 0.5 to 0.6, in adolescents.
    ("alt", "ast"): 0.6,
    # Scand J Clin Lab Invest 2012, 72:258: ALT with haematocrit, given age and sex.
    ("haemoglobin", "alt"): 0.17,
    # Chosen: the direction is common knowledge, the size a plausible one.
    ("age", "systolic_blood_pressure"): 0.35,
    ("age", "creatinine"): 0.1,
    ("age", "urea"): 0.25,
    ("age", "albumin"): -0.25,
    ("age", "glucose"): 0.2,
    ("bmi", "systolic_blood_pressure"): 0.25,
    ("bmi", "diastolic_blood_pressure"): 0.2,
    ("bmi", "glucose"): 0.25,
    ("heart_rate", "glucose"): 0.1,
    ("haemoglobin", "albumin"): 0.2,
    ("haemoglobin", "bilirubin"): 0.1,
    ("white_cells", "platelets"): 0.25,
    ("creatinine", "urea"): 0.4,
    ("creatinine", "potassium"): 0.1,
    ("albumin", "crp"): -0.2,
    ("glucose", "lactate"): 0.2,
    ("sodium", "glucose"): -0.1,
}

CORRELATIONS: Mapping[tuple[str, str], float] = MappingProxyType(_CORRELATIONS)
"""Two variables → correlation of their normal scores, given the sex; 0 for every other pair.

Binary variables have none, see `synthetic.law.GaussianCopula`: a patient with diabetes has any glucose.
"""
