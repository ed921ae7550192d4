"""What is said of a run in words, the same wherever it is told."""

from __future__ import annotations

from tumorml.reports.run.facts import RunFacts
from tumorml.reports.run.localised import heatmap_claim, not_measured, unbeaten_baselines

NOT_A_DEVICE = (
    "This is not a medical device. It must not be used to diagnose, to treat, or to decide about "
    "any person."
)


def missing(facts: RunFacts) -> list[str]:
    """Sentences about what cannot be told, and why."""
    said = []
    absent = [label for label, scans in facts.support.items() if not scans]
    if not facts.challenger.confusion.any():
        said.append("There are no test answers of the challenger, so nothing is shown of them.")
    else:
        for label in absent:
            said.append(
                f"No test scan has the label {label}: recall, precision, F1 and the curves of "
                f"{label} are unknown, and macro means leave it out; the macro areas are unknown."
            )
        predicted = facts.challenger.confusion.any(axis=0)
        if predicted.sum() == 1:
            only = facts.labels[int(predicted.argmax())]
            said.append(f"The challenger answered {only} for every test scan.")
    if facts.champion is None:
        said.append("There was no champion to compare with: only the floors were asked.")
    if facts.run.given_split:
        said += _missing_without_twins(facts)
    if not facts.epochs:
        said.append("No epoch of the training was recorded, so there are no curves of it.")
    if not any(facts.challenger.parts("confidence=")):
        said.append("Reliability was not recorded.")
    if unbeaten_baselines(facts.challenger.numbers) is None:
        said.append(not_measured(facts.data.sides))
    return said


def _missing_without_twins(facts: RunFacts) -> list[str]:
    if not facts.without_twins:
        return ["There are no numbers on test scans without a twin in training."]
    recalls = {
        label: facts.without_twins.get(("recall", f"label={label}")) for label in facts.labels
    }
    absent = [label for label, row in recalls.items() if row is None or row.value is None]
    if not absent:
        return []
    return [
        f"Of {', '.join(absent)} no test scan is without a twin in training: macro means without "
        "twins are over the other labels, and what needs every label is unknown."
    ]


def limits(facts: RunFacts) -> list[str]:
    """What nobody should conclude."""
    test = facts.data.sides["test"]
    said = [
        NOT_A_DEVICE,
        f"The test set holds {test.scans:,} scans of {test.groups:,} groups; what is rarer than "
        "that allows cannot be seen in it.",
        "Single 2-D slices are judged, without volume, history or other sequences. A scan of "
        "another kind gets an answer too.",
    ]
    scans = sum(side.scans for side in facts.data.sides.values())
    if facts.run.given_split:
        said.append(
            "The split is the data set's own: what it gives is more than new patients would."
        )
    elif facts.known_patients < scans:
        said.append(
            f"The patient is named for {facts.known_patients:,} of {scans:,} scans. Of the others "
            "only copies are kept together: two slices of one patient can stand on two sides."
        )
    if len(facts.sites) < 2:
        where = f"from one site, {facts.sites[0]}" if facts.sites else "of sites that are not named"
        said.append(f"The scans are {where}: how the model does elsewhere is unknown.")
    said.append("Age, sex and scanner are not recorded, so fairness across them is not measured.")
    claim, warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    return [*said, claim] if warning else said


def next_steps(facts: RunFacts) -> list[str]:
    """What would help most, from what this run lacks."""
    steps = []
    failed = sorted({rule.rule for rule in facts.rules if rule.result == "failed"})
    short = sorted({rule.rule for rule in facts.rules if rule.result == "insufficient"})
    if facts.verdict.approval == "waiting":
        steps.append("A person answers whether the challenger may serve.")
    elif facts.verdict.outcome == "promoted":
        steps.append("The model serves; compare its answers with the findings that come in later.")
    if failed:
        steps.append(f"Look at why these rules failed: {', '.join(failed)}.")
    if short:
        steps.append(f"Collect test scans for the rules without enough data: {', '.join(short)}.")
    present = {label: scans for label, scans in facts.support.items() if scans}
    absent = [label for label in facts.labels if label not in present]
    if absent:
        steps.append(f"Drop labelled scans of {', '.join(absent)}: none is in the test set.")
    if facts.wrong:
        worst = _worst_label(facts)
        steps.append(f"Have a radiologist look at the wrong answers{worst}.")
    unbeaten = unbeaten_baselines(facts.challenger.numbers)
    if unbeaten is None:
        steps.append("Drop scans with tumour masks, so that the heatmaps can be measured.")
    elif unbeaten:
        steps.append(
            "Train a recipe with an evidence map on masks: these heatmaps miss the tumours."
        )
    if len(facts.sites) < 2:
        steps.append("Drop scans of another site, with patient ids, and look at it as a slice.")
    return steps


def _worst_label(facts: RunFacts) -> str:
    numbers = facts.challenger.numbers
    recalls = [
        (row.value, label)
        for label in facts.labels
        if (row := numbers.get(("recall", f"label={label}"))) and row.value is not None
    ]
    if not recalls:
        return ""
    recall, label = min(recalls)
    return f", first those of {label} (recall {recall:.2f})"
