"""What is kept about an owner's conversations, inside the owner's state, and changing it.

Every change is made on the version that was read, and made again if somebody was faster. Changes of one process come one after
the other, in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from errors import StateChanged, StoreUnavailable
from models import Owner, UserState, message_id, message_seq
from stores.contract import ThreadStore

MAX_CONVERSATIONS = 50
MAX_ACTIVITIES = 40
# Of which so many may be undone: those that were given up are among them.
MAX_UNDONE = 80
# Activities that were done before those; a channel or a queue that has not heard of it delivers them again.
MAX_DONE = 200
MAX_TICKETS = 40
MAX_REFERENCES = 8
MAX_REFERENCE = 800
# Answers before those activities; each takes about fifteen bytes of a document that is written with every message.
MAX_SHOWN = 300
# Between processes only: those of one process do not race.
ATTEMPTS = 20
VALUES_KEY = "bot"
logger = logging.getLogger(__name__)


class ActivityRecord(BaseModel):
    """An activity that is worked on, or done: the thread that it belongs to, if any, and the message that answered it.

    ``preferences`` are the owner's from when it was begun, so that a second attempt asks for the same; they go when it is done.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    key: str
    thread_id: str = ""
    done: bool = False
    message_id: str | None = None
    sent_id: str | None = None
    preferences: dict[str, str] = {}


class Ticket(BaseModel):
    """An activity's place in the order of its conversation.

    ``sent_at`` is the channel's time; ``worker`` names the attempt that is under way, if any, which adds to ``beats`` for as
    long as it lives.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    key: str
    conversation: str
    sent_at: str = ""
    worker: str = ""
    beats: int = 0


class ShownAnswer(NamedTuple):
    """A reply that was shown in a conversation."""

    thread_id: str
    message_id: str


class ConversationState(BaseModel):
    """The threads in use by conversation, the latest activities, the last at the end of each, and who waits, in order.

    ``references`` say how to reach the latest conversations (:func:`teams.references.conversation_reference`). ``shown`` are
    the answers before the latest activities, by thread: the place of each in its thread, and a hash of the activity that
    carried it. ``done`` are hashes of activities that were done before the latest ones, ``since`` is when the first activity
    was sent that something is kept of.
    """

    # What a later release keeps here outlives what this one writes while both run.
    model_config = ConfigDict(extra="allow")

    threads: dict[str, str] = {}
    activities: list[ActivityRecord] = []
    tickets: list[Ticket] = []
    references: dict[str, dict[str, Any]] = {}
    shown: dict[str, str] = {}
    done: str = ""
    since: str = ""

    def find(self, key: str) -> ActivityRecord | None:
        """Return what is known of an activity."""
        known = next((each for each in self.activities if each.key == key), None)
        if known is None and self.done and _mark(key) in self.done.split():
            return ActivityRecord(key=key, done=True)
        return known

    def remember(self, record: ActivityRecord) -> None:
        """Put a record to the end, in place of what was known of its activity; one that is done holds no place any more."""
        self.activities = [*(each for each in self.activities if each.key != record.key), record]
        if record.done:
            self.drop_ticket(record.key)
        over = max(0, len(self.activities) - MAX_ACTIVITIES)
        for oldest in [each for each in self.activities if each.done][:over]:
            self.activities.remove(oldest)
            self._keep_shown(oldest)
            self.done = " ".join([*self.done.split(), _mark(oldest.key)][-MAX_DONE:])
        # What is undone is not forgotten: another attempt would ask again, in the thread that is in use by then.
        del self.activities[:-MAX_UNDONE]

    def find_shown(self, sent_id: str) -> ShownAnswer | None:
        """Return the answer that an activity has carried."""
        for each in self.activities:
            if each.message_id and each.sent_id == sent_id:
                return ShownAnswer(each.thread_id, each.message_id)
        for thread_id, answers in self.shown.items():
            for answer in answers.split():
                seq, _, mark = answer.partition(".")
                if mark == _mark(sent_id):
                    return ShownAnswer(thread_id, message_id(thread_id, int(seq)))
        return None

    def _keep_shown(self, record: ActivityRecord) -> None:
        seq = message_seq(record.thread_id, record.message_id or "")
        if seq is None or record.sent_id is None:
            return
        before = self.shown.pop(record.thread_id, "")
        self.shown[record.thread_id] = f"{before} {seq}.{_mark(record.sent_id)}".lstrip()
        while sum(answers.count(".") for answers in self.shown.values()) > MAX_SHOWN:
            oldest, answers = next(iter(self.shown.items()))
            if rest := answers.partition(" ")[2]:
                self.shown[oldest] = rest
            else:
                del self.shown[oldest]

    def use(self, conversation_key: str, thread_id: str) -> None:
        """Let a thread be the one in use in a conversation."""
        self.threads.pop(conversation_key, None)
        self.threads[conversation_key] = thread_id
        for oldest in list(self.threads)[:-MAX_CONVERSATIONS]:
            del self.threads[oldest]

    def refer(self, conversation_key: str, reference: dict[str, Any]) -> None:
        """Remember how to reach a conversation, unless that takes too much room."""
        self.references.pop(conversation_key, None)
        if len(to_json(reference)) <= MAX_REFERENCE:
            self.references[conversation_key] = reference
        for oldest in list(self.references)[:-MAX_REFERENCES]:
            del self.references[oldest]

    def drop_ticket(self, key: str) -> None:
        """Let an activity hold no place in the order any more."""
        self.tickets = [each for each in self.tickets if each.key != key]


class ConversationStates:
    """Reads and changes what is kept."""

    def __init__(self, store: ThreadStore) -> None:
        self._store = store
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, owner: Owner) -> tuple[ConversationState, UserState]:
        """Return what is kept, and the state that it was read from.

        :raises StoreUnavailable: if the store cannot tell.
        """
        state = await self._store.get_user_state(owner)
        return _read(state), state

    async def change(
        self, owner: Owner, change: Callable[[ConversationState], None], *, state: UserState | None = None, **fields: Any
    ) -> ConversationState:
        """Make a change, and of the owner's state the ``fields``; return what is kept then. No change costs no write.

        ``change`` may be called several times, each time with what is kept then; ``state`` is what was read last, if anything.

        :raises StoreUnavailable: if the change could not be made.
        """
        lock = self._locks.setdefault(owner.hash, asyncio.Lock())
        async with lock:
            for _ in range(ATTEMPTS):
                state = state or await self._store.get_user_state(owner)
                kept = _read(state)
                change(kept)
                values = {**state.values, VALUES_KEY: kept.model_dump(mode="json", exclude_defaults=True)}
                if not fields and values == {VALUES_KEY: {}, **state.values}:
                    return kept
                in_use = next(reversed(kept.threads.values()), None)
                try:
                    update = {"thread_id": in_use, "values": values, **fields}
                    return _read(await self._store.put_user_state(owner, state.model_copy(update=update)))
                except StateChanged:
                    state = None
        raise StoreUnavailable


def _mark(id: str) -> str:
    """Return what stands for an activity's id, or its key, where there is room for little."""
    return hashlib.sha256(id.encode()).hexdigest()[:10]


def _read(state: UserState) -> ConversationState:
    """Read what is kept. Of what has another form, which another release may have given it, the rest is: a chat goes on."""
    kept: Any = state.values.get(VALUES_KEY) or {}
    try:
        return ConversationState.model_validate(kept)
    except ValidationError as unreadable:
        broken = {error["loc"][0] for error in unreadable.errors() if error["loc"]}
        logger.warning("what is kept of conversations cannot be read: %s", ", ".join(map(str, broken)) or "all of it")
        fields = kept.items() if isinstance(kept, dict) else ()
        return ConversationState.model_validate({name: value for name, value in fields if name not in broken})
