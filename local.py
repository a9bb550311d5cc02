"""The API on this machine: uvicorn, with the embedded defaults. ``make run`` starts it."""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app
from api.deps import services_of
from errors import StoreError
from observability import logs, spans
from services.services import GRACE_SECONDS
from settings import Settings, SettingsError, load_settings, without_credentials

logger = logging.getLogger(__name__)


class QuietLifespan:
    """Keeps the text of the exception that ends a start from uvicorn, which would log it: it may quote a setting."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app; log the type of what ends its lifespan, and the setting that it belongs to."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_without_text(message: Message) -> None:
            await send({key: value for key, value in message.items() if key != "message"})

        try:
            await self._app(scope, receive, send_without_text)
        except Exception as error:
            store = "COSMOS_ENDPOINT" if self._settings.cosmos_endpoint else "DATA_DIR"
            setting = f" ({store})" if isinstance(error, StoreError) else ""
            logger.exception("the app cannot run: %s%s", spans.error_type(error), setting)
            raise


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
    address_of_model = without_credentials(settings.azure_openai_endpoint or settings.openai_base_url or "")
    model = {
        "azure": f"{settings.azure_openai_model} on {address_of_model}",
        "openai": f"{settings.openai_model} on {address_of_model or 'OpenAI'}",
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
        QuietLifespan(create_app(settings), settings),
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
