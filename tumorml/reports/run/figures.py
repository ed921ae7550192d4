"""The figures of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from tumorml.reports.document import Picture
from tumorml.reports.facts.heatmap_claims import MAP_NAMES
from tumorml.reports.facts.run_facts import Contender, RunFacts
from tumorml.reports.facts.statements import training_statement
from tumorml.reports.render.plots import (
    confusion_figure,
    curves_figure,
    localization_figure,
    reliability_figure,
    threshold_figure,
)
from tumorml.reports.run.curves import label_curves


@dataclass(frozen=True, slots=True)
class RunFigures:
    """Figures by subject; a list is empty if there are no numbers to draw."""

    training: list[Picture] = field(default_factory=list)
    confusion: list[Picture] = field(default_factory=list)
    thresholds: list[Picture] = field(default_factory=list)
    reliability: list[Picture] = field(default_factory=list)
    localization: list[Picture] = field(default_factory=list)


def draw_run_figures(facts: RunFacts) -> RunFigures:
    """Draw every figure that the facts have numbers for."""
    figures = RunFigures()
    if facts.kept_epoch is not None:
        scans = (facts.data.sides["train"].scans, facts.data.sides["validation"].scans)
        kept = "last epoch" if facts.keeps_last_epoch else "epoch of the lowest validation loss"
        png = curves_figure(facts.epochs, facts.kept_epoch.epoch, scans)
        caption = (
            "Loss and accuracy by epoch. Dotted lines separate the phases; the black line marks "
            f"the {kept}, whose weights were kept. This is the loss that training minimizes; the "
            "log loss of the test results is computed from calibrated probabilities."
            + training_statement(facts)
        )
        figures.training.append(Picture(png, caption))
    for contender in facts.contenders:
        _draw_contender(figures, contender, facts.labels)
    numbers = facts.challenger.numbers
    pointing = [
        (name, numbers["pointing_game" + suffix, "all"])
        for suffix, name in MAP_NAMES.items()
        if ("pointing_game" + suffix, "all") in numbers
    ]
    if pointing:
        png = localization_figure(pointing, "hottest point inside the tumor (pointing game)")
        caption = "How often the hottest point of a map lies inside the tumor, with 95 % intervals."
        figures.localization.append(Picture(png, caption))
    return figures


def _draw_contender(figures: RunFigures, contender: Contender, labels: tuple[str, ...]) -> None:
    title = f"{contender.role} {contender.model}"
    if contender.confusion.any():
        png = confusion_figure(contender.confusion, labels, title)
        caption = (
            f"Confusion matrix of the {contender.role}: test scans by true and predicted label, "
            "with their share of the true label. Outlined: missed tumors."
        )
        figures.confusion.append(Picture(png, caption))
    curves = label_curves(contender.answers)
    if curves:
        areas = [_areas(contender, curve.label) for curve in curves]
        png = threshold_figure(curves, areas, title)
        caption = (
            f"ROC curves (left) and precision-recall curves (right) of the {contender.role}, each "
            "label against all others. Curves close to the corner are enlarged."
        )
        figures.thresholds.append(Picture(png, caption))
    bins = [
        (float(contender.numbers["reliability_confidence", name].value or 0.0), row)
        for (metric, name), row in sorted(contender.numbers.items())
        if metric == "reliability_accuracy"
    ]
    if bins:
        png = reliability_figure(bins, title)
        caption = (
            f"Reliability of the {contender.role} on test scans, with 95 % Wilson intervals, which "
            "treat scans as independent. Below the dotted line the model is overconfident. Bottom: "
            "scans in each bin, on a log scale."
        )
        figures.reliability.append(Picture(png, caption))


def _areas(contender: Contender, label: str) -> str:
    rows = (contender.numbers.get((name, f"label={label}")) for name in ("roc_auc", "pr_auc"))
    values = ["-" if row is None or row.value is None else f"{row.value:.3f}" for row in rows]
    return "AUC: ROC {}, PR {}".format(*values)
