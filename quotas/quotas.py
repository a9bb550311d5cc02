"""Quotas of an owner and of its tenant: requests a minute, turns and streams at once, tokens a day. Each is off at 0."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from errors import RateLimited
from models import Owner, utcnow
from observability import metrics
from quotas.backend import Counters, QuotaBackend
from settings import Settings

if TYPE_CHECKING:
    from limits import RateLimitItem

Scope = Literal["owner", "tenant"]
Place = Literal["turns", "streams"]
PLACES: tuple[Place, ...] = ("turns", "streams")
MINUTE = 60
DAY = 24 * 3600
FAILED_ATTEMPTS_PER_MINUTE = 20
# A turn whose process died gives its place back after the turn's deadline and this.
SLOT_GRACE_SECONDS = 30.0
# A stream ends with its turn, which may have died with its process and then ends with its lease; and a slow reader may take
# its time for each of the last writes (Intervals.send).
STREAM_GRACE_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of one scope and the key under which it is counted; 0 is no limit."""

    scope: Scope
    key: str
    requests_per_minute: int
    turns_at_once: int
    streams_at_once: int
    tokens_per_day: int

    def places(self, place: Place) -> int:
        """Return how many there may be at once."""
        return self.turns_at_once if place == "turns" else self.streams_at_once


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a scope's requests, and the seconds until there are more."""

    scope: Scope
    limit: int
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a scope has used: requests in the last minute, turns that run, streams that are open, tokens today (UTC)."""

    quota: Quota
    requests_last_minute: int
    turns_now: int
    streams_now: int
    tokens_today: int


class Quotas:
    """Counts and refuses; one per process."""

    def __init__(self, settings: Settings, backend: QuotaBackend) -> None:
        self._settings = settings
        self._backend = backend
        self._local = QuotaBackend(Counters.in_memory())

    async def count_request(self, owner: Owner) -> list[Window]:
        """Count a request and return what is left.

        :raises RateLimited: if there is no more; ``windows`` of the error says what is left of each limit that was asked.
        """
        windows: list[Window] = []
        # The owner's comes first: what its own limit refuses must not use up its tenant's.
        for quota in self._quotas(owner):
            if not quota.requests_per_minute:
                continue
            window = await self._count_request(quota)
            windows.append(window)
            if window.remaining < 0:
                _count_hit("requests_per_minute", window.scope)
                left = [Window(each.scope, each.limit, max(0, each.remaining), each.reset_seconds) for each in windows]
                raise RequestLimitExceeded(left, retry_after=window.reset_seconds)
        return windows

    async def begin_turn(self, owner: Owner, turn_id: str) -> None:
        """Take a place for a turn, which :meth:`end_turn` gives back.

        :raises TurnLimitExceeded: if no place is free; nothing is taken then.
        :raises TokenLimitExceeded: if the day's tokens are used up.
        """
        quotas = list(self._quotas(owner))
        for quota in quotas:
            if quota.tokens_per_day and await self._tokens(quota) >= quota.tokens_per_day:
                _count_hit("tokens_per_day", quota.scope)
                raise TokenLimitExceeded(quota)
        await self._enter("turns", quotas, turn_id, self._settings.turn_timeout_seconds + SLOT_GRACE_SECONDS)

    def turns_at_once(self, owner: Owner) -> int:
        """Return how many turns of an owner may run at once; 0 is no limit."""
        return min((quota.turns_at_once for quota in self._quotas(owner) if quota.turns_at_once), default=0)

    async def end_turn(self, owner: Owner, turn_id: str, *, tokens: int) -> None:
        """Give the turn's place back and count the tokens that its model calls have used."""
        quotas = list(self._quotas(owner))
        await self._leave("turns", quotas, turn_id)
        if tokens:
            await asyncio.gather(*(self._add_tokens(quota, tokens) for quota in quotas))

    async def begin_stream(self, owner: Owner, stream_id: str) -> None:
        """Take a place for a stream, which :meth:`end_stream` gives back.

        :raises StreamLimitExceeded: if no place is free; nothing is taken then.
        """
        settings = self._settings
        seconds = settings.turn_timeout_seconds + settings.turn_lease_seconds + STREAM_GRACE_SECONDS
        await self._enter("streams", list(self._quotas(owner)), stream_id, seconds)

    async def end_stream(self, owner: Owner, stream_id: str) -> None:
        """Give the stream's place back, if it has one."""
        await self._leave("streams", list(self._quotas(owner)), stream_id)

    async def usage(self, owner: Owner) -> list[Usage]:
        """Return what the owner and its tenant have used."""
        return list(await asyncio.gather(*map(self._usage, self._quotas(owner))))

    async def forget(self, owner: Owner) -> None:
        """Forget what the owner has used; its tenant's counts stay.

        Those of a conversation stay, too: any of its members may take the bot away from it, and add it again.
        """
        if owner.is_conversation:
            return
        quota = self._quota_of_owner(owner)
        item = _a_minute(quota.requests_per_minute or 1)

        async def forget(counters: Counters) -> None:
            await counters.storage.clear(_tokens_key(quota))
            await counters.windows.clear(item, quota.key)

        await self._backend.run(forget)

    async def allow_failed_attempt(self, address: str) -> bool:
        """Count a failed sign-in; return ``False`` if its address has had too many."""
        return await self._local.run(
            lambda counters: counters.windows.hit(_a_minute(FAILED_ATTEMPTS_PER_MINUTE), "failed", address)
        )

    def _quotas(self, owner: Owner) -> Iterator[Quota]:
        yield self._quota_of_owner(owner)
        yield self._quota_of_tenant(owner)

    def _quota_of_owner(self, owner: Owner) -> Quota:
        settings = self._settings
        return Quota(
            "owner",
            f"owner:{owner.hash}",
            settings.limit_requests_per_minute,
            settings.limit_turns_at_once,
            settings.limit_streams_at_once,
            settings.limit_tokens_per_day,
        )

    def _quota_of_tenant(self, owner: Owner) -> Quota:
        settings = self._settings
        return Quota(
            "tenant",
            f"tenant:{owner.tenant}",
            settings.tenant_limit_requests_per_minute,
            settings.tenant_limit_turns_at_once,
            0,
            settings.tenant_limit_tokens_per_day,
        )

    async def _count_request(self, quota: Quota) -> Window:
        item = _a_minute(quota.requests_per_minute)

        async def count(counters: Counters) -> Window:
            allowed = await counters.windows.hit(item, quota.key)
            stats = await counters.windows.get_window_stats(item, quota.key)
            seconds = max(1, round(stats.reset_time - time.time()))
            return Window(quota.scope, quota.requests_per_minute, stats.remaining if allowed else -1, seconds)

        return await self._backend.run(count)

    async def _enter(self, place: Place, quotas: list[Quota], holder: str, seconds: float) -> None:
        """Take a place of every scope for at most ``seconds``, or none."""
        for number, quota in enumerate(quotas):

            async def enter(counters: Counters, quota: Quota = quota) -> bool:
                limit = quota.places(place)
                return await counters.slots.enter(_places_key(place, quota), holder, limit=limit, seconds=seconds)

            if not await self._backend.run(enter):
                _count_hit(f"{place}_at_once", quota.scope)
                await self._leave(place, quotas[:number], holder)
                raise TurnLimitExceeded(quota) if place == "turns" else StreamLimitExceeded(quota)

    async def _leave(self, place: Place, quotas: list[Quota], holder: str) -> None:
        for key in [_places_key(place, quota) for quota in quotas]:

            async def leave(counters: Counters, key: str = key) -> None:
                await counters.slots.leave(key, holder)

            await self._backend.give_back(leave)

    async def _tokens(self, quota: Quota) -> int:
        return await self._backend.run(lambda counters: counters.storage.get(_tokens_key(quota)))

    async def _add_tokens(self, quota: Quota, tokens: int) -> None:
        await self._backend.run(lambda counters: counters.storage.incr(_tokens_key(quota), DAY, tokens))

    async def _usage(self, quota: Quota) -> Usage:
        async def read(counters: Counters) -> Usage:
            requests = 0
            if quota.requests_per_minute:
                item = _a_minute(quota.requests_per_minute)
                requests = item.amount - (await counters.windows.get_window_stats(item, quota.key)).remaining
            turns, streams = [await counters.slots.count(_places_key(place, quota)) for place in PLACES]
            return Usage(quota, requests, turns, streams, await counters.storage.get(_tokens_key(quota)))

        return await self._backend.run(read)


class RequestLimitExceeded(RateLimited):
    """The requests of a minute are used up; ``windows`` is what is left of each limit."""

    limit = "requests"

    def __init__(self, windows: list[Window], *, retry_after: float) -> None:
        super().__init__("requests a minute", retry_after=retry_after)
        self.windows = windows


class TurnLimitExceeded(RateLimited):
    """As many turns as may run at once do; a place may be free at any moment."""

    limit = "turns"

    def __init__(self, quota: Quota) -> None:
        super().__init__(f"{quota.turns_at_once} turns at once of this {quota.scope}", retry_after=1)


class TokenLimitExceeded(RateLimited):
    """The tokens of a day are used up."""

    limit = "tokens"

    def __init__(self, quota: Quota) -> None:
        super().__init__(f"{quota.tokens_per_day} tokens a day of this {quota.scope}", retry_after=_until_tomorrow())


class StreamLimitExceeded(RateLimited):
    """As many streams as may be open at once are; one may end at any moment."""

    def __init__(self, quota: Quota) -> None:
        super().__init__(f"{quota.streams_at_once} streams at once of this {quota.scope}", retry_after=1)


def _count_hit(limit: str, scope: Scope) -> None:
    metrics.limits_hit.add(1, {"chat.limit": limit, "chat.limit.scope": scope})


def _places_key(place: Place, quota: Quota) -> str:
    return f"chat/{place}/{quota.key}"


def _tokens_key(quota: Quota) -> str:
    return f"chat/tokens/{quota.key}/{utcnow():%Y-%m-%d}"


def _until_tomorrow() -> float:
    now = datetime.now(UTC)
    return DAY - (now.hour * 3600 + now.minute * 60 + now.second)


def _a_minute(requests: int) -> RateLimitItem:
    from limits import RateLimitItemPerMinute

    return RateLimitItemPerMinute(requests)
