"""The assistant on which all tests run that are not about the sample's: a harbour office, in ``tests/support/assistant``."""

from __future__ import annotations

from pathlib import Path

from settings import load_assistant

FOLDER = Path(__file__).parent / "assistant"
HARBOUR = load_assistant(FOLDER)
