"""Tables of a run that the report, the slides and the model card share."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

from tumorml.evaluation.measures import LABEL_METRICS, OVERALL_METRICS
from tumorml.evaluation.metrics import SLICE_METRICS
from tumorml.reports.document import Table
from tumorml.reports.facts.heatmap_claims import MAP_NAMES
from tumorml.reports.facts.numbers import METRIC_NAMES, Numbers, format_value
from tumorml.reports.facts.run_facts import LOCALIZATION_METRICS, Contender, RunFacts
from tumorml.results.tables import Run

SHOWN_BATCHES = 15


def rules_table(facts: RunFacts) -> Table:
    """Tabulate the rules of the verdict with their numbers."""
    rows = [(rule.result, rule.rule, rule.slice, rule.explanation) for rule in facts.rules]
    return Table(("result", "rule", "slice", "numbers"), rows, words=4)


def batches_table(facts: RunFacts) -> Table:
    """Tabulate the newest batches that contained scans of the snapshot first."""
    rows = [
        (batch.id, batch.drop_name, f"{batch.claimed_at:%Y-%m-%d %H:%M}", f"{batch.scans:,}")
        for batch in facts.batches[:SHOWN_BATCHES]
    ]
    return Table(("batch", "drop", "taken in (UTC)", "scans in the splits"), rows, words=3)


def contenders_table(facts: RunFacts) -> Table:
    """Tabulate the compared model versions and their trainings."""
    columns = [
        (
            f"{one.role}\n{one.model}",
            one.run.recipe,
            f"{one.version.parameters:,}",
            _initial_weights(one.run).partition(",")[0].partition(";")[0],
            f"{one.run.training_started_at:%Y-%m-%d %H:%M}"
            if one.run.training_started_at
            else "not recorded",
            str(one.run.seed),
            one.run.snapshot_id,
            f"{one.training_scans:,}",
            f"{one.seen_test_scans:,}",
        )
        for one in facts.contenders
    ]
    names = (
        "contender",
        "recipe",
        "parameters",
        "initial weights",
        "trained (UTC)",
        "seed",
        "snapshot",
        "training scans",
        "test scans of this run seen in training, by scan or group",
    )
    headings, *rows = zip(names, *columns, strict=True)
    return Table(headings, rows)


def metrics_table(facts: RunFacts, names: Iterable[str] = OVERALL_METRICS) -> Table:
    """Tabulate metrics of the entire test set, a column for each contender.

    For a benchmark the columns are the test set as given and without twins.
    """
    columns: list[tuple[str, Numbers]] = [
        (f"{one.role}\n{one.model}", one.numbers) for one in facts.contenders
    ]
    if facts.run.given_split:
        columns = [
            ("as given", facts.challenger.numbers),
            ("without twins", facts.without_twins),
        ]
    rows = [
        (METRIC_NAMES[name], *(format_value(numbers.get((name, "all"))) for _, numbers in columns))
        for name in names
    ]
    scans = [numbers.get(("accuracy", "all")) for _, numbers in columns]
    rows.append(("test scans", *("-" if row is None else f"{row.scans:,}" for row in scans)))
    return Table(("metric", *(title for title, _ in columns)), rows)


def labels_table(facts: RunFacts, contender: Contender) -> Table:
    """Tabulate the metrics of each label against all others."""
    return _labels_table(facts, contender.numbers, f"{contender.role} {contender.model}")


def labels_without_twins_table(facts: RunFacts) -> Table:
    """Tabulate a benchmark's metrics of each label on test scans without a twin in training."""
    return _labels_table(facts, facts.without_twins, "on the test scans without a twin in training")


def _initial_weights(run: Run) -> str:
    if run.warm_start_id is not None:
        return f"weights of {run.warm_start_id}"
    if run.weights_sha256 is not None:
        return f"pretrained, from a file of SHA-256 {run.weights_sha256}"
    weights = tomllib.loads(run.recipe_text).get("weights", "none")
    return "random" if weights == "none" else f"{weights}; the file's SHA-256 is not recorded"


def _labels_table(facts: RunFacts, numbers: Numbers, title: str) -> Table:
    rows = []
    for label in facts.labels:
        values = [numbers.get((name, f"label={label}")) for name in LABEL_METRICS]
        scans = "-" if values[0] is None else f"{values[0].scans:,}"
        rows.append((label, scans, *map(format_value, values)))
    return Table(
        ("label", "scans", *(METRIC_NAMES[name] for name in LABEL_METRICS)), rows, title=title
    )


def slices_table(contender: Contender) -> Table:
    """Tabulate metrics of the slices that hold enough scans."""
    rows = []
    for name in contender.slices:
        values = [contender.numbers.get((metric, name)) for metric in SLICE_METRICS]
        scans = max((row.scans for row in values if row is not None), default=0)
        rows.append((name, f"{scans:,}", *map(format_value, values)))
    headings = ("slice", "scans", *(METRIC_NAMES[name].split(" (")[0] for name in SLICE_METRICS))
    return Table(headings, rows, title=f"{contender.role} {contender.model}")


def localization_table(facts: RunFacts) -> Table:
    """Tabulate how well the heatmaps locate tumors, beside the baselines."""
    numbers = facts.challenger.numbers
    rows = [
        (
            METRIC_NAMES[name],
            *(format_value(numbers.get((name + suffix, "all"))) for suffix in MAP_NAMES),
        )
        for name in LOCALIZATION_METRICS
    ]
    return Table(("heatmap metric", *MAP_NAMES.values()), rows)


def provenance_table(facts: RunFacts) -> Table:
    """Tabulate the origin of the model."""
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
            f"{model.input_size} x {model.input_size} pixels, gray; "
            f"{model.preprocessing or 'preprocessing not recorded'}",
        ),
        ("calibration", ", ".join(calibration) or "none"),
        ("initial weights", _initial_weights(run)),
        ("recipe", f"{run.recipe}, epochs planned: {run.epochs}, digest {run.recipe_digest}"),
        ("seed", str(run.seed)),
        ("snapshot", run.snapshot_id),
        ("trained", when),
        ("on", f"{run.host or 'a machine not recorded'}, {run.device or 'device not recorded'}"),
        ("code", run.code_version or "not recorded"),
        ("libraries", libraries or "not recorded"),
        ("triggered by", run.trigger),
        ("policy", f"SHA-256 {facts.verdict.policy_sha256}"),
    ]
    return Table(("item", "value"), rows, words=2)
