"""What an operator does with an owner's data, from beginning to end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from data_rights.eraser import Eraser
from data_rights.export import export_lines
from errors import StoreUnavailable
from models import Erasure, Owner
from stores.contract import ThreadStore

POLL_SECONDS = 0.5
END = b'{"type":"end"'


async def export_owner(store: ThreadStore, owner: Owner, output: Path | None) -> bool:
    """Write an owner's export to a file, or to the standard output; return whether it is complete.

    :raises ChatError: before the first line, if the store does not answer.
    :raises OSError: if the file cannot be written.
    """
    return await write_lines(await export_lines(store, owner, None), output)


async def write_lines(lines: AsyncIterator[bytes], output: Path | None) -> bool:
    """Write an export's lines to a file, or to the standard output; return whether it is complete."""
    line = b""
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(_open_private(output)) if output else sys.stdout.buffer
        async for line in lines:
            await asyncio.to_thread(file.write, line)
        await asyncio.to_thread(file.flush)
    return line.startswith(END)


def _open_private(path: Path) -> BinaryIO:
    """Open a file to write, which nobody else may read if it is new."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


async def erase_owner(store: ThreadStore, owner: Owner, *, poll_seconds: float = POLL_SECONDS) -> Erasure:
    """Erase everything that an owner has, and return the receipt.

    :raises ChatError: if the store does not answer when it begins; later it is tried again until it does.
    """
    async with Eraser(store) as eraser:
        erasure = await eraser.begin(owner)
        while erasure.status == "running":
            await asyncio.sleep(poll_seconds)
            with suppress(StoreUnavailable):
                erasure = await store.get_erasure(owner, erasure.id)
    return erasure
