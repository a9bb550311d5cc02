"""The part of Cosmos DB's SQL that the store uses. Anything else is refused, so that no query is silently half understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
UNDEFINED = object()

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'[^']*')|(?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?P<word>[@A-Za-z_][\w.]*)|(?P<sign><=|>=|!=|[=<>(),*]))"
)
_ORDER = {"=": (0,), "!=": (-1, 1), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}


class UnknownSql(Exception):
    """A query or condition whose shape this fake does not know."""


@dataclass(frozen=True)
class Query:
    """A parsed query within one partition."""

    top: int | None
    fields: tuple[str, ...] | None
    where: Callable[[Document], bool]
    order_by: str | None
    descending: bool
    paths: frozenset[str]
    counts: bool = False

    def run(self, documents: Iterable[Document]) -> list[Any]:
        rows = [document for document in documents if self.where(document)]
        if self.order_by:
            rows = [row for row in rows if value_at(row, self.order_by) is not UNDEFINED]
            rows.sort(key=lambda row: value_at(row, self.order_by or ""), reverse=self.descending)
        rows = rows[: self.top]
        if self.counts:
            return [len(rows)]
        return rows if self.fields is None else [{field: row[field] for field in self.fields if field in row} for row in rows]


def parse_query(sql: str, parameters: Mapping[str, Any]) -> Query:
    """Parse ``SELECT [TOP n] * | c.a, … | VALUE COUNT(1) FROM c [WHERE …] [ORDER BY c.a [ASC|DESC]]``."""
    return _Parser(sql, parameters).query()


def parse_condition(text: str) -> Callable[[Document], bool]:
    """Parse a patch's condition, ``FROM c WHERE …``."""
    return _Parser(text, {}).condition()


def value_at(document: Any, path: str) -> Any:
    """Return the value at ``a.b``; undefined is not null."""
    for name in path.split("."):
        if not isinstance(document, dict) or name not in document:
            return UNDEFINED
        document = document[name]
    return document


class _Parser:
    def __init__(self, sql: str, parameters: Mapping[str, Any]) -> None:
        self._tokens = _tokens(sql)
        self._parameters = parameters
        self._paths: set[str] = set()

    def query(self) -> Query:
        self._expect("SELECT")
        top = self._value() if self._accept("TOP") else None
        counts = self._counts()
        fields = () if counts else self._fields()
        self._expect("FROM")
        self._expect("C")
        where = self._where() if self._accept("WHERE") else lambda _document: True
        order_by, descending = self._order_by()
        self._end()
        return Query(top, fields, where, order_by, descending, frozenset(self._paths), counts)

    def condition(self) -> Callable[[Document], bool]:
        for word in ("FROM", "C", "WHERE"):
            self._expect(word)
        where = self._where()
        self._end()
        return where

    def _counts(self) -> bool:
        if not self._accept("VALUE"):
            return False
        for word in ("COUNT", "(", "1", ")"):
            self._expect(word)
        return True

    def _fields(self) -> tuple[str, ...] | None:
        if self._accept("*"):
            return None
        fields = [self._path()]
        while self._accept(","):
            fields.append(self._path())
        return tuple(fields)

    def _order_by(self) -> tuple[str | None, bool]:
        if not self._accept("ORDER"):
            return None, False
        self._expect("BY")
        path = self._path()
        self._paths.add(path)
        if self._accept("DESC"):
            return path, True
        self._accept("ASC")
        return path, False

    def _where(self) -> Callable[[Document], bool]:
        terms = [self._comparison()]
        while self._accept("AND"):
            terms.append(self._comparison())
        return lambda document: all(term(document) for term in terms)

    def _comparison(self) -> Callable[[Document], bool]:
        negated = self._accept("NOT")
        if negated or self._tokens[:1] == ["IS_DEFINED"]:
            return self._is_defined(negated=negated)
        path = self._path()
        self._paths.add(path)
        if self._accept("IN"):
            self._expect("(")
            values = [self._value()]
            while self._accept(","):
                values.append(self._value())
            self._expect(")")
            return lambda document: any(_compare(value_at(document, path), "=", value) for value in values)
        operator = self._next()
        if operator not in _ORDER:
            raise UnknownSql(f"not an operator: {operator}")
        value = self._value()
        return lambda document: _compare(value_at(document, path), operator, value)

    def _is_defined(self, *, negated: bool) -> Callable[[Document], bool]:
        for word in ("IS_DEFINED", "("):
            self._expect(word)
        path = self._path()
        self._paths.add(path)
        self._expect(")")
        return lambda document: (value_at(document, path) is UNDEFINED) == negated

    def _path(self) -> str:
        word = self._next()
        if not re.fullmatch(r"c(\.\w+)+", word):
            raise UnknownSql(f"not a path: {word}")
        return word.removeprefix("c.")

    def _value(self) -> Any:
        word = self._next()
        if word.startswith("'"):
            return word[1:-1]
        if word in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word]
        if word.startswith("@") and word in self._parameters:
            return self._parameters[word]
        try:
            return float(word) if "." in word or "e" in word else int(word)
        except ValueError:
            raise UnknownSql(f"not a value: {word}") from None

    def _next(self) -> str:
        if not self._tokens:
            raise UnknownSql("ends too early")
        return self._tokens.pop(0)

    def _accept(self, word: str) -> bool:
        if self._tokens and self._tokens[0].upper() == word:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise UnknownSql(f"expected {word} at {self._tokens[:3]}")

    def _end(self) -> None:
        if self._tokens:
            raise UnknownSql(f"not understood: {self._tokens}")


def _tokens(sql: str) -> list[str]:
    tokens, position, sql = [], 0, sql.strip()
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if not match:
            raise UnknownSql(f"not understood: {sql[position:]}")
        tokens.append(match.group().strip())
        position = match.end()
    return tokens


def _compare(left: Any, operator: str, right: Any) -> bool:
    """Compare as Cosmos DB does: undefined compares to nothing, and different types are neither less nor greater."""
    if left is UNDEFINED:
        return False
    if _kind(left) != _kind(right):
        return operator == "!="
    if isinstance(left, list | dict):
        raise UnknownSql("arrays and objects are not compared here")
    if left is None or isinstance(left, bool):
        return (left == right) == (operator == "=") if operator in ("=", "!=") else False
    return ((left > right) - (left < right)) in _ORDER[operator]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list | dict):
        return "array or object"
    return "null" if value is None else "string"


def index_covers(indexed: Sequence[str], path: str) -> bool:
    """Tell whether an indexing policy's included paths hold ``a.b``; ``id`` and ``_ts`` are always indexed."""
    return path in ("id", "_ts") or f"/{path.replace('.', '/')}/?" in indexed or "/*" in indexed
