"""Every error a caller can meet, each with its stable problem type.

    ChatError
    ├── Unauthenticated              401  unauthenticated
    ├── Forbidden                    403  missing_scope
    ├── IdentityUnavailable          503  identity_unavailable
    ├── RateLimited                  429  rate_limited
    ├── Busy                         503  busy
    ├── NotAcceptable                406  not_acceptable
    ├── InvalidActivity              400  invalid_activity
    ├── InvalidRequest               422  validation_failed (names the fields)
    │   └── InvalidCursor            422  validation_failed
    ├── ThreadNotFound               404  thread_not_found
    ├── ThreadDeleting               409  thread_deleting
    ├── MessageNotFound              404  message_not_found
    ├── NotAnAnswer                  422  not_an_answer
    ├── TurnNotFound                 404  turn_not_found
    ├── ErasureNotFound              404  erasure_not_found
    ├── TurnInProgress               409  turn_in_progress
    ├── TurnEnded                    409  turn_ended
    ├── StateChanged                 409  state_changed
    ├── IdempotencyKeyReused         422  idempotency_key_reused
    ├── TurnInterrupted              503  turn_interrupted
    │   └── LeaseLost                503  turn_interrupted
    ├── TurnTimeout                  504  turn_timeout
    ├── StoreError
    │   ├── StoreUnavailable         503  store_unavailable
    │   └── StoreMisconfigured       500  store_misconfigured
    ├── ModelError
    │   ├── ModelThrottled           429  model_throttled
    │   ├── ModelUnavailable         503  model_unavailable
    │   ├── ModelTimeout             504  model_timeout
    │   ├── ContentFiltered          422  content_filtered
    │   ├── ContextOverflow          422  context_overflow
    │   └── ModelMisconfigured       500  model_misconfigured
    ├── NotReady                     503  not_ready
    └── InternalError                500  internal_error
    ToolError                        (never a response: goes to the model and into tool_calls[].error)

What a ChatError carries is safe to show to a caller. The exception that caused it is chained (``raise … from``) and only
logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ChatError(Exception):
    """Base of the errors that become a problem response (RFC 9457).

    ``type`` is the stable slug that clients match on; ``retry_after`` is in seconds, ``None`` where waiting does not help.
    """

    type: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class Unauthenticated(ChatError):
    """No credentials, or not valid ones; ``reason`` says what was wrong, for logs only."""

    type = "unauthenticated"
    status = 401
    title = "Not signed in"

    def __init__(self, reason: str) -> None:
        super().__init__("Send a valid API key in X-API-Key, or a valid bearer token.")
        self.reason = reason


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


class RateLimited(ChatError):
    """The caller has used up one of its limits; ``retry_after`` is when there is room again."""

    type = "rate_limited"
    status = 429
    title = "Too many requests"
    retryable = True

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

    def __init__(self, field: str = "query.cursor") -> None:
        super().__init__([(field, "not a cursor that this API returned")])


class ThreadNotFound(ChatError):
    """No such thread for this owner; also raised for another owner's thread."""

    type = "thread_not_found"
    status = 404
    title = "Thread not found"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is no thread {thread_id}.")


class ThreadDeleting(ChatError):
    """The thread of a session id is being deleted; a new one can be made under the same id once that is done."""

    type = "thread_deleting"
    status = 409
    title = "Thread is being deleted"
    retryable = True

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"The thread {thread_id} is still being deleted.", retry_after=1)


class MessageNotFound(ChatError):
    """No such message in this thread."""

    type = "message_not_found"
    status = 404
    title = "Message not found"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"There is no message {message_id} in this thread.")


class NotAnAnswer(ChatError):
    """The message is the user's own; only the assistant's are rated."""

    type = "not_an_answer"
    status = 422
    title = "Not an answer"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"The message {message_id} is not an answer of the assistant.")


class TurnNotFound(ChatError):
    """No such turn in this thread."""

    type = "turn_not_found"
    status = 404
    title = "Turn not found"

    def __init__(self, turn_id: str) -> None:
        super().__init__(f"There is no turn {turn_id} in this thread.")


class ErasureNotFound(ChatError):
    """No such erasure of this owner's data, or its receipt has expired."""

    type = "erasure_not_found"
    status = 404
    title = "Erasure not found"

    def __init__(self, erasure_id: str) -> None:
        super().__init__(f"There is no erasure {erasure_id}.")


class TurnInProgress(ChatError):
    """The thread is answering another message; ``retry_after`` is at most what is left of its lease."""

    type = "turn_in_progress"
    status = 409
    title = "A turn is in progress"
    retryable = True

    def __init__(self, *, retry_after: float = 1) -> None:
        super().__init__("The thread is still answering an earlier message.", retry_after=retry_after)


class TurnEnded(ChatError):
    """The turn has ended: there is nothing to cancel."""

    type = "turn_ended"
    status = 409
    title = "The turn has ended"

    def __init__(self) -> None:
        super().__init__("The turn has ended already.")


class StateChanged(ChatError):
    """The user's state is not the version any more that a change of it was based on: read it again."""

    type = "state_changed"
    status = 409
    title = "The state has changed"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The user's state was changed by another request.")


class IdempotencyKeyReused(ChatError):
    """The Idempotency-Key belongs to an earlier message with another body."""

    type = "idempotency_key_reused"
    status = 422
    title = "Idempotency-Key reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used in this thread with a different request body.")


class TurnInterrupted(ChatError):
    """The turn ended before its answer was stored, e.g. because the process is shutting down."""

    type = "turn_interrupted"
    status = 503
    title = "The turn was interrupted"
    retryable = True

    def __init__(self, detail: str = "The turn was interrupted; the message was kept.") -> None:
        super().__init__(detail, retry_after=1)


class LeaseLost(TurnInterrupted):
    """The turn no longer holds the thread's lease: another turn took over, or the thread was deleted."""


class TurnTimeout(ChatError):
    """The turn did not end within its deadline."""

    type = "turn_timeout"
    status = 504
    title = "The turn took too long"
    retryable = True

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The turn did not end within {seconds:g} seconds.")


class StoreError(ChatError):
    """The thread store failed."""


class StoreUnavailable(StoreError):
    """The store did not answer, is throttled or busy; what was asked may or may not have happened."""

    type = "store_unavailable"
    status = 503
    title = "The store is unavailable"
    retryable = True

    def __init__(self, *, retry_after: float = 1) -> None:
        super().__init__("The thread store is not available right now.", retry_after=retry_after)


class StoreMisconfigured(StoreError):
    """The store cannot work as configured; the log says why."""

    type = "store_misconfigured"
    status = 500
    title = "The store is misconfigured"

    def __init__(self) -> None:
        super().__init__("The thread store is not set up correctly; the operator finds the reason in the log.")


class ModelError(ChatError):
    """The model's service failed."""


class ModelThrottled(ModelError):
    """The model's service is over its rate limit; ``retry_after`` is what it asked for."""

    type = "model_throttled"
    status = 429
    title = "The model is throttled"
    retryable = True

    def __init__(self, *, retry_after: float = 5) -> None:
        super().__init__("The model is over its rate limit.", retry_after=retry_after)


class ModelUnavailable(ModelError):
    """The model's service cannot be reached or failed."""

    type = "model_unavailable"
    status = 503
    title = "The model is unavailable"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The model is not available right now.", retry_after=5)


class ModelTimeout(ModelError):
    """The model did not answer in time."""

    type = "model_timeout"
    status = 504
    title = "The model took too long"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The model did not answer in time.")


class ContentFiltered(ModelError):
    """The model's content filter refused the prompt or the answer."""

    type = "content_filtered"
    status = 422
    title = "Refused by the content filter"

    def __init__(self) -> None:
        super().__init__("The model's content filter refused this conversation.")


class ContextOverflow(ModelError):
    """The conversation does not fit the model's context window."""

    type = "context_overflow"
    status = 422
    title = "Too long for the model"

    def __init__(self) -> None:
        super().__init__("The conversation is longer than the model can read.")


class ModelMisconfigured(ModelError):
    """The model's settings are wrong; the log names the setting."""

    type = "model_misconfigured"
    status = 500
    title = "The model is misconfigured"

    def __init__(self) -> None:
        super().__init__("The model is not set up correctly; the operator finds the reason in the log.")


class NotReady(ChatError):
    """The app could not be started, and the next request tries again; or the parts named in ``failing`` do not work."""

    type = "not_ready"
    status = 503
    title = "Not ready"
    retryable = True

    def __init__(self, failing: Sequence[str] = ()) -> None:
        detail = f"These do not work: {', '.join(failing)}." if failing else "The service could not be started."
        super().__init__(detail, retry_after=5 if failing else 1)
        self.failing = tuple(failing)


class InternalError(ChatError):
    """Anything unexpected; the log has the exception under the request's id."""

    type = "internal_error"
    status = 500
    title = "Internal error"
    retryable = True

    def __init__(self) -> None:
        super().__init__("Something went wrong on our side.")


class ToolError(Exception):
    """Raised by a tool that cannot do what was asked; its text is plain words for the model and the user."""
