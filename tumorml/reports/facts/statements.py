"""Sentences about a run that the report, the deck and the model card share."""

from __future__ import annotations

from tumorml.demo import SYNTHETIC, SYNTHETIC_DROP
from tumorml.reports.facts.heatmap_claims import heatmap_claim, unbeaten_baselines
from tumorml.reports.facts.run_facts import Contender, RunFacts

NOT_A_DEVICE = (
    "This is not a medical device. It must not be used to diagnose, to treat, or to decide about "
    "any person."
)
INTENDED_USE = (
    "Research on the classification of brain tumors in MRI, and the comparison of retrained models."
)
LABEL_SOURCE = (
    "Labels come from the drops: from their folders or manifests. A picture with two labels is "
    "held out until a person decides. How a label was determined (pathology, reading) is not "
    "recorded."
)
IMPORTANT_FIELDS = (
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
"""Manifest fields that are reported as missing if no manifest has them."""


def headline(facts: RunFacts) -> str:
    """Return one sentence: the decision about the challenger, and the numbers behind it."""
    task, outcome = facts.run.task, facts.verdict.outcome
    new, old = _name(facts.challenger), facts.champion and _name(facts.champion)
    place = f"champion of {task} in place of {old}" if old else f"the first champion of {task}"
    if facts.verdict.approval == "waiting":
        decision = f"{new} becomes {place}, if a person approves"
    elif outcome == "promoted":
        decision = f"{new} becomes {place}"
    elif outcome == "kept" and old:
        decision = f"{new} does not replace {old} as champion of {task}"
    elif outcome == "kept":
        decision = f"{new} does not become champion of {task}"
    elif outcome == "insufficient":
        decision = f"there is too little evidence to make {new} {place}"
    else:
        decision = f"{new} may not become {place}"
    sentence = "; ".join([decision, *_compared_numbers(facts)]) + "."
    return f"{sentence} All scans are SYNTHETIC." if _is_synthetic(facts) else sentence


def missing_results(facts: RunFacts) -> list[str]:
    """Return sentences about results that are unknown, and why."""
    sentences = []
    if not facts.challenger.confusion.any():
        sentences.append("No test answers of the challenger are recorded.")
    else:
        for label in _labels_without_test_scans(facts):
            sentences.append(
                f"No test scan has the label {label}: recall, precision, F1 and the curves of "
                f"{label} are unknown. Macro means leave it out, and the macro AUCs are unknown."
            )
        predicted = facts.challenger.confusion.any(axis=0)
        if predicted.sum() == 1:
            only = facts.labels[int(predicted.argmax())]
            sentences.append(f"The challenger predicted {only} for every test scan.")
    if facts.champion is None:
        sentences.append("There was no champion to compare with: only rules without one applied.")
    if facts.run.given_split:
        sentences += _missing_without_twins(facts)
    if not facts.epochs:
        sentences.append("No epoch was recorded, so there are no training curves.")
    if not any(facts.challenger.slices_with_prefix("confidence=")):
        sentences.append("Reliability was not recorded.")
    return sentences


def limitations(facts: RunFacts) -> list[str]:
    """Return sentences about conclusions that this run does not support."""
    test, pixels = facts.data.sides["test"], facts.model.input_size
    origin = ", from sites that are not named"
    if facts.sites:
        origin = f", from one site, {facts.sites[0]}" if len(facts.sites) == 1 else ""
    sentences = [
        *([SYNTHETIC] if _is_synthetic(facts) else []),
        NOT_A_DEVICE,
        f"There is no test on external data: the {test.scans:,} test scans ({test.groups:,} "
        f"groups) were dropped together with the other scans{origin}. Performance elsewhere is "
        "unknown, and rare findings may not be among them.",
    ]
    if facts.run.given_split:
        sentences.append(
            "The split is the data set's own: results on new patients would be lower than these."
        )
    elif (known := facts.manifest_fields.get("patient", 0)) < facts.scans:
        sentences.append(
            f"A patient id is given for {known:,} of {facts.scans:,} scans. For the others, only "
            "copies are kept on one side: slices of one patient can be in both training and test, "
            "which would make every number here too high."
        )
    if unknown := [name for name in ("age", "sex", "scanner") if name not in facts.manifest_fields]:
        sentences.append(
            f"Not recorded: {', '.join(unknown)}. Whether the model works equally well for all "
            "groups of patients is unknown."
        )
    sentences.append(
        f"The input is a single 2-D slice of {pixels} x {pixels} pixels, without the volume, the "
        "patient's history or other sequences. The model also predicts a label for any other kind "
        "of picture."
    )
    sentences.append(
        "This is one training with one seed; another seed gives other numbers."
        + (
            " The champion is the model that served before, not the best of other methods."
            if facts.champion
            else ""
        )
    )
    claim, is_warning = heatmap_claim(facts.challenger.numbers, facts.data.sides)
    return [*sentences, claim] if is_warning else sentences


def manifest_statement(facts: RunFacts) -> str:
    """State which manifest fields are known, and for how many scans."""
    known = ", ".join(f"{name} of {scans:,}" for name, scans in facts.manifest_fields.items())
    unknown = [name for name in IMPORTANT_FIELDS if name not in facts.manifest_fields]
    sentence = f"Of {facts.scans:,} scans manifests record: {known or 'nothing'}."
    return f"{sentence} Not recorded: {', '.join(unknown)}." if unknown else sentence


def interval_statement(facts: RunFacts) -> str:
    """State how intervals were computed, and the meaning of an interval of zero width.

    The rule of three is from Hanley and Lippman-Hand, 1983, doi:10.1001/jama.1983.03330370053031.
    """
    text = "95 % intervals from a bootstrap over groups."
    numbers = [row for one in facts.contenders for row in one.numbers.values()]
    groups = facts.data.sides["test"].groups
    if groups and any(row.low == row.high == 1.0 for row in numbers):
        text += (
            " An interval from 1 to 1 means that no resample contained an error, not that there "
            "are no errors: if none of n groups has an error, the error rate can still be up to "
            "3 in n (the rule of three), "
            f"{min(100.0, 300 / groups):.1f} % for all {groups:,} test groups, and more for a "
            "label or a slice, which has fewer."
        )
    return text


def training_statement(facts: RunFacts) -> str:
    """Explain why validation numbers can be better than training numbers; empty if they cannot."""
    augmentation = facts.recipe.get("augmentation", {})
    is_augmented = any(
        value for key, value in augmentation.items() if key not in ("share", "mixup")
    )
    handicaps = [
        text
        for text, applies in (
            ("augmented", is_augmented),
            ("blended in pairs", augmentation.get("mixup")),
            ("with dropout", facts.recipe.get("dropout")),
        )
        if applies
    ]
    if not handicaps:
        return ""
    return (
        " Training numbers are computed during the epoch, on scans "
        f"{', '.join(handicaps)}; validation numbers after the epoch, on unchanged scans. So "
        "validation numbers can be better."
    )


def slices_statement(facts: RunFacts) -> str:
    """State which slices the policy requests, and which of them have no numbers."""
    requested = facts.policy.get("slices", {})
    if not requested:
        return ""
    present = {name.partition("=")[0] for name in facts.challenger.slices}
    absent = [name for name in requested["by"] if name.casefold() not in present]
    text = (
        f"The policy requests slices by {', '.join(requested['by'])}, of at least "
        f"{requested['min_scans']} scans and fewer than all."
    )
    if absent:
        text += f" There is none by {', '.join(absent)}: not recorded, too small, or all scans."
    if "size" in present:
        text += " Size is the longer side of the picture, in pixels."
    return text


def next_steps(facts: RunFacts) -> list[str]:
    """Return the most useful next steps, derived from the results that this run lacks."""
    steps = []
    failed = sorted({rule.rule for rule in facts.rules if rule.result == "failed"})
    insufficient = sorted({rule.rule for rule in facts.rules if rule.result == "insufficient"})
    if facts.verdict.approval == "waiting":
        steps.append("Approve or reject the challenger.")
    elif facts.verdict.outcome == "promoted":
        steps.append("The model serves: compare its answers with findings that arrive later.")
    if failed:
        steps.append(f"Find out why these rules failed: {', '.join(failed)}.")
    if insufficient:
        steps.append(
            f"Collect test scans for the rules without enough data: {', '.join(insufficient)}."
        )
    if absent := _labels_without_test_scans(facts):
        steps.append(f"Drop labeled scans of {', '.join(absent)}: the test set has none.")
    if facts.wrong:
        steps.append(f"Have a radiologist review the wrong answers{_worst_label(facts)}.")
    unbeaten = unbeaten_baselines(facts.challenger.numbers)
    if unbeaten is None:
        steps.append("Drop scans with tumor masks, so that the heatmaps can be measured.")
    elif unbeaten:
        steps.append(
            "Train a recipe with an evidence map on masks: these heatmaps miss the tumors."
        )
    if len(facts.sites) < 2:
        steps.append("Drop scans of another site, with patient ids, and report it as a slice.")
    return steps


def _is_synthetic(facts: RunFacts) -> bool:
    return {batch.drop_name for batch in facts.batches} == {SYNTHETIC_DROP}


def _name(contender: Contender) -> str:
    return f"{contender.model} ({contender.run.recipe})"


def _compared_numbers(facts: RunFacts) -> list[str]:
    """Return the headline's numbers, the champion's before the challenger's."""
    answered = [one for one in (facts.champion, facts.challenger) if one and one.confusion.any()]
    if not answered:
        return []
    rows = [one.numbers.get(("f1_macro", "all")) for one in answered]
    f1 = [f"{row.value:.3f}" for row in rows if row and row.value is not None]
    phrases = [f"macro F1 {' -> '.join(f1)}"] if len(f1) == len(answered) else []
    missed = " -> ".join(f"{one.missed_tumors[0]:,}" for one in answered)
    phrases.append(f"tumors predicted no_tumor {missed} of {answered[-1].missed_tumors[1]:,}")
    return phrases


def _labels_without_test_scans(facts: RunFacts) -> list[str]:
    return [label for label, scans in facts.support.items() if not scans]


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
        f"Every test scan of {', '.join(absent)} has a twin in training: macro means without twins "
        "cover the other labels only, and metrics that need every label are unknown."
    ]


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
