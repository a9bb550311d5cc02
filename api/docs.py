"""The docs page: Swagger UI over the OpenAPI document, served from this app's own files (``web/docs``), no CDN."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from api.assets import SECURITY_POLICY, WEB, AssetFolder, IfNoneMatch

FOLDER = WEB / "docs"
PAGE = "index.html"
FILES = frozenset({PAGE, "start.js", "swagger-ui-bundle.js", "swagger-ui.css"})
assets = AssetFolder(FOLDER, FILES, {"Content-Security-Policy": SECURITY_POLICY})
router = APIRouter(prefix="/api/docs", include_in_schema=False)


@router.get("")
async def get_docs(if_none_match: IfNoneMatch = None) -> Response:
    """Return the page."""
    return await assets.serve(PAGE, if_none_match)


@router.get("/{file}")
async def get_docs_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the page's scripts and styles."""
    if file == PAGE:
        # It has one address; below this one, its relative references would lead nowhere.
        raise HTTPException(404)
    return await assets.serve(file, if_none_match)
