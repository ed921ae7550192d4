"""Docstrings below the attributes of a class, which Python itself does not keep."""

from __future__ import annotations

import ast
import inspect
import textwrap


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the docstring of each annotated attribute of a class, by attribute name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = tree.body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{owner} is not defined by a class statement")
    docs: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            docs[statement.target.id] = following.value.value
    return docs
