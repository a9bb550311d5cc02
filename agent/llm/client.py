"""The model as the Agent Framework sees it: a chat client that speaks the wire itself.

Text has one way from the model to the reader: it is told to the run as it comes in. The framework gets each answer once, when
it is whole, for its loop over the tools.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationConfiguration,
    FunctionInvocationLayer,
    FunctionMiddleware,
    FunctionTool,
    Message,
    ResponseStream,
    UsageDetails,
)
from agent_framework.observability import ChatTelemetryLayer

from agent.llm.chat_completions import DONE, ChatCompletions
from agent.llm.completion import Completion, CompletionBuilder, ToolRequest
from agent.llm.connection import ModelConnection, open_connection
from agent.llm.options import model_options
from agent.llm.responses import Responses
from agent.llm.server_error import ServerError
from agent.llm.server_errors import model_error, was_read
from agent.llm.sse import event_data
from agent.llm.wire import ModelRequest, Wire
from agent.run import Run, RunOptions
from agent.usage import CallUsage
from errors import ModelUnavailable
from identity.azure_credential import AzureCredential
from settings import Settings

# In the place of arguments: the call is refused, as they are no object.
TOO_DEEP = '"nested too deeply"'
TOO_LONG = '"a number is too long"'
logger = logging.getLogger(__name__)


class ModelClient(
    FunctionInvocationLayer[RunOptions],
    ChatMiddlewareLayer[RunOptions],
    ChatTelemetryLayer[RunOptions],
    BaseChatClient[RunOptions],
):
    """A chat client of the Agent Framework on one connection; any number of runs at once."""

    OTEL_PROVIDER_NAME = "openai"

    def __init__(self, connection: ModelConnection, settings: Settings, **layers: Any) -> None:
        super().__init__(**layers)
        self.model = settings.model_name
        self._wire = wire_of(settings)
        self._connection = connection
        self._settings = settings
        self._options = model_options(settings)
        self._tools: WeakKeyDictionary[FunctionTool, bytes] = WeakKeyDictionary()

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **_: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        run: Run = options["run"]
        if stream:
            return self._build_response_stream(self._stream(messages, run, options))
        return self._complete(messages, run, options)

    async def ping(self) -> None:
        """Ask for the list of models, which costs nothing and needs the address and the credentials to be right.

        :raises ModelError: as the service fails.
        """
        try:
            await self._connection.get("/models")
        except ServerError as error:
            raise model_error(error, self._settings) from error

    async def _complete(self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]) -> ChatResponse[Any]:
        completion, usage = await self._ask(messages, run, options)
        return ChatResponse(
            messages=[Message("assistant", _contents(completion, run))],
            model=completion.model,
            usage_details=_usage(usage),
            finish_reason=_reason(completion),
        )

    async def _stream(
        self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]
    ) -> AsyncIterator[ChatResponseUpdate]:
        ask = self._ask_streaming if self._settings.model_stream == "on" else self._ask
        completion, usage = await ask(messages, run, options)
        update = ChatResponseUpdate(
            contents=[*_contents(completion, run), Content.from_usage(_usage(usage))], role="assistant", model=completion.model
        )
        update.finish_reason = _reason(completion)
        yield update

    async def _ask(self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]) -> tuple[Completion, CallUsage]:
        """Ask for a whole answer."""
        async with self._answer(messages, run, options, stream=False) as (content, usage):
            answer = await self._connection.post(self._wire.path, content, usage)
            usage.receive(len(answer))
            reader = self._wire.reader(CompletionBuilder(run, usage, counted=True))
            reader.take(answer)
            return reader.end(is_done=True), usage

    async def _ask_streaming(
        self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]
    ) -> tuple[Completion, CallUsage]:
        """Ask for an answer that comes as it is written."""
        async with self._answer(messages, run, options, stream=True) as (content, usage):
            reader, is_done = self._wire.reader(CompletionBuilder(run, usage)), False
            async with self._connection.stream(self._wire.path, content, usage) as response:
                async for data in event_data(response.content.iter_any()):
                    if is_done := data == DONE:
                        break
                    reader.take(data)
            return reader.end(is_done=is_done), usage

    @asynccontextmanager
    async def _answer(
        self, messages: Sequence[Message], run: Run, options: Mapping[str, Any], *, stream: bool
    ) -> AsyncIterator[tuple[bytes, CallUsage]]:
        """Yield a request and the count of what it uses; what is wrong with the answer becomes an error of ours."""
        content = self._wire.render_request(self._request(messages, run, options, stream=stream))
        usage = run.call_model(len(content))
        try:
            yield content, usage
        except ServerError as error:
            error.sent, error.secret = content, await self._connection.secret()
            meant = model_error(error, self._settings)
            if not was_read(error, meant):
                usage.refuse()
            raise meant from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            logger.warning("the model's answer is not one, or was cut off: %s", type(error).__name__)
            raise ModelUnavailable from error

    def _request(self, messages: Sequence[Message], run: Run, options: Mapping[str, Any], *, stream: bool) -> ModelRequest:
        if run.rendered_history is None:
            run.rendered_history = self._wire.render_history(run.history)
        return ModelRequest(
            model=self.model,
            instructions=options.get("instructions"),
            history=run.rendered_history,
            messages=messages,
            carried=run.carried,
            tools=[self._describe(tool) for tool in options.get("tools") or ()],
            tool_choice=_tool_choice(options),
            stream=stream,
            options=self._options,
        )

    def _describe(self, tool: FunctionTool) -> bytes:
        described = self._tools.get(tool)
        if described is None:
            described = self._tools[tool] = self._wire.render_tool(tool)
        return described


def wire_of(settings: Settings) -> Wire:
    """Return the format in which the model is asked."""
    return Responses() if settings.model_api == "responses" else ChatCompletions()


@asynccontextmanager
async def open_model_client(
    settings: Settings,
    credential: AzureCredential,
    *,
    middleware: FunctionMiddleware,
    configuration: FunctionInvocationConfiguration,
) -> AsyncIterator[ModelClient]:
    """Yield the client of the service that the settings name; its connections are closed afterwards."""
    async with open_connection(settings, credential) as connection:
        yield ModelClient(connection, settings, middleware=[middleware], function_invocation_configuration=configuration)


def _contents(completion: Completion, run: Run) -> list[Content]:
    run.model = completion.model or run.model
    calls = _with_ids(completion.calls, run.asked_ids)
    if completion.carried and calls:
        run.carry([call.id for call in calls], completion.carried)
    text = [Content.from_text(completion.text)] if completion.text else []
    return [*text, *(Content.from_function_call(call.id, call.name, arguments=_arguments(call)) for call in calls)]


def _arguments(call: ToolRequest) -> str:
    """Return a call's arguments; the framework fails of nesting, and of numbers, that Python does not read."""
    try:
        json.loads(call.arguments)
    except RecursionError:
        return TOO_DEEP
    except ValueError as error:
        return call.arguments if isinstance(error, json.JSONDecodeError) else TOO_LONG
    return call.arguments


def _with_ids(calls: Sequence[ToolRequest], used: set[str]) -> Sequence[ToolRequest]:
    """Give each call an id that no other call of the run has: some servers send none, or the same ones each time."""
    for call in calls:
        if not call.id or call.id in used:
            call.id = f"call_{uuid.uuid4().hex[:24]}"
        used.add(call.id)
    return calls


def _usage(usage: CallUsage) -> UsageDetails:
    read, written = usage.input_tokens, usage.output_tokens
    return UsageDetails(input_token_count=read, output_token_count=written, total_token_count=read + written)


def _reason(completion: Completion) -> Any:
    return completion.finish_reason


def _tool_choice(options: Mapping[str, Any]) -> str:
    choice = options.get("tool_choice")
    mode = choice.get("mode") if isinstance(choice, Mapping) else choice
    return str(mode or "auto")
