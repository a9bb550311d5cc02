"""The hooks run with fake ``az`` and ``azd`` programs on the PATH, as azd runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import ENVIRONMENT, deployed_answers, good_answers


@pytest.fixture
def cli(tmp_path: Path) -> AzureCli:
    """Return both programs, before a first deployment."""
    return AzureCli(tmp_path, dict(ENVIRONMENT), good_answers())


@pytest.fixture
def cli_with(tmp_path: Path) -> Callable[..., AzureCli]:
    """Return a function that makes them for an environment with further values, deployed or not."""

    def make(values: dict[str, str], answers: dict[str, Any] | None = None, *, deployed: bool = False) -> AzureCli:
        known = deployed_answers() if deployed else good_answers()
        return AzureCli(tmp_path, {**ENVIRONMENT, **values}, {**known, **(answers or {})})

    return make
