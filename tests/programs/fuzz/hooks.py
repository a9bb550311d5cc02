"""What the fuzzer does not send: metadata that is too large or too deep, which a schema cannot say."""

from __future__ import annotations

from typing import Any

import schemathesis
from pydantic_core import PydanticSerializationError, to_json
from schemathesis import HookContext

from api.fields import METADATA_MAX_BYTES, METADATA_MAX_DEPTH


@schemathesis.hook
def filter_body(context: HookContext, body: Any) -> bool:
    """Tell whether a body may be sent."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    try:
        return _depth(metadata) <= METADATA_MAX_DEPTH and len(to_json(metadata)) <= METADATA_MAX_BYTES
    except (PydanticSerializationError, UnicodeError):
        return True


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner)) if inner else 0
