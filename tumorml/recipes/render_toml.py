"""Render a recipe's fields as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render_toml(fields: Mapping[str, Any]) -> str:
    """Render fields as TOML: values, then tables, then arrays of tables.

    Args:
        fields: JSON values; a mapping becomes a table, a list of mappings an array of tables.
    """
    values = [
        f"{key} = {_render_value(value)}"
        for key, value in fields.items()
        if not isinstance(value, dict | list)
    ]
    tables = [
        _render_table(f"[{key}]", table) for key, table in fields.items() if isinstance(table, dict)
    ]
    arrays = [
        _render_table(f"[[{key}]]", table)
        for key, array in fields.items()
        if isinstance(array, list)
        for table in array
    ]
    return "\n\n".join("\n".join(lines) for lines in [values, *tables, *arrays]) + "\n"


def _render_table(header: str, table: Mapping[str, Any]) -> list[str]:
    return [header, *(f"{key} = {_render_value(value)}" for key, value in table.items())]


def _render_value(value: bool | int | float | str) -> str:
    # A JSON string is a TOML basic string, except for DEL, which TOML requires to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
