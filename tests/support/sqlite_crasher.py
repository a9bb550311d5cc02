"""Run as a program: does a turn on a SQLite file again and again, each time killed (SIGKILL) before its n-th statement.

The turn answers a message, or goes on with a paused one. For every kill it prints a JSON line with what a fresh store finds
afterwards; it ends with the turn that was not killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import time_machine

from calls import Decider
from models import utcnow
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage
from tests.support.pauses import approve, finish, go_on, open_call, pause
from tests.support.stores import ANN, begin, end, messages

TURN_ID = "turn_" + "1" * 32


async def do_turn(path: Path, thread_id: str, kill_at: int, kind: str) -> None:
    """Do one turn, or die in it."""
    statements = 0

    def count(_: str) -> None:
        nonlocal statements
        statements += 1
        if statements == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    async with SqliteStore(path) as store:
        await store._database._call("trace", lambda: store._database._connection.set_trace_callback(count))
        if kind == "continuation":
            await _go_on(store, thread_id)
            return
        turn = await begin(store, thread_id, NewMessage(TURN_ID, "hi", {}, "key"))
        await end(store, turn)


async def _go_on(store: SqliteStore, thread_id: str) -> None:
    [_, paused] = await messages(store, thread_id)
    turn = await go_on(store, thread_id, approve(paused, key="key"))
    await store.record_calls(turn, [open_call("acts").approved(Decider("ann", utcnow()))])
    await finish(store, turn)


async def look(path: Path, thread_id: str) -> list[tuple[int, str]]:
    """Return what a later process sees, once the lease has expired: the messages, with their calls."""
    async with SqliteStore(path) as store:
        found = await messages(store, thread_id)
        return [(message.seq, " ".join([message.status, *(call.status for call in message.tool_calls)])) for message in found]


async def new_thread(path: Path, kind: str) -> str:
    async with SqliteStore(path) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        if kind == "continuation":
            await pause(store, thread.id)
        return thread.id


def main(path: Path, kind: str) -> None:
    killed = True
    kill_at = 0
    while killed:
        kill_at += 1
        thread_id = asyncio.run(new_thread(path, kind))
        if (child := os.fork()) == 0:
            try:
                asyncio.run(do_turn(path, thread_id, kill_at, kind))
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        assert killed or os.waitstatus_to_exitcode(status) == 0
        with time_machine.travel(utcnow() + timedelta(seconds=31)):
            print(json.dumps({"killed": killed, "found": asyncio.run(look(path, thread_id))}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
