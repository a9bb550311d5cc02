"""The OpenAPI document that the fuzzer reads: it promises more than what clients are told."""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI

from api import fields, ndjson, sse


def make_strict(app: FastAPI) -> None:
    """Let an app serve the strict document in place of its own."""
    make = app.openapi
    app.openapi = lambda: strict(make())  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document that allows nothing which this version does not do.

    Clients bear with fields that they do not know. Here one is a mistake: it is not described.
    Generators of clients stumble over a schema that refers to itself, and over a stream that is more than a text.
    """
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    *_, array, mapping = schemas[fields.METADATA_VALUE]["anyOf"]
    array["items"] = mapping["additionalProperties"] = {"$ref": fields.METADATA_VALUE_REF}
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                _type_events(response.get("content", {}))
    return document


def _type_events(content: dict[str, Any]) -> None:
    """Describe each server-sent event instead of the stream's text: where lines are events, so is the data."""
    if sse.MEDIA_TYPE not in content:
        return
    data: dict[str, Any] = {"type": "string"}
    if ndjson.MEDIA_TYPE in content:
        data |= {"contentMediaType": "application/json", "contentSchema": content[ndjson.MEDIA_TYPE]["schema"]}
    properties = {"id": {"type": "string"}, "event": {"type": "string"}, "data": data}
    content[sse.MEDIA_TYPE]["schema"] = {"type": "object", "properties": properties, "required": ["event", "data"]}
