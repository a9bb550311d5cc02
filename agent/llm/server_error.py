"""What a model's server answers when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic_core import from_json


class ServerError(Exception):
    """An answer that is an error: by its status, or (with ``status`` 200) one in the place of an answer or in a stream.

    ``body`` is what was answered, parsed if it is JSON, ``message`` its sentence; ``sent`` the request, ``secret`` what it was
    signed in with.
    """

    def __init__(self, status: int, body: Any, headers: Mapping[str, str], *, sent: bytes = b"", secret: str = "") -> None:
        self.status = status
        self.body = body
        self.message = _message(body)
        super().__init__(f"status {status}: {self.message}")
        self.headers = headers
        self.sent = sent
        self.secret = secret

    @cached_property
    def _error(self) -> dict[str, Any]:
        """The error itself: most servers put it into ``error``."""
        inner = self.body.get("error") if isinstance(self.body, dict) else None
        if isinstance(inner, dict):
            return inner
        return self.body if isinstance(self.body, dict) else {}

    @property
    def code(self) -> str | None:
        """The server's code, if there is one; some put the status there."""
        return _text(self._error.get("code"))

    @property
    def type(self) -> str | None:
        """The kind of error, if it is told."""
        return _text(self._error.get("type"))

    @property
    def param(self) -> str | None:
        """The parameter that is wrong, if it is told."""
        return _text(self._error.get("param"))

    @property
    def inner_code(self) -> str | None:
        """Azure's more exact code, if there is one."""
        inner = self._error.get("innererror")
        return _text(inner.get("code")) if isinstance(inner, dict) else None


def error_in(answer: Any) -> bool:
    """Tell whether a server has put an error in the place of an answer, or of a piece of one."""
    if not isinstance(answer, dict) or answer.get("choices") or (answer.get("output") and not answer.get("error")):
        return False
    return bool(answer.get("error")) or answer.get("object") == "error"


def _message(body: object) -> str:
    """Return the sentence in an error's body: each kind of server puts it elsewhere, and some into the error itself."""
    if isinstance(body, str):
        # A page of a gateway in between tells nothing in a line.
        return "" if body.lstrip().startswith("<") else _message_within(body)
    if isinstance(body, list) and body:
        return _message(body[0])
    if isinstance(body, dict):
        for name in ("message", "msg", "detail", "error", "errors"):
            if isinstance(value := body.get(name), str | dict | list) and value:
                return _message(value)
    return ""


def _message_within(text: str) -> str:
    """Return the sentence of an error that a gateway has put as JSON into its own; or the text as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return _message(from_json(text)) or text
    except ValueError:
        return text


def _text(value: object) -> str | None:
    return None if value is None else str(value)
