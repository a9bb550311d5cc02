"""Threads: create, list, read, change, delete."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query, Response

from api.deps import OwnerDep, ServicesDep, ThreadId
from api.examples import THREAD_EXAMPLE
from api.fields import TrueOrFalse
from api.json_route import JsonRoute
from api.problems import BODY_ERRORS, error_responses
from api.schemas import ThreadCreate, ThreadList, ThreadUpdate
from errors import InvalidRequest, StoreUnavailable, ThreadNotFound
from models import Thread, ThreadStatus
from stores.types import ThreadChanges

router = APIRouter(prefix="/api/threads", tags=["threads"], route_class=JsonRoute)
ONE_THREAD = {"content": {"application/json": {"example": THREAD_EXAMPLE}}}


@router.post(
    "",
    status_code=201,
    summary="Create a thread",
    responses={
        201: {**ONE_THREAD, "headers": {"Location": {"schema": {"type": "string"}, "description": "The thread's address."}}},
        **BODY_ERRORS,
        **error_responses(InvalidRequest, StoreUnavailable),
    },
)
async def create_thread(body: ThreadCreate, response: Response, services: ServicesDep, owner: OwnerDep) -> Thread:
    """Create an empty thread; its messages come with `POST /api/threads/{thread_id}/messages`."""
    thread = await services.store.create_thread(owner, title=body.title, metadata=body.metadata)
    response.headers["Location"] = f"/api/threads/{thread.id}"
    return thread


@router.get(
    "",
    summary="List threads",
    responses={
        200: {"content": {"application/json": {"example": {"threads": [THREAD_EXAMPLE], "next_cursor": None}}}},
        **error_responses(InvalidRequest, StoreUnavailable),
    },
)
async def list_threads(
    services: ServicesDep,
    owner: OwnerDep,
    status: ThreadStatus | None = None,
    open: Annotated[TrueOrFalse | None, Query(description="`true`: those that wait for somebody; `false`: the others.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description="`next_cursor` of the page before.",
            json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"},
        ),
    ] = None,
) -> ThreadList:
    """List the caller's threads, the one with the latest activity first.

    Following the cursors shows every thread that nobody touches meanwhile exactly once; one that is touched moves to the front.
    """
    page = await services.store.list_threads(owner, status=status, open=open, limit=limit, cursor=cursor)
    return ThreadList(threads=page.items, next_cursor=page.next_cursor)


@router.get(
    "/{thread_id}",
    summary="Read a thread",
    responses={200: ONE_THREAD, **error_responses(ThreadNotFound, InvalidRequest, StoreUnavailable)},
)
async def get_thread(thread_id: ThreadId, services: ServicesDep, owner: OwnerDep) -> Thread:
    """Return a thread without its messages."""
    return await services.store.get_thread(owner, thread_id)


@router.patch(
    "/{thread_id}",
    summary="Change a thread",
    responses={
        200: ONE_THREAD,
        **BODY_ERRORS,
        **error_responses(ThreadNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def update_thread(thread_id: ThreadId, body: ThreadUpdate, services: ServicesDep, owner: OwnerDep) -> Thread:
    """Change the title, the metadata (as a whole) or the status. An archived thread still takes messages."""
    changes = cast("ThreadChanges", body.model_dump(exclude_unset=True))
    return await services.store.update_thread(owner, thread_id, changes)


@router.delete(
    "/{thread_id}",
    status_code=204,
    summary="Delete a thread",
    responses=error_responses(ThreadNotFound, InvalidRequest, StoreUnavailable),
)
async def delete_thread(thread_id: ThreadId, services: ServicesDep, owner: OwnerDep) -> None:
    """Delete a thread and all its messages; a turn that runs in it is stopped."""
    await services.store.delete_thread(owner, thread_id)
