"""The failures of a model's service as our errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
from agent_framework.exceptions import ChatClientException

from agent.llm.server_words import words_of
from agent.usage import CallUsage
from errors import (
    ContentFiltered,
    ContextOverflow,
    ModelError,
    ModelMisconfigured,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
)
from settings import Settings

OVERFLOW_CODES = ("context_length_exceeded", "string_above_max_length", "context_window_exceeded", "exceed_context_size_error")
# What vLLM names as the wrong parameter of a prompt that is too long; its only code is the status.
OVERFLOW_PARAMETERS = ("input_tokens", "input_text")
FILTER_CODES = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
# Codes that say no more than the status does.
BARE_CODES = ("api_error", "BadRequestError", "error", "invalid_request_error", "server_error")
# Where there is no other code: vLLM, llama.cpp and Ollama in the versions of the last years, and what speaks as they do.
OVERFLOW_WORDS = re.compile(r"\bcontext (length|size|window)\b|\bmaximum model length\b", re.IGNORECASE)
# llama.cpp answers 500 where it was started without support for tools, or cannot read their schemas.
TOOL_WORDS = re.compile(
    r"--jinja\b|--enable-auto-tool-choice\b|\bnot support(ed|ing)?\b.*\btools?\b|\btools?\b.*\bnot supported\b|"
    r"\b(unsupported|unknown) param(eter)?:? '?tools?\b",
    re.IGNORECASE,
)
# Where the service does not say how long to wait.
DEFAULT_RETRY_AFTER_SECONDS = 5.0
logger = logging.getLogger(__name__)


def model_error(error: BaseException, settings: Settings) -> ModelError | None:
    """Return what a failed run means to the caller, or ``None`` if it was not the model that failed.

    Decided by exception types, status codes and error codes; by the server's words only where it gives no code.
    """
    for cause in _causes(error):
        if isinstance(cause, openai.APIStatusError):
            return _status_error(cause, cause.status_code, settings)
        if isinstance(cause, httpx2.ConnectTimeout) or isinstance(cause.__cause__, httpx2.ConnectTimeout):
            # Also what the SDK's aiohttp transport makes of a refused or dropped connection.
            return ModelUnavailable()
        if isinstance(cause, (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError)):
            return ModelTimeout()
        if isinstance(cause, openai.APIError):
            return _error_in_answer(cause, settings)
        if isinstance(cause, (openai.OpenAIError, httpx2.HTTPError, ValueError)):
            return ModelUnavailable()
        if settings.model_kind == "azure" and _is_credential_error(cause):
            logger.error("no token for Azure OpenAI: check the identity and its role, or set AZURE_OPENAI_API_KEY")
            return ModelMisconfigured()
    # Whatever the client could not make anything of: JSON that is no answer.
    return ModelUnavailable() if isinstance(error, ChatClientException) else None


@contextmanager
def free_if_refused(usage: CallUsage) -> Iterator[None]:
    """Count nothing for a model call that was refused before the model read it; one that was filtered has been read."""
    try:
        yield
    except openai.APIStatusError as error:
        if not isinstance(_coded_error(error), ContentFiltered):
            usage.refuse()
        raise
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)):
            usage.refuse()
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what is behind it, from the outside in: the SDK's errors say more than those of its transport."""
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _coded_error(error: openai.APIError) -> ModelError | None:
    body: Any = error.body if isinstance(error.body, dict) else {}
    inner = body.get("innererror")
    codes = {error.code, error.type, inner.get("code") if isinstance(inner, dict) else None}
    if codes & set(FILTER_CODES):
        return ContentFiltered()
    if codes & set(OVERFLOW_CODES) or error.param in OVERFLOW_PARAMETERS:
        return ContextOverflow()
    return None


def _error_in_answer(error: openai.APIError, settings: Settings) -> ModelError:
    """Return what an error means that came in place of an answer, or within one: its code may be a status."""
    code = error.code or ""
    if re.fullmatch(r"[45]\d\d", code):
        return _status_error(error, int(code), settings)
    return _coded_error(error) or ModelUnavailable()


def _status_error(error: openai.APIError, status: int, settings: Settings) -> ModelError:
    if coded := _coded_error(error):
        return coded
    if status == 429:
        waiting = _retry_after(error.response) if isinstance(error, openai.APIStatusError) else DEFAULT_RETRY_AFTER_SECONDS
        return ModelThrottled(retry_after=waiting)
    words = words_of(error)
    if status == 413 or (status != 404 and _has_no_code(error) and OVERFLOW_WORDS.search(words)):
        logger.warning('the model cannot read that much: status %s, "%s"', status, words)
        return ContextOverflow()
    no_tools = refuses_tools(error)
    if (status in (408, 409) or status >= 500) and status != 501 and not no_tools:
        logger.warning('the model failed with status %s, code %s: "%s"', status, error.code, words)
        return ModelUnavailable()
    names = "that the model and its server support tools" if no_tools else _settings_behind(status, settings)
    logger.error(
        'the model refused the request with status %s, code %s: check %s; it said "%s"', status, error.code, names, words
    )
    return ModelMisconfigured()


def refuses_tools(error: openai.APIError) -> bool:
    """Tell whether a server says that it, or its model, cannot call tools."""
    return error.param in ("tools", "tool_choice") or (_has_no_code(error) and bool(TOOL_WORDS.search(words_of(error))))


def _has_no_code(error: openai.APIError) -> bool:
    return all(code is None or code.isdecimal() or code in BARE_CODES for code in (error.code, error.type))


def _settings_behind(status: int, settings: Settings) -> str:
    prefix = "AZURE_OPENAI_" if settings.model_kind == "azure" else "OPENAI_"
    address = "ENDPOINT" if settings.model_kind == "azure" else "BASE_URL"
    if status in (401, 403):
        return f"{prefix}API_KEY (or the identity's role)"
    return f"{prefix}MODEL and {prefix}{address}"


def _retry_after(response: httpx2.Response) -> float:
    for header, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(response.headers.get(header, "")) / divisor
        except ValueError:
            continue
        if 0 <= seconds < 3600:
            return seconds
    return DEFAULT_RETRY_AFTER_SECONDS


def _is_credential_error(error: BaseException) -> bool:
    from azure.core.exceptions import ClientAuthenticationError

    return isinstance(error, ClientAuthenticationError)
