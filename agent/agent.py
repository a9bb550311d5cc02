"""The agent: one per process, shared by all turns, without any state of a thread."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_framework import SKIP_PARSING, Agent, AgentResponse, FunctionTool
from agent_framework.observability import disable_instrumentation, enable_instrumentation

from agent.reporter import Reporter
from agent.run import RUN_KEY, Run, RunObserver, RunOptions
from agent.tool_calls import ToolCallMiddleware
from errors import ContentFiltered
from identity.azure_credential import AzureCredential
from models import Message
from observability import spans, turn_usage
from settings import Assistant, Settings
from tools.tool import Tool, ToolSpec, spec_of

if TYPE_CHECKING:
    from agent.llm.client import ModelClient
    from agent.llm.offline import OfflineChatClient


@dataclass(frozen=True, slots=True)
class RunResult:
    """Which model answered, and the tokens that it read and wrote in all its calls."""

    model: str
    input_tokens: int
    output_tokens: int


class ChatAgent:
    """Answers a message with the help of a model and ``tools``, by name; any number of runs at once."""

    def __init__(
        self,
        agent: Agent[RunOptions],
        tools: Sequence[ToolSpec],
        settings: Settings,
        ping: Callable[[], Awaitable[None]],
    ) -> None:
        self.tools = {spec.view.name: spec for spec in tools}
        self._preferences = {preference.parameter for spec in tools for preference in spec.preferences}
        self._agent = agent
        self._ping = ping
        self._settings = settings

    async def run(self, history: Sequence[Message], message: Message, *, observer: RunObserver, stream: bool) -> RunResult:
        """Answer ``message``, which follows ``history``; the observer is told the text and the tool calls.

        :raises ModelError: as the model's service fails.
        """
        preferences = {name: value for name, value in message.metadata.items() if name in self._preferences}
        run = Run(observer, history, preferences)
        try:
            response = await (self._stream if stream else self._complete)(message.content, run)
        finally:
            input_tokens, output_tokens = run.usage()
            observer.tokens_used(input_tokens, output_tokens)
            turn_usage.add_model_calls(run.model_calls, input_tokens, output_tokens)
        if response.finish_reason == "content_filter":
            raise ContentFiltered
        return RunResult(run.model or self._settings.model_name, input_tokens, output_tokens)

    async def ping(self) -> None:
        """Find out whether the model's service answers, without letting it write anything.

        :raises ModelError: as it fails.
        """
        await self._ping()

    async def _complete(self, content: str, run: Run) -> AgentResponse[Any]:
        response = await self._agent.run(content, options=RunOptions(run=run), function_invocation_kwargs={RUN_KEY: run})
        reporter = Reporter(run)
        for message in response.messages:
            reporter.report(message.contents)
        return response

    async def _stream(self, content: str, run: Run) -> AgentResponse[Any]:
        reporter, options, kwargs = Reporter(run), RunOptions(run=run), {RUN_KEY: run}
        async with self._agent.run(content, options=options, stream=True, function_invocation_kwargs=kwargs) as stream:
            async for update in stream:
                reporter.report(update.contents)
            return await stream.get_final_response()


@asynccontextmanager
async def open_agent(
    settings: Settings, assistant: Assistant, tools: Sequence[Tool], credential: AzureCredential
) -> AsyncIterator[ChatAgent]:
    """Build the agent with the model that the settings ask for; its clients are closed afterwards."""
    if spans.are_collected():
        enable_instrumentation(force=True)
    else:
        # Spans that nobody collects cost a tenth of a turn.
        disable_instrumentation()
    specs = [spec_of(tool) for tool in tools]
    middleware = ToolCallMiddleware(
        timeout_seconds=settings.tool_timeout_seconds,
        timeouts={spec.view.name: spec.timeout_seconds for spec in specs if spec.timeout_seconds is not None},
        max_calls=settings.turn_max_tool_calls,
        dev_mode=settings.dev_mode,
    )
    async with _model(settings, middleware, credential) as client:
        agent: Agent[RunOptions] = Agent(
            client=client,
            name="chat",
            instructions=assistant.instructions,
            tools=[as_function_tool(tool) for tool in tools],
        )
        yield ChatAgent(agent, specs, settings, client.ping)


def _model(
    settings: Settings, middleware: ToolCallMiddleware, credential: AzureCredential
) -> AbstractAsyncContextManager[ModelClient | OfflineChatClient]:
    # The framework makes one more call, without tools, when its iterations are used up.
    configuration: Any = {"max_iterations": settings.turn_max_model_calls - 1}
    if settings.model_kind == "offline":
        from agent.llm.offline import OfflineChatClient

        client = OfflineChatClient(
            middleware=[middleware],
            function_invocation_configuration=configuration,
            delay_seconds=settings.offline_delay_ms / 1000,
        )
        return nullcontext(client)
    from agent.llm.client import open_model_client

    return open_model_client(settings, credential, middleware=middleware, configuration=configuration)


def as_function_tool(tool: Tool) -> FunctionTool:
    """Describe a plain function to the model: its name, its docstring and its typed parameters."""
    return FunctionTool(name=tool.__name__, description=inspect.getdoc(tool) or "", func=tool, result_parser=SKIP_PARSING)
