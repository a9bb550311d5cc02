"""Logs that hold no message's content, no secret, and no line that a caller has made up.

Whatever logger a line comes from: control characters in it are escaped, and an exception is shown by its types, codes and
places in the code, never by its text, which may quote a request, a prompt or a key.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any

from observability.log_context import bound

# C0, DEL and C1 controls, and what some viewers take for the end of a line.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CODES = ("type", "status_code", "sub_status", "status", "code", "sqlite_errorname", "errno")
# A server's codes are words; anything else that it puts there may quote the request.
CODE = re.compile(r"[\w.-]{1,64}")
MAX_FRAMES = 30
# Their lines below WARNING quote outgoing addresses, requests or arguments, and with them what a user asked for.
NOISY_LOGGERS = ("agent_framework", "aiohttp", "azure", "httpcore", "httpcore2", "httpx", "httpx2", "urllib3")
# The names under which collectors look for an exception.
EXCEPTION_FIELDS = ("exception.type", "exception.stacktrace")


class SafeRecord(logging.LogRecord):
    """A log record whose text is one line, whose exception has no text, and that has the fields of :mod:`log_context`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self).update(bound())
        if self.exc_info and self.exc_info[1]:
            error = self.exc_info[1]
            self.exc_text = self.describe(error)
            self.exc_info = None
            vars(self).update(zip(EXCEPTION_FIELDS, (_name(error), self.exc_text), strict=True))

    @staticmethod
    def describe(error: BaseException) -> str:
        """Return what is shown of an exception."""
        return describe_exception(error)

    def getMessage(self) -> str:  # noqa: N802 - the base class's name
        """Return the text as one line."""
        return clean(super().getMessage())


class DevRecord(SafeRecord):
    """A log record that shows its exception as Python does, text and all."""

    @staticmethod
    def describe(error: BaseException) -> str:
        """Return an exception's traceback."""
        text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode()
        return "\n".join(map(clean, text.splitlines()))


def install(*, exception_texts: bool = False) -> None:
    """Make every log record of this process safe; with ``exception_texts`` (``DEV_MODE``), but for what exceptions say."""
    logging.setLogRecordFactory(DevRecord if exception_texts else SafeRecord)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def clean(text: str) -> str:
    """Escape the control characters in a text."""
    return CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def describe_exception(error: BaseException) -> str:
    """Return an exception and what caused it, the outermost last: types, codes, and where they were raised."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause:
        frames = traceback.extract_tb(cause.__traceback__)[-MAX_FRAMES:]
        places = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        lines = [*places, clean(_name_and_codes(cause)), *lines]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _name_and_codes(error: BaseException) -> str:
    name = _name(error)
    values = ((code, getattr(error, code, None)) for code in CODES)
    codes = [f"{code}={value}" for code, value in values if isinstance(value, int | str) and CODE.fullmatch(str(value))]
    return f"{name} ({', '.join(codes)})" if codes else name
