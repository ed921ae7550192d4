"""How alike two pictures of heads are, once one is laid upon the other."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from tumorml.scans.images.fingerprint import centre, head_box, oriented

_NEIGHBOURHOOD = 3.0
"""Standard deviation of the Gaussian neighbourhoods that are correlated, in thumbnail pixels."""
_LEAST_VARIANCE = 4.0
"""Of a neighbourhood, in squared grey levels: flatter ones are noise and count as unlike."""
_LEAST_OVERLAP = 0.5
"""Share of either head that must lie on the other's picture."""
_HOPELESS = 0.5
"""Heads that correlate less where their frames coincide are not aligned any further."""
_GOOD_ENOUGH = 0.95
_ITERATIONS = 20
_MOST_STRETCH = 1.7
_MOST_SHEAR = 0.2


class Picture:
    """A thumbnail, uint8 [height, width], and what is computed from it once."""

    def __init__(self, thumbnail: NDArray[np.uint8]) -> None:
        self.thumbnail = thumbnail
        self._oriented: dict[int, Picture] = {}

    def oriented(self, orientation: int) -> Picture:
        """The picture in one of its eight orientations."""
        if orientation == 0:
            return self
        if orientation not in self._oriented:
            turned = Picture(np.asarray(oriented(self.thumbnail, orientation), np.uint8))
            self._oriented[orientation] = turned
        return self._oriented[orientation]

    @cached_property
    def smooth(self) -> NDArray[np.float32]:
        """Grey levels without the finest grain."""
        return np.asarray(cv2.GaussianBlur(self.thumbnail.astype(np.float32), (0, 0), 0.7))

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """Mean grey level of each neighbourhood."""
        return _local_mean(self.smooth)

    @cached_property
    def variance(self) -> NDArray[np.float32]:
        """Variance of each neighbourhood, in squared grey levels."""
        return _local_variance(self.smooth, self.mean)

    @cached_property
    def box(self) -> tuple[float, float, float, float] | None:
        """The head's bounding box."""
        return head_box(self.thumbnail)

    @cached_property
    def centre(self) -> tuple[float, float, float] | None:
        """Centre and spread of the head's mass."""
        return centre(self.thumbnail)

    @cached_property
    def head(self) -> NDArray[np.bool_]:
        """Where the head is; the outermost pixels, which may be cut, are left out."""
        wide = cv2.GaussianBlur(self.thumbnail, (0, 0), 2)
        low, high = np.percentile(self.thumbnail, (2, 99))
        inside = np.zeros(self.thumbnail.shape, bool)
        inside[2:-2, 2:-2] = True
        return np.asarray(inside & (wide > low + 0.1 * (high - low)), np.bool_)


def likeness(first: Picture, second: Picture, orientation: int) -> float:
    """Mean local correlation of two heads, -1 to 1, the second turned and aligned to the first.

    The heads are laid upon each other by their frames (bounding boxes, centres of mass); the better
    of the two starts is refined to an affine map by maximising the enhanced correlation coefficient
    (Evangelidis and Psarakis 2008). Then each neighbourhood of the overlap is correlated by itself
    (as in the structure term of SSIM; Wang et al. 2004), so that brightness, contrast and a coil's
    shading do not count, and the bright ring of the skull counts no more than what lies inside.
    """
    moving = second.oriented(orientation)
    starts = [
        warp for warp in (_by_boxes(first, moving), _by_centres(first, moving)) if warp is not None
    ]
    if not starts:
        return 0.0
    scores = []
    for start in starts:
        scores.append(_correlation(first, moving, start))
        if scores[-1] >= _GOOD_ENOUGH:
            break
    best = max(scores)
    if best < _HOPELESS or best >= _GOOD_ENOUGH:
        return best
    refined = _refined(first, moving, starts[scores.index(best)])
    return best if refined is None else max(best, _correlation(first, moving, refined))


def _by_boxes(first: Picture, moving: Picture) -> NDArray[np.float32] | None:
    if first.box is None or moving.box is None:
        return None
    left, top, right, bottom = first.box
    to_left, to_top, to_right, to_bottom = moving.box
    across, down = (to_right - to_left) / (right - left), (to_bottom - to_top) / (bottom - top)
    # Edges of pixels lie half a pixel before their centres.
    right_by = to_left - across * left + (across - 1) / 2
    down_by = to_top - down * top + (down - 1) / 2
    return _warp(across, down, right_by, down_by)


def _by_centres(first: Picture, moving: Picture) -> NDArray[np.float32] | None:
    if first.centre is None or moving.centre is None:
        return None
    (x, y, spread), (to_x, to_y, to_spread) = first.centre, moving.centre
    scale = to_spread / spread
    return _warp(scale, scale, to_x - scale * x, to_y - scale * y)


def _warp(across: float, down: float, right: float, lower: float) -> NDArray[np.float32]:
    return np.array([[across, 0, right], [0, down, lower]], np.float32)


def _refined(
    first: Picture, moving: Picture, warp: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """The warp after coarse and fine alignment; None where it does not hold together."""
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, 1e-3)
    try:
        for blur in (9, 3):
            _, warp = cv2.findTransformECC(
                first.thumbnail, moving.thumbnail, warp, cv2.MOTION_AFFINE, stop, None, blur
            )
    except cv2.error:  # It says so when the alignment does not converge.
        return None
    stretches = (warp[0, 0], warp[1, 1])
    held = (
        all(1 / _MOST_STRETCH < stretch < _MOST_STRETCH for stretch in stretches)
        and abs(warp[0, 1]) + abs(warp[1, 0]) < _MOST_SHEAR
    )
    return np.asarray(warp, np.float32) if held else None


def _correlation(first: Picture, moving: Picture, warp: NDArray[np.float32]) -> float:
    height, width = first.thumbnail.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(moving.smooth, warp, (width, height), flags=flags)
    there = cv2.warpAffine(
        moving.head.astype(np.uint8),
        warp,
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    both = first.head & (there > 0)
    shared = int(both.sum())
    moved_area = float(moving.head.sum()) / max(float(warp[0, 0] * warp[1, 1]), 1e-3)
    if shared < _LEAST_OVERLAP * min(float(first.head.sum()), moved_area) or shared < 100:
        return 0.0
    mean = _local_mean(laid)
    covariance = _local_mean(first.smooth * laid) - first.mean * mean
    correlation = covariance / np.sqrt(first.variance * _local_variance(laid, mean))
    return float(correlation[both].mean())


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _NEIGHBOURHOOD), np.float32)


def _local_variance(values: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(_local_mean(values * values) - mean * mean, _LEAST_VARIANCE)
