"""Training speed, compared with Keras's ``ImageDataGenerator`` and with an upper bound.

Prints images per second for the same network, batch size, optimizer and augmentation:

usual  ``ImageDataGenerator.flow_from_directory``: Python decodes, resizes and augments each JPEG in
       each epoch. It omits changes of brightness and contrast and mixup, which would slow it down,
       and augments all scans, also if the recipe leaves a share of them unchanged.
ours   Batches from the pixel cache, augmented batch by batch.
bound  The same compiled step on one batch in memory: with one step per call of TensorFlow, and with
       as many steps per call as ``ours``.

``--variants`` adds ``ours`` in half precision and compiled with XLA. The methods are measured in
turns, in alternating order. ``usual`` is measured last, and each recipe in a new process, because
TensorFlow's datasets of Python generators change the memory allocation of their process for good.
Each rate is that of the fastest epoch: slower epochs were slowed by other load, such as two threads
on one core. Scans are the JPEGs of a folder (``--images``) or synthetic ones of 512 pixels, the
size of public data sets, repeated until an epoch takes ``--seconds``.

``--memory`` prints, instead of the speed, the peak memory of one epoch with validation, for each
number of scans in a new process.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import cv2
import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: TID253
from PIL import Image
from rich.console import Console
from rich.table import Table

from tumorml.datasets.pixel_cache import cached_pixels
from tumorml.datasets.resize import fit_to_square
from tumorml.demo.drop import write_demo_drop
from tumorml.labels import Task
from tumorml.memory import peak_memory_bytes
from tumorml.objects.keys import scan_key
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.recipe import Recipe
from tumorml.settings import Settings
from tumorml.training.fitting.compile_phase import STEPS_AT_ONCE, compile_phase
from tumorml.training.fitting.fit import fit
from tumorml.training.fitting.fused_batch_normalization import with_fused_batch_normalization
from tumorml.training.fitting.input_pipeline import steps_per_epoch, training_batches
from tumorml.training.fitting.labeled_images import LabeledImages
from tumorml.training.fitting.learning_rates import learning_rates

JPEG_SIDE = 512
CLASSES = 4


def write_scans(folder: Path, images: Path | None = None) -> list[Path]:
    """Return the JPEGs of a folder, shuffled; without a folder, write synthetic ones."""
    if images is not None:
        found = sorted(path.resolve() for path in images.rglob("*.jpg"))
        return [found[index] for index in np.random.default_rng(1).permutation(len(found))]
    drop = folder / "drop"
    write_demo_drop(drop, patients_per_label=16, slices_per_patient=6)
    written = []
    for path in sorted((drop / "images").rglob("*.png")):
        scan = fit_to_square(np.asarray(Image.open(path).convert("L")), JPEG_SIDE)
        written.append(path.with_suffix(".jpg"))
        cv2.imwrite(str(written[-1]), scan)
    return written


def write_folders(scans: list[Path], folder: Path, count: int) -> None:
    """Write links to ``count`` scans, with repetition, into one folder per class."""
    for number, scan in zip(range(count), cycle(scans), strict=False):
        path = folder / f"class-{number % CLASSES}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(scan)


def store(scans: list[Path], home: Path, count: int) -> list[str]:
    """Link ``count`` scans, with repetition, into a home's object store; return their ids."""
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    for scan_id, scan in zip(ids, cycle(scans), strict=False):
        path = home / "objects" / scan_key(scan_id)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(scan)
    return ids


def cached(ids: list[str], home: Path, size: int) -> LabeledImages:
    """Return scans of a home from the pixel cache, with classes in turn."""
    pixels = cached_pixels(Settings(home=home), ids, size)
    return LabeledImages(pixels, np.arange(len(ids)) % CLASSES)


def network_of(
    recipe: Recipe,
    steps: int,
    *,
    fused: bool = True,
    xla: bool = False,
    at_once: int = STEPS_AT_ONCE,
) -> keras.Model:
    """Return the recipe's network with random weights, compiled for the last phase.

    Args:
        recipe: The recipe.
        steps: Steps per epoch.
        fused: Use fused batch normalization.
        xla: Compile with XLA.
        at_once: Steps per call of TensorFlow.
    """
    network = build_network(recipe, CLASSES, seed=1)
    if fused:
        network = with_fused_batch_normalization(network)
    rates = compile_phase(network, recipe, recipe.phases[-1], steps)
    rates.set_rates(learning_rates(recipe.phases[-1], 0, steps), first=0)
    if xla or at_once != STEPS_AT_ONCE:
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        network.compile(
            network.optimizer,
            network.loss,
            metrics=[accuracy],
            jit_compile=xla or network.jit_compile,
            steps_per_execution=at_once,
        )
    return network


def usual(recipe: Recipe, folder: Path) -> Callable[[], None]:
    """Return a function that trains one epoch with ``ImageDataGenerator``."""
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
        folder,
        target_size=(recipe.input_size, recipe.input_size),
        color_mode="grayscale",
        batch_size=recipe.batch_size,
        seed=1,
    )
    network = network_of(recipe, len(flow), fused=False, at_once=1)
    return lambda: network.fit(flow, verbose=0)


def ours(recipe: Recipe, data: LabeledImages, *, xla: bool = False) -> Callable[[], None]:
    """Return a function that trains one epoch as the service does."""
    network = network_of(recipe, steps_per_epoch(data, recipe.batch_size), xla=xla)
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
        network.fit(batches, shuffle=False, verbose=0)

    return run


def bound(recipe: Recipe, data: LabeledImages, at_once: int = 1) -> Callable[[int], None]:
    """Return a function that trains a number of steps on one batch in memory."""
    network = network_of(recipe, 1, at_once=at_once)
    images = tf.constant(data.images[: recipe.batch_size].astype(np.float32)[..., None])
    targets = tf.one_hot(data.labels[: recipe.batch_size], CLASSES)
    weights = tf.ones(recipe.batch_size)
    batch = tf.data.Dataset.from_tensors((images, targets, weights))
    return lambda steps: network.fit(batch.repeat(steps), shuffle=False, verbose=0)


def steps_in(seconds: float, run: Callable[[int], None]) -> int:
    """Return the number of steps that take about ``seconds``; at least four."""
    steps = 4
    run(steps)  # compiles the step
    while (measured := seconds_of(partial(run, steps))) < seconds / 2:
        steps *= 2
    return max(4, round(steps * seconds / measured))


def seconds_of(run: Callable[[], None]) -> float:
    """Return the run time in seconds."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def fastest_epochs(methods: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the seconds of each method's fastest epoch, measured in turns."""
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    for turn in range(repeats + 1):
        for method in list(methods) if turn % 2 else reversed(methods):
            epoch_seconds = seconds_of(methods[method])
            if turn:  # the first turn compiles the functions
                seconds[method].append(epoch_seconds)
    return {method: min(times) for method, times in seconds.items()}


def compare(
    name: str, images: Path | None, repeats: int, seconds: float, *, variants: bool
) -> None:
    """Print the images per second of all methods for a recipe."""
    table = Table(
        "recipe", "scans per epoch", "method", "images/s", "ratio to usual", "ratio to bound"
    )
    recipe = load_recipe(name).model_copy(update={"weights": "none"})
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-") as root:
        scans, home = write_scans(Path(root), images), Path(root) / "home"
        size = recipe.input_size
        batch = cached(store(scans, home, recipe.batch_size), home, size)
        run_bound = bound(recipe, batch)
        steps = steps_in(seconds, run_bound)
        count = steps * recipe.batch_size
        data = cached(store(scans, home, count), home, size)
        write_folders(scans, Path(root) / "folders", count)
        methods: dict[str, Callable[[], None]] = {
            "ours": ours(recipe, data),
            "bound": partial(run_bound, steps),
            f"bound, {STEPS_AT_ONCE} at once": partial(bound(recipe, batch, STEPS_AT_ONCE), steps),
        }
        if variants:
            half = recipe.model_copy(update={"precision": "mixed_bfloat16"})
            methods["ours, bfloat16"] = ours(half, data)
            methods["ours, XLA"] = ours(recipe, data, xla=True)
        rates = {
            method: count / seconds
            for measured_together in (methods, {"usual": usual(recipe, Path(root) / "folders")})
            for method, seconds in fastest_epochs(measured_together, repeats).items()
        }
    for method, rate in rates.items():
        ratios = (f"{rate / rates[peer]:.2f}" for peer in ("usual", "bound"))
        table.add_row(name, f"{count:,}", method, f"{rate:.0f}", *ratios)
    Console(width=120).print(table)


def measure_memory(name: str, count: int) -> None:
    """Print the peak memory of one epoch on ``count`` scans, a seventh of them for validation."""
    recipe = load_recipe(name).with_fields(weights="none").with_epochs(1)
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-") as root:
        home = Path(root) / "home"
        ids = store(write_scans(Path(root)), home, count)
        train, validation = (
            cached(part, home, recipe.input_size) for part in (ids[count // 7 :], ids[: count // 7])
        )
        fit(
            recipe,
            Task.FOUR_CLASS,
            train,
            validation,
            checkpoint_dir=Path(root) / "checkpoints",
            seed=1,
            on_epoch=lambda record: print(f"{record.seconds:.0f} s", flush=True),
        )
    print(f"{name}, {count:,} scans: peak {peak_memory_bytes() / 1e9:.2f} GB", flush=True)


def main() -> None:
    """Measure the speed or the memory of the recipes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--images", type=Path, help="folder of JPEGs")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--seconds", type=float, default=2.5, help="duration of an epoch of the bound"
    )
    parser.add_argument(
        "--variants", action="store_true", help="measure half precision and XLA, too"
    )
    parser.add_argument(
        "--memory", type=int, nargs="*", metavar="SCANS", help="measure the peak memory instead"
    )
    options = parser.parse_args()
    names = options.recipes or recipe_names()
    if options.memory is None and len(names) == 1:
        compare(
            names[0], options.images, options.repeats, options.seconds, variants=options.variants
        )
    elif options.memory is None:
        flags = [argument for argument in sys.argv[1:] if argument not in options.recipes]
        for name in names:
            subprocess.run([sys.executable, __file__, name, *flags], check=True)
    elif options.recipes and len(options.memory) == 1:
        measure_memory(options.recipes[0], options.memory[0])
    else:
        name = (options.recipes or [Settings().default_recipe])[0]
        for scans in options.memory or [7_023, 70_230]:
            command = [sys.executable, __file__, name, "--memory", str(scans)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
