"""What route handlers ask for: the process's services, and who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from eraser import Eraser
from records import THREAD_ID_PATTERN, Owner
from retention import Retention
from settings import Settings
from store import ThreadStore
from turn import Turns

LOCAL_OWNER = Owner(tenant="local", user="local")


@dataclass(frozen=True, slots=True)
class Services:
    """What is made once per process, when it starts."""

    settings: Settings
    store: ThreadStore
    turns: Turns
    eraser: Eraser
    retention: Retention


# Asynchronous although they wait for nothing: FastAPI would run plain functions in threads.
async def get_services(request: Request) -> Services:
    """Return the services that the app's lifespan has put into the request's state."""
    services: Services = request.state.services
    return services


async def get_owner() -> Owner:
    """Return whom the request acts for: on this machine, the only user."""
    return LOCAL_OWNER


ServicesDep = Annotated[Services, Depends(get_services)]
OwnerDep = Annotated[Owner, Depends(get_owner)]
ThreadId = Annotated[str, Path(pattern=THREAD_ID_PATTERN, examples=["thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40"])]
