"""What is said of a run in words, the same wherever it is told."""

from __future__ import annotations

from tumorml.demo import SYNTHETIC, SYNTHETIC_DROP
from tumorml.reports.facts.heatmap_quality import heatmap_claim, unbeaten_baselines
from tumorml.reports.facts.run_facts import Contender, RunFacts

NOT_A_DEVICE = (
    "This is not a medical device. It must not be used to diagnose, to treat, or to decide about "
    "any person."
)
INTENDED_USE = (
    "Research on the classification of brain tumours in MRI, and comparison of models that were "
    "trained again."
)
LABELLING = (
    "Labels are those that the drops gave, by folder or manifest; a picture with two labels is "
    "held out until a person decides. How they were found (pathology, reading) is not recorded."
)
WORTH_RECORDING = (
    "patient",
    "study",
    "site",
    "acquisition date",
    "age",
    "sex",
    "scanner",
    "sequence",
    "plane",
)
"""What should be known of scans, and is said to be missing where no manifest has it."""


def headline(facts: RunFacts) -> str:
    """Who serves now, who does not, and by what numbers, in one sentence."""
    task, outcome = facts.run.task, facts.verdict.outcome
    new, old = _named(facts.challenger), facts.champion and _named(facts.champion)
    place = f"{task} in place of {old}" if old else f"{task}, which nobody served before"
    if facts.verdict.approval == "waiting":
        said = f"{new} is to serve {place}, if a person agrees"
    elif outcome == "promoted":
        said = f"{new} is to serve {place}"
    elif outcome == "kept":
        said = (
            f"{new} does not replace {old} in serving {task}"
            if old
            else f"{new} does not serve {task}"
        )
    elif outcome == "insufficient":
        said = f"too little is known to let {new} serve {place}"
    else:
        said = f"{new} may not serve {place}"
    told = "; ".join([said, *_compared(facts)]) + "."
    return f"{told} All of it on SYNTHETIC scans." if _is_synthetic(facts) else told


def _is_synthetic(facts: RunFacts) -> bool:
    return {batch.drop_name for batch in facts.batches} == {SYNTHETIC_DROP}


def _named(contender: Contender) -> str:
    return f"{contender.model} ({contender.run.recipe})"


def _compared(facts: RunFacts) -> list[str]:
    """The headline's numbers, from the champion's to the challenger's."""
    ranked = [one for one in (facts.champion, facts.challenger) if one and one.confusion.any()]
    if not ranked:
        return []
    macro = [one.numbers.get(("f1_macro", "all")) for one in ranked]
    f1 = [f"{row.value:.3f}" for row in macro if row and row.value is not None]
    said = [f"macro F1 {' -> '.join(f1)}"] if len(f1) == len(ranked) else []
    missed = " -> ".join(f"{one.missed_tumors[0]:,}" for one in ranked)
    said.append(f"tumours called no_tumor {missed} of {ranked[-1].missed_tumors[1]:,}")
    return said


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
    test, side = facts.data.sides["test"], facts.model.input_size
    where = ", from sites that are not named"
    if facts.sites:
        where = f", from one site, {facts.sites[0]}" if len(facts.sites) == 1 else ""
    said = [
        *([SYNTHETIC] if _is_synthetic(facts) else []),
        NOT_A_DEVICE,
        f"There is no test on outside data: the {test.scans:,} test scans ({test.groups:,} groups) "
        f"came in with the others{where}. How the model does elsewhere is unknown, and what is "
        "rare may not be among them.",
    ]
    if facts.run.given_split:
        said.append(
            "The split is the data set's own: what it gives is more than new patients would."
        )
    elif (known := facts.recorded.get("patient", 0)) < facts.scans:
        said.append(
            f"The patient is named for {known:,} of {facts.scans:,} scans. Of the others only "
            "copies are kept together: slices of one patient can stand in training and in test, "
            "which would flatter every number here."
        )
    if unknown := [name for name in ("age", "sex", "scanner") if name not in facts.recorded]:
        said.append(
            f"Not recorded: {', '.join(unknown)}. Whether the model serves all alike is not known."
        )
    said.append(
        f"Single 2-D slices are judged, at {side} x {side} pixels, without volume, history or "
        "other sequences. A scan of another kind gets an answer too."
    )
    said.append(
        "This is one training with one seed; another gives other numbers."
        + (
            " The champion is what served before, not the best of other methods."
            if facts.champion
            else ""
        )
    )
    claim, warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    return [*said, claim] if warning else said


def recorded(facts: RunFacts) -> str:
    """What the drops say of the scans beside labels, and what they do not."""
    known = ", ".join(f"{name} of {scans:,}" for name, scans in facts.recorded.items())
    unknown = [name for name in WORTH_RECORDING if name not in facts.recorded]
    said = f"Of {facts.scans:,} scans manifests record: {known or 'nothing'}."
    return f"{said} Not recorded: {', '.join(unknown)}." if unknown else said


def intervals(facts: RunFacts) -> str:
    """What the intervals are, and what one without width does not say (Hanley, 1983)."""
    told = "95 % intervals from a bootstrap over groups."
    numbers = [row for one in facts.contenders for row in one.numbers.values()]
    groups = facts.data.sides["test"].groups
    if groups and any(row.low == row.high == 1.0 for row in numbers):
        told += (
            " From 1 to 1 says that no resample held an error, not that there is none: of n groups "
            "without one, up to 3 in n may be answered wrongly all the same (the rule of three), "
            f"{min(100.0, 300 / groups):.1f} % of all {groups:,} test groups, and more of a "
            "label's or a slice's, which are fewer."
        )
    return told


def training_statement(facts: RunFacts) -> str:
    """Why validation can look better than training; empty where it cannot."""
    varied = facts.recipe.get("augmentation", {})
    handicaps = [
        text
        for text, there in (
            (
                "as they were varied",
                any(v for k, v in varied.items() if k not in ("share", "mixup")),
            ),
            ("blended in pairs", varied.get("mixup")),
            ("with dropout", facts.recipe.get("dropout")),
        )
        if there
    ]
    if not handicaps:
        return ""
    return (
        f" Training is counted while the network learns, on scans {', '.join(handicaps)}; "
        "validation after each epoch, on scans as they are: so it can look better."
    )


def slices_statement(facts: RunFacts) -> str:
    """Which parts of the test set were asked for, and of which there are numbers."""
    asked = facts.policy.get("slices", {})
    if not asked:
        return ""
    shown = {name.partition("=")[0] for name in facts.challenger.slices}
    absent = [name for name in asked["by"] if name.casefold() not in shown]
    said = (
        f"The policy asks for parts by {', '.join(asked['by'])}, of at least "
        f"{asked['min_scans']} scans and less than all."
    )
    if absent:
        said += f" There is none by {', '.join(absent)}: not recorded, too small, or all scans."
    if "size" in shown:
        said += " Size is the longer side of the picture, in pixels."
    return said


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
