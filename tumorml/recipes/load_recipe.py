"""Read recipes, without TensorFlow."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tumorml.errors import TumorMLError
from tumorml.recipes.recipe import Recipe

RECIPE_FOLDER = Path(__file__).resolve().parent
"""Folder of the packaged recipes, one ``<name>.toml`` each."""


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    return sorted(path.stem for path in RECIPE_FOLDER.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Read a packaged recipe by name, or a recipe file by a path that ends in .toml.

    Raises:
        TumorMLError: The recipe does not exist or is not valid.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path).expanduser()
    else:
        path = RECIPE_FOLDER / f"{name_or_path}.toml"
        if name_or_path not in recipe_names():
            raise TumorMLError(
                f"There is no recipe {name_or_path!r}. Packaged recipes: "
                f"{', '.join(recipe_names())}. "
                "For a recipe of your own, give the path of its file, ending in .toml."
            )
    try:
        # Editors on Windows write a byte order mark at the start of a file.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TumorMLError(f"Recipe file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TumorMLError(f"Recipe file {path} cannot be read: it is not UTF-8 text.") from error
    return recipe_from_text(text, source=str(path))


def recipe_from_text(text: str, source: str = "recipe") -> Recipe:
    """Parse the TOML text of a recipe.

    Args:
        text: The TOML text.
        source: Name of the text in error messages.

    Raises:
        TumorMLError: The text is not TOML, or a key is unknown, missing or out of range. The
            message names the source, each key and the reason.
    """
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TumorMLError(f"{source} is not valid TOML: {error}.") from error
    try:
        recipe = Recipe.model_validate(fields)
    except ValidationError as error:
        details = error.errors()
        # For a list with an invalid item, pydantic also reports the list as empty.
        lists_with_errors = {detail["loc"][:1] for detail in details if len(detail["loc"]) > 1}
        reasons = "; ".join(
            _reason(detail) for detail in details if detail["loc"] not in lists_with_errors
        )
        raise TumorMLError(f"{source} is not a valid recipe: {reasons}.") from error
    return recipe.with_text(text)


def _reason(detail: Any) -> str:
    """Return one validation error as `key: reason`."""
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{key}: there is no such key"
    if detail["type"] == "missing":
        return f"{key}: this key is missing"
    if detail["type"] in ("tuple_type", "too_short"):
        return f"{key}: write one section [[{key}]] (double brackets) for each"
    if not isinstance(detail["input"], str | int | float):
        return f"{key}: {message}" if key else message
    return f"{key}: {message} (got {detail['input']!r:.80})"
