"""In a pipeline: hands the choices that are kept as GitHub's variables to azd, whose environment is new in each run.

``VARIABLES`` is the JSON object of all of them; those that are no choice of a deployment are left out.
"""

from __future__ import annotations

import json
import os
import re
import sys

from infra.hooks.commands import CommandError, remember
from infra.hooks.parameters import FILE

# Read by the hooks only.
HOOKS = {"ENTRA_AUTH", "REMOVE_UNUSED"}
# Given by the workflow itself, or made anew by the hooks in each run.
NOT_FROM_VARIABLES = {
    "API_KEYS_BASE64",
    "AZURE_ENV_NAME",
    "AZURE_LOCATION",
    "AZURE_PRINCIPAL_ID",
    "AZURE_PRINCIPAL_TYPE",
    "BUDGET_START_DATE",
    "ENVIRONMENT_TYPE",
    "EXISTING_REDIS_URL",
    "KEEP_PUBLIC_ACCESS",
    "TELEMETRY_HASH_KEY",
}


def choices() -> set[str]:
    """Return the names of the variables that a deployment reads."""
    return (set(re.findall(r"\$\{(\w+)", FILE.read_text(encoding="utf-8"))) | HOOKS) - NOT_FROM_VARIABLES


def main() -> int:
    """Set them and return the exit code."""
    given: dict[str, str] = json.loads(os.environ.get("VARIABLES") or "{}")
    try:
        for name in sorted(choices() & given.keys()):
            remember(name, given[name])
    except CommandError as error:
        print(f"The choices cannot be handed to azd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
