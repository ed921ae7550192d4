"""Perceptual fingerprints: what stays of a scan when it is re-encoded, resized, turned or mirrored.

A fingerprint says two things about the head in a picture, whatever lies around it: a key, by which
scans that may be twins are found among millions, and a thumbnail, on which the twins are confirmed
(see ``tumorml.datasets.twins``).

The head is looked at in two frames. ``box`` is the bounding box of what is not background: exact
where a dark border was padded or cut off. ``window`` follows the centre of mass inside a Gaussian
window (a mean shift), so that it hardly moves where a crop has cut into the head. In each frame the
band-passed head becomes a grid of 8 x 8 numbers of unit length, and the key is what of that grid
does not change under the eight symmetries of the square: its parts by irreducible representation of
the dihedral group D4, each without its sign or direction. Two keys are never further apart than the
two grids in the most alike of their eight orientations, so a search by keys misses no pair that is
alike as a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Fingerprints of another version are made anew before they are compared."""
THUMBNAIL_SIDE = 96
GRID_SIDE = 8
KEY_LENGTH = 42
FRAMES = ("box", "window")
QUANTUM = 180
"""Keys and grids have unit length; stored as int8 they are multiples of 1/180."""

_PATCH_SIDE = 32
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


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of one scan.

    Attributes:
        thumbnail: uint8 [height, width], longest side 96.
        keys: int8 [2, 42], for each frame; the same for all eight orientations of a picture.
        grids: int8 [2, 8, 8], for each frame, in the scan's own orientation.
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
    grids = [_grid(_patch(small, *box)), _grid(*_tapered_patch(small, *window))]
    if any(grid is None for grid in grids):
        return None
    whole = [grid for grid in grids if grid is not None]
    return Fingerprint(
        small,
        np.stack([_quantised(symmetric_key(grid)) for grid in whole]),
        np.stack([_quantised(grid) for grid in whole]),
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


def head_box(small: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
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
    half = GRID_SIDE // 2
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


def _window(small: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    found = centre(small)
    if found is None:
        return None
    x, y, spread = found
    half = _PATCH_SPREADS * spread
    return x - half + 0.5, y - half + 0.5, x + half + 0.5, y + half + 0.5


def _patch(
    small: NDArray[np.uint8], left: float, top: float, right: float, bottom: float
) -> NDArray[np.float32]:
    """float32 [32, 32]: a rectangle of the thumbnail, pixel edges at whole numbers."""
    return _warped(cv2.GaussianBlur(small, (0, 0), 1.2), left, top, right, bottom)


def _tapered_patch(
    small: NDArray[np.uint8], left: float, top: float, right: float, bottom: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same, and its weights: fading outwards, none where there was no picture."""
    there = _warped(np.ones_like(small), left, top, right, bottom, border=cv2.BORDER_CONSTANT)
    offsets = (np.arange(_PATCH_SIDE) + 0.5) * 2 / _PATCH_SIDE - 1
    taper = np.exp(-(offsets**2) / (2 * _TAPER**2))
    return _patch(small, left, top, right, bottom), there * np.outer(taper, taper)


def _warped(
    picture: NDArray[np.generic],
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    border: int = cv2.BORDER_REPLICATE,
) -> NDArray[np.float32]:
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
    patch: NDArray[np.float32], weights: NDArray[np.float32] | None = None
) -> NDArray[np.float64] | None:
    """A patch as float [8, 8] of length 1, band-passed to an even local contrast."""
    fine = cv2.GaussianBlur(patch, (0, 0), 2)
    detail = fine - cv2.GaussianBlur(patch, (0, 0), 6)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 9)) + 4
    flat = detail / contrast if weights is None else detail / contrast * weights
    grid = np.asarray(
        cv2.resize(flat, (GRID_SIDE, GRID_SIDE), interpolation=cv2.INTER_AREA), np.float64
    )
    length = float(np.linalg.norm(grid))
    return grid / length if length > 1e-3 else None


def _quantised(values: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.clip(np.rint(values * QUANTUM), -127, 127).astype(np.int8)
