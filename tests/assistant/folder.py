"""The sample assistant: the only one that a fresh clone has."""

from __future__ import annotations

from pathlib import Path

from settings import load_assistant

FOLDER = Path(__file__).parents[2] / "assistant"
SAMPLE = load_assistant(FOLDER)
