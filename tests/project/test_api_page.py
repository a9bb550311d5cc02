"""What docs/api.md and docs/operations.md tell is so: a page's reader, what usage counts, who may erase."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from identity.api_keys import make_key
from settings import Settings
from tests.support.server import serve_api

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
KEY, ENTRY = make_key("web", "contoso", ["chat"], None)
ANN = {"X-API-Key": KEY, "X-User-Id": "ann"}
READER = (
    "const [base, threadId, key, user, content] = process.argv.slice(2);\nconst show = (event) => console.log(event.type);\n"
)
# What takes the name of a credential, in an address.
IN_ADDRESS = re.compile(r"[?&](api[_-]?key|key|token|access_token|code|sig)=", re.IGNORECASE)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_reader_of_the_page_reads_a_stream(tmp_path: Path) -> None:
    found = re.search(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert found
    program = tmp_path / "reader.mjs"
    program.write_text(READER + found[1].replace("fetch(`/api", "fetch(base + `/api"))
    async with serve_api(Settings(data_dir=tmp_path, api_keys=(ENTRY,))) as api:
        thread = (await api.post("/api/threads", json={}, headers=ANN)).json()["id"]
        base = str(api.base_url).rstrip("/")
        command = ["node", str(program), base, thread, KEY, "ann", "What is 2 + 2?"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert done.stdout.split()[:1] == ["turn.started"], done.stderr
        assert done.stdout.split()[-1] == "message.completed"
        command[4] = "another key"
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert "Error" in done.stderr


async def test_usage_counts_requests_only_where_they_are_limited(tmp_path: Path) -> None:
    for limit, used in ((0, 0), (100, 2)):
        async with serve_api(Settings(data_dir=tmp_path, limit_requests_per_minute=limit)) as api:
            await api.post("/api/invoke", json={"user_input": "What is 2 + 2?"})
            owner = (await api.get("/api/usage")).json()["owner"]
            assert owner["requests_last_minute"]["used"] == used
            assert owner["tokens_today"]["used"] > 0
            schema = (await api.get("/api/openapi.json")).json()["components"]["schemas"]["PartyUsage"]
            assert "without one, `used` is 0" in json.dumps(schema)
    assert "without a limit `requests_last_minute` says 0" in PAGE


async def test_erasing_needs_admin_as_the_page_for_operators_says(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, api_keys=(ENTRY,))) as api:
        refused = await api.delete("/api/data", headers=ANN)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (403, "missing_scope")
    assert "It needs the scope `admin`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_no_credential_stands_in_an_address() -> None:
    pages = [ROOT / "README.md", ROOT / "demo.http", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").iterdir()]
    assert [str(page) for page in pages if page.is_file() and IN_ADDRESS.search(page.read_text(encoding="utf-8"))] == []
