"""Figures as PNG in one style: safe for color-blind readers, with axes, units and counts."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise
from typing import Any, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tumorml.evaluation.measures import CONFIDENCE_BINS
from tumorml.labels import NO_TUMOR
from tumorml.results.tables import Epoch, Evaluation

# Colors of Okabe and Ito (2008), which color-blind readers can distinguish. The line styles can be
# distinguished in grayscale, too.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
LINES = tuple(zip((BLUE, VERMILION, GREEN, PURPLE), ("-", "--", "-.", (0, (1, 1))), strict=True))
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}

_Arguments = ParamSpec("_Arguments")


@dataclass(frozen=True, slots=True)
class LabelCurves:
    """ROC and precision-recall curves of one label against all others.

    Attributes:
        label: Name of the label.
        scans: Number of test scans that have the label.
        false_positive_rate: float64 [m], the horizontal axis of the ROC curve.
        true_positive_rate: float64 [m], its vertical axis.
        recall: float64 [k], the horizontal axis of the precision-recall curve.
        precision: float64 [k], its vertical axis.
    """

    label: str
    scans: int
    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


def _as_png(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, bytes]:
    @wraps(draw)
    def png(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> bytes:
        stream = io.BytesIO()
        with rc_context(STYLE):
            draw(*args, **kwargs).savefig(stream, format="png", dpi=144)
        return stream.getvalue()

    return png


@_as_png
def curves_figure(epochs: Sequence[Epoch], kept: int, scans: tuple[int, int]) -> Figure:
    """Draw loss and accuracy by epoch, with the phases and the epoch whose weights were kept.

    Args:
        epochs: In order, at least one.
        kept: Number of the epoch whose weights were kept.
        scans: Numbers of training and validation scans.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    numbers = [epoch.epoch for epoch in epochs]
    starts = [epochs[0]]
    starts += [later for earlier, later in pairwise(epochs) if earlier.phase != later.phase]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for prefix, label, count, (color, _) in (
            ("", "training", scans[0], LINES[0]),
            ("validation_", "validation", scans[1], LINES[1]),
        ):
            values = [getattr(epoch, prefix + name) for epoch in epochs]
            text = f"{label}, {count:,} scans"
            axes.plot(numbers, values, marker="o", markersize=3, color=color, label=text)
        axes.axvline(kept, color="black", linewidth=1, label=f"kept: epoch {kept}")
        for start in starts:
            if start is not starts[0]:
                axes.axvline(start.epoch - 0.5, color="0.6", linestyle=":")
            place = (start.epoch - 0.5, 1.01)
            axes.text(
                *place, start.phase, transform=axes.get_xaxis_transform(), color="0.35", fontsize=8
            )
        axes.set_xlim(0.5, numbers[-1] + 0.5)
        axes.set_xlabel("epoch")
        axes.set_ylabel("share of scans predicted right" if name == "accuracy" else "loss, in nats")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(fontsize=8)
    return figure


@_as_png
def confusion_figure(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> Figure:
    """Draw counts of scans, int64 [true, predicted], shaded by their share of the true label.

    Missed tumors, which were predicted ``no_tumor``, are outlined.
    """
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    figure = Figure(figsize=(5.0, 3.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "black" if shares[row, column] > 0.5 else "white"
        text = f"{count:,}\n{100 * shares[row, column]:.1f} %"
        axes.text(column, row, text, ha="center", va="center", color=color)
        if labels[column] == NO_TUMOR != labels[row]:
            place = (column - 0.46, row - 0.46)
            axes.add_patch(Rectangle(place, 0.92, 0.92, fill=False, edgecolor=VERMILION, lw=2))
    named = [f"{label} (n={n:,})" for label, n in zip(labels, totals, strict=True)]
    axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
    axes.set_yticks(range(len(labels)), named)
    axes.set(xlabel="predicted label", ylabel="true label", title=title)
    axes.grid(visible=False)
    return figure


@_as_png
def threshold_figure(curves: Sequence[LabelCurves], areas: Sequence[str], title: str) -> Figure:
    """Draw ROC and precision-recall curves of each label, and enlarge their corners.

    Args:
        curves: One for each label.
        areas: A line for the legend, one for each label.
        title: Of the figure.
    """
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    roc, precision_recall = figure.subplots(1, 2)
    roc.plot([0, 1], [0, 1], color="0.6", linestyle=":")
    side = _corner(curves)
    rocs = [roc, *_enlarged(roc, 0, side)]
    precision_recalls = [precision_recall, *_enlarged(precision_recall, 1 - side, side)]
    for curve, area, (color, dashes) in zip(curves, areas, LINES, strict=False):
        text = f"{curve.label}, {curve.scans:,} scans\n{area}"
        style = {"color": color, "linestyle": dashes}
        for axes in rocs:
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=text, **style)
        for axes in precision_recalls:
            axes.plot(curve.recall, curve.precision, drawstyle="steps-post", **style)
    _unit_square(roc, "false positive rate (1 - specificity)", "true positive rate (recall)")
    _unit_square(precision_recall, "recall", "precision")
    handles, names = roc.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(curves), fontsize=8)
    return figure


@_as_png
def reliability_figure(bins: Sequence[tuple[float, Evaluation]], title: str) -> Figure:
    """Draw accuracy by confidence, with 95 % intervals.

    Args:
        bins: Mean confidence of each bin and its row of accuracy; at least one bin.
        title: Of the figure.
    """
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":")
    confidence = np.array([mean for mean, _ in bins])
    accuracy, low, high = (
        np.array([getattr(row, name) for _, row in bins], dtype=float)
        for name in ("value", "low", "high")
    )
    errors = np.abs([accuracy - low, high - accuracy])
    axes.errorbar(confidence, accuracy, errors, fmt="o", markersize=3.5, color=BLUE, capsize=2)
    axes.set(
        xlim=(-0.01, 1.02), ylim=(-0.02, 1.04), ylabel="share of scans predicted right", title=title
    )
    scans = np.array([row.scans for _, row in bins])
    middles = (np.ceil(confidence * CONFIDENCE_BINS).clip(1) - 0.5) / CONFIDENCE_BINS
    counts.bar(middles, scans, 0.9 / CONFIDENCE_BINS, color="0.7")
    for middle, count in zip(middles, scans, strict=True):
        counts.text(middle, count, f"{count:,}", ha="center", va="bottom", fontsize=7)
    counts.set_yscale("log")
    counts.set_ylim(0.5, 8 * scans.max())
    counts.set_yticks([])
    counts.minorticks_off()
    counts.set(ylabel="scans", xlabel="confidence: probability of the most probable label")
    return figure


@_as_png
def localization_figure(rows: Sequence[tuple[str, Evaluation]], title: str) -> Figure:
    """Draw a metric of several kinds of heatmap, with 95 % intervals.

    Args:
        rows: Names of the heatmaps, and their rows of the metric.
        title: The metric.
    """
    figure = Figure(figsize=(5.6, 2.6), layout="constrained")
    axes = figure.subplots()
    for place, (_, row) in enumerate(rows):
        value, low, high = (row.value or 0.0, row.low or 0.0, row.high or 0.0)
        axes.barh(place, value, color=LINES[min(place, 1)][0], height=0.6)
        axes.plot([low, high], [place, place], color="black", linewidth=1.2)
        axes.text(max(value, high) + 0.02, place, f"{value:.2f}", va="center")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.08), xlabel=f"share of {rows[0][1].scans:,} scans with a mask", title=title)
    return figure


def _corner(curves: Sequence[LabelCurves]) -> float:
    """Return the side of the corner that contains the bends of all curves; 1 if it is not small."""
    bend = max(
        max(
            np.maximum(curve.false_positive_rate, 1 - curve.true_positive_rate).min(),
            1 - np.minimum(curve.precision, curve.recall).max(),
        )
        for curve in curves
    )
    return next((side for side in (0.05, 0.1, 0.2) if 2 * bend <= side), 1.0)


def _enlarged(axes: Axes, left: float, side: float) -> list[Axes]:
    """Add an enlarged view of the upper corner that starts at ``left``; none if ``side`` is 1."""
    if side == 1:
        return []
    place = (0.43 if left == 0 else 0.18, 0.1, 0.53, 0.53)
    margin = 0.03 * side
    inset = axes.inset_axes(
        place,
        xlim=(left - margin, left + side + margin),
        ylim=(1 - side - margin, 1 + margin),
    )
    inset.tick_params(labelsize=7)
    axes.grid(visible=False)
    inset.set_title("framed corner, enlarged", fontsize=7)
    axes.indicate_inset((left, 1 - side, side, side), edgecolor="0.3")
    return [inset]


def _unit_square(axes: Axes, across: str, upwards: str) -> None:
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.02), xlabel=across, ylabel=upwards)
    axes.set_aspect("equal")
