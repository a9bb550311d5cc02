"""The SQLite file of a run: locked by somebody else, and on a disk that is full, now and then."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

from tests.programs.chaos.plan import Plan

DISK = "768m"


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Leave no free byte on the folder's disk meanwhile."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb") as file:
            size, free = 0, 1
            while free:
                disk = os.statvfs(folder)
                free = disk.f_bavail * disk.f_frsize
                with suppress(OSError):  # somebody else was quicker: what is left then?
                    os.posix_fallocate(file.fileno(), size, free)
                size = file.seek(0, os.SEEK_END)
        yield
    finally:
        ballast.unlink(missing_ok=True)


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[bool]:
    """Make the folder a small disk of its own, where this machine lets us; tell whether it is one."""
    os.mkdir(folder)  # noqa: PTH102 - nothing else runs yet
    mounted = os.geteuid() == 0 and await _run("mount", "-t", "tmpfs", "-o", f"size={DISK}", "chaos", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            await _run("umount", "-l", str(folder))


async def _run(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    devnull = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=devnull, stderr=devnull)
    return await process.wait() == 0


async def disturb(folder: Path, plan: Plan, *, own_disk: bool) -> None:
    """Lock the file and fill the disk until cancelled."""
    chance = plan.random("sqlite")
    while True:
        await asyncio.sleep(chance.uniform(1, 6))
        seconds = chance.uniform(0.1, 3) if chance.random() < 0.8 else chance.uniform(5, 7)
        if own_disk and chance.random() < 0.5:
            plan.inject("store: full disk")
            with full_disk(folder):
                await asyncio.sleep(min(seconds, 4))
        else:
            plan.inject("store: locked database")
            with closing(sqlite3.connect(folder / "chat.db", isolation_level=None, timeout=0)) as db:
                with suppress(sqlite3.OperationalError):
                    db.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(seconds)
