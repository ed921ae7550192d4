"""Speed of predictions with heatmaps, compared with predictions alone and with common methods.

Prints the median scans per second of these methods, on the same network and scans, in turns:

answers   ``Predictor.predict``.
ours      ``explain``: predictions and maps in one pass, from the evidence map. For a recipe without
          an evidence map, Grad-CAM of the last feature map, like ``usual`` and ``library``.
usual     Grad-CAM as in many notebooks: each scan gets a call of ``model.predict``, a new model
          that outputs the last feature map and the logits, and a gradient of the full network.
LayerCAM  ``explain`` by LayerCAM, as the service does for a recipe without an evidence map.
library   ``model.predict`` and ``Gradcam`` of tf-keras-vis, in batches. Only if it is installed:
          ``pip install --target FOLDER --no-deps tf-keras-vis deprecated``, then run with
          ``PYTHONPATH=FOLDER``.

If the recipe also predicts the mirror image of each scan, ``ours`` does twice the work of ``usual``
and ``library``, which predict the scan only.
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
    """Compute Grad-CAM as many notebooks do."""
    for image in images.astype(np.float32)[..., None]:
        label = int(model.predict(image[None], verbose=0)[0].argmax())
        features_and_logits = keras.Model(
            model.inputs[0], [model.get_layer("features").output, model.outputs[0]]
        )
        with tf.GradientTape() as tape:
            features, logits = features_and_logits(image[None])
            score = logits[:, label]
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(0, 1, 2))
        heatmap = tf.nn.relu(tf.reduce_sum(features[0] * weights, axis=-1))
        tf.image.resize(heatmap[..., None], image.shape[:2]).numpy()


def library(model: keras.Model, images: np.ndarray) -> None:
    """Compute Grad-CAM with tf-keras-vis."""
    from tf_keras_vis.gradcam import Gradcam  # type: ignore[import-not-found]
    from tf_keras_vis.utils.scores import CategoricalScore  # type: ignore[import-not-found]

    scans = images.astype(np.float32)[..., None]
    for start in range(0, len(scans), BATCH):
        part = scans[start : start + BATCH]
        labels = model.predict(part, verbose=0).argmax(axis=1)
        score = CategoricalScore(labels.tolist())
        Gradcam(model, clone=False)(score, part, penultimate_layer="features")


def seconds_of(run: Callable[[np.ndarray], object], images: np.ndarray) -> float:
    """Return the run time in seconds."""
    started = time.perf_counter()
    run(images)
    return time.perf_counter() - started


def compare(name: str, scans: int, few: int, repeats: int, table: Table) -> None:
    """Measure each method for a recipe and add its rows to the table."""
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

    methods: dict[str, tuple[Callable[[np.ndarray], object], int]] = {
        "answers": (predictor.predict, scans),
        "ours": (ours, scans),
        "usual": (lambda images: usual(model, images), few),
    }
    if recipe.evidence is None:
        methods["LayerCAM"] = (lambda images: explain(predictor, images), scans)
    try:
        import tf_keras_vis  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        pass
    else:
        methods["library"] = (lambda images: library(model, images), scans)
    rates: dict[str, list[float]] = {method: [] for method in methods}
    for turn in range(repeats + 1):
        for method, (run, count) in methods.items():
            rate = count / seconds_of(run, images[:count])
            if turn:  # the first turn compiles the functions
                rates[method].append(rate)
    medians = {method: statistics.median(values) for method, values in rates.items()}
    for method, value in medians.items():
        ratio = f"{medians['ours'] / value:.2f}" if method != "ours" else ""
        table.add_row(name, method, f"{value:.1f}", ratio)


def main() -> None:
    """Measure each recipe and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=[Settings().default_recipe])
    parser.add_argument("--scans", type=int, default=256)
    parser.add_argument("--few", type=int, default=4, help="number of scans for the method usual")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    table = Table("recipe", "method", "scans/s", "ours / method")
    for name in options.recipes:
        compare(name, options.scans, options.few, options.repeats, table)
        keras.backend.clear_session()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
