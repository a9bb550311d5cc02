"""Why no answer of the model's server came, in words for the operator."""

from __future__ import annotations

import errno
import ssl
from typing import Any

import aiohttp
import pytest

from agent.llm.connection import reason_of
from errors import ModelTimeout, ModelUnavailable

KEY: Any = None


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), "no such host"),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")),
            "connection refused",
        ),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "x")), "no route to host"),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")), "no TLS can be spoken with it"),
        (
            aiohttp.ClientProxyConnectionError(KEY, OSError(errno.ECONNREFUSED, "x")),
            "the proxy does not let it through",
        ),
        (aiohttp.ClientHttpProxyError(KEY, (), status=407), "the proxy does not let it through"),
        (aiohttp.ConnectionTimeoutError(), "no answer within 5 seconds"),
        (aiohttp.ServerDisconnectedError(), "the connection was closed"),
        (ValueError("sesame"), None),
    ],
)
def test_a_server_that_cannot_be_reached(cause: Exception, told: str | None) -> None:
    error = ModelUnavailable()
    error.__cause__ = cause
    assert reason_of(error, 60) == told


def test_a_server_that_takes_too_long() -> None:
    assert reason_of(ModelTimeout(), 7.5) == "no answer within 7.5 seconds"
