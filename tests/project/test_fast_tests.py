"""`make test-fast`: the tests of what has changed."""

from __future__ import annotations

import pytest

from scripts.fast_tests import DEFAULT, ELSEWHERE, ROOT, fast_tests


@pytest.mark.parametrize(
    ("changed", "run"),
    [
        (["turns/lease.py"], ["tests/turns"]),
        (["turns/lease.py", "turns/poller.py", "tests/turns/test_history.py"], ["tests/turns"]),
        (["agent/llm/offline.py"], ["tests/agent"]),
        (["tests/agent/test_offline.py"], ["tests/agent/test_offline.py"]),
        (["tests/agent/test_deleted.py"], ["tests/agent"]),
        (["tests/web/conftest.py"], ["tests/web"]),
        (["stores/cosmos/patch.py"], ["tests/stores/contract", "tests/stores/cosmos"]),
        (["stores/limits.py"], ["tests/stores"]),
        (["settings/settings.py"], ["tests/test_settings.py"]),
        (["local.py", "dev.py"], ["tests/test_dev.py", "tests/test_local.py"]),
        (["web/page.js", "assistant/articles/fees.md"], ["tests/assistant", "tests/web"]),
        (["README.md", "Makefile", "docs/sqlite.md", ".github/workflows/ci.yml"], ["tests/project"]),
        (["tests/conftest.py", "tests/support/steps.py", "tests/fakes/model.py", "LICENSE"], DEFAULT),
        ([], DEFAULT),
    ],
)
def test_the_tests_of_what_has_changed(changed: list[str], run: list[str]) -> None:
    assert fast_tests(changed) == run


def test_what_is_named_is_there() -> None:
    for path in (*ELSEWHERE, *DEFAULT, *(test for tests in ELSEWHERE.values() for test in tests)):
        assert (ROOT / path).exists(), path
