"""What every log line says about the request and the turn that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default={})  # noqa: B039 - never changed, only replaced


def bind(**fields: str) -> None:
    """Add fields to all lines that the current task logs from now on, and the tasks that it makes."""
    _fields.set({**_fields.get(), **fields})


def bound() -> Mapping[str, str]:
    """Return the fields of the current task."""
    return _fields.get()
