"""A channel of Bot Service, as bots see it: takes activities on a real socket, keeps Teams' rules of streaming, has faults.

Written from https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference and
https://learn.microsoft.com/microsoftteams/platform/bots/streaming-ux.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from teams.clock import Clock
from tests.fakes.connections import Connections

MAX_STREAM_SECONDS = 120.0
# Of an activity, in UTF-16.
MAX_BYTES = 100 * 1024


class FakeClock(Clock):
    """A clock that stands still but for whom waits on it: then it goes on at once, past what is to happen on the way."""

    def __init__(self, *, patience: float = 0.0) -> None:
        self.time = 1000.0
        self._script: list[tuple[float, Callable[[], Any]]] = []
        self._patience = patience

    def at(self, seconds: float, action: Callable[[], Any]) -> None:
        """Let something happen so many seconds after the start."""
        self._script.append((1000.0 + seconds, action))
        self._script.sort(key=lambda item: item[0])

    def now(self) -> float:
        return self.time

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        until = self.time + seconds
        if self._patience and not event.is_set():
            # What is waited for is done by real tasks, which take real time.
            await Clock.wait(self, event, self._patience)
        while not event.is_set() and self._script and self._script[0][0] <= until:
            at, action = self._script.pop(0)
            self.time = max(self.time, at)
            action()
            for _ in range(5):
                await asyncio.sleep(0)
        if not event.is_set():
            self.time = max(self.time, until)
            await asyncio.sleep(0)
        return event.is_set()


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of, or (``taken``) after, its being taken."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    code: str = "ServiceError"
    message: str = ""
    taken: bool = False
    seconds: float = 0.0


DROP = Fault()
DROP_AFTER = Fault(taken=True)
BUSY = Fault(429, {"Retry-After": "2"})
BROKEN = Fault(502)
STOPPED = Fault(403, code="ContentStreamNotAllowed", message="Content stream was canceled by user.")
NOT_ALLOWED = Fault(403, code="ContentStreamNotAllowed", message="Content stream is not allowed")
TIMED_OUT = Fault(403, code="ContentStreamNotAllowed", message="Content stream finished due to exceeded streaming time.")
DELETED = Fault(404, code="ActivityNotFoundInConversation", message="The activity is not there.")
FORBIDDEN = Fault(403, code="Forbidden", message="Not this one.")
UNAUTHORIZED = Fault(401, code="Unauthorized", message="Authorization has been denied for this request.")
TOO_LARGE = Fault(413, code="MessageSizeTooBig", message="Message size too large.")
REMOVED = Fault(403, code="BotNotInConversationRoster", message="The bot is not part of the conversation roster.")


@dataclass(frozen=True)
class Sent:
    """A request that came in: when, how, with which body and headers, and how it was answered."""

    at: float
    method: str
    path: str
    activity: dict[str, Any]
    authorization: str | None
    status: int

    @property
    def kind(self) -> str:
        """What it is, in a word: ``typing``, ``informative``, ``streaming``, ``final``, ``message``, ``update``."""
        info = stream_info(self.activity)
        if info:
            return str(info["streamType"])
        return "update" if self.method == "PUT" else str(self.activity["type"])


class FakeConnector(Connections):
    """The channel. ``shown`` is what the reader has in the end, by id.

    ``faults`` are used up one request at a time; then ``fault_of`` is asked, with each request's method and activity.
    ``odd`` is what messages that were taken are answered with, instead of the usual: status, body, and content type.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self.clock = clock or Clock()
        self.faults: list[Fault | None] = []
        self.odd: tuple[int, bytes, str] | None = None
        self.fault_of: Callable[[str, dict[str, Any]], Fault | None] = lambda *_: None
        self.sent: list[Sent] = []
        self.shown: dict[str, dict[str, Any]] = {}
        self.changed = asyncio.Event()
        self.stopped = False
        self._streams: dict[str, tuple[str, float, int, str]] = {}
        self._last_stream_at = float("-inf")
        self._live: set[str] = set()
        self._ids = 0

    @property
    def url(self) -> str:
        return f"{super().url}/"

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.sent if each.status]

    @property
    def taken(self) -> list[Sent]:
        return [each for each in self.sent if 200 <= each.status < 300]

    @property
    def texts(self) -> list[str]:
        return [activity.get("text", "") for activity in self.shown.values()]

    def break_for(self, seconds: float, fault: Fault) -> None:
        """Let every request have the same fault for so long."""
        until = self.clock.now() + seconds
        self.fault_of = lambda *_: fault if self.clock.now() < until else None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, which is looked at after each request."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._exchange(reader, writer):
            pass

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
        method, path, _ = head[0].split(" ")
        activity = json.loads(await reader.readexactly(int(headers["content-length"])))
        at = self.clock.now()
        fault = self.faults.pop(0) if self.faults else self.fault_of(method, activity)
        if fault and fault.seconds and isinstance(self.clock, FakeClock):
            self.clock.time += fault.seconds
        status, answer = 0, dict[str, Any]()
        extra: dict[str, str] = {}
        if fault is None or fault.taken or (fault.seconds and not fault.status):
            status, answer = self._take(method, path, activity)
        if fault and fault.status:
            status, answer, extra = fault.status, {"error": {"code": fault.code, "message": fault.message}}, fault.headers
        elif fault and not fault.seconds:
            status = 0
        self.sent.append(Sent(at, method, path, activity, headers.get("authorization"), status))
        self.changed.set()
        if not status:
            return False
        body, kind = json.dumps(answer).encode(), "application/json"
        if self.odd and fault is None and activity["type"] == "message":
            status, body, kind = self.odd
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", f"content-type: {kind}"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        return True

    def _take(self, method: str, path: str, activity: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(json.dumps(activity, ensure_ascii=False).encode("utf-16-le")) > MAX_BYTES:
            return refused(413, "MessageSizeTooBig", "Message size too large.")
        if method == "PUT":
            return self._update(path.rpartition("/")[2], activity)
        if stream_info(activity):
            return self._stream(path, activity)
        self._ids += 1
        id = f"a{self._ids}"
        if activity["type"] == "message":
            self.shown[id] = activity
        return 201, {"id": id}

    def _update(self, id: str, activity: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if id not in self.shown:
            return refused(404, "ActivityNotFound", "there is no such activity")
        if activity.get("text") and activity.get("attachments"):
            return refused(400, "BadSyntax", "multiple skype activities")
        if any(entity.get("citation", []) is None for entity in activity.get("entities", [])):
            return refused(400, "BadSyntax", "citation is null")
        self.shown[id] = activity
        return 200, {"id": id}

    def _live_stream(self, info: dict[str, Any], activity: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if fault := live_stream_faults(info, activity, self._live):
            return refused(400, "BadRequest", fault)
        self._live.add(info["streamId"])
        if info["streamType"] == "final":
            self._live.remove(info["streamId"])
            self.shown[info["streamId"]] = activity
        return 201, {"id": info["streamId"]}

    def _stream(self, path: str, activity: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        info = stream_info(activity)
        if activity["channelId"] != "msteams":
            return self._live_stream(info, activity)
        now, conversation = self.clock.now(), activity["conversation"]["id"]
        if activity["conversation"].get("conversationType") not in (None, "personal"):
            return refused(403, "ContentStreamNotAllowed", "Content stream is not allowed")
        if self.stopped:
            return refused(403, "ContentStreamNotAllowed", "Content stream was canceled by user.")
        if now - self._last_stream_at < 1.0:
            return refused(429, "TooManyRequests", "one request a second")
        self._last_stream_at = now
        id = info.get("streamId")
        if id is None:
            if any(open_in == conversation for open_in, *_ in self._streams.values()):
                return refused(403, "ContentStreamNotAllowed", "Content stream is not allowed")
            self._ids += 1
            id = f"s{self._ids}"
            self._streams[id] = (conversation, now, 0, "")
        if id not in self._streams:
            message = "Content stream is not allowed on an already completed streamed message."
            return refused(403, "ContentStreamNotAllowed", message)
        _, since, sequence, text = self._streams[id]
        if now - since > MAX_STREAM_SECONDS:
            del self._streams[id]
            return refused(403, "ContentStreamNotAllowed", "Content stream finished due to exceeded streaming time.")
        if info["streamType"] == "final":
            if activity["type"] != "message" or not activity.get("text") or "streamSequence" in info:
                return refused(400, "BadRequest", "not a final message")
            del self._streams[id]
            self.shown[id] = activity
            return 202, {}
        if activity["type"] != "typing" or info["streamSequence"] <= sequence or activity.get("attachments"):
            return refused(400, "BadRequest", "out of order, or more than text")
        said = activity["text"] if info["streamType"] == "streaming" else ""
        if not said.startswith(text):
            return refused(403, "ContentStreamNotAllowed", "Request streamed content should contain the previous content")
        self._streams[id] = (conversation, since, info["streamSequence"], said)
        return (202, {}) if info.get("streamId") else (201, {"id": id})


def live_stream_faults(info: dict[str, Any], activity: dict[str, Any], known: set[str]) -> str | None:
    """Return what is wrong with an activity of a stream in Web Chat, whose id the bot makes up."""
    if not info.get("streamId"):
        return "a stream without an id"
    if info["streamType"] == "final":
        return None if activity["type"] == "message" and info["streamId"] in known else "not a final message"
    return None if activity["type"] == "typing" and info["streamSequence"] > 0 else "out of order"


def stream_info(activity: dict[str, Any]) -> dict[str, Any]:
    """Return an activity's ``streaminfo`` entity; empty if it has none."""
    return next((entity for entity in activity.get("entities", []) if entity["type"] == "streaminfo"), {})


def refused(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": code, "message": message}}
