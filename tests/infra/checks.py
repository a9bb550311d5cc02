"""What a compiler would say of Bicep files: each check returns its findings, none if all is well."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from tests.infra.bicep import BicepFile, at, objects, properties, text_of, walk

FUNCTIONS = {
    "array",
    "base64",
    "base64ToString",
    "bool",
    "concat",
    "contains",
    "deployment",
    "description",
    "allowed",
    "empty",
    "endsWith",
    "environment",
    "first",
    "guid",
    "int",
    "intersection",
    "json",
    "last",
    "length",
    "loadJsonContent",
    "loadTextContent",
    "max",
    "maxLength",
    "maxValue",
    "min",
    "minLength",
    "minValue",
    "range",
    "reference",
    "replace",
    "resourceGroup",
    "resourceId",
    "secure",
    "skip",
    "split",
    "startsWith",
    "string",
    "subscription",
    "subscriptionResourceId",
    "substring",
    "take",
    "tenant",
    "toLower",
    "toUpper",
    "trim",
    "union",
    "uniqueString",
    "uri",
    "utcNow",
}
# Properties of a declaration that Bicep itself reads.
BICEP_PROPERTIES = {"name", "parent", "scope", "dependsOn"}


def undefined(file: BicepFile) -> list[str]:
    """Names that nothing declares, functions that there are not, outputs that a module has not."""
    known = {symbol.name for symbol in file.symbols if symbol.kind != "output"}
    found = [name for name, _, local in file.references() if name not in known | local]
    for node in walk(file.root):
        if node.type == "call_expression" and node.children[0].type == "identifier":
            name = text_of(node.children[0])
            found += [] if name in FUNCTIONS else [f"{name}()"]
    modules = file.of("module")
    for node in walk(file.root):
        used = re.fullmatch(r"(\w+)\.outputs\.(\w+)", text_of(node)) if node.type == "member_expression" else None
        if used and used[1] in modules:
            module = BicepFile.read(file.path.parent / modules[used[1]].target)
            found += [] if used[2] in module.of("output") else [text_of(node)]
    return found


def duplicates(file: BicepFile) -> list[str]:
    """Names that are declared twice, and properties that an object has twice."""
    names = [symbol.name for symbol in file.symbols if symbol.kind != "output"]
    found = {name for name in names if names.count(name) > 1}
    for node in walk(file.root):
        if node.type == "object":
            keys = [text_of(item.children[0]) for item in node.children if item.type == "object_property"]
            found |= {key for key in keys if keys.count(key) > 1}
    return sorted(found)


def unused(file: BicepFile) -> list[str]:
    """Parameters and variables that nothing refers to."""
    used = {name for name, _, _ in file.references()}
    return [symbol.name for symbol in file.symbols if symbol.kind in ("parameter", "variable") and symbol.name not in used]


def module_parameters(file: BicepFile) -> list[str]:
    """Parameters that a module lacks or does not know, and modules that are not there."""
    found = []
    for module in file.of("module").values():
        path = file.path.parent / module.target
        if not path.exists():
            found.append(f"{module.name}: no {module.target}")
            continue
        wanted = BicepFile.read(path).of("parameter")
        required = {name for name, symbol in wanted.items() if symbol.value is None}
        for body in objects(module.node.children[-1]):
            given = set(properties(at(body, "params"))) if "params" in properties(body) else set()
            found += [f"{module.name}: missing {name}" for name in sorted(required - given)]
            found += [f"{module.name}: unknown {name}" for name in sorted(given - set(wanted))]
    return found


def api_versions(file: BicepFile, allowed: dict[str, str]) -> list[str]:
    """Resource types whose API version is not the allowed one; ``allowed`` maps types or their namespaces to versions."""
    found = []
    for symbol in file.of("resource").values():
        kind, _, version = symbol.target.partition("@")
        if version != allowed.get(kind, allowed.get("/".join(kind.split("/")[:2]))):
            found.append(symbol.target)
    return found


def unknown_roles(file: BicepFile, known: set[str]) -> list[str]:
    """GUIDs in a file that are no role that is known."""
    return [guid for guid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", file.text) if guid not in known]


def json_keys(file: BicepFile) -> list[str]:
    """Keys that a variable loaded from a JSON file is asked for but has not, and those that nothing asks for."""
    found = []
    for symbol in file.of("variable").values():
        loaded = re.fullmatch(r"loadJsonContent\('(.+)'\)", text_of(symbol.value) if symbol.value else "")
        if loaded:
            there = set(json.loads((file.path.parent / loaded[1]).read_text()))
            asked = set(re.findall(rf"(?<![/\w]){symbol.name}\.(\w+)", file.text))
            found += [f"{symbol.name}.{key}" for key in sorted(there ^ asked)]
    return found


def parameters_file(file: BicepFile, document: Mapping[str, object]) -> list[str]:
    """Parameters that the file declares and ``main.parameters.json`` does not give, and the other way round."""
    given = document["parameters"]
    assert isinstance(given, dict)
    declared = file.of("parameter")
    required = {name for name, symbol in declared.items() if symbol.value is None}
    return sorted((required - set(given)) | (set(given) - set(declared)))
