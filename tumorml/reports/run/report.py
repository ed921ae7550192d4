"""The report of a run as a document: verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tumorml.explain.heatmaps import EVIDENCE_MEANING
from tumorml.explain.overlay import without_words
from tumorml.reports.facts import statements, verdict
from tumorml.reports.facts.heatmap_quality import heatmap_claim
from tumorml.reports.facts.run_facts import RunFacts
from tumorml.reports.facts.shown_answers import ShownAnswer
from tumorml.reports.render.document import (
    Block,
    Code,
    Document,
    Paragraph,
    Picture,
    Pictures,
    Section,
)
from tumorml.reports.run import split, tables
from tumorml.reports.run.figures import RunFigures


def run_report(facts: RunFacts, figures: RunFigures) -> Document:
    """The report."""
    run, judged = facts.run, facts.verdict
    return Document(
        title=f"Run {run.id}",
        outcome=verdict.outcome(judged),
        headline=statements.headline(facts),
        reason=verdict.reason(judged, facts.rules),
        byline=f"{run.task}, recipe {run.recipe}, seed {run.seed}, asked for by {run.trigger}; "
        f"judged {judged.created_at:%Y-%m-%d %H:%M} UTC.",
        sections=[
            Section("Limits", list(_limits(facts))),
            Section("Verdict", list(_verdict(facts))),
            Section("Data", list(_data(facts))),
            Section("Leaks", list(_leaks(facts))),
            Section("Who was compared", [tables.contenders_table(facts)]),
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
            *_localisation(facts, figures),
            Section("Provenance", [tables.provenance_table(facts)]),
            Section(
                "Appendix",
                [
                    Code("Policy", facts.verdict.policy_text),
                    Code("Recipe", facts.run.recipe_text),
                ],
            ),
        ],
    )


def _limits(facts: RunFacts) -> Iterator[Block]:
    yield Paragraph("\n".join(statements.limits(facts)), "warning")
    yield Paragraph(
        f"Intended use: {statements.INTENDED_USE} The model card, beside this report, has more.",
        "quiet",
    )


def _verdict(facts: RunFacts) -> Iterator[Block]:
    judged = facts.verdict
    yield Paragraph(verdict.approval_statement(judged))
    if facts.rules:
        yield tables.rules_table(facts)
        yield Paragraph("\n".join(verdict.rules_explained(judged, facts.rules)), "quiet")
    else:
        yield Paragraph("No rule was recorded with this verdict.")
    for sentence in statements.missing(facts):
        yield Paragraph(sentence, "warning")


def _data(facts: RunFacts) -> Iterator[Block]:
    yield _said(split.split_statement(facts.data))
    yield Paragraph(f"Snapshot {facts.run.snapshot_id}. {split.held_out_statement(facts.data)}")
    yield split.counts_table(facts.data)
    yield Paragraph(f"{statements.LABELLING} {statements.recorded(facts)}")
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
        f"In brackets, or below: {statements.intervals(facts)} Macro means are over the labels "
        "that have test scans."
        + (
            " Other slices of a training patient can remain among the scans without twins where "
            "the set names no patients."
            if facts.run.given_split
            else ""
        ),
        "quiet",
    )
    yield tables.metrics_table(facts).on_one_line()
    for contender in facts.contenders:
        yield tables.labels_table(facts, contender)
    if facts.run.given_split:
        yield tables.labels_without_twins_table(facts)


def _slices(facts: RunFacts) -> Iterator[Block]:
    if asked := statements.slices_statement(facts):
        yield Paragraph(asked, "quiet")
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
    missed, tumors = facts.challenger.missed_tumors
    shown = len(facts.errors)
    which = "all are shown"
    if shown < facts.wrong:
        which = f"{shown:,} are shown, of each group one before any other"
    yield Paragraph(
        f"{facts.wrong:,} of {total:,} test answers are wrong, and {missed:,} of {tumors:,} "
        f"tumours were missed, that is called no_tumor; {which}. Missed tumours stand first, then "
        f"what the challenger was surest of. {_heatmap(facts)}"
    )
    yield _answers(facts.errors)


def _right(facts: RunFacts) -> Iterator[Block]:
    if not facts.right:
        yield Paragraph("No heatmap of a right answer was made.")
        return
    yield Paragraph(
        "The first ones of each label in the order of scan ids, not picked by what they show. "
        + _heatmap(facts)
    )
    yield _answers(facts.right)


def _heatmap(facts: RunFacts) -> str:
    """What the pictures of answers show."""
    if "evidence" in facts.recipe:
        return (
            f"Left the scan, right the same under its {EVIDENCE_MEANING}. A map that is dark "
            "everywhere means that no evidence of a tumour was found; what is bright need not be "
            "one."
        )
    return (
        "Left the scan, right the same under its heatmap by LayerCAM: bright is what spoke most "
        "for the predicted label, which need not be a tumour. Each scan has a scale of its own."
    )


def _said(statement: tuple[str, bool]) -> Paragraph:
    text, warning = statement
    return Paragraph(text, "warning" if warning else "plain")


def _answers(shown: Sequence[ShownAnswer]) -> Pictures:
    return Pictures(
        [
            Picture(
                answer.overlay and without_words(answer.overlay),
                f"{'MISSED TUMOUR: ' if answer.missed else ''}true {answer.true_label}, predicted "
                f"{answer.label} {answer.probability:.2f}; scan {answer.scan_id[:12]}",
            )
            for answer in shown
        ],
        columns=2,
    )


def _localisation(facts: RunFacts, figures: RunFigures) -> Iterator[Section]:
    if ("pointing_game", "all") not in facts.challenger.numbers:
        return
    claim, warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    yield Section(
        "Localisation",
        [
            *([] if warning else [Paragraph(claim)]),
            Paragraph(
                "On test scans with a mask. Pointing game: the share of scans whose warmest place "
                "lies in the tumour. Energy inside: the mean share of a map's warmth in the "
                "tumour. Overlap: of the tumour with the map, cut where validation is met best. "
                "The pixel is the one that is most often tumour in training and validation.",
                "quiet",
            ),
            tables.localisation_table(facts),
            *_pictures(figures.localisation, 1, ""),
        ],
    )


def _pictures(pictures: Sequence[Picture], columns: int, otherwise: str) -> Iterator[Block]:
    if pictures:
        yield Pictures(pictures, min(columns, len(pictures)))
    else:
        yield Paragraph(otherwise)
