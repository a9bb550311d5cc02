"""API keys: what the setting ``API_KEYS`` holds, and finding the key that a request shows.

``python -m identity NAME TENANT [--scope admin] [--days N]`` makes a new one: the key is shown once, only its hash is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from errors import Unauthenticated
from settings import ApiKey

PREFIX = "chat_"


class ApiKeys:
    """The keys that are known."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), key) for key in keys]

    def find(self, shown: str) -> ApiKey:
        """Return the key that a request shows; takes the same time for every key, known or not.

        :raises Unauthenticated: if it is not known, or has expired.
        """
        digest = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()
        found = None
        for known, key in self._keys:
            if hmac.compare_digest(known, digest):
                found = key
        if found is None:
            raise Unauthenticated("unknown API key")
        if found.expires is not None and found.expires <= datetime.now(UTC):
            raise Unauthenticated(f"API key {found.name} has expired", was_valid=True)
        return found


def make_key(name: str, tenant: str, scopes: Sequence[str], days: int | None) -> tuple[str, ApiKey]:
    """Return a new key, and its entry for ``API_KEYS``."""
    shown = PREFIX + secrets.token_urlsafe(32)
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None
    entry = {"name": name, "tenant": tenant, "scopes": scopes, "expires": expires}
    return shown, ApiKey.model_validate({**entry, "sha256": hashlib.sha256(shown.encode()).hexdigest()})


def main() -> None:
    """Make a key and tell it."""
    parser = argparse.ArgumentParser(description="Make an API key.")
    parser.add_argument("name", help="of the client application, such as web")
    parser.add_argument("tenant", help="whose threads it may see, such as contoso")
    parser.add_argument("--scope", action="append", choices=["chat", "admin"], help="default: chat")
    parser.add_argument("--days", type=int, help="until it expires; default: never")
    given = parser.parse_args()
    shown, entry = make_key(given.name, given.tenant, given.scope or ["chat"], given.days)
    print(f"The key, for the header X-API-Key (it is shown only now):\n  {shown}")  # noqa: T201 - a command's output
    print(f"Its entry in the JSON list API_KEYS:\n  {entry.model_dump_json(exclude_none=True)}")  # noqa: T201
