"""The model's service: its address and API, the credentials, and the model itself, asked as the app asks it."""

from __future__ import annotations

import time
from typing import Any

from agent.llm.connection import PING_SECONDS, ModelConnection, open_connection, reason_of
from agent.llm.options import setting_behind
from agent.llm.server_error import ServerError
from agent.llm.server_errors import OK, knows_no_model, model_error, refuses_streaming, refuses_tools
from agent.llm.server_words import words_of
from agent.llm.think_tags import END
from doctor.findings import Finding
from doctor.model_context import context_of, read_ollama_context
from doctor.model_fixes import ModelFixes
from doctor.model_question import ModelQuestion
from errors import ContextOverflow, ModelError, ModelUnavailable
from identity.azure_credential import AzureCredential
from settings import Settings, without_credentials


class ModelDoctor:
    """Examines the service in the settings; ``principal`` is who the role is missing for, if it is."""

    def __init__(self, settings: Settings, credential: AzureCredential, principal: str) -> None:
        self._settings = settings
        self._credential = credential
        self._principal = principal
        self._is_azure = settings.model_kind == "azure"

    async def check(self) -> list[Finding]:
        """Ask for the list of models, then the model for a call of a tool."""
        if self._settings.model_kind == "offline":
            return [Finding("model", "offline: answers by rules")]
        async with open_connection(self._settings, self._credential, max_retries=0) as client:
            address = without_credentials(client.url)
            self._fixes = ModelFixes(self._settings, address, self._principal)
            try:
                listed = await client.get("/models")
            except Exception as error:  # noqa: BLE001 - told by its type or status
                return [self._problem(error, address, model_asked=False)]
            api = " (the v1 API, which has no api-version)" if self._is_azure else ""
            findings = [Finding("model", f"{address} answers{api}"), await self._check_answer(client, address)]
            return [*findings, *await self._check_context(client, listed)]

    async def _check_answer(self, client: ModelConnection, address: str) -> Finding:
        """Ask for a call of a tool, and tell the model its result."""
        name, started = self._settings.model_name, time.perf_counter()
        question, streams = ModelQuestion(client, self._settings), self._settings.model_stream == "on"
        try:
            answer = await question.ask(stream=streams)
        except Exception as error:  # noqa: BLE001 - told by its type or status
            if streams and _answer_problem(error) and await self._answers_whole():
                return Finding("model", *self._no_stream())
            return self._problem(error, address, model_asked=True)
        seconds = time.perf_counter() - started
        if not answer.calls:
            text = f"{name} answered, but did not call the tool that it was asked to: it, or its server, may not support tools"
            return Finding("model", text, self._fixes.tools())
        try:
            await question.tell_results(answer, stream=streams)
        except Exception as error:  # noqa: BLE001 - told by its type or status
            problem = self._problem(error, address, model_asked=True)
            return Finding("model", f"{name} called a tool, but told its result, {problem.text}", problem.fix)
        if END in answer.text:
            return Finding("model", f"{name} thinks in its text, where users would read it", self._fixes.reasoning())
        return Finding("model", f"{name} called a tool after {seconds:.1f} s")

    async def _answers_whole(self) -> bool:
        """Tell whether the model answers without a stream what it does not answer in one."""
        # A connection of its own: a server may be about to close one on which it has failed.
        async with open_connection(self._settings, self._credential, max_retries=0) as client:
            try:
                await ModelQuestion(client, self._settings).ask(stream=False)
            except Exception:  # noqa: BLE001 - the first failure is the one to tell
                return False
        return True

    async def _check_context(self, client: ModelConnection, listed: Any) -> list[Finding]:
        """Compare the context that the server tells of, if it does, with the history that the app shows the model."""
        if self._is_azure:
            return []
        found = context_of(listed, self._settings.model_name) or await read_ollama_context(client, self._settings.model_name)
        needed = self._settings.history_max_tokens
        if found is None or found > needed:
            return []
        text = f"its context of {found} tokens is too small for HISTORY_MAX_TOKENS ({needed}), the instructions and an answer"
        return [Finding("model", text, self._fixes.context(found))]

    def _no_stream(self) -> tuple[str, str]:
        return f"the {self._name()}, or its server, cannot stream with tools", "export MODEL_STREAM=off"

    def _name(self) -> str:
        return f"{'deployment' if self._is_azure else 'model'} {self._settings.model_name}"

    def _problem(self, error: Exception, address: str, *, model_asked: bool) -> Finding:
        status = error.status if isinstance(error, ServerError) and error.status != OK else None
        text, fix = self._explain(error, status, address, model_asked=model_asked)
        words = words_of(error) if isinstance(error, ServerError) else ""
        return Finding("model", f'{text}; it said "{words}"' if words else text, fix)

    def _reason(self, error: Exception, *, model_asked: bool) -> str:
        seconds = self._settings.model_timeout_seconds if model_asked else PING_SECONDS
        return reason_of(error, seconds) or type(error).__name__

    def _explain(self, error: Exception, status: int | None, address: str, *, model_asked: bool) -> tuple[str, str]:
        name = self._name()
        if model_asked and isinstance(error, ServerError):
            if setting := setting_behind(error.param):
                return f"the {name} refuses what {setting} asks for", f"unset {setting}  # or another value"
            if refuses_streaming(error):
                return self._no_stream()
            if refuses_tools(error):
                return f"the {name}, or its server, does not support tools", self._fixes.tools()
            if isinstance(model_error(error, self._settings), ContextOverflow):
                return f"the context of the {name} is too small even for a question of a line", self._fixes.context(None)
        if isinstance(error, ServerError) and knows_no_model(error):
            return f"there is no {name} ({status or 'in its answer'})", self._fixes.model()
        if status in (401, 403):
            return f"access is denied ({status})", self._fixes.access()
        if status == 404 and model_asked and self._settings.model_api == "responses":
            return f"{address} has no Responses API (404)", "export MODEL_API=chat"
        if status == 404 and model_asked:
            return f"there is no {name} (404)", self._fixes.model()
        if status == 404:
            return f"{address} has no such API (404)", self._fixes.address()
        if status == 429:
            return "its quota is used up (429)", self._fixes.quota()
        if model_asked and (status in (400, 422, 501) or (status is None and isinstance(error, ServerError))):
            return f"the {name} refuses what the app sends ({status or 'in its answer'})", self._fixes.model()
        if model_asked and status and status >= 500:
            return f"the {name} fails ({status})", self._fixes.question()
        if model_asked and (problem := _answer_problem(error)):
            return f"the answer of the {name} cannot be read: {problem}", self._fixes.question()
        told = f"status {status}" if status else self._reason(error, model_asked=model_asked)
        return f"{address} cannot be used ({told}): check the address and the network", self._fixes.address()


def _answer_problem(error: Exception) -> str | None:
    """Return in words what is wrong with an answer that came, or had begun to."""
    import aiohttp

    cause = (error.__cause__ or error) if isinstance(error, ModelError) else error
    if isinstance(cause, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "the connection was closed before its end"
    if isinstance(cause, aiohttp.ClientError | OSError):
        return None
    if isinstance(cause, ValueError):
        return "it is no JSON"
    if isinstance(cause, TypeError | AttributeError | LookupError):
        return "a field is missing, or of another type"
    return "it has no end" if isinstance(cause, ModelUnavailable) else None
