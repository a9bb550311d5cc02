"""The sample shop's articles: what is found for what its customers ask."""

from __future__ import annotations

import pytest

from settings import Settings
from tests.assistant.folder import SAMPLE
from tools.environment import ToolEnvironment
from tools.knowledge_base import FOLDER, open_tools, read_articles


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
    async with open_tools(ToolEnvironment(Settings(), SAMPLE)) as [search_knowledge_base]:
        hits = search_knowledge_base(query)
    assert best in (hits[0].id, hits[0].category), hits
    assert 1 <= len(hits) <= 3


def test_the_articles_are_complete_and_differ() -> None:
    articles = read_articles(SAMPLE.folder / FOLDER)
    assert len(articles) >= 15
    assert len({article.id for article in articles}) == len({article.url for article in articles}) == len(articles)
    assert {article.category for article in articles} >= {"orders", "returns", "shipping", "payments", "account", "privacy"}
    for article in articles:
        assert 50 < len(article.text.split()) < 300, article.id
        assert "**" not in article.text
        assert (SAMPLE.folder / FOLDER / f"{article.id}.md").exists()
