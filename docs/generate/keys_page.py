"""The page of the object store's keys, from the functions of ``tumorml.objects.keys``."""

from __future__ import annotations

import inspect
from datetime import date
from typing import Any

from markdown import code, page, prose, table

from tumorml.objects import keys


class Placeholder(str):
    """A name in angle brackets; its first characters are written as ``<aa>``."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> str:
        """Return ``<aa>``, the first two characters of a digest."""
        return "<aa>"


SAMPLES = {"run_file_key": "<file>", "model_file_key": "<file>", "drop_key": "<drop>"}
"""Placeholder of the parameter ``name`` of each function."""


def keys_page() -> str:
    """Return the page: one row per function that builds a key."""
    rows = [
        (code(_sample(name, function)), prose(function.__doc__), code(name))
        for name, function in vars(keys).items()
        if inspect.isfunction(function) and not name.startswith("_")
    ]
    return page(
        "Object keys",
        "tumorml/objects/keys.py",
        "All keys of the object store, relative to its root. Users write under `inbox/` only. "
        "`<aa>` is the first two characters of a scan id.",
        table(("key", "content", "function"), rows),
    )


def _sample(name: str, function: Any) -> str:
    values: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.annotation is int:
            values[parameter.name] = 1
        elif parameter.annotation is bytes:
            values[parameter.name] = b""
        elif parameter.annotation is date:
            values[parameter.name] = date(2026, 1, 31)
        elif parameter.name == "name":
            values[parameter.name] = SAMPLES.get(name, "<name>")
        elif parameter.name == "model_folder":
            values[parameter.name] = keys.model_key("<model>")
        else:
            values[parameter.name] = Placeholder(
                f"<{parameter.name.removesuffix('_id').removesuffix('_version')}>"
            )
    return str(function(**values)).replace("-e3b0c442", "-<digest>").replace("2026-01-31", "<day>")
