"""A store that is opened while the process already serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, cast

from services.lazy import LazyResource
from stores.contract import ThreadStore


class BackgroundStore:
    """Has every method of :class:`ThreadStore`, all of which are coroutines: the first call of each waits for the store.

    While the store cannot be opened, each call tries anew, and raises why it cannot.
    """

    def __init__(self, load: Callable[[], AbstractAsyncContextManager[ThreadStore]]) -> None:
        self._store = LazyResource("store", load)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Return a method of the store, which is the store's own from its first call on."""
        if name not in dir(ThreadStore):
            raise AttributeError(name)

        async def call(*arguments: Any, **named: Any) -> Any:
            method = getattr(await self._store.get(), name)
            setattr(self, name, method)
            return await method(*arguments, **named)

        return call

    async def aclose(self) -> None:
        """Close the store, if it has been opened."""
        await self._store.aclose()


@asynccontextmanager
async def open_in_background(load: Callable[[], AbstractAsyncContextManager[ThreadStore]]) -> AsyncIterator[ThreadStore]:
    """Begin to open a store; ``load`` makes it, in a thread, with all its imports."""
    async with aclosing(BackgroundStore(load)) as store:
        yield cast("ThreadStore", store)
