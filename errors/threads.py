"""What is wrong with a thread, a message or a turn."""

from __future__ import annotations

from errors.base import ChatError


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
    """The thread is answering another message.

    ``turn_id`` is the turn that does, where it is known; ``retry_after`` is at most what is left of its lease.
    """

    type = "turn_in_progress"
    status = 409
    title = "A turn is in progress"
    retryable = True

    def __init__(self, *, retry_after: float = 1, turn_id: str | None = None) -> None:
        super().__init__("The thread is still answering an earlier message.", retry_after=retry_after)
        self.turn_id = turn_id


class ThreadFull(ChatError):
    """The thread, or the store's partition that holds it, takes no further message: the conversation goes on in another one."""

    type = "thread_full"
    status = 409
    title = "The thread is full"

    def __init__(self) -> None:
        super().__init__("The thread holds as much as it may; go on in another one.")


class TurnEnded(ChatError):
    """The turn has ended: there is nothing to cancel."""

    type = "turn_ended"
    status = 409
    title = "The turn has ended"

    def __init__(self) -> None:
        super().__init__("The turn has ended already.")


class TurnContinued(ChatError):
    """Somebody else has answered the paused turn."""

    type = "turn_continued"
    status = 409
    title = "The turn was continued already"

    def __init__(self) -> None:
        super().__init__(
            "Another request has answered this paused turn: `continued_by` of the turn names the one that goes on."
        )


class ApprovalExpired(ChatError):
    """The time to approve is over."""

    type = "approval_expired"
    status = 409
    title = "The time to decide is over"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"Call {call_id} has expired: it can only be refused, or get an error.")


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


class CallsUndecided(TurnContinued):
    """Nobody has decided yet, but who decides has read the turn as it was before it paused."""


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
