"""The settings of the sample's tools: documented, and set on Azure as those of the core are."""

from __future__ import annotations

import json
import re

from settings.assistant import FILE
from tests.assistant.folder import FOLDER, SAMPLE
from tools.registry import import_tool_module, settings_of

ROOT = FOLDER.parent
NAMES = {
    field.upper()
    for name in SAMPLE.tools
    for kind in settings_of(import_tool_module(name, FOLDER / FILE))
    for field in kind.model_fields
}


def test_every_setting_of_a_tool_can_be_set_on_azure() -> None:
    parameters = json.loads((ROOT / "infra/main.parameters.json").read_text())["parameters"]["toolAppSettings"]["value"]
    assert parameters == {name: f"${{{name}=}}" for name in NAMES}


def test_every_setting_of_a_tool_is_documented() -> None:
    theirs = (ROOT / "docs/configuration.md").read_text().partition("## Of the sample's tools")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", theirs, re.MULTILINE)) == NAMES
