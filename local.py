"""The API on this machine: uvicorn, with the embedded defaults. ``make run`` starts it."""

from __future__ import annotations

import socket
import sys

import uvicorn

from api.app import create_app
from api.deps import services_of
from observability import logs
from services.intervals import GRACE_SECONDS
from settings import Settings, SettingsError, load_settings, without_credentials


class Server(uvicorn.Server):
    """uvicorn, telling the user what runs where, and the app when it is about to stop."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell the addresses."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(banner(self._settings, port), flush=True)  # noqa: T201 - the terminal is this program's user interface

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking messages, let the turns that run finish, then close."""
        if self.lifespan.state:
            services_of(self.lifespan.state).turns.stop_accepting()
        await super().shutdown(sockets)


def banner(settings: Settings, port: int) -> str:
    """Return what the user sees at start: where the data lives, which model and weather answer, and what to open."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}"
    model = {
        "azure": f"{settings.azure_openai_model} on {without_credentials(settings.azure_openai_endpoint or '')}",
        "openai": f"{settings.openai_model} on {without_credentials(settings.openai_base_url or 'OpenAI')}",
        "offline": "offline (answers by rules; set OPENAI_API_KEY or AZURE_OPENAI_ENDPOINT for a real one)",
    }[settings.model_kind]
    weather = {"open-meteo": "Open-Meteo", "sample": "sample data (made up)"}[settings.weather_source]
    data = without_credentials(settings.cosmos_endpoint or "") or (settings.data_dir / "chat.db").resolve()
    return "\n".join(
        [
            "Agent chat API is running",
            f"  data     {data}",
            f"  model    {model}",
            f"  weather  {weather}",
            f"  chat     {address}",
            f"  API      {address}/api",
            f"  docs     {address}/api/docs",
            "Ctrl-C stops it.",
        ]
    )


def main() -> int:
    """Serve until a signal comes; return the exit code."""
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"These settings cannot be used:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    if not settings.serves_loopback_only and not settings.auth_configured:
        reason = "is open to other machines, but nobody has to sign in: set API_KEYS or ENTRA_TENANT_IDS, or use 127.0.0.1"
        print(f"HOST: {settings.host} {reason}", file=sys.stderr)  # noqa: T201
        return 2
    logs.install(settings)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=int(GRACE_SECONDS),
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        log_level="warning",
    )
    server = Server(config, settings)
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
