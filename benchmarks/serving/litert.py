"""Speed of the LiteRT model that servers use, compared with TensorFlow, and their difference.

Prints the median milliseconds per scan of both, which are measured in turns, and the largest
difference of their probabilities. Recipes with ``test_time_flip`` predict the mirror image too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tumorml.labels import LABELS, Task
from tumorml.models.predictor import Predictor
from tumorml.models.served import KerasServed, LiteServed, Served, write_lite
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.networks.build_network import build_network
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS


def milliseconds(served: Served, images: np.ndarray) -> float:
    """Return the milliseconds per scan of one prediction of all images."""
    started = time.perf_counter()
    served.run(images)
    return 1000 * (time.perf_counter() - started) / len(images)


def main() -> None:
    """Measure each recipe and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=[Settings().default_recipe])
    parser.add_argument("--scans", nargs="+", type=int, default=[1, 8, 32], help="scans at once")
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    table = Table("recipe", "scans at once", "TensorFlow ms", "LiteRT ms", "ratio", "difference")
    for name in options.recipes:
        recipe = load_recipe(name).with_fields(weights="none", batch_normalization="adapt")
        model = build_network(recipe, len(LABELS[TASK]), seed=1)
        predictor = Predictor(model, TASK, test_time_flip=recipe.test_time_flip)
        with tempfile.TemporaryDirectory() as folder:
            write_lite(predictor, Path(folder) / "model.tflite")
            lite = LiteServed(Path(folder) / "model.tflite", TASK, predictor.calibration)
        keras = KerasServed(predictor)
        size = predictor.input_size
        for count in options.scans:
            shape = (count, size, size)
            images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
            difference = np.abs(keras.predict(images) - lite.predict(images)).max()
            pairs = [
                (milliseconds(keras, images), milliseconds(lite, images))
                for _ in range(options.repeats)
            ]
            slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
            table.add_row(
                name, str(count), f"{slow:.1f}", f"{fast:.1f}", f"{slow / fast:.1f}",
                f"{difference:.1g}",
            )  # fmt: skip
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
