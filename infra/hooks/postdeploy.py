"""After a deployment: runs tests/deploy against it, with the key that preprovision made for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.hooks.commands import CommandError, environment

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the tests and return their exit code."""
    try:
        values = environment()
    except CommandError as error:
        print(f"The environment cannot be read: {error}", file=sys.stderr)
        return 1
    if not values.get("BASE_URL") or not values.get("CHAT_API_KEY"):
        print("BASE_URL or CHAT_API_KEY is not in the environment: run azd provision first", file=sys.stderr)
        return 1
    passed = {name: values.get(name, "") for name in ("BASE_URL", "CHAT_API_KEY", "DEPLOY_BOT")}
    variables = {**os.environ, **passed}
    return subprocess.run([sys.executable, "-m", "pytest", "tests/deploy"], cwd=ROOT, env=variables).returncode


if __name__ == "__main__":
    sys.exit(main())
