"""How many tokens a model can read at once, as far as its server tells: the protocol has no field for it."""

from __future__ import annotations

from typing import Any

from agent.llm.connection import ModelConnection
from agent.llm.server_error import ServerError
from errors import ModelError

# In the entry of a model or in its "meta": vLLM, llama.cpp, and several services that pass models on.
FIELDS = ("max_model_len", "n_ctx", "context_length", "context_window")


def context_of(listed: Any, model: str) -> int | None:
    """Return the context of a model in the list of models, or of the only one that is there."""
    entries = _entries(listed, "data")
    for entry in [each for each in entries if each.get("id") == model] or (entries if len(entries) == 1 else []):
        meta = entry.get("meta")
        for found in (entry, meta if isinstance(meta, dict) else {}):
            for field in FIELDS:
                if _is_count(found.get(field)):
                    return int(found[field])
    return None


async def read_ollama_context(connection: ModelConnection, model: str) -> int | None:
    """Return the context that Ollama has loaded a model with; it cuts longer prompts without a word."""
    try:
        listed = await connection.get("/api/ps", url=connection.url.removesuffix("/v1"))
    except (ServerError, ModelError):
        return None
    for entry in _entries(listed, "models"):
        if entry.get("name") in (model, f"{model}:latest") and _is_count(entry.get("context_length")):
            return int(entry["context_length"])
    return None


def _entries(body: Any, name: str) -> list[dict[str, Any]]:
    entries = body.get(name) if isinstance(body, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0
