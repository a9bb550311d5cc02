"""What route handlers ask for: the process's services, and who is calling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from fastapi import Depends, Path, Request

from errors import Forbidden
from identity.caller import Caller
from models import Owner
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
