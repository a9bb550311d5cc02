"""The chaos runs' own judgement: what is wrong with a thread or a stream must be found, or a run proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.programs.chaos.events import Reading
from tests.programs.chaos.invariants import check_row, check_thread, check_turn
from tests.programs.chaos.journal import Conversation, Journal
from tests.programs.chaos.plan import Plan

THREAD = "thread_" + "1" * 32
MARK = "mark-" + "1" * 32


def message(seq: int, role: str = "user", **changes: Any) -> dict[str, Any]:
    turn = f"turn_{(seq + 1) // 2}"
    content = f"{MARK} message {seq}" if role == "user" else "hello"
    known = {"id": f"msg_{seq}", "seq": seq, "role": role, "content": content, "status": "completed"}
    return {**known, "turn_id": turn, "tool_calls": [], **changes}


def thread(count: int = 2, preview: str = "hello") -> dict[str, Any]:
    return {"id": THREAD, "message_count": count, "last_message_preview": preview}


def conversation() -> Conversation:
    """Return one with a message that was answered."""
    known = Conversation(THREAD, 0)
    known.ask(1).answers["msg_2"] = message(2, "assistant")
    return known


def kinds(found: Any) -> set[str]:
    return {kind for kind, _ in found}


GOOD = [message(1), message(2, "assistant")]


def test_a_thread_as_it_must_be() -> None:
    assert list(check_thread(conversation(), thread(), GOOD)) == []


@pytest.mark.parametrize(
    ("shown", "messages", "expected"),
    [
        (thread(0), [], "lost"),
        (thread(1, f"{MARK} message 1"), GOOD[:1], "lost"),
        (thread(3), [*GOOD, message(2, "assistant")], "doubled"),
        (thread(3, f"{MARK} message 1"), [*GOOD, message(3, content=f"{MARK} message 1", status="failed")], "doubled"),
        (thread(3), [*GOOD, message(3, "assistant", turn_id="turn_1")], "doubled"),
        (thread(3), GOOD, "wrong"),
        (thread(2, "other"), GOOD, "wrong"),
        (thread(), [message(1, status="running"), GOOD[1]], "stuck"),
        (thread(), [message(1, status="failed"), GOOD[1]], "wrong"),
        (thread(), [GOOD[0], message(2, "assistant", content="hell")], "wrong"),
        (thread(), [GOOD[0], message(2, "assistant", tool_calls=[{"id": "call_1"}])], "wrong"),
        (thread(3, "who?"), [*GOOD, message(3, content="who?", status="failed")], "mixed up"),
    ],
)
def test_what_is_wrong_with_a_thread(shown: dict[str, Any], messages: list[dict[str, Any]], expected: str) -> None:
    assert expected in kinds(check_thread(conversation(), shown, messages))


def test_a_message_that_was_only_accepted_must_be_there_too() -> None:
    known = Conversation(THREAD, 0)
    known.ask(1)
    assert kinds(check_thread(known, thread(0, ""), [])) == set()
    known.asks[0].accepted = True
    assert kinds(check_thread(known, thread(0, ""), [])) == {"lost"}


def test_rows() -> None:
    assert kinds(check_row(thread(), [thread()])) == set()
    assert kinds(check_row(thread(), [])) == {"lost"}
    assert kinds(check_row(thread(), [thread(), thread()])) == {"doubled"}
    assert kinds(check_row(thread(), [thread(1)])) == {"wrong"}


def test_turns() -> None:
    assert kinds(check_turn({"id": "t", "status": "interrupted"}, {"failed"})) == set()
    assert kinds(check_turn({"id": "t", "status": "completed", "message": {}}, {"failed"})) == {"wrong"}
    assert kinds(check_turn({"id": "t", "status": "completed"}, set())) == {"wrong"}
    assert kinds(check_turn({"id": "t", "status": "running"}, set())) == {"stuck"}


def read(*events: tuple[int, str, dict[str, Any]]) -> Reading:
    reading = Reading()
    for id, event_type, data in events:
        reading.add({"id": id, "type": event_type, "turn_id": "turn_1", **data})
    return reading


STARTED: tuple[int, str, dict[str, Any]] = (1, "turn.started", {})
SAID = (2, "message.delta", {"text": "hello"})


def test_events_as_they_must_be() -> None:
    calling = [(3, "tool.started", {"call_id": "a"}), (4, "tool.completed", {"call_id": "a"})]
    whole = message(2, "assistant", tool_calls=[{"id": "a"}])
    assert not read(STARTED, SAID, *calling, (5, "message.completed", {"message": whole})).wrong
    # A process died before it had stored the text.
    assert not read(STARTED, (7, "message.completed", {"message": GOOD[1]})).wrong


@pytest.mark.parametrize(
    "events",
    [
        [STARTED, SAID, SAID],
        [STARTED, (3, "message.delta", {"text": "lo"})],
        [STARTED, (2, "turn.failed", {}), (3, "turn.failed", {})],
        [STARTED, (2, "message.delta", {"text": "hell"}), (3, "message.completed", {"message": GOOD[1]})],
        [STARTED, (2, "tool.completed", {"call_id": "a"})],
        [STARTED, (2, "tool.started", {"call_id": "a"}), (3, "message.completed", {"message": message(2, content="")})],
    ],
)
def test_what_is_wrong_with_events(events: list[tuple[int, str, dict[str, Any]]]) -> None:
    assert read(*events).wrong


def test_what_clients_find() -> None:
    journal, known = Journal(), conversation()
    journal.saw_answer(known, known.asks[0], message(2, "assistant"))
    journal.saw_final(known, "turn_1", "message.completed")
    assert journal.findings == []
    journal.saw_answer(known, known.asks[0], message(2, "assistant", content="other"))
    journal.saw_answer(known, known.asks[0], message(4, "assistant", content="mark-" + "2" * 32))
    journal.saw_final(known, "turn_1", "turn.failed")
    assert [kind for kind, _ in journal.findings] == ["wrong", "mixed up", "doubled", "wrong"]


def test_chance_is_the_same_for_the_same_seed() -> None:
    first, again, other = Plan(1, 1, "sqlite"), Plan(1, 1, "cosmos"), Plan(2, 1, "sqlite")
    assert first.random("model", "hi", 1).random() == again.random("model", "hi", 1).random()
    assert first.random("model", "hi", 1).random() != other.random("model", "hi", 1).random()
    assert first.random("model", "hi", 1).random() != first.random("model", "hi", 2).random()
