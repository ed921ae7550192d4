"""Parser of docker-compose.yml: anchors, merges, and `${VARIABLE}` from a `.env` file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tumorml.settings import PROJECT_ROOT

COMPOSE_FILE = PROJECT_ROOT / "docker-compose.yml"

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<operator>:?[?-])(?P<word>[^}]*))?\})"
)


class UnsetVariableError(Exception):
    """A variable that the file requires is missing or empty."""


def parse(path: Path = COMPOSE_FILE) -> dict[str, Any]:
    """Return the file with anchors and merges resolved and `${...}` unchanged."""
    parsed: dict[str, Any] = yaml.safe_load(path.read_text())
    return parsed


def resolve(variables: Mapping[str, str], path: Path = COMPOSE_FILE) -> dict[str, Any]:
    """Return the file with all variables replaced.

    Raises:
        UnsetVariableError: A required variable is missing or empty.
    """
    resolved: dict[str, Any] = _interpolate(parse(path), variables)
    return resolved


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file with `NAME=value` lines."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def required_variables() -> set[str]:
    """Return the names of all required variables."""
    return {
        match["name"]
        for text in _texts(parse())
        for match in _VARIABLE.finditer(text)
        if (match["operator"] or "").endswith("?")
    }


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _interpolate(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return _VARIABLE.sub(lambda match: _value(match, variables), node)
    if isinstance(node, Mapping):
        return {key: _interpolate(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolate(value, variables) for value in node]
    return node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    value = variables.get(match["name"])
    operator = match["operator"] or ""
    lacking = not value if operator.startswith(":") else value is None
    if lacking and operator.endswith("?"):
        raise UnsetVariableError(f"{match['name']}: {match['word']}")
    if lacking:
        return match["word"] if operator else ""
    return str(value)
