"""Fields of pydantic models as rows of a table."""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from attribute_docs import attribute_docs
from markdown import code, prose
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tumorml.settings import PROJECT_ROOT


def default_text(value: Any) -> str:
    """Return a default as it would be written in a setting or in TOML; empty for none."""
    if value is None or value == "":
        return ""
    if isinstance(value, Path):
        inside = value.is_relative_to(PROJECT_ROOT)
        return f"`{value.relative_to(PROJECT_ROOT) if inside else value}`" + (
            " of the checkout" if inside else ""
        )
    return code(json.dumps(value) if isinstance(value, (bool, str)) else f"{value}")


def field_rows(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Return (key, type, default, description) of each field that is not a section."""
    docs = attribute_docs(model)
    return [
        (
            code(name),
            type_text(field),
            "required" if field.is_required() else _default(field),
            prose(field.description or docs.get(name)),
        )
        for name, field in model.model_fields.items()
        if not sections_of(field)
    ]


def sections_of(field: FieldInfo) -> list[type[BaseModel]]:
    """Return the models that a field holds: one for a section, none for a plain value."""
    candidates = [field.annotation, *get_args(field.annotation)]
    return [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]


def type_text(field: FieldInfo) -> str:
    """Return a field's type with its bounds, as a reader of TOML needs it."""
    name = _type_name(field.annotation)
    bounds = [
        f"{sign} {getattr(rule, attribute):g}"
        for rule in field.metadata
        for attribute, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if getattr(rule, attribute, None) is not None
    ]
    return ", ".join([name, *bounds])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return ", ".join(code(json.dumps(choice)) for choice in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type_name(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    names = {str: "text", int: "integer", bool: "true or false", float: "number", Path: "path"}
    return names.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    return default_text(field.get_default(call_default_factory=True)) or "none"
