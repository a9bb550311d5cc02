"""Azurite, Microsoft's emulator of Azure Storage, with its queues."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.queue import TextBase64DecodePolicy, generate_account_sas
from azure.storage.queue.aio import QueueClient

PROGRAM = Path(__file__).parents[2] / "node_modules/azurite/dist/src/queue/main.js"
needs_azurite = pytest.mark.skipif(not PROGRAM.exists() or not shutil.which("node"), reason="npm ci installs Azurite")
# Azurite's own, for everybody: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@asynccontextmanager
async def azurite_queue(name: str) -> AsyncIterator[tuple[str, QueueClient]]:
    """Run Azurite with a queue, and yield the queue's signed address and a client that reads it as the Functions host does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--queueHost", "127.0.0.1", "--queuePort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    process = await asyncio.create_subprocess_exec("node", str(PROGRAM), *options, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            while b"successfully listens" not in (line := await process.stdout.readline()):
                assert line, "Azurite has ended"
        url = f"http://127.0.0.1:{port}/{ACCOUNT}/{name}"
        now = datetime.now(UTC)
        token = generate_account_sas(
            ACCOUNT,
            KEY,
            resource_types="sco",
            permission="rwdlacup",
            start=now - timedelta(hours=1),
            expiry=now + timedelta(hours=1),
        )
        client = QueueClient.from_queue_url(url, credential=KEY, message_decode_policy=TextBase64DecodePolicy(), retry_total=0)
        async with client:
            await client.create_queue()
            yield f"{url}?{token}", client
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
