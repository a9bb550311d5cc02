"""What an activity asks for, and doing it: a turn, a command, a welcome, feedback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from microsoft_agents.activity import Activity, CardAction, SuggestedActions
from microsoft_agents.hosting.core import TurnContext

from errors import (
    Busy,
    ChatError,
    IdempotencyKeyReused,
    RateLimited,
    StoreUnavailable,
    ThreadNotFound,
    TurnInProgress,
    TurnInterrupted,
)
from errors.explain import explain
from models import Message, Owner, Problem
from quotas.quotas import Quotas
from settings import Assistant, Settings
from stores.contract import ThreadStore
from stores.types import ReplayedTurn
from teams.activity import Incoming, is_removed, recipient_id
from teams.attempt import Attempt, Redeliver, new_message
from teams.channel_rules import Pacing, mode_of
from teams.clock import Clock
from teams.commands import RESET, Commands
from teams.conversations import Conversations
from teams.decisions import ChatDecision, ChatDecisions, Refused, Tools, read_decision
from teams.feedback import Ratings
from teams.messages import problem_text, strings_for
from teams.question import file_names, message_text
from teams.references import reply_place
from teams.renderer import REPEATED, RenderOptions, TurnRenderer
from teams.sender import NotSent, Reason, Sender, count_delivery, send_typing
from teams.starter import TurnStarter
from teams.traces import trace_error
from tools.tool import ToolSpec
from turns.event_log import EventLog, replay
from turns.service import Turns

# As the API has it.
MAX_TEXT = 32_000
# After so many, an answer comes without its tools' cards: what a channel cannot draw, it may call a failure of its own.
FAILURES_WITH_CARDS = 3
# How often an answer is shown again from its beginning, of which the channel does not take the end.
MAX_REPEATS = 1
# Between attempts to remember what was delivered.
MARK_DELAYS = (1.0, 5.0)
# Begins to erase everything of an owner.
Erase = Callable[[Owner], Awaitable[object]]
logger = logging.getLogger(__name__)


class ActivityHandler:
    """Works on activities, each in the SDK's context of it."""

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
    ) -> None:
        self._store = store
        self._turns = turns
        self._quotas = quotas
        self._erase = erase
        self._tools = tools
        self._commands = Commands(assistant, conversations, self._known_tools)
        self._conversations = conversations
        self._settings = settings
        self._assistant = assistant
        self._clock = clock
        self._starter = TurnStarter(turns, conversations)
        self._decisions = ChatDecisions(store, turns, self._known_tools, settings.bot_sensitivity_label)
        self._ratings = Ratings(store, quotas, conversations)

    async def answer(self, attempt: Attempt, context: TurnContext) -> None:
        """Do what an activity asks for; other kinds of activities ask for nothing.

        :raises TurnInProgress: if its thread is taken, and it may wait for that.
        :raises Redeliver: if something is left to be done later.
        """
        incoming, sender = attempt.incoming, Sender(context, self._clock)
        activity, request_id = incoming.activity, attempt.request_id
        try:
            try:
                await self._dispatch(attempt, sender, context)
            except ChatError as error:
                if isinstance(error, TurnInProgress) and attempt.may_wait:
                    raise
                logger.warning("activity of request %s failed: %s", request_id, error.type, exc_info=error)
                await trace_error(incoming, sender, error.type, explain(error))
                if attempt.may_repeat and isinstance(error, StoreUnavailable | Busy | TurnInterrupted):
                    raise Redeliver(is_stored=False, reason=error.type) from error
                strings, limit = strings_for(activity.locale), error.limit if isinstance(error, RateLimited) else None
                text = problem_text(strings, error.type, request_id, limit)
                await sender.send_with_retry(Activity(type="message", text=text))
        except NotSent as error:
            logger.warning("request %s: nothing reaches the conversation (%s)", request_id, error.reason.name)
            if error.reason is not Reason.UNREACHABLE:
                refused = error.reason is not Reason.BUSY
                raise Redeliver(is_stored=True, reason=error.reason.name, is_refusal=refused) from error
            count_delivery("unreachable")

    async def _dispatch(self, attempt: Attempt, sender: Sender, context: TurnContext) -> None:
        incoming, activity = attempt.incoming, attempt.incoming.activity
        if incoming.is_addressed:
            await self._answer_message(attempt, sender)
        elif incoming.is_reply:
            await self._show_reply(attempt, sender)
        elif activity.type == "conversationUpdate" and _was_added(activity):
            await self._say_once(
                incoming, sender, self._assistant.texts_for(activity.locale).welcome, await self._offers(incoming)
            )
        elif is_removed(activity):
            for owner in await self._conversations.removed_owners(incoming):
                await self._erase(owner)
        elif activity.type == "invoke":
            await self._ratings.answer_invoke(incoming, context)

    async def is_stored(self, incoming: Incoming) -> bool:
        """Whether the answer to a message is in its thread, delivered or not.

        :raises StoreError: if the store cannot tell.
        """
        if incoming.is_reply:
            return True
        if decision := read_decision(incoming):
            return await self._decisions.is_stored(incoming, decision)
        claim = await self._conversations.find(incoming)
        if claim is None or not incoming.is_addressed:
            return False
        try:
            found = await self._store.find_replay(incoming.owner, claim.thread_id, new_message(incoming, claim))
        except (ThreadNotFound, IdempotencyKeyReused):
            return False
        return found is not None

    async def _answer_message(self, attempt: Attempt, sender: Sender) -> None:
        incoming, strings = attempt.incoming, strings_for(attempt.incoming.activity.locale)
        if attempt.is_first:
            await self._quotas.count_request(incoming.owner)
        text = message_text(incoming.activity)
        if decision := read_decision(incoming):
            await self._decide(attempt, sender, decision)
        elif said := await self._commands.answer(incoming, text):
            await self._say_once(incoming, sender, said)
        elif not text:
            files = ", ".join(file_names(incoming.activity))
            await self._say_once(incoming, sender, strings["unread"].format(files=files) if files else strings["empty"])
        elif len(text) > MAX_TEXT:
            await self._say_once(incoming, sender, strings["too_long"].format(limit=MAX_TEXT))
        else:
            await self._turn(attempt, sender)

    async def _known_tools(self) -> Mapping[str, ToolSpec]:
        """Return the tools; none while the agent cannot be had, which the turn that fails of it says to the user."""
        try:
            return await self._tools()
        except Exception:
            logger.warning("tools are not known: the agent could not be started", exc_info=True)
            return {}

    async def _offers(self, incoming: Incoming) -> SuggestedActions | None:
        """Return what a welcome offers to who was here before: to forget that."""
        if not await self._conversations.knows(incoming):
            return None
        title = strings_for(incoming.activity.locale)["reset"]
        return SuggestedActions(actions=[CardAction(type="imBack", title=title, value=RESET)])

    async def _say_once(self, incoming: Incoming, sender: Sender, text: str, offers: SuggestedActions | None = None) -> None:
        if not await self._conversations.is_done(incoming):
            message = Activity(type="message", text=text)
            if offers:
                message.suggested_actions = offers
            sent_id = await sender.send_with_retry(message)
            await self._mark_done(incoming, None, sent_id)

    async def _mark_done(self, incoming: Incoming, message_id: str | None, sent_id: str, thread_id: str = "") -> None:
        """Remember what was delivered; it has been, also if the store cannot be had just now."""
        for delay in (*MARK_DELAYS, None):
            try:
                await self._conversations.mark_done(incoming, message_id, sent_id, thread_id)
            except StoreUnavailable:
                if delay is None:
                    logger.warning("an answer was delivered, which could not be remembered")
                else:
                    await self._clock.sleep(delay)
            else:
                return

    async def _turn(self, attempt: Attempt, sender: Sender) -> None:
        typing_task = asyncio.create_task(send_typing(sender))
        try:
            log = await self._starter.start(attempt)
        finally:
            # Before anything else is sent: an answer that is there must not be followed by a sign of typing.
            await typing_task
        if log:
            await self._show(attempt, sender, log)

    async def _decide(self, attempt: Attempt, sender: Sender, decision: ChatDecision) -> None:
        incoming, strings = attempt.incoming, strings_for(attempt.incoming.activity.locale)
        found = await self._decisions.go_on(incoming, decision, attempt.request_id)
        if isinstance(found, Refused):
            await self._say_once(incoming, sender, strings[found.words])
            if found.paused:
                await self._show_decided(incoming, sender, found.paused, strings["decided"])
            return
        paused, log = found
        attempt.accepted()
        words = strings["allowed" if decision.approved else "refused_by"].format(name=incoming.author or "?")
        await self._show_decided(incoming, sender, paused, words)
        await self._show(attempt, sender, log)

    async def _show_decided(self, incoming: Incoming, sender: Sender, paused: Message, words: str) -> None:
        sent_id = await self._conversations.find_sent(incoming.owner, paused.id) or incoming.activity.reply_to_id
        await self._decisions.show(sender, sent_id, paused, strings_for(incoming.activity.locale), words)

    async def _show(self, attempt: Attempt, sender: Sender, log: EventLog) -> None:
        async def cancel() -> None:
            try:
                await self._turns.cancel(attempt.incoming.owner, log.thread_id, log.id)
            except ChatError:
                logger.info("a turn that was to be stopped had ended already")

        look = self._look(attempt)
        message_id = None
        renderer = TurnRenderer(sender, self._clock, look, cancel)
        try:
            outcome = await renderer.show(log)
        except NotSent as error:
            repeats = renderer.has_shown_part and attempt.failures >= MAX_REPEATS
            if error.reason is Reason.UNREACHABLE or (error.reason is Reason.BUSY and not repeats):
                raise
            # Refused in every form, or never whole: the user is told where the answer is, and sees its beginning no more often.
            text = look.strings["kept"].format(request_id=attempt.request_id)
            sent_id = await sender.send_with_retry(Activity(type="message", text=text))
        else:
            if isinstance(outcome.result, Problem) and outcome.result.type in REPEATED and attempt.may_repeat:
                raise Redeliver(is_stored=False, reason=outcome.result.type)
            if isinstance(outcome.result, Problem):
                await trace_error(attempt.incoming, sender, outcome.result.type, outcome.result.detail)
            message_id = outcome.result.id if isinstance(outcome.result, Message) else None
            sent_id = outcome.activity_id
        await self._mark_done(attempt.incoming, message_id, sent_id, log.thread_id)

    async def _show_reply(self, attempt: Attempt, sender: Sender) -> None:
        """Show a reply that is in its thread already."""
        incoming = attempt.incoming
        thread_id, seq = reply_place(incoming)
        try:
            found = await self._store.list_messages(
                incoming.owner, thread_id, limit=1, after=seq - 1, before=seq + 1, order="asc"
            )
        except ThreadNotFound:
            return
        for message in found.items:
            if paused := await self._decisions.find_paused(incoming.owner, message):
                await self._show_decided(incoming, sender, paused, strings_for(incoming.activity.locale)["decided"])
            await self._show(attempt, sender, replay(ReplayedTurn(message)))

    def _look(self, attempt: Attempt) -> RenderOptions:
        incoming = attempt.incoming
        teams = incoming.channel == "msteams"
        return RenderOptions(
            strings=strings_for(incoming.activity.locale),
            tools=self._known_tools,
            mode=mode_of(incoming),
            cards="none" if attempt.failures >= FAILURES_WITH_CARDS else self._settings.bot_cards,
            sensitivity=self._settings.bot_sensitivity_label,
            feedback=teams,
            request_id=attempt.request_id,
            repeats_failures=attempt.may_repeat,
            unread=file_names(incoming.activity),
            pacing=Pacing(self._settings.bot_stream_pace_seconds, self._settings.bot_stream_chunk),
            links=not teams,
            is_private=incoming.is_private,
            start=self._assistant.texts_for(incoming.activity.locale).start,
        )


def _was_added(activity: Activity) -> bool:
    return any(member.id == recipient_id(activity) for member in activity.members_added or [])
