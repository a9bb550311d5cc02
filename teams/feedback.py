"""Thumbs: what they send, and what becomes of it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from microsoft_agents.activity import Activity, InvokeResponse
from microsoft_agents.hosting.core import TurnContext

from errors import MessageNotFound, NotAnAnswer, ThreadNotFound
from models import MAX_COMMENT, Feedback, Rating, utcnow
from quotas.quotas import Quotas, RequestLimitExceeded
from stores.contract import ThreadStore
from teams.activity import Incoming
from teams.conversations import Conversations
from turns.feedback import give_feedback


def read_feedback(value: Any) -> Feedback | None:
    """Read what thumbs send: the text is JSON in Teams, and plain in the Playground; ``None`` if it is something else."""
    action = value.get("actionValue") if isinstance(value, dict) and value.get("actionName") == "feedback" else None
    reactions: dict[Any, Rating] = {"like": "up", "dislike": "down"}
    if not isinstance(action, dict) or action.get("reaction") not in reactions:
        return None
    comment = action.get("feedback")
    if isinstance(comment, str):
        try:
            parsed = json.loads(comment)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            comment = parsed.get("feedbackText")
    comment = comment.strip()[:MAX_COMMENT] if isinstance(comment, str) else None
    return Feedback(rating=reactions[action["reaction"]], comment=comment or None, timestamp=utcnow())


class Ratings:
    """Takes the thumbs of Teams, which come as invokes."""

    def __init__(self, store: ThreadStore, quotas: Quotas, conversations: Conversations) -> None:
        self._store = store
        self._quotas = quotas
        self._conversations = conversations

    async def answer_invoke(self, incoming: Incoming, context: TurnContext) -> None:
        """Answer an invoke: with what became of a rating, and others with that there is nothing."""
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
