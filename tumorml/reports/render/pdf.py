"""A document as PDF, typeset by Typst, which needs no system libraries and no network."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import typst
from matplotlib import get_data_path
from PIL import Image

from tumorml.reports.document import Block, Document, Picture, Pictures

_FULL_WIDTH_PIXELS = 1296
"""Width in pixels of a figure that fills the page; narrower figures take their share of it."""


def pdf_document(document: Document) -> bytes:
    """Render a document on A4 pages."""
    template = (files("tumorml.reports.render") / "templates/document.typ").read_bytes()
    # Typst's own fonts lack some letters that matplotlib's fonts have.
    fonts = Path(get_data_path()) / "fonts/ttf"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "document.typ").write_bytes(template)
        fields = {
            name: getattr(document, name)
            for name in ("title", "outcome", "headline", "reason", "byline")
        }
        sections = [
            {
                "title": section.title,
                "blocks": [_block_fields(block, folder) for block in section.blocks],
            }
            for section in document.sections
        ]
        (folder / "document.json").write_text(
            json.dumps({**fields, "sections": sections}), encoding="utf-8"
        )
        pdf = typst.compile(folder / "document.typ", font_paths=[fonts])
    if not isinstance(pdf, bytes):
        raise TypeError(f"typst returned {type(pdf)} instead of the bytes of one PDF")
    return pdf


def _block_fields(block: Block, folder: Path) -> dict[str, Any]:
    if isinstance(block, Pictures):
        pictures = [_picture_fields(picture, folder) for picture in block.pictures]
        return {"kind": block.kind, "columns": block.columns, "pictures": pictures}
    return {"kind": block.kind, **asdict(block)}


def _picture_fields(picture: Picture, folder: Path) -> dict[str, Any]:
    if picture.png is None:
        return {"file": None, "caption": picture.caption}
    path = folder / f"{len(list(folder.iterdir()))}.png"
    path.write_bytes(picture.png)
    with Image.open(io.BytesIO(picture.png)) as image:
        share = min(1.0, image.width / _FULL_WIDTH_PIXELS)
    return {"file": path.name, "caption": picture.caption, "share": share}
