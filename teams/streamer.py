"""A message that grows before the reader's eyes, as far as the channel can: written, shown, closed; then the next."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from microsoft_agents.activity import Activity, Entity, StreamInfo

from teams.annotations import MessageAnnotations, whole_message
from teams.channel_rules import (
    MAX_GROWING,
    MAX_INFORMATIVE,
    MAX_TEXT,
    SMALL_TEXT,
    STREAM_SECONDS,
    Mode,
    Pacing,
)
from teams.clock import Clock
from teams.pieces import Piece, divide, fitting
from teams.sender import NotSent, Reason, Sender, pause

NOTHING_YET = "…"
# No other form of a message helps against these.
LASTING = (Reason.UNREACHABLE, Reason.BUSY)
logger = logging.getLogger(__name__)
# What a message with a text is marked with, once it is whole or while it grows: what wrote it, and where it comes from.
Mark = Callable[[str, bool], list[Entity]]


class Streamer:
    """Shows one message after the other, each with its marks; ``stopped`` says that the user wants no more of it.

    A text that is too long for one message goes on growing in the next: ``passed_on`` says that a first part is there.
    """

    def __init__(self, sender: Sender, clock: Clock, mode: Mode, pacing: Pacing, mark: Mark) -> None:
        self._sender = sender
        self._mark = mark
        self._clock = clock
        self._usual_mode = mode
        self._pacing = pacing
        self._next_at = clock.now()
        self._failures = 0
        self.stopped = False
        self.passed_on = False
        self._begin()

    def _begin(self) -> None:
        self._mode = self._usual_mode
        self._text = ""
        self._piece: Piece | None = None
        self._informative = ""
        self._shown = ""
        self._stream_id = ""
        self._stream_at = 0.0
        self._sequence = 0
        self._message_id = ""

    @property
    def text(self) -> str:
        """What was written since the last message was closed."""
        return self._text

    @property
    def is_visible(self) -> bool:
        """Whether the reader sees something of the message already."""
        return bool(self._stream_id or self._message_id)

    @property
    def due_in(self) -> float | None:
        """Seconds until there is something to show, 0 if now, ``None`` if nothing waits for it."""
        if self.stopped or self._mode is Mode.ONCE:
            return None
        if self._is_too_old or self._piece or self._has_grown:
            return max(0.0, self._next_at - self._clock.now())
        ends = bool(self._stream_id) and self._mode is Mode.STREAM
        return max(0.0, self._stream_at + STREAM_SECONDS - self._clock.now()) if ends else None

    @property
    def _wanted(self) -> str:
        text = self._piece.text if self._piece else self._text[: max(fitting(self._text, MAX_GROWING), len(self._shown))]
        return text or (self._informative if self._streams else "")

    @property
    def _streams(self) -> bool:
        return self._mode in (Mode.STREAM, Mode.LIVE)

    @property
    def _has_grown(self) -> bool:
        wanted, shown = self._wanted, self._shown
        is_new = bool(wanted) and not (shown and wanted.startswith(shown))
        return is_new or len(wanted) - len(shown) >= self._pacing.characters

    @property
    def _is_too_old(self) -> bool:
        is_old = self._clock.now() - self._stream_at >= STREAM_SECONDS
        return is_old and bool(self._stream_id) and self._mode is Mode.STREAM

    def inform(self, text: str) -> None:
        """Say what is going on, for as long as there is no text."""
        self._informative = text[:MAX_INFORMATIVE]

    def write(self, piece: str) -> None:
        """Let the message grow."""
        self._text += piece if self._text else piece.lstrip()
        if self._piece is None and (most := fitting(self._text, MAX_TEXT)) < len(self._text):
            # What was streamed must stay: the channel takes no final text that is shorter.
            self._piece = divide(self._text, max(most // 2, len(self._shown) if self.is_visible else 0), most)

    async def show(self) -> None:
        """Show what there is now; whatever the channel answers, the message can still be closed.

        :raises NotSent: if nothing reaches the conversation any more, or a message that is full cannot be finished.
        """
        if self._piece:
            await self._pass_on(self._piece)
            return
        self._next_at = self._clock.now() + self._pacing.seconds
        try:
            if self._is_too_old:
                await self._end_stream()
            elif self._streams:
                await self._stream()
            else:
                await self._show_message()
            self._failures = 0
        except NotSent as error:
            self._take(error)

    async def close(self, annotations: MessageAnnotations | None = None) -> str:
        """Finish the message, whatever it takes, and return its id; does nothing if none was begun, or the user stopped it.

        :raises NotSent: if nothing reaches the conversation any more, or it is refused in every form.
        """
        annotations = annotations or MessageAnnotations()
        if self.stopped or not (self._text or self.is_visible or annotations.cards):
            return ""
        while self._piece and not self.stopped:
            await self._pass_on(self._piece)
        id = "" if self.stopped else await self._finish(annotations)
        self._begin()
        return id

    async def _pass_on(self, piece: Piece) -> None:
        """Finish the message, which is full, and begin the next one with the rest of the text."""
        whole, self._text = self._text, piece.text
        await self._finish(MessageAnnotations())
        self.passed_on = True
        if not self.stopped:
            self._begin()
            self.write(piece.rest_of(whole))

    async def _stream(self) -> None:
        kind = "streaming" if self._text else "informative"
        text = self._wanted
        self._sequence += 1
        info = StreamInfo(type="streaminfo", stream_type=kind, stream_sequence=self._sequence)
        if self._stream_id:
            info.stream_id = self._stream_id
        else:
            self._stream_at = self._clock.now()
        if self._mode is Mode.LIVE:
            info.stream_id = self._stream_id or uuid.uuid4().hex
        marks = self._mark(text, False) if self._text else []
        id = await self._sender.send(Activity(type="typing", text=text, entities=[info, *marks]))
        self._stream_id = self._stream_id or info.stream_id or id
        self._shown = text

    async def _show_message(self) -> None:
        text = self._wanted
        message = Activity(type="message", text=text)
        if marks := self._mark(text, False):
            message.entities = marks
        if self._message_id:
            message.id = self._message_id
            await self._sender.update(message)
        else:
            self._message_id = await self._sender.send(message)
        self._shown = text

    async def _end_stream(self) -> None:
        """End the stream in time; from then on the message is updated."""
        text = self._wanted or NOTHING_YET
        await self._sender.send(self._final(text, MessageAnnotations(), streamed=True))
        self._message_id, self._stream_id = self._stream_id, ""
        self._mode = Mode.UPDATE
        self._shown = text

    def _take(self, error: NotSent) -> None:
        """Go on after a refusal: later, in another way, or not at all."""
        if error.reason is Reason.BUSY:
            wait = pause(self._failures, error.retry_after)
            self._next_at = self._clock.now() + max(self._pacing.seconds, wait)
            self._failures += 1
        elif error.reason is Reason.STOPPED:
            self.stopped = True
        elif error.reason is Reason.UNREACHABLE:
            raise error
        elif error.reason is Reason.COMPLETED and self._stream_id and self._mode is Mode.STREAM:
            # By a final message whose answer was lost: it is a message now, and may lack what came since.
            self._message_id, self._stream_id = self._stream_id, ""
            self._mode = Mode.UPDATE
            self._shown = ""
        elif error.reason is Reason.MISSING and self.is_visible:
            # Somebody has deleted it: the answer goes on in a new message.
            self._mode = Mode.ONCE if self._mode is Mode.LIVE else Mode.UPDATE
            self._stream_id = self._message_id = self._shown = ""
        else:
            # What was streamed may stay as it is: the answer comes as a message.
            self._mode = Mode.UPDATE if self._mode is Mode.STREAM else Mode.ONCE
            if error.reason is not Reason.TIMED_OUT:
                self._usual_mode = self._mode
            self._stream_id = self._message_id = self._shown = ""

    async def _finish(self, annotations: MessageAnnotations) -> str:
        await self._keep_pace()
        text = self._text or (NOTHING_YET if self.is_visible else "")
        try:
            if self._stream_id:
                return await self._finish_stream(text, annotations)
            if self._message_id:
                return await self._finish_by_update(text, annotations)
        except NotSent as error:
            if error.reason is Reason.STOPPED:
                self.stopped = True
                return ""
            if error.reason in LASTING:
                raise
            logger.warning("an answer could not be finished in place (%s) and is sent anew", error.reason.name)
            await self._keep_pace(after_send=True)
        return await self._finish_anew(text, annotations)

    async def _keep_pace(self, *, after_send: bool = False) -> None:
        """Wait until something may be sent again; ``after_send`` says that something was just now."""
        if after_send:
            self._next_at = self._clock.now() + self._pacing.seconds
        await self._clock.sleep(max(0.0, self._next_at - self._clock.now()))
        self._next_at = self._clock.now() + self._pacing.seconds

    async def _finish_anew(self, text: str, annotations: MessageAnnotations) -> str:
        try:
            return await self._sender.send_with_retry(self._final(text, annotations))
        except NotSent as error:
            if error.reason in LASTING:
                raise
        # Better without its cards and marks than not at all, and better in pieces.
        text = "\n\n".join(filter(None, (text, annotations.instead))) or NOTHING_YET
        await self._keep_pace(after_send=True)
        try:
            return await self._sender.send_with_retry(Activity(type="message", text=text))
        except NotSent as error:
            if error.reason is not Reason.TOO_LARGE or len(text) <= SMALL_TEXT:
                raise
        id = ""
        while text:
            await self._keep_pace(after_send=True)
            piece = divide(text, SMALL_TEXT // 2, SMALL_TEXT)
            id = await self._sender.send_with_retry(self._final(piece.text, MessageAnnotations()))
            text = piece.rest_of(text)
        return id

    async def _finish_stream(self, text: str, annotations: MessageAnnotations) -> str:
        try:
            return await self._sender.send_with_retry(self._final(text, annotations, streamed=True)) or self._stream_id
        except NotSent as error:
            if error.reason is not Reason.COMPLETED:
                raise
        # By a final message that was to end the stream in time, and whose answer was lost.
        self._message_id = self._stream_id
        await self._keep_pace(after_send=True)
        return await self._finish_by_update(text, annotations)

    async def _finish_by_update(self, text: str, annotations: MessageAnnotations) -> str:
        message = self._final(text, MessageAnnotations(annotations.channel_data))
        message.id = self._message_id
        id = await self._sender.send_with_retry(message, update=True)
        if annotations.cards:
            await self._keep_pace(after_send=True)
            await self._send_cards(annotations)
        return id

    async def _send_cards(self, annotations: MessageAnnotations) -> None:
        """Send cards behind their text, as Teams takes no update that has both; the text stays where they are refused."""
        try:
            await self._sender.send_with_retry(Activity(type="message", attachments=annotations.cards))
        except NotSent as error:
            if error.reason in LASTING:
                raise
            if annotations.instead:
                await self._keep_pace(after_send=True)
                await self._sender.send_with_retry(Activity(type="message", text=annotations.instead))

    def _final(self, text: str, annotations: MessageAnnotations, *, streamed: bool = False) -> Activity:
        entities = self._mark(text, True)
        if streamed:
            entities.insert(0, StreamInfo(type="streaminfo", stream_type="final", stream_id=self._stream_id))
        return whole_message(text, entities, annotations)
