"""``az`` and ``azd`` as programs on the PATH: they answer from a file, keep what is set, and note what they were asked.

They take the commands and options below and no others, as the real ones do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# https://learn.microsoft.com/cli/azure/reference-index and https://aka.ms/azd/reference; those of every command are left out.
OPTIONS = {
    "az account show": "",
    "az ad app create": "--display-name --sign-in-audience",
    "az ad app list": "--filter",
    "az ad app show": "--id",
    "az ad sp create": "--id",
    "az ad sp list": "--filter",
    "az cognitiveservices account deployment list": "--name --resource-group",
    "az cognitiveservices model list": "--location",
    "az cognitiveservices usage list": "--location",
    "az cosmosdb sql role assignment delete": "--account-name --resource-group --role-assignment-id --yes",
    "az cosmosdb sql role assignment list": "--account-name --resource-group",
    "az functionapp list-flexconsumption-locations": "",
    "az functionapp list-flexconsumption-runtimes": "--location --runtime",
    "az group exists": "--name",
    "az identity list": "--resource-group",
    "az lock delete": "--ids",
    "az lock list": "--resource-group",
    "az provider list": "",
    "az provider register": "--namespace --wait",
    "az resource delete": "--ids",
    "az resource list": "--resource-group --resource-type",
    "az rest": "--body --headers --method --url",
    "az role assignment delete": "--ids",
    "az role assignment list": "--scope",
    "azd auth login": "--check-status",
    "azd env get-values": "",
    "azd env set": "",
}
GLOBAL = {"--output", "--query", "--subscription"}
PROGRAM = """#!{python} -IS
import json, sys
from pathlib import Path

folder, name, given = Path({folder!r}), Path(sys.argv[0]).name, sys.argv[1:]
with (folder / "asked.jsonl").open("a") as asked:
    asked.write(json.dumps([name, *given]) + "\\n")
known = {options!r}
words = [name, *given]
command = next((each for each in known if words[: len(each.split())] == each.split()), None)
if command is None:
    sys.exit(f"ERROR: '{{' '.join(words[:4])}}' is misspelled or not recognized by the system.")
wrong = {{each for each in given if each.startswith("--")}} - set(known[command].split()) - {globals!r}
if wrong:
    sys.exit(f"ERROR: unrecognized arguments: {{' '.join(wrong)}}")
environment = json.loads((folder / "environment.json").read_text())
if [name, *given[:2]] == ["azd", "env", "set"]:
    environment[given[2]] = given[3]
    (folder / "environment.json").write_text(json.dumps(environment))
elif [name, *given[:2]] == ["azd", "env", "get-values"]:
    print(json.dumps(environment))
else:
    answers = json.loads((folder / "answers.json").read_text())
    line = " ".join(words)
    fitting = [start for start in answers if line == start or line.startswith(start + " ")]
    if not fitting:
        sys.exit(f"ERROR: (ResourceNotFound) {{line}}")
    answer = answers[max(fitting, key=len)]
    if isinstance(answer, str) and answer.startswith("fails"):
        sys.exit(answer.partition(": ")[2] or "ERROR: Please run 'az login' to setup account.")
    print(json.dumps(answer))
"""


class AzureCli:
    """Both programs in a folder of their own; ``answers`` maps a command's beginning to its JSON, or to ``fails: text``."""

    def __init__(self, folder: Path, environment: dict[str, str], answers: dict[str, Any]) -> None:
        self._folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.answers = answers
        (folder / "environment.json").write_text(json.dumps(environment))
        (folder / "asked.jsonl").touch()
        for name in ("az", "azd"):
            program = self._bin / name
            program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder), options=OPTIONS, globals=GLOBAL))
            program.chmod(0o755)

    def without(self, name: str) -> None:
        """Uninstall a program."""
        (self._bin / name).unlink()

    def run(self, module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a hook with nothing else on its PATH."""
        (self._folder / "answers.json").write_text(json.dumps(self.answers))
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=Path(__file__).parents[2],
            env={"PATH": str(self._bin), "HOME": os.environ.get("HOME", "/"), **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The values that azd keeps."""
        values: dict[str, str] = json.loads((self._folder / "environment.json").read_text())
        return values

    @property
    def asked(self) -> list[list[str]]:
        """Every command so far."""
        return [json.loads(line) for line in (self._folder / "asked.jsonl").read_text().splitlines()]
