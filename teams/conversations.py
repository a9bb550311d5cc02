"""What is remembered about conversations, in their owner's state: the thread in use, and which activities are done.

Every change is made on the version that was read, and made again if somebody was faster.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from errors import StateChanged, StoreUnavailable, ThreadNotFound
from models import Metadata, Owner, UserState
from stores.contract import ThreadStore
from stores.types import TEAM_KEY
from teams.activity import Incoming

MAX_CONVERSATIONS = 50
MAX_ACTIVITIES = 40
ATTEMPTS = 10
VALUES_KEY = "bot"


class ActivityRecord(BaseModel):
    """An activity that is worked on, or done: the thread that it belongs to, if any, and the message that answered it."""

    model_config = ConfigDict(frozen=True)

    key: str
    thread_id: str = ""
    done: bool = False
    message_id: str | None = None
    sent_id: str | None = None


class ConversationState(BaseModel):
    """The threads in use by conversation, and the latest activities, the last at the end of each."""

    threads: dict[str, str] = {}
    activities: list[ActivityRecord] = []


class ActivityClaim(NamedTuple):
    """The thread for an activity, and the owner's preferences; ``is_done`` says that it was answered before."""

    thread_id: str
    is_done: bool
    preferences: dict[str, str]


class Conversations:
    """Finds the thread of a conversation, and remembers what was answered in it."""

    def __init__(self, store: ThreadStore) -> None:
        self._store = store

    async def claim(self, incoming: Incoming) -> ActivityClaim:
        """Say in which thread an activity is to be answered, the same each time it is delivered.

        :raises StoreUnavailable: if the store cannot tell.
        """
        state = await self._store.get_user_state(incoming.owner)
        remembered = _read(state)
        known = _find(remembered, incoming.key)
        if known:
            return ActivityClaim(known.thread_id, known.done, state.preferences)
        in_use = remembered.threads.get(incoming.conversation_key)
        if in_use is not None and await self._exists(incoming.owner, in_use):
            fresh = None
            thread_id = in_use
        else:
            fresh = thread_id = await self._new_thread(incoming)

        def change(found: ConversationState) -> None:
            if _find(found, incoming.key):
                return
            current = found.threads.get(incoming.conversation_key)
            # Somebody else may have begun the conversation meanwhile, or begun it anew.
            chosen = current if current is not None and current != in_use else thread_id
            _use(found, incoming.conversation_key, chosen)
            found.activities.append(ActivityRecord(key=incoming.key, thread_id=chosen))

        handled = _find(_read(await self._change(incoming.owner, change, state=state)), incoming.key)
        if handled is None:
            raise StoreUnavailable
        if fresh and fresh != handled.thread_id:
            await self._store.delete_thread(incoming.owner, fresh)
        return ActivityClaim(handled.thread_id, handled.done, state.preferences)

    async def is_done(self, incoming: Incoming) -> bool:
        """Whether an activity was answered before."""
        known = _find(_read(await self._store.get_user_state(incoming.owner)), incoming.key)
        return known is not None and known.done

    async def reset(self, incoming: Incoming) -> bool:
        """Let the conversation's next messages go into a fresh thread; ``False`` if this activity has done so before."""
        state = await self._store.get_user_state(incoming.owner)
        if _find(_read(state), incoming.key):
            return False
        thread_id = await self._new_thread(incoming)

        def change(found: ConversationState) -> None:
            _use(found, incoming.conversation_key, thread_id)
            found.activities.append(ActivityRecord(key=incoming.key, thread_id=thread_id, done=True))

        await self._change(incoming.owner, change, state=state)
        return True

    async def choose(self, owner: Owner, parameter: str, value: str) -> None:
        """Remember what the owner prefers for a parameter of tools."""
        state = await self._store.get_user_state(owner)
        preferences = {**state.preferences, parameter: value}
        await self._change(owner, lambda _: None, state=state, preferences=preferences)

    async def forget(self, incoming: Incoming) -> None:
        """Let an activity be claimed anew: its thread is gone."""

        def change(found: ConversationState) -> None:
            found.activities = [each for each in found.activities if each.key != incoming.key]

        await self._change(incoming.owner, change)

    async def removed_owners(self, incoming: Incoming) -> set[Owner]:
        """Return the conversations from which the bot is gone when it was removed: this one, and the others of its team.

        None in a person's own chat: its threads are the person's, who has them in the API, too.

        :raises StoreUnavailable: if the store cannot tell.
        """
        if not incoming.owner.is_conversation:
            return set()
        threads = []
        if incoming.team_key:
            threads = await self._store.threads_of_team(incoming.owner.tenant, incoming.team_key)
        return {incoming.owner, *(thread.owner for thread in threads)}

    async def mark_done(self, incoming: Incoming, message_id: str | None, sent_id: str) -> None:
        """Remember that an activity was answered, with which message, and the id of the activity that carried it."""

        def change(found: ConversationState) -> None:
            known = _find(found, incoming.key) or ActivityRecord(key=incoming.key)
            update = {"done": True, "message_id": message_id, "sent_id": sent_id or None}
            others = [each for each in found.activities if each.key != incoming.key]
            found.activities = [*others, known.model_copy(update=update)]

        await self._change(incoming.owner, change)

    async def find_rated_answer(self, incoming: Incoming) -> ActivityRecord | None:
        """Return the answer that feedback is about: the named activity's, else the conversation's latest."""
        remembered = _read(await self._store.get_user_state(incoming.owner))
        answers = [each for each in remembered.activities if each.message_id]
        if named := incoming.activity.reply_to_id:
            return next((each for each in answers if each.sent_id == named), None)
        thread_id = remembered.threads.get(incoming.conversation_key)
        return next((each for each in reversed(answers) if each.thread_id == thread_id), None)

    async def mark_feedback(self, owner: Owner, moment: datetime) -> None:
        """Remember when the owner has last said what they think."""
        await self._change(owner, lambda _: None, last_feedback=moment)

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

    async def _change(
        self, owner: Owner, change: Callable[[ConversationState], None], *, state: UserState | None = None, **fields: Any
    ) -> UserState:
        for _ in range(ATTEMPTS):
            state = state or await self._store.get_user_state(owner)
            remembered = _read(state)
            change(remembered)
            del remembered.activities[:-MAX_ACTIVITIES]
            values = {**state.values, VALUES_KEY: remembered.model_dump(mode="json", exclude_defaults=True)}
            in_use = next(reversed(remembered.threads.values()), None)
            update = {"thread_id": in_use, "values": values, **fields}
            try:
                return await self._store.put_user_state(owner, state.model_copy(update=update))
            except StateChanged:
                state = None
        raise StoreUnavailable


def _read(state: UserState) -> ConversationState:
    return ConversationState.model_validate(state.values.get(VALUES_KEY) or {})


def _find(remembered: ConversationState, key: str) -> ActivityRecord | None:
    return next((each for each in remembered.activities if each.key == key), None)


def _use(remembered: ConversationState, conversation_key: str, thread_id: str) -> None:
    remembered.threads.pop(conversation_key, None)
    remembered.threads[conversation_key] = thread_id
    for oldest in list(remembered.threads)[:-MAX_CONVERSATIONS]:
        del remembered.threads[oldest]
