"""The anatomy of all synthetic patients: the ICBM152 template and a modeled head.

The T1 average and its gray- and white-matter maps come with the ``nilearn`` wheel
(ICBM 2009a nonlinear symmetric, 1 mm, Talairach-like MNI space; Fonov et al., NeuroImage 54, 2011,
313-327). They contain only the brain, so the surfaces of the meninges and of the skin are modeled
here as two distance maps, from which `tumorml.demo.head` paints skull, scalp, face and neck.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tumorml.errors import TumorMLError

Floats = NDArray[np.floating]
"""Floating-point numbers of any shape."""

Points = NDArray[np.floating]
"""MNI coordinates in mm, float32 ``(3, ...)``: x to the right, y to the front, z up."""

SCALP_MM = 12.5
"""Distance from the meninges to the skin of the vault."""

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_COARSE_MM = 2.0
_COARSE_ORIGIN_MM = (-104.0, -150.0, -146.0)
_COARSE_SHAPE = (105, 137, 131)
# Raw template value to the relative signal of contrast-enhanced T1 (fluid, gray, white matter).
_RAW_VALUES, _SIGNALS = (55.0, 80.0, 150.0, 225.0, 255.0), (0.10, 0.15, 0.40, 0.60, 0.66)


def as_broadcastable(vector: ArrayLike, points: Points) -> Floats:
    """Return a 3-vector reshaped to broadcast against points: float32 ``(3, 1, ...)``."""
    return np.asarray(vector, np.float32).reshape(3, *[1] * (points.ndim - 1))


@dataclass(frozen=True)
class Volume:
    """A 3-D map with its position in the template's space.

    Attributes:
        voxels: uint8 (a share of 0..1, stored as 0..255) or float32 (mm).
        origin_mm: The center of voxel (0, 0, 0).
        voxel_mm: The side of a voxel.
    """

    voxels: NDArray[np.uint8] | NDArray[np.float32]
    origin_mm: tuple[float, float, float]
    voxel_mm: float

    def at(self, points: Points) -> Floats:
        """Interpolate linearly at points, float32 of shape ``(...)``.

        Outside the volume, a share is 0, and a distance is that of the nearest voxel.
        """
        is_share = self.voxels.dtype == np.uint8
        values: Floats = ndimage.map_coordinates(
            self.voxels,
            (points - as_broadcastable(self.origin_mm, points)) / np.float32(self.voxel_mm),
            output=np.float32,
            order=1,
            mode="constant" if is_share else "nearest",
            prefilter=False,
        )
        return values / np.float32(255) if is_share else values

    def points(self, where: NDArray[np.bool_]) -> Points:
        """Return the centers of the voxels where a boolean array is true, ``(3, n)`` in mm."""
        indices = np.stack(np.nonzero(where)).astype(np.float32)
        return indices * np.float32(self.voxel_mm) + as_broadcastable(self.origin_mm, indices)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The template as shares (0 to 1) and distances.

    Attributes:
        signal: Relative T1 signal of the brain; 0 outside.
        brain: 1 in the brain and its inner fluid, 0 outside.
        gray: Share of gray matter.
        white: Share of white matter.
        meninges: Signed distance in mm to the dura, negative inside.
        skin: Signed distance in mm to the skin, negative inside.
    """

    signal: Volume
    brain: Volume
    gray: Volume
    white: Volume
    meninges: Volume
    skin: Volume


@lru_cache(maxsize=1)
def load_anatomy() -> Anatomy:
    """Return the anatomy (about 50 MB), built once per process.

    Raises:
        TumorMLError: ``nilearn`` is not installed, or it does not contain the template.
    """
    raw = _read_map("t1")
    in_brain = raw.voxels > 0
    smooth = ndimage.gaussian_filter(raw.voxels.astype(np.float32), 2.5)
    # An average of 152 heads is blurred; an unsharp mask restores about half of the lost detail.
    sharp = 1.5 * raw.voxels[in_brain] - 0.5 * np.maximum(smooth[in_brain], 90.0)
    signal = np.zeros_like(raw.voxels)
    signal[in_brain] = 255 * np.interp(sharp, _RAW_VALUES, _SIGNALS)
    meninges, skin = _surfaces(Volume(in_brain.view(np.uint8) * 255, raw.origin_mm, raw.voxel_mm))
    return Anatomy(
        signal=Volume(signal, raw.origin_mm, raw.voxel_mm),
        brain=Volume(in_brain.astype(np.uint8) * 255, raw.origin_mm, raw.voxel_mm),
        gray=_read_map("gm"),
        white=_read_map("wm"),
        meninges=meninges,
        skin=skin,
    )


def _read_map(name: str) -> Volume:
    # Located without importing: the import takes seconds, and only the package's files are needed.
    package = find_spec("nilearn")
    if package is None or package.origin is None:
        raise TumorMLError(
            "The demo scans need the brain template of the package nilearn, which is not "
            "installed. Install it with: pip install 'tumorml[local]'"
        )
    path = Path(package.origin).parent / "datasets" / "data" / _FILE.format(name)
    if not path.is_file():
        raise TumorMLError(
            f"The brain template of the demo scans is not at {path}. Install the version of "
            "nilearn in requirements.lock: pip install 'tumorml[local]'"
        )
    import nibabel  # a dependency of nilearn, so it is installed here

    image = nibabel.Nifti1Image.from_filename(path)
    x, y, z = (float(mm) for mm in image.affine[:3, 3])
    return Volume(np.asarray(image.dataobj, np.uint8), (x, y, z), float(image.affine[0, 0]))


def _surfaces(brain: Volume) -> tuple[Volume, Volume]:
    """Return 2 mm distance maps of the dura (closed brain mask) and of the skin of the head."""
    index = np.indices(_COARSE_SHAPE, dtype=np.float32)
    points = index * np.float32(_COARSE_MM) + as_broadcastable(_COARSE_ORIGIN_MM, index)
    dilated = _distance(brain.at(points) > 0.5) < 10.0
    closed = _distance(dilated) < -9.0
    meninges = ndimage.gaussian_filter(_distance(closed), 1.0)

    x, y, z = points
    in_face = (x / 64) ** 2 + ((y - 32) / 60) ** 2 + ((z + 58) / 76) ** 2 < 1
    in_neck = ((x / 56) ** 2 + ((y + 25 - 0.15 * (z + 60)) / 64) ** 2 < 1) & (z < -40)
    in_nose = ((np.abs(x) + 0.3 * (z + 20)) < 8) & (y < 104 - 0.6 * np.abs(z + 42)) & (y > 60)
    in_nose &= (z < -12) & (z > -55)
    in_throat = (x / 60) ** 2 + ((y - 4) / 60) ** 2 + ((z + 95) / 50) ** 2 < 1
    in_head = (meninges < SCALP_MM) | in_face | in_throat | in_neck | in_nose
    skin = ndimage.gaussian_filter(_distance(in_head), 2.0)
    return (
        Volume(meninges.astype(np.float32), _COARSE_ORIGIN_MM, _COARSE_MM),
        Volume(skin.astype(np.float32), _COARSE_ORIGIN_MM, _COARSE_MM),
    )


def _distance(inside: NDArray[np.bool_]) -> Floats:
    """Return the signed distance in mm to the edge of a region, negative inside, float32."""
    outward: Floats = ndimage.distance_transform_edt(~inside).astype(np.float32)
    inward: Floats = ndimage.distance_transform_edt(inside).astype(np.float32)
    return (outward - inward) * np.float32(_COARSE_MM)
