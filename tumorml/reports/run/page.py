"""A document as one HTML page that needs nothing else."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tumorml.reports.run.document import Document


def html_page(document: Document) -> str:
    """The page, its pictures inlined."""
    environment = Environment(
        loader=PackageLoader("tumorml.reports"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_url"] = _data_url
    return environment.get_template("document.html").render(document=document)


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
