"""``python -m doctor``: check everything, print what was found, exit with 1 if anything is wrong."""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial

from doctor.azure import SIGNED_IN_USER, check_identity
from doctor.findings import Deadlines, Finding, run_check
from doctor.machine import REDIS_COMMAND, check_assistant, check_clock, check_redis, check_sqlite, edit_command, sqlite_command
from doctor.model_fixes import model_command
from identity.azure_credential import AzureCredential
from settings import Settings, SettingsError, load_settings, without_credentials


async def diagnose(
    settings: Settings,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - immutable
) -> list[Finding]:
    """Return all findings, in the order in which they are worth reading."""
    async with AzureCredential() as credential:
        return await _diagnose(settings, deadlines, credential)


async def _diagnose(settings: Settings, deadlines: Deadlines, credential: AzureCredential) -> list[Finding]:
    principal = SIGNED_IN_USER

    async def identity() -> list[Finding]:
        nonlocal principal
        findings, principal = await check_identity(settings)
        return findings

    async def store() -> list[Finding]:
        if settings.cosmos_endpoint is None:
            return await check_sqlite(settings, credential)
        from doctor.cosmos_db import CosmosDoctor

        return await CosmosDoctor(settings.cosmos_endpoint, settings, credential, principal).check()

    async def model() -> list[Finding]:
        from doctor.model import ModelDoctor

        return await ModelDoctor(settings, credential, principal).check()

    run = partial(run_check, seconds=deadlines.check)
    first = await run("identity", identity, fix="az login")
    checks = [
        run("store", store, fix=sqlite_command(settings) if settings.cosmos_endpoint is None else "az login"),
        run("model", model, fix=model_command(settings)),
        run("assistant", lambda: check_assistant(settings), fix=edit_command(settings)),
        run("clock", lambda: check_clock(settings, seconds=deadlines.clock), fix="timedatectl"),
    ]
    if settings.redis_url:
        checks.append(run("Redis", lambda: check_redis(settings, credential), fix=REDIS_COMMAND))
    return [_about(settings), *first, *(finding for found in await asyncio.gather(*checks) for finding in found)]


def _about(settings: Settings) -> Finding:
    store = without_credentials(settings.cosmos_endpoint or "") or settings.data_dir / "chat.db"
    callers = "callers sign in" if settings.auth_configured else "this machine only"
    return Finding("settings", f"model {settings.model_name} ({settings.model_kind}), store {store}, {callers}")


def main() -> int:
    """Check, print, and return the exit code."""
    # The libraries' own words come without order, and may hold more than should be shown.
    logging.disable()
    try:
        settings = load_settings()
    except SettingsError as error:
        fix = "see docs/configuration.md"
        findings = [Finding("settings", line, fix) for line in str(error).splitlines()]
    else:
        findings = asyncio.run(diagnose(settings))
    problems = sum(finding.fix is not None for finding in findings)
    print(*findings, f"Problems: {problems}", sep="\n")  # noqa: T201 - this program's purpose
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
