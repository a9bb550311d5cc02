"""Files that pages are made of: exactly those that are listed, with validators and headers that allow nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import Header, Response
from starlette.exceptions import HTTPException

WEB = Path(__file__).parent.parent / "web"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Only our own files; the styles hold their images as data.
SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The names carry no version: a browser keeps its copy, but asks whether it is still the right one.
    "Cache-Control": "no-cache",
}
IfNoneMatch = Annotated[str | None, Header()]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, with its validator and its media type."""

    content: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, content: bytes, suffix: str) -> Asset:
        """Make one of what a file with such a suffix would hold."""
        return cls(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"', MEDIA_TYPES[suffix])


class AssetFolder:
    """The files of one folder that are served; ``headers`` come with each of them."""

    def __init__(self, folder: Path, names: frozenset[str], headers: Mapping[str, str]) -> None:
        self._folder = folder
        self._names = names
        self._headers = headers

    async def serve(self, name: str, if_none_match: str | None) -> Response:
        """Return a file, or 304 to who has it already; raise 404 for what is not listed."""
        if name not in self._names:
            raise HTTPException(404)
        return asset_response(await asyncio.to_thread(read_asset, self._folder / name), self._headers, if_none_match)


def asset_response(asset: Asset, headers: Mapping[str, str], if_none_match: str | None) -> Response:
    """Return an asset, or 304 to who has it already."""
    headers = {**HEADERS, **headers, "ETag": asset.etag}
    if asset.etag in {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


@cache
def read_asset(path: Path) -> Asset:
    """Read a file once in the life of the process."""
    return Asset.of(path.read_bytes(), path.suffix)
