"""Pointing game of LayerCAM and Grad-CAM by layer, for networks without an evidence map.

Reads the homes of benchmarks/training/pointing.py. For each model version without an evidence map,
both methods compute maps of the test scans with a mask, from the last layer of each resolution.
Prints the pointing game of each model version and method, and that of the best fixed pixel.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from tumorml.datasets.pixel_cache import cached_pixels
from tumorml.datasets.snapshots import SnapshotEntry, read_snapshot
from tumorml.evaluation.localization import locate
from tumorml.explain.feature_maps import feature_maps
from tumorml.explain.heatmaps import Method, explain
from tumorml.models.model_versions import fetch_predictor
from tumorml.models.predictor import Predictor
from tumorml.recipes.networks.layer_names import EVIDENCE
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.results.tables import ModelVersion, Run
from tumorml.settings import Settings

BATCH = 64


def masked_test_scans(
    settings: Settings, entries: list[SnapshotEntry], size: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Read the test scans whose mask is visible at the input size.

    Returns:
        Images, uint8 [n, size, size]; masks, bool [n, size, size]; and the share of these masks
        that contain the pixel that most masks of the other scans contain.
    """
    sides: dict[bool, list[str]] = {True: [], False: []}
    for entry in entries:
        if entry.masked:
            sides[entry.split == "test"].append(entry.scan_id)
    all_rows = slice(None)
    masks, other_masks = (
        cached_pixels(settings, sides[is_test], size, masks=True)[all_rows] > 127
        for is_test in (True, False)
    )
    best_pixel = np.unravel_index(other_masks.mean(axis=0).argmax(), (size, size))
    visible = masks.any(axis=(1, 2))
    images = cached_pixels(settings, sides[True], size)[all_rows]
    return images[visible], masks[visible], float(masks[visible][:, *best_pixel].mean())


def pointing(
    predictor: Predictor, images: np.ndarray, masks: np.ndarray, method: Method, layer: str
) -> float:
    """Return the share of scans whose heatmap has its maximum inside the mask."""
    hits = []
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        maps = explain(predictor, images[part], method=method, layer=layer).maps
        hits.append(locate(maps, masks[part]).pointing_game)
    return float(np.concatenate(hits).mean())


def main() -> None:
    """Compute and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "homes", type=Path, nargs="+", help="homes of benchmarks/training/pointing.py"
    )
    table = Table("home", "model", "recipe", "scans", "layer", "side", *get_args(Method), "pixel")
    for home in parser.parse_args().homes:
        settings = Settings(home=home.resolve())
        with results_store(settings), read_session(settings) as session:
            rows = session.execute(
                select(ModelVersion.id, Run.recipe, Run.snapshot_id)
                .join(Run, ModelVersion.run_id == Run.id)
                .order_by(Run.recipe, Run.seed)
            ).all()
            for model, recipe, snapshot in rows:
                predictor = fetch_predictor(settings, model)
                if EVIDENCE in {layer.name for layer in predictor.model.layers}:
                    continue
                entries = read_snapshot(settings, snapshot)
                images, masks, pixel = masked_test_scans(settings, entries, predictor.input_size)
                for layer, maps in feature_maps(predictor.model, images[0]).items():
                    scores = (
                        f"{pointing(predictor, images, masks, method, layer):.3f}"
                        for method in get_args(Method)
                    )
                    cells = (home.name, model, recipe, str(len(images)), layer, str(len(maps)))
                    table.add_row(*cells, *scores, f"{pixel:.3f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
