"""Soft-edged shapes, painted for many patients at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Values = Array | float

POINT_SPREAD = 2.0
"""Width (mm) of the sharpest edge that the imagined scanner resolves; the pixel is added in quadrature."""


@dataclass(frozen=True)
class Pose:
    """How each of k patients lies in the scanner.

    Attributes:
        rotation: radians ``[k]``, positive from the image's right towards its bottom.
        shift_x: mm ``[k]``, towards the image's right.
        shift_y: mm ``[k]``, towards the image's bottom.
    """

    rotation: Array
    shift_x: Array
    shift_y: Array


class Canvas:
    """A band of rows of k slices, in HU, on which shapes are painted one over the other.

    Positions are mm from the centre of the slice, x to the image's right and y to its bottom, before the
    patient's pose is applied; they are the same at every size. A shape is the set where an implicit
    function of the form ``row(y) + column(x) + row'(y)·column'(x)`` is below 1. Its coverage of a pixel is
    linear in that function between 0 and 1, which for ellipses keeps the painted area exact at any pixel
    width: the area where a quadratic form is below c is proportional to c.

    Pixels come first and patients last in memory, so that a crop to a shape's box stays vectorised over
    the patients.

    Attributes:
        hu: ``[rows, columns, k]`` float32.
    """

    def __init__(
        self, pose: Pose, *, size: int, rows: slice, field_of_view: float, background: float
    ) -> None:
        self._pose = pose
        pixel = field_of_view / size
        positions = (np.arange(size, dtype=np.float32) + np.float32(0.5 - size / 2)) * np.float32(pixel)
        self._x = positions
        self._y = positions[rows]
        self._edge = float(np.hypot(pixel, POINT_SPREAD))
        self._cos = np.cos(pose.rotation)
        self._sin = np.sin(pose.rotation)
        self.hu = np.full((len(self._y), size, len(pose.rotation)), background, dtype=np.float32)

    @property
    def y(self) -> Array:
        """Heights (mm) of the rows ``[rows]``."""
        return self._y

    def ellipse(
        self,
        centre: tuple[Values, Values],
        axes: tuple[Values, Values],
        hu: Values,
        *,
        tilt: float = 0.0,
        outside: bool = False,
    ) -> None:
        """Paint an ellipse, or all that lies outside it.

        Args:
            centre: x and y, mm, each a number or ``[k]``.
            axes: half axes along x and y at tilt 0, mm, each a number or ``[k]``.
            hu: attenuation, a number or ``[k]``.
            tilt: degrees, positive from the image's right towards its bottom.
            outside: paint the complement.
        """
        (x, y), (a, b) = centre, axes
        pose, angle = self._pose, np.deg2rad(tilt)
        centre_x = self._cos * x - self._sin * y + pose.shift_x
        centre_y = self._sin * x + self._cos * y + pose.shift_y
        cos = self._cos * np.cos(angle) - self._sin * np.sin(angle)
        sin = self._sin * np.cos(angle) + self._cos * np.sin(angle)
        # What is thinner than a pixel is painted as wide as one and fainter, or it would fall between pixels.
        area = np.multiply(a, b)
        a, b = np.maximum(a, 0.75 * self._edge), np.maximum(b, 0.75 * self._edge)
        opacity = area / (a * b)
        per_a, per_b = 1.0 / np.square(a), 1.0 / np.square(b)
        # Coverage must reach 1 in the centre (steepness 0.5 at least), or the area would no longer be exact.
        steepness = np.maximum(np.sqrt(a * b) / (2 * self._edge), 0.5)
        xx = steepness * (cos**2 * per_a + sin**2 * per_b)
        yy = steepness * (sin**2 * per_a + cos**2 * per_b)
        xy = 2 * steepness * cos * sin * (per_a - per_b)

        if outside:
            rows, columns = slice(0, len(self._y)), slice(0, len(self._x))
        else:
            reach = np.sqrt(1 + 0.5 / steepness)
            rows = _span(self._y, centre_y, reach * np.sqrt(cos**2 / per_b + sin**2 / per_a))
            columns = _span(self._x, centre_x, reach * np.sqrt(cos**2 / per_a + sin**2 / per_b))
        dx = _differences(self._x[columns], centre_x)
        dy = _differences(self._y[rows], centre_y)
        coverage = _coverage(
            row=_float32(0.5 + steepness) - _float32(yy) * dy * dy,
            column=_float32(xx) * dx * dx,
            cross=(_float32(xy) * dy, dx),
        )
        if outside:
            np.subtract(np.float32(1), coverage, out=coverage)
        elif np.min(opacity) < 1:
            coverage *= _float32(opacity)
        self._blend((rows, columns), coverage, hu)

    def column(self, half_width: Values, profile: Array, hu: Values, *, outside: bool = False) -> None:
        """Paint a column about the patient's long axis, or all that lies outside it.

        Args:
            half_width: mm, scalar or ``[k]``.
            profile: relative half width at each row ``[rows]``; −1 where there is no column.
            hu: attenuation, scalar, ``[k]`` or ``[rows, k]``.
            outside: paint the complement.
        """
        lean = np.tan(self._pose.rotation)
        steepness = np.asarray(half_width) / (2 * self._edge)
        scale = np.broadcast_to(steepness / np.square(half_width), lean.shape)
        columns = slice(0, len(self._x))
        if not outside:
            # The axis leaves x = 0 by as much as the pose moves it.
            far = np.abs(self._y).max() + np.abs(self._pose.shift_y)
            slack = np.abs(self._pose.shift_x) + np.abs(lean) * far
            reach = np.sqrt(np.max(profile) ** 2 + 0.5 / steepness)
            columns = _span(self._x, np.zeros_like(lean), reach * half_width + slack)
        dx = _differences(self._x[columns], self._pose.shift_x)
        dy = _differences(self._y, self._pose.shift_y)
        along = _float32(lean) * dy
        inside = np.multiply.outer(profile * np.abs(profile), np.broadcast_to(steepness, lean.shape))
        # (dx + lean·dy)², written out so that only the mixed term needs a pass over all pixels.
        coverage = _coverage(
            row=_float32(0.5 + inside) - _float32(scale) * along * along,
            column=_float32(scale) * dx * dx,
            cross=(_float32(2 * scale) * along, dx),
        )
        if outside:
            np.subtract(np.float32(1), coverage, out=coverage)
        self._blend((slice(0, len(self._y)), columns), coverage, hu)

    def _blend(self, box: tuple[slice, slice], coverage: NDArray[np.float32], hu: Values) -> None:
        """Mix a shape into its box; the coverage ``[h, w, k]`` is used up as working memory."""
        target = self.hu[box]
        value = _float32(hu)
        if value.ndim == 2:
            value = value[:, None]
        coverage *= np.subtract(value, target)
        target += coverage


def _coverage(row: Array, column: Array, cross: tuple[Array, Array]) -> NDArray[np.float32]:
    """Clip ``row − column − cross`` to 0…1; row terms are ``[h, k]``, column terms ``[w, k]``."""
    coverage = np.multiply(cross[0][:, None], cross[1][None], dtype=np.float32)
    np.subtract(row[:, None], coverage, out=coverage)
    coverage -= column
    np.maximum(coverage, np.float32(0), out=coverage)
    np.minimum(coverage, np.float32(1), out=coverage)
    return coverage


def _float32(value: Values) -> NDArray[np.float32]:
    return np.asarray(value, dtype=np.float32)


def _differences(positions: Array, centres: Array) -> Array:
    return positions[:, None] - _float32(centres)


def _span(positions: Array, centres: Array, reach: Array) -> slice:
    """Return the positions that any of the shapes can touch; the rest would be multiplied by zero."""
    low, high = float((centres - reach).min()), float((centres + reach).max())
    return slice(int(np.searchsorted(positions, low)), int(np.searchsorted(positions, high, side="right")))
