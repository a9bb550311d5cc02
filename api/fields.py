"""Text and metadata that callers send: what is refused, and how the OpenAPI document says so."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue
from pydantic_core import to_json

from models import Metadata

METADATA_MAX_KEYS = 16
METADATA_MAX_BYTES = 4096
METADATA_MAX_DEPTH = 8
# What every JSON reader keeps exactly (RFC 8259, section 6).
SAFE_NUMBER = 2**53 - 1
WITHOUT_NUL = r"^[^\u0000]*$"
# What Python takes for white space is more than what \s is in a JSON schema.
NOT_BLANK_WITHOUT_NUL = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"
METADATA_VALUE = "MetadataValue"
METADATA_VALUE_REF = f"#/components/schemas/{METADATA_VALUE}"
METADATA_VALUE_SCHEMA: dict[str, Any] = {
    "title": METADATA_VALUE,
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number", "minimum": -SAFE_NUMBER, "maximum": SAFE_NUMBER},
        {"type": "string", "pattern": WITHOUT_NUL},
        # Of the same, to any depth; generators of clients stumble over a schema that refers to itself.
        {"type": "array", "items": {}},
        {"type": "object", "propertyNames": {"pattern": WITHOUT_NUL}, "additionalProperties": {}},
    ],
}


def not_blank(text: str) -> str:
    """Refuse a text of white space only."""
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def without_nul(text: str) -> str:
    """Refuse NUL, which no store keeps alike."""
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _true_or_false(value: Any) -> Any:
    """Take what the OpenAPI document says, not every word that could mean the same."""
    if value not in ("true", "false", True, False):
        raise ValueError("must be true or false")
    return value


TrueOrFalse = Annotated[bool, BeforeValidator(_true_or_false)]


def _small(metadata: Metadata) -> Metadata:
    if len(metadata) > METADATA_MAX_KEYS:
        raise ValueError(f"must have at most {METADATA_MAX_KEYS} keys")
    check_value(metadata, METADATA_MAX_DEPTH)
    if len(to_json(metadata)) > METADATA_MAX_BYTES:
        raise ValueError(f"must be at most {METADATA_MAX_BYTES} bytes of JSON")
    return metadata


def check_value(value: JsonValue, depth: int) -> None:
    """Refuse JSON that is nested deeper than ``depth`` levels, and what no store or reader keeps as it is."""
    if depth < 0:
        raise ValueError("is nested too deeply")
    if isinstance(value, str):
        without_nul(value)
    elif isinstance(value, int | float) and abs(value) > SAFE_NUMBER:
        raise ValueError("must not contain numbers beyond 2^53 - 1")
    elif isinstance(value, list):
        for item in value:
            check_value(item, depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            without_nul(key)
            check_value(item, depth - 1)


SmallMetadata = Annotated[
    Metadata,
    AfterValidator(_small),
    Field(
        description=f"The caller's own data: at most {METADATA_MAX_KEYS} keys and {METADATA_MAX_BYTES} bytes.",
        json_schema_extra={
            "maxProperties": METADATA_MAX_KEYS,
            "propertyNames": {"pattern": WITHOUT_NUL},
            "additionalProperties": {"$ref": METADATA_VALUE_REF},
        },
    ),
]
