"""What is wrong with a request, or with who makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from errors.base import ChatError


class Unauthenticated(ChatError):
    """No credentials, or not valid ones; ``reason`` says what was wrong, for logs only, and ``advice`` what to do.

    ``was_valid`` says that they were, until they expired: nobody has guessed them.
    """

    type = "unauthenticated"
    status = 401
    title = "Not signed in"

    def __init__(
        self,
        reason: str,
        advice: str = "Send a valid API key in X-API-Key, or a valid bearer token.",
        *,
        was_valid: bool = False,
    ) -> None:
        super().__init__(advice)
        self.reason = reason
        self.was_valid = was_valid


class Forbidden(ChatError):
    """The credentials are valid, but do not include ``scope``."""

    type = "missing_scope"
    status = 403
    title = "Not allowed"

    def __init__(self, scope: str) -> None:
        super().__init__(f"These credentials lack the scope {scope}.")
        self.scope = scope


class IdentityUnavailable(ChatError):
    """A token cannot be checked, because the keys of its issuer cannot be had."""

    type = "identity_unavailable"
    status = 503
    title = "Sign-in is unavailable"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The token cannot be checked right now.", retry_after=5)


Limit: TypeAlias = Literal["requests", "turns", "tokens"]


class RateLimited(ChatError):
    """The caller has used up a limit, ``limit`` where it has a name; ``retry_after`` is when there is room again."""

    type = "rate_limited"
    status = 429
    title = "Too many requests"
    retryable = True
    limit: Limit | None = None

    def __init__(self, what: str, *, retry_after: float) -> None:
        super().__init__(f"The limit of {what} is used up.", retry_after=retry_after)


class Busy(ChatError):
    """The process runs as many turns as it may."""

    type = "busy"
    status = 503
    title = "Busy"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The service is answering as many messages as it can.", retry_after=1)


class NotAcceptable(ChatError):
    """The caller accepts no format that the answer comes in."""

    type = "not_acceptable"
    status = 406
    title = "Not acceptable"

    def __init__(self, offers: Sequence[str]) -> None:
        super().__init__(f"header.Accept: must allow one of {', '.join(offers)}.")


class InvalidRequest(ChatError):
    """The request does not fit the API; ``errors`` are (field path, what was wrong) pairs."""

    type = "validation_failed"
    status = 422
    title = "The request is not valid"

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {reason}" for field, reason in errors))
        self.errors = errors


class InvalidActivity(ChatError):
    """What Bot Service sent is no activity that can be answered; ``reason`` says why, for logs only."""

    type = "invalid_activity"
    status = 400
    title = "The activity is not valid"

    def __init__(self, reason: str) -> None:
        super().__init__("The body is not a valid activity.")
        self.reason = reason


class InvalidCursor(InvalidRequest):
    """A paging cursor that this API did not make."""

    def __init__(self) -> None:
        super().__init__([("query.cursor", "not a cursor that this API returned")])
