"""What is on or near this machine: tools and articles, the SQLite file, Redis, and the clock."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from shlex import quote

import httpx2

from agent.llm.connection import OPENAI_URL
from doctor.findings import Finding
from errors import StoreError
from identity.azure_credential import AzureCredential
from models import utcnow
from quotas.backend import open_quota_backend
from services.open_store import open_store
from settings import AssistantError, Settings, load_assistant, without_credentials
from settings.assistant import FILE
from tools.environment import ToolEnvironment
from tools.registry import open_tools

MAX_SKEW_SECONDS = 5.0
# The address is not spelt out: it may hold a password.
REDIS_COMMAND = 'redis-cli -u "$REDIS_URL" ping'


async def check_assistant(settings: Settings) -> list[Finding]:
    """Read the assistant's folder and open its tools, which read what they need."""
    try:
        assistant = await asyncio.to_thread(load_assistant, settings.assistant_dir)
        async with open_tools(ToolEnvironment(settings, assistant)) as tools:
            names = ", ".join(tool.__name__ for tool in tools)
    except AssistantError as error:
        return [Finding("assistant", str(error), _fix_of(error, settings))]
    return [Finding("assistant", f"{assistant.name} in {settings.assistant_dir}; tools: {names or 'none'}")]


async def check_sqlite(settings: Settings, credential: AzureCredential) -> list[Finding]:
    """Open the file and read from it."""
    file = settings.data_dir / "chat.db"
    try:
        async with open_store(settings, credential) as store:
            await store.ping()
    except StoreError as error:
        # SQLite's sentences, and ours of a newer schema, quote nothing of what is stored.
        return [Finding("SQLite", f"{file} cannot be used: {error.__cause__ or error.title}", sqlite_command(settings))]
    return [Finding("SQLite", f"{file} can be used")]


async def check_redis(settings: Settings, credential: AzureCredential) -> list[Finding]:
    """Ping Redis as the limits do, on a connection that is open already, and measure that."""
    async with open_quota_backend(settings, credential) as counters:
        await counters.ping()
        started = time.perf_counter()
        await counters.ping()
        return [Finding("Redis", f"answers in {(time.perf_counter() - started) * 1000:.1f} ms")]


async def check_clock(settings: Settings, *, seconds: float) -> list[Finding]:
    """Compare this machine's clock with that of the first service that tells the time; leases and tokens rely on it."""
    addresses = [settings.cosmos_endpoint, settings.azure_openai_endpoint, settings.openai_base_url]
    if settings.model_kind == "openai" and not settings.openai_base_url:
        addresses.append(OPENAI_URL)
    async with httpx2.AsyncClient(timeout=seconds) as client:
        for address in filter(None, addresses):
            try:
                told = (await client.get(address)).headers.get("date")
            except httpx2.HTTPError:
                continue
            if told:
                skew = (utcnow() - parsedate_to_datetime(told)).total_seconds()
                text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {without_credentials(address)}"
                problem = abs(skew) > MAX_SKEW_SECONDS
                return [Finding("clock", text, "sudo timedatectl set-ntp true" if problem else None)]
    return [Finding("clock", "not compared: no service here that tells the time")]


def edit_command(settings: Settings, file: Path | None = None) -> str:
    """Return what opens a file, or else the assistant's."""
    return f"${{EDITOR:-vi}} {quote(str(file or settings.assistant_dir / FILE))}"


def _fix_of(error: AssistantError, settings: Settings) -> str:
    if error.variables:
        return "; ".join(f"export {name}=…" for name in error.variables)
    return edit_command(settings, error.file)


def sqlite_command(settings: Settings) -> str:
    """Return what shows more about a file that cannot be used."""
    return f"ls -ld {quote(str(settings.data_dir))} {quote(str(settings.data_dir / 'chat.db'))}"
