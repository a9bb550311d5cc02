"""The docs page: complete, cached, without any other host; and rendered by a real browser where there is one."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from api import docs
from tests.support.server import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(title="Sample", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    app.include_router(docs.router)

    @app.get("/api/things/{thing_id}", summary="Read a thing")
    async def get_thing(thing_id: str) -> dict[str, str]:
        return {"id": thing_id}

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_every_file_that_the_page_names_is_served(client: httpx2.AsyncClient) -> None:
    page = await client.get("/api/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
    assert {"docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"} < set(named)
    for reference in named:
        answer = await client.get(str(page.url.join(reference)))
        assert answer.status_code == 200, reference
        assert len(answer.content) > 100


@pytest.mark.parametrize(
    ("file", "media_type"),
    [
        ("start.js", "text/javascript; charset=utf-8"),
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
    ],
)
async def test_files_have_types_that_browsers_accept(client: httpx2.AsyncClient, file: str, media_type: str) -> None:
    answer = await client.get(f"/api/docs/{file}")
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["index.html", "swagger-ui.VERSION.txt", "..%2fdocs.py", "%2e%2e%2f%2e%2e%2fsettings.py", "x"])
async def test_nothing_else_is_served(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(f"/api/docs/{path}")).status_code == 404


async def test_page_allows_no_inline_script_and_no_other_host(client: httpx2.AsyncClient) -> None:
    page = await client.get("/api/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
    assert "//" not in page.text


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/swagger-ui.css"])
async def test_unchanged_file_is_not_sent_again(client: httpx2.AsyncClient, path: str) -> None:
    etag = (await client.get(path)).headers["etag"]
    for tags in (etag, f'"other", W/{etag}'):
        answer = await client.get(path, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


def test_vendored_files_are_those_of_the_noted_version() -> None:
    first, *sums = (docs.FOLDER / "swagger-ui.VERSION.txt").read_text().splitlines()
    assert re.match(r"swagger-ui-dist \d+\.\d+\.\d+ ", first)
    assert len(sums) == 2
    for line in sums:
        digest, name = line.split()
        assert hashlib.sha256((docs.FOLDER / name).read_bytes()).hexdigest() == digest


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_browser_shows_the_operations(app: FastAPI, tmp_path: Path) -> None:
    async with serve(app) as address:
        dom, log = await browse(f"{address}/api/docs", tmp_path)
    assert "Read a thing" in dom
    assert re.search(r'data-path="/api/things/{thing_id}"', dom)
    assert "Content Security Policy" not in log


async def browse(url: str, profile: Path) -> tuple[str, str]:
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        "--dump-dom",
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        dom, log = await process.communicate()
    return dom.decode(), log.decode(errors="replace")
