"""Clients that are made of the OpenAPI document, as ``docs/clients.md`` has it: complete, typed, and at work."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from identity.api_keys import make_key
from settings import Settings
from tests.support.server import serve_api

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in DOCUMENT.split("\n## ")}
PROGRAMS = ROOT / "node_modules" / ".bin"
PACKAGES = ("openapi-fetch", "openapi-typescript-helpers")
KEY, ENTRY = make_key("client", "contoso", ["chat"], None)
# The generator's own: a file of its templates does not pass, and some of its casts are not needed.
MYPY = "python -m mypy --strict --no-warn-redundant-casts --follow-imports silent --cache-dir .mypy"
CONVERSATION = [
    "answer: 85 * 0.15 = 12.75",
    "tool: calculate 85 * 0.15 12.75",
    "turn: completed",
    "event: calculate",
    "streamed: 2 + 2 = 4",
    "messages: assistant, user, assistant, user",
    "thread: Tip active 4",
    "refused: body.title",
]


def code(section: str, language: str) -> str:
    """Return a program of the page, or a section's commands."""
    found = re.search(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)
    assert found
    return found[1]


async def run(command: str, folder: Path) -> str:
    """Run a command of the page, and return what it printed."""
    pipe = asyncio.subprocess.PIPE
    path = os.pathsep.join((str(Path(sys.executable).parent), str(PROGRAMS), os.environ["PATH"]))
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command.removeprefix("npx ")),
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        stdout=pipe,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    assert process.returncode == 0, f"{command}\n{printed}"
    return printed


async def follow_page(section: str, api: httpx2.AsyncClient, folder: Path) -> list[str]:
    """Do what a section of the page says, but for installing; return what each of its commands printed."""
    commands = code(section, "sh").replace("http://127.0.0.1:7071", str(api.base_url).rstrip("/"))
    return [await run(command, folder) for command in commands.splitlines() if " install " not in command]


def write_program(section: str, language: str, api: httpx2.AsyncClient, path: Path) -> None:
    path.write_text(code(section, language).replace("http://127.0.0.1:7071", str(api.base_url).rstrip("/")))


async def operation_ids(api: httpx2.AsyncClient) -> set[str]:
    document: dict[str, Any] = (await api.get("/api/openapi.json")).json()
    return {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}


def untyped_fields(package: Path) -> set[str]:
    """Return the fields of a Python client's models that may be anything."""
    found = set()
    for path in package.glob("models/*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.ClassDef):
                fields = [part for part in each.body if isinstance(part, ast.AnnAssign)]
                found |= {f"{each.name}.{ast.unparse(part.target)}" for part in fields if "Any" in ast.unparse(part.annotation)}
    return {name for name in found if not name.endswith(".additional_properties")}


async def test_a_client_in_python_is_complete_typed_and_talks(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path / "data", api_keys=(ENTRY,))) as api:
        write_program("Python", "python", api, tmp_path / "conversation.py")
        program = (tmp_path / "conversation.py").read_text().replace("your-key", KEY)
        (tmp_path / "conversation.py").write_text(program)
        generated, said = await follow_page("Python", api, tmp_path)
        expected = await operation_ids(api)
    client = tmp_path / "chat_client"
    assert re.findall(r"WARNING parsing (.*) within", generated) == ["GET /api/export"]
    assert {path.stem for path in client.glob("api/*/*.py")} - {"__init__"} == expected
    assert untyped_fields(client) == {"ToolCall.result", "ToolCompleted.result", "ToolResult.result"}
    models = [str(path.relative_to(tmp_path)) for path in client.glob("models/*.py")]
    await run(shlex.join([*MYPY.split(), "conversation.py", "chat_client/api", *models]), tmp_path)
    assert said.splitlines() == [*CONVERSATION[:-1], "again: 5 events", CONVERSATION[-1]]


@pytest.mark.skipif(not shutil.which("node") or not (PROGRAMS / "tsc").exists(), reason="needs Node and `npm ci`")
async def test_a_client_in_typescript_is_complete_typed_and_talks(tmp_path: Path) -> None:
    # Of what is installed only what the page says: the compiler would read the types of all the rest, too.
    (tmp_path / "node_modules").mkdir()
    for name in PACKAGES:
        (tmp_path / "node_modules" / name).symlink_to(ROOT / "node_modules" / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    async with serve_api(Settings(data_dir=tmp_path / "data")) as api:
        write_program("TypeScript", "typescript", api, tmp_path / "conversation.ts")
        _, _, said = await follow_page("TypeScript", api, tmp_path)
        expected = await operation_ids(api)
    text = (tmp_path / "chat-api.d.ts").read_text()
    operations = text[text.index("export interface operations {") :]
    assert set(re.findall(r"^    (\w+): \{$", operations, re.MULTILINE)) == expected
    schemas = text[text.index("    schemas: {") : text.index("export interface operations {")]
    schemas = schemas.replace('"unknown"', "")  # a status
    free = [line.strip() for line in schemas.splitlines() if re.search(r"\b(unknown|any)\b", line) and "*" not in line]
    assert free == [
        "JsonValue: unknown;",
        "result?: null | boolean | number | string | unknown[] | {",
        "[key: string]: unknown;",
        "MetadataValue: null | boolean | number | string | unknown[] | {",
        "[key: string]: unknown;",
    ]
    assert said.splitlines() == CONVERSATION
