"""The Teams app's package: what Teams would look at before it takes it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from scripts.teams_package import read_icon
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


@pytest.mark.parametrize("arguments", [[], ["chat", "x.example"], [APP_ID, "https://x.example"], [APP_ID]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.teams_package", *arguments], cwd=ROOT, capture_output=True, timeout=60
    )
    assert done.returncode == 2
