"""``make fuzz``: requests made up from the OpenAPI document, held against it; signed in, and as a stranger."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from identity.api_keys import make_key
from tests.programs.bench.processes import ROOT, free_port, program

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# A turn with the offline model takes milliseconds.
REQUEST_SECONDS = 20


async def fuzz(examples: int, seed: int | None) -> bool:
    """Fuzz a server of our own, until a run finds something; tell whether none did."""
    key, entry = make_key("fuzz", "contoso", ["chat", "admin"], None)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {"DATA_DIR": folder, "PORT": str(port), "LOG_LEVEL": "ERROR"}
        environment["API_KEYS"] = json.dumps([entry.model_dump(mode="json")])
        async with program(sys.executable, "-m", "tests.programs.fuzz.launcher", port=port, environment=environment):
            for who, headers in (("signed in", ("--header", f"X-API-Key: {key}")), ("a stranger", ())):
                print(f"fuzzing as {who}", flush=True)
                if await run(f"http://127.0.0.1:{port}/api/openapi.json", headers, examples, seed) != 0:
                    return False
    return True


async def run(url: str, options: tuple[str, ...], examples: int, seed: int | None) -> int:
    """Run Schemathesis with the options of every run, and these; return its exit code."""
    command = [str(SCHEMATHESIS), "--no-color", "--config-file", str(HERE / "schemathesis.toml"), "run", url, *options]
    command += ["--checks", "all", "--max-examples", str(examples), "--request-timeout", str(REQUEST_SECONDS)]
    command += ["--suppress-health-check", "all", "--warnings", "off"]
    if seed is not None:
        command += ["--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.programs.fuzz.hooks"}
    process = await asyncio.create_subprocess_exec(*command, cwd=tempfile.gettempdir(), env=environment)
    return await process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.fuzz")
    parser.add_argument("--examples", type=int, default=100, help="made-up requests of each operation")
    parser.add_argument("--seed", type=int, help="repeats a run; default: a new one")
    given = parser.parse_args()
    return 0 if asyncio.run(fuzz(given.examples, given.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
