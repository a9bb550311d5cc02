"""The chat page: the files of ``web/`` with what is the assistant's, no build step and no other host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Request, Response

from api.assets import SECURITY_POLICY, WEB, AssetFolder, IfNoneMatch, asset_response
from api.assistant_page import AssistantPage
from api.content_negotiation import preferred_languages
from api.deps import ServicesDep

FILES = frozenset(
    {
        "answers.css",
        "api.js",
        "composer.js",
        "conversation.js",
        "decisions.js",
        "dom.js",
        "entra.js",
        "feedback.js",
        "markdown.js",
        "menu.js",
        "messagelist.js",
        "messages.js",
        "page.css",
        "page.js",
        "placeholders.js",
        "reasoning.js",
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


def assistant_page(request: Request) -> AssistantPage:
    """Return the page of the app's assistant."""
    page: AssistantPage = request.app.state.page
    return page


def page_headers(authority: str | None) -> Mapping[str, str]:
    """Return the headers of the page itself, whose policy is the one that counts for all its modules."""
    if authority is None:
        return HEADERS
    parts = urlsplit(authority)
    return {"Content-Security-Policy": f"{SECURITY_POLICY} {parts.scheme}://{parts.netloc}; {TRUSTED_TYPES}"}


@router.get("/")
async def get_page(
    request: Request,
    services: ServicesDep,
    if_none_match: IfNoneMatch = None,
    accept_language: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the page, with the assistant's texts in the first of the browser's languages that it speaks."""
    settings = services.settings
    language = services.assistant.choose_language(preferred_languages(accept_language))
    headers = page_headers(settings.entra_authority if settings.entra_client_id else None)
    asset = await assistant_page(request).document(language)
    return asset_response(asset, {**headers, "Content-Language": language, "Vary": "Accept-Language"}, if_none_match)


@router.get("/web/{file}")
async def get_page_file(request: Request, file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the page's modules or stylesheets, or the assistant's logo or colours."""
    if asset := await assistant_page(request).file(file):
        return asset_response(asset, HEADERS, if_none_match)
    return await files.serve(file, if_none_match)


@router.get("/web/vendor/{file}")
async def get_vendored_file(file: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the libraries that the page uses."""
    return await vendored_files.serve(file, if_none_match)
