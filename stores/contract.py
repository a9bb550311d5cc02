"""The thread store's contract: what each method promises; ``tests/stores/contract`` holds every store to it.

Two stores keep it: ``stores/cosmos`` (production) and ``stores/sqlite`` (embedded).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from calls import Decider, ToolCall
from models import Feedback, Message, Metadata, Order, Owner, Thread, ThreadStatus, Turn
from stores.owner_contract import OwnerStore
from stores.types import (
    Approval,
    EventBatch,
    NewContinuation,
    NewMessage,
    NewTurn,
    Page,
    ReplayedTurn,
    StartedTurn,
    ThreadChanges,
    TurnEnd,
    TurnProgress,
)


class ThreadStore(OwnerStore, AbstractAsyncContextManager["ThreadStore"], Protocol):
    """Threads and messages, safe with many processes at work on the same data.

    Use it as an async context manager: entering connects and checks, leaving waits for background writes and closes.

    Every method takes the owner; a thread of another owner is treated as one that does not exist. Every method may raise
    :class:`~errors.StoreUnavailable` (asked again later, it works) and :class:`~errors.StoreMisconfigured`; the methods
    below name only what else they raise. Reads see this process's own completed writes.
    """

    async def ping(self) -> None:
        """Read something; that this works is all that is learned. Takes no owner."""

    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        """Create an empty thread and return it; from then on it is listed.

        :raises RateLimited: if the owner has as many threads as the store's limit allows.
        """

    async def open_session_thread(self, owner: Owner, external_id: str) -> Thread:
        """Return the owner's thread for a session id of theirs, which is made on first use; a race makes one.

        After a deletion it begins anew, empty, under the same id; what is still on its way for the deleted one is refused.

        :raises ThreadDeleting: while its deletion runs.
        :raises RateLimited: as :meth:`create_thread` does, if it would be a new one.
        """

    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        """Return the thread.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def list_threads(
        self, owner: Owner, *, status: ThreadStatus | None, open: bool | None = None, limit: int, cursor: str | None
    ) -> Page[Thread]:
        """Return the owner's threads, latest activity first, at most ``limit``.

        ``open`` asks for those that wait for somebody, or for those that do not.

        Following the cursors shows every thread that did not change meanwhile exactly once; one that changed has moved to
        the front and may be missed, never doubled after its change. A thread's row may lag behind its last turn in another
        process for some seconds, and after a crash until the thread's next turn, or until somebody looks at it.

        :raises InvalidCursor: if ``cursor`` is not one that this method returned.
        """

    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        """Apply ``changes`` at once and return the thread; works while a turn runs.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def list_thread_ids(self, owner: Owner, *, limit: int, after: str | None) -> list[str]:
        """Return ids of the owner's threads in their own order, at most ``limit``, behind the id ``after``.

        Going on behind the last one shows every thread that is there all the while, whatever changes in it.
        """

    async def delete_thread(self, owner: Owner, thread_id: str, *, idle_since: datetime | None = None) -> bool:
        """Delete the thread and all its messages, and return whether that was done.

        The thread is gone for every other method at once, and a turn that runs in it loses its lease. A call that was
        stopped half-way is completed by calling again. With ``idle_since``, a thread stays as it is if anything happened in
        it since then or a turn runs; that is checked in the write that makes it gone.

        :raises ThreadNotFound: if the owner has no such thread and there is nothing left of one.
        """

    async def list_messages(
        self, owner: Owner, thread_id: str, *, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        """Return messages with ``after < seq < before`` in the order of ``seq``, at most ``limit``.

        A user's message is there from the moment its turn has begun: ``running`` while the lease lives, ``interrupted``
        once it has expired. ``next_cursor`` is the last message's id.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def list_turns(self, owner: Owner, thread_id: str, *, limit: int, after: str | None) -> list[Turn]:
        """Return turns that have ended, in the order of their ids, at most ``limit``, behind the id ``after``.

        They come without their messages. One whose process died is among them once another turn has begun.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        """Take the thread's lease and store the user's message, in one atomic write, and read the latest history.

        An expired lease of a turn that never ended is cleared first; its message stays as ``interrupted``. An
        Idempotency-Key that was used before in this thread, with the same fingerprint, gives the answer if its turn
        completed, was cancelled or paused, and else starts a new attempt for the message that is already there. Keys live
        as long as their thread.

        A paused turn of the thread is ended as cancelled before: its open calls are refused, as the user went on.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises TurnInProgress: if another turn, or one of the same key, holds the lease.
        :raises ThreadFull: if the message is new, and the thread holds as many as the store's limit, or the store, allows.
        :raises IdempotencyKeyReused: if the key came before with another fingerprint.
        """

    async def begin_continuation(
        self, owner: Owner, thread_id: str, new: NewContinuation, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        """Go on with a paused turn: take the lease, and put the decided calls into the paused reply, in one atomic write.

        The write says that approved calls have been started; nobody gets a second one for the same pause. The turn answers the
        message that the paused one answered. Idempotency-Keys are as in :meth:`begin_turn`: an attempt that left no answer is
        followed by another one for the same key, which finds the calls as they were left, as long as nothing came after them.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises TurnNotFound: if the thread has no such turn.
        :raises TurnEnded: if it did not pause, or was cancelled since then.
        :raises TurnContinued: if another turn goes on with it, or has.
        :raises IdempotencyKeyReused: if the key came before with another fingerprint.
        """

    async def cancel_paused(self, owner: Owner, thread_id: str, turn_id: str, by: Decider) -> None:
        """End a paused turn as cancelled: its open calls are refused, in one atomic write.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises TurnNotFound: if the thread has no such turn.
        :raises TurnEnded: if nothing of it is open.
        """

    async def find_replay(self, owner: Owner, thread_id: str, new: NewTurn) -> ReplayedTurn | None:
        """Return the answer that an Idempotency-Key has already, as :meth:`begin_turn` would; take and store nothing.

        :raises ThreadNotFound, IdempotencyKeyReused: as :meth:`begin_turn` does.
        """

    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        """Let the lease live for ``lease_seconds`` from now.

        :raises LeaseLost: if the turn does not hold it any more.
        """

    async def record_calls(self, turn: StartedTurn, calls: Sequence[ToolCall]) -> None:
        """Note the calls of a turn that are about to act, all of them so far, in place of what was noted before.

        If the turn ends without a commit, its message gets them, behind those that it has from earlier attempts.

        :raises LeaseLost: if the turn does not hold the lease any more; none of them may run then.
        """

    async def commit_turn(self, turn: StartedTurn, end: TurnEnd) -> None:
        """End the turn: store the user's message in its final state and the reply, if any, and give the lease back.

        A turn that pauses leaves its thread open. Atomic: everything is there afterwards, or nothing. Calling again after a
        failure whose outcome is unknown is safe.

        :raises LeaseLost: if the turn does not hold the lease any more; nothing was stored then.
        :raises CancelRequested: if it is to pause, and somebody has asked it to stop; nothing was stored then either.
        """

    async def request_cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        """Ask a running turn, in whichever process, to stop.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises TurnNotFound: if the thread has no such turn.
        :raises TurnEnded: if it does not run any more.
        """

    async def is_cancel_requested(self, turn: StartedTurn) -> bool:
        """Tell whether somebody asked the turn to stop.

        :raises LeaseLost: if the turn does not hold the lease any more.
        """

    async def save_events(self, batches: Sequence[EventBatch]) -> list[Exception | None]:
        """Store events, for :meth:`get_progress` to return until they may be forgotten.

        Returns, for each batch, what kept it from being stored, if anything: :class:`~errors.StoreUnavailable` may pass,
        anything else may not. Storing a batch again, also with more events behind the same first one, is safe. Events of a
        thread that is gone are not kept, also not in one that was made anew under its id.
        """

    async def get_progress(self, owner: Owner, thread_id: str, turn_id: str, *, after: int | None) -> TurnProgress:
        """Return a turn's state and its stored events behind number ``after``, in their order; none if that is ``None``.

        Turns live as long as their thread, each attempt as a turn of its own. A turn whose lease has expired is ended as
        interrupted first: how a turn has ended never changes. Stored events may lag behind the turn's state.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises TurnNotFound: if the thread has no such turn.
        """

    async def list_approvals(self, owner: Owner, thread_id: str) -> list[Approval]:
        """Return the tools that need not ask in the thread, by name.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def remove_approvals(self, owner: Owner, thread_id: str) -> None:
        """Let every tool ask again in the thread.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def set_feedback(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        """Put feedback on an answer in place of what is there, or take it back with ``None``, and return the message.

        Nothing else changes: neither a turn that runs in the thread, nor the thread's counters, nor its place in lists.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises MessageNotFound: if the thread has no such message.
        :raises NotAnAnswer: if it is one of the user's.
        """

    async def set_author_feedback(
        self, owner: Owner, thread_id: str, message_id: str, author_id: str, feedback: Feedback
    ) -> bool:
        """Keep what one of several people in a conversation thinks of an answer, in place of what they thought before.

        It is no part of the message. Returns whether it is their first on this answer; of several at once one is. After a
        failure that was got over it may be taken for a later one.

        :raises ThreadNotFound, MessageNotFound: as :meth:`set_feedback` does.
        :raises NotAnAnswer: if it is one of the user's, or was erased.
        """
