"""A chat in the terminal: ``python examples/chat.py [--url http://127.0.0.1:7071] [--key KEY] [--user NAME] [--thread ID]``.

Needs Python 3.11 and nothing else. It sends each line as a message and prints the answer as it comes. A connection that breaks
is taken up where it broke, and a message that may not have arrived is sent again: with the same Idempotency-Key, so that it is
stored and answered once. A tool that asks before it acts runs if the next line is ``y``. Ctrl-C stops an answer, the end of the
input (Ctrl-D) the chat; ``--thread`` goes on with an earlier one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

ATTEMPTS = 10
NOTHING_MORE = 204
# What may help to repeat, whoever answers it.
OF_A_HOST = (429, 500, 502, 503, 504)
# A stream says something every 15 seconds at least.
STALE_AFTER_SECONDS = 40
BROKEN = (OSError, http.client.HTTPException)
ENDS = ("message.completed", "turn.failed", "turn.cancelled", "turn.paused")


class ApiError(Exception):
    """The API refuses; the text is its problem's title, detail and request id."""


class Api:
    """The chat API at an address."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = headers

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return an open response, waiting and trying again where the API says that it may help.

        :raises ApiError: if it refuses for good.
        :raises OSError, HTTPException: if there is no connection, however often it is tried.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json", **headers}
        for attempt in range(1, ATTEMPTS + 1):
            request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310 - the user's own
            try:
                return urllib.request.urlopen(request, timeout=STALE_AFTER_SECONDS)  # noqa: S310
            except urllib.error.HTTPError as refused:
                problem = read_problem(refused)
                if not problem.get("retryable") or attempt == ATTEMPTS:
                    raise ApiError(f"{problem['title']} {problem.get('detail', '')} ({problem.get('request_id')})") from None
                time.sleep(float(problem.get("retry_after") or 1))
            except BROKEN:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(min(0.1 * 2**attempt, 5))
        raise AssertionError

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to a request."""
        with self.open(method, path, body) as response:
            return json.loads(response.read() or b"null")


class Turn:
    """What is posted and its answer, event by event: each once, in order, over as many connections as it takes."""

    def __init__(self, api: Api, thread: str, path: str, body: dict[str, Any]) -> None:
        self._api, self._thread, self._path, self._body = api, thread, path, body
        self._key = uuid.uuid4().hex
        self._seen = 0
        self.id: str | None = None
        self.has_begun = False

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events to the last one, which says how the turn has ended."""
        while True:
            try:
                with self._connect() as response:
                    if response.status == NOTHING_MORE:
                        return
                    for event in read_events(response):
                        self._seen, self.id = event["id"], event["turn_id"]
                        self.has_begun = self.has_begun or event["type"] == "turn.started"
                        yield event
                        if event["type"] in ENDS:
                            return
            except BROKEN:
                pass  # it broke: what is missing comes with the next connection
            time.sleep(0.2)

    def cancel(self) -> None:
        """Stop the turn."""
        if self.id:
            self._api.json("POST", f"/api/threads/{self._thread}/turns/{self.id}/cancel")

    def go_on(self, approvals: list[dict[str, Any]]) -> Turn:
        """Return the turn that goes on with this one, which paused."""
        return Turn(self._api, self._thread, f"turns/{self.id}/continue", {"approvals": approvals})

    def _connect(self) -> Any:
        accept = {"Accept": "text/event-stream"}
        if self.id:
            path = f"/api/threads/{self._thread}/turns/{self.id}/events"
            return self._api.open("GET", path, **accept, **{"Last-Event-ID": str(self._seen)})
        headers = {**accept, "Idempotency-Key": self._key}
        return self._api.open("POST", f"/api/threads/{self._thread}/{self._path}", self._body, **headers)


def read_problem(refused: urllib.error.HTTPError) -> dict[str, Any]:
    """Return why a request was refused; what stands before the API (a host, a gateway) says it by the status alone."""
    if refused.headers.get_content_type() == "application/problem+json":
        problem: dict[str, Any] = json.loads(refused.read())
        return problem
    return {"title": f"{refused.code} {refused.reason}", "retryable": refused.code in OF_A_HOST}


def read_events(response: Any) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    for line in response:
        # Each event of this API is one line of JSON; the lines `id:` and `event:` say what is in it, too.
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def show(event: dict[str, Any]) -> None:
    """Print what an event says."""
    kind = event["type"]
    if kind == "message.delta":
        print(event["text"], end="", flush=True)
    elif kind == "tool.started":
        print(f"[{event['tool']} {json.dumps(event['arguments'], ensure_ascii=False)}]", flush=True)
    elif kind == "tool.completed" and "error" in event:
        print(f"[{event['tool']} failed: {event['error']}]", flush=True)
    elif kind == "turn.failed":
        print(f"\nNo answer: {event['problem']['title']} ({event['problem'].get('request_id')})")
    elif kind in ENDS:
        print("\n(stopped)" if kind == "turn.cancelled" else "")


def show_whole(event: dict[str, Any]) -> None:
    """Print the end of a turn that had ended before its first event came: all at once, as the message that it left."""
    if event["type"] in ("message.completed", "turn.cancelled", "turn.paused"):
        print(event["message"]["content"], end="")
    show(event)


def main() -> int:
    """Chat until the input ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="chat.py", description="Chat in the terminal.")
    parser.add_argument("--url", default="http://127.0.0.1:7071")
    parser.add_argument("--key", default=os.environ.get("CHAT_API_KEY"), help="API key; default: CHAT_API_KEY")
    parser.add_argument("--user", help="whom the key acts for")
    parser.add_argument("--thread", help="go on with this one")
    given = parser.parse_args()
    api = Api(given.url, {name: value for name, value in (("X-API-Key", given.key), ("X-User-Id", given.user)) if value})
    try:
        thread = given.thread or api.json("POST", "/api/threads", {})["id"]
        print(f"thread {thread}", flush=True)
        for line in sys.stdin:
            if content := line.strip():
                talk(Turn(api, thread, "messages", {"content": content}))
    except (ApiError, *BROKEN) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


def talk(turn: Turn | None) -> None:
    """Show a turn, and those that go on with it after a question."""
    while turn:
        turn = follow(turn)


def decide(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask whether the open calls may run."""
    approvals = []
    for call in calls:
        if call["status"] == "open":
            # Escapes: arguments are text of the model's, which must not steer the terminal.
            print(f"Allow {call['tool']} {json.dumps(call['arguments'])}? [y/N] ", end="", flush=True)
            approvals.append({"call_id": call["id"], "approved": sys.stdin.readline().strip().lower() in ("y", "yes")})
    print(flush=True)
    return approvals


def follow(turn: Turn) -> Turn | None:
    """Show a turn, and return the one that goes on with it, if it paused.

    Ctrl-C stops it, and what was said until then stays.
    """
    events = turn.events()
    while True:
        try:
            for event in events:
                (show if turn.has_begun else show_whole)(event)
                if event["type"] == "turn.paused":
                    return turn.go_on(decide(event["message"]["tool_calls"]))
            return None
        except KeyboardInterrupt:
            turn.cancel()
            events = turn.events()


if __name__ == "__main__":
    sys.exit(main())
