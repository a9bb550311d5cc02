"""The API with the sample assistant."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from settings import Settings
from tests.assistant.folder import FOLDER
from tests.support.server import serve_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve_api(Settings(data_dir=tmp_path, assistant_dir=FOLDER)) as client:
        yield client
