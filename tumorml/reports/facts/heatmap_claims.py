"""Statement about how well the heatmaps of a model version locate tumors.

Every page that shows a heatmap shows this statement, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.datasets.grouping.sides import SIDES
from tumorml.reports.facts.numbers import Numbers
from tumorml.reports.facts.run_data import SideCounts, read_sides
from tumorml.results.session import read_session
from tumorml.results.tables import Evaluation, ModelVersion, Run
from tumorml.settings import Settings

MAP_NAMES = {
    "": "this model's heatmaps",
    "_fixed_pixel": "always the same pixel",
    "_centred_blob": "a blob in the middle",
}
"""Names of the compared maps by the suffix of their metrics; all but the first are baselines."""


class HeatmapClaim(NamedTuple):
    """A statement about heatmaps, and whether it is a warning."""

    text: str
    is_warning: bool


def unbeaten_baselines(numbers: Numbers) -> list[str] | None:
    """Return the suffixes of the baselines that the heatmaps do not beat; None if not measured.

    A baseline is beaten if the 95 % interval of the gain in the pointing game over it is above 0.
    For runs from before gains were recorded, the interval of the heatmaps' own pointing game must
    be above the baseline's value.
    """
    model, *baselines = (numbers.get((f"pointing_game{suffix}", "all")) for suffix in MAP_NAMES)
    if model is None or model.low is None or None in baselines:
        return None
    low = model.low
    suffixes = list(MAP_NAMES)[1:]
    gains = (numbers.get((f"pointing_game_gain{suffix}", "all")) for suffix in suffixes)
    return [
        suffix
        for suffix, baseline, gain in zip(suffixes, baselines, gains, strict=True)
        if baseline is None
        or (low <= (baseline.value or 0.0) if gain is None or gain.low is None else gain.low <= 0)
    ]


def heatmap_claim(numbers: Numbers, sides: Mapping[str, SideCounts]) -> HeatmapClaim:
    """Return the statement for the numbers and the data of the run that trained the model."""
    unbeaten = unbeaten_baselines(numbers)
    if unbeaten is None:
        return HeatmapClaim(
            f"{_not_measured(sides)} Do not read a heatmap as the location of a tumor: it shows "
            "which pixels influenced the model.",
            True,
        )
    row = numbers["pointing_game", "all"]
    measured = (
        f"The hottest point of a heatmap lies inside the tumor in {100 * (row.value or 0):.0f} % "
        f"of {row.scans:,} test scans with a mask ({100 * (row.low or 0):.0f} to "
        f"{100 * (row.high or 0):.0f} %)."
    )
    if not unbeaten:
        return HeatmapClaim(
            f"{measured} This beats both baselines that ignore the scan. A heatmap is still not an "
            "outline of a tumor.",
            False,
        )
    baselines = " and ".join(
        f"{MAP_NAMES[suffix]} ({100 * (numbers[f'pointing_game{suffix}', 'all'].value or 0):.0f} %)"
        for suffix in unbeaten
    )
    return HeatmapClaim(
        f"{measured} This does not beat pointing without looking at the scan: {baselines}. Do not "
        "read these heatmaps as the location of a tumor.",
        True,
    )


def read_heatmap_claim(session: Session, model_version_id: str) -> HeatmapClaim | None:
    """Return the statement for a model version, or None if there is no such model version.

    The statement does not change while `count_measures` returns the same number.
    """
    run = session.scalar(
        select(Run)
        .join(ModelVersion, ModelVersion.run_id == Run.id)
        .where(ModelVersion.id == model_version_id)
    )
    if run is None:
        return None
    numbers = read_test_numbers(session, run.id, model_version_id)
    return heatmap_claim(numbers, read_sides(session, run.snapshot_id))


def load_heatmap_claim(settings: Settings, model_version_id: str) -> HeatmapClaim | None:
    """Call `read_heatmap_claim` in a session of its own."""
    with read_session(settings) as session:
        return read_heatmap_claim(session, model_version_id)


def count_measures(session: Session, model_version_id: str) -> int:
    """Count the ``evaluation`` rows that a model version has from its own run."""
    own_rows = (
        select(func.count())
        .select_from(Evaluation)
        .join(ModelVersion, ModelVersion.run_id == Evaluation.run_id)
        .where(ModelVersion.id == model_version_id, Evaluation.model_version_id == model_version_id)
    )
    return session.scalar(own_rows) or 0


def read_test_numbers(session: Session, run_id: str, model_version_id: str) -> Numbers:
    """Read the ``evaluation`` rows of a model version on the entire test split of a run."""
    rows = session.scalars(
        select(Evaluation).where(
            Evaluation.run_id == run_id,
            Evaluation.model_version_id == model_version_id,
            Evaluation.split == "test",
            Evaluation.slice == "all",
        )
    )
    return {(row.metric, row.slice): row for row in rows}


def _not_measured(sides: Mapping[str, SideCounts]) -> str:
    masked = ", ".join(f"{sides[side].masked:,} in {side}" for side in SIDES)
    if all(sides[side].masked for side in ("validation", "test")):
        cause = "no numbers were recorded"
    else:
        cause = "validation and test each need scans with a tumor mask"
    return (
        f"How well the heatmaps locate tumors was not measured: {cause} (scans with a mask: "
        f"{masked})."
    )
