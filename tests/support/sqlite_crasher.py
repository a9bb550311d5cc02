"""Run as a program: does a turn on a SQLite file again and again, each time killed (SIGKILL) before its n-th statement.

For every kill it prints a JSON line with what a fresh store finds afterwards; it ends with the turn that was not killed.
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

from models import Message, Owner, message_id, utcnow
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage, ReplayedTurn, TurnEnd

OWNER = Owner("acme", "ann")
TURN_ID = "turn_" + "1" * 32


async def do_turn(path: Path, thread_id: str, kill_at: int) -> None:
    """Do one turn, or die in it."""
    statements = 0

    def count(_: str) -> None:
        nonlocal statements
        statements += 1
        if statements == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    async with SqliteStore(path) as store:
        await store._database._call("trace", lambda: store._database._connection.set_trace_callback(count))
        turn = await store.begin_turn(
            OWNER, thread_id, NewMessage(TURN_ID, "hi", {}, "key"), lease_seconds=30, history_limit=10
        )
        assert not isinstance(turn, ReplayedTurn)
        reply = Message(
            id=message_id(thread_id, turn.reply_seq),
            thread_id=thread_id,
            seq=turn.reply_seq,
            role="assistant",
            content="hello",
            timestamp=utcnow(),
            status="completed",
            turn_id=TURN_ID,
        )
        message = turn.message.model_copy(update={"status": "completed"})
        await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))


async def look(path: Path, thread_id: str) -> list[tuple[int, str]]:
    """Return what a later process sees, once the lease has expired."""
    async with SqliteStore(path) as store:
        page = await store.list_messages(OWNER, thread_id, limit=10, after=None, before=None, order="asc")
        return [(message.seq, message.status) for message in page.items]


async def new_thread(path: Path) -> str:
    async with SqliteStore(path) as store:
        return (await store.create_thread(OWNER, title=None, metadata={})).id


def main(path: Path) -> None:
    killed = True
    kill_at = 0
    while killed:
        kill_at += 1
        thread_id = asyncio.run(new_thread(path))
        if (child := os.fork()) == 0:
            try:
                asyncio.run(do_turn(path, thread_id, kill_at))
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        assert killed or os.waitstatus_to_exitcode(status) == 0
        with time_machine.travel(utcnow() + timedelta(seconds=31)):
            print(json.dumps({"killed": killed, "found": asyncio.run(look(path, thread_id))}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
