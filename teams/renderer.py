"""A turn's events, rendered into a conversation: the sibling of server-sent events and NDJSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from microsoft_agents.activity import Attachment, Entity

from agent.citations import cited
from agent.request import sources_in
from errors import StoreUnavailable, TurnInterrupted
from events import (
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    ToolCompleted,
    ToolStarted,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnPaused,
)
from models import Citation, Message, Problem
from teams.annotations import MessageAnnotations, citation_marks, link_definitions, marks_of
from teams.cards import MAX_CARDS, Card, card_of
from teams.channel_rules import Mode, Pacing
from teams.clock import Clock
from teams.decisions import decision_card, decision_text
from teams.messages import Strings, language_of, problem_text
from teams.sender import NotSent, Reason, Sender, count_delivery, send_typing
from teams.streamer import Streamer
from tools.tool import ToolSpec, fill, text_in
from turns.event_log import EventLog

# Teams shows that somebody is typing for about as long.
TYPING_SECONDS = 3.0
# The problems of turns that fail of the service itself, not of what they were asked: the next attempt may do better.
REPEATED = frozenset({StoreUnavailable.type, TurnInterrupted.type})


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How answers look in a conversation.

    ``tools`` waits for the agent: it is asked once a turn has called one, when the agent is there.
    With ``repeats_failures`` a turn that failed of the service (``REPEATED``) will be begun again, and nothing is said about
    it. ``start`` is said in a stream before there is anything to say. ``unread`` names the files that came with the question.
    With ``links`` sources are told as Markdown links, for channels that know no marks.
    """

    strings: Strings
    tools: Callable[[], Awaitable[Mapping[str, ToolSpec]]]
    mode: Mode
    cards: Literal["with_answer", "before_answer", "none"]
    sensitivity: str | None
    feedback: bool
    request_id: str
    repeats_failures: bool
    pacing: Pacing
    start: str | None
    unread: Sequence[str] = ()
    links: bool = False
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended, and the id of the activity that told so (empty if none was sent)."""

    result: Message | Problem
    activity_id: str


class TurnRenderer:
    """Shows one turn; ``cancel`` is called when the user presses Stop."""

    def __init__(self, sender: Sender, clock: Clock, look: RenderOptions, cancel: Callable[[], Awaitable[None]]) -> None:
        self._sender = sender
        self._clock = clock
        self._look = look
        self._cancel = cancel
        self._streamer = Streamer(sender, clock, look.mode, look.pacing, self._mark)
        self._streamer.inform(look.start or "")
        self._tools: Mapping[str, ToolSpec] = {}
        self._cards: list[Attachment] = []
        self._calls: dict[str, dict[str, Any]] = {}
        self._sources: dict[str, Citation] = {}
        self._is_generated = True
        self._told = ""
        self._result: Message | Problem | None = None

    @property
    def has_shown_part(self) -> bool:
        """Whether the reader has a first part of an answer that is longer than a message."""
        return self._streamer.passed_on

    async def show(self, log: EventLog) -> Outcome:
        """Follow a turn to its end, showing what can be shown on the way, and then all of it.

        A channel that takes nothing any more does not end the turn: the answer is in its thread.

        :raises NotSent: after the turn's end, if it could not be told although the conversation is still there.
        """
        inbox: list[TurnEvent] = []
        arrived = asyncio.Event()

        async def read() -> None:
            async for batch in log.stream():
                inbox.extend(batch)
                arrived.set()
            if log.final_id is None:
                self._result = log.result
                arrived.set()

        reading = asyncio.create_task(read())
        try:
            result = await self._show_until_end(inbox, arrived)
            return Outcome(result, await self._close(result))
        except NotSent as error:
            outcome = Outcome(await log.wait(), "")
            if error.reason is not Reason.UNREACHABLE:
                raise
            count_delivery("unreachable")
            return outcome
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async def _show_until_end(self, inbox: list[TurnEvent], arrived: asyncio.Event) -> Message | Problem:
        typing_at = self._clock.now() + TYPING_SECONDS
        while True:
            events, inbox[:] = inbox[:], []
            arrived.clear()
            for event in events:
                await self._take(event)
            if self._result is not None:
                return self._result
            now, due_in = self._clock.now(), self._streamer.due_in
            if due_in == 0:
                await self._streamer.show()
                if self._streamer.stopped:
                    await self._cancel()
                continue
            shows_nothing = not self._streamer.is_visible and not self._streamer.stopped
            if shows_nothing and now >= typing_at:
                typing_at = now + TYPING_SECONDS
                await send_typing(self._sender)
            waits = [seconds for seconds in (due_in, typing_at - now if shows_nothing else None) if seconds is not None]
            await self._clock.wait(arrived, max(0.0, min(waits, default=TYPING_SECONDS)))

    async def _take(self, event: TurnEvent) -> None:
        if isinstance(event, MessageDelta):
            self._told += event.text
            self._streamer.write(event.text)
        elif isinstance(event, ReasoningDelta):
            if not self._calls and not self._look.start:
                self._streamer.inform(self._look.strings["working"])
        elif isinstance(event, ToolStarted):
            self._tools = await self._look.tools()
            self._calls[event.call_id] = event.arguments
            self._streamer.inform(self._informative(event.tool, event.arguments))
        elif isinstance(event, ToolCompleted):
            if event.error is None:
                await self._take_result(event)
        elif isinstance(event, TurnFailed):
            self._result = event.problem
        elif isinstance(event, MessageCompleted | TurnCancelled | TurnPaused):
            self._result = event.message

    async def _take_result(self, event: ToolCompleted) -> None:
        self._sources |= {source.id: source for source in sources_in(event.result)}
        if self._look.cards == "none":
            return
        card = self._card(event.tool, self._calls.get(event.call_id, {}), event.result)
        if card is None or len(self._cards) >= MAX_CARDS:
            return
        if self._look.cards == "with_answer":
            self._cards.append(card.attachment)
            return
        # The card is a message of its own; the answer goes on in the next.
        if not self._streamer.text:
            self._streamer.write(card.title)
        await self._streamer.close(self._annotations([card.attachment], feedback=False))

    async def _close(self, result: Message | Problem) -> str:
        if isinstance(result, Problem):
            if result.type in REPEATED and self._look.repeats_failures:
                return ""
            self._is_generated = bool(self._streamer.text)
            if self._streamer.text:
                self._streamer.write("\n\n")
            self._streamer.write(problem_text(self._look.strings, result.type, self._look.request_id))
            return await self._streamer.close()
        if result.content.startswith(self._told):
            self._streamer.write(result.content[len(self._told) :])
        self._sources = {source.id: source for source in result.citations}
        cards = await self._replayed_cards(result)
        if result.status == "paused":
            return await self._ask(result, cards)
        if not self._streamer.text and not cards and self._look.cards != "before_answer":
            self._streamer.write(self._look.strings["stopped"])
        if self._look.links and result.citations:
            self._streamer.write(f"\n\n{link_definitions(result.citations)}")
        self._say_unread()
        return await self._streamer.close(self._annotations(cards, feedback=True))

    def _say_unread(self) -> None:
        if self._look.unread:
            note = self._look.strings["unread"].format(files=", ".join(self._look.unread))
            self._streamer.write(f"\n\n{note}")

    async def _ask(self, paused: Message, cards: list[Attachment]) -> str:
        """Ask about the open calls of a paused answer; one that was decided about meanwhile has none."""
        if not self._streamer.text:
            self._streamer.write(self._look.strings["asks"])
        if paused.open_calls:
            look, tools = self._look, await self._look.tools()
            cards = [*cards, decision_card(paused, tools, look.strings, is_private=look.is_private)]
            return await self._streamer.close(MessageAnnotations(None, cards, decision_text(paused, tools, look.strings)))
        return await self._streamer.close(self._annotations(cards, feedback=False))

    async def _replayed_cards(self, message: Message) -> list[Attachment]:
        """Return the cards; those of a turn that ended before are made of the message."""
        if self._told or self._calls or self._look.cards != "with_answer":
            return self._cards
        calls = [call for call in message.tool_calls if call.status == "completed"]
        if calls:
            self._tools = await self._look.tools()
        cards = [self._card(call.tool, call.arguments, call.result) for call in calls]
        return [card.attachment for card in cards if card][:MAX_CARDS]

    def _annotations(self, cards: list[Attachment], *, feedback: bool) -> MessageAnnotations:
        wanted = feedback and self._look.feedback
        return MessageAnnotations({"feedbackLoop": {"type": "custom"}} if wanted else None, cards)

    def _mark(self, text: str, is_whole: bool) -> list[Entity]:
        sources = cited(text, self._sources.values())
        if not is_whole:
            return citation_marks(sources)
        return marks_of(sources, self._look.sensitivity) if self._is_generated else []

    def _informative(self, tool: str, arguments: dict[str, Any]) -> str:
        spec = self._tools.get(tool)
        shown = {name: " ".join(str(value).split())[:100] for name, value in arguments.items()}
        template = text_in(spec.view.progress, language_of(self._look.strings)) if spec else None
        return fill(template or "", shown) or self._look.strings["working"]

    def _card(self, tool: str, arguments: dict[str, Any], result: Any) -> Card | None:
        spec = self._tools.get(tool)
        return card_of(spec.view if spec else None, arguments, result, language_of(self._look.strings))
