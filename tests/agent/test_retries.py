"""How long a server asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agent.llm.retries import retry_after, wait_before_retry


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("86400", 3600),
        ("inf", 3600),
        ("0", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("-1", None),
        ("nan", None),
        ("soon", None),
    ],
)
def test_what_a_server_says_is_followed(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}.get) == seconds


def test_a_time_of_the_day_is_waited_for_by_the_caller() -> None:
    headers = {"retry-after": format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)}
    waiting = retry_after(headers.get)
    assert waiting is not None
    assert 500 < waiting <= 600
    assert wait_before_retry(429, headers.get, 0) is None


def test_a_server_that_has_no_more_for_today_is_not_asked_again() -> None:
    assert wait_before_retry(429, {"retry-after": "86400"}.get, 0) is None
