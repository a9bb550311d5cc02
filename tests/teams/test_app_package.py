"""The Teams app's package: what Teams would look at before it takes it."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from scripts.teams_package import pack, read_icon
from settings import AssistantError
from tests.fakes.activities import APP_ID
from tests.support.assistant_folder import HARBOUR

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "node_modules/@microsoft/app-manifest/build/json-schemas/teams"


@pytest.fixture
def package(tmp_path: Path) -> zipfile.ZipFile:
    target = tmp_path / "app.zip"
    arguments = [sys.executable, "-m", "scripts.teams_package", APP_ID, "chat.azurewebsites.net", str(target)]
    subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return zipfile.ZipFile(target)


def validate(manifest: dict[str, Any]) -> None:
    schema = json.loads(
        (SCHEMAS / f"v{manifest['manifestVersion']}/MicrosoftTeams.schema.json").read_text(encoding="utf-8-sig")
    )
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(manifest)


@pytest.mark.skipif(not SCHEMAS.exists(), reason="npm ci installs the schemas")
def test_the_manifest_is_what_its_schema_asks_for(package: zipfile.ZipFile) -> None:
    manifest = json.loads(package.read("manifest.json"))
    validate(manifest)
    assert manifest["id"] == manifest["bots"][0]["botId"] == APP_ID
    assert manifest["developer"]["websiteUrl"] == "https://chat.azurewebsites.net"
    for broken in ({"bots": [{"botId": "chat", "scopes": ["personal"]}]}, {"version": 1}, {"unknown": True}):
        with pytest.raises(jsonschema_rs.ValidationError):
            validate({**manifest, **broken})


def test_the_package_holds_the_manifest_and_the_icons_of_their_sizes(package: zipfile.ZipFile) -> None:
    assert sorted(package.namelist()) == ["color.png", "manifest.json", "outline.png"]
    assert "${{" not in package.read("manifest.json").decode()
    for name, size in (("color.png", 192), ("outline.png", 32)):
        assert struct.unpack(">II", package.read(name)[16:24]) == (size, size)


def test_an_icon_of_another_size_or_kind_is_refused(tmp_path: Path) -> None:
    icon = tmp_path / "color.png"
    with pytest.raises(AssistantError, match=r"color\.png: cannot be read"):
        read_icon(icon, 192)
    icon.write_bytes(b"GIF89a")
    with pytest.raises(AssistantError, match=r"color\.png: is no PNG file"):
        read_icon(icon, 192)
    icon.write_bytes((HARBOUR.folder / "outline.png").read_bytes())
    with pytest.raises(AssistantError, match=r"color\.png: has 32 x 32 pixels, Teams wants 192 x 192"):
        read_icon(icon, 192)


def test_what_users_may_choose_is_offered_as_commands(package: zipfile.ZipFile) -> None:
    [commands] = json.loads(package.read("manifest.json"))["bots"][0]["commandLists"]
    assert [command["title"] for command in commands["commands"]] == ["/new", "/help", "/units metric", "/units imperial"]


def test_without_an_icon_there_is_no_package(tmp_path: Path) -> None:
    folder = shutil.copytree(HARBOUR.folder, tmp_path / "assistant")
    target = tmp_path / "app.zip"
    (folder / "color.png").unlink()
    with pytest.raises(AssistantError, match=r"color\.png: cannot be read"):
        pack(target, HARBOUR.model_copy(update={"folder": folder}), {})
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ["Packs the Teams app"]),
        ([APP_ID], ["Packs the Teams app"]),
        (["chat", "x.example"], ["BOT_APP_ID: 'chat' is no app id"]),
        ([APP_ID, "https://x.example"], ["DOMAIN: 'https://x.example' is no domain", "without https://"]),
        (["", ""], ["BOT_APP_ID: ''", "DOMAIN: ''"]),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], told: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.teams_package", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert all(words in done.stderr for words in told), done.stderr
    for name in ("BOT_APP_ID", "DOMAIN"):
        assert (f"{name}: " in done.stderr) == any(f"{name}: " in words for words in told)
