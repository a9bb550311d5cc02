"""What route handlers ask for: the process's services, and who is calling."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, TypedDict

from fastapi import Depends, Path, Request

from errors import Forbidden
from identity.caller import Caller
from models import Owner
from quotas.quotas import Quotas
from services.services import Services


class State(TypedDict):
    """What the app's lifespan hands to every request."""

    services: Services


def services_of(state: Mapping[str, Any]) -> Services:
    """Return the process's services out of what the app's lifespan has handed out."""
    services: Services = state["services"]
    return services


# Asynchronous although they wait for nothing: FastAPI would run plain functions in threads.
async def get_services(request: Request) -> Services:
    """Return the services that the app's lifespan has put into the request's state."""
    return services_of(request.scope["state"])


async def get_caller(request: Request) -> Caller:
    """Return who is calling, as :class:`api.secured_route.SecuredRoute` has found out."""
    caller: Caller = request.scope["caller"]
    return caller


async def get_owner(request: Request) -> Owner:
    """Return whom the request acts for."""
    return (await get_caller(request)).owner


async def require_admin(request: Request) -> None:
    """Let only callers with the scope ``admin`` pass.

    :raises Forbidden: if this one is none.
    """
    if "admin" not in (await get_caller(request)).scopes:
        raise Forbidden("admin")


ServicesDep = Annotated[Services, Depends(get_services)]
CallerDep = Annotated[Caller, Depends(get_caller)]
AdminOnly = Depends(require_admin)
OwnerDep = Annotated[Owner, Depends(get_owner)]
# Opaque: whatever names nothing of the caller's is not found, whatever its shape.
ThreadId = Annotated[str, Path(examples=["thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40"])]
MessageId = Annotated[str, Path(examples=["msg_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40_2"])]


class StreamPlace:
    """A place among the caller's streams, which it has from :meth:`take` until its response has ended, however it ends."""

    def __init__(self, quotas: Quotas, owner: Owner) -> None:
        self._quotas = quotas
        self._owner = owner
        self._id: str | None = None

    async def take(self) -> None:
        """Take the place.

        :raises StreamLimitExceeded: if there is none.
        """
        self._id = uuid.uuid4().hex
        await self._quotas.begin_stream(self._owner, self._id)

    async def give_back(self) -> None:
        """Give the place back, if it was taken; also when the caller of this is being cancelled."""
        if self._id:
            await asyncio.shield(asyncio.create_task(self._quotas.end_stream(self._owner, self._id)))


async def get_stream_place(services: ServicesDep, owner: OwnerDep) -> AsyncIterator[StreamPlace]:
    """Return a place that is not taken yet; it is given back after the response."""
    place = StreamPlace(services.quotas, owner)
    try:
        yield place
    finally:
        await place.give_back()


StreamPlaceDep = Annotated[StreamPlace, Depends(get_stream_place)]
