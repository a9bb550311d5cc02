"""The Cosmos DB account of a run: single faults all the time, storms and lagging replicas now and then."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.fakes.cosmos import METADATA, FakeCosmos, Fault
from tests.fakes.cosmos_requests import Logged
from tests.programs.chaos.plan import Plan

WAIT = {"x-ms-retry-after-ms": "50"}
EFFECTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": WAIT},
    "503": {"status": 503},
    "408": {"status": 408},
    "449": {"status": 449},
    "408, yet applied": {"status": 408, "applied": True},
    "503, yet applied": {"status": 503, "applied": True},
    "dropped before the commit": {"drop": "before"},
    "dropped after the commit": {"drop": "after"},
    "no answer in time": {"delay": 11},
    "no answer in time, yet applied": {"delay": 11, "applied": True},
    "slow": {"delay": 0.5},
    "429 in a batch": {"in_batch": True, "status": 429},
}
WEIGHTS = (4, 2, 2, 3, 2, 2, 3, 4, 0.3, 0.3, 4, 4)
USUAL_RATE = 0.04
STORMS = ("429", "503", "503, yet applied", "dropped before the commit", "dropped after the commit", "slow")


class CosmosFaults:
    """Gives the fake account its faults, and tidies it up."""

    def __init__(self, fake: FakeCosmos, plan: Plan) -> None:
        self._fake = fake
        self._plan = plan
        self._chance = plan.random("cosmos")
        self._storm: tuple[str, float] | None = None
        fake.chance = self._fault

    def _fault(self, entry: Logged) -> Fault | None:
        if self._plan.calm or entry.kind in METADATA:
            return None
        if self._storm and self._chance.random() < self._storm[1]:
            return self._made(self._storm[0])
        if self._chance.random() < USUAL_RATE:
            return self._made(self._chance.choices(list(EFFECTS), WEIGHTS)[0])
        return None

    def _made(self, name: str) -> Fault:
        self._plan.inject(f"store: {name}")
        return Fault(None, None, **EFFECTS[name])

    async def disturb(self) -> None:
        """Let storms come and replicas lag until cancelled."""
        try:
            await asyncio.gather(self._storms(self._plan.random("storms")), self._lags(self._plan.random("lags")))
        finally:
            self._storm = None
            for container in self._containers():
                container.catch_up()

    async def _storms(self, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.uniform(2, 12))
            name, rate = chance.choice(STORMS), chance.choice((0.5, 0.9, 1.0))
            self._plan.inject(f"store: storm of {name}")
            self._storm = (name, rate)
            await asyncio.sleep(chance.uniform(0.3, 4))
            self._storm = None

    async def _lags(self, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.uniform(0.2, 3))
            # The log is for tests of single requests: here it would only grow.
            self._fake.log.clear()
            if not (containers := self._containers()):
                # The servers have not made any yet.
                continue
            container = chance.choice(containers)
            self._plan.inject("store: replica lag")
            container.lag()
            await asyncio.sleep(chance.uniform(0.05, 1.5))
            container.catch_up()

    def _containers(self) -> list[Any]:
        return [container for database in self._fake.databases.values() for container in database.values()]
