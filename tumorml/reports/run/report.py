"""The report of a run as a document: limits and verdict first, then the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tumorml.explain.heatmaps import EVIDENCE_MEANING
from tumorml.explain.overlay import without_caption
from tumorml.reports.document import (
    Block,
    Code,
    Document,
    Paragraph,
    Picture,
    Pictures,
    Section,
)
from tumorml.reports.facts import split, statements, verdict
from tumorml.reports.facts.answers import ShownAnswer
from tumorml.reports.facts.heatmap_claims import heatmap_claim
from tumorml.reports.facts.run_facts import RunFacts
from tumorml.reports.run import tables
from tumorml.reports.run.figures import RunFigures


def run_report(facts: RunFacts, figures: RunFigures) -> Document:
    """Return the report of a run."""
    run, judged = facts.run, facts.verdict
    return Document(
        title=f"Run {run.id}",
        outcome=verdict.outcome(judged),
        headline=statements.headline(facts),
        reason=verdict.short_reason(judged, facts.rules),
        byline=f"{run.task}, recipe {run.recipe}, seed {run.seed}, triggered by {run.trigger}; "
        f"judged {judged.created_at:%Y-%m-%d %H:%M} UTC.",
        sections=[
            Section("Limits", list(_limits(facts))),
            Section("Verdict", list(_verdict(facts))),
            Section("Data", list(_data(facts))),
            Section("Leaks", list(_leaks(facts))),
            Section("Compared models", [tables.contenders_table(facts)]),
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
                        "There are no curves: the test scans have fewer than two labels.",
                    )
                ),
            ),
            Section(
                "Reliability",
                list(_pictures(figures.reliability, 2, "Reliability was not recorded.")),
            ),
            Section("Slices", list(_slices(facts))),
            Section("Wrong answers", list(_errors(facts))),
            Section("Right answers", list(_right(facts))),
            *_localization(facts, figures),
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
    yield Paragraph("\n".join(statements.limitations(facts)), "warning")
    yield Paragraph(
        f"Intended use: {statements.INTENDED_USE} The model card has more.",
        "quiet",
    )


def _verdict(facts: RunFacts) -> Iterator[Block]:
    judged = facts.verdict
    yield Paragraph(verdict.approval_statement(judged))
    if facts.rules:
        yield tables.rules_table(facts)
        yield Paragraph("\n".join(verdict.explain_rules(judged, facts.rules)), "quiet")
    else:
        yield Paragraph("No rule was recorded with this verdict.")
    for sentence in statements.missing_results(facts):
        yield Paragraph(sentence, "warning")


def _data(facts: RunFacts) -> Iterator[Block]:
    yield _paragraph(split.split_statement(facts.data))
    yield Paragraph(f"Snapshot {facts.run.snapshot_id}. {split.held_out_statement(facts.data)}")
    yield split.counts_table(facts.data)
    yield Paragraph(f"{statements.LABEL_SOURCE} {statements.manifest_statement(facts)}")
    if not facts.batches:
        yield Paragraph("No batch of these scans is recorded.")
        return
    yield tables.batches_table(facts)
    older = facts.batches[tables.SHOWN_BATCHES :]
    if older:
        scans = sum(batch.scans for batch in older)
        yield Paragraph(f"And {len(older):,} older batches with {scans:,} scans.", "quiet")


def _leaks(facts: RunFacts) -> Iterator[Block]:
    yield _paragraph(split.leak_statement(facts.data))
    if ties := split.ties_statement(facts.data):
        yield Paragraph(ties)
    yield split.leaks_table(facts.data)


def _results(facts: RunFacts) -> Iterator[Block]:
    yield Paragraph(
        f"In parentheses, or below: {statements.interval_statement(facts)} Macro means cover the "
        "labels that have test scans."
        + (
            " Scans without twins can still include other slices of a training patient if the data "
            "set has no patient ids."
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
    if statement := statements.slices_statement(facts):
        yield Paragraph(statement, "quiet")
    sliced = [contender for contender in facts.contenders if contender.slices]
    if not sliced:
        yield Paragraph("No slice of the test set holds enough scans to be judged.")
    for contender in sliced:
        yield tables.slices_table(contender)


def _errors(facts: RunFacts) -> Iterator[Block]:
    total = int(facts.challenger.confusion.sum())
    if not facts.errors:
        yield Paragraph(f"None of {total:,} test answers is wrong.")
        return
    missed, tumors = facts.challenger.missed_tumors
    shown = len(facts.errors)
    selection = "All are shown"
    if shown < facts.wrong:
        selection = f"{shown:,} are shown, from as many groups as possible"
    yield Paragraph(
        f"{facts.wrong:,} of {total:,} test answers are wrong, and {missed:,} of {tumors:,} tumors "
        f"were missed (predicted no_tumor). {selection}: missed tumors first, then by the "
        f"challenger's confidence. {_explain_heatmap(facts)}"
    )
    yield _answers(facts.errors)


def _right(facts: RunFacts) -> Iterator[Block]:
    if not facts.right:
        yield Paragraph("No heatmap of a right answer was made.")
        return
    yield Paragraph(
        "The first of each label in the order of scan ids, not selected by content. "
        + _explain_heatmap(facts)
    )
    yield _answers(facts.right)


def _explain_heatmap(facts: RunFacts) -> str:
    """Explain the pictures of answers."""
    if "evidence" in facts.recipe:
        return (
            f"Left: the scan. Right: the scan under its {EVIDENCE_MEANING}. If the map is dark "
            "everywhere, no evidence of a tumor was found. A bright region need not be a tumor."
        )
    return (
        "Left: the scan. Right: the scan under its LayerCAM heatmap. Bright regions supported the "
        "predicted label most; they need not be a tumor. Each heatmap has its own scale."
    )


def _paragraph(statement: split.Statement) -> Paragraph:
    return Paragraph(statement.text, "warning" if statement.is_warning else "plain")


def _answers(shown: Sequence[ShownAnswer]) -> Pictures:
    return Pictures(
        [
            Picture(
                answer.overlay and without_caption(answer.overlay),
                f"{'MISSED TUMOR: ' if answer.is_missed_tumor else ''}true {answer.true_label}, "
                f"predicted {answer.label} {answer.probability:.2f}; scan {answer.scan_id[:12]}",
            )
            for answer in shown
        ],
        columns=2,
    )


def _localization(facts: RunFacts, figures: RunFigures) -> Iterator[Section]:
    if ("pointing_game", "all") not in facts.challenger.numbers:
        return
    claim, is_warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    yield Section(
        "Localization",
        [
            *([] if is_warning else [Paragraph(claim)]),
            Paragraph(
                "On test scans with a mask. Pointing game: the share of scans whose hottest point "
                "lies inside the tumor. Energy inside: the mean share of a heatmap's total value "
                "that lies inside the tumor. Overlap: IoU of the tumor and the heatmap, at the "
                "threshold that is best on validation scans. The fixed pixel is the one that is "
                "most often tumor in training and validation.",
                "quiet",
            ),
            tables.localization_table(facts),
            *_pictures(figures.localization, 1, ""),
        ],
    )


def _pictures(pictures: Sequence[Picture], columns: int, placeholder: str) -> Iterator[Block]:
    if pictures:
        yield Pictures(pictures, min(columns, len(pictures)))
    else:
        yield Paragraph(placeholder)
