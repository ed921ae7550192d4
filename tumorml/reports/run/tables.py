"""The tables of a run, which the report, the slides and the model card share."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

from tumorml.evaluation.measures import OF_ALL, OF_LABELS
from tumorml.evaluation.metrics import OF_SLICES
from tumorml.reports.facts.heatmap_quality import MAP_NAMES
from tumorml.reports.facts.numbers import METRIC_NAMES, Numbers, cell
from tumorml.reports.facts.run_facts import LOCALISATION, Contender, RunFacts
from tumorml.reports.render.document import Table
from tumorml.results.tables import Run

SHOWN_BATCHES = 15


def rules_table(facts: RunFacts) -> Table:
    """The rules of the verdict with their numbers."""
    rows = [(rule.result, rule.rule, rule.slice, rule.explanation) for rule in facts.rules]
    return Table(("result", "rule", "slice", "numbers"), rows, words=4)


def batches_table(facts: RunFacts) -> Table:
    """The newest batches that brought scans first."""
    rows = [
        (batch.id, batch.drop_name, f"{batch.claimed_at:%Y-%m-%d %H:%M}", f"{batch.scans:,}")
        for batch in facts.batches[:SHOWN_BATCHES]
    ]
    return Table(("batch", "drop", "taken in (UTC)", "scans in the splits"), rows, words=3)


def contenders_table(facts: RunFacts) -> Table:
    """Who was compared, and what each was trained on."""
    columns = [
        (
            f"{one.role}\n{one.model}",
            one.run.recipe,
            f"{one.version.parameters:,}",
            _first_weights(one.run).partition(",")[0].partition(";")[0],
            f"{one.run.training_started_at:%Y-%m-%d %H:%M}"
            if one.run.training_started_at
            else "not recorded",
            str(one.run.seed),
            one.run.snapshot_id,
            f"{one.trained:,}",
            f"{one.learnt:,}",
        )
        for one in facts.contenders
    ]
    names = (
        "who",
        "recipe",
        "parameters",
        "first weights",
        "trained (UTC)",
        "seed",
        "snapshot",
        "scans trained on",
        "today's test scans that it learnt from, by scan or group",
    )
    headings, *rows = zip(names, *columns, strict=True)
    return Table(headings, rows)


def metrics_table(facts: RunFacts, names: Iterable[str] = OF_ALL) -> Table:
    """The whole test set: a column for each contender, or as given and without twins."""
    columns: list[tuple[str, Numbers]] = [
        (f"{one.role}\n{one.model}", one.numbers) for one in facts.contenders
    ]
    if facts.run.given_split:
        columns = [
            ("as given", facts.challenger.numbers),
            ("without twins", facts.without_twins),
        ]
    rows = [
        (METRIC_NAMES[name], *(cell(numbers.get((name, "all"))) for _, numbers in columns))
        for name in names
    ]
    scans = [numbers.get(("accuracy", "all")) for _, numbers in columns]
    rows.append(("test scans", *("-" if row is None else f"{row.scans:,}" for row in scans)))
    return Table(("metric", *(title for title, _ in columns)), rows)


def labels_table(facts: RunFacts, contender: Contender) -> Table:
    """Each label of the test set against all others."""
    return _labels_table(facts, contender.numbers, f"{contender.role} {contender.model}")


def labels_without_twins_table(facts: RunFacts) -> Table:
    """The same of a benchmark's model, on the test scans without a twin in training."""
    return _labels_table(facts, facts.without_twins, "on the test scans without a twin in training")


def _first_weights(run: Run) -> str:
    if run.warm_start_id is not None:
        return f"those of {run.warm_start_id}"
    if run.weights_sha256 is not None:
        return f"pretrained, from a file of SHA-256 {run.weights_sha256}"
    asked = tomllib.loads(run.recipe_text).get("weights", "none")
    return "random" if asked == "none" else f"{asked}; the file's SHA-256 is not recorded"


def _labels_table(facts: RunFacts, numbers: Numbers, title: str) -> Table:
    rows = []
    for label in facts.labels:
        of_label = [numbers.get((name, f"label={label}")) for name in OF_LABELS]
        scans = "-" if of_label[0] is None else f"{of_label[0].scans:,}"
        rows.append((label, scans, *map(cell, of_label)))
    return Table(("label", "scans", *(METRIC_NAMES[name] for name in OF_LABELS)), rows, title=title)


def slices_table(contender: Contender) -> Table:
    """The parts of the test set that hold enough scans."""
    rows = []
    for name in contender.slices:
        of_slice = [contender.numbers.get((metric, name)) for metric in OF_SLICES]
        scans = max((row.scans for row in of_slice if row is not None), default=0)
        rows.append((name, f"{scans:,}", *map(cell, of_slice)))
    headings = ("slice", "scans", *(METRIC_NAMES[name].split(" (")[0] for name in OF_SLICES))
    return Table(headings, rows, title=f"{contender.role} {contender.model}")


def localisation_table(facts: RunFacts) -> Table:
    """What the heatmaps reach, beside maps that look at no scan."""
    numbers = facts.challenger.numbers
    rows = [
        (
            METRIC_NAMES[name],
            *(cell(numbers.get((name + suffix, "all"))) for suffix in MAP_NAMES),
        )
        for name in LOCALISATION
    ]
    return Table(("measure", *MAP_NAMES.values()), rows)


def provenance_table(facts: RunFacts) -> Table:
    """Where the model came from."""
    run, model = facts.run, facts.model
    started, finished = run.training_started_at, run.training_finished_at
    when = "not recorded"
    if started is not None and finished is not None:
        minutes = (finished - started).total_seconds() / 60
        when = f"{started:%Y-%m-%d %H:%M} to {finished:%Y-%m-%d %H:%M} UTC ({minutes:.1f} minutes)"
    libraries = ", ".join(f"{name} {number}" for name, number in (run.libraries or {}).items())
    calibration = [
        f"{name} {value:.3f}"
        for name, value in (
            ("temperature", model.temperature),
            ("operating point", model.operating_point),
        )
        if value is not None
    ]
    rows = [
        (
            "model version",
            f"{model.id}, {model.parameters:,} parameters, {model.size_bytes:,} bytes",
        ),
        ("SHA-256", model.sha256 or "not recorded"),
        (
            "input",
            f"{model.input_size} x {model.input_size} pixels, grey; "
            f"{model.preprocessing or 'preprocessing not recorded'}",
        ),
        ("calibration", ", ".join(calibration) or "none"),
        ("first weights", _first_weights(run)),
        ("recipe", f"{run.recipe}, epochs planned: {run.epochs}, digest {run.recipe_digest}"),
        ("seed", str(run.seed)),
        ("snapshot", run.snapshot_id),
        ("trained", when),
        ("on", f"{run.host or 'a machine not recorded'}, {run.device or 'device not recorded'}"),
        ("code", run.code_version or "not recorded"),
        ("libraries", libraries or "not recorded"),
        ("asked for by", run.trigger),
        ("policy", f"SHA-256 {facts.verdict.policy_sha256}"),
    ]
    return Table(("what", "value"), rows, words=2)
