"""The page of the command line, from the typer application."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer
from markdown import code, page, prose, table
from model_fields import default_text

from tumorml.cli import app


def cli_page() -> str:
    """Return the page: one section per command, in the order of ``tumorml --help``."""
    root = typer.main.get_command(app)
    parts = [_parameters(root)]
    panel = None
    for path, command in _commands(root, ()):
        heading = getattr(command, "rich_help_panel", None)
        if len(path) == 1 and isinstance(heading, str) and heading != panel:
            panel = heading
            parts.append(f"## {panel}")
        parts += [f"### `tumorml {' '.join(path)}`", prose(command.help), _parameters(command)]
    return page(
        "Command line",
        "tumorml/cli",
        "Every command has `--help`. Options of `tumorml` itself stand before the command, for "
        "example `tumorml --quiet status`.",
        *parts,
    )


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        if not command.hidden:
            yield (*path, name), command
            yield from _commands(command, (*path, name))


def _parameters(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or "--show-completion" in parameter.opts:
            continue
        help_text = prose(getattr(parameter, "help", None))
        if parameter.param_type_name == "argument":
            rows.append((code(parameter.name), "argument", _default(parameter), help_text))
        else:
            names = ", ".join(code(option) for option in parameter.opts + parameter.secondary_opts)
            rows.append((names, _kind(parameter), _default(parameter), help_text))
    return table(("parameter", "type", "default", "meaning"), rows) if rows else ""


def _kind(option: Any) -> str:
    annotation = option.type_descriptor.annotation
    if option.is_flag:
        return "flag"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(code(choice.value) for choice in annotation)
    name = getattr(annotation, "__name__", str(annotation))
    name = {"str": "text", "int": "integer", "Path": "path"}.get(name, name)
    return ", ".join(
        [name]
        + ([f"≥ {option.min}"] if option.min is not None else [])
        + ([f"≤ {option.max}"] if option.max is not None else [])
    )


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if callable(value) or value is None or value is False:
        return ""
    return default_text(getattr(value, "value", value))
