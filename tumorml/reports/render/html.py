"""Pages that need nothing else: whatever is put into a template is escaped, pictures inlined."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render_page(template: str, *, package: str = "tumorml.reports.render", **values: Any) -> str:
    """The page of a template of a package, which may include what lies beside the reports'.

    Its filter ``data_url`` inlines a PNG.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("tumorml.reports.render")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_url"] = data_url
    return environment.get_template(template).render(values)


def data_url(picture: bytes, media_type: str = "image/png") -> str:
    """A picture as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
