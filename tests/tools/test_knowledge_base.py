"""The knowledge base: what is found for what people ask, and what is not."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.agent import as_function_tool
from errors import ToolError
from tools.knowledge_base import FOLDER, Article, Index, open_knowledge_base, read_articles


async def search(query: str, **options: Any) -> list[dict[str, Any]]:
    async with open_knowledge_base() as search_knowledge_base:
        return [asdict(hit) for hit in search_knowledge_base(query, **options)]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("I need help with my order", "orders"),
        ("Where is my order?", "order-status"),
        ("cancel an order", "change-cancel-order"),
        ("how long does shipping take", "shipping-options"),
        ("do you ship to Norway", "international-shipping"),
        ("returning shoes", "return-policy"),
        ("when do I get my refund", "refunds"),
        ("refunded", "refunds"),
        ("my payment was declined", "payment-failed"),
        ("forgot password", "account-password"),
        ("delete my personal data", "privacy"),
        ("wash a down jacket", "product-care"),
        ("opening hours", "contact"),
        ("gift card balance", "gift-cards"),
    ],
)
async def test_the_best_article_comes_first(query: str, best: str) -> None:
    hits = await search(query)
    assert best in (hits[0]["id"], hits[0]["category"]), hits
    assert 1 <= len(hits) <= 3


async def test_a_hit_has_all_its_fields_and_scores_fall() -> None:
    hits = await search("refund for a returned order", limit=5)
    assert set(hits[0]) == {"id", "title", "category", "snippet", "score", "url"}
    assert len(hits) == 5
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
    ['order"', "order AND", "NEAR(order)", "title:order", "order*", "(order", "-order", "order ^ 2", "or'der", "order\0"],
)
async def test_query_syntax_is_only_text(query: str) -> None:
    assert isinstance(await search(query), list)


async def test_a_category_narrows_the_search() -> None:
    assert {hit["category"] for hit in await search("order", category="returns", limit=10)} == {"returns"}
    with pytest.raises(ToolError, match=r"no category 'food'; there are account, contact, orders"):
        await search("order", category="food")


@pytest.mark.parametrize("limit", [0, -1, 11])
async def test_the_limit_has_bounds(limit: int) -> None:
    async with open_knowledge_base() as search_knowledge_base:
        model = as_function_tool(search_knowledge_base).input_model
        assert model
        with pytest.raises(ValidationError):
            model.model_validate({"query": "order", "limit": limit})


async def test_many_threads_may_search_at_once() -> None:
    async with open_knowledge_base() as search_knowledge_base:
        results = await asyncio.gather(*(asyncio.to_thread(search_knowledge_base, "refund") for _ in range(20)))
    assert all(result == results[0] for result in results)


def test_the_articles_are_complete_and_differ() -> None:
    articles = read_articles(FOLDER)
    assert len(articles) >= 15
    assert len({article.id for article in articles}) == len({article.url for article in articles}) == len(articles)
    assert {article.category for article in articles} >= {"orders", "returns", "shipping", "payments", "account", "privacy"}
    for article in articles:
        assert 50 < len(article.text.split()) < 300, article.id
        assert "**" not in article.text
        assert (FOLDER / f"{article.id}.md").exists()


def test_an_article_without_its_fields_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.md").write_text("---\nid: broken\ntitle: Broken\n---\n\nText\n")
    with pytest.raises(ValueError, match=r"broken\.md: the front matter lacks category, url"):
        read_articles(tmp_path)


def test_a_hit_of_a_word_that_is_everywhere_has_a_score_too() -> None:
    index = Index()
    index.fill(
        [Article(f"a{number}", "Orders", "help", "https://example.com", "orders " * (number + 1)) for number in range(9)]
    )
    with closing(index):
        scores = [hit.score for hit in index.search("orders", None, 9)]
    assert len(scores) == 9
    assert all(score > 0 for score in scores)
    assert scores == sorted(scores, reverse=True)
