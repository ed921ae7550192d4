"""Likeness of two pictures: local correlation of their heads after alignment."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from tumorml.scans.images.fingerprint import center, head_box, oriented

_NEIGHBORHOOD_SIGMA = 3.0
"""Standard deviation of the Gaussian neighborhoods that are correlated, in thumbnail pixels."""
_MIN_VARIANCE = 4.0
"""Minimum variance of a neighborhood, in squared gray levels; flatter ones are noise."""
_MIN_OVERLAP = 0.5
"""Minimum share of the smaller head that overlaps the other head."""
_MIN_TO_REFINE = 0.5
"""The alignment is refined only if the heads correlate at least this much after the first step."""
_MAX_TO_REFINE = 0.95
"""The alignment is not refined if the heads correlate this much."""
_MAX_ITERATIONS = 20
_MAX_STRETCH = 1.7
_MAX_SHEAR = 0.2


class Picture:
    """A thumbnail, uint8 [height, width], with values derived from it that are computed once."""

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
        """Gray levels after a light Gaussian blur, float32 [height, width]."""
        return np.asarray(cv2.GaussianBlur(self.thumbnail.astype(np.float32), (0, 0), 0.7))

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """Mean gray level of each neighborhood, float32 [height, width]."""
        return _local_mean(self.smooth)

    @cached_property
    def variance(self) -> NDArray[np.float32]:
        """Variance of each neighborhood, in squared gray levels, float32 [height, width]."""
        return _local_variance(self.smooth, self.mean)

    @cached_property
    def box(self) -> tuple[float, float, float, float] | None:
        """Bounding box of the head: left, top, right, bottom in pixels."""
        return head_box(self.thumbnail)

    @cached_property
    def center_and_spread(self) -> tuple[float, float, float] | None:
        """Center of mass of the head (x, y) and its spread, in pixels."""
        return center(self.thumbnail)

    @cached_property
    def head(self) -> NDArray[np.bool_]:
        """Mask of the head, bool [height, width], false in the outer two pixels (may be cut)."""
        wide = cv2.GaussianBlur(self.thumbnail, (0, 0), 2)
        low, high = np.percentile(self.thumbnail, (2, 99))
        inside = np.zeros(self.thumbnail.shape, bool)
        inside[2:-2, 2:-2] = True
        return np.asarray(inside & (wide > low + 0.1 * (high - low)), np.bool_)


def likeness(first: Picture, second: Picture, orientation: int) -> float:
    """Return the mean local correlation of two heads, -1 to 1; 0 if they overlap too little.

    The second picture is turned by ``orientation`` and aligned to the first by bounding box and by
    center of mass. The better alignment is refined to the affine map that maximizes the enhanced
    correlation coefficient (Evangelidis and Psarakis 2008). Each neighborhood of the overlap is
    then correlated separately, as in the structure term of SSIM (Wang et al. 2004). Therefore
    brightness, contrast and coil shading have no effect, and the bright ring of the skull has no
    more weight than the brain.
    """
    moving = second.oriented(orientation)
    starts = [
        warp for warp in (_by_boxes(first, moving), _by_centers(first, moving)) if warp is not None
    ]
    if not starts:
        return 0.0
    scores = []
    for start in starts:
        scores.append(_correlation(first, moving, start))
        if scores[-1] >= _MAX_TO_REFINE:
            break
    best = max(scores)
    if best < _MIN_TO_REFINE or best >= _MAX_TO_REFINE:
        return best
    refined = _refined(first, moving, starts[scores.index(best)])
    return best if refined is None else max(best, _correlation(first, moving, refined))


def _by_boxes(first: Picture, moving: Picture) -> NDArray[np.float32] | None:
    if first.box is None or moving.box is None:
        return None
    left, top, right, bottom = first.box
    to_left, to_top, to_right, to_bottom = moving.box
    scale_x = (to_right - to_left) / (right - left)
    scale_y = (to_bottom - to_top) / (bottom - top)
    # The edge of a pixel is half a pixel before its center.
    shift_right = to_left - scale_x * left + (scale_x - 1) / 2
    shift_down = to_top - scale_y * top + (scale_y - 1) / 2
    return _warp(scale_x, scale_y, shift_right, shift_down)


def _by_centers(first: Picture, moving: Picture) -> NDArray[np.float32] | None:
    if first.center_and_spread is None or moving.center_and_spread is None:
        return None
    (x, y, spread), (to_x, to_y, to_spread) = first.center_and_spread, moving.center_and_spread
    scale = to_spread / spread
    return _warp(scale, scale, to_x - scale * x, to_y - scale * y)


def _warp(
    scale_x: float, scale_y: float, shift_right: float, shift_down: float
) -> NDArray[np.float32]:
    return np.array([[scale_x, 0, shift_right], [0, scale_y, shift_down]], np.float32)


def _refined(
    first: Picture, moving: Picture, warp: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Refine a warp coarsely, then finely; None if it diverges or distorts the head."""
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _MAX_ITERATIONS, 1e-3)
    try:
        for blur in (9, 3):
            _, warp = cv2.findTransformECC(
                first.thumbnail, moving.thumbnail, warp, cv2.MOTION_AFFINE, stop, None, blur
            )
    except cv2.error:  # the alignment does not converge
        return None
    stretches = (warp[0, 0], warp[1, 1])
    is_plausible = (
        all(1 / _MAX_STRETCH < stretch < _MAX_STRETCH for stretch in stretches)
        and abs(warp[0, 1]) + abs(warp[1, 0]) < _MAX_SHEAR
    )
    return np.asarray(warp, np.float32) if is_plausible else None


def _correlation(first: Picture, moving: Picture, warp: NDArray[np.float32]) -> float:
    height, width = first.thumbnail.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = cv2.warpAffine(moving.smooth, warp, (width, height), flags=flags)
    aligned_head = cv2.warpAffine(
        moving.head.astype(np.uint8),
        warp,
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    overlap = first.head & (aligned_head > 0)
    shared = int(overlap.sum())
    moved_area = float(moving.head.sum()) / max(float(warp[0, 0] * warp[1, 1]), 1e-3)
    if shared < _MIN_OVERLAP * min(float(first.head.sum()), moved_area) or shared < 100:
        return 0.0
    mean = _local_mean(aligned)
    covariance = _local_mean(first.smooth * aligned) - first.mean * mean
    correlation = covariance / np.sqrt(first.variance * _local_variance(aligned, mean))
    return float(correlation[overlap].mean())


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _NEIGHBORHOOD_SIGMA), np.float32)


def _local_variance(values: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(_local_mean(values * values) - mean * mean, _MIN_VARIANCE)
