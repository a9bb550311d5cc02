"""What tools are opened with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from settings import Assistant, Settings
from settings.settings import read_environment
from tools.settings import ToolSettings

S = TypeVar("S", bound=ToolSettings)


@dataclass(frozen=True, slots=True)
class ToolEnvironment:
    """The settings of the core, and the assistant whose tools they are."""

    settings: Settings
    assistant: Assistant

    def read(self, kind: type[S]) -> S:
        """Read a tool's own settings from the environment.

        :raises SettingsError: naming every variable whose value cannot be used.
        """
        return read_environment(kind)
