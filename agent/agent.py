"""The agent: one per process, shared by all turns, without any state of a thread."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent_framework import SKIP_PARSING, Agent, AgentResponse, FunctionTool
from agent_framework import Message as RunMessage
from agent_framework.observability import disable_instrumentation, enable_instrumentation
from pydantic import JsonValue

from agent.reporter import Reporter
from agent.request import RunRequest
from agent.run import RUN_KEY, Run, RunObserver, RunOptions
from agent.run_messages import run_messages
from agent.tool_calls import ToolCallMiddleware, run_approved
from agent.tool_rules import ToolRules
from agent.tool_runner import ToolRunner
from errors import ContentFiltered
from identity.azure_credential import AzureCredential
from observability import spans, turn_usage
from settings import Assistant, Settings
from tools.tool import Tool, ToolSpec, spec_of

if TYPE_CHECKING:
    from agent.llm.client import ModelClient
    from agent.llm.offline import OfflineChatClient


@dataclass(frozen=True, slots=True)
class RunResult:
    """Which model answered, and the tokens that it read and wrote in all its calls; ``details`` of them as it tells.

    ``carried`` is what it needs back before the calls of its answer, by the id of the first.
    """

    model: str
    input_tokens: int
    output_tokens: int
    details: Mapping[str, int] = MappingProxyType({})
    carried: Mapping[str, str] = MappingProxyType({})

    @property
    def usage(self) -> dict[str, JsonValue]:
        """All counts, by their names in a message's metadata."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens, **self.details}


class ChatAgent:
    """Answers a message with the help of a model and ``tools``, by name; any number of runs at once."""

    def __init__(
        self,
        agent: Agent[RunOptions],
        tools: Sequence[ToolSpec],
        settings: Settings,
        ping: Callable[[], Awaitable[None]],
        runner: ToolRunner,
        functions: Sequence[FunctionTool],
    ) -> None:
        self.tools = {spec.view.name: spec for spec in tools}
        self._preferences = {preference.parameter for spec in tools for preference in spec.preferences}
        self._agent = agent
        self._ping = ping
        self._runner = runner
        self._functions = {function.name: function for function in functions}
        self._settings = settings

    async def run(self, request: RunRequest, *, observer: RunObserver, stream: bool) -> RunResult:
        """Answer a message, or go on with a paused reply to it; the observer is told the text and the tool calls.

        Calls that were approved are made first. Where the model calls what has to be approved, or a tool of the client's, the
        run ends after the calls beside it.

        :raises ModelError: as the model's service fails.
        """
        # A client's tool that is called as one of ours by now, which a later release brought, is not offered any more.
        request = replace(request, tools=[each for each in request.tools if each["name"] not in self._functions])
        preferences = {name: value for name, value in request.message.metadata.items() if name in self._preferences}
        run = Run(observer, request, preferences)
        approved = [call for reply in request.paused for call in reply.tool_calls if call.id in request.approved]
        made = await run_approved(run, self._runner, self._functions, approved)
        messages = run_messages(
            request.message,
            request.paused,
            {call.id: call for call in made},
            request.carried,
            keeps_ids=self._settings.model_api != "responses",
        )
        try:
            response = await (self._stream if stream else self._complete)(messages, run)
        finally:
            input_tokens, output_tokens = run.usage()
            observer.tokens_used(input_tokens, output_tokens)
            turn_usage.add_model_calls(run.model_calls, input_tokens, output_tokens)
        if response.finish_reason == "content_filter":
            raise ContentFiltered
        model = run.model or self._settings.model_name
        return RunResult(model, input_tokens, output_tokens, run.usage_details(), run.carried_by_told())

    async def ping(self) -> None:
        """Find out whether the model's service answers, without letting it write anything.

        :raises ModelError: as it fails.
        """
        await self._ping()

    async def _complete(self, messages: list[RunMessage], run: Run) -> AgentResponse[Any]:
        response: AgentResponse[Any] = await self._agent.run(messages, **_arguments(run))
        reporter = Reporter(run)
        for message in response.messages:
            reporter.report(message.contents)
        return response

    async def _stream(self, messages: list[RunMessage], run: Run) -> AgentResponse[Any]:
        reporter = Reporter(run)
        async with self._agent.run(messages, stream=True, **_arguments(run)) as stream:
            async for update in stream:
                reporter.report(update.contents)
            return await stream.get_final_response()


def _arguments(run: Run) -> dict[str, Any]:
    tools = [client_tool(each) for each in run.request.tools]
    return {"options": RunOptions(run=run), "function_invocation_kwargs": {RUN_KEY: run}} | ({"tools": tools} if tools else {})


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
    rules = ToolRules(specs, settings)
    runner = ToolRunner(rules, dev_mode=settings.dev_mode)
    middleware = ToolCallMiddleware(
        rules, runner, max_calls=settings.turn_max_tool_calls, approval_seconds=settings.approval_ttl_seconds
    )
    functions = [as_function_tool(tool) for tool in tools]
    async with _model(settings, middleware, credential) as client:
        agent: Agent[RunOptions] = Agent(
            client=client,
            name="chat",
            instructions=assistant.instructions,
            tools=functions,
        )
        yield ChatAgent(agent, specs, settings, client.ping, runner, functions)


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


def client_tool(described: Mapping[str, Any]) -> FunctionTool:
    """Describe a tool of the client's to the model; it is never run here."""
    return FunctionTool(
        name=described["name"],
        description=described["description"],
        input_model=described["parameters"],
        func=_run_by_client,
        result_parser=SKIP_PARSING,
    )


def _run_by_client() -> None:
    raise RuntimeError("a tool of the client's is run by the client")
