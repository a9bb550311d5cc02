"""What one person wrote in conversations, exported and erased by the operator (audit M13)."""

from __future__ import annotations

import json

from data_rights.author import erase_author, export_author_lines
from models import Owner, new_id
from stores.contract import ThreadStore
from stores.types import NewMessage
from tests.support.stores import begin, end


async def test_m13_an_author_is_exported_and_erased_across_threads(store: ThreadStore) -> None:
    for name in ("one", "two"):
        owner = Owner("bot:acme", name)
        thread = await store.create_thread(owner, title=None, metadata={})
        for author in ("ann", "bob"):
            new = NewMessage(new_id("turn"), f"{author} asks", {"author_id": author})
            await end(store, await begin(store, thread.id, new, owner=owner), content=f"to {author}")
    lines = [json.loads(line) async for line in export_author_lines(store, "ann")]
    assert [line["message"]["content"] for line in lines[1:-1]] == ["ann asks", "to ann"] * 2
    assert lines[-1] == {"type": "end", "threads": 2, "messages": 4}
    assert await erase_author(store, "ann") == 4
    assert len([line async for line in export_author_lines(store, "ann")]) == 2
    assert len([line async for line in export_author_lines(store, "bob")]) == 6
