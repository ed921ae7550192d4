"""The slide deck of a run."""

from __future__ import annotations

from textwrap import shorten

from tumorml.reports.facts import statements
from tumorml.reports.facts.heatmap_quality import heatmap_claim
from tumorml.reports.facts.numbers import HEADLINES
from tumorml.reports.facts.run_facts import RunFacts
from tumorml.reports.facts.verdict import outcome, reason
from tumorml.reports.render.document import Picture, Table
from tumorml.reports.render.slides import BODY, WARNING, Box, Slides
from tumorml.reports.run import split, tables
from tumorml.reports.run.figures import RunFigures

SHOWN_RULES = 10
SHOWN_HEATMAPS = 6
_UPPER, _LOWER = Box(0.6, 1.3, 12.13, 1.1), Box(0.6, 2.5, 12.13, 4.3)


def slide_deck(facts: RunFacts, figures: RunFigures) -> bytes:
    """The deck, 16:9, as PowerPoint's format."""
    slides = Slides(f"run {facts.run.id}, {facts.run.task}. Not a medical device.")
    _what_and_why(slides, facts)
    _data(slides, facts, figures)
    _results(slides, facts, figures)
    _heatmaps(slides, facts, figures)
    slides.add("Limits")
    slides.text(statements.limits(facts), bullets=True)
    slides.add("Next steps")
    slides.text(statements.next_steps(facts) or ["None."], bullets=True)
    return slides.pptx()


def _what_and_why(slides: Slides, facts: RunFacts) -> None:
    run, model, verdict = facts.run, facts.model, facts.verdict
    slides.add(f"Run {run.id}: {outcome(verdict)}")
    byline = f"Recipe {run.recipe}, seed {run.seed}; judged {verdict.created_at:%d %B %Y}."
    upper, lower = BODY.rows(2)
    slides.text([statements.headline(facts), byline], upper)
    slides.table(tables.metrics_table(facts, HEADLINES[:4]).on_one_line(), lower)
    slides.add("Problem")
    slides.text(
        [
            f"Name what a 2-D brain MRI slice shows: {', '.join(facts.labels)}.",
            "Data grow every day, so the model is trained again and again; each new one asks to "
            "serve.",
            "Public test sets hold copies of training pictures and slices of training patients. On "
            "them a model that remembers looks as good as one that has learnt.",
            "So a new model may serve only where it is shown to be better on patients that no "
            "model has learnt from.",
        ],
        bullets=True,
    )
    slides.add("Approach")
    slides.text(
        [
            f"Recipe {run.recipe}: {model.parameters:,} parameters, {model.input_size} x "
            f"{model.input_size} pixels, {len(facts.epochs)} epochs.",
            "Challenger, champion and anchor answer the same test scans, on one day, by one code.",
            "Each rule of the policy leaves its numbers. Intervals resample groups, not scans.",
            "Too little data is no pass.",
        ],
        bullets=True,
    )


def _data(slides: Slides, facts: RunFacts, figures: RunFigures) -> None:
    slides.add("Data and split")
    statement, warning = split.split_statement(facts.data)
    lines = [statement, split.held_out_statement(facts.data)]
    slides.text(lines, _UPPER, 16, *([WARNING] if warning else []))
    slides.table(split.counts_table(facts.data), _LOWER)
    if figures.training:
        slides.add("Training")
        slides.pictures(figures.training, [BODY])


def _results(slides: Slides, facts: RunFacts, figures: RunFigures) -> None:
    slides.add("Verdict")
    slides.text([reason(facts.verdict, facts.rules)], _UPPER, 18)
    slides.table(_rules(facts), _LOWER, 14)
    slides.add("Results on the test set")
    slides.table(tables.metrics_table(facts, HEADLINES).on_one_line())
    slides.add("Results by label")
    table = tables.labels_table(facts, facts.challenger)
    slides.text([f"{table.title}, each label against all others, with 95 % intervals"], _UPPER, 16)
    slides.table(table, _LOWER)
    for title, pictures in (
        ("Confusion matrices", figures.confusion[:2]),
        ("ROC and precision-recall curves", figures.thresholds[:1]),
        ("Reliability", figures.reliability[:2]),
    ):
        if pictures:
            slides.add(title)
            slides.pictures(pictures, BODY.columns(len(pictures)))
    if missing := statements.missing(facts):
        slides.add("What these results cannot tell")
        slides.text(missing, bullets=True)


def _heatmaps(slides: Slides, facts: RunFacts, figures: RunFigures) -> None:
    claim, warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    slides.add("Heatmaps of wrong answers, missed tumours first")
    slides.text([claim], _UPPER, 16, *([WARNING] if warning else []))
    with_overlay = [answer for answer in facts.errors if answer.overlay][:SHOWN_HEATMAPS]
    if with_overlay:
        boxes = [box for row in _LOWER.rows(2) for box in row.columns(3)]
        pictures = [
            Picture(answer.overlay, f"true {answer.true_label}, predicted {answer.label}")
            for answer in with_overlay
        ]
        slides.pictures(pictures, boxes)
    else:
        why = "None of the test answers is wrong." if not facts.errors else "No heatmap was made."
        slides.text([why], _LOWER)
    if figures.localisation:
        slides.add("Do the heatmaps point at the tumour?")
        left, right = BODY.columns(2)
        slides.table(tables.localisation_table(facts), left, 14)
        slides.pictures(figures.localisation, [right])


def _rules(facts: RunFacts) -> Table:
    """The rules that did not pass first."""
    ranked = sorted(facts.rules, key=lambda rule: (rule.result == "passed", rule.position))
    rows = [
        (rule.result, f"{rule.rule}, {rule.slice}", shorten(rule.explanation, 150))
        for rule in ranked[:SHOWN_RULES]
    ]
    more = ranked[SHOWN_RULES:]
    if more:
        passed = sum(rule.result == "passed" for rule in more)
        rows.append(("", f"and {len(more)} more", f"{passed} of them passed"))
    return Table(("result", "rule", "numbers"), rows, words=3)
