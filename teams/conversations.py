"""What is remembered about conversations: the thread in use, and which activities are done."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from errors import StoreUnavailable, ThreadNotFound
from models import Metadata, Owner
from stores.contract import ThreadStore
from stores.types import TEAM_KEY
from teams.activity import Incoming, sent_at
from teams.conversation_state import ActivityRecord, ConversationState, ConversationStates, ShownAnswer
from teams.references import conversation_reference


class ActivityClaim(NamedTuple):
    """The thread for an activity, and the owner's preferences.

    ``is_done`` says that it was answered before, ``is_known`` that an attempt before this one has claimed it.
    """

    thread_id: str
    is_done: bool
    preferences: dict[str, str]
    is_known: bool = False


class Conversations:
    """Finds the thread of a conversation, and remembers what was answered in it."""

    def __init__(self, store: ThreadStore) -> None:
        self._store = store
        self.states = ConversationStates(store)

    async def claim(self, incoming: Incoming) -> ActivityClaim:
        """Say in which thread an activity is to be answered, and how; the same each time it is delivered.

        :raises StoreUnavailable: if the store cannot tell.
        """
        kept, state = await self.states.get(incoming.owner)
        known = kept.find(incoming.key)
        if known and (known.thread_id or known.done):
            return ActivityClaim(known.thread_id, known.done, known.preferences, is_known=True)
        in_use = kept.threads.get(incoming.conversation_key)
        if in_use is not None and await self._exists(incoming.owner, in_use):
            fresh = None
            thread_id = in_use
        else:
            fresh = thread_id = await self._new_thread(incoming)

        def change(found: ConversationState) -> None:
            if found.find(incoming.key):
                return
            current = found.threads.get(incoming.conversation_key)
            # Somebody else may have begun the conversation meanwhile, or begun it anew.
            chosen = current if current is not None and current != in_use else thread_id
            found.since = found.since or sent_at(incoming.activity)
            found.use(incoming.conversation_key, chosen)
            found.remember(ActivityRecord(key=incoming.key, thread_id=chosen, preferences=state.preferences))
            if not incoming.is_private:
                # Nothing is said on the bot's own account where all would read it.
                found.refer(incoming.conversation_key, conversation_reference(incoming))

        record = (await self.states.change(incoming.owner, change, state=state)).find(incoming.key)
        if record is None:
            raise StoreUnavailable
        if fresh and fresh != record.thread_id:
            await self._store.delete_thread(incoming.owner, fresh)
        return ActivityClaim(record.thread_id, record.done, record.preferences)

    async def find(self, incoming: Incoming) -> ActivityClaim | None:
        """Return what :meth:`claim` has said of an activity before, if it was begun."""
        known = (await self.states.get(incoming.owner))[0].find(incoming.key)
        if known is None or not known.thread_id:
            return None
        return ActivityClaim(known.thread_id, known.done, known.preferences, is_known=True)

    async def is_done(self, incoming: Incoming) -> bool:
        """Whether an activity was answered before."""
        kept, _ = await self.states.get(incoming.owner)
        known = kept.find(incoming.key)
        return known is not None and known.done

    async def knows(self, incoming: Incoming) -> bool:
        """Whether there is anything to forget of a conversation."""
        kept, state = await self.states.get(incoming.owner)
        return incoming.conversation_key in kept.threads or bool(state.preferences)

    async def reset(self, incoming: Incoming, *, preferences: bool = False) -> None:
        """Let the conversation's next messages go into a fresh thread, unless this activity has done so before.

        With ``preferences`` what the owner has chosen is forgotten, too.
        """
        kept, state = await self.states.get(incoming.owner)
        if kept.find(incoming.key):
            return
        thread_id = await self._new_thread(incoming)

        def change(found: ConversationState) -> None:
            if found.find(incoming.key):
                return
            found.use(incoming.conversation_key, thread_id)
            found.remember(ActivityRecord(key=incoming.key, thread_id=thread_id))

        fields: dict[str, Any] = {"preferences": {}} if preferences else {}
        await self.states.change(incoming.owner, change, state=state, **fields)

    async def choose(self, owner: Owner, parameter: str, value: str) -> None:
        """Remember what the owner prefers for a parameter of tools."""
        _, state = await self.states.get(owner)
        preferences = {**state.preferences, parameter: value}
        await self.states.change(owner, lambda _: None, state=state, preferences=preferences)

    async def forget(self, incoming: Incoming) -> None:
        """Let an activity be claimed anew: its thread is gone."""

        def change(found: ConversationState) -> None:
            found.activities = [each for each in found.activities if each.key != incoming.key]

        await self.states.change(incoming.owner, change)

    async def removed_owners(self, incoming: Incoming) -> set[Owner]:
        """Return the conversations from which the bot is gone when it was removed: this one, and the others of its team.

        None in a person's own chat: its threads are the person's, who has them in the API, too. None either where something is
        kept of what was sent afterwards only: the bot has come back, and its removal is told again.

        :raises StoreUnavailable: if the store cannot tell.
        """
        if not incoming.owner.is_conversation:
            return set()
        threads = []
        if incoming.team_key:
            threads = await self._store.threads_of_team(incoming.owner.tenant, incoming.team_key)
        owners, removed_at = {incoming.owner, *(thread.owner for thread in threads)}, sent_at(incoming.activity)
        if not removed_at:
            return owners
        since = {owner: (await self.states.get(owner))[0].since for owner in owners}
        return {owner for owner in owners if not since[owner] > removed_at}

    async def find_reference(self, owner: Owner, thread_id: str) -> dict[str, Any] | None:
        """Return how to reach the conversation that has a thread, if there is one, and it is known.

        :raises StoreUnavailable: if the store cannot tell.
        """
        kept, _ = await self.states.get(owner)
        key = next((key for key, thread in kept.threads.items() if thread == thread_id), None)
        is_only = len(kept.references) == 1 and kept.threads.keys() <= kept.references.keys()
        if key is None and is_only and any(each.thread_id == thread_id for each in kept.activities):
            # A thread before the one in use, of the owner's only conversation.
            key = next(iter(kept.references))
        return kept.references.get(key or "")

    async def mark_done(self, incoming: Incoming, message_id: str | None, sent_id: str, thread_id: str = "") -> None:
        """Remember that an activity was answered, with which message, and the id of the activity that carried it."""

        def change(found: ConversationState) -> None:
            known = found.find(incoming.key) or ActivityRecord(key=incoming.key, thread_id=thread_id)
            update: dict[str, Any] = {"done": True, "message_id": message_id, "sent_id": sent_id or None, "preferences": {}}
            found.remember(known.model_copy(update=update))

        await self.states.change(incoming.owner, change)

    async def find_rated_answer(self, incoming: Incoming) -> ShownAnswer | None:
        """Return the answer that feedback is about: the named activity's, else the conversation's latest."""
        kept, _ = await self.states.get(incoming.owner)
        if named := incoming.activity.reply_to_id:
            return kept.find_shown(named)
        thread_id = kept.threads.get(incoming.conversation_key)
        answers = (each for each in reversed(kept.activities) if each.message_id and each.thread_id == thread_id)
        return next((ShownAnswer(each.thread_id, each.message_id or "") for each in answers), None)

    async def find_sent(self, owner: Owner, message_id: str) -> str | None:
        """Return the id of the activity that has carried one of the latest answers.

        :raises StoreUnavailable: if the store cannot tell.
        """
        kept, _ = await self.states.get(owner)
        return next((each.sent_id for each in kept.activities if each.message_id == message_id), None)

    async def mark_feedback(self, owner: Owner, moment: datetime) -> None:
        """Remember when the owner has last said what they think."""
        await self.states.change(owner, lambda _: None, last_feedback=moment)

    async def _exists(self, owner: Owner, thread_id: str) -> bool:
        try:
            await self._store.get_thread(owner, thread_id)
        except ThreadNotFound:
            return False
        return True

    async def _new_thread(self, incoming: Incoming) -> str:
        metadata: Metadata = {"channel": incoming.channel}
        if incoming.team_key:
            metadata[TEAM_KEY] = incoming.team_key
        return (await self._store.create_thread(incoming.owner, title=None, metadata=metadata)).id
