"""The page of the HTTP API's paths and schemas, from its OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from markdown import code, page, prose, table

from tumorml.serving.api.app import create_app
from tumorml.settings import Settings


def api_page() -> str:
    """Return the page: parameters and responses of each path, then the schemas."""
    document = create_app(Settings()).openapi()
    parts = ["## Paths"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += [f"### `{method.upper()} {path}`", prose(operation.get("description"))]
            parts += [_parameters(operation), _responses(operation)]
    parts.append("## Schemas")
    schemas = document["components"]["schemas"]
    for schema in list(schemas.values()):
        schemas |= schema.get("$defs", {})
    for name, schema in schemas.items():
        parts += [f"### {name}", prose(schema.get("description")), _properties(schema)]
    return page(
        "API paths and schemas",
        "the OpenAPI document of tumorml/serving/api",
        "The running API serves the same as a document at `/openapi.json`. "
        "[The API](api.md) explains the answers, keys and limits.",
        *parts,
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = [
        (
            code(one["name"]),
            one["in"],
            _type(one["schema"]),
            "required" if one.get("required") else _default(one["schema"]),
            prose(one.get("description") or one["schema"].get("description")),
        )
        for one in operation.get("parameters", [])
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        rows.append(("body", code(kind), _type(content["schema"]), "required", ""))
    return table(("parameter", "in", "type", "default", "meaning"), rows) if rows else ""


def _responses(operation: dict[str, Any]) -> str:
    rows = []
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        types = [
            " ".join(filter(None, (code(kind), _type(body.get("schema", {})))))
            for kind, body in content.items()
        ]
        rows.append((code(status), prose(response.get("description")), ", ".join(types)))
    return table(("status", "meaning", "content"), rows)


def _properties(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "One of " + ", ".join(code(json.dumps(value)) for value in schema["enum"]) + "."
    rows = [
        (code(name), _type(field), prose(field.get("description")))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "meaning"), rows) if rows else ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(code(json.dumps(value)) for value in schema["enum"])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    name = str(schema.get("type", ""))
    name += f" ({schema['format']})" if "format" in schema else ""
    limits = [
        f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"))
        if key in schema
    ]
    return ", ".join([name, *limits])


def _default(schema: dict[str, Any]) -> str:
    return code(json.dumps(schema["default"])) if schema.get("default") is not None else ""
