"""The bot: takes activities in, keeps them, and works on them afterwards.

Bot Service wants an answer within seconds, so a request only checks its activity and puts it where it survives: into the
queue on Azure; on this machine the work starts at once, and the request is answered when the message is in its thread. Work
on an activity (worker.py) may begin several times (after a crash, or because it was delivered twice) and ends once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any, NamedTuple

from microsoft_agents.activity import Activity
from microsoft_agents.hosting.core import TurnContext

from errors import Busy, InvalidActivity, StoreUnavailable
from identity.azure_credential import AzureCredential
from models import Message, Owner
from quotas.quotas import Quotas
from settings import Assistant, Settings
from stores.contract import ThreadStore
from teams.activity import Incoming, check_origin, parse_activity, to_incoming
from teams.clock import Clock
from teams.connector import Adapter, open_adapter
from teams.conversations import Conversations
from teams.decisions import Tools
from teams.handler import MAX_TEXT, ActivityHandler, Erase
from teams.job import Job, Later, unpack
from teams.messages import strings_for
from teams.order import ConversationOrder
from teams.question import message_text
from teams.queue import MAX_BYTES, ActivityQueue, open_queue
from teams.references import reply_activity
from teams.sender import NotSent, Reason, Sender, count_delivery, send_typing
from teams.tokens import BotTokens, Origin, open_bot_tokens
from teams.worker import Worker
from turns.service import Turns

ACCEPT_SECONDS = 8.0
CLOSE_SECONDS = 5.0
logger = logging.getLogger(__name__)


class ActivityResponse(NamedTuple):
    """What a request is answered with."""

    status: int
    body: Any = None


class Bot:
    """Answers activities of Bot Service, or of the Agents Playground."""

    def __init__(
        self,
        settings: Settings,
        assistant: Assistant,
        store: ThreadStore,
        turns: Turns,
        quotas: Quotas,
        erase: Erase,
        tools: Tools,
        tokens: BotTokens,
        adapter: Adapter,
        queue: ActivityQueue | None,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._adapter = adapter
        self._queue = queue
        self._clock = clock
        self._conversations = Conversations(store)
        self._order = ConversationOrder(self._conversations.states, clock)
        self._handler = ActivityHandler(store, turns, quotas, erase, tools, self._conversations, settings, assistant, clock)
        self._worker = Worker(self._handler, self._order, adapter, clock, is_kept=queue is not None)
        self._inline_worker = Worker(self._handler, self._order, adapter, clock, is_kept=False)
        self._tasks: set[asyncio.Task[None]] = set()

    async def authenticate(self, authorization: str | None) -> Origin | None:
        """Check a request's token and return what it was issued for; ``None`` without Bot Service.

        :raises Unauthenticated: if the token is not one of Bot Service for this bot.
        :raises IdentityUnavailable: if it cannot be checked right now.
        """
        return None if self._settings.teams_local else await self._tokens.verify(authorization)

    async def receive(self, body: Any, origin: Origin | None, request_id: str) -> ActivityResponse:
        """Take an activity in; ``origin`` is the token's.

        :raises InvalidActivity: if it is none, or not from where its token says.
        :raises Unauthenticated: if the token's key does not speak for the activity's channel.
        :raises StoreUnavailable: if it cannot be kept.
        """
        activity = parse_activity(body)
        check_origin(activity, origin, self._settings)
        incoming = to_incoming(activity, self._settings)
        job = Job(incoming, request_id)
        if activity.type not in ("message", "messageUpdate", "conversationUpdate", "installationUpdate", "invoke"):
            return ActivityResponse(HTTPStatus.ACCEPTED)
        if activity.type == "invoke" or incoming.expects_replies:
            return await self._answer_inline(job)
        if self._queue is None:
            await self._begin(job)
        else:
            await self._enqueue(self._queue, job)
        return ActivityResponse(HTTPStatus.ACCEPTED)

    async def deliver(self, owner: Owner, message: Message, request_id: str) -> bool:
        """Show a reply, which is in its thread, to the conversation that has the thread; ``False`` if none is known.

        For the reply of a turn that no activity has asked for, or whose activity is done. It comes in the order of the
        conversation's messages, once however often this is called, and as surely as an answer. Only the latest conversations
        of an owner are known.

        :raises StoreUnavailable: if it cannot be kept.
        """
        reference = await self._conversations.find_reference(owner, message.thread_id)
        if reference is None:
            return False
        incoming = to_incoming(reply_activity(reference, message.id), self._settings)
        if incoming.owner != owner:
            return False
        job = Job(incoming, request_id)
        if self._queue is None:
            await self._order.join(incoming)
            self._spawn(self._worker.run(job))
        else:
            await self._enqueue(self._queue, job)
        return True

    async def work(self, payload: str, attempt: int) -> None:
        """Work on an activity from the queue, which gives it out for the ``attempt``-th time.

        What is left to be done of it afterwards is put back, for later.

        :raises teams.attempt.Redeliver: if it is given up: what the host cannot have done goes to the poison queue.
        :raises StoreUnavailable: if it cannot be put back.
        """
        job = unpack(payload, self._settings)
        # What is put back is new to the queue, which counts from one again.
        done = await self._worker.work(replace(job, failures=job.failures + attempt - 1))
        if isinstance(done, Later) and self._queue:
            await self._queue.put(done.job.pack(), delay=done.seconds)

    async def handle_dead_letter(self, payload: str) -> None:
        """Tell the user that an activity could not be answered, however often it was tried, or where its answer is.

        What is no activity of ours is dropped: the host would bring it back every ten minutes, for ever.

        :raises NotSent: if the user may be told later.
        """
        try:
            job = unpack(payload, self._settings)
        except InvalidActivity:
            logger.error("dropping a message of the poison queue that is no activity (%d characters)", len(payload))
            return
        incoming, request_id = job.incoming, job.request_id
        if await self._conversations.is_done(incoming):
            # Another delivery of it has come to its end.
            return
        # Also of each attempt to tell: the alert is to go on for as long as somebody does not know.
        logger.error("an activity is given up (request %s)", request_id)
        count_delivery("given_up")
        is_stored = await self._handler.is_stored(incoming)
        if incoming.is_ordered:
            text = strings_for(incoming.activity.locale)["kept" if is_stored else "lost"]
            await self._say(incoming, text.format(request_id=request_id))
            await self._order.leave(incoming, done=True)

    async def aclose(self) -> None:
        """Let what is under way be sent, as far as that takes no more than seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer_inline(self, job: Job) -> ActivityResponse:
        # Whoever waits in its conversation's line does so inside one request, which the host ends with all that runs beside it.
        try:
            async with asyncio.timeout(self._settings.batch_timeout_seconds):
                response: Any = await self._inline_worker.run(job)
        except TimeoutError as error:
            raise Busy from error
        if response is None:
            return ActivityResponse(HTTPStatus.ACCEPTED)
        return ActivityResponse(response.status, response.body)

    async def _enqueue(self, queue: ActivityQueue, job: Job) -> None:
        incoming, payload = job.incoming, job.pack()
        if (size := len(payload.encode())) > MAX_BYTES:
            if incoming.is_addressed:
                # What fits of this text; other letters take fewer bytes.
                limit = min(MAX_TEXT, len(message_text(incoming.activity)) * MAX_BYTES // size // 1000 * 1000)
                self._spawn(self._say(incoming, strings_for(incoming.activity.locale)["too_long"].format(limit=limit)))
            return
        if not incoming.is_ordered:
            await queue.put(payload)
            return
        await self._order.join(incoming)
        try:
            await queue.put(payload)
        except StoreUnavailable:
            # Not accepted, so those behind it need not wait; the channel may deliver it again.
            self._spawn(self._order.leave(incoming, done=False))
            raise
        # The work may begin on another instance, and later than somebody who waits wants to see something.
        if incoming.is_addressed:
            self._spawn(self._show_typing(incoming))

    async def _begin(self, job: Job) -> None:
        """Work on an activity here and now; return when its message is in the thread, or soon."""
        if job.incoming.is_ordered:
            await self._order.join(job.incoming)
        accepted = asyncio.Event()
        task = self._spawn(self._worker.run(job, accepted.set))
        waiting = asyncio.create_task(accepted.wait())
        await asyncio.wait((task, waiting), timeout=ACCEPT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _show_typing(self, incoming: Incoming) -> None:
        async def show(context: TurnContext) -> None:
            await send_typing(Sender(context, self._clock))

        await self._adapter.run(incoming.activity, show)

    async def _say(self, incoming: Incoming, text: str) -> None:
        async def say(context: TurnContext) -> None:
            try:
                await Sender(context, self._clock).send_with_retry(Activity(type="message", text=text))
            except NotSent as error:
                logger.warning("the user could not be told: %s", error.reason.name)
                if error.reason is Reason.BUSY:
                    raise

        await self._adapter.run(incoming.activity, say)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        async def logged() -> None:
            try:
                await work
            except Exception:
                logger.exception("an activity failed")

        task = asyncio.create_task(logged())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@asynccontextmanager
async def open_bot(
    settings: Settings,
    assistant: Assistant,
    credential: AzureCredential,
    store: ThreadStore,
    turns: Turns,
    quotas: Quotas,
    erase: Erase,
    tools: Tools,
    clock: Clock | None = None,
) -> AsyncIterator[Bot]:
    """Open the bot's connections; they are closed afterwards. Without a ``clock`` it goes by the machine's."""
    async with AsyncExitStack() as stack:
        tokens = await stack.enter_async_context(open_bot_tokens(settings))
        adapter = await stack.enter_async_context(open_adapter(settings))
        queue = None
        if settings.bot_queue_url:
            queue = await stack.enter_async_context(open_queue(settings.bot_queue_url, credential))
        bot = Bot(settings, assistant, store, turns, quotas, erase, tools, tokens, adapter, queue, clock or Clock())
        stack.push_async_callback(bot.aclose)
        yield bot
