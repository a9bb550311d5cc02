"""What is true of each tool's calls: how long one may take, whether it asks first, and whether it acts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from settings import Settings, SettingsError
from tools.context import ToolContext
from tools.tool import ToolSpec

ALL = "*"
logger = logging.getLogger(__name__)


class ToolRules:
    """The rules of the process's tools, by name. ``APPROVAL_TOOLS`` adds to what they say themselves.

    :raises SettingsError: if that names one that there is not.
    """

    def __init__(self, specs: Sequence[ToolSpec], settings: Settings) -> None:
        self._specs = {spec.view.name: spec for spec in specs}
        self._asking = set(self._specs) if ALL in settings.approval_tools else set(settings.approval_tools)
        self._timeout = settings.tool_timeout_seconds
        if unknown := self._asking - set(self._specs):
            there_are = ", ".join(self._specs) or "none"
            raise SettingsError(
                f"APPROVAL_TOOLS: there is no tool {', '.join(sorted(unknown))}; there are: {there_are}",
                variables=("APPROVAL_TOOLS",),
            )

    def timeout(self, tool: str) -> float:
        """Return the seconds that one call may take."""
        spec = self._specs.get(tool)
        return self._timeout if spec is None or spec.timeout_seconds is None else spec.timeout_seconds

    def acts(self, tool: str) -> bool:
        """Tell whether a tool changes something: it may run once, and what it did is not known if it is stopped."""
        spec = self._specs.get(tool)
        return spec is not None and (spec.acts or spec.approval != "never" or tool in self._asking)

    def asks(self, tool: str, arguments: Mapping[str, JsonValue], context: Callable[[], ToolContext]) -> bool:
        """Tell whether somebody has to approve a call; ``context`` is made for tools that look. One that cannot say so asks."""
        spec = self._specs.get(tool)
        if tool in self._asking or spec is None or spec.approval == "always":
            return True
        if spec.approval == "never":
            return False
        try:
            return bool(spec.approval(arguments, context()))
        except Exception:
            logger.exception("approval rule of tool %s failed: the call waits for approval", tool)
            return True
