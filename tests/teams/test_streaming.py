"""What goes out to Teams while a turn runs: in which order, at which pace, and whatever the channel answers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from models import Citation
from teams.channel_rules import PACE_SECONDS, Mode, Pacing
from teams.messages import ENGLISH
from tests.fakes import activities
from tests.teams.conftest import Turn, answer
from tools.tool import ToolSpec

RETURNS = Citation(
    index=1, id="kb-1", title="Returns " * 20, url="https://shop.example/returns", snippet="Within 30 days. " * 20
)
MARKED = {
    "type": "https://schema.org/Message",
    "@type": "Message",
    "@context": "https://schema.org",
    "additionalType": ["AIGeneratedContent"],
    "citation": [
        {
            "@type": "Claim",
            "position": 1,
            "appearance": {
                "@type": "DigitalDocument",
                "name": ("Returns " * 20)[:79] + "…",
                "abstract": ("Within 30 days. " * 20)[:159] + "…",
                "url": "https://shop.example/returns",
            },
        }
    ],
    "usageInfo": {"@type": "CreativeWork", "type": "https://schema.org/Message", "name": "General"},
}
TIDE = {"place": "Oslo", "country": "Norway", "height": 2.4, "unit": "m", "state": "rising"}


def bare(activity: dict[str, Any]) -> dict[str, Any]:
    """Return an activity without what every reply has."""
    common = {"inputHint", "from", "recipient", "conversation", "channelId", "serviceUrl", "replyToId", "locale"}
    return {name: value for name, value in activity.items() if name not in common}


async def test_a_turn_in_a_personal_chat(turn: Turn) -> None:
    turn.call(0.1, "search_knowledge_base", {"query": "returns"}).say(2, "You have ").say(3, "30 ").say(3.2, "days [1].")
    turn.end(3.4, citations=[RETURNS])
    await turn.show(sensitivity="General")
    first, second, third = turn.connector.taken
    assert [bare(each.activity) for each in (first, second, third)] == [
        {
            "type": "typing",
            "text": "Searching the knowledge base…",
            "entities": [{"type": "streaminfo", "streamType": "informative", "streamSequence": 1}],
        },
        {
            "type": "typing",
            "text": "You have ",
            "entities": [{"type": "streaminfo", "streamType": "streaming", "streamSequence": 2, "streamId": "s1"}],
        },
        {
            "type": "message",
            "text": "You have 30 days [1].",
            "entities": [
                {"type": "streaminfo", "streamType": "final", "streamId": "s1"},
                MARKED,
            ],
            "channelData": {"feedbackLoop": {"type": "custom"}},
        },
    ]
    assert first.activity["replyToId"].startswith("f:")
    assert first.path.startswith("/v3/conversations/a:1;x@thread/activities/f:")
    assert third.at - 1003.4 <= PACE_SECONDS


async def test_at_most_one_send_in_a_pace_and_the_end_waits_for_no_more_than_that(turn: Turn) -> None:
    for number in range(200):
        turn.say(number / 10, f"word{number} ")
    turn.end(20)
    await turn.show()
    times = [each.at for each in turn.connector.sent]
    assert min(later - earlier for earlier, later in pairwise(times)) >= PACE_SECONDS
    assert times[0] == 1000.0
    assert times[-1] - 1020.0 <= PACE_SECONDS
    assert len(times) >= 13
    assert turn.connector.texts == [turn.said]


async def test_what_the_model_thought_is_not_shown(turn: Turn) -> None:
    turn.think(0.1, "secret one").think(2, "secret two").say(4, "Yes.").end(5)
    await turn.show()
    assert turn.connector.texts == ["Yes."]
    assert "secret" not in str([each.activity for each in turn.connector.sent])


async def test_a_fast_answer_is_one_message(turn: Turn) -> None:
    turn.log.end(answer("12.75"))
    await turn.show()
    assert turn.connector.kinds == ["message"]
    assert turn.connector.texts == ["12.75"]


async def test_somebody_types_until_there_is_something_to_read(turn: Turn) -> None:
    turn.say(10, "Hello").end(30)
    await turn.show()
    assert turn.connector.kinds == ["typing"] * 3 + ["streaming", "final"]
    assert [each.at - 1000 for each in turn.connector.sent] == [3, 6, 9, 10, 30]


async def test_the_tools_are_asked_for_by_turns_that_call_one(turn: Turn) -> None:
    async def never() -> dict[str, ToolSpec]:
        raise AssertionError("a cold agent would be waited for here, in silence")

    await turn.say(10, "Hello").end(30).show(tools=never)
    assert turn.connector.kinds == ["typing"] * 3 + ["streaming", "final"]


async def test_after_a_hundred_seconds_the_message_is_updated(turn: Turn) -> None:
    for number in range(30):
        turn.say(5 * number, f"part{number} ")
    turn.say(147, "[1]").end(150, citations=[RETURNS])
    await turn.show()
    kinds = turn.connector.kinds
    assert kinds.count("final") == 1
    ended = kinds.index("final")
    assert 100 <= turn.connector.sent[ended].at - turn.connector.sent[0].at < 103
    assert set(kinds[:ended]) == {"streaming"}
    assert set(kinds[ended + 1 :]) == {"update"}
    assert {each.status for each in turn.connector.sent} <= {200, 201, 202}
    assert turn.connector.texts == [turn.said]
    assert turn.connector.sent[-1].activity["entities"][0]["citation"][0]["position"] == 1


async def test_a_long_silence_does_not_outlive_the_stream(turn: Turn) -> None:
    turn.call(0, "calculate", {"expression": "1 + 1"}).say(118, "2").end(119)
    await turn.show()
    assert turn.connector.kinds == ["informative", "final", "update", "update"]
    assert turn.connector.texts == ["2"]


async def test_group_chats_get_one_message_that_grows(turn: Turn) -> None:
    group = activities.group_message(turn.connector.url, "hi")
    turn.call(0, "get_tide", {"place": "Oslo"}).result(1, "get_tide", TIDE).say(4, "In Oslo [1] ").say(6, "it rains.")
    turn.end(10, citations=[RETURNS])
    await turn.show(incoming=group, mode=Mode.UPDATE)
    assert turn.connector.kinds == ["typing", "message", "update", "update", "message"]
    text, card = turn.connector.shown.values()
    assert text["text"] == "In Oslo [1] it rains."
    assert text["entities"][-1]["citation"]
    assert "attachments" not in text
    assert "text" not in card
    assert card["attachments"][0]["content"]["body"][0]["text"] == "Oslo, Norway"


async def test_a_card_comes_with_the_answer(turn: Turn) -> None:
    turn.call(0, "get_tide", {"place": "Oslo"}).result(0.5, "get_tide", TIDE)
    turn.call(0.6, "calculate", {"expression": "85 * 0.15"}).result(0.7, "calculate", 12.75)
    turn.say(2, "It rains.").end(3)
    await turn.show()
    tide, tip = turn.connector.sent[-1].activity["attachments"]
    assert tide["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert tide["content"] == {
        "type": "AdaptiveCard",
        "version": "1.5",
        "body": [
            {"type": "TextBlock", "text": "Oslo, Norway", "weight": "Bolder", "wrap": True},
            {"type": "TextBlock", "text": "2.4 m", "size": "ExtraLarge", "wrap": True},
            {"type": "FactSet", "facts": [{"title": "Now", "value": "rising"}]},
        ],
    }
    assert [block["text"] for block in tip["content"]["body"]] == ["85 × 0.15", "= 12.75"]


async def test_a_card_before_the_answer_is_a_message_of_its_own(turn: Turn) -> None:
    turn.say(0, "Let me look.").call(1, "get_tide", {"place": "Oslo"}).result(4, "get_tide", TIDE)
    turn.say(6, "\n\nIt rains.").end(9)
    await turn.show(cards="before_answer")
    assert turn.connector.kinds == ["streaming", "final", "typing", "streaming", "final"]
    first, second = turn.connector.shown.values()
    assert (first["text"], second["text"]) == ("Let me look.", "It rains.")
    assert len(first["attachments"]) == 1
    assert "attachments" not in second
    assert "channelData" not in first


async def test_how_often_and_how_much_is_shown_is_chosen(turn: Turn) -> None:
    for second in range(12):
        turn.say(second, f"{second:03} ")
    turn.end(12.5)
    await turn.show(pacing=Pacing(seconds=3.0, characters=16))
    shown = [each for each in turn.connector.sent if each.kind == "streaming"]
    assert min(later.at - earlier.at for earlier, later in pairwise(shown)) >= 3
    grown = [len(later.activity["text"]) - len(earlier.activity["text"]) for earlier, later in pairwise(shown)]
    assert min(grown) >= 16
    assert turn.connector.texts == [turn.said]


async def test_the_assistant_says_at_once_that_it_begins(turn: Turn) -> None:
    turn.say(5, "one").end(8)
    await turn.show(start="Let me see …")
    first, *_ = turn.connector.sent
    assert (first.kind, first.activity["text"], first.at) == ("informative", "Let me see …", 1000)
    assert turn.connector.texts == ["one"]


async def test_where_nothing_streams_there_is_no_word_of_a_beginning(turn: Turn) -> None:
    turn.say(5, "one").end(8)
    incoming = activities.group_message(turn.connector.url, "hi")
    await turn.show(start="Let me see …", mode=Mode.UPDATE, incoming=incoming)
    assert turn.connector.texts == ["one"]
    assert "Let me see …" not in [each.activity.get("text") for each in turn.connector.sent]


async def test_somebody_who_waits_for_thoughts_reads_that_there_is_work(turn: Turn) -> None:
    turn.think(0.1, "secret").say(10, "Yes.").end(11)
    await turn.show()
    assert turn.connector.kinds[0] == "informative"
    assert turn.connector.sent[0].activity["text"] == ENGLISH["working"]
