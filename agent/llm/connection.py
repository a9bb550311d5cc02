"""The HTTP connection to a model's server: Azure OpenAI, OpenAI or whatever speaks as it does.

One pool for the process. A request that was refused for the moment is repeated, briefly; the whole call has one deadline.
Azure's ``/openai/v1/`` takes a key or an Entra ID token as bearer, like all others.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from pydantic_core import from_json

from agent.llm.retries import backoff_seconds, wait_before_retry
from agent.llm.server_error import ServerError
from agent.llm.sse import MAX_EVENT_BYTES
from agent.usage import CallUsage
from errors import ModelError, ModelMisconfigured, ModelTimeout, ModelUnavailable
from identity.azure_credential import AzureCredential
from settings import Settings

if TYPE_CHECKING:
    import aiohttp

OPENAI_URL = "https://api.openai.com/v1"
AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
MAX_RETRIES = 2
CONNECT_TIMEOUT_SECONDS = 5.0
PING_SECONDS = 5.0
# Of what is read of an error: a page of a gateway may be long.
MAX_ERROR_BYTES = 64 * 1024
# Packed, a few of them may become any number.
MAX_ANSWER_BYTES = MAX_EVENT_BYTES
PIECE_BYTES = 64 * 1024
logger = logging.getLogger(__name__)
Secret = Callable[[], Awaitable[str]]
Sleep = Callable[[float], Awaitable[object]]


class ModelConnection:
    """Sends requests to one server. Failures of the wire are :class:`~errors.ModelError`, answers that are errors
    :class:`~agent.llm.server_error.ServerError`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        secret: Secret,
        *,
        timeout_seconds: float,
        max_retries: int = MAX_RETRIES,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        parts = urlsplit(url.rstrip("/"))
        # The session takes either a header or what the address says.
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._login = _login_in(url)
        self._session = session
        self.secret = secret
        self._timeout_seconds = timeout_seconds
        self._max_retries = max_retries
        self._proxy = _proxy_of(url)
        self._sleep = sleep

    async def get(self, path: str, *, url: str | None = None) -> Any:
        """Return the JSON at a path of the server's API, or below another address of it, asked for once; text if it is none.

        :raises ServerError: if the server refuses.
        :raises ModelError: if it cannot be reached, or does not answer in time.
        """
        address = (url or self.url) + path
        request = self._request("GET", address, b"", CallUsage(0), retries=0)
        async with _told_as_ours(), asyncio.timeout(PING_SECONDS), request as response:
            return _parsed(await _read(response, MAX_ANSWER_BYTES))

    async def post(self, path: str, content: bytes, usage: CallUsage) -> bytes:
        """Send a request and return the whole answer.

        :raises ServerError, ModelError: as :meth:`stream`.
        """
        stream = self.stream(path, content, usage)
        async with _told_as_ours(), asyncio.timeout(self._timeout_seconds), stream as response:
            answer = await _read(response, MAX_ANSWER_BYTES + 1)
            if len(answer) > MAX_ANSWER_BYTES:
                logger.warning("the model's answer has more than %d bytes", MAX_ANSWER_BYTES)
                raise ModelUnavailable
            return answer

    @asynccontextmanager
    async def stream(self, path: str, content: bytes, usage: CallUsage) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its answer, whose body is still to be read.

        ``usage`` counts nothing for a request that was refused before it was read.

        :raises ServerError: if the server refuses.
        :raises ModelError: if it cannot be reached, or does not begin to answer in time.
        """
        async with self._request("POST", self.url + path, content, usage, retries=self._max_retries) as response:
            yield response

    @asynccontextmanager
    async def _request(
        self, method: str, address: str, content: bytes, usage: CallUsage, *, retries: int
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with _told_as_ours():
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._open(method, address, content, usage, retries)
            try:
                yield response
            except BaseException:
                # What was not read to its end cannot be used again.
                response.close()
                raise
            finally:
                response.release()

    async def _open(self, method: str, address: str, content: bytes, usage: CallUsage, retries: int) -> aiohttp.ClientResponse:
        import aiohttp

        for attempt in range(retries + 1):
            usage.refuse()
            secret = await self.secret()
            usage.send()
            try:
                response = await self._send(method, address, content, secret)
            except aiohttp.ClientHttpProxyError:
                usage.refuse()
                raise
            except aiohttp.ClientConnectionError as error:
                if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                    usage.refuse()
                if attempt == retries:
                    raise
                await self._sleep(backoff_seconds(attempt))
                continue
            # A redirect is refused: whoever is named there is not to be shown the key and the conversation.
            if response.status < 300:
                return response
            wait = wait_before_retry(response.status, response.headers.get, attempt)
            if wait is None or attempt == retries:
                raise await _refusal(response, content, secret)
            response.close()
            usage.refuse()
            await self._sleep(wait)
        raise AssertionError("unreachable")

    async def _send(self, method: str, address: str, content: bytes, secret: str) -> aiohttp.ClientResponse:
        headers = {"Authorization": self._login or f"Bearer {secret}", "Content-Type": "application/json"}
        return await self._session.request(
            method, address, data=content or None, headers=headers, proxy=self._proxy, allow_redirects=False
        )


@asynccontextmanager
async def open_connection(settings: Settings, credential: AzureCredential, **options: Any) -> AsyncIterator[ModelConnection]:
    """Yield a connection to the service that the settings name, with their key or, on Azure, the process's identity."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, connect=None, sock_read=settings.model_timeout_seconds
    )
    # Turns that run at once are bounded by PROCESS_MAX_TURNS, not by the pool.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        secret = _secret_of(settings, credential)
        # The first turn finds its token here. If there is none, it asks again, and tells.
        first = asyncio.ensure_future(secret())
        try:
            yield ModelConnection(
                session, base_url(settings), secret, timeout_seconds=settings.model_timeout_seconds, **options
            )
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)


def reason_of(error: BaseException, seconds: float) -> str | None:
    """Return in words why no answer came, if that is known; ``seconds`` is how long it was waited for."""
    import aiohttp

    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_SECONDS:g} seconds"
    if isinstance(cause, TimeoutError | ModelTimeout):
        return f"no answer within {seconds:g} seconds"
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(cause, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return "the proxy does not let it through"
    if isinstance(cause, aiohttp.ClientConnectorSSLError):
        return "no TLS can be spoken with it"
    if isinstance(cause, aiohttp.ClientOSError) and cause.errno:
        return "connection refused" if cause.errno == errno.ECONNREFUSED else os.strerror(cause.errno).lower()
    return "the connection was closed" if isinstance(cause, aiohttp.ServerDisconnectedError) else None


def base_url(settings: Settings) -> str:
    """Return the address of the service's API."""
    if settings.azure_openai_endpoint:
        return f"{settings.azure_openai_endpoint.rstrip('/')}/openai/v1"
    return settings.openai_base_url or OPENAI_URL


def _login_in(url: str) -> str | None:
    """Return the header for a name and a password in an address, as a server behind a gateway of one's own asks for."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(login.encode()).decode()}"


def _proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for an address (``HTTPS_PROXY``, ``NO_PROXY``), looked up once."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


async def _refusal(response: aiohttp.ClientResponse, sent: bytes, secret: str) -> ServerError:
    try:
        body = await _read(response, MAX_ERROR_BYTES)
    finally:
        response.close()
    return ServerError(response.status, _parsed(body), response.headers, sent=sent, secret=secret)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return an answer's body, or as much of it as ``limit`` says; it comes in as many pieces as the network likes."""
    body = bytearray()
    while len(body) < limit and (piece := await response.content.read(min(PIECE_BYTES, limit - len(body)))):
        body += piece
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return body.decode(errors="replace")


@asynccontextmanager
async def _told_as_ours() -> AsyncIterator[None]:
    """Tell failures of the wire as what they mean to the caller."""
    import aiohttp

    try:
        yield
    except ModelError:
        raise
    except aiohttp.ConnectionTimeoutError as error:
        raise ModelUnavailable from error
    except TimeoutError as error:
        raise ModelTimeout from error
    except aiohttp.ClientPayloadError as error:
        logger.warning("the model's answer broke off: the connection was closed before its end")
        raise ModelUnavailable from error
    except (aiohttp.ClientError, OSError) as error:
        raise ModelUnavailable from error


def _secret_of(settings: Settings, credential: AzureCredential) -> Secret:
    key = settings.azure_openai_api_key if settings.model_kind == "azure" else settings.openai_api_key

    async def known() -> str:
        # As it is read from a file, or a vault that was given one, it ends in a line end, which no header may have.
        return key.get_secret_value().strip() if key else "not-needed"

    async def token() -> str:
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        try:
            return (await credential.get_token_info(AZURE_SCOPE)).token
        except ClientAuthenticationError as error:
            logger.error("no token for Azure OpenAI: check the identity and its role, or set AZURE_OPENAI_API_KEY")
            raise ModelMisconfigured from error
        except AzureError as error:
            raise ModelUnavailable from error

    return known if key or settings.model_kind == "openai" else token
