"""Errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from errors import ChatError, Forbidden, InternalError, InvalidRequest, NotReady, Unauthenticated
from models import Problem
from records import Record

MEDIA_TYPE = "application/problem+json"
PLAIN = {"$ref": "#/components/schemas/Problem"}
# What the framework itself answers with: type and title for each status; any other is an internal error.
HTTP_PROBLEMS = {
    404: ("not_found", "Not found", "There is nothing at this address."),
    405: ("method_not_allowed", "Method not allowed", "This address does not take this method."),
    408: ("body_too_slow", "Body too slow", "The request body did not arrive in time."),
    413: ("body_too_large", "Body too large", "The request body is larger than 256 KB."),
    415: ("unsupported_media_type", "Unsupported media type", "Send the body as application/json."),
}


class FieldError(Record):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where: `body.content`, `query.limit`, `header.Idempotency-Key`, …")
    message: str


class ValidationProblem(Problem):
    """A request that is not valid, with every field that is wrong."""

    errors: tuple[FieldError, ...] = ()


class ReadinessProblem(Problem):
    """The service cannot answer messages, and why."""

    failing: tuple[str, ...] = Field((), description="What does not work: `store`, `model`, `limits`.")


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Render a problem, with ``Retry-After`` where waiting helps."""
    headers = dict(headers or {})
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return Response(problem.model_dump_json(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def error_response(error: ChatError, request_id: str, *, cause: BaseException | None = None) -> Response:
    """Render an error as a problem, whose detail tells the ``cause`` if one is given."""
    problem = Problem.of(error, request_id, cause=cause)
    if isinstance(error, InvalidRequest):
        errors = tuple(FieldError(field=field, message=message) for field, message in error.errors)
        problem = ValidationProblem(**problem.model_dump(), errors=errors)
    if isinstance(error, NotReady) and error.failing:
        problem = ReadinessProblem(**problem.model_dump(), failing=error.failing)
    return problem_response(problem, _challenge(error))


def install_error_handlers(app: FastAPI, *, dev_mode: bool) -> None:
    """Make every error of the app and of the framework a problem; in ``dev_mode`` those of our side tell their cause."""

    @app.exception_handler(ChatError)
    async def chat_error(request: Request, error: ChatError) -> Response:
        return error_response(error, request_id(request), cause=error if dev_mode and error.status >= 500 else None)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        invalid = InvalidRequest([(_field(item["loc"]), _reason(item)) for item in error.errors()])
        return error_response(invalid, request_id(request))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code not in HTTP_PROBLEMS:
            return error_response(InternalError(), request_id(request))
        slug, title, detail = HTTP_PROBLEMS[error.status_code]
        problem = Problem(
            type=slug,
            title=title,
            status=error.status_code,
            detail=detail,
            retryable=False,
            request_id=request_id(request),
        )
        headers = {}
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed_methods(request))
        if error.status_code in (408, 413):
            # Nobody will read the rest of the body.
            headers["Connection"] = "close"
        return problem_response(problem, headers)


def request_id(request: Request) -> str:
    """Return the id that the request's response will carry."""
    id: str = request.scope["request_id"]
    return id


def error_responses(*errors: type[ChatError]) -> dict[int | str, dict[str, Any]]:
    """Describe errors for a route's OpenAPI ``responses``: one entry a status, with an example for each type."""
    responses: dict[int | str, dict[str, Any]] = {}
    add_error_responses(responses, *errors, InternalError)
    return responses


def add_error_responses(responses: dict[Any, dict[str, Any]], *errors: type[ChatError]) -> None:
    """Describe further errors in a route's ``responses``."""
    for error in errors:
        schema = {"$ref": f"#/components/schemas/{_schema_name(error)}"}
        empty = {"description": error.title, "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}
        response = responses.setdefault(str(error.status), empty)
        if error.title.lower() not in response["description"].lower():
            response["description"] += f"; {error.title[0].lower()}{error.title[1:]}"
        content = response["content"][MEDIA_TYPE]
        content["examples"][error.type] = {"value": _example(error)}
        content["schema"] = _either(content["schema"], schema)


def http_error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the framework's own errors for a route's OpenAPI ``responses``."""
    return {
        status: {
            "description": HTTP_PROBLEMS[status][1],
            "content": {MEDIA_TYPE: {"schema": PLAIN}},
        }
        for status in statuses
    }


# What any route with a JSON body may answer.
BODY_ERRORS = http_error_responses(408, 413, 415)


def _challenge(error: ChatError) -> dict[str, str]:
    """Return the header that tells how to sign in, or what is missing (RFC 6750, section 3)."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="chat", ApiKey realm="chat"'}
    if isinstance(error, Forbidden):
        return {"WWW-Authenticate": f'Bearer realm="chat", error="insufficient_scope", scope="{error.scope}"'}
    return {}


def _schema_name(error: type[ChatError]) -> str:
    if issubclass(error, InvalidRequest):
        return "ValidationProblem"
    return "ReadinessProblem" if issubclass(error, NotReady) else "Problem"


def _either(schema: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what is one or the other. All are plain problems, too: a client tries that one last."""
    kinds = schema.get("anyOf", [schema])
    return schema if other in kinds else {"anyOf": sorted([*kinds, other], key=PLAIN.__eq__)}


def _example(error: type[ChatError]) -> dict[str, Any]:
    example: dict[str, Any] = {"type": error.type, "title": error.title, "status": error.status, "detail": "…"}
    if issubclass(error, InvalidRequest):
        example["errors"] = [{"field": "body.content", "message": "must not be empty"}]
    if issubclass(error, NotReady):
        example["failing"] = ["store"]
    return {**example, "retryable": error.retryable, "request_id": "req_0d5b…"}


def _field(location: Sequence[int | str]) -> str:
    """Return the path of a field; a body that is no JSON at all has only a position, which is no field."""
    return ".".join(
        str(part) for part in location if not (location[0] == "body" and isinstance(part, int)) or len(location) > 2
    )


def _reason(item: Any) -> str:
    if item["type"] == "json_invalid":
        return "not valid JSON"
    reason: str = item["msg"]
    return reason.removeprefix("Value error, ")


def _allowed_methods(request: Request) -> list[str]:
    """Return what the address does take: the framework names only the methods of the first route that matches."""
    allowed: set[str] = set()
    for method in ("DELETE", "GET", "PATCH", "POST", "PUT"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] == Match.FULL for route in request.app.routes):
            allowed.add(method)
    return sorted(allowed)
