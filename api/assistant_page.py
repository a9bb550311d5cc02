"""What of the chat page is the assistant's, made once: the document in each language, the colours, the logo."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.assets import WEB, Asset, read_asset
from api.page_template import fill_page, style_of
from settings import Assistant
from settings.assistant import LOGO

PAGE = WEB / "index.html"
COLORS = "assistant.css"


class AssistantPage:
    """An assistant's page."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._made: dict[str, Asset] = {}

    async def document(self, language: str) -> Asset:
        """Return the page's document in one of the assistant's languages."""
        return await self._once(f"document {language}", lambda: self._fill(language))

    async def file(self, name: str) -> Asset | None:
        """Return the assistant's logo, or the stylesheet with its colours; ``None`` if the name is another one."""
        if name == LOGO:
            return await asyncio.to_thread(read_asset, self._assistant.folder / LOGO)
        if name == COLORS:
            return await self._once(name, lambda: Asset.of(style_of(self._assistant).encode(), ".css"))
        return None

    def _fill(self, language: str) -> Asset:
        return Asset.of(fill_page(PAGE.read_text(encoding="utf-8"), self._assistant, language).encode(), ".html")

    async def _once(self, name: str, make: Callable[[], Asset]) -> Asset:
        if name not in self._made:
            self._made[name] = await asyncio.to_thread(make)
        return self._made[name]
