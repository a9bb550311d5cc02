"""The OpenAPI document: what FastAPI finds in the routes, with our problems in place of its own error schema."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from api.problems import ValidationProblem
from records import Problem

DESCRIPTION = """\
Chat with an agent that picks its tools at run time. Create a thread, send it messages, read the answers.

Every error is `application/problem+json` (RFC 9457): match on `type`, show `title`, wait `retry_after` seconds if `retryable`.
"""


def install_openapi(app: FastAPI) -> None:
    """Make ``app.openapi()`` return the completed document."""
    app.description = DESCRIPTION
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(make())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    _, definitions = models_json_schema(
        [(Problem, "serialization"), (ValidationProblem, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(definitions["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document
