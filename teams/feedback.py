"""Thumbs: what they send, and what becomes of it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from microsoft_agents.activity import Activity, InvokeResponse
from microsoft_agents.hosting.core import TurnContext
from microsoft_teams.cards import AdaptiveCard, Choice, ChoiceSetInput, SubmitAction, TextInput

from errors import MessageNotFound, NotAnAnswer, ThreadNotFound
from models import MAX_COMMENT, Feedback, Rating, utcnow
from quotas.quotas import Quotas, RequestLimitExceeded
from stores.contract import ThreadStore
from teams.activity import Incoming
from teams.cards import CONTENT_TYPE
from teams.conversations import Conversations
from teams.messages import Strings, strings_for
from turns.feedback import give_author_feedback, give_feedback

# Why somebody may press the thumb down.
REASONS = ("wrong", "incomplete", "off_topic", "other")


def read_feedback(value: Any) -> Feedback | None:
    """Read what thumbs send: the text is JSON in Teams, and plain in the Playground; ``None`` if it is something else."""
    action = value.get("actionValue") if isinstance(value, dict) and value.get("actionName") == "feedback" else None
    reactions: dict[Any, Rating] = {"like": "up", "dislike": "down"}
    reaction = action.get("reaction") if isinstance(action, dict) else None
    if not isinstance(action, dict) or not isinstance(reaction, str) or reaction not in reactions:
        return None
    return Feedback(rating=reactions[reaction], comment=_comment(action.get("feedback")), timestamp=utcnow())


def _comment(said: Any) -> str | None:
    """Return what was written in a form: ours has a reason and words, Teams' own only words, the Playground's is plain text."""
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return said.strip()[:MAX_COMMENT] or None
    if not isinstance(said, dict):
        return None
    parts = [said.get("reason") if said.get("reason") in REASONS else None, said.get("comment"), said.get("feedbackText")]
    words = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
    return ": ".join(words)[:MAX_COMMENT] or None


def feedback_form(value: Any, strings: Strings) -> dict[str, Any] | None:
    """Return the form that Teams shows once a thumb was pressed; ``None`` if it asks for another one.

    https://learn.microsoft.com/microsoftteams/platform/bots/how-to/bot-messages-ai-generated-content#feedback-buttons
    """
    data = value.get("data") if isinstance(value, dict) else None
    action = data.get("actionValue") if isinstance(data, dict) and data.get("actionName") == "feedback" else None
    reaction = action.get("reaction") if isinstance(action, dict) else None
    if reaction not in ("like", "dislike"):
        return None
    body: list[Any] = []
    if reaction == "dislike":
        choices = [Choice(title=strings[f"rate_{reason}"], value=reason) for reason in REASONS]
        body.append(ChoiceSetInput(id="reason", style="expanded", choices=choices))
    body.append(TextInput(id="comment", placeholder=strings["rate_comment"], is_multiline=True, max_length=MAX_COMMENT))
    card = AdaptiveCard(version="1.5", body=body, actions=[SubmitAction(title=strings["rate_send"])])
    content = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    title = strings["rate_up" if reaction == "like" else "rate_down"]
    shown = {"title": title, "height": "medium", "width": "medium", "card": {"contentType": CONTENT_TYPE, "content": content}}
    return {"task": {"type": "continue", "value": shown}}


class Ratings:
    """Takes the thumbs of Teams, which come as invokes."""

    def __init__(self, store: ThreadStore, quotas: Quotas, conversations: Conversations) -> None:
        self._store = store
        self._quotas = quotas
        self._conversations = conversations

    async def answer_invoke(self, incoming: Incoming, context: TurnContext) -> None:
        """Answer an invoke: with what became of a rating, and others with that there is nothing."""
        status, body = HTTPStatus.NOT_IMPLEMENTED, dict[str, Any]()
        if incoming.activity.name == "message/fetchTask":
            form = feedback_form(incoming.activity.value, strings_for(incoming.activity.locale))
            status, body = (HTTPStatus.OK, form) if form else (HTTPStatus.BAD_REQUEST, body)
        if incoming.activity.name == "message/submitAction":
            feedback = read_feedback(incoming.activity.value)
            try:
                await self._quotas.count_request(incoming.owner)
                status = HTTPStatus.OK if feedback and await self._rate(incoming, feedback) else HTTPStatus.BAD_REQUEST
            except RequestLimitExceeded:
                status = HTTPStatus.TOO_MANY_REQUESTS
        response = InvokeResponse(status=int(status), body=body)
        await context.send_activity(Activity(type="invokeResponse", value=response))

    async def _rate(self, incoming: Incoming, feedback: Feedback) -> bool:
        owner, answer = incoming.owner, await self._conversations.find_rated_answer(incoming)
        if answer is None:
            return False
        thread_id, message_id = answer
        try:
            if owner.is_conversation and incoming.author_id:
                await give_author_feedback(self._store, owner, thread_id, message_id, incoming.author_id, feedback)
            else:
                await give_feedback(self._store, owner, thread_id, message_id, feedback.rating, feedback.comment)
        except (ThreadNotFound, MessageNotFound, NotAnAnswer):
            return False
        await self._conversations.mark_feedback(owner, feedback.timestamp)
        return True
