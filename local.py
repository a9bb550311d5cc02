"""The API on this machine: uvicorn, with the embedded defaults. ``make run`` starts it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from api.health import EarlyHealth
from observability import logs
from services.collector import freeze_what_stays
from services.intervals import GRACE_SECONDS, Intervals
from settings import Assistant, Settings, SettingsError, load_assistant, load_settings, without_credentials
from settings.env_file import read_env_file
from settings.listener import open_listener

if TYPE_CHECKING:
    from api.health import OpenApp


class Server(uvicorn.Server):
    """uvicorn, which tells the user what runs where once the app is open, ends if it cannot be, and tells it of its own end."""

    def __init__(self, config: uvicorn.Config, app: EarlyHealth, settings: Settings, assistant: Assistant) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._app = app
        self._settings = settings
        self._assistant = assistant

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; the rest follows."""
        await super().startup(sockets)
        self._opening = asyncio.create_task(self._tell_when_open())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking messages, let the turns that run finish, then close."""
        if self._opening.done() and not self.exit_code:
            (await self._app.services()).turns.stop_accepting()
        await super().shutdown(sockets)
        self._opening.cancel()

    async def _tell_when_open(self) -> None:
        try:
            tools = await (await self._app.services()).tools()
        except SettingsError as error:
            self.exit_code = refuse(error)
        except Exception:  # noqa: BLE001 - it is logged where it has failed
            self.exit_code = 3
        else:
            freeze_what_stays()
            port = self.servers[0].sockets[0].getsockname()[1]
            print(banner(self._settings, self._assistant, tuple(tools), port), flush=True)  # noqa: T201 - the terminal is this program's user interface
            return
        self.should_exit = True


def banner(settings: Settings, assistant: Assistant, tools: Sequence[str], port: int) -> str:
    """Return what the user sees at start: where the data lives, which model answers with which tools, and what to open."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}"
    model = {
        "azure": f"{settings.azure_openai_model} on {without_credentials(settings.azure_openai_endpoint or '')}",
        "openai": f"{settings.openai_model} on {without_credentials(settings.openai_base_url or 'OpenAI')}",
        "offline": "offline (answers by rules; set OPENAI_API_KEY or AZURE_OPENAI_ENDPOINT for a real one)",
    }[settings.model_kind]
    data = without_credentials(settings.cosmos_endpoint or "") or (settings.data_dir / "chat.db").resolve()
    return "\n".join(
        [
            f"{assistant.name} is running",
            f"  data     {data}",
            f"  model    {model}",
            f"  tools    {', '.join(tools) or 'none'}",
            *(["  mode     development: the texts of exceptions are shown"] if settings.dev_mode else []),
            f"  chat     {address}",
            f"  API      {address}/api",
            f"  docs     {address}/api/docs",
            "Ctrl-C stops it.",
        ]
    )


def check_host(settings: Settings) -> None:
    """Refuse to serve other machines without sign-in.

    :raises SettingsError: naming ``HOST``.
    """
    if not settings.serves_loopback_only and not settings.auth_configured:
        reason = "is open to other machines, but nobody has to sign in: set API_KEYS or ENTRA_TENANT_IDS, or use 127.0.0.1"
        raise SettingsError(f"HOST: {settings.host} {reason}", variables=["HOST"])


def refuse(error: SettingsError) -> int:
    """Tell what is wrong with the settings, or the assistant; return the exit code."""
    print(f"These settings cannot be used:\n{error}", file=sys.stderr)  # noqa: T201
    return 2


def load_app(settings: Settings, grace_seconds: int) -> AbstractAsyncContextManager[OpenApp]:
    """Import the API, and return what opens it."""
    from api.app import create_app

    app = create_app(settings, Intervals(grace=grace_seconds))

    @asynccontextmanager
    async def opening() -> AsyncIterator[OpenApp]:
        async with app.router.lifespan_context(app) as state:
            yield app, state or {}

    return opening()


def serve(listener: socket.socket | None = None, *, grace_seconds: int = int(GRACE_SECONDS)) -> int:
    """Serve until a signal comes, on a socket that is open already if there is one; return the exit code."""
    try:
        read_env_file()
        settings = load_settings()
        assistant = load_assistant(settings.assistant_dir)
        check_host(settings)
        listener = listener or open_listener(settings)
    except SettingsError as error:
        return refuse(error)
    logs.install(settings)
    app = EarlyHealth(partial(load_app, settings, grace_seconds))
    config = uvicorn.Config(
        app,
        ws="none",
        timeout_graceful_shutdown=grace_seconds,
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        log_level="warning",
    )
    server = Server(config, app, settings, assistant)
    with listener, suppress(KeyboardInterrupt):  # uvicorn raises Ctrl-C again when it has stopped in good order
        server.run([listener])
    return server.exit_code


if __name__ == "__main__":
    sys.exit(serve())
