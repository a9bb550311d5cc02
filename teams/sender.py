"""Sending one activity: the attempts, and what a refusal means."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

import aiohttp
from microsoft_agents.activity import Activity, DeliveryModes
from microsoft_agents.hosting.core import TurnContext
from pydantic import ValidationError

from observability import metrics
from teams.activity import is_private
from teams.channel_rules import PACE_SECONDS
from teams.clock import Clock

# Together less than what the Functions host gives a call.
ATTEMPTS = 6
MAX_WAIT_SECONDS = 30.0
# A connection that broke, or did not answer in time: the activity may have arrived or not.
BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
# What the SDK makes of an answer that it does not understand: the channel has taken the activity, and names no id that is one.
ANSWER = "ResourceResponse"
UNREADABLE = (ValidationError, UnicodeDecodeError, json.JSONDecodeError)
# What a channel says of a conversation that nothing reaches, whatever is tried.
GONE = {
    "BotNotInConversationRoster",
    "BotDisabledByAdmin",
    "ConversationBlockedByUser",
    "ConversationNotFound",
    "MessageWritesBlocked",
}
logger = logging.getLogger(__name__)


class Reason(Enum):
    """Why an activity was rejected."""

    BUSY = auto()  # too many, or a failure on the way: worth another attempt
    STOPPED = auto()  # the user has pressed Stop
    TIMED_OUT = auto()  # the stream has lasted too long
    NOT_ALLOWED = auto()  # no stream here, or not any more
    COMPLETED = auto()  # the stream has had its final message
    MISSING = auto()  # what was to be changed or replied to is not there any more
    UNREACHABLE = auto()  # nothing reaches this conversation: the bot was removed or blocked
    TOO_LARGE = auto()  # more than a message may hold
    REFUSED = auto()  # this activity, for what it is


class NotSent(Exception):
    """An activity was not taken, or nobody knows (``may_have_arrived``).

    ``retry_after`` is in seconds, ``None`` if the channel named nothing.
    """

    def __init__(self, reason: Reason, retry_after: float | None = None, *, may_have_arrived: bool = False) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.retry_after = retry_after
        self.may_have_arrived = may_have_arrived


class Sender:
    """Sends activities into the conversation of a turn."""

    def __init__(self, context: TurnContext, clock: Clock) -> None:
        self._context = context
        self._clock = clock
        self.is_private = is_private(context.activity)
        self.is_buffered = context.activity.delivery_mode == DeliveryModes.expect_replies

    async def send(self, activity: Activity) -> str:
        """Send an activity once and return the id that it got.

        :raises NotSent: saying why.
        """
        if self.is_private:
            activity.make_targeted_activity(self._context.activity.from_property)
        try:
            response = await self._context.send_activity(activity)
        except UNREADABLE as error:
            if not has_arrived(error):
                raise
            return ""
        except BROKEN as error:
            if has_arrived(error):
                return ""
            refused = self._not_sent(error)
            is_reply = activity.type == "message" and self._context.activity.id is not None
            if refused.reason is not Reason.MISSING or not is_reply:
                raise refused from error
            # The message that it replies to may be gone; the conversation is still there.
            self._context.activity.id = None
            return await self.send(activity)
        return response.id or ""

    async def update(self, activity: Activity) -> None:
        """Replace an activity that was sent.

        :raises NotSent: saying why.
        """
        try:
            await self._context.update_activity(activity)
        except UNREADABLE as error:
            if not has_arrived(error):
                raise
        except BROKEN as error:
            if not has_arrived(error):
                raise self._not_sent(error) from error

    async def send_with_retry(self, activity: Activity, *, update: bool = False) -> str:
        """Send or update an activity, and again for as long as that may help.

        A connection that broke may have delivered it: then it is there twice rather than not at all.

        :raises NotSent: if it does not help.
        """
        may_have_arrived = False
        for attempt in range(ATTEMPTS):
            try:
                if update:
                    await self.update(activity)
                    id = activity.id or ""
                else:
                    id = await self.send(activity)
            except NotSent as error:
                if error.reason is Reason.COMPLETED and may_have_arrived:
                    # An earlier attempt at this final message has arrived, and its answer was lost.
                    id = ""
                elif error.reason is not Reason.BUSY or attempt == ATTEMPTS - 1:
                    if error.reason not in (Reason.BUSY, Reason.STOPPED, Reason.UNREACHABLE):
                        count_delivery("refused")
                    raise
                else:
                    may_have_arrived |= error.may_have_arrived
                    count_delivery("repeated")
                    await self._clock.sleep(pause(attempt, error.retry_after))
                    continue
            count_delivery("sent")
            return id
        raise AssertionError("unreachable")

    def _not_sent(self, error: BaseException) -> NotSent:
        found = classify_error(error)
        logger.warning("activity rejected: %s (%s)", found.reason.name, getattr(error, "status", type(error).__name__))
        return found


def pause(attempt: int, retry_after: float | None) -> float:
    """Return how long to wait before the next attempt: what the channel asks for, else 2, 4, … seconds; a pace at least."""
    return min(MAX_WAIT_SECONDS, max(PACE_SECONDS, retry_after if retry_after is not None else 2.0**attempt))


def has_arrived(error: BaseException) -> bool:
    """Tell whether an error is only that a channel's answer has another form than the SDK expects."""
    if isinstance(error, aiohttp.ClientResponseError):
        arrived = error.status < 300
    else:
        # An activity of ours that is none is another matter.
        arrived = isinstance(error, UNREADABLE) and getattr(error, "title", ANSWER) == ANSWER
    if arrived:
        logger.warning("what a channel answers cannot be read (%s); the activity has arrived", type(error).__name__)
    return arrived


def classify_error(error: BaseException) -> NotSent:
    """Say what a failed request means.

    Teams has one status and one code for all that ends a stream; only its message says which it was:
    https://learn.microsoft.com/microsoftteams/platform/bots/streaming-ux#error-codes
    """
    if not isinstance(error, aiohttp.ClientResponseError):
        return NotSent(Reason.BUSY, may_have_arrived=True)
    if error.status in (408, 412, 429) or error.status >= 500:
        return NotSent(Reason.BUSY, _retry_after(error), may_have_arrived=error.status >= 500)
    if error.status == 401:
        # The bot's token is refused: not valid yet by the channel's clock, or a registration that is on its way.
        return NotSent(Reason.BUSY, _retry_after(error))
    if error.status == 413:
        return NotSent(Reason.TOO_LARGE)
    if error.status not in (403, 404):
        return NotSent(Reason.REFUSED)
    code, message = _code_and_message(error.message)
    if code != "ContentStreamNotAllowed":
        return NotSent(Reason.UNREACHABLE if code in GONE else Reason.MISSING)
    if "by user" in message:
        return NotSent(Reason.STOPPED)
    if "already completed" in message:
        return NotSent(Reason.COMPLETED)
    return NotSent(Reason.TIMED_OUT if "exceeded" in message else Reason.NOT_ALLOWED)


def count_delivery(outcome: str) -> None:
    """Count what became of an activity that had to arrive."""
    metrics.deliveries.add(1, {"chat.delivery.outcome": outcome})


def _code_and_message(body: str) -> tuple[str, str]:
    try:
        error = json.loads(body)["error"]
        return str(error.get("code")), str(error.get("message")).lower()
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", ""


def _retry_after(error: aiohttp.ClientResponseError) -> float | None:
    """Return what ``Retry-After`` says, in seconds: it may be a number or a date."""
    text = error.headers.get("Retry-After", "") if error.headers else ""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


async def send_typing(sender: Sender) -> None:
    """Show that the bot is at work, where somebody looks on; a sign that is lost is no loss."""
    if sender.is_buffered:
        return
    try:
        async with asyncio.timeout(5):
            await sender.send(Activity(type="typing"))
    except (NotSent, TimeoutError):
        logger.debug("typing activity rejected")
