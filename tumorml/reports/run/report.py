"""The report of a run as a document: verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tumorml.reports.run import split, statements, tables, verdict
from tumorml.reports.run.document import (
    Block,
    Code,
    Document,
    Paragraph,
    Picture,
    Pictures,
    Section,
)
from tumorml.reports.run.facts import RunFacts
from tumorml.reports.run.figures import RunFigures
from tumorml.reports.run.localised import heatmap_claim
from tumorml.reports.run.shown import ShownAnswer


def run_report(facts: RunFacts, figures: RunFigures) -> Document:
    """The report."""
    run, judged = facts.run, facts.verdict
    return Document(
        title=f"Run {run.id}",
        outcome=verdict.outcome(judged),
        reason=verdict.reason(judged, facts.rules),
        byline=f"{run.task}, recipe {run.recipe}, seed {run.seed}, asked for by {run.trigger}; "
        f"judged {judged.created_at:%Y-%m-%d %H:%M} UTC. Not a medical device.",
        sections=[
            Section("Verdict", list(_verdict(facts))),
            Section("Data", list(_data(facts))),
            Section("Leaks", list(_leaks(facts))),
            Section("Training", list(_pictures(figures.training, 1, "No epoch was recorded."))),
            Section("Test results", list(_results(facts))),
            Section(
                "Confusion matrices",
                list(_pictures(figures.confusion, 2, "There are no test answers.")),
            ),
            Section(
                "ROC and precision-recall curves",
                list(
                    _pictures(
                        figures.thresholds,
                        1,
                        "There are no curves: the test scans are of one label, or of none.",
                    )
                ),
            ),
            Section("Reliability", list(_pictures(figures.reliability, 2, "It was not recorded."))),
            Section("Slices", list(_slices(facts))),
            Section("Wrong answers", list(_errors(facts))),
            Section("Right answers", list(_right(facts))),
            Section("Localisation", list(_localisation(facts, figures))),
            Section("Provenance", list(_provenance(facts))),
        ],
    )


def _verdict(facts: RunFacts) -> Iterator[Block]:
    judged = facts.verdict
    if judged.look is not None:
        yield Paragraph(f"Look {judged.look} at test set {judged.test_set_id}.")
    if approval := verdict.approval_statement(judged):
        yield Paragraph(approval)
    if facts.rules:
        yield tables.rules_table(facts)
    else:
        yield Paragraph("No rule was recorded with this verdict.")
    for sentence in statements.missing(facts):
        yield Paragraph(sentence, "warning")


def _data(facts: RunFacts) -> Iterator[Block]:
    yield _said(split.split_statement(facts.data))
    yield Paragraph(f"Snapshot {facts.run.snapshot_id}. {split.held_out_statement(facts.data)}")
    yield split.counts_table(facts.data)
    if not facts.batches:
        yield Paragraph("No batch of these scans is recorded.")
        return
    yield tables.batches_table(facts)
    older = facts.batches[tables.SHOWN_BATCHES :]
    if older:
        scans = sum(batch.scans for batch in older)
        yield Paragraph(f"And {len(older):,} older batches with {scans:,} scans.", "quiet")


def _leaks(facts: RunFacts) -> Iterator[Block]:
    yield _said(split.leak_statement(facts.data))
    if ties := split.ties_statement(facts.data):
        yield Paragraph(ties)
    yield split.leaks_table(facts.data)


def _results(facts: RunFacts) -> Iterator[Block]:
    yield Paragraph(
        "With 95 % intervals from a bootstrap over groups. Macro means are over the labels that "
        "have test scans."
        + (
            " Other slices of a training patient can remain among the scans without twins where "
            "the set names no patients."
            if facts.run.given_split
            else ""
        ),
        "quiet",
    )
    yield tables.metrics_table(facts)
    for contender in facts.contenders:
        yield tables.labels_table(facts, contender)
    if facts.run.given_split:
        yield tables.labels_without_twins_table(facts)


def _slices(facts: RunFacts) -> Iterator[Block]:
    sliced = [contender for contender in facts.contenders if contender.slices]
    if not sliced:
        yield Paragraph("No part of the test set by itself holds enough scans to be judged.")
    for contender in sliced:
        yield tables.slices_table(contender)


def _errors(facts: RunFacts) -> Iterator[Block]:
    total = int(facts.challenger.confusion.sum())
    if not facts.errors:
        yield Paragraph(f"None of {total:,} test answers is wrong.")
        return
    yield _claim(facts)
    yield Paragraph(
        f"{facts.wrong:,} of {total:,} test answers are wrong; these are the {len(facts.errors):,} "
        "that the challenger was surest of, first one of each group."
    )
    yield _answers(facts.errors)


def _right(facts: RunFacts) -> Iterator[Block]:
    if not facts.right:
        yield Paragraph("No heatmap of a right answer was made.")
        return
    yield _claim(facts)
    yield _answers(facts.right)


def _claim(facts: RunFacts) -> Paragraph:
    return _said(heatmap_claim(facts.challenger.numbers, facts.data.sides))


def _said(statement: tuple[str, bool]) -> Paragraph:
    text, warning = statement
    return Paragraph(text, "warning" if warning else "plain")


def _answers(shown: Sequence[ShownAnswer]) -> Pictures:
    return Pictures(
        [
            Picture(
                answer.overlay,
                f"true {answer.true_label}, predicted {answer.label} {answer.probability:.2f}; "
                f"scan {answer.scan_id[:12]}",
            )
            for answer in shown
        ],
        columns=3,
    )


def _localisation(facts: RunFacts, figures: RunFigures) -> Iterator[Block]:
    yield _claim(facts)
    if ("pointing_game", "all") not in facts.challenger.numbers:
        return
    yield Paragraph(
        "On test scans with a mask. Pointing game: the share of scans whose warmest place lies in "
        "the tumour. Energy inside: the mean share of a map's warmth in the tumour. Overlap: of "
        "the tumour with the map, cut where validation is met best. The pixel is the one that is "
        "most often tumour in training and validation.",
        "quiet",
    )
    yield tables.localisation_table(facts)
    yield from _pictures(figures.localisation, 1, "")


def _provenance(facts: RunFacts) -> Iterator[Block]:
    yield tables.provenance_table(facts)
    yield Code("Policy", facts.verdict.policy_text)
    yield Code("Recipe", facts.run.recipe_text)


def _pictures(pictures: Sequence[Picture], columns: int, otherwise: str) -> Iterator[Block]:
    if pictures:
        yield Pictures(pictures, min(columns, len(pictures)))
    else:
        yield Paragraph(otherwise)
