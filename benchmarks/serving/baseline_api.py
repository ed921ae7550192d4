"""FastAPI app that serves a Keras model as most projects do; the baseline of `api.py`.

Each request is decoded, resized and given to `model.predict`. For a heatmap, a Grad-CAM model is
built in each call, and the PNG is returned as a list of numbers. Environment variables: `MODEL` is
the path of the Keras file, `LABELS` the comma-separated class names, `LAYER` the layer of Grad-CAM.
"""

from __future__ import annotations

import io
import os
from typing import Annotated, Any

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from fastapi import FastAPI, File
from matplotlib import colormaps
from PIL import Image

app = FastAPI()
model = keras.models.load_model(os.environ["MODEL"], compile=False)
LABELS = os.environ["LABELS"].split(",")
LAYER = os.environ["LAYER"]


def grad_cam(scan: np.ndarray, index: int) -> np.ndarray:
    """Return a Grad-CAM heatmap in [0, 1], with a model and gradient tape built for this call."""
    features_and_logits = keras.Model(
        model.inputs, [model.get_layer(LAYER).output, model.outputs[0]]
    )
    with tf.GradientTape() as tape:
        features, logits = features_and_logits(scan)
        score = logits[:, index]
    weights = tf.reduce_mean(tape.gradient(score, features), axis=(0, 1, 2))
    heatmap = tf.nn.relu(tf.reduce_sum(features[0] * weights, axis=-1)).numpy()
    return np.asarray(heatmap) / max(float(heatmap.max()), 1e-8)


@app.post("/predict")
def predict(images: Annotated[bytes, File()], heatmap: str = "none") -> dict[str, Any]:
    """Predict one image."""
    size = model.input_shape[1]
    image = Image.open(io.BytesIO(images)).convert("L").resize((size, size))
    scan = np.asarray(image, np.float32)[None, ..., None]
    probabilities = tf.nn.softmax(model.predict(scan, verbose=0))[0].numpy()
    index = int(probabilities.argmax())
    answer: dict[str, Any] = {
        "label": LABELS[index],
        "probabilities": dict(zip(LABELS, probabilities.tolist(), strict=True)),
    }
    if heatmap != "none":
        levels = Image.fromarray((grad_cam(scan, index) * 255).astype(np.uint8))
        heat = np.asarray(levels.resize((256, 256)))
        gray = np.asarray(image.convert("RGB").resize((256, 256)), np.float32)
        blended = 0.6 * gray + 0.4 * 255 * colormaps["jet"](heat)[..., :3]
        file = io.BytesIO()
        Image.fromarray(blended.astype(np.uint8)).save(file, "PNG")
        answer["heatmap"] = list(file.getvalue())
    return answer
