"""Figures of a run, in one style, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from tumorml.results.tables import Epoch, Evaluation

# Okabe and Ito (2008): told apart by colour-blind readers.
TRAINING, VALIDATION = "#0072B2", "#D55E00"


def curves_figure(epochs: Sequence[Epoch]) -> bytes:
    """Loss and accuracy by epoch, with the start of each phase marked."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    numbers = [epoch.epoch for epoch in epochs]
    starts = [later.epoch for earlier, later in pairwise(epochs) if earlier.phase != later.phase]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for prefix, label, colour in (
            ("", "training", TRAINING),
            ("validation_", "validation", VALIDATION),
        ):
            values = [getattr(epoch, prefix + name) for epoch in epochs]
            axes.plot(numbers, values, marker="o", markersize=3, color=colour, label=label)
        for start in starts:
            axes.axvline(start - 0.5, color="0.6", linestyle=":")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name if name == "accuracy" else "loss (cross-entropy, nats)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return _png(figure)


def confusion_figure(counts: list[list[int]], labels: Sequence[str], title: str) -> bytes:
    """Counts of scans by true and predicted label, shaded by the share of each true label."""
    matrix = np.array(counts, dtype=float)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row in range(len(labels)):
        for column in range(len(labels)):
            colour = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, f"{counts[row][column]}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
    axes.set_yticks(
        range(len(labels)), [f"{n} (n={int(t)})" for n, t in zip(labels, totals[:, 0], strict=True)]
    )
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true label's scans")
    return _png(figure)


def reliability_figure(bins: Sequence[tuple[float, Evaluation]], title: str) -> bytes:
    """How often a model is right, by how sure it is, with 95 % intervals.

    Args:
        bins: Mean confidence of each bin, and its accuracy as it was evaluated.
        title: Whose.
    """
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="as sure as right")
    sure = np.array([confidence for confidence, _ in bins])
    right = np.array([row.value for _, row in bins], dtype=float)
    low, high = (
        np.array([getattr(row, end) for _, row in bins], dtype=float) for end in ("low", "high")
    )
    axes.errorbar(
        sure, right, np.abs([right - low, high - right]), fmt="none", ecolor="0.5", capsize=2
    )
    scans = np.array([row.scans for _, row in bins])
    axes.scatter(sure, right, 12 + 150 * scans / scans.max(), TRAINING, label="scans of a bin")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share right")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()
