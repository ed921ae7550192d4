"""Effects of the scanner and the export on a slice, with one distribution for all classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumorml.demo.template import Floats


@dataclass(frozen=True)
class Acquisition:
    """Scanner effects that all slices of a patient have in common.

    Attributes:
        noise: Standard deviation of the complex noise, in the units of the signal.
        blur_pixels: Standard deviation of the blur, in pixels.
        gamma: Exponent of the display curve.
        bias: Amplitude of the receive field's logarithm.
        white_quantile: The share of head pixels that lies below display white.
    """

    noise: float
    blur_pixels: float
    gamma: float
    bias: float
    white_quantile: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Acquisition:
        """Draw the acquisition of one patient."""
        return cls(
            noise=float(rng.uniform(0.010, 0.035)),
            blur_pixels=float(rng.uniform(0.35, 0.95)),
            gamma=float(rng.uniform(0.75, 1.25)),
            bias=float(rng.uniform(0.04, 0.16)),
            white_quantile=float(rng.uniform(0.985, 0.998)),
        )


def acquire(
    picture: Floats, acquisition: Acquisition, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a slice as exported: with bias field, blur, Rician noise, window and gamma.

    Args:
        picture: Relative T1 signal, ``(rows, columns)``, 0 to about 1.
        acquisition: The effects that the patient's slices have in common.
        rng: The patient's generator, for this slice's bias field and noise.

    Returns:
        uint8 of the same shape, 0..255.

    The noise is that of a magnitude image: the modulus of a signal with normal noise in both
    channels (Gudbjartsson and Patz, Magn Reson Med 34, 1995, 910-914).
    """
    signal = picture * np.exp(acquisition.bias * _bias_field(picture.shape, rng))
    signal = ndimage.gaussian_filter(signal, acquisition.blur_pixels)
    real, imaginary = rng.normal(0, acquisition.noise, (2, *picture.shape))
    magnitude = np.hypot(signal + real, imaginary)
    white = np.quantile(magnitude[picture > 0.08], acquisition.white_quantile)
    display = np.clip(magnitude / white, 0, 1) ** acquisition.gamma
    image: NDArray[np.uint8] = np.rint(display * 255).astype(np.uint8)
    return image


def _bias_field(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return a random quadratic polynomial over the slice, with values of about -2 to 2."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    terms = np.stack([x, y, x * y, x**2 - 1 / 3, y**2 - 1 / 3])
    return np.tensordot(rng.normal(0, [1.0, 1.0, 0.7, 0.7, 0.7]), terms, axes=1)
