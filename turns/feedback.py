"""Feedback on answers: every channel gives it and takes it back here."""

from __future__ import annotations

import logging

from models import Feedback, Message, Owner, Rating, utcnow
from observability import metrics
from stores.contract import ThreadStore

logger = logging.getLogger(__name__)


async def give_feedback(
    store: ThreadStore, owner: Owner, thread_id: str, message_id: str, rating: Rating, comment: str | None
) -> Message:
    """Put a rating on an answer, in place of an earlier one, and return the message.

    :raises ThreadNotFound, MessageNotFound, NotAnAnswer, StoreError: as :meth:`ThreadStore.set_feedback` does.
    """
    feedback = Feedback(rating=rating, comment=comment, timestamp=utcnow())
    message = await store.set_feedback(owner, thread_id, message_id, feedback)
    _count(rating, message_id)
    return message


async def give_author_feedback(
    store: ThreadStore, owner: Owner, thread_id: str, message_id: str, author_id: str, feedback: Feedback
) -> None:
    """Keep what one of several people in a conversation thinks of an answer; the first of each on it counts.

    :raises ThreadNotFound, MessageNotFound, NotAnAnswer, StoreError: as :meth:`ThreadStore.set_author_feedback` does.
    """
    if await store.set_author_feedback(owner, thread_id, message_id, author_id, feedback):
        _count(feedback.rating, message_id)


async def withdraw_feedback(store: ThreadStore, owner: Owner, thread_id: str, message_id: str) -> None:
    """Take the feedback on an answer back, if there is any.

    :raises ThreadNotFound, MessageNotFound, NotAnAnswer, StoreError: as :meth:`ThreadStore.set_feedback` does.
    """
    await store.set_feedback(owner, thread_id, message_id, None)
    logger.info("feedback withdrawn from message %s", message_id)


def _count(rating: Rating, message_id: str) -> None:
    metrics.feedback.add(1, {"chat.feedback.rating": rating})
    logger.info("feedback %s on message %s", rating, message_id)
