"""Azure OpenAI or any OpenAI-compatible server as the agent's model, and its failures as our errors.

Both speak the same chat completions protocol; Azure under ``/openai/v1/``, which takes a key or an Entra ID token as bearer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import Any

import httpx2
import openai
from agent_framework import FunctionInvocationConfiguration, FunctionMiddleware
from agent_framework.openai import OpenAIChatCompletionClient
from openai import AsyncStream
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError
from pydantic_core import to_json

from agent.llm.openai_errors import free_if_refused
from agent.llm.openai_stream import OnText, TextStream, parse_chunk, tell_usage
from agent.text import storable
from agent.usage import CallUsage, OnCall
from identity.azure_credential import AzureCredential
from settings import Settings

PATH = "/chat/completions"
OPENAI_URL = "https://api.openai.com/v1"
AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
MAX_RETRIES = 2
# A longer Retry-After is the caller's to wait: the turn holds the thread's lease meanwhile.
MAX_RETRY_AFTER_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5.0
PING_SECONDS = 5.0
NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME = 64


logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_openai_model(
    settings: Settings,
    credential: AzureCredential,
    *,
    middleware: FunctionMiddleware,
    configuration: FunctionInvocationConfiguration,
) -> AsyncIterator[OpenAIChatCompletionClient]:
    """Yield the framework's chat client on one HTTP client, which is closed afterwards."""
    async with open_openai_client(settings, credential) as client:
        yield OpenAIChatCompletionClient(
            model=settings.model_name,
            async_client=client,
            middleware=[middleware],
            function_invocation_configuration=configuration,
        )


@asynccontextmanager
async def open_openai_client(settings: Settings, credential: AzureCredential) -> AsyncIterator[OpenAIClient]:
    """Yield a client of the service that the settings name, with their key or, on Azure, the process's identity."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            OpenAIClient(
                api_key=_api_key(settings, credential),
                base_url=_base_url(settings),
                timeout=httpx2.Timeout(settings.model_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
                max_retries=MAX_RETRIES,
                # Half a millisecond a request less than the default.
                http_client=openai.DefaultAioHttpClient(),
            )
        )
        # The SDK fills these from the environment, which only settings/ may read.
        client.organization = client.project = client.webhook_secret = None
        yield client


async def ping_openai_model(client: OpenAIChatCompletionClient) -> None:
    """Ask for the list of models, which costs nothing and needs the address and the credentials to be right.

    Raises what :func:`model_error` translates.
    """
    async with asyncio.timeout(PING_SECONDS):
        await client.client.get("/models", cast_to=httpx2.Response, options={"max_retries": 0})


class OpenAIClient(openai.AsyncOpenAI):
    """The SDK's client without its largest cost, and without long waits."""

    @cached_property
    def chat(self) -> AsyncChat:
        """Return the resource that the framework calls."""
        return _Chat(self)

    def _process_response_data(self, *, data: object, cast_to: type[Any], response: httpx2.Response) -> Any:
        if cast_to is ChatCompletionChunk:
            raise_if_error(data, response)
            return parse_chunk(data)
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)

    def _should_retry(self, response: httpx2.Response) -> bool:
        wait = self._parse_retry_after_header(response.headers)
        return super()._should_retry(response) and (wait is None or wait <= MAX_RETRY_AFTER_SECONDS)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(  # type: ignore[override]  # called by the framework only, which passes these
        self,
        *,
        messages: list[Any],
        history: Sequence[Any] = (),
        on_text: OnText | None = None,
        on_call: OnCall = CallUsage,
        stream: bool = False,
        **options: Any,
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]:
        """Send a request as it is; the whole call has one deadline, retries included.

        The SDK's own method re-types every message and option, at about 0.1 ms each. ``history`` are messages in the
        protocol's form, which go behind the instructions: see :func:`agent.history.as_history`. ``on_text`` hears a text;
        ``on_call`` returns the count of what the call uses.
        """
        head = 1 if messages and messages[0]["role"] in ("system", "developer") else 0
        shown = with_valid_names([*messages[:head], *history, *messages[head:]])
        content = to_json({**options, "messages": shown, "stream": stream})
        usage = on_call(len(content))
        timeout = self._client.timeout
        post = self._client.post
        with free_if_refused(usage):
            async with asyncio.timeout(timeout.read if isinstance(timeout, httpx2.Timeout) else None):
                if stream:
                    chunks = await post(PATH, content=content, cast_to=ChatCompletion, stream=True, stream_cls=TextStream)
                    chunks.on_text, chunks.usage = on_text, usage
                    return chunks
                return _as_completion(await post(PATH, content=content, cast_to=httpx2.Response), usage)


def with_valid_names(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages whose tool calls have names that the protocol allows: models make others up, and servers refuse them."""
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            function["name"] = NOT_IN_NAMES.sub("_", function["name"] or "_")[:MAX_NAME]
    return messages


def _as_completion(response: httpx2.Response, usage: CallUsage) -> ChatCompletion:
    """Parse an answer: strictly, which is quick, or as the SDK does, which takes whatever a server leaves out or adds."""
    usage.receive(len(response.content))
    try:
        completion = ChatCompletion.model_validate_json(response.content)
    except ValidationError:
        answer = response.json()
        raise_if_error(answer, response)
        completion = ChatCompletion.construct(**storable(answer))
    tell_usage(usage, completion.usage)
    return completion


def raise_if_error(answer: Any, response: httpx2.Response) -> None:
    """Raise what a server has put in place of an answer, or of a piece of one, after it had said that all is well (200)."""
    if not isinstance(answer, dict) or answer.get("choices"):
        return
    if error := answer.get("error") or (answer if answer.get("object") == "error" else None):
        raise openai.APIError("an error in place of an answer", response.request, body=error)


def _base_url(settings: Settings) -> str:
    if settings.azure_openai_endpoint:
        return f"{settings.azure_openai_endpoint.rstrip('/')}/openai/v1/"
    return settings.openai_base_url or OPENAI_URL


def _api_key(settings: Settings, credential: AzureCredential) -> str | Callable[[], Awaitable[str]]:
    key = settings.azure_openai_api_key if settings.model_kind == "azure" else settings.openai_api_key
    if key:
        return key.get_secret_value()
    if settings.model_kind == "openai":
        return "not-needed"

    async def token() -> str:
        return (await credential.get_token_info(AZURE_SCOPE)).token

    return token
