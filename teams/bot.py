"""The bot: takes activities in, keeps them, and works on them afterwards.

Bot Service wants an answer within seconds, so a request only checks its activity and puts it where it survives: into the
queue on Azure; on this machine the work starts at once, and the request is answered when the message is in its thread. Work
on an activity may begin several times (after a crash, or because it was delivered twice) and ends once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

from microsoft_agents.activity import Activity
from microsoft_agents.hosting.core import TurnContext

from errors import InvalidActivity
from identity.azure_credential import AzureCredential
from quotas.quotas import Quotas
from settings import Assistant, Settings
from stores.contract import ThreadStore
from teams.activity import Incoming, check_origin, is_mentioned, parse_activity, to_incoming
from teams.clock import Clock
from teams.connector import Adapter, open_adapter
from teams.conversations import Conversations
from teams.handler import MAX_TEXT, ActivityHandler, Erase, Tools
from teams.messages import strings_for
from teams.queue import MAX_BYTES, ActivityQueue, open_queue
from teams.sender import NotSent, Sender, send_typing
from teams.tokens import BotTokens, open_bot_tokens
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
        self._assistant = assistant
        self._store = store
        self._turns = turns
        self._quotas = quotas
        self._erase = erase
        self._tools = tools
        self._tokens = tokens
        self._adapter = adapter
        self._queue = queue
        self._clock = clock
        self._conversations = Conversations(store)
        self._tasks: set[asyncio.Task[None]] = set()
        self._working: set[str] = set()

    async def authenticate(self, authorization: str | None) -> str | None:
        """Check a request's token and return the service URL that it was issued for; ``None`` without Bot Service.

        :raises Unauthenticated: if the token is not one of Bot Service for this bot.
        :raises IdentityUnavailable: if it cannot be checked right now.
        """
        return None if self._settings.teams_local else await self._tokens.verify(authorization)

    async def receive(self, body: Any, service_url: str | None, request_id: str) -> ActivityResponse:
        """Take an activity in; ``service_url`` is the token's.

        :raises InvalidActivity: if it is none, or not from where its token says.
        :raises StoreUnavailable: if it cannot be kept.
        """
        activity = parse_activity(body)
        check_origin(activity, service_url, self._settings)
        incoming = to_incoming(activity, self._settings)
        if activity.type == "invoke" or incoming.expects_replies:
            return await self._answer_inline(incoming, request_id)
        if activity.type not in ("message", "conversationUpdate", "installationUpdate"):
            return ActivityResponse(HTTPStatus.ACCEPTED)
        if self._queue is None:
            await self._begin(incoming, request_id)
        else:
            await self._enqueue(self._queue, incoming, request_id)
        return ActivityResponse(HTTPStatus.ACCEPTED)

    async def work(self, payload: str) -> None:
        """Work on an activity from the queue.

        :raises teams.handler.Redeliver: if it should be delivered again.
        """
        incoming, request_id = self._unpack(payload)
        await self._work(incoming, request_id, may_redeliver=True)

    async def handle_dead_letter(self, payload: str) -> None:
        """Tell the user that an activity could not be answered, however often it was tried.

        What is no activity of ours is dropped: the host would bring it back every ten minutes, for ever.
        """
        try:
            incoming, request_id = self._unpack(payload)
        except InvalidActivity:
            logger.error("dropping a message of the poison queue that is no activity (%d characters)", len(payload))
            return
        logger.error("an activity could not be answered (request %s)", request_id)
        if incoming.activity.type == "message":
            text = strings_for(incoming.activity.locale)["lost"].format(request_id=request_id)
            await self._say(incoming, text)

    async def aclose(self) -> None:
        """Let what is under way be sent, as far as that takes no more than seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer_inline(self, incoming: Incoming, request_id: str) -> ActivityResponse:
        answering = self._answering(accepted=lambda: None)
        response = await self._adapter.run(incoming.activity, lambda context: answering.answer(incoming, context, request_id))
        if response is None:
            return ActivityResponse(HTTPStatus.ACCEPTED)
        return ActivityResponse(response.status, response.body)

    async def _enqueue(self, queue: ActivityQueue, incoming: Incoming, request_id: str) -> None:
        activity = incoming.activity
        # Teams sends the text a second time, as HTML.
        slim = activity.model_copy(update={"attachments": None})
        packed = slim.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        payload = json.dumps({"activity": packed, "request_id": request_id})
        if len(payload) > MAX_BYTES:
            self._spawn(self._say(incoming, strings_for(activity.locale)["too_long"].format(limit=MAX_TEXT)))
            return
        await queue.put(payload)
        if activity.type == "message" and (incoming.is_personal or is_mentioned(activity)):
            # The work may begin on another instance, and later than somebody who waits wants to see something.
            self._spawn(self._show_typing(incoming))

    async def _begin(self, incoming: Incoming, request_id: str) -> None:
        """Work on an activity here and now; return when its message is in the thread, or soon."""
        accepted = asyncio.Event()
        task = self._spawn(self._work(incoming, request_id, accepted=accepted.set))
        waiting = asyncio.create_task(accepted.wait())
        await asyncio.wait((task, waiting), timeout=ACCEPT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _work(
        self,
        incoming: Incoming,
        request_id: str,
        *,
        may_redeliver: bool = False,
        accepted: Callable[[], None] = lambda: None,
    ) -> None:
        if incoming.key in self._working:
            return
        self._working.add(incoming.key)
        answering = self._answering(accepted=accepted, may_redeliver=may_redeliver)
        try:
            await self._adapter.run(incoming.activity, lambda context: answering.answer(incoming, context, request_id))
        finally:
            self._working.discard(incoming.key)

    def _answering(self, *, accepted: Callable[[], None], may_redeliver: bool = False) -> ActivityHandler:
        return ActivityHandler(
            self._store,
            self._turns,
            self._quotas,
            self._erase,
            self._tools,
            self._conversations,
            self._settings,
            self._assistant,
            self._clock,
            may_redeliver=may_redeliver,
            accepted=accepted,
        )

    def _unpack(self, payload: str) -> tuple[Incoming, str]:
        try:
            packed = json.loads(payload)
            activity, request_id = parse_activity(packed["activity"]), str(packed["request_id"])
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InvalidActivity("not what was put into the queue") from error
        check_origin(activity, None, self._settings)
        return to_incoming(activity, self._settings), request_id

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

        await self._adapter.run(incoming.activity, say)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
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
