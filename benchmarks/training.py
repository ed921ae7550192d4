"""Training speed: this engine against the usual way, and against the bound.

The same network, batch size, optimiser and augmentation, one epoch at a time, images per second:

usual  ``ImageDataGenerator.flow_from_directory``: every JPEG decoded, resized and varied by Python
       in every epoch
ours   batches from the pixel cache, varied in the graph
bound  the same compiled step on one batch that lies in memory

The three take turns; medians. Scans are synthetic, as JPEGs of 512 px like those of public sets.
With ``--memory`` the peak memory of ours instead, each on as many scans as named (repetitions).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: TID253
from rich.console import Console
from rich.table import Table

from tumorml.datasets.pixel_cache import CachedPixels
from tumorml.datasets.resize import fit_to_square
from tumorml.demo.drop import write_demo_drop
from tumorml.memory import peak_memory_bytes
from tumorml.recipes.networks import build_network
from tumorml.recipes.recipe import Recipe, load_recipe
from tumorml.training.batches import training_batches
from tumorml.training.compile_phase import compile_phase
from tumorml.training.fused_batch_normalization import with_fused_batch_normalization
from tumorml.training.labelled_images import LabelledImages
from tumorml.training.learning_rates import LearningRates, learning_rates

RECIPES = ("baseline-cnn", "batchnorm-cnn", "simple-cnn", "efficientnet-lite0")
JPEG_SIDE = 512
CLASSES = 4


def write_jpegs(folder: Path) -> int:
    """A synthetic drop as JPEGs, a folder for each class."""
    drop = folder / "drop"
    write_demo_drop(drop, patients_per_label=16, slices_per_patient=6)
    paths = sorted((drop / "images").rglob("*.png"))
    for number, path in enumerate(paths):
        label = folder / "jpegs" / f"class-{number % CLASSES}"
        label.mkdir(parents=True, exist_ok=True)
        scan = fit_to_square(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), JPEG_SIDE)
        cv2.imwrite(str(label / f"{number:05d}.jpg"), scan)
    return len(paths)


def cached(folder: Path, size: int, copies: int = 1) -> LabelledImages:
    """The same scans as the pixel cache keeps them."""
    paths = sorted((folder / "jpegs").rglob("*.jpg"))
    file = folder / f"{size}.pixels"
    with file.open("wb") as stream:
        for _ in range(copies):
            for path in paths:
                scan = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
                stream.write(fit_to_square(scan, size).tobytes())
    labels = np.array([int(path.parent.name[-1]) for path in paths] * copies, np.int64)
    return LabelledImages(CachedPixels(file, np.arange(len(labels)), size), labels)


def network_of(recipe: Recipe, *, fused: bool) -> keras.Model:
    """The recipe's network, compiled for its last phase, from random weights."""
    network = build_network(recipe, CLASSES, seed=1)
    if fused:
        network = with_fused_batch_normalization(network)
    compile_phase(network, recipe, recipe.phases[-1])
    return network


def usual(recipe: Recipe, folder: Path) -> Callable[[], None]:
    """One epoch of what the notebooks do."""
    augmentation = recipe.augmentation
    generator = ImageDataGenerator(
        rotation_range=augmentation.rotation_degrees,
        zoom_range=augmentation.zoom,
        width_shift_range=augmentation.shift,
        height_shift_range=augmentation.shift,
        shear_range=augmentation.shear_degrees,
        horizontal_flip=augmentation.flip,
        fill_mode="constant",
    )
    flow = generator.flow_from_directory(
        folder / "jpegs",
        target_size=(recipe.input_size, recipe.input_size),
        color_mode="grayscale",
        batch_size=recipe.batch_size,
        seed=1,
    )
    network = network_of(recipe, fused=False)
    return lambda: network.fit(flow, verbose=0)


def ours(recipe: Recipe, data: LabelledImages) -> Callable[[], None]:
    """One epoch of this engine."""
    network = network_of(recipe, fused=True)
    epoch = 0

    def run() -> None:
        nonlocal epoch
        epoch += 1
        batches = training_batches(
            data,
            CLASSES,
            batch_size=recipe.batch_size,
            augmentation=recipe.augmentation,
            class_balance=recipe.class_balance,
            seed=1,
            epoch=epoch,
        )
        rates = learning_rates(recipe.phases[-1], 0, len(batches))
        network.fit(batches, callbacks=[LearningRates(rates)], shuffle=False, verbose=0)

    return run


def bound(recipe: Recipe, data: LabelledImages) -> Callable[[], None]:
    """As many steps on one batch in memory."""
    network = network_of(recipe, fused=True)
    steps = -(-len(data) // recipe.batch_size)
    images = tf.constant(data.images[: recipe.batch_size].astype(np.float32)[..., None])
    targets = tf.one_hot(data.labels[: recipe.batch_size], CLASSES)
    weights = tf.ones(recipe.batch_size)
    batches = tf.data.Dataset.from_tensors((images, targets, weights)).repeat(steps)
    return lambda: network.fit(batches, shuffle=False, verbose=0)


def compare(names: list[str], repeats: int) -> None:
    """Print images per second of the three ways."""
    table = Table("recipe", "usual", "ours", "bound", "ours / usual", "ours / bound")
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-") as root:
        folder = Path(root)
        count = write_jpegs(folder)
        for name in names:
            recipe = load_recipe(name).model_copy(update={"weights": "none"})
            data = cached(folder, recipe.input_size)
            ways = {
                "usual": usual(recipe, folder),
                "ours": ours(recipe, data),
                "bound": bound(recipe, data),
            }
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(repeats + 1):
                for way, run in ways.items():
                    started = time.perf_counter()
                    run()
                    if turn:  # the first compiles
                        seconds[way].append(time.perf_counter() - started)
            rate = {way: count / statistics.median(taken) for way, taken in seconds.items()}
            table.add_row(
                name,
                *(f"{value:.0f}" for value in rate.values()),
                f"{rate['ours'] / rate['usual']:.2f}",
                f"{rate['ours'] / rate['bound']:.2f}",
            )
            keras.backend.clear_session()
    Console(width=120).print(f"images per second, {count} scans an epoch", table)


def memory(name: str, scans: int) -> None:
    """Print the peak memory of one epoch on so many scans."""
    recipe = load_recipe(name).model_copy(update={"weights": "none"})
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-") as root:
        count = write_jpegs(Path(root))
        data = cached(Path(root), recipe.input_size, copies=-(-scans // count))
        ours(recipe, data)()
    print(f"{name}, {len(data):,} scans: peak {peak_memory_bytes() / 1e9:.2f} GB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", metavar="SCANS")
    options = parser.parse_args()
    if options.memory is None:
        compare(options.recipes, options.repeats)
    elif len(options.memory) == 1:
        memory(options.recipes[0], options.memory[0])
    else:
        for scans in options.memory or [7_000, 70_000]:  # each in a process of its own
            command = [sys.executable, __file__, options.recipes[0], "--memory", str(scans)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
