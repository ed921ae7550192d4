"""Feature maps of a network for one scan, drawn as one sheet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from tumorml.explain.drawing import INK, color_map, font

if TYPE_CHECKING:
    import keras

MOST_MAPS = 32
"""Largest number of maps of a layer on a sheet."""

_COLUMNS = 8
_CELL = 96
_GAP = 4
_TITLE = 24


def feature_maps(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the last feature maps of each resolution, up to the layer `features`.

    Args:
        model: A network from float32 `[n, S, S, 1]` in 0..255 to logits.
        image: uint8 `[S, S]`.

    Returns:
        float32 `[h, w, channels]` by layer name, in the order of the layers.
    """
    import keras

    layers = keras.Model(model.inputs[0], model.get_layer("features").output).layers
    last = {layer.output.shape[1]: layer for layer in layers if len(layer.output.shape) == 4}
    if len(last) > 1:
        last.pop(len(image), None)  # the input itself
    network = keras.Model(model.inputs[0], {layer.name: layer.output for layer in last.values()})
    maps = network(image.astype(np.float32)[None, ..., None], training=False)
    return {layer.name: np.asarray(maps[layer.name][0], np.float32) for layer in last.values()}


def sheet_png(maps: dict[str, np.ndarray]) -> bytes:
    """Draw the maps of each layer, at most the `MOST_MAPS` with the highest standard deviation.

    The color map is matplotlib's viridis, which is perceptually uniform. All maps of a layer share
    one scale, from the layer's lowest value (dark) to its highest.

    Args:
        maps: float32 `[h, w, channels]` by layer name.

    Returns:
        A PNG image, RGB.
    """
    blocks = [_block(name, values) for name, values in maps.items()]
    sheet = Image.new("RGB", (blocks[0].width, sum(block.height for block in blocks)), "white")
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=6)
    return file.getvalue()


def _block(name: str, values: np.ndarray) -> Image.Image:
    height, width, channels = values.shape
    shown = np.sort(np.argsort(-values.std(axis=(0, 1)), kind="stable")[:MOST_MAPS])
    low, high = float(values.min()), float(values.max())
    rows = -(-len(shown) // _COLUMNS)
    block = Image.new(
        "RGB", (_COLUMNS * (_CELL + _GAP) + _GAP, _TITLE + rows * (_CELL + _GAP) + _GAP), "white"
    )
    number = f"{channels}" if len(shown) == channels else f"{len(shown)} of {channels}"
    title = f"{name}: {number} maps of {height} x {width}, {low:.2g} (dark) to {high:.2g} (bright)"
    ImageDraw.Draw(block).text((_GAP, _GAP), title, INK, font())
    levels = (255 * (values - low) / max(high - low, 1e-12)).astype(np.uint8)
    for place, channel in enumerate(shown):
        row, column = divmod(place, _COLUMNS)
        cell = Image.fromarray(color_map("viridis")[levels[..., channel]])
        block.paste(
            cell.resize((_CELL, _CELL), Image.Resampling.NEAREST),
            (_GAP + column * (_CELL + _GAP), _TITLE + row * (_CELL + _GAP)),
        )
    return block
