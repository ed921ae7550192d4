"""Perceptual fingerprints: what stays of a scan when it is re-encoded, resized, turned or mirrored.

A fingerprint says two things about the head in a picture, whatever lies around it: a key, by which
scans that may be twins are found among millions, and a thumbnail, on which the twins are confirmed
(see ``tumorml.datasets.twins.find_twins``).

The head is looked at in two frames. ``box`` is the bounding box of what is not background: exact
where a dark border was padded or cut off. ``window`` follows the centre of mass inside a Gaussian
window (a mean shift), so that it hardly moves where a crop has cut into the head. In each frame the
band-passed head becomes two grids of unit length: a coarse one of 8 x 8 numbers for the key, and a
fine one of 16 x 16 that is kept as it is. The key is what of the coarse grid does not change under
the eight symmetries of the square: its parts by irreducible representation of the dihedral group
D4, each without its sign or direction. Two keys are never further apart than the two grids in the
most alike of their eight orientations, so a search by keys misses no pair of like coarse grids.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(1)  # The pictures are small; whoever has many reads them in threads of his own.

VERSION = 1
"""Older fingerprints are made anew before they are compared."""
THUMBNAIL_SIDE = 96
COARSE_SIDE, KEY_LENGTH = 8, 42
GRID_SIDE = 16
FRAMES = ("box", "window")
QUANTUM = 180
"""Keys and grids have unit length; stored as int8 they are multiples of 1/180."""

_PATCH_SIDE = 32
_COARSE_BAND = (1.2, 2.0, 6.0)
_FINE_BAND = (0.7, 0.8, 2.5)
"""Standard deviations: of the blur before a patch is cut out, in thumbnail pixels, and of the
narrow and the wide Gaussian between which the patch is passed, in pixels of the patch."""
_LEAST_CONTRAST = 12.0
"""Grey levels between background and foreground below which there is no head to see."""
_LEAST_HEAD_SIDE = 12
"""Least side of a head in the thumbnail, in pixels."""
_WINDOW_SPREADS = 1.3
"""Standard deviation of the window, in those of the mass inside it."""
_PATCH_SPREADS = 2.0
"""Half the side of the ``window`` frame, in standard deviations of the mass inside it."""
_TAPER = 0.45
"""Standard deviation of the taper on the ``window`` frame, in halves of its side."""


Frame = tuple[float, float, float, float]
"""Left, top, right and bottom in a thumbnail; pixel edges lie at whole numbers."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of one scan.

    Attributes:
        thumbnail: uint8 [height, width], longest side 96.
        keys: int8 [2, 42], for each frame; the same for all eight orientations of a picture.
        grids: int8 [2, 16, 16], for each frame, in the scan's own orientation.
    """

    thumbnail: NDArray[np.uint8]
    keys: NDArray[np.int8]
    grids: NDArray[np.int8]


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint | None:
    """The fingerprint of a scan, uint8 [height, width]; None where no head stands out.

    A blank, flat or featureless picture, or one too narrow to show anything, has none: it is tied
    to its exact copies alone, so that blanks are no giant group.
    """
    small = thumbnail(pixels)
    box = head_box(small)
    if box is None:
        return None
    window = _window(small)
    if window is None:
        return None
    coarse = _grids(small, box, window, COARSE_SIDE, _COARSE_BAND)
    fine = _grids(small, box, window, GRID_SIDE, _FINE_BAND)
    if coarse is None or fine is None:
        return None
    return Fingerprint(
        small,
        np.stack([_quantised(symmetric_key(grid)) for grid in coarse]),
        np.stack([_quantised(grid) for grid in fine]),
    )


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [height, width], longest side 96, by area; an aspect beyond 12 to 1 is squeezed."""
    height, width = pixels.shape
    factor = THUMBNAIL_SIDE / max(height, width)
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    if factor < 0.8:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.4 / factor), np.uint8)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def head_box(small: NDArray[np.uint8]) -> Frame | None:
    """Left, top, right and bottom of what stands out from the background of a thumbnail."""
    smooth = cv2.GaussianBlur(small, (0, 0), 0.8).astype(np.float32)
    low, high = np.percentile(smooth, (2, 99))
    if high - low < _LEAST_CONTRAST:
        return None
    foreground = smooth > low + 0.15 * (high - low)
    rows = np.flatnonzero(foreground.mean(axis=1) > 0.03)
    columns = np.flatnonzero(foreground.mean(axis=0) > 0.03)
    if not len(rows) or not len(columns):
        return None
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    if min(right - left, bottom - top) < _LEAST_HEAD_SIDE:
        return None
    return float(left), float(top), float(right), float(bottom)


def centre(small: NDArray[np.uint8]) -> tuple[float, float, float] | None:
    """Centre x, y and spread, in pixels of the thumbnail, of the mass inside a Gaussian window.

    The window is centred on that mass and 1.3 times as wide: both are found by fixed-point
    iteration (mean shift; Comaniciu and Meer 2002).
    """
    smooth = cv2.GaussianBlur(small, (0, 0), 1.5).astype(np.float32)
    low, high = float(smooth.min()), float(np.percentile(smooth, 99.5))
    if high - low < _LEAST_CONTRAST:
        return None
    mass = np.clip((smooth - low) / (high - low) - 0.06, 0, 0.2)
    height, width = small.shape
    across = np.arange(width, dtype=np.float32)
    down = np.arange(height, dtype=np.float32)
    weighted = mass
    x = y = spread = 0.0
    for _ in range(20):
        columns, rows = weighted.sum(axis=0), weighted.sum(axis=1)
        total = float(columns.sum())
        if total <= 0:
            return None
        x, y = float(columns @ across) / total, float(rows @ down) / total
        variance = float(columns @ (across - x) ** 2 + rows @ (down - y) ** 2) / total / 2
        spread = variance**0.5
        if spread < 1:
            return None
        reach = 2 * (_WINDOW_SPREADS * spread) ** 2
        weighted = (
            mass
            * np.exp(-((across - x) ** 2) / reach)
            * np.exp(-((down - y) ** 2) / reach)[:, None]
        )
    return x, y, spread


def symmetric_key(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of a grid, float [8, 8], does not change under the symmetries of the square.

    The grid is taken apart into the five irreducible representations of D4. Of the four of one
    dimension each orbit of pixels leaves one number, without its sign (of the invariant one with
    it); of the one of two dimensions its length.

    Returns:
        float [42]; its length is the grid's, and no two keys are further apart than their grids.
    """
    half = COARSE_SIDE // 2
    turned = [np.rot90(grid, turns) for turns in range(4)]
    mirrored = [picture[:, ::-1] for picture in turned]
    upper, strictly = np.triu_indices(half), np.triu_indices(half, 1)
    orbit = np.sqrt(np.where(upper[0] == upper[1], 4.0, 8.0))
    parts = []
    for turn_sign, mirror_sign, where, size in (
        (1, 1, upper, orbit),
        (1, -1, strictly, np.sqrt(8.0)),
        (-1, 1, strictly, np.sqrt(8.0)),
        (-1, -1, upper, orbit),
    ):
        part = sum(
            turn_sign**turns * (turned[turns] + mirror_sign * mirrored[turns]) / 8
            for turns in range(4)
        )
        values = np.asarray(part)[:half, :half][where] * size
        parts.append(values if (turn_sign, mirror_sign) == (1, 1) else np.abs(values))
    odd = (grid - turned[2]) / 2
    quarter = np.rot90(odd)
    length = np.sqrt(odd**2 + quarter**2 + odd[:, ::-1] ** 2 + quarter[:, ::-1] ** 2)
    parts.append(length[:half, :half][upper] * (orbit / 2))
    return np.concatenate(parts)


def oriented(picture: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """One of the eight orientations of a picture: quarter turns, and from 4 on mirrored after."""
    turned = np.rot90(picture, orientation % 4)
    return np.ascontiguousarray(turned[:, ::-1] if orientation >= 4 else turned)


def _window(small: NDArray[np.uint8]) -> Frame | None:
    found = centre(small)
    if found is None:
        return None
    x, y, spread = found
    half = _PATCH_SPREADS * spread
    return x - half + 0.5, y - half + 0.5, x + half + 0.5, y + half + 0.5


def _grids(
    small: NDArray[np.uint8], box: Frame, window: Frame, side: int, band: tuple[float, float, float]
) -> list[NDArray[np.float64]] | None:
    """The grid of each frame; None where one of them is featureless."""
    blur, *deviations = band
    smooth = cv2.GaussianBlur(small, (0, 0), blur)
    # Fading outwards, and nothing where there was no picture.
    offsets = (np.arange(_PATCH_SIDE) + 0.5) * 2 / _PATCH_SIDE - 1
    taper = np.exp(-(offsets**2) / (2 * _TAPER**2))
    there = _warped(np.ones_like(small), window, border=cv2.BORDER_CONSTANT)
    grids = []
    for frame, weights in ((box, 1.0), (window, there * np.outer(taper, taper))):
        grid = _grid(_warped(smooth, frame), weights, side, *deviations)
        if grid is None:
            return None
        grids.append(grid)
    return grids


def _warped(
    picture: NDArray[np.generic], frame: Frame, *, border: int = cv2.BORDER_REPLICATE
) -> NDArray[np.float32]:
    """What of a picture lies in a frame, float32 [32, 32]."""
    left, top, right, bottom = frame
    across, down = (right - left) / _PATCH_SIDE, (bottom - top) / _PATCH_SIDE
    warp = np.array(
        [[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]], np.float32
    )
    return np.asarray(
        cv2.warpAffine(
            picture.astype(np.float32),
            warp,
            (_PATCH_SIDE, _PATCH_SIDE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        ),
        np.float32,
    )


def _grid(
    patch: NDArray[np.float32],
    weights: NDArray[np.float64] | float,
    side: int,
    narrow: float,
    wide: float,
) -> NDArray[np.float64] | None:
    """A patch as float [side, side] of length 1, band-passed to an even local contrast."""
    detail = cv2.GaussianBlur(patch, (0, 0), narrow) - cv2.GaussianBlur(patch, (0, 0), wide)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 1.5 * wide)) + 4
    flat = np.asarray(detail / contrast * weights, np.float32)
    grid = np.asarray(cv2.resize(flat, (side, side), interpolation=cv2.INTER_AREA), np.float64)
    length = float(np.linalg.norm(grid))
    return grid / length if length > 1e-3 else None


def _quantised(values: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.clip(np.rint(values * QUANTUM), -127, 127).astype(np.int8)
