"""``az`` and ``azd`` as programs on the PATH: they answer from a file, keep what is set, and note what they were asked.

They take the commands and options below and no others, as the real ones do.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[2]

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
# Started some thousand times in a run of the tests: it imports as little as it can, and keeps its files as Python's literals.
PROGRAM = """#!{python} -IS
import sys

folder, name, given = {folder!r}, sys.argv[0].rpartition("/")[2], sys.argv[1:]
with open(folder + "/asked", "a", encoding="utf-8") as asked:
    asked.write(repr([name, *given]) + "\\n")
known = {options!r}
words = [name, *given]
command = next((each for each in known if words[: len(each.split())] == each.split()), None)
if command is None:
    sys.exit(f"ERROR: '{{' '.join(words[:4])}}' is misspelled or not recognized by the system.")
wrong = {{each for each in given if each.startswith("--")}} - set(known[command].split()) - {globals!r}
if wrong:
    sys.exit(f"ERROR: unrecognized arguments: {{' '.join(wrong)}}")
if name == "azd" and given[0] == "env":
    import json

    with open(folder + "/environment.json", encoding="utf-8") as file:
        environment = json.load(file)
    if given[1] == "set":
        environment[given[2]] = given[3]
        with open(folder + "/environment.json", "w", encoding="utf-8") as file:
            json.dump(environment, file)
    else:
        print(json.dumps(environment))
else:
    with open(folder + "/answers", encoding="utf-8") as file:
        answers = eval(file.read())
    line = " ".join(words)
    fitting = [start for start in answers if line == start or line.startswith(start + " ")]
    if not fitting:
        sys.exit(f"ERROR: (ResourceNotFound) {{line}}")
    answer = answers[max(fitting, key=len)]
    if answer.startswith("fails"):
        sys.exit(answer.partition(": ")[2] or "ERROR: Please run 'az login' to setup account.")
    print(answer)
"""


class AzureCli:
    """Both programs in a folder of their own; ``answers`` maps a command's beginning to its JSON, or to ``fails: text``."""

    def __init__(self, folder: Path, environment: dict[str, str], answers: dict[str, Any]) -> None:
        self._folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.answers = answers
        (folder / "environment.json").write_text(json.dumps(environment))
        (folder / "asked").touch()
        for name in ("az", "azd"):
            program = self._bin / name
            program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder), options=OPTIONS, globals=GLOBAL))
            program.chmod(0o755)

    def without(self, name: str) -> None:
        """Uninstall a program."""
        (self._bin / name).unlink()

    def run(self, module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a hook in this process, which has its imports already, with nothing else on its PATH."""
        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with (
            mock.patch.dict(os.environ, self._variables(variables), clear=True),
            mock.patch.object(sys, "argv", [module, *arguments]),
            contextlib.chdir(ROOT),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                runpy.run_path(str(ROOT / f"{module.replace('.', '/')}.py"), run_name="__main__")
            except SystemExit as exit:
                code = exit.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess([module, *arguments], code, out.getvalue(), err.getvalue())

    def run_program(self, module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a hook as azd does: a program of its own."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self._variables(variables),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def _variables(self, further: dict[str, str]) -> dict[str, str]:
        """Write down the answers as they are now, and return a hook's environment."""
        texts = {
            command: answer if isinstance(answer, str) and answer.startswith("fails") else json.dumps(answer)
            for command, answer in self.answers.items()
        }
        (self._folder / "answers").write_text(repr(texts))
        return {"PATH": str(self._bin), "HOME": os.environ.get("HOME", "/"), **further}

    @property
    def environment(self) -> dict[str, str]:
        """The values that azd keeps."""
        values: dict[str, str] = json.loads((self._folder / "environment.json").read_text())
        return values

    @property
    def asked(self) -> list[list[str]]:
        """Every command so far."""
        return [ast.literal_eval(line) for line in (self._folder / "asked").read_text().splitlines()]
