"""What the model is shown of exchanges whose texts were erased (audit M13)."""

from __future__ import annotations

from models import Message
from tests.support.stores import some_messages
from turns.history import fit_history


def test_m13_the_model_is_shown_nothing_of_an_erased_exchange() -> None:
    turns = ["turn_" + str(number) * 32 for number in (1, 1, 2, 2)]
    history: list[Message] = [
        each.model_copy(update={"turn_id": turn})
        for each, turn in zip(some_messages("thread_" + "0" * 32, 4), turns, strict=True)
    ]
    history[:2] = [message.erased() for message in history[:2]]
    assert [message.seq for message in fit_history(history, 1000)] == [3, 4]
