"""The failures of a model's service as our errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
from agent_framework.exceptions import ChatClientException

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
FILTER_CODES = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
# Where the service does not say how long to wait.
DEFAULT_RETRY_AFTER_SECONDS = 5.0
logger = logging.getLogger(__name__)


def model_error(error: BaseException, settings: Settings) -> ModelError | None:
    """Return what a failed run means to the caller, or ``None`` if it was not the model that failed.

    Decided by exception types, status codes and error codes, never by texts.
    """
    for cause in _causes(error):
        if isinstance(cause, openai.APIStatusError):
            return _status_error(cause, settings)
        if isinstance(cause, httpx2.ConnectTimeout) or isinstance(cause.__cause__, httpx2.ConnectTimeout):
            # Also what the SDK's aiohttp transport makes of a refused or dropped connection.
            return ModelUnavailable()
        if isinstance(cause, (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError)):
            return ModelTimeout()
        if isinstance(cause, openai.APIError):
            return _coded_error(cause) or ModelUnavailable()
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
    codes = {error.code, error.type, body.get("type"), (body.get("innererror") or {}).get("code")}
    if codes & set(FILTER_CODES):
        return ContentFiltered()
    if codes & set(OVERFLOW_CODES):
        return ContextOverflow()
    return None


def _status_error(error: openai.APIStatusError, settings: Settings) -> ModelError:
    if coded := _coded_error(error):
        return coded
    if error.status_code == 429:
        return ModelThrottled(retry_after=_retry_after(error.response))
    if error.status_code in (408, 409) or error.status_code >= 500:
        return ModelUnavailable()
    names = _settings_behind(error.status_code, settings)
    logger.error("the model refused the request with status %s, code %s: check %s", error.status_code, error.code, names)
    return ModelMisconfigured()


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
