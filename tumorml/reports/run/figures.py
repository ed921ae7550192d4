"""The figures of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from tumorml.reports.facts.heatmap_quality import MAP_NAMES
from tumorml.reports.facts.run_facts import Contender, RunFacts
from tumorml.reports.facts.statements import training_statement
from tumorml.reports.render.document import Picture
from tumorml.reports.render.plots import (
    confusion_figure,
    curves_figure,
    localisation_figure,
    reliability_figure,
    threshold_figure,
)


@dataclass(frozen=True, slots=True)
class RunFigures:
    """Pictures by what they show; those that could not be drawn are not there."""

    training: list[Picture] = field(default_factory=list)
    confusion: list[Picture] = field(default_factory=list)
    thresholds: list[Picture] = field(default_factory=list)
    reliability: list[Picture] = field(default_factory=list)
    localisation: list[Picture] = field(default_factory=list)


def draw_run_figures(facts: RunFacts) -> RunFigures:
    """Draw all that the facts have numbers for."""
    figures = RunFigures()
    if facts.kept_epoch is not None:
        scans = (facts.data.sides["train"].scans, facts.data.sides["validation"].scans)
        which = "last epoch" if facts.keeps_last_epoch else "epoch of the lowest validation loss"
        png = curves_figure(facts.epochs, facts.kept_epoch.epoch, scans)
        caption = (
            "Loss and accuracy by epoch; dotted lines part the phases, and the black line marks "
            f"the {which}, whose weights were kept. This loss is what training lowers; the log "
            "loss of the test results is another, of calibrated probabilities."
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
        png = localisation_figure(pointing, "warmest place lies in the tumour (pointing game)")
        caption = "How often a map's warmest place lies in the tumour, with 95 % intervals."
        figures.localisation.append(Picture(png, caption))
    return figures


def _draw_contender(figures: RunFigures, contender: Contender, labels: tuple[str, ...]) -> None:
    title = f"{contender.role} {contender.model}"
    if contender.confusion.any():
        png = confusion_figure(contender.confusion, labels, title)
        caption = (
            f"Confusion matrix of the {contender.role}: test scans by true and predicted label, "
            "and their share of the true one. Outlined: missed tumours."
        )
        figures.confusion.append(Picture(png, caption))
    if contender.curves:
        areas = [_areas(contender, curve.label) for curve in contender.curves]
        png = threshold_figure(contender.curves, areas, title)
        caption = (
            f"ROC curves (left) and precision-recall curves (right) of the {contender.role}, each "
            "label against all others; where curves hug the corner, it is enlarged."
        )
        figures.thresholds.append(Picture(png, caption))
    bins = [
        (float(contender.numbers["reliability_confidence", where].value or 0.0), row)
        for (metric, where), row in sorted(contender.numbers.items())
        if metric == "reliability_accuracy"
    ]
    if bins:
        png = reliability_figure(bins, title)
        caption = (
            f"Reliability of the {contender.role} on test scans, with 95 % Wilson intervals, which "
            "take each scan for independent; below the dotted line it is surer than right. "
            "Beneath: scans of each bin, on a log scale."
        )
        figures.reliability.append(Picture(png, caption))


def _areas(contender: Contender, label: str) -> str:
    rows = (contender.numbers.get((name, f"label={label}")) for name in ("roc_auc", "pr_auc"))
    values = ["-" if row is None or row.value is None else f"{row.value:.3f}" for row in rows]
    return "area ROC {}, PR {}".format(*values)
