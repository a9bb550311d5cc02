"""What the bot answers by itself: its commands, and the words that ask for them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from settings import Assistant
from teams.activity import Incoming
from teams.conversations import Conversations
from teams.messages import language_of, strings_for
from tools.tool import Preference, ToolSpec, text_in

NEW = "/new"
RESET = "/reset"
# One word with a slash: a path has a second slash, a question has more words.
COMMAND = re.compile(r"/[^\W\d_][\w-]*\Z")


class Choice(NamedTuple):
    """A preference of a tool that a command names; ``value`` is ``None`` if it says none that the tool knows."""

    preference: Preference
    value: str | None


class Commands:
    """Understands commands; ``tools`` gives the tools, whose preferences are commands too."""

    def __init__(
        self, assistant: Assistant, conversations: Conversations, tools: Callable[[], Awaitable[Mapping[str, ToolSpec]]]
    ) -> None:
        self._assistant = assistant
        self._conversations = conversations
        self._tools = tools

    async def answer(self, incoming: Incoming, text: str) -> str | None:
        """Do what a command says and return what to say about it; ``None`` if the text is no command."""
        command, strings = text.lower(), strings_for(incoming.activity.locale)
        if command in (NEW, RESET):
            await self._conversations.reset(incoming, preferences=command == RESET)
            return strings["new"]
        if choice := await self._find_choice(text):
            return await self._choose(incoming, choice)
        # A word that is no command is answered as somebody who does not know them.
        if command == "help" or COMMAND.match(text):
            return await self._help(incoming.activity.locale)
        return None

    async def _choose(self, incoming: Incoming, choice: Choice) -> str:
        preference, value = choice
        language = language_of(strings_for(incoming.activity.locale))
        if value is None:
            values = ", ".join(f"/{preference.parameter} {each}" for each in preference.values)
            return text_in(preference.help, language) or values
        await self._conversations.choose(incoming.owner, preference.parameter, value)
        return text_in(preference.values[value], language) or value

    async def _find_choice(self, text: str) -> Choice | None:
        """Return the preference that a command ``/parameter value`` names, if it is one of a tool's."""
        name, _, value = text.lower().removeprefix("/").partition(" ")
        if not text.startswith("/"):
            return None
        found = next((each for each in await self._preferences() if each.parameter == name), None)
        value = value.strip()
        return Choice(found, value if value in found.values else None) if found else None

    async def _help(self, locale: str | None) -> str:
        """Return what the bot can do, and its commands."""
        language = self._assistant.choose_language([locale or ""])
        lines = [text_in(preference.help, language) for preference in await self._preferences()]
        preferences = "".join(f"{line}\n\n" for line in lines if line)
        return strings_for(language)["help"].format(help=self._assistant.texts[language].help, preferences=preferences)

    async def _preferences(self) -> list[Preference]:
        return [preference for spec in (await self._tools()).values() for preference in spec.preferences]
