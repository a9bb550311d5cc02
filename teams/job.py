"""An activity that is to be worked on, as the queue keeps it, with what earlier attempts have learned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from microsoft_agents.activity import Attachment

from agent.text import SURROGATE
from errors import InvalidActivity
from settings import Settings
from teams.activity import Incoming, check_origin, parse_activity, to_incoming
from teams.order import NOTHING_SEEN, Watch
from teams.question import QUOTED_ENTITY, file_names, quote_of


@dataclass(frozen=True, slots=True)
class Job:
    """An activity, the id of the request that brought it, and what came of it so far.

    ``watch`` is what it has seen of the message before it; ``waited``, for how many seconds another turn had its thread;
    ``failures``, how often it could not be done. ``begun`` says that it was worked on before, ``stored`` that its message is in
    its thread, ``in_order`` that it waits for those before it.
    """

    incoming: Incoming
    request_id: str
    watch: Watch = NOTHING_SEEN
    waited: float = 0.0
    failures: int = 0
    begun: bool = False
    stored: bool = False
    in_order: bool = True

    def pack(self) -> str:
        """Return it as text that can be sent as UTF-8."""
        # Teams sends the text a second time, as HTML, of which a quote is kept; of files only what they are called is told.
        activity = self.incoming.activity
        files = [Attachment(content_type="file", name=name) for name in file_names(activity)]
        entities = [each for each in activity.entities or [] if each.type != QUOTED_ENTITY]
        if quote := quote_of(activity):
            entities.append(quote.entity)
        slim = activity.model_copy(update={"attachments": files or None, "entities": entities or None})
        packed = json.dumps(
            {
                "activity": slim.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True),
                "request_id": self.request_id,
                "watch": list(self.watch),
                "waited": self.waited,
                "failures": self.failures,
                "begun": self.begun,
                "stored": self.stored,
                "in_order": self.in_order,
            },
            ensure_ascii=False,
        )
        return SURROGATE.sub("\ufffd", packed)


class Later(NamedTuple):
    """What is left to be done, and in how many seconds; ``in_line`` says that it waits for others of its conversation."""

    job: Job
    seconds: float
    in_line: bool = False


def unpack(payload: str, settings: Settings) -> Job:
    """Read what :meth:`Job.pack` returned, also in an earlier version.

    :raises InvalidActivity: if it is nothing of ours.
    """
    try:
        packed: dict[str, Any] = json.loads(payload)
        activity, request_id = parse_activity(packed["activity"]), str(packed["request_id"])
        seen, seconds = packed.get("watch", NOTHING_SEEN)
        counts = float(packed.get("waited", 0)), int(packed.get("failures", 0))
        flags = bool(packed.get("begun")), bool(packed.get("stored")), bool(packed.get("in_order", True))
        watch = Watch(str(seen), float(seconds))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidActivity("not what was put into the queue") from error
    check_origin(activity, None, settings)
    return Job(to_incoming(activity, settings), request_id, watch, *counts, *flags)
