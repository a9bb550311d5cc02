"""``.env``: variables for a developer's own machine. Nothing else reads the file, and nothing does in production."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values
from pydantic import TypeAdapter, ValidationError

from settings.settings import SettingsError

# In the working directory, as ``DATA_DIR`` is.
ENV_FILE = Path(".env")


def read_env_file(file: Path = ENV_FILE) -> None:
    """In ``DEV_MODE``, set the variables of the file that the environment does not set, not even to nothing.

    :raises SettingsError: if it is no text, or has what cannot be a variable.
    """
    if not _is_dev_mode() or not file.exists():
        return
    try:
        given = dotenv_values(file, interpolate=False)
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: is no text in UTF-8") from None
    for name, value in given.items():
        try:
            os.environ.setdefault(name, value or "")
        except ValueError as error:
            # A line in quotes is all of it a name, its value too.
            raise SettingsError(f"{file}: {name.partition('=')[0]}: {error}") from None


def _is_dev_mode() -> bool:
    try:
        return TypeAdapter(bool).validate_python(os.environ.get("DEV_MODE") or False)
    except ValidationError:
        # Which is told when the settings are read.
        return False
