"""After provisioning: local files for running the API here, the page's sign-in, and what is no longer wanted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.hooks import entra
from infra.hooks.commands import Azure, CommandError, environment
from infra.hooks.local_files import merge_env, merge_local_settings
from infra.hooks.parameters import is_private, resolve
from infra.hooks.unused import unused

# Settings of the app, and the outputs that hold them.
OUTPUTS = {
    "COSMOS_ENDPOINT": "COSMOS_ENDPOINT",
    "COSMOS_DATABASE": "API_COSMOS_DATABASE",
    "AZURE_OPENAI_ENDPOINT": "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_MODEL": "API_OPENAI_DEPLOYMENT",
}
REMOVE_SECONDS = 900.0
ROOT = Path(__file__).parents[2]


def write_local_files(folder: Path, values: Mapping[str, str]) -> None:
    """Write ``.env`` and ``local.settings.json`` for data and model on Azure, where this machine reaches them."""
    if values["PRIVATE_NETWORK"].lower() == "true" or values.get("ENVIRONMENT_TYPE") == "prod":
        print("Its data cannot be reached from this machine, so that .env and local.settings.json stay as they are.")
        return
    wanted = {name: values[output] for name, output in OUTPUTS.items()}
    kept = {*merge_env(folder / ".env", wanted)}
    kept |= {*merge_local_settings(folder / "local.settings.json", ROOT / "local.settings.json.example", wanted)}
    print("Written: .env and local.settings.json" + (f"; yours was kept: {', '.join(sorted(kept))}" if kept else ""))


def remove_unused(values: Mapping[str, str]) -> None:
    """Name what the current choices no longer want, and remove it with ``REMOVE_UNUSED=true``.

    :raises CommandError: if Azure cannot be asked, or does not remove something.
    """
    azure = Azure(values["AZURE_SUBSCRIPTION_ID"])
    found = list(unused(azure, resolve(values)))
    if not found:
        return
    remove = values.get("REMOVE_UNUSED", "").lower() == "true"
    print(
        "Removing what is no longer wanted:" if remove else "No longer wanted, and still there (REMOVE_UNUSED=true removes it):"
    )
    for each in found:
        print(f"- {each.text}\n    az {' '.join(each.arguments)} --subscription {azure.subscription}")
        if remove:
            azure.run(*each.arguments, seconds=REMOVE_SECONDS)


def main(folder: Path = ROOT) -> int:
    """Do all of it and return the exit code."""
    try:
        values = environment()
        print(f"The API will be at {values['BASE_URL']}")
        write_local_files(folder, values)
        if values.get("ENTRA_AUTH", "").lower() == "true":
            local = values.get("ENVIRONMENT_TYPE") != "prod"
            entra.allow_page(values["ENTRA_CLIENT_ID"], values["BASE_URL"], local=local)
        if values.get("KEEP_PUBLIC_ACCESS") == "true" and is_private(resolve(values)):
            print("The private endpoints are there. Data services still answer on public addresses: azd provision closes them.")
        remove_unused(values)
    except CommandError as error:
        print(f"What follows provisioning is not finished: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
