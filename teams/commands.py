"""What the bot answers by itself: its commands, and the words that ask for them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from settings import Assistant
from teams.messages import strings_for
from tools.tool import Preference, ToolSpec, text_in

# One word with a slash: a path has a second slash, a question has more words.
COMMAND = re.compile(r"/[^\W\d_][\w-]*\Z")


class Choice(NamedTuple):
    """A preference of a tool that a command names; ``value`` is ``None`` if it says none that the tool knows."""

    preference: Preference
    value: str | None


class Commands:
    """Understands commands; ``tools`` gives the tools, whose preferences are commands too."""

    def __init__(self, assistant: Assistant, tools: Callable[[], Awaitable[Mapping[str, ToolSpec]]]) -> None:
        self._assistant = assistant
        self._tools = tools

    @staticmethod
    def asks_for_help(text: str) -> bool:
        """Whether somebody wants to know what the bot can do, or uses a command that is none."""
        return text.lower() == "help" or COMMAND.match(text) is not None

    async def find_choice(self, text: str) -> Choice | None:
        """Return the preference that a command ``/parameter value`` names, if it is one of a tool's."""
        name, _, value = text.lower().removeprefix("/").partition(" ")
        if not text.startswith("/"):
            return None
        found = next((each for each in await self._preferences() if each.parameter == name), None)
        value = value.strip()
        return Choice(found, value if value in found.values else None) if found else None

    async def help(self, locale: str | None) -> str:
        """Return what the bot can do, and its commands."""
        language = self._assistant.choose_language([locale or ""])
        lines = [text_in(preference.help, language) for preference in await self._preferences()]
        preferences = "".join(f"{line}\n\n" for line in lines if line)
        return strings_for(language)["help"].format(help=self._assistant.texts[language].help, preferences=preferences)

    async def _preferences(self) -> list[Preference]:
        return [preference for spec in (await self._tools()).values() for preference in spec.preferences]
