"""What heatmaps are worth, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tumorml.datasets.grouping.sides import SIDES
from tumorml.reports.facts.numbers import Numbers
from tumorml.reports.facts.run_data import SideOfData

MAP_NAMES = {
    "": "this model's heatmaps",
    "_fixed_pixel": "always the same pixel",
    "_centred_blob": "a blob in the middle",
}
"""Whose maps are measured, by the suffix of the metric's name; all but the first are baselines."""


def unbeaten_baselines(numbers: Numbers) -> list[str] | None:
    """The suffixes of baselines that the pointing game does not beat; None if not measured.

    One is beaten where the 95 % interval of the gain over it lies above 0: both are measured on the
    same patients, so both are uncertain. Runs from before gains were recorded count by the model's
    own interval, which must lie above the baseline's value.
    """
    found, *others = (numbers.get((f"pointing_game{suffix}", "all")) for suffix in MAP_NAMES)
    if found is None or found.low is None or None in others:
        return None
    low = found.low
    names = list(MAP_NAMES)[1:]
    gains = (numbers.get((f"pointing_game_gain{name}", "all")) for name in names)
    return [
        name
        for name, row, gain in zip(names, others, gains, strict=True)
        if row is None
        or (low <= (row.value or 0.0) if gain is None or gain.low is None else gain.low <= 0)
    ]


class HeatmapClaim(NamedTuple):
    """What the heatmaps of a model version are worth, and whether that is a warning."""

    text: str
    is_warning: bool


def heatmap_claim(numbers: Numbers, sides: Mapping[str, SideOfData]) -> HeatmapClaim:
    """What the heatmaps are worth, by the numbers of the run that trained the model version."""
    unbeaten = unbeaten_baselines(numbers)
    if unbeaten is None:
        return HeatmapClaim(
            f"{not_measured(sides)} Do not read a heatmap as the place of a tumour: it shows what "
            "moved the model.",
            True,
        )
    row = numbers["pointing_game", "all"]
    found = (
        f"The warmest place of a heatmap lies in the tumour in {100 * (row.value or 0):.0f} % of "
        f"{row.scans:,} test scans with a mask ({100 * (row.low or 0):.0f} to "
        f"{100 * (row.high or 0):.0f} %)."
    )
    if not unbeaten:
        return HeatmapClaim(
            f"{found} Both baselines that look at no scan are beaten. A heatmap is still no "
            "outline of a tumour.",
            False,
        )
    names = " and ".join(
        f"{MAP_NAMES[name]} ({100 * (numbers[f'pointing_game{name}', 'all'].value or 0):.0f} %)"
        for name in unbeaten
    )
    return HeatmapClaim(
        f"{found} That does not beat pointing without looking: {names}. Do not read these heatmaps "
        "as the place of a tumour.",
        True,
    )


def not_measured(sides: Mapping[str, SideOfData]) -> str:
    """Why there are no numbers of the heatmaps."""
    masks = ", ".join(f"{sides[side].masked:,} in {side}" for side in SIDES)
    if all(sides[side].masked for side in ("validation", "test")):
        why = "no numbers were recorded"
    else:
        why = "validation and test each need scans with a tumour mask"
    return (
        f"How well the heatmaps point at tumours was not measured: {why} (scans with a mask: "
        f"{masks})."
    )
