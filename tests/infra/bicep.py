"""Bicep files as trees: what they declare and what they refer to. Understands the subset that infra/ is written in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True)
class Symbol:
    """A declaration: ``kind`` is ``parameter``, ``variable``, ``resource``, ``module`` or ``output``."""

    kind: str
    name: str
    node: Node

    @property
    def target(self) -> str:
        """A resource's ``type@version``, a module's path."""
        return literal(next(child for child in self.node.children if child.type == "string"))  # type: ignore[no-any-return]

    @property
    def value(self) -> Node | None:
        """What stands behind the declaration's ``=``."""
        children = self.node.children
        signs = [index for index, child in enumerate(children) if child.type == "="]
        return children[signs[0] + 1] if signs else None

    @property
    def existing(self) -> bool:
        """Whether a resource is only referred to."""
        return any(child.type == "existing" for child in self.node.children)


@dataclass(frozen=True)
class BicepFile:
    """A parsed file; ``path`` is where its modules' paths start from."""

    path: Path
    text: str

    KINDS: ClassVar = {
        "parameter_declaration": "parameter",
        "variable_declaration": "variable",
        "resource_declaration": "resource",
        "module_declaration": "module",
        "output_declaration": "output",
    }

    @classmethod
    def read(cls, path: Path) -> BicepFile:
        """Return the file at a path."""
        return cls(path, path.read_text())

    @cached_property
    def root(self) -> Node:
        """The whole tree."""
        return _PARSER.parse(self.text.encode()).root_node

    @cached_property
    def symbols(self) -> list[Symbol]:
        """All declarations, in order."""
        found = []
        for node in self.root.children:
            if kind := self.KINDS.get(node.type):
                name = next(child for child in node.children if child.type == "identifier")
                found.append(Symbol(kind, text_of(name), node))
        return found

    def of(self, kind: str) -> dict[str, Symbol]:
        """Return the declarations of one kind by their names."""
        return {symbol.name: symbol for symbol in self.symbols if symbol.kind == kind}

    def errors(self) -> list[str]:
        """Return the places that are no Bicep."""
        return [f"line {node.start_point.row + 1}" for node in walk(self.root) if node.type == "ERROR" or node.is_missing]

    def references(self) -> Iterator[tuple[str, Node, frozenset[str]]]:
        """Yield every name that an expression uses, its node, and the loop variables that it may mean."""
        yield from _references(self.root, frozenset())


def text_of(node: Node) -> str:
    """Return a node's source."""
    return (node.text or b"").decode()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all that are under it."""
    yield node
    for child in node.children:
        yield from walk(child)


def properties(node: Node) -> dict[str, Node]:
    """Return an object's properties; keys that are worked out stay as their source."""
    found = {}
    for item in node.children:
        if item.type == "object_property":
            key, value = item.children[0], item.children[-1]
            found[text_of(key).strip("'")] = value
    return found


def at(node: Node, *path: str) -> Node:
    """Return what is at a path of properties."""
    for name in path:
        node = properties(node)[name]
    return node


def objects(node: Node | None) -> Iterator[Node]:
    """Yield the objects that an expression may be: through conditions, loops, ternaries and calls such as ``union``."""
    if node is None:
        return
    if node.type == "object":
        yield node
    elif node.type in ("if_statement", "for_statement"):
        yield from objects(node.children[-1] if node.type == "if_statement" else node.children[-2])
    elif node.type == "ternary_expression":
        for field in ("consequence", "alternative"):
            yield from objects(node.child_by_field_name(field))
    elif node.type == "array" or (node.type == "call_expression" and text_of(node.children[0]) in ("union", "concat")):
        for child in (node if node.type == "array" else node.children[-1]).children:
            yield from objects(child)


def literal(node: Node) -> Any:
    """Return a constant's value.

    :raises ValueError: if it depends on anything.
    """
    match node.type:
        case "string":
            if any(child.type == "interpolation" for child in node.children):
                raise ValueError(text_of(node))
            return "".join(text_of(child) for child in node.children if child.type == "string_content")
        case "number":
            return int(text_of(node))
        case "boolean":
            return text_of(node) == "true"
        case "array":
            return [literal(child) for child in node.children if child.is_named]
        case "object":
            return {key: literal(value) for key, value in properties(node).items()}
    raise ValueError(text_of(node))


def _references(node: Node, local: frozenset[str]) -> Iterator[tuple[str, Node, frozenset[str]]]:
    children = node.children
    if node.type == "for_statement":
        start = next(index for index, child in enumerate(children) if child.type == "in")
        names = frozenset(re.findall(r"\w+", " ".join(text_of(child) for child in children[:start] if child.type != "for")))
        for child in children[start + 1 :]:
            yield from _references(child, local | names)
        return
    if node.type == "identifier":
        yield text_of(node), node, local
        return
    skipped = None
    if node.type in BicepFile.KINDS or node.type == "call_expression":
        skipped = next((child for child in children if child.type == "identifier"), None)
    elif node.type == "object_property" and children[0].type == "identifier":
        skipped = children[0]
    for child in children:
        if child != skipped and child.type not in ("type", "compatible_identifier"):
            yield from _references(child, local)


@cache
def read_all(folder: Path) -> tuple[BicepFile, ...]:
    """Return every Bicep file under a folder."""
    return tuple(BicepFile.read(path) for path in sorted(folder.rglob("*.bicep")))
