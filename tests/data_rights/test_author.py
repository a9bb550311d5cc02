"""What one person wrote in conversations, exported and erased by the operator (audit M13)."""

from __future__ import annotations

import json

import pytest

from data_rights.author import erase_author, export_author_lines
from errors import StoreUnavailable
from models import Feedback, Owner, utcnow
from stores.contract import ThreadStore
from tests.support.groups import answered, asked_by, say
from tests.support.pauses import approve, finish, go_on, pause, pause_again


async def test_m13_an_author_is_exported_and_erased_across_threads(store: ThreadStore) -> None:
    for name in ("one", "two"):
        owner = Owner("bot:acme", name)
        thread = await store.create_thread(owner, title=None, metadata={})
        for author in ("ann", "bob"):
            await answered(store, thread.id, author, owner=owner)
    lines = [json.loads(line) async for line in await export_author_lines(store, "ann")]
    assert [line["message"]["content"] for line in lines[1:-1]] == ["ann asks", "to ann"] * 2
    assert lines[-1] == {"type": "end", "threads": 2, "messages": 4}
    assert await erase_author(store, "ann") == 4
    assert len([line async for line in await export_author_lines(store, "ann")]) == 2
    assert len([line async for line in await export_author_lines(store, "bob")]) == 6


async def test_what_an_author_thinks_of_answers_is_exported_and_erased_with_what_they_wrote(store: ThreadStore) -> None:
    owner = Owner("bot:acme", "one")
    thread = await store.create_thread(owner, title=None, metadata={})
    answers = []
    for author in ("ann", "bob"):
        reply = await answered(store, thread.id, author, owner=owner)
        answers.append(reply.id)
        for rater in ("ann", "carl"):
            feedback = Feedback(rating="up", comment=f"by {rater}", timestamp=utcnow())
            await store.set_author_feedback(owner, thread.id, reply.id, rater, feedback)
    lines = [json.loads(line) async for line in await export_author_lines(store, "ann")]
    assert [line["type"] for line in lines] == ["author", "message", "message", "feedback", "feedback", "end"]
    assert [line["feedback"]["comment"] for line in lines[3:5]] == ["by ann", "by ann"]
    assert await erase_author(store, "ann") == 2
    assert len([line async for line in await export_author_lines(store, "ann")]) == 2
    # Of what others think, that goes which is about an answer to Ann.
    lines = [json.loads(line) async for line in await export_author_lines(store, "carl")]
    assert [line.get("message_id") for line in lines] == [None, answers[1], None]


async def test_answers_that_paused_are_exported_with_what_goes_on_with_them(store: ThreadStore) -> None:
    owner = Owner("bot:acme", "one")
    thread = await store.create_thread(owner, title=None, metadata={})
    for author in ("ann", "bob"):
        first = await pause(store, thread.id, asked_by(author), owner=owner)
        second = await pause_again(store, await go_on(store, thread.id, approve(first), owner=owner))
        await finish(store, await go_on(store, thread.id, approve(second), owner=owner))
    lines = [json.loads(line) async for line in await export_author_lines(store, "ann")]
    assert [line["message"]["seq"] for line in lines[1:-1]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("error", "type"), [(StoreUnavailable(), "store_unavailable"), (RuntimeError("a secret"), "internal_error")]
)
async def test_an_export_of_an_author_that_fails_on_the_way_says_so_in_its_last_line(
    store: ThreadStore, monkeypatch: pytest.MonkeyPatch, error: Exception, type: str
) -> None:
    owner = Owner("bot:acme", "one")
    thread = await store.create_thread(owner, title=None, metadata={})
    await say(store, thread.id, "ann", owner=owner)

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(store, "list_messages", fail)
    lines = [json.loads(line) async for line in await export_author_lines(store, "ann")]
    assert [line["type"] for line in lines] == ["author", "error"]
    assert lines[-1]["problem"]["type"] == type
    assert "secret" not in str(lines)


async def test_an_export_of_an_author_that_cannot_begin_has_no_lines(
    store: ThreadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(store, "threads_of_author", fail)
    with pytest.raises(StoreUnavailable):
        await export_author_lines(store, "ann")
