"""Text that comes from outside, as it can be sent and stored."""

from __future__ import annotations

import math
import re
from typing import Any

# Cosmos DB takes 128 levels, those of the document around it included.
MAX_DEPTH = 100
# Stands where something was too long to be kept, or to be shown to the model.
CUT_MARK = "[… cut: too long]"
# A whole number with more is no double; with many more, Python does not even read it again.
MAX_BITS = 1023
SURROGATE = re.compile("[\ud800-\udfff]")


def storable(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return JSON without what cannot be kept: U+FFFD stands for lone surrogates, in keys too, words for numbers that are none.

    :raises ValueError: if it is nested deeper than ``depth``.
    """
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return CUT_MARK
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if not isinstance(value, (dict, list)):
        return value
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {storable(key): storable(each, depth - 1) for key, each in value.items()}
    return [storable(each, depth - 1) for each in value]
