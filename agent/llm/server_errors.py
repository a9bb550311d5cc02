"""The failures of a model's service as our errors."""

from __future__ import annotations

import logging
import re

from agent.llm.options import setting_behind
from agent.llm.retries import retry_after
from agent.llm.server_error import ServerError
from agent.llm.server_words import words_of
from errors import (
    ContentFiltered,
    ContextOverflow,
    ModelError,
    ModelMisconfigured,
    ModelThrottled,
    ModelUnavailable,
)
from settings import Settings

OVERFLOW_CODES = ("context_length_exceeded", "string_above_max_length", "context_window_exceeded", "exceed_context_size_error")
# What vLLM names as the wrong parameter of a prompt that is too long; its only code is the status.
OVERFLOW_PARAMETERS = ("input_tokens", "input_text")
FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "ResponsibleAIPolicyViolation",
    # Of the Responses API, where the words "invalid prompt" stand for what breaks the usage policies.
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
)
THROTTLE_CODES = ("rate_limit_exceeded",)
# Codes that say no more than the status does.
BARE_CODES = ("api_error", "BadRequestError", "error", "internal_server_error", "invalid_request_error", "server_error")
# Where there is no other code: vLLM, llama.cpp and Ollama in the versions of the last years, and what speaks as they do.
OVERFLOW_WORDS = re.compile(r"\bcontext (length|size|window)\b|\bmaximum model length\b", re.IGNORECASE)
# llama.cpp answers 500 where it was started without support for tools, or cannot read their schemas.
TOOL_WORDS = re.compile(
    r"--jinja\b|--enable-auto-tool-choice\b|\bnot support(ed|ing)?\b.*\btools?\b|\btools?\b.*\bnot supported\b|"
    r"\b(unsupported|unknown) param(eter)?:? '?tools?\b",
    re.IGNORECASE,
)
# llama-cpp-python answers 500 to a stream with tools, whatever the model.
UNKNOWN_MODEL_CODES = ("model_not_found", "DeploymentNotFound")
# Ollama's and vLLM's.
UNKNOWN_MODEL_WORDS = re.compile(r"\bmodel\b.*\b(not found|not exist)\b", re.IGNORECASE)
STREAM_WORDS = re.compile(r"\bstream\w*\b.*\b(not|un)\s?support|\bnot support\w*\b.*\bstream", re.IGNORECASE)
OK = 200
# Where the service does not say how long to wait.
DEFAULT_RETRY_AFTER_SECONDS = 5.0
logger = logging.getLogger(__name__)


def model_error(error: ServerError, settings: Settings) -> ModelError:
    """Return what a server's error means to the caller.

    Decided by status and error codes; by the server's words only where it gives no code.
    """
    if error.status != OK:
        return _status_error(error, error.status, settings)
    # One that came in place of an answer, or within one: its code may be a status.
    if re.fullmatch(r"[45]\d\d", error.code or ""):
        return _status_error(error, int(error.code or ""), settings)
    if coded := _coded_error(error):
        return coded
    if error.code in THROTTLE_CODES:
        return ModelThrottled(retry_after=DEFAULT_RETRY_AFTER_SECONDS)
    logger.warning('the model failed within its answer, code %s: "%s"', error.code, words_of(error))
    return ModelUnavailable()


def was_read(error: ServerError, meant: ModelError) -> bool:
    """Tell whether the model has read, and so charged for, what was sent: what was filtered, or failed within an answer."""
    return error.status == OK or isinstance(meant, ContentFiltered)


def _coded_error(error: ServerError) -> ModelError | None:
    codes = {error.code, error.type, error.inner_code}
    if codes & set(FILTER_CODES):
        return ContentFiltered()
    if codes & set(OVERFLOW_CODES) or error.param in OVERFLOW_PARAMETERS:
        return ContextOverflow()
    return None


def _status_error(error: ServerError, status: int, settings: Settings) -> ModelError:
    if coded := _coded_error(error):
        return coded
    if status == 429:
        waiting = retry_after(error.headers.get)
        return ModelThrottled(retry_after=DEFAULT_RETRY_AFTER_SECONDS if waiting is None else waiting)
    words = words_of(error)
    if status == 413 or (status != 404 and _has_no_code(error) and OVERFLOW_WORDS.search(words)):
        logger.warning('the model cannot read that much: status %s, "%s"', status, words)
        return ContextOverflow()
    no_stream = refuses_streaming(error)
    no_tools = not no_stream and refuses_tools(error)
    if (status in (408, 409) or status >= 500) and status != 501 and not (no_tools or no_stream):
        logger.warning('the model failed with status %s, code %s: "%s"', status, error.code, words)
        return ModelUnavailable()
    names = setting_behind(error.param) or _settings_behind(status, settings)
    if knows_no_model(error):
        names = "AZURE_OPENAI_MODEL" if settings.model_kind == "azure" else "OPENAI_MODEL"
    if no_stream:
        names = "MODEL_STREAM: the server cannot stream with tools, off asks it without"
    elif no_tools:
        names = "that the model and its server support tools"
    logger.error(
        'the model refused the request with status %s, code %s: check %s; it said "%s"', status, error.code, names, words
    )
    return ModelMisconfigured()


def knows_no_model(error: ServerError) -> bool:
    """Tell whether a server says that there is no such model."""
    if {error.code, error.type} & set(UNKNOWN_MODEL_CODES):
        return True
    return error.status in (400, 404) and bool(UNKNOWN_MODEL_WORDS.search(words_of(error)))


def refuses_tools(error: ServerError) -> bool:
    """Tell whether a server says that it, or its model, cannot call tools."""
    return error.param in ("tools", "tool_choice") or (_has_no_code(error) and bool(TOOL_WORDS.search(words_of(error))))


def refuses_streaming(error: ServerError) -> bool:
    """Tell whether a server says that it cannot stream, or not with tools."""
    return error.param in ("stream", "stream_options") or (_has_no_code(error) and bool(STREAM_WORDS.search(words_of(error))))


def _has_no_code(error: ServerError) -> bool:
    return all(code is None or code.isdecimal() or code in BARE_CODES for code in (error.code, error.type))


def _settings_behind(status: int, settings: Settings) -> str:
    prefix = "AZURE_OPENAI_" if settings.model_kind == "azure" else "OPENAI_"
    address = "ENDPOINT" if settings.model_kind == "azure" else "BASE_URL"
    if status in (401, 403):
        return f"{prefix}API_KEY (or the identity's role)"
    return f"{prefix}MODEL and {prefix}{address}"
