"""The chat page: the files of ``web/``, no build step and no other host."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.assets import SECURITY_POLICY, WEB, AssetFolder, IfNoneMatch

PAGE = "index.html"
FILES = frozenset(
    {
        "api.js",
        "composer.js",
        "conversation.js",
        "dom.js",
        "feedback.js",
        "icon.svg",
        "markdown.js",
        "menu.js",
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
        "turns.js",
        "words.js",
    }
)
VENDORED_FILES = frozenset({"marked.esm.js", "purify.es.mjs"})
# Text becomes elements in one place only: the sanitiser, which makes the one policy (https://www.w3.org/TR/trusted-types/).
HEADERS = {"Content-Security-Policy": f"{SECURITY_POLICY}; require-trusted-types-for 'script'; trusted-types dompurify"}
page = AssetFolder(WEB, frozenset({PAGE}), HEADERS)
files = AssetFolder(WEB, FILES, HEADERS)
vendored_files = AssetFolder(WEB / "vendor", VENDORED_FILES, HEADERS)
router = APIRouter(include_in_schema=False)


@router.get("/")
async def get_page(if_none_match: IfNoneMatch = None) -> Response:
    """Return the page."""
    return await page.serve(PAGE, if_none_match)


@router.get("/web/{file}")
async def get_page_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the page's modules, its stylesheet or its icon."""
    return await files.serve(file, if_none_match)


@router.get("/web/vendor/{file}")
async def get_vendored_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the libraries that the page uses."""
    return await vendored_files.serve(file, if_none_match)
