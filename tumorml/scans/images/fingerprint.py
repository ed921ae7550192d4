"""Perceptual fingerprints, robust to re-encoding, resizing, quarter turns and mirroring.

A fingerprint has two parts. Its keys find candidate twins among millions of scans. Its thumbnail
confirms the candidates (see ``tumorml.datasets.twins``).

The head is described in two frames. ``box`` is the bounding box of the foreground; it is exact if
only dark border was added or removed. ``window`` follows the center of mass inside a Gaussian
window (mean shift); it hardly moves if a crop cuts into the head. In each frame the band-passed
head is reduced to two grids of unit length: a coarse one of 8 x 8 numbers for the key, and a fine
one of 16 x 16 that is stored as it is.

The key is the part of the coarse grid that is invariant under the eight symmetries of the square:
its components in the irreducible representations of the dihedral group D4, each without its sign or
direction. The distance of two keys is never larger than the distance of the two grids in their best
of eight orientations, so a search by keys misses no pair of similar coarse grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(1)  # callers process many small pictures in their own threads

VERSION = 1
"""Fingerprints of older versions are recomputed before they are compared."""
THUMBNAIL_SIDE = 96
COARSE_SIDE, KEY_LENGTH = 8, 42
GRID_SIDE = 16
FRAMES = ("box", "window")
QUANTUM = 180
"""Keys and grids have unit length; they are stored as int8 multiples of 1/180."""

_PATCH_SIDE = 32
_COARSE_BAND = (1.2, 2.0, 6.0)
_FINE_BAND = (0.7, 0.8, 2.5)
"""Standard deviations of three Gaussians: the blur of the thumbnail before the patch is sampled, in
thumbnail pixels, and the narrow and wide Gaussian of the band-pass, in pixels of the patch."""
_MIN_CONTRAST = 12.0
"""Minimum difference in gray levels between background and foreground."""
_MIN_HEAD_SIDE = 12
"""Minimum side of a head in the thumbnail, in pixels."""
_WINDOW_SPREADS = 1.3
"""Standard deviation of the window, in standard deviations of the mass inside it."""
_PATCH_SPREADS = 2.0
"""Half the side of the ``window`` frame, in standard deviations of the mass inside it."""
_TAPER = 0.45
"""Standard deviation of the taper on the ``window`` frame, in halves of its side."""

Scalar = TypeVar("Scalar", bound=np.generic)
Frame = tuple[float, float, float, float]
"""Left, top, right and bottom in a thumbnail, in pixels; pixel edges are at integer coordinates."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one scan.

    Attributes:
        thumbnail: uint8 [height, width], longest side 96.
        keys: int8 [2, 42], one row per frame; equal for all eight orientations of a picture.
        grids: int8 [2, 16, 16], one grid per frame, in the scan's own orientation.
    """

    thumbnail: NDArray[np.uint8]
    keys: NDArray[np.int8]
    grids: NDArray[np.int8]


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint | None:
    """Compute the fingerprint of a scan.

    Args:
        pixels: uint8 [height, width].

    Returns:
        The fingerprint, or None for a picture without a visible head (blank, flat, featureless or
        too narrow). Such a scan is grouped only with its exact copies; otherwise all blank pictures
        would be one large group.
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
        np.stack([_quantize(symmetric_key(grid)) for grid in coarse]),
        np.stack([_quantize(grid) for grid in fine]),
    )


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize by area to a longest side of 96 pixels and a shortest of at least 8 pixels."""
    height, width = pixels.shape
    factor = THUMBNAIL_SIDE / max(height, width)
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    if factor < 0.8:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.4 / factor), np.uint8)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def head_box(small: NDArray[np.uint8]) -> Frame | None:
    """Return the bounding box of the foreground of a thumbnail, or None without a head."""
    smooth = cv2.GaussianBlur(small, (0, 0), 0.8).astype(np.float32)
    low, high = np.percentile(smooth, (2, 99))
    if high - low < _MIN_CONTRAST:
        return None
    foreground = smooth > low + 0.15 * (high - low)
    rows = np.flatnonzero(foreground.mean(axis=1) > 0.03)
    columns = np.flatnonzero(foreground.mean(axis=0) > 0.03)
    if not len(rows) or not len(columns):
        return None
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    if min(right - left, bottom - top) < _MIN_HEAD_SIDE:
        return None
    return float(left), float(top), float(right), float(bottom)


def center(small: NDArray[np.uint8]) -> tuple[float, float, float] | None:
    """Return center x, center y and spread of the head, in pixels of the thumbnail.

    They are the mean and the standard deviation of the mass inside a Gaussian window that has the
    same center and 1.3 times the spread, found by fixed-point iteration (mean shift; Comaniciu and
    Meer 2002). None if there is no head.
    """
    smooth = cv2.GaussianBlur(small, (0, 0), 1.5).astype(np.float32)
    low, high = float(smooth.min()), float(np.percentile(smooth, 99.5))
    if high - low < _MIN_CONTRAST:
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
    """Return the part of a grid that is invariant under the symmetries of the square.

    The grid is decomposed into the five irreducible representations of D4. Each orbit of pixels has
    one number in each of the four one-dimensional representations, stored without its sign (with
    its sign in the trivial representation), and a length in the two-dimensional one.

    Args:
        grid: float [8, 8].

    Returns:
        float [42]. Its norm is that of the grid, and the distance of two keys is never larger than
        that of their grids.
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


def oriented(picture: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """Rotate a picture by ``orientation % 4`` quarter turns; from 4 on, then mirror it."""
    turned = np.rot90(picture, orientation % 4)
    return np.ascontiguousarray(turned[:, ::-1] if orientation >= 4 else turned)


def _window(small: NDArray[np.uint8]) -> Frame | None:
    center_and_spread = center(small)
    if center_and_spread is None:
        return None
    x, y, spread = center_and_spread
    half = _PATCH_SPREADS * spread
    return x - half + 0.5, y - half + 0.5, x + half + 0.5, y + half + 0.5


def _grids(
    small: NDArray[np.uint8], box: Frame, window: Frame, side: int, band: tuple[float, float, float]
) -> list[NDArray[np.float64]] | None:
    """Return the grid of each frame, or None if one of them is featureless."""
    blur, *deviations = band
    smooth = cv2.GaussianBlur(small, (0, 0), blur)
    # The window frame fades outwards and has weight 0 outside the picture.
    offsets = (np.arange(_PATCH_SIDE) + 0.5) * 2 / _PATCH_SIDE - 1
    taper = np.exp(-(offsets**2) / (2 * _TAPER**2))
    inside = _warped(np.ones_like(small), window, border=cv2.BORDER_CONSTANT)
    grids = []
    for frame, weights in ((box, 1.0), (window, inside * np.outer(taper, taper))):
        grid = _grid(_warped(smooth, frame), weights, side, *deviations)
        if grid is None:
            return None
        grids.append(grid)
    return grids


def _warped(
    picture: NDArray[np.generic], frame: Frame, *, border: int = cv2.BORDER_REPLICATE
) -> NDArray[np.float32]:
    """Sample a frame of a picture as float32 [32, 32]."""
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
    """Return the band-passed patch with even local contrast, float [side, side] of norm 1."""
    detail = cv2.GaussianBlur(patch, (0, 0), narrow) - cv2.GaussianBlur(patch, (0, 0), wide)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 1.5 * wide)) + 4
    flat = np.asarray(detail / contrast * weights, np.float32)
    grid = np.asarray(cv2.resize(flat, (side, side), interpolation=cv2.INTER_AREA), np.float64)
    length = float(np.linalg.norm(grid))
    return grid / length if length > 1e-3 else None


def _quantize(values: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.clip(np.rint(values * QUANTUM), -127, 127).astype(np.int8)
