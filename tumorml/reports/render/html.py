"""Self-contained HTML pages from templates: values are escaped, pictures inlined."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render_page(template: str, *, package: str = "tumorml.reports.render", **values: Any) -> str:
    """Render a template of a package; it may include the templates of this package.

    The filter ``data_url`` inlines a PNG.

    Args:
        template: File name of the template.
        package: Package whose folder ``templates`` is searched first.
        values: Variables of the template.
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
    """Return a picture as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
