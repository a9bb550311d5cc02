"""How telemetry names an owner: by a hash under a key of the deployment.

Who reads spans and logs, but not the key, cannot find out by trying names whose lines they are. Partition keys and receipts in
the store have :attr:`models.Owner.hash` instead, which must stay the same for years.
"""

from __future__ import annotations

import hmac
import secrets

from pydantic_core import to_json

from models import Owner
from settings import Settings

# The process's, as OpenTelemetry's providers are: spans and log lines are made where no settings are at hand.
_key = secrets.token_bytes(32)


def use_key(settings: Settings) -> None:
    """Name owners by ``TELEMETRY_HASH_KEY`` from now on; without one, by a random key that ends with the process."""
    global _key
    if settings.telemetry_hash_key:
        _key = settings.telemetry_hash_key.get_secret_value().encode()


def owner_hash(owner: Owner) -> str:
    """Return the owner as 64 hex digits: HMAC-SHA256 of the JSON list of tenant and user."""
    return hmac.digest(_key, to_json([owner.tenant, owner.user]), "sha256").hex()
