"""What the layers of a network make of a scan, as one sheet for people."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from tumorml.explain.drawing import INK, colours, font

if TYPE_CHECKING:
    import keras

MOST_MAPS = 32
"""Of a layer on a sheet."""

_COLUMNS = 8
_CELL = 96
_GAP = 4
_TITLE = 24


def feature_maps(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """The last feature maps of each resolution, up to the layer `features`.

    Args:
        model: float32 `[n, S, S, 1]` in 0..255 to logits.
        image: uint8 `[S, S]`.

    Returns:
        By layer, in order: float32 `[h, w, channels]`.
    """
    import keras

    layers = keras.Model(model.inputs[0], model.get_layer("features").output).layers
    last = {layer.output.shape[1]: layer for layer in layers if len(layer.output.shape) == 4}
    if len(last) > 1:
        last.pop(len(image), None)  # the scan itself
    network = keras.Model(model.inputs[0], {layer.name: layer.output for layer in last.values()})
    maps = network(image.astype(np.float32)[None, ..., None], training=False)
    return {layer.name: np.asarray(maps[layer.name][0], np.float32) for layer in last.values()}


def sheet_png(maps: dict[str, np.ndarray]) -> bytes:
    """All maps of each layer, or the `MOST_MAPS` that vary most; dark is nothing.

    The colour map is matplotlib's viridis, which is perceptually uniform; a layer's maps share one
    scale, from its least to its largest value.

    Args:
        maps: by layer, float32 `[h, w, channels]`.

    Returns:
        A PNG, RGB.
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
    which = f"{channels}" if len(shown) == channels else f"{len(shown)} of {channels}"
    title = f"{name}: {which} maps of {height} x {width}, {low:.2g} (dark) to {high:.2g} (bright)"
    ImageDraw.Draw(block).text((_GAP, _GAP), title, INK, font())
    levels = (255 * (values - low) / max(high - low, 1e-12)).astype(np.uint8)
    for place, channel in enumerate(shown):
        row, column = divmod(place, _COLUMNS)
        cell = Image.fromarray(colours("viridis")[levels[..., channel]])
        block.paste(
            cell.resize((_CELL, _CELL), Image.Resampling.NEAREST),
            (_GAP + column * (_CELL + _GAP), _TITLE + row * (_CELL + _GAP)),
        )
    return block
