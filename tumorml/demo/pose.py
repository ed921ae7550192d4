"""The shape and position of a patient's head in the scanner, and the planes of its slices."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tumorml.demo.fields import SmoothField, refine
from tumorml.demo.template import Floats, Points, as_broadcastable

SIDE_PIXELS = 224
"""Width and height of every slice."""

_COARSE_SIDE = 57
_WARPS_MM = ((52.0, 3.0), (19.0, 1.1))
"""Spacing and amplitude of the warps of the whole head and of single gyri."""
_VIEW_CENTER_MM = (0.0, -12.0, 2.0)


class Plane(StrEnum):
    """The plane of a slice; the values are used in file names."""

    AXIAL = "ax"
    CORONAL = "cor"
    SAGITTAL = "sag"

    @property
    def axes(self) -> tuple[int, int, int]:
        """The indices in (x, y, z) of the axes along rows, along columns and across the plane.

        Rows go down from the front or the top of the head. Columns go from the patient's right
        (radiological convention) or from the face.
        """
        return {Plane.AXIAL: (1, 0, 2), Plane.CORONAL: (2, 0, 1), Plane.SAGITTAL: (2, 1, 0)}[self]


@dataclass(frozen=True)
class Pose:
    """A patient's head in the scanner: rotation, scale and shift, followed by a smooth warp.

    Attributes:
        matrix: ``(3, 3)``, from scanner to template coordinates.
        shift_mm: ``(3,)``, the template's origin in scanner coordinates.
        pixel_mm: The side of a pixel.
        warps: The fields of each axis and their amplitudes in mm.
    """

    matrix: Floats
    shift_mm: Floats
    pixel_mm: float
    warps: tuple[tuple[tuple[SmoothField, float], ...], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pose:
        """Draw a pose: rotation up to about 12 degrees, scale up to 9 %, and a random warp."""
        pitch, roll, yaw = np.radians(np.clip(rng.normal(0, [6.0, 3.5, 4.5]), -12, 12))
        scale = rng.uniform(0.93, 1.07) * np.clip(rng.normal(1, 0.025, 3), 0.95, 1.05)
        matrix = np.diag(1 / scale) @ _rotation(pitch, roll, yaw)
        warps = tuple(
            tuple((SmoothField.draw(rng, spacing), amplitude) for spacing, amplitude in _WARPS_MM)
            for _ in range(3)
        )
        return cls(
            matrix=matrix.astype(np.float32),
            shift_mm=rng.uniform(-6, 6, 3).astype(np.float32),
            pixel_mm=float(rng.uniform(0.94, 1.04)),
            warps=warps,
        )

    def to_template(self, points: Points) -> Points:
        """Convert scanner coordinates in mm, shape ``(3, ...)``, to template coordinates."""
        turned = np.tensordot(self.matrix, points - as_broadcastable(self.shift_mm, points), axes=1)
        return turned + self._warp(points)

    def to_scanner(self, point: Floats) -> Floats:
        """Convert a template point, ``(3,)`` in mm, to scanner coordinates (fixed-point)."""
        inverse = np.linalg.inv(self.matrix)
        target, shift = point.astype(np.float32)[:, None], self.shift_mm[:, None]
        scanner_point = inverse @ target + shift
        for _ in range(8):
            scanner_point = inverse @ (target - self._warp(scanner_point)) + shift
        return scanner_point[:, 0]

    def slice_points(self, plane: Plane, level_mm: float) -> Points:
        """Return the template coordinates of every pixel of a slice, float32 ``(3, side, side)``.

        Args:
            plane: The plane of the slice.
            level_mm: Scanner coordinate of the plane on the axis perpendicular to it.
        """
        row_axis, column_axis, level_axis = plane.axes
        half_mm = self.pixel_mm * (SIDE_PIXELS - 1) / 2
        coarse = np.linspace(half_mm, -half_mm, _COARSE_SIDE, dtype=np.float32)
        points = np.empty((3, _COARSE_SIDE, _COARSE_SIDE), np.float32)
        points[row_axis] = coarse[:, None] + _VIEW_CENTER_MM[row_axis]
        points[column_axis] = coarse[None, :] + _VIEW_CENTER_MM[column_axis]
        points[level_axis] = level_mm
        return np.stack([refine(axis, SIDE_PIXELS) for axis in self.to_template(points)])

    def _warp(self, points: Points) -> Points:
        return np.stack(
            [
                sum(np.float32(amplitude_mm) * field.at(points) for field, amplitude_mm in fields)
                for fields in self.warps
            ]
        )


def _rotation(pitch: float, roll: float, yaw: float) -> Floats:
    """Return the rotation about x, then y, then z, by angles in radians, ``(3, 3)``."""
    (sx, sy, sz), (cx, cy, cz) = np.sin([pitch, roll, yaw]), np.cos([pitch, roll, yaw])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Floats = about_z @ about_y @ about_x
    return rotation
