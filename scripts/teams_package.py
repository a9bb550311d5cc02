"""Packs the Teams app: ``python -m scripts.teams_package <bot app id> <domain> [<file>]``.

Completes ``teams/manifest.json`` with what the assistant says of itself, the bot's id and the API's domain, and zips it with
the assistant's icons, ``color.png`` and ``outline.png``.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from settings import Assistant, AssistantError, Settings, SettingsError, load_assistant, load_settings
from tools.environment import ToolEnvironment
from tools.registry import open_tools
from tools.tool import Preference, spec_of, text_in

TEMPLATE = Path(__file__).parents[1] / "teams" / "manifest.json"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
# Their sides in pixels; what Teams shows of a command, and how many.
ICONS = {"color.png": 192, "outline.png": 32}
MAX_COMMANDS = 10
MAX_DESCRIPTION = 128


def main(arguments: list[str]) -> int:
    """Pack the app; return the exit code."""
    if faults := find_faults(arguments):
        print(*faults, sep="\n", file=sys.stderr)  # noqa: T201 - a program for people
        return 2
    target = Path(arguments[2] if len(arguments) == 3 else "teams-app.zip")
    try:
        settings = load_settings()
        assistant = load_assistant(settings.assistant_dir)
        preferences = asyncio.run(read_preferences(settings, assistant))
        pack(target, assistant, make_manifest(assistant, preferences, bot_app_id=arguments[0], domain=arguments[1]))
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(f"{target} is ready to be uploaded to Teams")  # noqa: T201
    return 0


def find_faults(arguments: list[str]) -> list[str]:
    """Return what is wrong with the arguments, a line each, or else nothing."""
    if len(arguments) not in (2, 3):
        return [__doc__ or ""]
    bot_app_id, domain = arguments[:2]
    faults = []
    if not GUID.fullmatch(bot_app_id):
        faults.append(f"BOT_APP_ID: {bot_app_id!r} is no app id, such as 8a1c8b5e-0000-4000-8000-000000000001 (in lower case)")
    if not DOMAIN.fullmatch(domain):
        faults.append(
            f"DOMAIN: {domain!r} is no domain, such as name.azurewebsites.net (without https:// and path, in lower case)"
        )
    return faults


async def read_preferences(settings: Settings, assistant: Assistant) -> list[Preference]:
    """Return what users may choose, tool by tool."""
    async with open_tools(ToolEnvironment(settings, assistant)) as tools:
        return [preference for tool in tools for preference in spec_of(tool).preferences]


def make_manifest(assistant: Assistant, preferences: Iterable[Preference], *, bot_app_id: str, domain: str) -> dict[str, Any]:
    """Return the manifest (schema: its ``$schema``)."""
    manifest: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    [bot] = manifest["bots"]
    bot |= {"botId": bot_app_id, "commandLists": [{"scopes": bot["scopes"], "commands": _commands(assistant, preferences)}]}
    teams = assistant.teams
    return manifest | {
        "id": bot_app_id,
        "developer": {
            "name": assistant.organisation,
            "websiteUrl": teams.website or f"https://{domain}",
            "privacyUrl": teams.privacy or f"https://{domain}/",
            "termsOfUseUrl": teams.terms or f"https://{domain}/",
        },
        "name": {"short": assistant.name, "full": assistant.name},
        "description": {"short": teams.summary, "full": teams.description},
        "accentColor": assistant.colors.accent.upper(),
    }


def pack(target: Path, assistant: Assistant, manifest: dict[str, Any]) -> None:
    """Write the package, whole or not at all.

    :raises AssistantError: if an icon is not there, or not of the size that Teams asks for.
    """
    icons = {name: read_icon(assistant.folder / name, size) for name, size in ICONS.items()}
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr("manifest.json", json.dumps(manifest, ensure_ascii=False, indent=2))
            for name, content in icons.items():
                package.writestr(name, content)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def read_icon(file: Path, size: int) -> bytes:
    """Return an icon's bytes.

    :raises AssistantError: if it is no PNG file of this size (https://www.w3.org/TR/png-3/#11IHDR).
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AssistantError(f"{file}: cannot be read: {error}", file=file) from error
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        raise AssistantError(f"{file}: is no PNG file", file=file)
    width, height = struct.unpack(">II", content[16:24])
    if (width, height) != (size, size):
        raise AssistantError(f"{file}: has {width} x {height} pixels, Teams wants {size} x {size}", file=file)
    return content


def _commands(assistant: Assistant, preferences: Iterable[Preference]) -> list[dict[str, str]]:
    chosen = [
        (f"/{preference.parameter} {value}", (text_in(preference.help, assistant.language) or "").replace("**", ""))
        for preference in preferences
        for value in preference.values
    ]
    commands = [("/new", "Start a fresh conversation"), ("/help", "What I can do"), *chosen][:MAX_COMMANDS]
    return [{"title": title, "description": description[:MAX_DESCRIPTION]} for title, description in commands]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
