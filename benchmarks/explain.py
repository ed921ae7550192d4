"""Answers with heatmaps: this engine against answers alone, and against the usual ways.

Scans per second, all on the same network and the same scans, in turns; medians:

answers  ``Predictor.predict``
ours     ``explain``: answers and maps in one pass, of the evidence map or, for a recipe without
         one, by Grad-CAM of the last feature map, as the next two; LayerCAM, which the service
         uses there, has a row of its own
usual    what the notebooks do: for each scan ``model.predict``, a new model that ends in the last
         feature map and the logits, and a gradient through all of it
library  tf-keras-vis's ``Gradcam``, after ``model.predict``, in batches; where it is installed:
         ``pip install --target FOLDER --no-deps tf-keras-vis deprecated``, then with
         ``PYTHONPATH=FOLDER``

The network is asked for a scan and its mirror image where its recipe says so, which the usual ways
do not do: ours then does twice their work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from rich.console import Console
from rich.table import Table

from tumorml.explain.heatmaps import explain
from tumorml.labels import LABELS, Task
from tumorml.models.predictor import Predictor
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.networks.build_network import build_network
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS
BATCH = 64


def usual(model: keras.Model, images: np.ndarray) -> None:
    """Grad-CAM as the notebooks write it."""
    for image in images.astype(np.float32)[..., None]:
        label = int(model.predict(image[None], verbose=0)[0].argmax())
        both = keras.Model(model.inputs[0], [model.get_layer("features").output, model.outputs[0]])
        with tf.GradientTape() as tape:
            features, logits = both(image[None])
            score = logits[:, label]
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(0, 1, 2))
        heatmap = tf.nn.relu(tf.reduce_sum(features[0] * weights, axis=-1))
        tf.image.resize(heatmap[..., None], image.shape[:2]).numpy()


def library(model: keras.Model, images: np.ndarray) -> None:
    """Grad-CAM of tf-keras-vis."""
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    scans = images.astype(np.float32)[..., None]
    for start in range(0, len(scans), BATCH):
        part = scans[start : start + BATCH]
        labels = model.predict(part, verbose=0).argmax(axis=1)
        score = CategoricalScore(labels.tolist())
        Gradcam(model, clone=False)(score, part, penultimate_layer="features")


def seconds_of(run: Callable[[np.ndarray], object], images: np.ndarray) -> float:
    """How long it takes."""
    started = time.perf_counter()
    run(images)
    return time.perf_counter() - started


def compare(name: str, scans: int, few: int, repeats: int, table: Table) -> None:
    """Add a row for each way."""
    recipe = load_recipe(name).with_fields(weights="none", batch_normalization="adapt")
    model = build_network(recipe, len(LABELS[TASK]), seed=1)
    predictor = Predictor(model, TASK, test_time_flip=recipe.test_time_flip)
    size = recipe.input_size
    images = np.random.default_rng(1).integers(0, 256, (scans, size, size), dtype=np.uint8)

    def ours(images: np.ndarray) -> None:
        if recipe.evidence is not None:
            explain(predictor, images, batch_size=BATCH)
        else:
            explain(predictor, images, method="grad-cam", layer="features", batch_size=BATCH)

    ways: dict[str, tuple[Callable[[np.ndarray], object], int]] = {
        "answers": (predictor.predict, scans),
        "ours": (ours, scans),
        "usual": (lambda images: usual(model, images), few),
    }
    if recipe.evidence is None:
        ways["LayerCAM"] = (lambda images: explain(predictor, images), scans)
    try:
        import tf_keras_vis  # noqa: F401
    except ImportError:
        pass
    else:
        ways["library"] = (lambda images: library(model, images), scans)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(repeats + 1):
        for way, (run, count) in ways.items():
            rate = count / seconds_of(run, images[:count])
            if turn:  # the first compiles
                rates[way].append(rate)
    medians = {way: statistics.median(values) for way, values in rates.items()}
    for way, value in medians.items():
        shares = (f"{medians['ours'] / value:.2f}" if way != "ours" else "",)
        table.add_row(name, way, f"{value:.1f}", *shares)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=[Settings().default_recipe])
    parser.add_argument("--scans", type=int, default=256)
    parser.add_argument("--few", type=int, default=4, help="scans of the usual way")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    table = Table("recipe", "way", "scans/s", "ours times that")
    for name in options.recipes:
        compare(name, options.scans, options.few, options.repeats, table)
        keras.backend.clear_session()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
