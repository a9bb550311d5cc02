"""One turn of the conversation: begin, run the agent, emit events, commit. Knows no HTTP, no Azure and no Teams.

A turn runs in a task of its own and writes its events to a log in memory; whoever asked for it follows the log and may go away
at any time without stopping the turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue
from pydantic_core import to_json

from errors import ChatError, InternalError, LeaseLost, TurnInterrupted, TurnTimeout
from lease import KeptLease
from records import Message, NewMessage, Owner, Problem, ReplayedTurn, StartedTurn, ToolCall, TurnStatus, message_id, utcnow
from store import ThreadStore

if TYPE_CHECKING:
    from agent import ChatAgent
    from settings import Settings

EventType = Literal[
    "turn.started", "message.delta", "tool.started", "tool.completed", "message.completed", "turn.failed", "turn.cancelled"
]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """Something that happened in a turn. ``id`` rises from 1; ``data`` holds the fields that belong to ``type``."""

    id: int
    type: EventType
    turn_id: str
    data: dict[str, Any]


@dataclass(eq=False)
class Turn:
    """A turn's log of events: complete, in order, and open to any number of readers."""

    id: str
    replayed: bool = False
    _log: list[TurnEvent] = field(default_factory=list)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _ended: bool = False

    def emit(self, type: EventType, **data: Any) -> None:
        """Append an event and wake the readers."""
        self._log.append(TurnEvent(len(self._log) + 1, type, self.id, data))
        self._wake()

    def end(self) -> None:
        """Say that no event will follow."""
        self._ended = True
        self._wake()

    async def events(self) -> AsyncIterator[TurnEvent]:
        """Yield every event from the first on, and end after the last."""
        position = 0
        while True:
            while position < len(self._log):
                yield self._log[position]
                position += 1
            if self._ended:
                return
            changed = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed

    def _wake(self) -> None:
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)
        self._waiting.clear()


def replay(replayed: ReplayedTurn) -> Turn:
    """Return the log of a turn that has completed before."""
    turn = Turn(replayed.message.turn_id, replayed=True)
    turn.emit("message.completed", message=replayed.message)
    turn.end()
    return turn


class Answer:
    """The answer as it grows: an :class:`agent.RunObserver` that turns what the agent does into events."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._pieces: list[str] = []
        self._calls: dict[str, ToolCall | None] = {}

    def text(self, piece: str) -> None:
        """Take the next piece of the answer's text."""
        self._pieces.append(piece)
        self._turn.emit("message.delta", text=piece)

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        """Take note of a tool call that the model asked for."""
        self._calls[call_id] = None
        self._turn.emit("tool.started", call_id=call_id, tool=tool, arguments=arguments)

    def tool_completed(self, call: ToolCall) -> None:
        """Take a tool call's result or error."""
        self._calls[call.id] = call
        outcome = {"result": call.result} if call.error is None else {"error": call.error}
        self._turn.emit("tool.completed", call_id=call.id, tool=call.tool, **outcome, duration_ms=call.duration_ms)

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls that have ended, in the order in which they began."""
        return [call for call in self._calls.values() if call is not None]


class Turns:
    """Starts turns and keeps them running, one task each, until they end or the process stops."""

    def __init__(self, store: ThreadStore, agent: Callable[[], Awaitable[ChatAgent]], settings: Settings) -> None:
        self._store = store
        self._agent = agent
        self._settings = settings
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def start(
        self, owner: Owner, thread_id: str, new: NewMessage, *, stream: bool, request_id: str | None = None
    ) -> Turn:
        """Accept a message and start its turn; a replayed turn has ended already.

        With ``stream`` the model is asked to stream, for a reader who wants the text as it comes. ``request_id`` goes into
        the problem of a turn that fails.

        :raises ThreadNotFound, TurnInProgress, IdempotencyKeyReused, StoreError: as :meth:`ThreadStore.begin_turn` does.
        :raises TurnInterrupted: if the process is stopping.
        """
        if self._stopping:
            raise TurnInterrupted("The service is stopping.")
        begun: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        # In a task of its own from the start: a caller who leaves now must not leave a lease without a turn behind.
        task = asyncio.create_task(self._turn(begun, owner, thread_id, new, stream, request_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await begun

    def stop_accepting(self) -> None:
        """Refuse new turns from now on."""
        self._stopping = True

    async def close(self, *, grace_seconds: float) -> None:
        """Let running turns finish for ``grace_seconds``, then end the others as interrupted."""
        self.stop_accepting()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _turn(
        self,
        begun: asyncio.Future[Turn],
        owner: Owner,
        thread_id: str,
        new: NewMessage,
        stream: bool,
        request_id: str | None,
    ) -> None:
        try:
            started = await self._begin(owner, thread_id, new)
        except BaseException as error:
            if not begun.done():
                begun.set_exception(TurnInterrupted() if isinstance(error, asyncio.CancelledError) else error)
            if isinstance(error, Exception):
                return
            raise
        turn = Turn(new.turn_id) if isinstance(started, StartedTurn) else replay(started)
        if not begun.done():
            begun.set_result(turn)
        if isinstance(started, StartedTurn):
            await self._run(turn, started, stream, request_id)

    async def _begin(self, owner: Owner, thread_id: str, new: NewMessage) -> StartedTurn | ReplayedTurn:
        return await self._store.begin_turn(
            owner,
            thread_id,
            new,
            lease_seconds=self._settings.turn_lease_seconds,
            history_limit=self._settings.history_max_messages,
        )

    async def _run(self, turn: Turn, started: StartedTurn, stream: bool, request_id: str | None) -> None:
        turn.emit("turn.started")
        answer = Answer(turn)
        try:
            async with KeptLease(self._store, started, self._settings.turn_lease_seconds):
                reply = await self._answer(answer, started, stream)
            await self._commit(started, "completed", reply=reply)
            turn.emit("message.completed", message=reply)
        except asyncio.CancelledError:
            await self._fail(turn, started, TurnInterrupted(), request_id)
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens, the turn must end and say so
            await self._fail(turn, started, error, request_id)
        finally:
            turn.end()

    async def _answer(self, answer: Answer, started: StartedTurn, stream: bool) -> Message:
        seconds = self._settings.turn_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                agent = await self._agent()
                history = fit_history(started.history, self._settings.history_max_tokens)
                result = await agent.run(history, started.message, observer=answer, stream=stream)
        except TimeoutError as error:
            raise TurnTimeout(seconds) from error
        usage: JsonValue = {"input_tokens": result.input_tokens, "output_tokens": result.output_tokens}
        return Message(
            id=message_id(started.thread.id, started.reply_seq),
            thread_id=started.thread.id,
            seq=started.reply_seq,
            role="assistant",
            content=answer.content,
            timestamp=utcnow(),
            status="completed",
            turn_id=started.turn_id,
            tool_calls=answer.tool_calls,
            metadata={"model": result.model, "usage": usage},
        )

    async def _commit(
        self, started: StartedTurn, status: TurnStatus, *, reply: Message | None = None, problem: Problem | None = None
    ) -> None:
        message = started.message.model_copy(update={"status": status, "problem": problem})
        await self._store.commit_turn(started, message=message, reply=reply)

    async def _fail(self, turn: Turn, started: StartedTurn, error: BaseException, request_id: str | None) -> None:
        shown = error if isinstance(error, ChatError) else InternalError()
        level = logging.WARNING if isinstance(error, ChatError) else logging.ERROR
        logger.log(level, "turn %s of %s failed: %s", turn.id, started.thread.id, shown.type, exc_info=error)
        problem = Problem.of(shown, request_id)
        try:
            if not isinstance(error, LeaseLost):
                status: TurnStatus = "interrupted" if isinstance(error, TurnInterrupted) else "failed"
                await self._commit(started, status, problem=problem)
        except ChatError:
            logger.warning("end of turn %s not stored; its lease will expire", turn.id, exc_info=True)
        turn.emit("turn.failed", problem=problem)


def fit_history(history: Sequence[Message], max_tokens: int) -> Sequence[Message]:
    """Return the latest messages that fit the budget, from a user's message on.

    A message counts with its tool calls and their results, so a call is never shown without its result. Tokens are estimated at
    four bytes of UTF-8 each, which errs on the safe side for most languages.
    """
    start = len(history)
    while start and (max_tokens := max_tokens - estimate_tokens(history[start - 1])) >= 0:
        start -= 1
    while start < len(history) and history[start].role != "user":
        start += 1
    return history[start:]


def estimate_tokens(message: Message) -> int:
    """Return about how many tokens the model needs to read a message and its tool calls."""
    size = len(message.content.encode())
    if message.tool_calls:
        size += len(to_json(message.tool_calls))
    return size // 4 + 4
