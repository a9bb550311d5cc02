"""``python -m data_rights export|erase --owner TENANT/USER | --author ID``: an operator exports or erases what an owner has.

For every kind of owner: of an API key, of Entra ID, ``local/local``, and the conversations that own what is written in them
(``bot:<tenant>/<conversation>``). The store is the one that the environment's settings name. Ends with 0, with 1 if the store
failed or an export is not complete, with 2 for arguments or settings that cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from pydantic_core import to_json

from data_rights.author import erase_author, export_author_lines
from data_rights.command import erase_owner, export_owner, write_lines
from errors import ChatError
from identity.azure_credential import AzureCredential
from models import Owner
from observability import logs
from services.open_store import open_store
from settings import SettingsError, load_settings
from stores.contract import ThreadStore


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_rights", description="Export or erase what an owner has.")
    parser.add_argument("what", choices=["export", "erase"])
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--owner", type=_owner, metavar="TENANT/USER")
    whose.add_argument(
        "--author", type=_text, metavar="ID", help="what one person wrote or rated in conversations of several people"
    )
    parser.add_argument("--output", type=Path, help="file of an export; default: the standard output")
    given = parser.parse_args()
    try:
        return asyncio.run(_run(given.what, given.owner, given.author, given.output))
    except SettingsError as error:
        print(f"These settings cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 - a program for people
        return 2
    except (ChatError, OSError) as error:
        reason = error.title if isinstance(error, ChatError) else ": ".join(filter(None, (error.filename, error.strerror)))
        print(f"Not done: {reason}", file=sys.stderr)  # noqa: T201
        return 1


async def _run(what: str, owner: Owner | None, author: str | None, output: Path | None) -> int:
    settings = load_settings()
    logs.install(settings)
    async with AzureCredential() as credential, open_store(settings, credential) as store:
        if owner is None:
            return await _run_author(store, what, author or "", output)
        if what == "erase":
            receipt = await erase_owner(store, owner)
            print(receipt.model_dump_json())  # noqa: T201
            return 0
        return 0 if await export_owner(store, owner, output) else 1


async def _run_author(store: ThreadStore, what: str, author: str, output: Path | None) -> int:
    if what == "erase":
        print(to_json({"author_id": author, "messages": await erase_author(store, author)}).decode())  # noqa: T201
        return 0
    return 0 if await write_lines(await export_author_lines(store, author), output) else 1


def _text(text: str) -> str:
    """Refuse what the shell passes on in no encoding: nobody's name has it, and it can be neither sent nor printed."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError("must be printable UTF-8")
    return text


def _owner(text: str) -> Owner:
    """Read an owner as an argument: a tenant has no slash, a user may have one."""
    tenant, _, user = _text(text).partition("/")
    if not tenant or not user:
        raise argparse.ArgumentTypeError("must be TENANT/USER")
    return Owner(tenant, user)


if __name__ == "__main__":
    sys.exit(main())
