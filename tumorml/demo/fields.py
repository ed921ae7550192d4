"""Smooth random fields in space, for the differences between synthetic patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tumorml.demo.template import Floats, Points, as_broadcastable

_CENTER_MM = (0.0, -14.0, -4.0)
_EXTENT_MM = 300.0


@dataclass(frozen=True)
class SmoothField:
    """A random scalar field: cubic B-splines on a lattice of independent normal coefficients.

    Attributes:
        coefficients: Lattice of float32 coefficients, shape ``(n, n, n)``.
        spacing_mm: Distance between lattice nodes; bumps are about twice as wide.
    """

    coefficients: Floats
    spacing_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, spacing_mm: float) -> SmoothField:
        """Draw a field with mean 0 and a standard deviation of about 1."""
        nodes = int(np.ceil(_EXTENT_MM / spacing_mm)) + 4
        # On each axis the squared cubic B-spline weights sum to 0.4794 on average (2416/5040).
        coefficients = rng.standard_normal((nodes,) * 3, dtype=np.float32) / 0.4794**1.5
        return cls(coefficients.astype(np.float32), spacing_mm)

    def at(self, points: Points) -> Floats:
        """Return the field at points in mm, shape ``(3, ...)``, as float32 of shape ``(...)``."""
        middle = np.float32((self.coefficients.shape[0] - 1) / 2)
        lattice = (points - as_broadcastable(_CENTER_MM, points)) / np.float32(
            self.spacing_mm
        ) + middle
        values: Floats = ndimage.map_coordinates(
            self.coefficients, lattice, output=np.float32, order=3, mode="nearest", prefilter=False
        )
        return values


def refine(coarse: Floats, side: int) -> Floats:
    """Enlarge a square picture to ``side`` pixels by cubic splines; corners stay at corners."""
    fine: Floats = ndimage.zoom(coarse, side / coarse.shape[0], order=3, mode="nearest")
    return fine
