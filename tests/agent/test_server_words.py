"""What a server says of its failure, before it stands in a log."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.llm.server_error import ServerError
from agent.llm.server_words import words_of

LONG = """
from agent.llm.server_error import ServerError
from agent.llm.server_words import words_of
print(words_of(ServerError(400, {"error": {"message": "a" * 65536}}, {})))
"""


def test_a_word_without_an_end_does_not_keep_the_process_busy() -> None:
    # In a process of its own, as nothing stops a search in this one.
    told = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True, timeout=10)
    assert told.stdout.strip() == "a" * 300


@pytest.mark.parametrize("filler", [0, 1990, 65536])
def test_a_secret_is_found_wherever_it_stands(filler: int) -> None:
    said = words_of(ServerError(401, {"message": f"{'a ' * (filler // 2)}sk-very-secret is wrong"}, {}))
    assert "secret" not in said
