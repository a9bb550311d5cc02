"""The deployment under test: the one at ``BASE_URL``, or else a server that is started here.

``CHAT_API_KEY`` or ``CHAT_TOKEN`` (an Entra ID access token for the API) is what the tests sign in with there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from identity.api_keys import make_key
from settings import Settings
from tests.deploy.waiting import NotUp, until_ready
from tests.support.assistant_folder import FOLDER
from tests.support.server import serve_api

REQUEST_SECONDS = 150.0


@asynccontextmanager
async def deployment(data_dir: Path, assistant: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, dict[str, str]]]:
    """Yield a client and the header that it can sign in with."""
    if base_url := os.environ.get("BASE_URL"):
        async with httpx2.AsyncClient(base_url=base_url, timeout=REQUEST_SECONDS) as client:
            yield client, _credentials()
        return
    key, entry = make_key("deploy", "test", ["chat"], None)
    async with serve_api(Settings(data_dir=data_dir, assistant_dir=assistant, api_keys=(entry,))) as client:
        yield client, {"X-API-Key": key}


def _credentials() -> dict[str, str]:
    if key := os.environ.get("CHAT_API_KEY"):
        return {"X-API-Key": key}
    if token := os.environ.get("CHAT_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    pytest.fail("set CHAT_API_KEY or CHAT_TOKEN together with BASE_URL", pytrace=False)


# Here it runs with a calculator and without; a deployment has what it has.
@pytest.fixture(
    params=[FOLDER] if os.environ.get("BASE_URL") else [FOLDER, FOLDER.with_name("bank")], ids=lambda path: path.name
)
async def chat(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[httpx2.AsyncClient]:
    """A signed-in client of the deployment, once that is ready."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    async with deployment(tmp_path, request.param) as (client, credentials):
        try:
            await until_ready(client, tell)
        except NotUp as error:
            pytest.fail(str(error), pytrace=False)
        client.headers.update(credentials)
        yield client
