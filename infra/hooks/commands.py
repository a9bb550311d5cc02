"""The command lines that the hooks use: ``az`` asks Azure, ``azd`` keeps the environment's values."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

SECONDS = 120


class CommandError(Exception):
    """A command is missing, failed, took too long, or did not answer in JSON; the text says which."""


def run(program: str, *arguments: str, seconds: float = SECONDS) -> str:
    """Run a program and return what it prints.

    :raises CommandError: if it cannot be run, fails, or takes longer than ``seconds``.
    """
    path = shutil.which(program)
    if path is None:
        raise CommandError(f"{program} is not installed")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=seconds)  # noqa: S603 - no shell
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{program} {' '.join(arguments[:3])} did not answer within {seconds:g} s") from error
    if done.returncode:
        raise CommandError(f"{program} {' '.join(arguments[:3])}: {done.stderr.strip()[-500:]}")
    return done.stdout


def ask(program: str, *arguments: str) -> Any:
    """Run a program and return its JSON.

    :raises CommandError: as :func:`run`, and if it is no JSON.
    """
    text = run(program, *arguments, "--output", "json")
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{program} {' '.join(arguments[:3])} did not answer in JSON") from error


@dataclass(frozen=True, slots=True)
class Azure:
    """The Azure CLI on one subscription, whichever is its default."""

    subscription: str

    def ask(self, *arguments: str) -> Any:
        """Return a command's JSON.

        :raises CommandError: as :func:`ask`.
        """
        return ask("az", *arguments, "--subscription", self.subscription)

    def run(self, *arguments: str, seconds: float = SECONDS) -> None:
        """Run a command whose output does not matter.

        :raises CommandError: as :func:`run`.
        """
        run("az", *arguments, "--subscription", self.subscription, seconds=seconds)

    def get(self, path: str, api_version: str) -> Any:
        """Return what Azure Resource Manager answers for a path below the subscription; ``None`` if there is nothing.

        :raises CommandError: as :func:`ask`.
        """
        url = f"https://management.azure.com/subscriptions/{self.subscription}{path}?api-version={api_version}"
        try:
            return ask("az", "rest", "--method", "get", "--url", url)
        except CommandError as error:
            if "NotFound" in str(error):
                return None
            raise


def environment() -> dict[str, str]:
    """Return what azd fills parameters with: the values of its environment, and where it has none, the process's variables.

    :raises CommandError: if there is no environment.
    """
    values: dict[str, str] = ask("azd", "env", "get-values")
    return {**os.environ, **values}


def remember(name: str, value: str) -> None:
    """Keep a value in the azd environment.

    :raises CommandError: if azd cannot.
    """
    run("azd", "env", "set", name, value)
