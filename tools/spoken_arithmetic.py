"""Arithmetic in the sentences of people who calculate with the offline model."""

from __future__ import annotations

import re
from decimal import Decimal

NUMBER = r"\d[\d,]*(?:\.\d+)?"
PERCENT = re.compile(
    rf"({NUMBER})\s*(?:%|percent)(?:\s+\w+)?\s+(?:of|on|from|for)\s+(?:a\s+|the\s+)?(?:\w+\s+of\s+)?[$€£¥]?\s*({NUMBER})", re.I
)
ROOT = re.compile(rf"\bsquare root of\s+({NUMBER})", re.I)
CALL = re.compile(r"\b(?:sqrt|round|abs|min|max|floor|ceil|log|exp|sin|cos|tan)\([^?]*\)(?:[\s\d.()+\-*/%]*[\d)])?")
EXPRESSION = re.compile(r"(?<![\w.])[(\-]*\d[\d.\s()+\-*/×÷%^]*[+\-*/×÷%^][\d.\s()+\-*/×÷%^]*[\d)]")
DATE = re.compile(r"\d+([-/])\d+\1\d+")
SPOKEN = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/"}


def find_expressions(text: str) -> list[str]:
    """Return the arithmetic that a message asks for, in the calculator's notation."""
    found: list[str] = []

    def take(expression: str) -> str:
        found.append(expression)
        return " ; "

    text = PERCENT.sub(lambda match: take(f"{_plain(match[2])} * {Decimal(_plain(match[1])) / 100}"), text)
    text = ROOT.sub(lambda match: take(f"sqrt({_plain(match[1])})"), text)
    for word, sign in SPOKEN.items():
        text = re.sub(rf"(?<=\d) {word} (?=\d)", f" {sign} ", text, flags=re.I)
    text = CALL.sub(lambda match: take(match[0].strip()), text)
    for match in EXPRESSION.finditer(re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)):
        if not DATE.fullmatch(match[0].strip()):
            take(match[0].strip().replace("^", "**"))
    return found


def _plain(number: str) -> str:
    return number.replace(",", "")
