"""Documents of other releases, as a rolling deployment brings them: of one before, and of one to come (audit L11)."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from cosmos_store import CosmosStore
from models import Feedback, Thread, UserState, utcnow
from stores.cosmos.documents import VERSION
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, LATER, ask, begin, end, messages, states, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="documents are changed behind the store's back")
Document = dict[str, Any]
NEWER = {"v": VERSION + 1, "added": {"by": "a newer release"}}


@pytest.fixture
async def thread(store: CosmosStore) -> Thread:
    """A thread with one failed message that has a key, and an answered one."""
    thread = await store.create_thread(ANN, title="Sums", metadata={})
    await talk(store, thread.id)
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    await store.put_user_state(ANN, UserState(preferences={"units": "metric"}))
    await store.list_threads(ANN, status=None, limit=9, cursor=None)
    return thread


def documents(fake: FakeCosmos) -> list[Document]:
    """Return all documents as they are stored, to be changed."""
    return fake.container("messages").everything() + fake.container("threads").everything()


def of_type(fake: FakeCosmos, type: str | None) -> list[Document]:
    return [each for each in documents(fake) if each.get("type") == type]


async def use(store: CosmosStore, thread: Thread) -> None:
    """Do all that changes documents which are there already."""
    await store.update_thread(ANN, thread.id, {"title": "New"})
    answer = (await messages(store, thread.id))[1]
    await store.set_feedback(ANN, thread.id, answer.id, Feedback(rating="up", timestamp=utcnow()))
    turn = await begin(store, thread.id, ask(key="k"))
    assert turn.is_retry
    await store.renew_lease(turn, lease_seconds=30)
    await end(store, turn)
    state = await store.get_user_state(ANN)
    await store.put_user_state(ANN, state.model_copy(update={"preferences": {}}))
    await store.get_thread(ANN, thread.id)


async def test_every_document_has_its_version(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    await begin(store, thread.id)
    await store.begin_erasure(ANN)
    assert {each.get("v") for each in documents(fake)} == {VERSION}
    assert {each.get("type") for each in documents(fake)} == {"thread", "message", "turn", "key", "user_state", None}


async def test_documents_of_the_release_before_are_read_and_changed(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    for each in documents(fake):
        for name in ("v", "external_id", "citations", "final_event_id" if each.get("type") != "turn" else ""):
            each.pop(name, None)
    await use(store, thread)
    assert [state for _, _, state in await states(store, thread.id)] == ["completed"] * 4
    assert len((await begin(store, thread.id)).history) == 4


async def test_what_the_release_before_wrote_out_in_full_is_read(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    read = await messages(store, thread.id)
    for each in of_type(fake, "message"):
        each.update({"tool_calls": [], "citations": [], "metadata": {}, "problem": None, "feedback": None} | each)
    assert await messages(store, thread.id) == read


@pytest.mark.parametrize("finder", ["retention", "another call"])
async def test_a_deletion_that_the_release_before_has_left_half_way_is_completed(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, finder: str
) -> None:
    (document,) = of_type(fake, "thread")
    document["deleting"] = True
    if finder == "retention":
        assert await store.idle_threads(since=utcnow() + timedelta(seconds=2), limit=9) == [(ANN, thread.id)]
    assert await store.delete_thread(ANN, thread.id)
    assert fake.container("messages").everything() == []


async def test_units_of_the_release_before_do_not_come_back(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    of_type(fake, "user_state")[0].update(units="imperial", preferences={})
    state = await store.get_user_state(ANN)
    assert state.preferences == {"units": "imperial"}
    await store.put_user_state(ANN, state.model_copy(update={"preferences": {}}))
    assert (await store.get_user_state(ANN)).preferences == {}


async def test_fields_of_a_newer_release_are_kept(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    for each in documents(fake):
        each.update(NEWER)
    before = {each["id"] for each in documents(fake)}
    await use(store, thread)
    assert [each["id"] for each in documents(fake) if each["id"] in before and not NEWER.items() <= each.items()] == []


async def test_what_a_newer_release_accepted_is_kept_when_an_older_one_ends_its_turn(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    await begin(store, thread.id, ask("With a picture"))
    (document,) = of_type(fake, "thread")
    document["lease"]["message"]["added"] = "picture"
    with time_machine.travel(utcnow().timestamp() + 31, tick=True):
        await begin(store, thread.id)
    (kept,) = [each for each in of_type(fake, "message") if each["content"] == "With a picture"]
    assert (kept["added"], kept["status"]) == ("picture", "interrupted")


async def test_a_status_of_a_newer_release_is_read_as_the_nearest(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    for each in documents(fake):
        if each.get("type") in ("thread", "message", "turn", None):
            each["status"] = "waiting"
    of_type(fake, "message")[1].update(role="tool", feedback={"rating": "sideways", "timestamp": "2026-01-01T00:00:00Z"})
    assert {status for _, _, status in await states(store, thread.id)} == {"interrupted"}
    assert {turn.status for turn in await store.list_turns(ANN, thread.id, limit=9, after=None)} == {"interrupted"}
    turn_id = of_type(fake, "turn")[0]["id"]
    assert (await store.get_progress(ANN, thread.id, turn_id, after=0)).turn.status == "interrupted"
    assert (await store.get_thread(ANN, thread.id)).status == "active"
    assert [each.status for each in (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items] == ["active"]
    assert len((await begin(store, thread.id)).history) == 3


async def test_a_call_of_a_newer_release_is_read_as_the_nearest(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    call = {"id": "c", "tool": "t", "arguments": {}, "status": "scheduled", "awaits": "two people", "error": "not yet"}
    of_type(fake, "message")[1]["tool_calls"] = [call]
    [read] = (await messages(store, thread.id))[1].tool_calls
    assert (read.id, read.status, read.awaits, read.error) == ("c", "unknown", None, "not yet")
    turn = await begin(store, thread.id)
    of_type(fake, "thread")[0]["lease"]["calls"] = [call]
    with time_machine.travel(utcnow() + LATER, tick=True):
        assert (await store.get_progress(ANN, thread.id, turn.turn_id, after=None)).turn.status == "interrupted"


async def test_a_status_of_a_newer_release_is_not_written_back(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    for each in of_type(fake, "thread") + of_type(fake, None) + of_type(fake, "key"):
        each["status"] = "waiting"
    await use(store, thread)
    assert {each["status"] for each in of_type(fake, "thread") + of_type(fake, None)} == {"waiting"}


async def test_documents_that_a_newer_release_has_added_go_with_their_thread(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    of_type(fake, "turn")[0]["type"] = "attachment"
    await store.delete_thread(ANN, thread.id)
    assert of_type(fake, "attachment") == []
