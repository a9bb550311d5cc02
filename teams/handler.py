"""What an activity asks for, and doing it: a turn, a command, a welcome, feedback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from microsoft_agents.activity import Activity, InvokeResponse
from microsoft_agents.hosting.core import TurnContext

from errors import (
    Busy,
    ChatError,
    MessageNotFound,
    NotAnAnswer,
    StoreUnavailable,
    ThreadNotFound,
    TurnInProgress,
    TurnInterrupted,
)
from models import AUTHOR_ID, Feedback, Message, Owner, Problem, new_id
from quotas.quotas import Quotas, RequestLimitExceeded
from settings import Assistant, Settings
from stores.contract import ThreadStore
from stores.types import NewMessage
from teams.activity import Incoming, is_mentioned, is_removed, message_text, recipient_id
from teams.clock import Clock
from teams.conversations import ActivityClaim, Conversations
from teams.feedback import read_feedback
from teams.messages import language_of, problem_text, strings_for
from teams.renderer import RenderOptions, TurnRenderer
from teams.sender import NotSent, Reason, Sender, send_typing
from teams.streamer import Mode
from tools.tool import Preference, ToolSpec, text_in
from turns.event_log import EventLog
from turns.feedback import give_feedback
from turns.service import Turns

# As the API has it.
MAX_TEXT = 32_000
# How long a message waits for the one before it, or for the lease of a process that has died.
MAX_WAIT_SECONDS = 90.0
# A turn that was found completed may be on its way to the user by another process.
REPLAY_SECONDS = 5.0
# Begins to erase everything of an owner.
Erase = Callable[[Owner], Awaitable[object]]
# How a tool is known to the bot by its name, once the agent is there.
Tools = Callable[[], Awaitable[Mapping[str, ToolSpec]]]
logger = logging.getLogger(__name__)


class Redeliver(Exception):
    """Nothing was told to the user: whoever keeps the activity should deliver it again."""


class ActivityHandler:
    """Works on one activity, in the SDK's context of it."""

    def __init__(
        self,
        store: ThreadStore,
        turns: Turns,
        quotas: Quotas,
        erase: Erase,
        tools: Tools,
        conversations: Conversations,
        settings: Settings,
        assistant: Assistant,
        clock: Clock,
        *,
        may_redeliver: bool,
        accepted: Callable[[], None],
    ) -> None:
        self._store = store
        self._turns = turns
        self._quotas = quotas
        self._erase = erase
        self._tools = tools
        self._conversations = conversations
        self._settings = settings
        self._assistant = assistant
        self._clock = clock
        self._may_redeliver = may_redeliver
        self._accepted = accepted

    async def answer(self, incoming: Incoming, context: TurnContext, request_id: str) -> None:
        """Do what an activity asks for; other kinds of activities ask for nothing.

        :raises Redeliver: if it could not be done now, and somebody keeps it.
        """
        activity, sender = incoming.activity, Sender(context, self._clock)
        try:
            if activity.type == "message":
                await self._answer_message(incoming, sender, request_id)
            elif activity.type == "conversationUpdate" and _was_added(activity):
                await self._say_once(incoming, sender, self._assistant.texts_for(activity.locale).welcome)
            elif is_removed(activity):
                for owner in await self._conversations.removed_owners(incoming):
                    await self._erase(owner)
            elif activity.type == "invoke":
                await self._answer_invoke(incoming, context)
        except ChatError as error:
            logger.warning("activity of request %s failed: %s", request_id, error.type, exc_info=error)
            if self._may_redeliver and isinstance(error, StoreUnavailable | Busy | TurnInterrupted):
                raise Redeliver from error
            await _say_failure(sender, problem_text(strings_for(activity.locale), error.type, request_id))
        except NotSent as error:
            logger.warning("request %s: nothing reaches the conversation (%s)", request_id, error.reason.name)
            if self._may_redeliver and error.reason is Reason.BUSY:
                raise Redeliver from error

    async def _answer_message(self, incoming: Incoming, sender: Sender, request_id: str) -> None:
        activity, strings = incoming.activity, strings_for(incoming.activity.locale)
        if not incoming.is_personal and incoming.channel == "msteams" and not is_mentioned(activity):
            return
        await self._quotas.count_request(incoming.owner)
        text = message_text(activity)
        command = text.lower()
        if command == "/new":
            if await self._conversations.reset(incoming):
                await sender.send_with_retry(Activity(type="message", text=strings["new"]))
        elif chosen := await self._preference(command):
            preference, value = chosen
            await self._conversations.choose(incoming.owner, preference.parameter, value)
            await self._say_once(incoming, sender, text_in(preference.values[value], language_of(strings)) or value)
        elif command == "/help":
            await self._say_once(incoming, sender, await self._help(activity.locale))
        elif not text:
            await self._say_once(incoming, sender, strings["empty"])
        elif len(text) > MAX_TEXT:
            await self._say_once(incoming, sender, strings["too_long"].format(limit=MAX_TEXT))
        else:
            await self._turn(incoming, text, sender, request_id)

    async def _known_tools(self) -> Mapping[str, ToolSpec]:
        """Return the tools; none while the agent cannot be had, which the turn that fails of it says to the user."""
        try:
            return await self._tools()
        except Exception:
            logger.warning("tools are not known: the agent could not be started", exc_info=True)
            return {}

    async def _preferences(self) -> list[Preference]:
        return [preference for spec in (await self._known_tools()).values() for preference in spec.preferences]

    async def _preference(self, command: str) -> tuple[Preference, str] | None:
        """Return what a command ``/parameter value`` chooses, if it is one of a tool's."""
        name, _, value = command.removeprefix("/").partition(" ")
        if not command.startswith("/") or not value:
            return None
        return next(
            ((each, value) for each in await self._preferences() if each.parameter == name and value in each.values), None
        )

    async def _help(self, locale: str | None) -> str:
        language = self._assistant.choose_language([locale or ""])
        lines = [text_in(preference.help, language) for preference in await self._preferences()]
        preferences = "".join(f"{line}\n\n" for line in lines if line)
        return strings_for(language)["help"].format(help=self._assistant.texts[language].help, preferences=preferences)

    async def _say_once(self, incoming: Incoming, sender: Sender, text: str) -> None:
        if not await self._conversations.is_done(incoming):
            sent_id = await sender.send_with_retry(Activity(type="message", text=text))
            await self._conversations.mark_done(incoming, None, sent_id)

    async def _turn(self, incoming: Incoming, text: str, sender: Sender, request_id: str) -> None:
        metadata: dict[str, Any] = {"channel": incoming.channel}
        if not incoming.is_personal and incoming.author:
            metadata["author"] = incoming.author
            text = f"{incoming.author}: {text}"
        if incoming.owner.is_conversation and incoming.author_id:
            metadata[AUTHOR_ID] = incoming.author_id
        if await self._conversations.is_done(incoming):
            return
        typing_task = asyncio.create_task(send_typing(sender))
        try:
            started = await self._start(incoming, text, metadata, sender, request_id)
            self._accepted()
        finally:
            # Before anything else is sent: an answer that is there must not be followed by a sign of typing.
            await typing_task
        if started is None:
            return
        claim, log = started

        async def cancel() -> None:
            try:
                await self._turns.cancel(incoming.owner, claim.thread_id, log.id)
            except ChatError:
                logger.info("a turn that was to be stopped had ended already")

        look = self._look(incoming, request_id)
        outcome = await TurnRenderer(sender, self._clock, look, cancel).show(log)
        message_id = outcome.result.id if isinstance(outcome.result, Message) else None
        if isinstance(outcome.result, Problem) and outcome.result.type == TurnInterrupted.type and self._may_redeliver:
            raise Redeliver
        await self._conversations.mark_done(incoming, message_id, outcome.activity_id)

    async def _start(
        self, incoming: Incoming, text: str, metadata: dict[str, Any], sender: Sender, request_id: str
    ) -> tuple[ActivityClaim, EventLog] | None:
        """Start the turn as soon as the conversation is free; ``None`` if the activity was answered before."""
        until = self._clock.now() + MAX_WAIT_SECONDS
        while True:
            claim = await self._conversations.claim(incoming)
            if claim.is_done:
                return None
            new = NewMessage(new_id("turn"), text, metadata | claim.preferences, f"bot-{incoming.key}")
            try:
                log = await self._turns.start(incoming.owner, claim.thread_id, new, stream=True, request_id=request_id)
            except TurnInProgress as error:
                if self._clock.now() >= until:
                    raise
                await send_typing(sender)
                await self._clock.sleep(min(2.0, error.retry_after or 1.0))
                continue
            except ThreadNotFound:
                # Deleted just now, through the API: the conversation goes on in a fresh thread.
                await self._conversations.forget(incoming)
                continue
            if log.replayed and not incoming.expects_replies:
                await self._clock.sleep(REPLAY_SECONDS)
                claim = await self._conversations.claim(incoming)
                if claim.is_done:
                    return None
            return claim, log

    def _look(self, incoming: Incoming, request_id: str) -> RenderOptions:
        teams = incoming.channel == "msteams"
        mode = Mode.ONCE
        if teams and not incoming.expects_replies:
            mode = Mode.STREAM if incoming.is_personal else Mode.UPDATE
        return RenderOptions(
            strings=strings_for(incoming.activity.locale),
            tools=self._known_tools,
            mode=mode,
            cards=self._settings.bot_cards,
            sensitivity=self._settings.bot_sensitivity_label,
            feedback=teams,
            request_id=request_id,
            repeats_interrupted=self._may_redeliver,
        )

    async def _answer_invoke(self, incoming: Incoming, context: TurnContext) -> None:
        status = HTTPStatus.NOT_IMPLEMENTED
        if incoming.activity.name == "message/submitAction":
            feedback = read_feedback(incoming.activity.value)
            try:
                await self._quotas.count_request(incoming.owner)
                status = HTTPStatus.OK if feedback and await self._rate(incoming, feedback) else HTTPStatus.BAD_REQUEST
            except RequestLimitExceeded:
                status = HTTPStatus.TOO_MANY_REQUESTS
        response = InvokeResponse(status=int(status), body={})
        await context.send_activity(Activity(type="invokeResponse", value=response))

    async def _rate(self, incoming: Incoming, feedback: Feedback) -> bool:
        answer = await self._conversations.find_rated_answer(incoming)
        if answer is None or answer.message_id is None:
            return False
        try:
            await give_feedback(
                self._store, incoming.owner, answer.thread_id, answer.message_id, feedback.rating, feedback.comment
            )
        except (ThreadNotFound, MessageNotFound, NotAnAnswer):
            return False
        await self._conversations.mark_feedback(incoming.owner, feedback.timestamp)
        return True


def _was_added(activity: Activity) -> bool:
    return any(member.id == recipient_id(activity) for member in activity.members_added or [])


async def _say_failure(sender: Sender, text: str) -> None:
    try:
        await sender.send_with_retry(Activity(type="message", text=text))
    except NotSent:
        logger.warning("the user could not be told that an activity failed")
