"""What thumbs send."""

from __future__ import annotations

import json
from typing import Any

from models import MAX_COMMENT, Feedback, Rating, utcnow


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
