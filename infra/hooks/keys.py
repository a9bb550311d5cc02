"""The keys of a deployment: the operator's API keys, one of the hooks' own for the test after it, and the key of telemetry."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from identity.api_keys import make_key
from settings import ApiKey

FIRST_KEY = "first"
# A tenant of its own: the test's key sees nobody's threads.
TEST_NAME = TEST_TENANT = "deploy-test"
TEST_DAYS = 7
_KEYS = TypeAdapter(tuple[ApiKey, ...])


class KeysError(Exception):
    """The keys cannot be used, or must not be made here; the text says why."""


def telemetry_hash_key(values: Mapping[str, str], *, in_pipeline: bool) -> dict[str, str]:
    """Return the key under which telemetry hashes owners, if the environment has none yet.

    A pipeline's environment is new in each run: a key made there would make every owner somebody else in each run.
    """
    if values.get("TELEMETRY_HASH_KEY"):
        return {}
    if in_pipeline:
        print("WARNING: TELEMETRY_HASH_KEY is not set: telemetry of two processes cannot be joined by owner")
        return {}
    return {"TELEMETRY_HASH_KEY": secrets.token_hex(32)}


def updated(values: Mapping[str, str], *, in_pipeline: bool) -> tuple[dict[str, str], str | None]:
    """Return what to keep in the environment, and a first key to show once if nobody could have signed in.

    ``API_KEYS`` is the JSON list of hashes, ``API_KEYS_BASE64`` the same for ``main.parameters.json``, whose JSON would break
    on the quotes. ``CHAT_API_KEY`` is the test's key, for a week.

    :raises KeysError: if the list cannot be read, or a first key would be shown in the log of a pipeline.
    """
    try:
        keys = list(_KEYS.validate_json(values.get("API_KEYS") or "[]"))
    except ValidationError as error:
        raise KeysError("API_KEYS must be a JSON list of {name, tenant, sha256, scopes, expires?}") from error
    shown = None
    if not values.get("ENTRA_TENANT_IDS") and all(key.tenant == TEST_TENANT for key in keys):
        if in_pipeline:
            raise KeysError("API_KEYS is empty, and a first key is not made here: it would stand in the pipeline's log")
        # azd takes brackets in a name, a tenant has none.
        tenant = re.sub(r"[^\w.-]", "-", values["AZURE_ENV_NAME"], flags=re.ASCII)
        shown, first = make_key(FIRST_KEY, tenant, ["chat", "admin"], None)
        keys.append(first)
    changes = {}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    test_keys = [key for key in keys if key.tenant == TEST_TENANT]
    if not values.get("CHAT_API_KEY") or not any(key.expires and key.expires > tomorrow for key in test_keys):
        changes["CHAT_API_KEY"], test_key = make_key(TEST_NAME, TEST_TENANT, ["chat"], TEST_DAYS)
        keys = [*(key for key in keys if key.tenant != TEST_TENANT), test_key]
    text = json.dumps([key.model_dump(mode="json", exclude_none=True) for key in keys], separators=(",", ":"))
    changes |= {"API_KEYS": text, "API_KEYS_BASE64": base64.b64encode(text.encode()).decode()}
    return {name: value for name, value in changes.items() if values.get(name) != value}, shown
