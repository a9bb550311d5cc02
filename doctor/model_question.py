"""What the app sends in a turn with a tool, sent by hand: a server that refuses any of it does so here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent_framework import Content, Message

from agent.agent import as_function_tool
from agent.llm.chat_completions import DONE
from agent.llm.client import wire_of
from agent.llm.completion import Completion, CompletionBuilder
from agent.llm.connection import ModelConnection
from agent.llm.options import model_options
from agent.llm.server_error import ServerError
from agent.llm.sse import event_data
from agent.llm.wire import ModelRequest
from agent.usage import CallUsage
from settings import Settings

TOOL = "report_health"
QUESTION = f"Call the tool {TOOL} with the status ok. Say nothing else."


def report_health(status: str) -> str:
    """Report how you are."""
    return status


class _Nobody:
    """Listens to an answer that nobody waits for."""

    def text(self, piece: str) -> None:
        pass

    def reasoning(self, piece: str) -> None:
        pass

    def end_paragraph(self) -> None:
        pass


class ModelQuestion:
    """A question that asks for a tool, and the result of the tool. Its methods fail as :class:`ModelConnection` does, with
    :class:`~errors.ModelUnavailable` where an answer has no end, and where it is none, with what reading it fails with.
    """

    def __init__(self, client: ModelConnection, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._wire = wire_of(settings)

    async def ask(self, *, stream: bool) -> Completion:
        """Ask the question."""
        return await self._send([Message("user", [QUESTION])], {}, stream=stream)

    async def tell_results(self, answer: Completion, *, stream: bool) -> Completion:
        """Tell the results of the calls in the question's answer."""
        calls = [(call.id or f"call_{number}", call) for number, call in enumerate(answer.calls)]
        text = [Content.from_text(answer.text)] if answer.text else []
        messages = [
            Message("user", [QUESTION]),
            Message("assistant", [*text, *(Content.from_function_call(id, call.name, arguments="{}") for id, call in calls)]),
            Message("tool", [Content.from_function_result(id, result="ok") for id, _ in calls]),
        ]
        return await self._send(messages, {calls[0][0]: answer.carried}, stream=stream)

    async def _send(self, messages: Sequence[Message], carried: Mapping[str, bytes], *, stream: bool) -> Completion:
        content = self._wire.render_request(
            ModelRequest(
                model=self._settings.model_name,
                instructions="You are asked by a test.",
                history=b"",
                messages=messages,
                carried=carried,
                tools=[self._wire.render_tool(as_function_tool(report_health))],
                tool_choice="auto",
                stream=stream,
                options=model_options(self._settings),
            )
        )
        try:
            return await self._read(content, stream=stream)
        except ServerError as error:
            error.sent, error.secret = content, await self._client.secret()
            raise

    async def _read(self, content: bytes, *, stream: bool) -> Completion:
        usage = CallUsage(len(content))
        reader, is_done = self._wire.reader(CompletionBuilder(_Nobody(), usage)), not stream
        if not stream:
            reader.take(await self._client.post(self._wire.path, content, usage))
            return reader.end(is_done=True)
        async with self._client.stream(self._wire.path, content, usage) as response:
            async for data in event_data(response.content.iter_any()):
                if is_done := data == DONE:
                    break
                reader.take(data)
        return reader.end(is_done=is_done)
