"""The way out: the SDK's adapter, with connections that are kept and a token that goes nowhere but to a channel's host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
from microsoft_agents.hosting.core import (
    ChannelServiceAdapter,
    ChannelServiceClientFactoryBase,
    ClaimsIdentity,
    ConnectorClient,
    TurnContext,
    UserTokenClient,
)
from yarl import URL

from settings import Settings
from teams.tokens import is_service_url

SCOPE = "https://api.botframework.com/.default"
CONNECT_SECONDS = 5.0
SEND_SECONDS = 15.0
TokenSource = Callable[[], Awaitable[str]]


class TokenUnavailable(aiohttp.ClientError):
    """The bot's own token cannot be had; a request that was not sent for it may be, later."""


class ConnectorFactory(ChannelServiceClientFactoryBase):
    """Makes the clients of a turn; all share one pool of connections."""

    def __init__(self, settings: Settings, pool: aiohttp.TCPConnector, token: TokenSource) -> None:
        self._settings = settings
        self._pool = pool
        self._token = token

    async def create_connector_client(  # the SDK decides what it is given
        self,
        context: Any,  # noqa: ARG002
        claims_identity: Any,  # noqa: ARG002
        service_url: str,
        *_: Any,
    ) -> ConnectorClient:
        """Return a client that sends to a service URL.

        :raises PermissionError: if the bot's token must not go there.
        """
        if not is_service_url(service_url, self._settings):
            raise PermissionError("the service URL is not one of a channel")
        session = aiohttp.ClientSession(
            middlewares=(partial(self._authorize, URL(service_url).origin()),),
            base_url=service_url.rstrip("/") + "/",
            connector=self._pool,
            connector_owner=False,
            timeout=aiohttp.ClientTimeout(total=SEND_SECONDS, sock_connect=CONNECT_SECONDS),
        )
        try:
            return ConnectorClient(service_url, "", session=session)
        except BaseException:
            await session.close()
            raise

    async def _authorize(
        self, origin: URL, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with the token of this moment, as a turn may outlast one; what is redirected goes without.

        :raises TokenUnavailable: if there is none to be had.
        """
        try:
            token = await self._token()
        except Exception as error:  # whatever azure-identity meets on its way
            raise TokenUnavailable from error
        if token and request.url.origin() == origin:
            request.headers["Authorization"] = f"Bearer {token}"
        return await send(request)

    async def create_user_token_client(self, *_: Any) -> UserTokenClient:
        """Return a client that is never used: nobody signs in through the bot."""
        return UserTokenClient("https://api.botframework.com", "", app_id=self._settings.bot_app_id)


class Adapter(ChannelServiceAdapter):
    """The SDK's adapter; an error of a turn is the caller's to handle, not a text for the user."""

    def __init__(self, factory: ConnectorFactory, app_id: str) -> None:
        super().__init__(factory)
        self._identity = ClaimsIdentity({"aud": app_id, "appid": app_id}, "bot")

    async def run(self, activity: Any, work: Callable[[TurnContext], Awaitable[None]]) -> Any:
        """Work on an activity; return what its request is to be answered with, if it waits for that."""
        return await self.process_activity(self._identity, activity, work)


@asynccontextmanager
async def open_adapter(settings: Settings) -> AsyncIterator[Adapter]:
    """Open the connections to the channels, and the bot's own identity."""
    async with AsyncExitStack() as stack:
        token = await stack.enter_async_context(open_token_source(settings))
        pool = aiohttp.TCPConnector(limit=0, limit_per_host=100)
        stack.push_async_callback(pool.close)
        yield Adapter(ConnectorFactory(settings, pool, token), settings.bot_app_id or "")


@asynccontextmanager
async def open_token_source(settings: Settings) -> AsyncIterator[TokenSource]:
    """Yield what gives the bot's token: of its managed identity, or of its certificate or secret where one is set.

    On this machine without Bot Service there is none.
    """
    if settings.bot_app_id is None or settings.bot_tenant_id is None:
        yield _no_token
        return
    from azure.identity.aio import CertificateCredential, ClientSecretCredential, ManagedIdentityCredential

    app_id, tenant = settings.bot_app_id, settings.bot_tenant_id
    credential: Any
    if settings.bot_certificate_path:
        credential = CertificateCredential(tenant, app_id, str(settings.bot_certificate_path))
    elif settings.bot_client_secret:
        credential = ClientSecretCredential(tenant, app_id, settings.bot_client_secret.get_secret_value())
    else:
        credential = ManagedIdentityCredential(client_id=app_id)
    async with credential:

        async def token() -> str:
            return str((await credential.get_token(SCOPE)).token)

        yield token


async def _no_token() -> str:
    return ""
