"""What all records have in common: they are immutable, and described to API callers as they are shown to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, JsonValue, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


def is_none(value: object) -> bool:
    """Tell whether a field is left out of what callers see."""
    return value is None


def is_empty(value: object) -> bool:
    """Tell whether a field is left out of what is stored."""
    return not value


def without_null(schema: dict[str, Any]) -> None:
    """Change the schema of what is absent or has a value to the value's: it is never ``null``."""
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        schema.update(kinds[0])
    elif kinds:
        schema["anyOf"] = kinds


def canonical(value: JsonValue | Mapping[str, JsonValue]) -> JsonValue:
    """Return JSON with the keys of all its objects in order: what is equal is written as equal text."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, list) else value


class Record(BaseModel):
    """An immutable record, shown to API callers as it is."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    @classmethod
    def left_out(cls) -> set[str]:
        """Return the fields that callers do not see where they have no value."""
        return {name for name, field in cls.model_fields.items() if field.exclude_if}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the fields: to generated clients, a default says that a field is always there.

        Of a serializer, pydantic would only say that it makes an object.
        """
        schema = handler({key: value for key, value in core_schema.items() if key != "serialization"})
        described = handler.resolve_ref_schema(schema)
        for name in cls.left_out():
            described["properties"][name].pop("default", None)
            without_null(described["properties"][name])
        described["required"] = [name for name in described.get("required", ()) if name not in cls.left_out()]
        return schema


class ResultOrError(Record):
    """A record that is shown with its ``error`` if it has one, and with its ``result`` (which may be ``null``) if not."""

    @model_serializer(mode="wrap")
    def _one_of_both(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        dumped.pop("result" if dumped.get("error") is not None else "error", None)
        return dumped

    @classmethod
    def left_out(cls) -> set[str]:
        """Return the fields of which callers see one, besides those that have no value."""
        return super().left_out() | {"result", "error"}
