"""Modules of tools that cannot be used: where the reason stands, and which other ones there are."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import traceback
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from settings import AssistantError

# What makes a module one of tools.
OF_TOOLS = re.compile(r"^@tool\(|^(async )?def open_tools\(", re.MULTILINE)
NOT_OFFERED = {"tools.registry"}


def import_error(error: Exception, path: str, file: Path) -> AssistantError:
    """Return what is said of a module that ``file`` names and that cannot be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name and (path == error.name or path.startswith(f"{error.name}.")):
        found = ", ".join(names_beside(path))
        return AssistantError(
            f"{file}: tools: there is no module {path}" + (f"; there are {found}" if found else ""), file=file
        )
    wrong, line = _place_in(error, path)
    where = f"{wrong}:{line}" if wrong and line else f"{wrong or file}"
    return AssistantError(f"{where}: {path} cannot be imported: {_reason(error)}", file=Path(wrong or file))


def nothing_in(module: ModuleType) -> AssistantError:
    """Return what is said of a module without tools."""
    file = module.__file__ or module.__name__
    return AssistantError(f"{file}: {module.__name__} has no function with @tool(…), and no open_tools", file=Path(file))


def names_beside(path: str) -> list[str]:
    """Return the modules of tools in a module's package, as the assistant names them."""
    package = path.rpartition(".")[0]
    spec = _spec_of(package)
    names = []
    for each in pkgutil.iter_modules((spec and spec.submodule_search_locations) or []):
        full = f"{package}.{each.name}"
        origin = (found := _spec_of(full)) and found.origin
        if full not in NOT_OFFERED and origin and OF_TOOLS.search(Path(origin).read_text(encoding="utf-8", errors="replace")):
            names.append(each.name if package == "tools" else full)
    return names


def _place_in(error: Exception, path: str) -> tuple[str | None, int | None]:
    """Return the file and the line that the author has to look at: of the module's own, or of what cannot be parsed."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    spec = _spec_of(path)
    origin = spec.origin if spec else None
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    return origin, lines[-1] if lines else None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"


def _spec_of(path: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(path)
    except Exception:  # noqa: BLE001 - a package whose own code fails
        return None
