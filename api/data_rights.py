"""The caller's data as a whole: export and erase it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic_core import to_json

from api import ndjson
from api.deps import AdminOnly, OwnerDep, ServicesDep
from api.examples import ERASURE_EXAMPLE, EXPORT_EXAMPLE
from api.problems import error_responses, request_id
from api.secured_route import SecuredRoute
from api.streaming import stream_response
from data_rights.export import export_lines
from errors import ErasureNotFound, InvalidRequest, StoreUnavailable
from models import Erasure

ErasureId = Annotated[str, Path(examples=[ERASURE_EXAMPLE["id"]])]
# In the OpenAPI document: what each line of an export is.
EXPORT_LINE = "ExportLine"
router = APIRouter(prefix="/api", tags=["data"], route_class=SecuredRoute)


def _described(example: list[Any]) -> dict[str, Any]:
    lines = b"".join(to_json(line) + b"\n" for line in example).decode()
    return {ndjson.MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{EXPORT_LINE}"}, "example": lines}}


@router.get(
    "/export",
    summary="Export everything",
    response_class=Response,
    responses={200: {"content": _described(EXPORT_EXAMPLE)}, **error_responses(StoreUnavailable)},
)
async def export(request: Request, services: ServicesDep, owner: OwnerDep) -> Response:
    """Stream everything that the caller has, one JSON object a line.

    First `owner`; then `user_state`, if channels remember anything; then, thread by thread, `thread`, each `message` in order
    and each `turn` that has ended; last `end` with the number of threads and messages. An error on the way is the last line,
    `error` with its `problem`. A file without `end` is not complete.
    """
    lines = await export_lines(services.store, owner, request_id(request))
    return stream_response(lines, ndjson.MEDIA_TYPE, {"Content-Disposition": 'attachment; filename="export.ndjson"'})


@router.delete(
    "/data",
    status_code=202,
    dependencies=[AdminOnly],
    summary="Erase everything",
    responses={
        202: {
            "content": {"application/json": {"example": ERASURE_EXAMPLE}},
            "headers": {"Location": {"schema": {"type": "string"}, "description": "The erasure's address."}},
        },
        **error_responses(StoreUnavailable),
    },
)
async def erase_data(response: Response, services: ServicesDep, owner: OwnerDep) -> Erasure:
    """Erase everything that the caller has: threads, messages, turns, events, counters. This cannot be undone.

    Needs the scope `admin`; with an API key, `X-User-Id` says whose data it is.

    The erasure goes on in the background, also when the service is restarted; turns that run are stopped. While it runs,
    another call returns the same erasure. A thread that is created meanwhile may be erased too.
    """
    erasure = await services.eraser.begin(owner)
    response.headers["Location"] = f"/api/data/erasures/{erasure.id}"
    return erasure


@router.get(
    "/data/erasures/{erasure_id}",
    dependencies=[AdminOnly],
    summary="Read an erasure",
    responses={
        200: {
            "content": {
                "application/json": {
                    "example": ERASURE_EXAMPLE | {"status": "completed", "threads": 12, "ended_at": "2026-01-01T10:30:05Z"}
                }
            }
        },
        **error_responses(ErasureNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def get_erasure(erasure_id: ErasureId, services: ServicesDep, owner: OwnerDep) -> Erasure:
    """Return how far an erasure is; a completed one is the receipt, and stays for 30 days."""
    return await services.store.get_erasure(owner, erasure_id)
