"""Citations: which sources an answer points to, from the tool that finds them to the stored message."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.citations import cited
from agent.run import SNIPPET_MAX_LENGTH
from errors import ToolError
from models import Citation
from settings import Settings
from stores.types import StartedTurn
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import agent_on, run
from tests.support.api import api_with
from tests.support.events import NDJSON, SSE, sse_events
from tests.support.server import serve_api
from tests.support.steps import Steps
from tools.tool import Source
from turns.event_log import EventLog
from turns.reply import ReplyBuilder


def source(id: str, snippet: str = "…") -> Source:
    return Source(id=id, title=id.title(), url=f"https://help.example/{id}", snippet=snippet)


def citations(*indexes: int) -> list[Citation]:
    return [Citation(index=index, id=str(index), title="T", url=None, snippet="") for index in indexes]


def find(query: str) -> list[Source]:
    """Find the sources that the query names, separated by commas."""
    if query == "fail":
        raise ToolError("nothing works")
    return [source(id) for id in query.split(",") if id]


def asked(*queries: str) -> tuple[Call, ...]:
    return tuple(Call("find", json.dumps({"query": query}), f"call_{query}") for query in queries)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Within 14 days [1].", [1]),
        ("Within 14 days[2][1], again [2].", [1, 2]),
        ("[3]", [3]),
        ("Neither [4] nor [12] are known, [0] and [01] and [-1] are no marks.", []),
        ("A link [1](https://example.com) is none, nor are [ 1 ], (1), [1a], 1].", []),
        ("[[2]] is one.", [2]),
        ("[1", []),
        ("", []),
    ],
)
def test_only_known_marks_count(text: str, found: list[int]) -> None:
    assert [each.index for each in cited(text, citations(2, 1, 3))] == found


@pytest.mark.parametrize("stream", [False, True])
async def test_sources_are_numbered_through_a_whole_run(stream: bool) -> None:
    replies = (Reply(calls=asked("a,b", "b,c")), Reply(calls=asked("", "fail", "d,a")), Reply(text="So it is [4][2]."))
    async with FakeModel(*replies) as model, agent_on(model, find) as agent:
        recorder, _ = await run(agent, stream=stream)
        shown = [json.loads(each["content"]) for each in model.requests[-1]["messages"] if each["role"] == "tool"]
    numbers = {(hit["id"], hit["index"]) for hits in shown if isinstance(hits, list) for hit in hits}
    assert len(numbers) == 4
    assert {index for _, index in numbers} == {1, 2, 3, 4}
    assert dict(numbers)["d"] == 4
    assert shown[3] == {"error": "nothing works"}
    # Calls that run at the same time end in any order.
    kept = [call.result if call.error is None else {"error": call.error} for call in recorder.calls]
    assert sorted(map(json.dumps, kept)) == sorted(map(json.dumps, shown))
    assert {(each.id, each.index) for each in recorder.sources} == numbers
    assert recorder.content == "So it is [4][2]."


async def test_runs_number_their_sources_for_themselves() -> None:
    replies = (Reply(calls=asked("a")), Reply(text="x"), Reply(calls=asked("b")), Reply(text="y"))
    async with FakeModel(*replies) as model, agent_on(model, find) as agent:
        assert [(each.id, each.index) for _ in "12" for each in (await run(agent))[0].sources] == [("a", 1), ("b", 1)]


async def test_a_result_that_is_too_large_gives_no_sources() -> None:
    def find(query: str) -> list[Source]:
        """Find."""
        return [source("big", "x" * 70_000)]

    async with FakeModel(Reply(calls=asked("a")), Reply(text="x [1]")) as model, agent_on(model, find) as agent:
        recorder, _ = await run(agent)
        assert recorder.calls[0].error == "the tool's result is too large"
        assert recorder.sources == []


async def test_a_long_snippet_is_cut_in_the_citation_only() -> None:
    def find(query: str) -> list[Source]:
        """Find."""
        return [source("long", "x" * 5000)]

    async with FakeModel(Reply(calls=asked("a")), Reply(text="x [1]")) as model, agent_on(model, find) as agent:
        recorder, _ = await run(agent)
        result: Any = recorder.calls[0].result
        assert len(result[0]["snippet"]) == 5000
        assert len(recorder.sources[0].snippet) == SNIPPET_MAX_LENGTH


def test_an_answer_cites_what_its_text_has_come_to() -> None:
    thread = SimpleNamespace(id="thread_1")
    fields = {"thread": thread, "reply_seq": 2, "turn_id": "turn_1", "paused": (), "approved": ()}
    started = cast("StartedTurn", SimpleNamespace(**fields))
    reply = ReplyBuilder(started, EventLog(started.thread.id, "turn_1"))
    for each in citations(1, 2):
        reply.source_found(each)
    said = []
    for piece in ("Yes [", "2", "]", " and [1]."):
        reply.text(piece)
        said.append([each.index for each in reply.build("completed", {}).citations])
    assert said == [[], [], [2], [1, 2]]


# Through the API

QUESTION = "How do I get my deposit back?"


async def test_every_form_of_an_answer_has_the_same_citations(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        path = (await api.post("/api/threads", json={})).headers["location"]
        answer = (await api.post(f"{path}/messages", json={"content": QUESTION})).json()
        found = answer["citations"]
        assert [each["index"] for each in found] == [1, 2, 3]
        assert found[0]["id"] == "deposit"
        assert all(each["url"].startswith("https://") and each["title"] and each["snippet"] for each in found)
        assert all(f"[{each['index']}]" in answer["content"] for each in found)
        async with api.stream("POST", f"{path}/messages", json={"content": QUESTION}, headers=SSE) as response:
            assert [event async for event in sse_events(response)][-1]["message"]["citations"] == found
        lines = (await api.post(f"{path}/messages", json={"content": QUESTION}, headers=NDJSON)).text.splitlines()
        assert json.loads(lines[-1])["message"]["citations"] == found
        assert (await api.post("/api/invoke", json={"user_input": QUESTION})).json()["citations"] == found
        batch = (await api.post("/api/batch", json={"questions": [QUESTION, "Tell me a joke"]})).json()
        assert [each["citations"] for each in batch["results"]] == [found, []]
        history = (await api.get(f"{path}/messages")).json()["messages"]
        assert [each["citations"] for each in history] == [[], found] * 3
        exported = [json.loads(line) for line in (await api.get("/api/export")).text.splitlines()]
        assert [line["message"]["citations"] for line in exported if line["type"] == "message"].count(found) == 5


async def test_a_partial_answer_keeps_what_it_has_cited(tmp_path: Path) -> None:
    steps = Steps()
    search = Call("search_knowledge_base", json.dumps({"query": "deposit"}))
    replies = (Reply(calls=(search,)), Reply(text="Soon [1] and also [2].", wait_for_piece=steps))
    async with (
        FakeModel(*replies) as model,
        api_with(model, tmp_path) as (api, path),
        api.stream("POST", path, json={"content": QUESTION}, headers=SSE) as response,
    ):
        events = sse_events(response)
        steps.step(3)
        text = ""
        async for event in events:
            text += event.get("text", "")
            if "[1]" in text:
                turn = f"{path.removesuffix('/messages')}/turns/{event['turn_id']}"
                assert (await api.post(f"{turn}/cancel")).status_code == 202
                break
        last = [event async for event in events][-1]
    assert last["type"] == "turn.cancelled"
    assert last["message"]["content"] == text
    assert [(each["index"], each["id"]) for each in last["message"]["citations"]] == [(1, "deposit")]
