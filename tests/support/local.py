"""Runs local.py as a process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running(
    data_dir: Path, root: Path = ROOT, /, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run local.py of a checkout on a free port; yield the process and its banner."""
    async with started(str(root / "local.py"), {"DATA_DIR": str(data_dir), **environment}, folder=root) as process:
        yield process, await read_banner(process)


@asynccontextmanager
async def started(
    program: str, environment: Mapping[str, str], *, folder: Path = ROOT, stderr: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start one of the programs that serve on a free port, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, ROOT / program),
        cwd=folder,
        env={**os.environ, "PORT": "0", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_banner(process: asyncio.subprocess.Process) -> str:
    """Return the banner that comes next."""
    assert process.stdout
    return (await asyncio.wait_for(process.stdout.readuntil(b"stops it.\n"), 30)).decode()


def address_in(banner: str) -> str:
    found = re.search(r"API +(http://127\.0\.0\.1:\d+)/api", banner)
    assert found, banner
    return found[1]
