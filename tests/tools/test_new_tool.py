"""A tool is one file and one line: what is known of it is offered, called and shown everywhere without another word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from settings import Settings
from teams.cards import card_of
from tests.support.parcels import open_parcels, track_parcel
from tests.support.server import serve_api
from tools.tool import fill, spec_of

RESULT = {"number": "P7", "place": "Oslo (long)", "days": 2.0, "carrier": None}


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    monkeypatch.setattr("tools.registry.open_tools", open_parcels)
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        yield api


async def test_it_is_offered_and_called(api: httpx2.AsyncClient) -> None:
    [shown] = (await api.get("/api/tools")).json()["tools"]
    assert (shown["name"], shown["title"], shown["icon"]) == ("track_parcel", {"en": "Parcel", "de": "Paket"}, "book")
    answer = (await api.post("/api/invoke", json={"user_input": "Where is P7?"})).json()
    [call] = answer["tool_calls"]
    assert (call["tool"], call["arguments"], call["result"]) == ("track_parcel", {"number": "P7"}, RESULT)
    assert answer["final_answer"] == "P7 is in Oslo (long)."
    assert "I can track parcels" in (await api.post("/api/invoke", json={"user_input": "Hello"})).json()["final_answer"]


async def test_a_callers_preference_fills_the_parameter_that_it_declares(api: httpx2.AsyncClient) -> None:
    thread = (await api.post("/api/threads", json={})).json()["id"]
    body = {"content": "Where is P7?", "metadata": {"detail": "short", "number": "P9"}}
    answer = (await api.post(f"/api/threads/{thread}/messages", json=body)).json()
    assert answer["tool_calls"][0]["arguments"] == {"number": "P7", "detail": "short"}


@pytest.mark.parametrize(("language", "label"), [("en", "Number"), ("de", "Nummer"), ("fr", "Number")])
def test_it_has_a_card(language: str, label: str) -> None:
    card = card_of(spec_of(track_parcel).view, {"number": "P7"}, RESULT, language)
    assert card
    assert card.title == "Oslo (long)"
    content: Any = card.attachment.content
    title, headline, facts = content["body"]
    assert (title["text"], headline["text"]) == ("Oslo (long)", "2 days")
    assert facts["facts"] == [{"title": label, "value": "P7"}]


def test_a_plain_function_is_shown_by_its_name() -> None:
    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    view = spec_of(look_up).view
    assert (view.title, view.icon, view.result) == ({"en": "look_up"}, "wrench", None)
    assert card_of(view, {"word": "x"}, "x", "en") is None


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{number} in {place}", "P7 in Oslo (long)"),
        ("{days} d", "2 d"),
        ("{carrier}", None),
        ("{weight}", None),
        ("{", "{"),
        ("100 } {}", "100 } {}"),
        ("{number.__class__} {number[0]} {days:.1f} {number!r}", "{number.__class__} {number[0]} {days:.1f} {number!r}"),
    ],
)
def test_braces_around_anything_but_a_field_are_text(template: str, filled: str | None) -> None:
    """As on the page: else a channel could not render the turn."""
    assert fill(template, {"number": "P7"}, RESULT) == filled
