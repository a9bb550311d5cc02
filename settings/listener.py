"""The socket that ``HOST`` and ``PORT`` name."""

from __future__ import annotations

import errno
import socket

from settings.settings import Settings, SettingsError


def open_listener(settings: Settings) -> socket.socket:
    """Open the socket.

    :raises SettingsError: naming the settings, if that is impossible.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host.strip("[]"), settings.port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"PORT: {settings.port} is in use; set PORT to another", variables=["PORT"]) from error
        reason = f"HOST, PORT: {settings.host} {settings.port}: {error.strerror}"
        raise SettingsError(reason, variables=["HOST", "PORT"]) from error
