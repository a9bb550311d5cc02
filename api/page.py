"""The chat page: the files of ``web/``, no build step and no other host."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from api.assets import SECURITY_POLICY, WEB, AssetFolder, IfNoneMatch
from api.deps import ServicesDep

PAGE = "index.html"
FILES = frozenset(
    {
        "answers.css",
        "api.js",
        "composer.js",
        "conversation.js",
        "dom.js",
        "entra.js",
        "feedback.js",
        "icon.svg",
        "markdown.js",
        "menu.js",
        "messagelist.js",
        "messages.js",
        "page.css",
        "page.js",
        "placeholders.js",
        "rename.js",
        "scroll.js",
        "sidebar.js",
        "signin.js",
        "sources.js",
        "sse.js",
        "storage.js",
        "tabs.js",
        "theme.js",
        "threads.js",
        "toasts.js",
        "toolcalls.js",
        "tools.js",
        "turns.js",
        "format.js",
    }
)
VENDORED_FILES = frozenset({"marked.esm.js", "msal-browser.min.js", "purify.es.mjs"})
# Text becomes elements in one place only: the sanitiser, which makes the one policy (https://www.w3.org/TR/trusted-types/).
TRUSTED_TYPES = "require-trusted-types-for 'script'; trusted-types dompurify"
HEADERS = {"Content-Security-Policy": f"{SECURITY_POLICY}; {TRUSTED_TYPES}"}
files = AssetFolder(WEB, FILES, HEADERS)
vendored_files = AssetFolder(WEB / "vendor", VENDORED_FILES, HEADERS)
router = APIRouter(include_in_schema=False)


@cache
def page(authority: str | None) -> AssetFolder:
    """Return the page's own folder; with an authority, the page may fetch tokens from there."""
    return AssetFolder(WEB, frozenset({PAGE}), page_headers(authority))


def page_headers(authority: str | None) -> Mapping[str, str]:
    """Return the headers of the page itself, whose policy is the one that counts for all its modules."""
    if authority is None:
        return HEADERS
    parts = urlsplit(authority)
    return {"Content-Security-Policy": f"{SECURITY_POLICY} {parts.scheme}://{parts.netloc}; {TRUSTED_TYPES}"}


@router.get("/")
async def get_page(services: ServicesDep, if_none_match: IfNoneMatch = None) -> Response:
    """Return the page."""
    settings = services.settings
    return await page(settings.entra_authority if settings.entra_client_id else None).serve(PAGE, if_none_match)


@router.get("/web/{file}")
async def get_page_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the page's modules, its stylesheet or its icon."""
    return await files.serve(file, if_none_match)


@router.get("/web/vendor/{file}")
async def get_vendored_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the libraries that the page uses."""
    return await vendored_files.serve(file, if_none_match)
