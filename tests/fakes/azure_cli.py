"""``az`` and ``azd`` as programs on the PATH: they answer from a file, keep what is set, and note what they were asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """#!{python} -IS
import json, sys
from pathlib import Path

folder, name, given = Path({folder!r}), Path(sys.argv[0]).name, sys.argv[1:]
with (folder / "asked.jsonl").open("a") as asked:
    asked.write(json.dumps([name, *given]) + "\\n")
environment = json.loads((folder / "environment.json").read_text())
if [name, *given[:2]] == ["azd", "env", "set"]:
    environment[given[2]] = given[3]
    (folder / "environment.json").write_text(json.dumps(environment))
elif [name, *given[:2]] == ["azd", "env", "get-values"]:
    print(json.dumps(environment))
else:
    answers = json.loads((folder / "answers.json").read_text())
    command = " ".join([name, *given])
    [answer] = [answer for start, answer in answers.items() if command == start or command.startswith(start + " ")]
    if answer == "fails":
        sys.exit("ERROR: Please run 'az login' to setup account.")
    print(json.dumps(answer))
"""


class AzureCli:
    """Both programs in a folder of their own; ``answers`` maps the beginning of a command to its JSON, or to ``fails``."""

    def __init__(self, folder: Path, environment: dict[str, str], answers: dict[str, Any]) -> None:
        self._folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.answers = answers
        (folder / "environment.json").write_text(json.dumps(environment))
        (folder / "asked.jsonl").touch()
        for name in ("az", "azd"):
            program = self._bin / name
            program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
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
