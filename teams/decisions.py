"""Open tool calls in a chat: a card that asks, and what its buttons send."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from microsoft_agents.activity import Activity, Attachment
from microsoft_teams.cards import AdaptiveCard, Fact, FactSet, SubmitAction, TextBlock
from pydantic_core import to_json

from calls import ToolCall
from errors import ChatError, TurnNotFound
from models import AUTHOR_ID, Message, Owner, Turn
from records import Record
from stores.contract import ThreadStore
from teams.activity import DECISION, Incoming, decision_value
from teams.annotations import marks_of
from teams.cards import CONTENT_TYPE
from teams.messages import Strings, language_of
from teams.sender import NotSent, Sender
from tools.tool import ToolSpec, text_in
from turns.decisions import ClientResult, Decisions, Verdict
from turns.event_log import EventLog
from turns.service import Turns

# How a tool is known to the bot by its name, once the agent is there.
Tools = Callable[[], Awaitable[Mapping[str, ToolSpec]]]
MAX_VALUE = 500
MAX_SAID = 4000
# How far back the question may be that a paused answer is about.
PAGE, MAX_PAGES = 100, 10
logger = logging.getLogger(__name__)


class ChatDecision(Record):
    """What a button of the card says."""

    thread_id: str
    turn_id: str
    approved: bool
    is_private: bool = False


class Refused(NamedTuple):
    """Why nothing came of a decision: a key of the bot's words; ``paused`` is the reply whose card has no use any more."""

    words: str
    paused: Message | None = None


def decision_card(message: Message, tools: Mapping[str, ToolSpec], strings: Strings, *, is_private: bool) -> Attachment:
    """Make the card that asks about all open calls of a paused answer; one in private says so to who answers its buttons."""
    data = {"thread_id": message.thread_id, "turn_id": message.turn_id, "is_private": is_private}
    actions = [
        SubmitAction(title=strings[word], data={DECISION: {**data, "approved": approved}})
        for word, approved in (("allow", True), ("refuse", False))
    ]
    return _card(_asked(message, tools, strings), actions)


def decision_text(message: Message, tools: Mapping[str, ToolSpec], strings: Strings) -> str:
    """Say what is asked where no card can be shown."""
    asked = []
    for call in message.open_calls:
        arguments = ", ".join(f"{name}: {_shown(value)}" for name, value in call.arguments.items())
        asked.append(f"{_question(call, tools, strings)} {arguments}".rstrip())
    return "\n\n".join([*asked, strings["decide_elsewhere"]])


def decided_message(
    paused: Message, tools: Mapping[str, ToolSpec], strings: Strings, words: str, sensitivity: str | None
) -> Activity:
    """Make what is left of the message with the card once somebody has decided: no buttons.

    Teams takes no text beside a card in the place of a message: the text stands in the card.
    """
    said = [TextBlock(text=_shortened(paused.content, MAX_SAID), wrap=True)] if paused.content else []
    card = _card([*said, *_asked(paused, tools, strings), TextBlock(text=words, weight="Bolder", wrap=True)], [])
    return Activity(type="message", attachments=[card], entities=marks_of((), sensitivity))


def _asked(message: Message, tools: Mapping[str, ToolSpec], strings: Strings) -> list[Any]:
    body: list[Any] = []
    for call in message.tool_calls:
        if call.awaits is None:
            continue
        body.append(TextBlock(text=_question(call, tools, strings), weight="Bolder", wrap=True))
        facts = [Fact(title=name, value=_shown(value)) for name, value in call.arguments.items()]
        body += [FactSet(facts=facts)] if facts else []
    return body


def _question(call: ToolCall, tools: Mapping[str, ToolSpec], strings: Strings) -> str:
    spec = tools.get(call.tool)
    title = (text_in(spec.view.title, language_of(strings)) if spec else None) or call.tool
    return strings["may_i"].format(tool=title)


def _shown(value: Any) -> str:
    return _shortened(value if isinstance(value, str) else to_json(value).decode(), MAX_VALUE)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _card(body: list[Any], actions: list[SubmitAction]) -> Attachment:
    card = AdaptiveCard(version="1.5", body=body, actions=list(actions))
    return Attachment(content_type=CONTENT_TYPE, content=card.model_dump(mode="json", by_alias=True, exclude_none=True))


def read_decision(incoming: Incoming) -> ChatDecision | None:
    """Read what a button has sent, if the activity is that."""
    value = decision_value(incoming.activity)
    try:
        return ChatDecision.model_validate(value, strict=True) if value else None
    except ValueError:
        return None


class ChatDecisions:
    """Goes on with paused turns as a chat decides: the user who has asked, and nobody else."""

    def __init__(self, store: ThreadStore, turns: Turns, known_tools: Tools, sensitivity: str | None) -> None:
        self._store = store
        self._turns = turns
        self._known_tools = known_tools
        self._sensitivity = sensitivity

    async def go_on(self, incoming: Incoming, decision: ChatDecision, request_id: str) -> tuple[Message, EventLog] | Refused:
        """Decide about a paused turn; return its reply and the log of the turn that goes on.

        :raises ChatError: as :meth:`Turns.go_on` does, but for what another decision has brought about.
        """
        owner, paused = incoming.owner, None
        try:
            turn = await self._turns.get(owner, decision.thread_id, decision.turn_id)
            if turn.message is None or not await self._was_asked(incoming, turn, turn.message):
                return Refused("not_asked" if turn.message else "decided")
            paused = turn.message
            log = await self._turns.go_on(
                owner,
                decision.thread_id,
                decision.turn_id,
                _decisions(turn.message, approved=decision.approved),
                decided_by=incoming.author_id or owner.user,
                idempotency_key=f"bot-{incoming.key}",
                stream=True,
                request_id=request_id,
            )
        except ChatError as error:
            words = {"turn_continued": "decided", "turn_ended": "decided", "approval_expired": "expired"}.get(error.type)
            gone = error.type in ("thread_not_found", "turn_not_found")
            if words is None and not gone:
                raise
            # Of one that was decided about, whoever has decided says so on its card.
            return Refused(words or "decided", paused if error.type == "turn_ended" else None)
        return paused, log

    async def show(self, sender: Sender, sent_id: str | None, paused: Message, strings: Strings, words: str) -> None:
        """Put what was decided in the place of the card, if it is known where that is and the channel lets it change."""
        if not sent_id or sender.is_private:
            return
        left = decided_message(paused, await self._known_tools(), strings, words, self._sensitivity)
        left.id = sent_id
        try:
            await sender.update(left)
        except NotSent:
            logger.info("the card of a decision could not be updated")

    async def find_paused(self, owner: Owner, reply: Message) -> Message | None:
        """Return the paused reply that a reply goes on with, if it can be found."""
        try:
            turn = await self._turns.get(owner, reply.thread_id, reply.turn_id)
            return (await self._turns.get(owner, reply.thread_id, turn.continues)).message if turn.continues else None
        except ChatError:
            return None

    async def is_stored(self, incoming: Incoming, decision: ChatDecision) -> bool:
        """Whether a turn goes on with the paused one, or has."""
        try:
            turn = await self._turns.get(incoming.owner, decision.thread_id, decision.turn_id)
        except ChatError:
            return False
        return turn.continued_by is not None

    async def _was_asked(self, incoming: Incoming, turn: Turn, reply: Message) -> bool:
        """Whether the sender is who the paused answer is for; in a person's own chat nobody else is there.

        The question is the message of the same turn, or of the latest that goes on with it. It may stand far from the answer:
        it may have been tried again.
        """
        owner = incoming.owner
        if not owner.is_conversation:
            return True
        turns = {turn.id}
        while turn.continued_by and turn.continued_by not in turns:
            turns.add(turn.continued_by)
            try:
                turn = await self._turns.get(owner, reply.thread_id, turn.continued_by)
            except TurnNotFound:
                # It runs, or its process has died: the question is its message.
                break
        before = reply.seq
        for _ in range(MAX_PAGES):
            page = await self._store.list_messages(owner, reply.thread_id, limit=PAGE, after=None, before=before, order="desc")
            if asked := next((each for each in page.items if each.role == "user" and each.turn_id in turns), None):
                return not asked.is_erased and asked.metadata.get(AUTHOR_ID) in (None, incoming.author_id)
            if not page.items:
                break
            before = page.items[-1].seq
        return False


def _decisions(reply: Message, *, approved: bool) -> Decisions:
    # As they were opened: a repeated button finds them decided about, and must say the same.
    asked = [call for call in reply.tool_calls if call.awaits == "approval"]
    others = [call for call in reply.tool_calls if call.awaits == "result"]
    return Decisions(
        [Verdict(call.id, approved) for call in asked],
        [ClientResult(call.id, error="this cannot be done in a chat") for call in others],
    )
