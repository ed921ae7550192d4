"""The slide deck of a run."""

from __future__ import annotations

from textwrap import shorten

from tumorml.reports.document import Picture, Table
from tumorml.reports.facts import split, statements
from tumorml.reports.facts.heatmap_claims import heatmap_claim
from tumorml.reports.facts.numbers import HEADLINES
from tumorml.reports.facts.run_facts import RunFacts
from tumorml.reports.facts.verdict import outcome, short_reason
from tumorml.reports.render.slides import BODY, WARNING, Box, Slides
from tumorml.reports.run import tables
from tumorml.reports.run.figures import RunFigures

SHOWN_RULES = 10
SHOWN_HEATMAPS = 6
_UPPER, _LOWER = Box(0.6, 1.3, 12.13, 1.1), Box(0.6, 2.5, 12.13, 4.3)


def slide_deck(facts: RunFacts, figures: RunFigures) -> bytes:
    """Return the deck, 16:9, as a PowerPoint file."""
    slides = Slides(f"run {facts.run.id}, {facts.run.task}. Not a medical device.")
    _add_introduction(slides, facts)
    _add_data(slides, facts, figures)
    _add_results(slides, facts, figures)
    _add_heatmaps(slides, facts, figures)
    slides.add("Limits")
    slides.text(statements.limitations(facts), bullets=True)
    slides.add("Next steps")
    slides.text(statements.next_steps(facts) or ["None."], bullets=True)
    return slides.pptx()


def _add_introduction(slides: Slides, facts: RunFacts) -> None:
    run, model, verdict = facts.run, facts.model, facts.verdict
    slides.add(f"Run {run.id}: {outcome(verdict)}")
    byline = f"Recipe {run.recipe}, seed {run.seed}; judged {verdict.created_at:%d %B %Y}."
    upper, lower = BODY.rows(2)
    slides.text([statements.headline(facts), byline], upper)
    slides.table(tables.metrics_table(facts, HEADLINES[:4]).on_one_line(), lower)
    slides.add("Problem")
    slides.text(
        [
            f"Classify a 2-D brain MRI slice: {', '.join(facts.labels)}.",
            "New data arrive every day, so the model is retrained regularly, and each new model is "
            "a candidate to serve.",
            "Public test sets contain copies of training pictures and slices of training patients. "
            "On such a test set, a model that memorizes scores as high as one that generalizes.",
            "So a new model may serve only if it is shown to be better on patients that no model "
            "was trained on.",
        ],
        bullets=True,
    )
    slides.add("Approach")
    slides.text(
        [
            f"Recipe {run.recipe}: {model.parameters:,} parameters, {model.input_size} x "
            f"{model.input_size} pixels, {len(facts.epochs)} epochs.",
            "Challenger, champion and anchor predict the same test scans with the same code.",
            "Each rule of the policy records its numbers. Intervals resample groups, not scans.",
            "A rule without enough data does not pass.",
        ],
        bullets=True,
    )


def _add_data(slides: Slides, facts: RunFacts, figures: RunFigures) -> None:
    slides.add("Data and split")
    statement, is_warning = split.split_statement(facts.data)
    lines = [statement, split.held_out_statement(facts.data)]
    slides.text(lines, _UPPER, 16, *([WARNING] if is_warning else []))
    slides.table(split.counts_table(facts.data), _LOWER)
    if figures.training:
        slides.add("Training")
        slides.pictures(figures.training, [BODY])


def _add_results(slides: Slides, facts: RunFacts, figures: RunFigures) -> None:
    slides.add("Verdict")
    slides.text([short_reason(facts.verdict, facts.rules)], _UPPER, 18)
    slides.table(_rules_table(facts), _LOWER, 14)
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
    if missing := statements.missing_results(facts):
        slides.add("Unknown results")
        slides.text(missing, bullets=True)


def _add_heatmaps(slides: Slides, facts: RunFacts, figures: RunFigures) -> None:
    claim, is_warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    slides.add("Heatmaps of wrong answers, missed tumors first")
    slides.text([claim], _UPPER, 16, *([WARNING] if is_warning else []))
    with_overlay = [answer for answer in facts.errors if answer.overlay][:SHOWN_HEATMAPS]
    if with_overlay:
        boxes = [box for row in _LOWER.rows(2) for box in row.columns(3)]
        pictures = [
            Picture(answer.overlay, f"true {answer.true_label}, predicted {answer.label}")
            for answer in with_overlay
        ]
        slides.pictures(pictures, boxes)
    else:
        reason = "No test answer is wrong." if not facts.errors else "No heatmap was made."
        slides.text([reason], _LOWER)
    if figures.localization:
        slides.add("Do the heatmaps locate the tumor?")
        left, right = BODY.columns(2)
        slides.table(tables.localization_table(facts), left, 14)
        slides.pictures(figures.localization, [right])


def _rules_table(facts: RunFacts) -> Table:
    """Tabulate the first rules; those that did not pass come first."""
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
