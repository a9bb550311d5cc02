"""The OpenAPI document: what FastAPI finds in the routes, with our problems in place of its own error schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from api.data_rights import EXPORT_LINE
from api.fields import METADATA_VALUE, METADATA_VALUE_SCHEMA
from api.problems import ReadinessProblem, ValidationProblem, add_error_responses
from api.secured_route import SecuredRoute
from api.streaming import TURN_EVENT
from data_rights.lines import EXPORT_LINE_ADAPTER
from errors import Forbidden, IdentityUnavailable, InvalidRequest, RateLimited, Unauthenticated
from events import EVENT_ADAPTER
from identity.authenticator import MAX_USER_LENGTH
from models import Problem
from records import without_null

REF_TEMPLATE = "#/components/schemas/{model}"
DESCRIPTION = """\
Chat with an agent that picks its tools at run time. Create a thread, send it messages, read the answers.

Every error is `application/problem+json` (RFC 9457): match on `type`, show `title`, wait `retry_after` seconds if `retryable`.
"""


# InvalidRequest: X-User-Id may be no name.
SECURED_ERRORS = (InvalidRequest, Unauthenticated, Forbidden, RateLimited, IdentityUnavailable)
USER_ID = {
    "name": "X-User-Id",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_USER_LENGTH, "pattern": r"^[\x20-\x7e]+$"},
    "description": "With an API key: the user that the request acts for; left out, it is the key's name.",
}
UNIONS: tuple[tuple[str, TypeAdapter[Any], str], ...] = (
    (TURN_EVENT, EVENT_ADAPTER, "One event of a turn"),
    (EXPORT_LINE, EXPORT_LINE_ADAPTER, "One line of an export"),
)
SCHEMES = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Name the end user in `X-User-Id`."},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An Entra ID access token."},
}


def operation_id(route: APIRoute) -> str:
    """Return what generated clients call a route: its function's name."""
    return route.name


def install_openapi(app: FastAPI) -> None:
    """Make ``app.openapi()`` return the completed document."""
    app.description = DESCRIPTION
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = _without_null_parameters(_with_problems(make()))
            app.openapi_schema = _with_whole_examples(_with_security(document, app), app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    _, definitions = models_json_schema(
        [(Problem, "serialization"), (ReadinessProblem, "serialization"), (ValidationProblem, "serialization")],
        ref_template=REF_TEMPLATE,
    )
    schemas.update(definitions["$defs"])
    for name, adapter, what in UNIONS:
        union = adapter.json_schema(mode="serialization", ref_template=REF_TEMPLATE)
        schemas.update(union.pop("$defs"))
        schemas[name] = {**union, "title": name, "description": f"{what}; `type` tells which."}
    schemas[METADATA_VALUE] = METADATA_VALUE_SCHEMA
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _without_null_parameters(document: dict[str, Any]) -> dict[str, Any]:
    """Say of optional headers and query parameters what they are when they are there: none of them can be ``null``."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                without_null(parameter["schema"])
    return document


def _with_security(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    """Declare how callers sign in, and what every secured route may answer besides its own errors."""
    document["components"]["securitySchemes"] = SCHEMES
    for route, operation in _operations(document, app):
        if isinstance(route, SecuredRoute):
            operation.setdefault("parameters", []).append(USER_ID)
            operation["security"] = [{name: []} for name in SCHEMES]
            add_error_responses(operation["responses"], *SECURED_ERRORS)
    return document


def _with_whole_examples(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    """Put the examples of answers back as they are: FastAPI takes what is ``null`` out of them."""
    for route, operation in _operations(document, app):
        for status, response in route.responses.items():
            for media_type, content in response.get("content", {}).items():
                if "example" in content:
                    operation["responses"][str(status)]["content"][media_type]["example"] = content["example"]
    return document


def _operations(document: dict[str, Any], app: FastAPI) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    """Yield the routes that are described, each with its description."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield route, document["paths"][str(context.path)][method.lower()]
