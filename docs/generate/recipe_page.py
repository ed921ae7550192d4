"""The page of a recipe's keys, from the pydantic models of ``tumorml.recipes.recipe``."""

from __future__ import annotations

from markdown import code, page, prose, table
from model_fields import field_rows, sections_of

from tumorml.recipes.recipe import Recipe
from tumorml.recipes.registry import NETWORKS

HEAD = ("key", "type", "default", "meaning")


def recipe_page() -> str:
    """Return the page: the keys at the top of the file, then those of each section."""
    parts = ["## Top of the file", table(HEAD, field_rows(Recipe))]
    for name, field in Recipe.model_fields.items():
        for section in sections_of(field):
            repeated = "[[{}]]" if name.endswith("phases") else "[{}]"
            parts.append(f"## `{repeated.format(name)}`")
            parts.append(prose(field.description) or prose(section.__doc__))
            if name != "warm_phases":
                parts.append(table(HEAD, field_rows(section)))
            else:
                parts.append("The keys are those of `[[phases]]`.")
    parts += ["## Networks", "\n".join(f"- {code(name)}" for name in sorted(NETWORKS))]
    return page(
        "Recipe keys",
        "tumorml/recipes/recipe.py and sections.py",
        "Every key of a recipe's TOML file. [Recipes](recipes.md) explains how to use them and "
        "what the packaged recipes reach.",
        *parts,
    )
