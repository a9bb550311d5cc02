"""The docs page: Swagger UI over the OpenAPI document, served from this app's own files (``web/docs``), no CDN."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent.parent / "web" / "docs"
PAGE = "index.html"
MEDIA_TYPES = {
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
HEADERS = {
    # Only our own files; Swagger UI's styles hold their images as data.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The names carry no version: a browser keeps its copy, but asks whether it is still the right one.
    "Cache-Control": "no-cache",
}
IfNoneMatch = Annotated[str | None, Header()]
router = APIRouter(prefix="/api/docs", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, with its validator."""

    content: bytes
    etag: str


@router.get("")
async def get_docs(if_none_match: IfNoneMatch = None) -> Response:
    """Return the page."""
    return await _serve(PAGE, "text/html; charset=utf-8", if_none_match)


@router.get("/{file}")
async def get_docs_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the page's scripts and styles."""
    if file not in MEDIA_TYPES:
        raise HTTPException(404)
    return await _serve(file, MEDIA_TYPES[file], if_none_match)


async def _serve(name: str, media_type: str, if_none_match: str | None) -> Response:
    asset = await asyncio.to_thread(_read, name)
    headers = {**HEADERS, "ETag": asset.etag}
    if asset.etag in {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=media_type)


@cache
def _read(name: str) -> Asset:
    content = (FOLDER / name).read_bytes()
    return Asset(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
