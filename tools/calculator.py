"""Arithmetic as people expect it: decimal, exact where decimal numbers are, and safe to run on anybody's text.

A small parser by recursive descent evaluates while it reads. The evaluators on PyPI calculate in binary, where 0.1 + 0.2 is not
0.3, or leave the limits on size and time to their callers.
"""

from __future__ import annotations

import decimal
import math
import re
import sys
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Annotated

from pydantic import Field

from errors import ToolError
from tools.spoken_arithmetic import find_expressions
from tools.tool import Offline, ResultView, tool

MAX_LENGTH = 500
MAX_DEPTH = 50
MAX_ROUND_DIGITS = 30
# The integers that every JSON reader keeps exactly.
SAFE_INTEGER = 2**53 - 1
# Far more digits than are shown, and room for what overflows a JSON number only at the end.
PRECISE = decimal.Context(
    prec=50,
    Emax=999,
    Emin=-999,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
# What a double can show without noise.
SHOWN = decimal.Context(prec=15)
TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z]+)|(\*\*|//|[-+*/%(),]))")
SPELLINGS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-"})
CONSTANTS = {
    "pi": Decimal("3.1415926535897932384626433832795028841971693993751"),
    "e": Decimal("2.7182818284590452353602874713526624977572470937000"),
}


@tool(
    title={"en": "Calculation", "de": "Rechnung", "es": "Cálculo", "fr": "Calcul"},
    icon="calculator",
    progress={"en": "Calculating…", "de": "Ich rechne …", "es": "Calculando…", "fr": "Calcul en cours…"},
    subject="{expression}",
    result=ResultView(kind="equation", caption=["{expression}"], headline="{result}"),
    offline=Offline(
        skill="calculate",
        listen=lambda text, _: ({"expression": expression} for expression in find_expressions(text)),
        say=lambda arguments, result: f"{arguments.get('expression')} = {result}",
    ),
)
def calculate(
    expression: Annotated[
        str,
        Field(
            description="Arithmetic: numbers, + - * / // % ** and parentheses, sqrt, round, abs, min, max, floor, ceil, "
            "log, exp, sin, cos, tan, pi, e. For example: 85 * 0.15"
        ),
    ],
) -> int | float:
    """Calculate an arithmetic expression. Use this for any calculation, also tips, percentages and sums."""
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        with decimal.localcontext(PRECISE):
            return _as_number(Parser(expression.translate(SPELLINGS)).value())
    except decimal.DivisionByZero as error:
        raise ToolError("division by zero") from error
    except (decimal.Overflow, OverflowError) as error:
        raise ToolError("the result is too large") from error
    except decimal.InvalidOperation as error:
        raise ToolError("the result is not a real number") from error


def _as_number(value: Decimal) -> int | float:
    """Return a JSON number: an integer if it is one that JSON readers keep, else 15 significant digits."""
    if value == value.to_integral_value() and abs(value) <= SAFE_INTEGER:
        return int(value)
    shown = float(SHOWN.plus(value))
    if math.isinf(shown):
        raise OverflowError
    return shown


class Parser:
    """Evaluates one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0
        self._depth = 0

    def value(self) -> Decimal:
        """Return the value of the whole expression."""
        value = self._sum()
        if self._peek():
            raise ToolError(f"not arithmetic: unexpected {self._peek()!r}")
        return value

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        """Take the next token if it is one of those."""
        token = self._peek()
        if token not in wanted:
            return ""
        self._position += 1
        return token

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise ToolError(f"not arithmetic: expected {token!r}" + (f" before {self._peek()!r}" if self._peek() else ""))

    def _sum(self) -> Decimal:
        value = self._product()
        while operator := self._take("+", "-"):
            other = self._product()
            value = value + other if operator == "+" else value - other
        return value

    def _product(self) -> Decimal:
        value = self._signed()
        while operator := self._take("*", "/", "//", "%"):
            value = _OPERATORS[operator](value, self._signed())
        return value

    def _signed(self) -> Decimal:
        """Read a sign, which binds less than a power: -2 ** 2 is -4."""
        sign = 1
        while operator := self._take("+", "-"):
            sign = -sign if operator == "-" else sign
        return self._power() if sign > 0 else -self._power()

    def _power(self) -> Decimal:
        base = self._atom()
        if not self._take("**"):
            return base
        self._nest(1)
        exponent = self._signed()
        self._nest(-1)
        return _power(base, exponent)

    def _atom(self) -> Decimal:
        symbol = self._peek()
        self._position += 1
        if symbol == "(":
            value = self._nested()
            self._expect(")")
            return value
        if symbol in CONSTANTS:
            return CONSTANTS[symbol]
        if symbol in _FUNCTIONS:
            return self._call(symbol)
        if symbol[:1].isdigit() or symbol[:1] == ".":
            return PRECISE.create_decimal(symbol)
        raise ToolError(f"not arithmetic: unexpected {symbol!r}" if symbol else "the expression is not complete")

    def _call(self, name: str) -> Decimal:
        self._expect("(")
        arguments = [self._nested()]
        while self._take(","):
            arguments.append(self._nested())
        self._expect(")")
        function, most = _FUNCTIONS[name]
        if len(arguments) > most:
            raise ToolError(f"{name} takes at most {most} value{'s' if most > 1 else ''}")
        return function(*arguments)

    def _nested(self) -> Decimal:
        self._nest(1)
        value = self._sum()
        self._nest(-1)
        return value

    def _nest(self, step: int) -> None:
        self._depth += step
        if self._depth > MAX_DEPTH:
            raise ToolError("the expression is nested too deeply")


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        found = TOKEN.match(text, position)
        if not found:
            raise ToolError(f"not arithmetic: unexpected {text[position:].strip()[:1]!r}")
        tokens.append(found[0].strip())
        position = found.end()
    return tokens


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if base == 0 and exponent < 0:
        raise decimal.DivisionByZero
    return Decimal(1) if exponent == 0 else base**exponent


def _divide(left: Decimal, right: Decimal) -> Decimal:
    if right == 0:
        raise decimal.DivisionByZero
    return left / right


def _floor_divide(left: Decimal, right: Decimal) -> Decimal:
    return _divide(left, right).to_integral_value(ROUND_FLOOR)


def _modulo(left: Decimal, right: Decimal) -> Decimal:
    """Return the remainder with the divisor's sign, as Python and spreadsheets do."""
    if right == 0:
        raise decimal.DivisionByZero
    remainder = left % right
    return remainder + right if remainder and (remainder < 0) != (right < 0) else remainder


def _round(value: Decimal, digits: Decimal = Decimal(0)) -> Decimal:
    if digits != digits.to_integral_value() or abs(digits) > MAX_ROUND_DIGITS:
        raise ToolError(f"round takes a whole number of digits up to {MAX_ROUND_DIGITS}")
    if digits >= -value.as_tuple().exponent:  # type: ignore[operator]  # a finite number's exponent is a number
        return value
    return value.quantize(Decimal(1).scaleb(-int(digits)), ROUND_HALF_UP) if value else value


def _log(value: Decimal, base: Decimal | None = None) -> Decimal:
    if value <= 0 or (base is not None and base <= 0):
        raise decimal.InvalidOperation
    return value.ln() if base is None else _divide(value.ln(), base.ln())


def _trigonometric(function: Callable[[float], float]) -> Callable[[Decimal], Decimal]:
    def apply(angle: Decimal) -> Decimal:
        # Beyond this a double is infinite.
        if abs(angle) > sys.float_info.max:
            raise ToolError("the angle is too large")
        value = round(function(float(angle)), 15)
        # A tangent of this size stands for a pole that no double hits.
        if abs(value) > 1e15:
            raise decimal.InvalidOperation
        return Decimal(repr(value))

    return apply


_OPERATORS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "*": lambda left, right: left * right,
    "/": _divide,
    "//": _floor_divide,
    "%": _modulo,
}
_FUNCTIONS: dict[str, tuple[Callable[..., Decimal], int]] = {
    "sqrt": (lambda value: value.sqrt(), 1),
    "round": (_round, 2),
    "abs": (abs, 1),
    "min": (lambda *values: min(values), 100),
    "max": (lambda *values: max(values), 100),
    "floor": (lambda value: value.to_integral_value(ROUND_FLOOR), 1),
    "ceil": (lambda value: value.to_integral_value(ROUND_CEILING), 1),
    "log": (_log, 2),
    "exp": (lambda value: value.exp(), 1),
    "sin": (_trigonometric(math.sin), 1),
    "cos": (_trigonometric(math.cos), 1),
    "tan": (_trigonometric(math.tan), 1),
}
