"""The part of the store's contract that is about owners and authors: their state, their erasure, and finding their threads."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from models import Erasure, Owner, UserState
from stores.types import AuthorFeedback, ErasedExchanges, OwnedRef

RECEIPT_DAYS = 30


class OwnerStore(Protocol):
    """What :class:`stores.contract.ThreadStore` promises of owners; its general promises hold here, too."""

    async def get_user_state(self, owner: Owner) -> UserState:
        """Return the owner's state; an empty one without ``etag`` if nothing is stored."""

    async def put_user_state(self, owner: Owner, state: UserState) -> UserState:
        """Store the owner's state in place of the version ``state.etag``, and return it with its new ``etag``.

        :raises StateChanged: if that is not the stored version; without ``etag``, if there is one.
        """

    async def begin_erasure(self, owner: Owner) -> Erasure:
        """Return the owner's erasure that is running, or begin one.

        It will not end before every thread is gone that existed when this was called.
        """

    async def get_erasure(self, owner: Owner, erasure_id: str) -> Erasure:
        """Return an erasure as it stands; a completed one stays for ``RECEIPT_DAYS``.

        :raises ErasureNotFound: if the owner has no such erasure.
        """

    async def erase_threads(self, owner: Owner, erasure_id: str, *, limit: int) -> bool:
        """Delete at most ``limit`` of the owner's threads for a running erasure, and return whether there were any.

        When there are none left, the owner's state has gone too. Each thread is counted once in the erasure, by whichever
        process and after whatever crash. What a creation or a deletion that was stopped has left counts as a thread too. Also
        says that somebody works on the erasure.
        """

    async def complete_erasure(self, owner: Owner, erasure_id: str) -> bool:
        """End the erasure if nothing of the owner is left; return whether it has ended, now or before.

        ``False`` asks for another round of :meth:`erase_threads`, and then this again after a moment.
        """

    async def abandoned_erasures(self, *, stale_since: datetime) -> list[OwnedRef]:
        """Return running erasures, of whichever owner, on which nobody has worked since a moment."""

    async def threads_of_author(self, author_id: str) -> list[OwnedRef]:
        """Return the threads of conversations in which somebody wrote (``metadata.author_id``) or gave feedback, in no order.

        Also one in which only the message that is being answered is theirs. Threads of other owners are left out: there, the
        metadata is what a caller of the API says. What other processes have stored in the last moments may be missing.
        """

    async def list_author_feedback(self, owner: Owner, thread_id: str, author_id: str) -> list[AuthorFeedback]:
        """Return what somebody thinks of a thread's answers (:meth:`ThreadStore.set_author_feedback`), in their order.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def erase_exchanges(self, owner: Owner, thread_id: str, author_id: str) -> ErasedExchanges:
        """Erase the texts of somebody's messages in a thread and of the replies to them (:meth:`~models.Message.erased`).

        The messages keep their places, so nothing else in the thread changes but its preview; stored events go, too, but those
        of a turn that runs. So does the feedback that they gave in the thread, and all feedback on what is erased. A message
        that is being answered cannot be erased before its turn has ended: the result is ``unfinished`` then, and asks for this
        call again after a moment.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def threads_of_team(self, tenant: str, team_key: str) -> list[OwnedRef]:
        """Return the threads of a tenant's conversations that were made in a team (``metadata.team_key``), in no order.

        The tenant is that of the conversations (:data:`~models.CONVERSATIONS`). What other processes have stored in the last
        moments may be missing.
        """

    async def idle_threads(self, *, since: datetime, limit: int, conversations: bool | None = None) -> list[OwnedRef]:
        """Return threads, of whichever owner, in which nothing happened since a moment, at most ``limit``, in no order.

        ``conversations`` asks for those whose owner is one (:attr:`models.Owner.is_conversation`), or is none.

        Also those whose deletion was stopped half-way. Some may have become active meanwhile: delete them with
        ``idle_since``.
        """
