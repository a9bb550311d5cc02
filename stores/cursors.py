"""The order of a list of threads, and the opaque cursors that continue it."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime

from errors import InvalidCursor
from models import timestamp


def sort_key(updated_at: datetime, thread_id: str) -> str:
    """Return the text by which threads are listed: last activity, then id, so that no two are equal."""
    return f"{timestamp(updated_at)}/{thread_id}"


def encode_cursor(key: str) -> str:
    """Make the opaque cursor that continues a list of threads behind the row with this sort key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Return the sort key in a cursor.

    :raises InvalidCursor: if it holds none.
    """
    try:
        key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/thread_[0-9a-f]{32}", key):
        raise InvalidCursor
    return key
