"""The API on this machine: uvicorn, with the embedded defaults. ``make run`` starts it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from api.app import create_app
from api.deps import services_of
from observability import logs
from services.intervals import GRACE_SECONDS, Intervals
from settings import Assistant, Settings, SettingsError, load_assistant, load_settings, without_credentials
from settings.env_file import read_env_file
from settings.listener import open_listener
from tools.environment import ToolEnvironment
from tools.registry import open_tools


class Server(uvicorn.Server):
    """uvicorn, telling the user what runs where, and the app when it is about to stop."""

    def __init__(self, config: uvicorn.Config, settings: Settings, assistant: Assistant, tools: Sequence[str]) -> None:
        super().__init__(config)
        self._tools = tools
        self._settings = settings
        self._assistant = assistant

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell the addresses."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(banner(self._settings, self._assistant, self._tools, port), flush=True)  # noqa: T201 - the terminal is this program's user interface

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking messages, let the turns that run finish, then close."""
        if self.lifespan.state:
            services_of(self.lifespan.state).turns.stop_accepting()
        await super().shutdown(sockets)


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


async def name_tools(environment: ToolEnvironment) -> list[str]:
    """Open the tools once before anything is served: whoever writes one is told at once what is wrong with it.

    :raises AssistantError: naming the tool.
    """
    async with open_tools(environment) as tools:
        return [tool.__name__ for tool in tools]


def check_host(settings: Settings) -> None:
    """Refuse to serve other machines without sign-in.

    :raises SettingsError: naming ``HOST``.
    """
    if not settings.serves_loopback_only and not settings.auth_configured:
        reason = "is open to other machines, but nobody has to sign in: set API_KEYS or ENTRA_TENANT_IDS, or use 127.0.0.1"
        raise SettingsError(f"HOST: {settings.host} {reason}", variables=["HOST"])


def serve(listener: socket.socket | None = None, *, grace_seconds: int = int(GRACE_SECONDS)) -> int:
    """Serve until a signal comes, on a socket that is open already if there is one; return the exit code."""
    try:
        read_env_file()
        settings = load_settings()
        assistant = load_assistant(settings.assistant_dir)
        tools = asyncio.run(name_tools(ToolEnvironment(settings, assistant)))
        check_host(settings)
        listener = listener or open_listener(settings)
    except SettingsError as error:
        print(f"These settings cannot be used:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    logs.install(settings)
    config = uvicorn.Config(
        create_app(settings, Intervals(grace=grace_seconds)),
        timeout_graceful_shutdown=grace_seconds,
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        log_level="warning",
    )
    server = Server(config, settings, assistant, tools)
    with listener, suppress(KeyboardInterrupt):  # uvicorn raises Ctrl-C again when it has stopped in good order
        server.run([listener])
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(serve())
