"""The export, from each of the stores."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from data_rights.export import export_lines
from models import Feedback, Owner, UserState, utcnow
from stores.contract import ThreadStore
from tests.support.stores import ANN, Backend, begin, talk


async def test_thousands_of_messages_in_many_threads(backend: Backend, store: ThreadStore) -> None:
    long = await store.create_thread(ANN, title="long", metadata={})
    await backend.seed(long.id, 3000)
    short = [await store.create_thread(ANN, title="short", metadata={}) for _ in range(120)]
    for thread in short[:3]:
        await talk(store, thread.id)
    running = await begin(store, short[0].id)
    others = await store.create_thread(Owner("acme", "bob"), title="not Ann's", metadata={})
    lines: list[dict[str, Any]] = []
    longest = 0
    async for chunk in await export_lines(store, ANN, None):
        assert chunk.endswith(b"\n")
        longest = max(longest, len(chunk))
        lines += [json.loads(line) for line in chunk.splitlines()]
    assert longest < 100_000
    assert Counter(line["type"] for line in lines) == {"owner": 1, "thread": 121, "message": 3007, "turn": 3, "end": 1}
    assert (lines[0]["tenant"], lines[0]["user"]) == ANN
    assert lines[-1] == {"type": "end", "threads": 121, "messages": 3007}
    messages = [line["message"] for line in lines if line["type"] == "message"]
    assert [each["seq"] for each in messages if each["thread_id"] == long.id] == list(range(1, 3001))
    (unanswered,) = [each for each in messages if each["status"] == "running"]
    assert unanswered["turn_id"] == running.turn_id
    assert others.id not in str(lines)


async def test_feedback_and_the_users_state(store: ThreadStore) -> None:
    thread = await store.create_thread(ANN, title="Sums", metadata={})
    reply = await talk(store, thread.id)
    await store.set_feedback(ANN, thread.id, reply.id, Feedback(rating="down", comment="Wrong", timestamp=utcnow()))
    await store.put_user_state(ANN, UserState(thread_id=thread.id, preferences={"units": "imperial"}, values={"locale": "de"}))
    await store.put_user_state(Owner("acme", "bob"), UserState(values={"locale": "fr"}))
    lines = [json.loads(line) async for chunk in await export_lines(store, ANN, None) for line in chunk.splitlines()]
    assert [line["type"] for line in lines] == ["owner", "user_state", "thread", "message", "message", "turn", "end"]
    assert lines[1]["user_state"] == {
        "thread_id": thread.id,
        "preferences": {"units": "imperial"},
        "last_feedback": None,
        "values": {"locale": "de"},
    }
    asked, answered = lines[3]["message"], lines[4]["message"]
    assert "feedback" not in asked
    assert (answered["feedback"]["rating"], answered["feedback"]["comment"]) == ("down", "Wrong")
