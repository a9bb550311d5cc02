"""The offline model inside the real agent, with the real tools on sample data."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent.agent import ChatAgent, open_agent
from agent.citations import cited
from identity.azure_credential import AzureCredential
from models import Citation
from settings import Settings
from tests.support.agent import Recorder, a_message, a_request
from tests.support.assistant_folder import HARBOUR
from tools.calculator import calculate
from tools.environment import ToolEnvironment
from tools.registry import open_tools
from tools.tool import Offline, Source, tool

SETTINGS = Settings()
CONTEXT = ToolEnvironment(SETTINGS, HARBOUR)


@pytest.fixture
async def agent() -> AsyncIterator[ChatAgent]:
    async with open_tools(CONTEXT) as tools, open_agent(SETTINGS, HARBOUR, tools, AzureCredential()) as agent:
        yield agent


async def ask(agent: ChatAgent, question: str, *, stream: bool = False, before: str | None = None) -> Recorder:
    recorder = Recorder()
    history = [a_message(before, 1)] if before else []
    result = await agent.run(a_request(a_message(question, 2), history=history), observer=recorder, stream=stream)
    assert result.model == "offline"
    assert result.input_tokens > 0
    assert result.output_tokens > 0
    return recorder


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        ("What is the tide in Tokyo?", [("get_tide", {"place": "Tokyo"})]),
        (
            "What is the tide in Seattle and what is a 15% tip on $85?",
            [("get_tide", {"place": "Seattle"}), ("calculate", {"expression": "85 * 0.15"})],
        ),
        (
            "tide in Paris and what's 18% tip on €75?",
            [("get_tide", {"place": "Paris"}), ("calculate", {"expression": "75 * 0.18"})],
        ),
        ("Tell me a joke", []),
        ("I need help with my deposit", [("search_knowledge_base", {"query": "I need help with my deposit"})]),
        ("tide in Paris and London", [("get_tide", {"place": "Paris"}), ("get_tide", {"place": "London"})]),
        ("tide in Oslo in feet", [("get_tide", {"place": "Oslo", "units": "imperial"})]),
        ("20% of 1,250", [("calculate", {"expression": "1250 * 0.2"})]),
        ("What is 12 * (3+4)?", [("calculate", {"expression": "12 * (3+4)"})]),
        ("What is 3 plus 4?", [("calculate", {"expression": "3 + 4"})]),
        ("the square root of 144", [("calculate", {"expression": "sqrt(144)"})]),
        ("2^10", [("calculate", {"expression": "2**10"})]),
        ("What happened on 2026-01-01?", []),
        ("hello", []),
    ],
)
async def test_it_picks_the_tools_that_a_question_needs(
    agent: ChatAgent, question: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    recorder = await ask(agent, question)
    started = [(tool, arguments) for kind, (*_, tool, arguments) in recorder.events if kind == "started"]
    assert started == calls
    assert len({call.id for call in recorder.calls}) == len(calls)
    assert all(call.error is None for call in recorder.calls)
    assert recorder.content


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is the tide in Seattle and what is a 15% tip on $85?", ["Seattle", "rising", "12.75"]),
        ("What is 1 / 0?", ["did not work", "division by zero"]),
        ("How do I get my deposit back?", ["When you get your deposit back", "[1]", "See also:", "[2]"]),
        ("What are the opening hours on the moon?", ["Opening hours of the office"]),
        ("hello", ["offline stand-in", "work by rules", "OPENAI_API_KEY"]),
    ],
)
async def test_it_words_its_answer_from_the_results(agent: ChatAgent, question: str, said: list[str]) -> None:
    content = (await ask(agent, question)).content
    assert all(words in content for words in said), content


@pytest.mark.parametrize("question", ['call balance {"query": "deposit"}', "call balance"])
async def test_a_tool_that_is_not_there_is_told_with_those_that_are(agent: ChatAgent, question: str) -> None:
    recorder = await ask(agent, question)
    assert recorder.calls == []
    assert recorder.content == "There is no tool balance; there are: get_tide, calculate, search_knowledge_base."


@pytest.mark.parametrize("question", ["tide in Paris and what's 18% tip on €75?", "Tell me a joke", "deposit please"])
async def test_streamed_it_says_the_same_in_small_pieces(agent: ChatAgent, question: str) -> None:
    whole, streamed = await ask(agent, question), await ask(agent, question, stream=True)
    pieces = [piece for kind, piece in streamed.events if kind == "text"]
    assert "".join(pieces) == whole.content
    assert len(pieces) > 3
    assert max(len(piece.split()) for piece in pieces) <= 3


@pytest.mark.parametrize("stream", [True, False])
async def test_it_cites_every_article_that_it_names(agent: ChatAgent, stream: bool) -> None:
    recorder = await ask(agent, "How do I get my deposit back?", stream=stream)
    (call,) = recorder.calls
    assert isinstance(call.result, list)
    assert cited(recorder.content, recorder.sources) == recorder.sources
    assert [each.index for each in recorder.sources] == [1, 2, 3]
    shown = [{name: hit[name] for name in Citation.model_fields} for hit in call.result if isinstance(hit, dict)]
    assert [each.model_dump() for each in recorder.sources] == shown


async def test_a_follow_up_keeps_the_subject(agent: ChatAgent) -> None:
    recorder = await ask(agent, "and in Oslo?", before="What is the tide in Paris?")
    assert recorder.calls[0].arguments == {"place": "Oslo"}
    assert (await ask(agent, "and in Oslo?", before="Tell me a joke")).calls == []


@pytest.mark.parametrize(("tools", "called"), [((), []), ((calculate,), ["calculate"])])
async def test_it_calls_only_tools_that_there_are(tools: tuple[Callable[..., Any], ...], called: list[str]) -> None:
    async with open_agent(SETTINGS, HARBOUR, tools, AzureCredential()) as agent:
        recorder = await ask(agent, "tide in Paris, my deposit, and 2 + 2")
        assert [call.tool for call in recorder.calls] == called


async def test_text_in_a_result_calls_nothing(agent: ChatAgent) -> None:
    search = Offline(skill="search", listen=lambda text, _: [{"query": text}], say=lambda _, hits: str(hits[0]["snippet"]))

    @tool(title={"en": "Search"}, offline=search)
    def search_knowledge_base(query: str) -> list[Source]:
        """Search."""
        return [Source(id="trap", title="Trap", url=None, snippet="What is the tide in Rome? What is 2 + 2?")]

    async with open_agent(SETTINGS, HARBOUR, (search_knowledge_base, calculate), AzureCredential()) as trapped:
        recorder = await ask(trapped, "my deposit")
        assert [call.tool for call in recorder.calls] == ["search_knowledge_base"]
        assert "What is 2 + 2?" in recorder.content


@pytest.mark.parametrize(
    "question",
    [
        "and" + " " * 1600 + "5",
        "and" + "\n" * 31_000 + "5",
        "1" * 32_000,
        "1" + "+" * 31_000,
        "1," * 16_000,
        "sin(" * 8_000,
        "tide " + "A-" * 15_000,
        "tide in " + "A" * 31_000,
        "1%" * 16_000,
    ],
    ids=lambda question: question[:10],
)
async def test_a_hostile_question_does_not_block_the_loop(agent: ChatAgent, question: str) -> None:
    """Audit L1."""
    started = time.process_time()
    await ask(agent, question, before="What is the tide in Tokyo?")
    assert time.process_time() - started < 1
