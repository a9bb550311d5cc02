"""A model that goes wrong by chance: what it does with a request follows from the seed, the message and how often it came.

Its answers quote the mark of every thread that it has been shown, so that an answer tells if threads were mixed up.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from functools import partial
from typing import Any

from typing_extensions import override

from tests.fakes.model import Call, FakeModel, Reply
from tests.programs.chaos.plan import MODEL_TIMEOUT_SECONDS, Plan

MARK = re.compile(r"mark-[0-9a-f]{32}")
LOOPING = 0.03
FILTERED = {"message": "filtered", "type": "invalid_request_error", "code": "content_filter"}
CALLS = (
    Call("get_tide", '{"place": "Oslo"}'),
    Call("calculate", '{"expression": "6 * 7"}'),
    Call("calculate", '{"expression": "1 / 0"}'),
    Call("search_knowledge_base", '{"query": "password"}'),
)


class ChaosModel(FakeModel):
    """The server."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(Reply())
        self._plan = plan
        self._seen: Counter[str] = Counter()

    @override
    def reply_to(self, request: dict[str, Any]) -> Reply:
        for grown in (self.requests, self.headers, self.paths):
            grown.clear()
        asked = [str(each["content"]) for each in request["messages"] if each["role"] == "user"]
        marks = sorted(set(MARK.findall(json.dumps(request["messages"]))))
        text = f"You said {asked[-1][:80]!r}. I know {' '.join(marks)}."
        if self._plan.calm:
            return Reply(text=text)
        self._seen[asked[-1]] += 1
        chance = self._plan.random("model", asked[-1], self._seen[asked[-1]])
        may_call = bool(request.get("tools")) and request.get("tool_choice") != "none"
        if may_call and self._plan.random("loop", asked[-1]).random() < LOOPING:
            self._plan.inject("model: endless tool loop")
            return Reply(calls=(chance.choice(CALLS),))
        return self._by_chance(chance, text, asked[-1], may_call and request["messages"][-1]["role"] == "user")

    def _by_chance(self, chance: random.Random, text: str, asked: str, may_call: bool) -> Reply:
        dice = chance.random()
        if dice < 0.13:
            return self._failure(chance, text)
        if dice < 0.20:
            self._plan.inject("model: slow first token")
            return Reply(text=text, wait=partial(asyncio.sleep, chance.uniform(0.3, MODEL_TIMEOUT_SECONDS)))
        if dice < 0.35:
            return Reply(text=text, wait_for_piece=partial(asyncio.sleep, chance.uniform(0.01, 0.2)))
        if may_call and dice < 0.50:
            calls = chance.sample(CALLS, chance.randint(1, 3))
            return Reply(calls=tuple(Call(each.name, each.arguments, f"call_{n}") for n, each in enumerate(calls)))
        if may_call and dice < 0.60:
            return self._wrong_call(chance)
        if may_call and dice < 0.80:
            return _acting_call(chance, asked)
        return Reply(text=text)

    def _failure(self, chance: random.Random, text: str) -> Reply:
        kind = chance.choice(("429", "429 for long", "500", "dropped", "cut", "never answers", "filter", "filter at end"))
        self._plan.inject(f"model: {kind}")
        return {
            "429": Reply(status=429, headers={"retry-after-ms": "300"}),
            "429 for long": Reply(status=429, headers={"retry-after": "20"}),
            "500": Reply(status=500),
            "dropped": Reply(drop=True),
            "cut": Reply(text=text, drop_after_pieces=chance.randint(1, 6)),
            "never answers": Reply(wait=partial(asyncio.sleep, 3600)),
            "filter": Reply(status=400, error=FILTERED),
            "filter at end": Reply(text=text, finish_reason="content_filter"),
        }[kind]

    def _wrong_call(self, chance: random.Random) -> Reply:
        kind, call = chance.choice(
            (
                ("model: unknown tool", Call("no_such_tool", "{}")),
                ("model: broken JSON in arguments", Call("calculate", '{"expression": "1 +')),
                ("model: wrong arguments", Call("calculate", '{"expression": 5}')),
                ("tool: exception", Call("misbehave", '{"how": "raise"}')),
                ("tool: timeout", Call("misbehave", '{"how": "hang"}')),
                ("tool: result of 1 MB", Call("misbehave", '{"how": "big"}')),
            )
        )
        self._plan.inject(kind)
        beside = (Call("calculate", '{"expression": "2 + 2"}', "call_2"),) if chance.random() < 0.5 else ()
        return Reply(calls=(call, *beside))


def _acting_call(chance: random.Random, asked: str) -> Reply:
    """Ask for a tool that acts: what it is paid for is the message's own, so a second time can be told from another order."""
    name = chance.choice(("pay", "pay", "note"))
    beside = (Call("calculate", '{"expression": "2 + 2"}', "call_2"),) if chance.random() < 0.5 else ()
    return Reply(calls=(Call(name, json.dumps({"order": asked[-60:]})), *beside))
