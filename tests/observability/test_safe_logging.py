"""What the logs show, and what they must never show."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability import safe_logging
from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.server import serve_api

logger = logging.getLogger("some.library")


@pytest.fixture(autouse=True)
def safe() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    safe_logging.install()
    yield
    logging.setLogRecordFactory(before)


def test_a_caller_cannot_make_up_lines(caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("asked for %s", "x\nERROR made up\r\x1b[31m\x85\u2028")
    assert caplog.records[0].getMessage() == "asked for x\\nERROR made up\\r\\x1b[31m\\x85\\u2028"
    assert caplog.text.count("\n") == 1


def test_an_exception_is_its_type_its_code_and_its_place(caplog: pytest.LogCaptureFixture) -> None:
    try:
        try:
            raise OSError(28, "no space for secret")
        except OSError as error:
            raise ValueError("secret") from error
    except ValueError:
        logger.exception("it failed")
    assert "secret" not in caplog.text
    assert "OSError (errno=28)" in caplog.text
    assert "ValueError" in caplog.text
    assert "test_safe_logging.py" in caplog.text
    assert caplog.text.index("OSError") < caplog.text.index("ValueError")


def test_a_developer_sees_the_exception_as_python_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    safe_logging.install(exception_texts=True)
    try:
        raise ValueError("bad\x1b[31m half of \ud83d")
    except ValueError:
        logger.exception("it failed")
    assert "Traceback (most recent call last):\n" in caplog.text
    assert "\nValueError: bad\\x1b[31m half of \\ud83d\n" in caplog.text


async def test_no_content_and_no_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    content, secret, told = "MARKED-CONTENT", "MARKED-SECRET", "MARKED-ANSWER"
    error = {"message": f"{content} is refused", "type": "invalid_request_error", "code": "bad"}
    replies = (
        Reply(text=told),
        Reply(text=told, drop_after_pieces=1),
        Reply(status=400, error=error),
        Reply(body=f'{{"{told}": '.encode()),
        Reply(calls=(Call("calculate", f'{{"expression": "{content}'),)),
        Reply(calls=(Call("no_such_tool", f'{{"{content}": 1}}'),)),
        Reply(text=told),
    )
    async with FakeModel(*replies) as model:
        settings = Settings.model_validate(
            {
                "data_dir": tmp_path,
                "openai_base_url": f"{model.url}/v1",
                "openai_model": "gpt-x",
                "openai_api_key": secret,
            }
        )
        async with serve_api(settings) as api:
            thread = (await api.post("/api/threads", json={"title": content, "metadata": {content: secret}})).json()
            path = f"/api/threads/{thread['id']}/messages"
            for _ in range(8):
                await api.post(path, json={"content": content}, headers={"Idempotency-Key": f"{secret}-{_}"})
            await api.post(path, json={"content": content, content: 1})
            await api.get(f"{path}?after={content}", headers={"X-Request-ID": f"{content} x"})
    assert len(model.requests) >= 8
    assert caplog.records
    for marked in (content, secret, told):
        assert marked not in caplog.text
