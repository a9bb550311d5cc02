"""Runs local.py as a process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running(
    data_dir: Path, root: Path = ROOT, /, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run local.py of a checkout on a free port; yield the process and its banner."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "local.py",
        cwd=root,
        env={**os.environ, "PORT": "0", "DATA_DIR": str(data_dir), **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        banner = await asyncio.wait_for(process.stdout.readuntil(b"stops it.\n"), 30)
        yield process, banner.decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def address_in(banner: str) -> str:
    found = re.search(r"API +(http://127\.0\.0\.1:\d+)/api", banner)
    assert found, banner
    return found[1]
