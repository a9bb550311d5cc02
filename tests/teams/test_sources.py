"""Where an answer comes from, as each channel shows it; and how those of a browser stream."""

from __future__ import annotations

import pytest

from models import Citation
from teams.channel_rules import Mode
from tests.fakes import activities
from tests.fakes.connector import Fault, stream_info
from tests.teams.conftest import Turn

RETURNS = Citation(index=1, id="kb-1", title="Returns", url="https://shop.example/returns", snippet="Within 30 days.")


async def test_other_channels_get_the_whole_answer_at_once(turn: Turn) -> None:
    turn.say(0, "In Oslo ").say(6, "it rains.").end(10)
    await turn.show(incoming=activities.web_chat(turn.connector.url, channelId="telegram"), mode=Mode.ONCE, feedback=False)
    assert turn.connector.kinds == ["typing", "typing", "typing", "message"]
    assert turn.connector.texts == ["In Oslo it rains."]
    assert "channelData" not in turn.connector.sent[-1].activity


@pytest.mark.parametrize("mode", [Mode.STREAM, Mode.UPDATE])
async def test_a_source_is_named_with_the_text_that_has_its_mark(turn: Turn, mode: Mode) -> None:
    incoming = activities.message(turn.connector.url)
    if mode is Mode.UPDATE:
        incoming = activities.group_message(turn.connector.url, "hi")
    turn.call(0, "berths", {"query": "x"}).result(0, "berths", [RETURNS.model_dump()])
    turn.say(2, "Thirty days").say(6, " [1].").say(9, " Really.").end(20, citations=[RETURNS])
    await turn.show(mode=mode, incoming=incoming)
    growing = [each.activity for each in turn.connector.sent if each.activity.get("text", "").startswith("Thirty")]
    has_claim = [any("citation" in entity for entity in each.get("entities", ())) for each in growing]
    assert has_claim == ["[1]" in each["text"] for each in growing]
    assert sorted(set(has_claim), reverse=True) == [True, False]


async def test_a_web_chat_streams_for_as_long_as_it_takes_and_has_links(turn: Turn) -> None:
    for second in range(0, 200, 5):
        turn.say(second, f"part{second} ")
    turn.say(200, "[1] [2].")
    other = RETURNS.model_copy(update={"id": "kb-2", "index": 2, "url": None, "title": "Manual"})
    turn.end(201, citations=[RETURNS.model_copy(update={"title": 'Our "Returns"'}), other])
    await turn.show(incoming=activities.web_chat(turn.connector.url), mode=Mode.LIVE, feedback=False, links=True)
    assert set(turn.connector.kinds) == {"streaming", "final"}
    assert len({each.activity["entities"][0]["streamId"] for each in turn.connector.sent}) == 1
    definitions = "[1]: <https://shop.example/returns> \"Our 'Returns'\"\n[2] Manual"
    assert turn.connector.texts == [f"{turn.said}\n\n{definitions}"]


async def test_a_web_chat_that_streams_nothing_gets_the_whole_answer(turn: Turn) -> None:
    turn.connector.fault_of = lambda _, activity: Fault(400) if stream_info(activity) else None
    turn.say(0, "one ").say(3, "two").end(5)
    await turn.show(incoming=activities.web_chat(turn.connector.url), mode=Mode.LIVE, feedback=False)
    assert turn.connector.texts == ["one two"]
