"""The chat page's files as they are served: complete, typed, cached, small, and allowed nothing but themselves."""

from __future__ import annotations

import hashlib
import re

import httpx2
import pytest

from api import page
from api.assets import WEB
from api.assistant_page import PAGE

LIMIT = 150_000


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/web/page.js", "text/javascript; charset=utf-8"),
        ("/web/page.css", "text/css; charset=utf-8"),
        ("/web/logo.svg", "image/svg+xml"),
        ("/web/vendor/marked.esm.js", "text/javascript; charset=utf-8"),
        ("/web/vendor/purify.es.mjs", "text/javascript; charset=utf-8"),
    ],
)
async def test_files_have_types_that_browsers_accept(api: httpx2.AsyncClient, path: str, media_type: str) -> None:
    answer = await api.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


async def test_page_may_use_nothing_but_its_own_files(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "dompurify",
    }
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|//", answer.text)


async def test_all_that_the_page_and_its_modules_name_is_served(api: httpx2.AsyncClient) -> None:
    waiting, served = ["/"], set()
    while waiting:
        path = waiting.pop()
        answer = await api.get(path)
        assert answer.status_code == 200, path
        served.add(path)
        named = re.findall(r'(?:src|href)="(web/[^"]+)"' if path == "/" else r'(?:from |import\()"(\./[^"]+)"', answer.text)
        waiting += [found for name in named if (found := answer.url.join(name).path) not in served]
    assert served == {
        "/",
        "/web/logo.svg",
        "/web/assistant.css",
        *(f"/web/{name}" for name in page.FILES),
        *(f"/web/vendor/{name}" for name in page.VENDORED_FILES),
    }


def test_every_file_of_the_folder_is_listed() -> None:
    assert {path.name for path in WEB.iterdir() if path.is_file()} == page.FILES | {PAGE.name}


@pytest.mark.parametrize(
    "path",
    ["/web/index.html", "/web/x", "/web/vendor", "/web/vendor/VERSIONS.txt", "/web/..%2fsettings.py", "/web/%2e%2e%2fpage.js"],
)
async def test_nothing_else_is_served(api: httpx2.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/web/page.js", "/web/vendor/marked.esm.js"])
async def test_unchanged_file_is_not_sent_again(api: httpx2.AsyncClient, path: str) -> None:
    etag = (await api.get(path)).headers["etag"]
    again = await api.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


def test_page_is_light() -> None:
    assert sum(path.stat().st_size for path in WEB.iterdir() if path.is_file()) < LIMIT


def test_vendored_files_are_those_of_the_noted_versions() -> None:
    first, _, _, *sums = (WEB / "vendor" / "VERSIONS.txt").read_text().splitlines()
    pattern = r"marked (\S+) \(MIT\), dompurify (\S+) \(MPL-2.0 OR Apache-2.0\) and @azure/msal-browser (\S+) \(MIT\),"
    noted = re.match(pattern, first)
    assert noted
    assert f"@azure/msal-browser v{noted[3]} " in (WEB / "vendor" / "msal-browser.min.js").read_text()
    assert f"marked v{noted[1]} " in (WEB / "vendor" / "marked.esm.js").read_text()
    assert f"DOMPurify {noted[2]} " in (WEB / "vendor" / "purify.es.mjs").read_text()
    digests = {name: digest for digest, name in map(str.split, sums)}
    assert set(digests) == page.VENDORED_FILES
    for name, digest in digests.items():
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == digest
