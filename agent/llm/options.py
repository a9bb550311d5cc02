"""What the operator may choose of how the model answers, as each wire names it; what is not set is not sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from settings import Settings

OPENAI_DOMAINS = (".openai.com", ".azure.com", ".azure.us", ".azure.cn")
# By the parameter of either wire, as servers name the one that they refuse.
SETTINGS = {
    "reasoning_effort": "REASONING_EFFORT",
    "reasoning.effort": "REASONING_EFFORT",
    "temperature": "MODEL_TEMPERATURE",
    "max_tokens": "MODEL_MAX_OUTPUT_TOKENS",
    "max_completion_tokens": "MODEL_MAX_OUTPUT_TOKENS",
    "max_output_tokens": "MODEL_MAX_OUTPUT_TOKENS",
}


def model_options(settings: Settings) -> dict[str, Any]:
    """Return what the settings add to a request."""
    effort = settings.reasoning_effort
    options: dict[str, Any] = {"temperature": settings.model_temperature}
    if settings.model_api == "responses":
        options["max_output_tokens"] = settings.model_max_output_tokens
        options["reasoning"] = {"effort": effort, "summary": "auto"} if effort else None
    else:
        options[_limit_name(settings)] = settings.model_max_output_tokens
        options["reasoning_effort"] = effort
    return {name: value for name, value in options.items() if value is not None}


def _limit_name(settings: Settings) -> str:
    """Return what Chat Completions calls an answer's limit: OpenAI's models that reason refuse the older name, and some
    compatible servers pass over the newer one without a word.
    """
    host = urlsplit(settings.openai_base_url or "").hostname or ""
    is_openai = settings.model_kind == "azure" or not host or f".{host}".endswith(OPENAI_DOMAINS)
    return "max_completion_tokens" if is_openai else "max_tokens"


def setting_behind(parameter: str | None) -> str | None:
    """Return the setting that has put a parameter into a request, if one has."""
    return SETTINGS.get(parameter or "")
