"""What goes to Azure: the package that .funcignore leaves is complete, and the host's files say what the app relies on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api.functions_bridge import START_SECONDS
from data_rights import retention
from settings import Settings

ROOT = Path(__file__).parent.parent.parent
SHIPPED = {"function_app.py", "host.json", "requirements.txt", "web/docs/index.html", "web/docs/swagger-ui-bundle.js"}
KEPT = {
    "tests",
    "Dockerfile",
    "docs",
    "scripts",
    "infra",
    "requirements",
    "node_modules",
    ".git",
    ".venv",
    ".data",
    ".ci",
}
HOST_SETTINGS = {
    "FUNCTIONS_WORKER_RUNTIME",
    "AzureWebJobsStorage",
    "AzureWebJobsSecretStorageType",
    "AzureWebJobsDisableHomepage",
    "PYTHON_ENABLE_INIT_INDEXING",
}


def git(*arguments: str | Path) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return [line for line in done.stdout.split("\0") if line]


@pytest.fixture
def package(tmp_path: Path) -> list[str]:
    """The paths of the package: what .funcignore leaves of a clean checkout.

    An empty repository for the same folder makes every file untracked, which is what exclude patterns act on.
    """
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout: what belongs to it is unknown")
    git("init", "--quiet", tmp_path / "empty")
    left = git(
        f"--git-dir={tmp_path}/empty/.git", f"--work-tree={ROOT}", "ls-files", "-z", "--others", "--exclude-from=.funcignore"
    )
    checkout = set(git("ls-files", "-z", "--cached", "--others", "--exclude-standard"))
    return sorted(checkout.intersection(left))


def test_package_holds_the_app_and_nothing_else(package: list[str]) -> None:
    assert set(package) >= SHIPPED
    for folder in ("assistant", "tools", "web", "api"):
        expected = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {path for path in expected if "__pycache__" not in path} <= set(package)
    assert {path.split("/")[0] for path in package}.isdisjoint(KEPT)
    assert not [path for path in package if "local" in path or path.endswith((".md.example", ".http", ".yaml"))]


def test_package_works_on_its_own(package: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "package"
    for path in package:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={"DATA_DIR": str(tmp_path), "ALLOW_ANONYMOUS_LOCAL": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    functions, statuses = json.loads(done.stdout)
    assert "send_message" in functions
    assert statuses == [201, 200, 200, 200]


PROGRAM = """
import asyncio, json, function_app, httpx2

async def main():
    api = function_app.api
    async with api.router.lifespan_context(api) as state:
        transport = httpx2.ASGITransport(with_state(api, state))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            created = await client.post("/api/threads", json={})
            message = await client.post(created.headers["location"] + "/messages", json={"content": "What is 2 + 2?"})
            page = await client.get("/api/docs")
            script = await client.get("/api/docs/swagger-ui-bundle.js")
    return [created.status_code, message.status_code, page.status_code, script.status_code]

def with_state(api, state):
    async def app(scope, receive, send):
        await api({**scope, "state": dict(state)}, receive, send)
    return app

statuses = asyncio.run(main())
print(json.dumps([[function.get_function_name() for function in function_app.app.get_functions()], statuses]))
"""


def test_indexing_imports_nothing_heavy(tmp_path: Path) -> None:
    """The rest is imported while the host already serves: see the agent in api/app.py."""
    heavy = {
        "microsoft_agents",
        "teams",
        "azure.storage.queue",
        "agent_framework",
        "azure.cosmos",
        "azure.identity",
        "aiohttp",
        "azure.monitor.opentelemetry",
        "sqlite3",
    }
    program = "import json, sys, function_app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"DATA_DIR": str(tmp_path), "ALLOW_ANONYMOUS_LOCAL": "true"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert heavy & set(json.loads(done.stdout)) == set()


def test_worker_chooses_the_right_runtime() -> None:
    """The worker reads the text: with either of these it would load its FastAPI runtime, which is another one."""
    text = (ROOT / "function_app.py").read_text()
    assert "from fastapi import" not in text
    assert "FastAPI()" not in text


def test_host_leaves_the_paths_to_the_functions() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    assert host["version"] == "2.0"
    assert host["extensions"]["http"]["routePrefix"] == ""
    # Lets the host leave to the worker what the worker records itself.
    assert host["telemetryMode"] == "OpenTelemetry"
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"


def test_turn_ends_before_the_hosts_deadline() -> None:
    hours, minutes, seconds = map(int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":"))
    assert hours * 3600 + minutes * 60 + seconds > Settings.model_fields["turn_timeout_seconds"].default


def test_timer_ends_before_the_hosts_deadline() -> None:
    hours, minutes, seconds = map(int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":"))
    text = (ROOT / "function_app.py").read_text()
    erasing = re.search(r"^ERASING_SECONDS = ([\d.]+)$", text, re.MULTILINE)
    assert erasing
    assert hours * 3600 + minutes * 60 + seconds > retention.SWEEP_SECONDS + float(erasing[1]) + START_SECONDS


def test_example_settings_are_known_and_run_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    values = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    ours = {name for name in values if name not in HOST_SETTINGS}
    assert set(values) > HOST_SETTINGS
    assert {name.lower() for name in ours} <= set(Settings.model_fields)
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    for name in ours:
        monkeypatch.setenv(name, values[name])
    settings = Settings()
    assert (settings.model_kind, settings.cosmos_endpoint) == ("offline", None)
