"""Answers that are longer than a message may be: where they are divided, and that they grow all the same."""

from __future__ import annotations

import random

import pytest

from models import Citation
from teams.channel_rules import MAX_TEXT, Mode
from teams.pieces import CLOSING, divide, fitting
from tests.fakes import activities
from tests.teams.conftest import Turn

RETURNS = Citation(index=1, id="kb-1", title="Returns", url="https://shop.example/returns", snippet="Within 30 days.")


async def test_a_text_that_is_too_long_for_one_message_goes_on_in_the_next(turn: Turn) -> None:
    strings = "".join(f"word{number} " for number in range(4000))
    turn.say(0, strings[: MAX_TEXT + 2000]).say(3, strings[MAX_TEXT + 2000 :]).end(20, citations=[RETURNS])
    await turn.show()
    assert all(len(text) <= MAX_TEXT for text in turn.connector.texts)
    assert "".join(turn.connector.texts).replace(" ", "") == strings.replace(" ", "")
    assert {each.status for each in turn.connector.sent} <= {200, 201, 202}
    *others, last = turn.connector.shown.values()
    assert last["channelData"] == {"feedbackLoop": {"type": "custom"}}
    assert not [each for each in others if "channelData" in each]


async def test_every_piece_of_a_long_answer_says_where_it_is_from_and_that_a_machine_wrote_it(turn: Turn) -> None:
    hits = [RETURNS, RETURNS.model_copy(update={"id": "kb-2", "index": 2})]
    found = [hit.model_dump() for hit in hits]
    turn.call(0, "berths", {"query": "x"}).result(0, "berths", found)
    turn.say(1, "One [1]. " * (MAX_TEXT // 10)).say(9, "Two [2]. " * (MAX_TEXT // 10)).end(20, citations=hits)
    await turn.show(sensitivity="General")
    first, last = turn.connector.shown.values()
    for piece, cited in ((first, [1, 2]), (last, [2])):
        label = next(each for each in piece["entities"] if each["type"] == "https://schema.org/Message")
        assert label["additionalType"] == ["AIGeneratedContent"]
        assert [each["position"] for each in label["citation"]] == cited
        assert label["usageInfo"]["name"] == "General"


async def test_a_text_that_is_too_long_for_one_message_grows_in_the_next(turn: Turn) -> None:
    for second in range(60):
        turn.say(second, f"line {second} ".ljust(1000, ".") + "\n\n")
    turn.end(61)
    await turn.show()
    kinds = [each.kind for each in turn.connector.sent]
    assert kinds.count("final") == len(turn.connector.shown) == 3
    behind_first = kinds[kinds.index("final") + 1 :]
    assert behind_first[: behind_first.index("final")].count("streaming") > 5
    assert {each.status for each in turn.connector.sent} <= {200, 201, 202}
    assert " ".join(turn.connector.texts).split() == turn.said.split()


async def test_a_group_sees_a_long_text_grow_too(turn: Turn) -> None:
    for second in range(50):
        turn.say(second, f"line {second} ".ljust(1000, ".") + "\n\n")
    turn.end(51)
    await turn.show(incoming=activities.group_message(turn.connector.url, "hi"), mode=Mode.UPDATE)
    kinds = [each.kind for each in turn.connector.sent if each.kind != "typing"]
    assert kinds.count("message") == len(turn.connector.shown) == 2
    assert kinds[kinds.index("message", 1) :].count("update") > 5
    assert " ".join(turn.connector.texts).split() == turn.said.split()


async def test_what_takes_two_units_of_utf_16_counts_as_two(turn: Turn) -> None:
    turn.say(0, "\N{GRINNING FACE}" * MAX_TEXT).end(20)
    await turn.show()
    assert "".join(turn.connector.texts) == turn.said
    assert all(len(text.encode("utf-16-le")) <= MAX_TEXT * 2 for text in turn.connector.texts)
    assert {each.status for each in turn.connector.sent} <= {200, 201, 202}


async def test_no_word_is_cut_that_was_streamed(turn: Turn) -> None:
    words = [f"word{number}" for number in range(MAX_TEXT // 4)]
    for start in range(0, len(words), 200):
        turn.say(start / 100, " ".join([*words[start : start + 200], ""]))
    turn.end(len(words) / 100 + 5)
    await turn.show()
    assert [word for text in turn.connector.texts for word in text.split()] == words


async def test_a_long_answer_is_cut_between_paragraphs(turn: Turn) -> None:
    paragraph = "One line of it.\n" * (MAX_TEXT // 64)
    turn.say(0, "\n\n".join([paragraph.strip()] * 6)).end(20)
    await turn.show()
    assert len(turn.connector.texts) > 1
    assert all(len(text) % (len(paragraph) + 1) == len(paragraph) - 1 for text in turn.connector.texts)


async def test_a_code_block_is_not_cut(turn: Turn) -> None:
    code = "```python\n" + "a = 1\n\n" * (MAX_TEXT // 20) + "```"
    turn.say(0, "\n\n".join(["Look:\n" * (MAX_TEXT // 12), code, code, "Done."])).end(20)
    await turn.show()
    assert len(turn.connector.texts) > 1
    assert all(text.count("```") % 2 == 0 for text in turn.connector.texts)


async def test_a_code_block_that_fits_into_no_message_goes_on_as_code(turn: Turn) -> None:
    turn.say(0, "```python\n" + "a = 1\n" * (MAX_TEXT // 3) + "```\n\nDone.").end(20)
    await turn.show()
    assert len(turn.connector.texts) > 1
    assert all(text.count("```") == 2 and text.startswith("```python\n") for text in turn.connector.texts)
    assert "".join(turn.connector.texts).count("a = 1") == MAX_TEXT // 3


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_text_its_pieces_come_to_an_end_and_lose_no_word(seed: int) -> None:
    chance = random.Random(seed)
    parts = ["word ", "\n", "\n\n", "```py\n", "```\n", "x" * 50, "\N{GRINNING FACE}" * 9, "~~~\n", "```" + "z" * 700]
    for _ in range(100):
        text = rest = "".join(chance.choices(parts, k=chance.randint(1, 120)))
        most, pieces = chance.randint(300, 900), list[str]()
        while rest:
            units = fitting(rest, most)
            piece = divide(rest, units // 2, units)
            pieces.append(piece.text)
            assert len(piece.text.encode("utf-16-le")) <= (most + len(CLOSING)) * 2
            behind = piece.rest_of(rest)
            assert len(behind) < len(rest)
            rest = behind
        said = "".join(pieces)
        assert [said.count(each) for each in ("x", "z", "word")] == [text.count(each) for each in ("x", "z", "word")]
