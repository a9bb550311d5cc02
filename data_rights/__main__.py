"""``python -m data_rights export|erase --owner TENANT/USER``: an operator exports or erases what an owner has.

For every kind of owner: of an API key, of Entra ID, ``local/local``, and the conversations that own what is written in them
(``bot:<tenant>/<conversation>``). The store is the one that the environment's settings name. Ends with 0, with 1 if the store
failed or an export is not complete, with 2 for arguments or settings that cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from data_rights.command import erase_owner, export_owner
from errors import ChatError
from identity.azure_credential import AzureCredential
from models import Owner
from observability import logs
from services.open_store import open_store
from settings import SettingsError, load_settings


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_rights", description="Export or erase what an owner has.")
    parser.add_argument("what", choices=["export", "erase"])
    parser.add_argument("--owner", type=_owner, required=True, metavar="TENANT/USER")
    parser.add_argument("--output", type=Path, help="file of an export; default: the standard output")
    given = parser.parse_args()
    try:
        return asyncio.run(_run(given.what, given.owner, given.output))
    except SettingsError as error:
        print(f"These settings cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 - a program for people
        return 2
    except (ChatError, OSError) as error:
        reason = error.title if isinstance(error, ChatError) else f"{error.filename}: {error.strerror}"
        print(f"Not done: {reason}", file=sys.stderr)  # noqa: T201
        return 1


async def _run(what: str, owner: Owner, output: Path | None) -> int:
    settings = load_settings()
    logs.install(settings)
    async with AzureCredential() as credential, open_store(settings, credential) as store:
        if what == "erase":
            receipt = await erase_owner(store, owner)
            print(receipt.model_dump_json())  # noqa: T201
            return 0
        return 0 if await export_owner(store, owner, output) else 1


def _owner(text: str) -> Owner:
    """Read an owner as an argument: a tenant has no slash, a user may have one."""
    tenant, _, user = text.partition("/")
    if not tenant or not user:
        raise argparse.ArgumentTypeError("must be TENANT/USER")
    return Owner(tenant, user)


if __name__ == "__main__":
    sys.exit(main())
