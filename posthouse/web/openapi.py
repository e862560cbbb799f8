"""The OpenAPI document, made of the table of operations and of the types they take and answer with."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

import msgspec

import posthouse
from posthouse.web.faults import FaultBody
from posthouse.web.operation import Operation
from posthouse.web.shapes import shape_of

_REFERENCE: Final = "#/components/schemas/{name}"
_FAULT: Final = ("", "fault")
_FAULTS: Final = {
    "400": "The request is wrong. Nothing was changed.",
    "403": "It comes from a page of another origin, or without the CSRF token. Nothing was changed.",
    "404": "There is no such thing. Nothing was changed.",
    "409": "It cannot be done as things are. Nothing was changed.",
    "413": "The body is too large. Nothing was changed.",
    "415": "The body is not JSON. Nothing was changed.",
    "422": "Nobody would get the message. Nothing was changed.",
    "503": "The broker could not be asked, or did not answer in time: `outcome` says whether it may be done.",
}


def document(operations: Iterable[Operation], root: str) -> dict[str, Any]:
    """The whole document."""
    operations = tuple(operations)
    types: dict[tuple[str, str], Any] = {_FAULT: FaultBody}
    for one in operations:
        if one.query is not None:
            types[one.name, "query"] = one.query
        if one.body is not None:
            types[one.name, "body"] = one.body
        if not one.is_response:
            types[one.name, "answer"] = shape_of(one.answer)
    found, components = msgspec.json.schema_components(types.values(), ref_template=_REFERENCE)
    schemas = dict(zip(types, found, strict=True))
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "posthouse",
            "version": posthouse.__version__,
            "description": "The broker's API. Names in paths are percent-encoded. See docs/http-api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(one: Operation, schemas: dict[tuple[str, str], Any], components: dict[str, Any]) -> dict[str, Any]:
    names = [part[1:-1] for part in one.parts if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    if one.query is not None:
        parameters += _parameters(components[schemas[one.name, "query"]["$ref"].rpartition("/")[2]])
    if one.is_response:
        content: dict[str, Any] = {one.media_type: {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": schemas[one.name, "answer"]}}
    described: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.parts[0]],
        "summary": one.summary,
        "parameters": parameters,
        "responses": {"200": {"description": "Done.", "content": content}} | _faults(schemas),
    }
    doc = inspect.getdoc(one.run) or ""
    if "\n\n" in doc:
        described["description"] = doc.partition("\n\n")[2]
    if one.body is not None:
        body = {"application/json": {"schema": schemas[one.name, "body"]}}
        described["requestBody"] = {"required": not one.is_body_optional, "content": body}
    return described


def _parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": shape}
        for name, shape in schema["properties"].items()
    ]


def _faults(schemas: dict[tuple[str, str], Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schemas[_FAULT]}}
    return {status: {"description": text, "content": content} for status, text in _FAULTS.items()}
