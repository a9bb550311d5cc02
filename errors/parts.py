"""What fails behind the service, or in it."""

from __future__ import annotations

from collections.abc import Sequence

from errors.base import ChatError


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
