"""The knowledge base: what is found for what people ask, and what is not."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.agent import as_function_tool
from errors import ToolError
from settings import AssistantError, Settings
from tests.support.assistant_folder import HARBOUR
from tools.environment import ToolEnvironment
from tools.knowledge_base import Article, Index, open_tools, read_articles

CONTEXT = ToolEnvironment(Settings(), HARBOUR)


async def search(query: str, **options: Any) -> list[dict[str, Any]]:
    async with open_tools(CONTEXT) as [search_knowledge_base]:
        return [asdict(hit) for hit in search_knowledge_base(query, **options)]


async def test_a_hit_has_all_its_fields_and_scores_fall() -> None:
    hits = await search("a deposit for a berth, and its fee", limit=4)
    assert set(hits[0]) == {"id", "title", "category", "snippet", "score", "url"}
    assert len(hits) == 4
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert hits[-1]["score"] > 0
    assert all(hit["url"].startswith("https://") and hit["snippet"] for hit in hits)


@pytest.mark.parametrize(
    "query", ["quantum chromodynamics", "asdf", "Tell me a joke", "", "   ", "?!", "what is the", "a", "x" * 10_000]
)
async def test_nothing_relevant_is_an_empty_list(query: str) -> None:
    assert await search(query) == []


@pytest.mark.parametrize(
    "query",
    [
        'deposit"',
        "deposit AND",
        "NEAR(deposit)",
        "title:deposit",
        "deposit*",
        "(deposit",
        "-deposit",
        "deposit ^ 2",
        "de'posit",
        "deposit\0",
    ],
)
async def test_query_syntax_is_only_text(query: str) -> None:
    assert isinstance(await search(query), list)


async def test_a_category_narrows_the_search() -> None:
    assert {hit["category"] for hit in await search("deposit", category="fees", limit=10)} == {"fees"}
    with pytest.raises(ToolError, match=r"no category 'food'; there are berths, fees, office"):
        await search("deposit", category="food")


@pytest.mark.parametrize("limit", [0, -1, 11])
async def test_the_limit_has_bounds(limit: int) -> None:
    async with open_tools(CONTEXT) as [search_knowledge_base]:
        model = as_function_tool(search_knowledge_base).input_model
        assert model
        with pytest.raises(ValidationError):
            model.model_validate({"query": "deposit", "limit": limit})


async def test_many_threads_may_search_at_once() -> None:
    async with open_tools(CONTEXT) as [search_knowledge_base]:
        results = await asyncio.gather(*(asyncio.to_thread(search_knowledge_base, "deposit") for _ in range(20)))
    assert all(result == results[0] for result in results)


def test_an_article_without_its_fields_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.md").write_text("---\nid: broken\ntitle: Broken\n---\n\nText\n")
    with pytest.raises(AssistantError, match=r"broken\.md: the front matter lacks category, url"):
        read_articles(tmp_path)


def test_two_articles_of_one_id_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text(
            "---\nid: fees\ntitle: Fees\ncategory: fees\nurl: https://x.example\n---\n\nText\n"
        )
    told = rf"{tmp_path / 'two.md'}: the id fees is that of {tmp_path / 'one.md'}, too"
    with pytest.raises(AssistantError, match=re.escape(told)) as refused:
        read_articles(tmp_path)
    assert refused.value.file == tmp_path / "two.md"


def test_a_hit_of_a_word_that_is_everywhere_has_a_score_too() -> None:
    index = Index()
    index.fill(
        [Article(f"a{number}", "Orders", "help", "https://example.com", "deposits " * (number + 1)) for number in range(9)]
    )
    with closing(index):
        scores = [hit.score for hit in index.search("deposits", None, 9)]
    assert len(scores) == 9
    assert all(score > 0 for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_a_folder_without_articles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssistantError, match="has no articles"):
        read_articles(tmp_path)


async def test_the_model_is_told_what_the_articles_are_about() -> None:
    async with open_tools(CONTEXT) as [search_knowledge_base]:
        assert (
            search_knowledge_base.__doc__ == f"Search the help articles. Use this for questions about {HARBOUR.articles.about}."
        )
