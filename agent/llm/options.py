"""What the operator may choose of how the model answers, as each wire names it; what is not set is not sent."""

from __future__ import annotations

from typing import Any

from settings import Settings

# By the parameter of either wire, as servers name the one that they refuse.
SETTINGS = {
    "reasoning_effort": "REASONING_EFFORT",
    "reasoning.effort": "REASONING_EFFORT",
    "temperature": "MODEL_TEMPERATURE",
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
        options["max_completion_tokens"] = settings.model_max_output_tokens
        options["reasoning_effort"] = effort
    return {name: value for name, value in options.items() if value is not None}


def setting_behind(parameter: str | None) -> str | None:
    """Return the setting that has put a parameter into a request, if one has."""
    return SETTINGS.get(parameter or "")
