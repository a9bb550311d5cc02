"""Load on the chat API: users who create a thread, send messages, read what was said, and delete it when they go.

Run by ``make load`` here, and by Azure Load Testing as it is (config.yaml). ``CHAT_API_KEY`` or ``CHAT_TOKEN`` is what the
users sign in with; with a key, each is an end user of its own.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

from locust import HttpUser, between  # type: ignore[import-not-found]  # in an environment of its own, see the Makefile

THREAD = "/api/threads/{thread_id}"
MESSAGES = f"{THREAD}/messages"
FIRST_TEXT, COMPLETED = b"event: message.delta", b"event: message.completed"
# Of no particular assistant: put here what your users ask yours.
QUESTIONS = (
    "What is a 15% tip on $85?",
    "What can you do for me?",
    "What is 12 * (3 + 4)?",
    "Tell me a joke, and what is 18% of 75?",
)


def credentials() -> dict[str, str]:
    """Return the headers that a new user signs in with; none for a server that serves its own machine only."""
    if key := os.environ.get("CHAT_API_KEY"):
        return {"X-API-Key": key, "X-User-Id": f"load-{uuid.uuid4().hex}"}
    if token := os.environ.get("CHAT_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    return {}


def send(user: ChatUser) -> None:
    """Send a message and read the whole answer."""
    path = f"/api/threads/{user.thread_id}/messages"
    with user.client.post(path, json=user.next_question(), name=f"POST {MESSAGES}", catch_response=True) as response:
        if response.status_code == 200 and response.json()["status"] != "completed":
            response.failure(f"the turn ended as {response.json()['status']}")


def stream(user: ChatUser) -> None:
    """Send a message and follow its events; the time until the first text is an entry of its own."""
    path, started = f"/api/threads/{user.thread_id}/messages", time.perf_counter()
    with user.client.post(
        path,
        json=user.next_question(),
        headers={"Accept": "text/event-stream"},
        name=f"POST {MESSAGES} (stream)",
        stream=True,
        catch_response=True,
    ) as response:
        events: list[bytes] = []
        for line in response.iter_lines() if response.status_code == 200 else ():
            if line.startswith(b"event: "):
                events.append(line)
                if line == FIRST_TEXT and events.count(line) == 1:
                    user.report("first text of a stream", started)
        response.request_meta["response_time"] = (time.perf_counter() - started) * 1000
        if response.status_code == 200 and events[-1:] != [COMPLETED]:
            response.failure(f"the stream ended with {events[-1:]}")


def read(user: ChatUser) -> None:
    """Read what was said."""
    user.client.get(f"/api/threads/{user.thread_id}/messages", name=f"GET {MESSAGES}")


def list_threads(user: ChatUser) -> None:
    """Read the list of threads."""
    user.client.get("/api/threads", name="GET /api/threads")


class ChatUser(HttpUser):  # type: ignore[misc]
    """Somebody who chats, with pauses to read and think."""

    wait_time = between(1, 5)
    tasks = {send: 5, stream: 5, read: 2, list_threads: 1}  # noqa: RUF012 - Locust's way to weigh them

    def on_start(self) -> None:
        """Sign in and create a thread."""
        self.client.headers.update(credentials())
        self.asked = 0
        self.thread_id = self.client.post("/api/threads", json={"title": "Load"}, name="POST /api/threads").json()["id"]

    def on_stop(self) -> None:
        """Delete the thread."""
        self.client.delete(f"/api/threads/{self.thread_id}", name=f"DELETE {THREAD}")

    def next_question(self) -> dict[str, Any]:
        """Return the next message's body."""
        self.asked += 1
        return {"content": QUESTIONS[self.asked % len(QUESTIONS)]}

    def report(self, name: str, started: float) -> None:
        """Add a measurement of our own to Locust's."""
        taken = (time.perf_counter() - started) * 1000
        self.environment.events.request.fire(
            request_type="SSE", name=name, response_time=taken, response_length=0, exception=None, context={}
        )
