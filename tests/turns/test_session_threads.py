"""Turns in threads that callers name by session ids of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from typing_extensions import override

from errors import ThreadNotFound
from models import Owner, Thread, new_id
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage
from tests.fakes.agent import ScriptedAgent, say_hello
from tests.support.scripted_turns import OWNER, turns_of
from turns.thread_reference import ThreadReference


class RacingStore(SqliteStore):
    """Somebody else deletes each thread as soon as it has been looked up, so many times."""

    deletions = 1

    @override
    async def open_session_thread(self, owner: Owner, external_id: str) -> Thread:
        thread = await super().open_session_thread(owner, external_id)
        if self.deletions:
            self.deletions -= 1
            await self.delete_thread(owner, thread.id)
        return thread


async def test_a_session_id_names_a_thread_although_it_was_deleted_at_that_moment(tmp_path: Path) -> None:
    async with RacingStore(tmp_path / "chat.db") as store:
        turns = turns_of(store, ScriptedAgent(say_hello))
        log = await turns.start(OWNER, ThreadReference("mine"), NewMessage(new_id("turn"), "hi", {}), stream=False)
        await log.wait()
        assert (await store.get_thread(OWNER, log.thread_id)).message_count == 2
        with pytest.raises(ThreadNotFound):
            await turns.start(OWNER, ThreadReference(new_id("thread")), NewMessage(new_id("turn"), "hi", {}), stream=False)
