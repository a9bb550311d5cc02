"""Who has no bot pays nothing for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, json, sys
from api.app import create_app
from settings import load_settings

async def main():
    app = create_app(load_settings())
    async with app.router.lifespan_context(app) as state:
        if state["services"].bot:
            await state["services"].bot.get()

asyncio.run(main())
print(json.dumps(sorted(name for name in sys.modules)))
"""


@pytest.mark.parametrize("bot", [False, True])
def test_nothing_of_the_channel_is_imported_while_no_bot_is_configured(tmp_path: Path, *, bot: bool) -> None:
    environment = {"DATA_DIR": str(tmp_path), **({"TEAMS_LOCAL": "1"} if bot else {})}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout))
    ours = {name for name in modules if name.partition(".")[0] in ("teams", "microsoft_agents", "microsoft_teams")}
    assert bool(ours) is bot
    assert ("azure.storage.queue" in modules) is bot
