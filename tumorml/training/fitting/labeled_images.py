"""The pixels, labels and masks that a training reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.pixel_cache import CachedPixels
from tumorml.datasets.pixels import Masks


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Square grayscale images and their class indices.

    Attributes:
        images: uint8 `[n, S, S]`; images in a file are read batch by batch.
        labels: int64 `[n]`, an index into the task's labels.
        masks: Tumor masks of the scans that have one; None if no scan has one.

    Raises:
        ValueError: An array has a wrong shape, type or length, or there is no image.
    """

    images: NDArray[np.uint8] | CachedPixels
    labels: np.ndarray
    masks: Masks | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 3 or images.shape[1] != images.shape[2] or images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 [n, S, S], not {images.dtype} {images.shape}")
        if labels.shape != (len(images),) or labels.dtype != np.int64:
            raise ValueError(
                f"labels must be int64 [{len(images)}], not {labels.dtype} {labels.shape}"
            )
        if self.masks is not None and self.masks.rows.shape != labels.shape:
            raise ValueError(f"masks are for {len(self.masks.rows)} scans, not {len(images)}")
        if len(images) == 0:
            raise ValueError("there is no scan")

    def __len__(self) -> int:
        return len(self.images)
