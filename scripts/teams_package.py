"""Packs the Teams app: ``python scripts/teams_package.py <bot app id> <domain> [<file>]``.

Fills the bot's id and the API's domain into ``teams/appPackage/manifest.json`` and zips it with the icons. ``--icons`` draws
the icons anew, with nothing but the standard library.
"""

from __future__ import annotations

import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "teams" / "appPackage"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
Pixel = tuple[int, int, int, int]
BLUE: Pixel = (15, 76, 129, 255)
WHITE: Pixel = (255, 255, 255, 255)
CLEAR: Pixel = (255, 255, 255, 0)
SAMPLES = 4


def main(arguments: list[str]) -> int:
    """Pack the app, or draw its icons; return the exit code."""
    if arguments == ["--icons"]:
        (FOLDER / "color.png").write_bytes(png(192, color))
        (FOLDER / "outline.png").write_bytes(png(32, outline))
        return 0
    if len(arguments) not in (2, 3) or not GUID.fullmatch(arguments[0]) or not DOMAIN.fullmatch(arguments[1]):
        print(__doc__, file=sys.stderr)  # noqa: T201 - a program for people
        return 2
    target = Path(arguments[2] if len(arguments) == 3 else "teams-app.zip")
    pack(target, bot_app_id=arguments[0], domain=arguments[1])
    print(f"{target} is ready to be uploaded to Teams")  # noqa: T201
    return 0


def pack(target: Path, *, bot_app_id: str, domain: str) -> None:
    """Write the package."""
    manifest = (FOLDER / "manifest.json").read_text(encoding="utf-8")
    manifest = manifest.replace("${{BOT_APP_ID}}", bot_app_id).replace("${{BOT_DOMAIN}}", domain)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("manifest.json", manifest)
        for icon in ("color.png", "outline.png"):
            package.write(FOLDER / icon, icon)


def color(x: float, y: float) -> Pixel:
    """The app's icon: a white speech bubble with three dots, on blue."""
    if any((x - at) ** 2 + (y - 0.46) ** 2 < 0.042**2 for at in (0.36, 0.5, 0.64)):
        return BLUE
    return WHITE if bubble(x, y, 0.0) else BLUE


def outline(x: float, y: float) -> Pixel:
    """The icon in one colour: the bubble's line and the dots, on nothing."""
    if any((x - at) ** 2 + (y - 0.46) ** 2 < 0.045**2 for at in (0.34, 0.5, 0.66)):
        return WHITE
    return WHITE if bubble(x, y, 0.12) and not bubble(x, y, 0.05) else CLEAR


def bubble(x: float, y: float, grown: float) -> bool:
    """Tell whether a point is in the bubble: a round box with a tail."""
    dx, dy = max(abs(x - 0.5) - 0.14, 0.0), max(abs(y - 0.46) - 0.06, 0.0)
    in_tail = 0.30 - grown / 2 < x < 0.46 and 0.55 < y < 0.76 + grown and y - 0.76 - grown < (x - 0.30) * -1.2 + grown / 2
    return dx * dx + dy * dy < (0.15 + grown) ** 2 or in_tail


def png(size: int, pixel: Callable[[float, float], Pixel]) -> bytes:
    """Draw a square picture from the colour of each point; edges are smoothed."""
    rows = bytearray()
    for row in range(size):
        rows.append(0)
        for column in range(size):
            points = [
                pixel((column + (i + 0.5) / SAMPLES) / size, (row + (j + 0.5) / SAMPLES) / size)
                for i in range(SAMPLES)
                for j in range(SAMPLES)
            ]
            rows += bytes(round(sum(channel) / len(points)) for channel in zip(*points, strict=True))
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
