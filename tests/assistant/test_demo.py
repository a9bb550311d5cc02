"""demo.http, run top to bottom by a real .http runner against a started server."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[2]
HTTPYAC = ROOT / "node_modules" / ".bin" / "httpyac"


@pytest.mark.skipif(not shutil.which("node") or not HTTPYAC.exists(), reason="needs Node and `npm ci`")
async def test_every_request_of_the_demo_is_answered_as_it_says(api: httpx2.AsyncClient, tmp_path: Path) -> None:
    demo = (ROOT / "demo.http").read_text()
    (tmp_path / "demo.http").write_text(demo.replace("http://localhost:7071", str(api.base_url).rstrip("/")))
    shutil.copy(Path(__file__).with_name("httpyac.config.js"), tmp_path)
    output = tmp_path / "output.json"
    # To a file: what Node writes to a pipe is cut off when the program exits.
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            HTTPYAC, "demo.http", "--all", "--json", "--output", "response", cwd=tmp_path, stdout=file
        )
        await process.wait()
    results = json.loads(output.read_text())["requests"]

    sections = re.split(r"^### ", demo, flags=re.MULTILINE)[1:]
    assert len(results) == len(sections)
    for section, result in zip(sections, results, strict=True):
        title = section.splitlines()[0]
        expected = re.search(r"^# @expect (\d+)", section, re.MULTILINE)
        status = result["response"]["statusCode"]
        assert (status == int(expected[1])) if expected else (200 <= status < 300), (title, result["response"])
    by_title = {section.splitlines()[0]: result["response"] for section, result in zip(sections, results, strict=True)}
    both = json.loads(by_title["Two tools at once: weather and a calculation"]["body"])
    assert [call["tool"] for call in both["tool_calls"]] == ["get_weather", "calculate"]
    assert both["tool_calls"][1]["result"] == 12.75
    replayed = by_title["The same key again: the same answer, marked Idempotent-Replayed"]
    assert replayed["headers"]["idempotent-replayed"] == "true"


async def test_the_demo_shows_every_endpoint(api: httpx2.AsyncClient) -> None:
    demo = (ROOT / "demo.http").read_text()
    shown = {(method, _as_route(path)) for method, path in re.findall(r"^([A-Z]+) \{\{baseUrl\}\}(\S+)", demo, re.MULTILINE)}
    document = (await api.get("/api/openapi.json")).json()
    offered = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert offered <= shown


def _as_route(path: str) -> str:
    """Return the route that an address of the demo leads to: what it puts in are ids from earlier answers."""
    for name, parameter in (
        ("createThread", "thread_id"),
        ("inBackground", "turn_id"),
        ("paused", "turn_id"),
        ("twoTools", "message_id"),
        ("erasure", "erasure_id"),
    ):
        path = re.sub(rf"\{{\{{{name}\.[^}}]*\}}\}}", f"{{{parameter}}}", path)
    return path.partition("?")[0]
