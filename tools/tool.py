"""What is known of a tool beside its function: how it is shown, how long it may take, which settings it needs, what callers may
prefer, what the offline model makes of it.

It stands in the tool's own file, in the decorator :func:`tool`; the page, the bot and the offline model read it from there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, TypeVar

from pydantic import Field, JsonValue

from records import Record
from tools.context import ToolContext
from tools.settings import ToolSettings

Tool = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])
# Whether a call asks first: always, never, or as a function of its arguments and of who asks tells.
Approval = Literal["never", "always"] | Callable[[Mapping[str, JsonValue], ToolContext], bool]
# In a template, as in web/tools.js; all other braces are text.
FIELD = re.compile(r"\{(\w+)\}", re.ASCII)
# By language.
Texts = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an answer can cite. A tool that returns a list of these shows the model each with its ``index``."""

    id: str
    title: str
    url: str | None
    snippet: str


def are_sources(result: Any) -> TypeGuard[list[Source]]:
    """Tell whether a tool's result is a list of sources."""
    return isinstance(result, list) and all(isinstance(each, Source) for each in result)


class Detail(Record):
    """One more line about a result."""

    label: Texts
    value: str


class ResultView(Record):
    """How a tool's results are shown, on the page in a line and in chats as a card.

    ``figure`` shows the headline first, ``equation`` the caption, an equals sign and the headline, ``sources`` a list of what
    was found. Texts are templates: ``{name}`` is a field of the result, or else of the arguments, ``{result}`` the result
    itself; one whose fields are not all there is left out.
    """

    kind: Literal["figure", "equation", "sources"]
    headline: str = ""
    caption: list[str] = Field([], description="Joined by commas.")
    details: list[Detail] = Field([])
    # The first pattern (a regular expression) that is found in the field's text gives the icon.
    icon_by: str | None = None
    icons: dict[str, str] = Field({})


class ToolView(Record):
    """How a tool and its calls are shown."""

    name: str
    title: Texts
    icon: str
    progress: Texts = Field(description="What is said while it runs: a template of its arguments.")
    subject: str = Field(description="What a call is about: a template of its arguments.")
    result: ResultView | None


class Preference(Record):
    """A parameter whose value callers may choose once, in a message's metadata or in a chat, for calls that leave it out."""

    parameter: str
    values: dict[str, Texts] = Field(description="What is said once a value has been chosen.")
    help: Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """What the offline model makes of a tool: ``skill`` says what it can do with it, after "I can".

    ``listen`` returns the arguments of each call that a message asks for, after the user's earlier messages (oldest first);
    ``say`` puts a result into words.
    """

    skill: str
    listen: Callable[[str, Sequence[str]], Iterable[dict[str, JsonValue]]]
    say: Callable[[Mapping[str, Any], Any], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """All that is known of a tool.

    ``timeout_seconds`` is the deadline of one call; ``None`` stands for ``TOOL_TIMEOUT_SECONDS``. ``settings`` is what its
    parameter of that name gets, which the model never sees. ``approval`` says whether somebody has to approve its calls; one
    that ``acts`` changes something in the world, so no call of it is made twice. What asks first acts, too.
    """

    view: ToolView
    approval: Approval = "never"
    acts: bool = False
    timeout_seconds: float | None = None
    settings: type[ToolSettings] | None = None
    offline: Offline | None = None
    preferences: tuple[Preference, ...] = ()


def tool(
    *,
    title: Texts,
    approval: Approval = "never",
    acts: bool = False,
    icon: str = "wrench",
    progress: Texts | None = None,
    subject: str = "",
    result: ResultView | None = None,
    timeout_seconds: float | None = None,
    settings: type[ToolSettings] | None = None,
    offline: Offline | None = None,
    preferences: tuple[Preference, ...] = (),
) -> Callable[[F], F]:
    """Say what is known of a tool (:class:`ToolView`, :class:`ToolSpec`); the function stays as it is."""

    def decorate(function: F) -> F:
        if not inspect.isroutine(function):
            raise TypeError(f"@tool(…) stands before a {type(function).__name__}, but a tool is a function")
        view = ToolView(name=function.__name__, title=title, icon=icon, progress=progress or {}, subject=subject, result=result)
        function.__dict__["spec"] = ToolSpec(
            view=view,
            approval=approval,
            acts=acts,
            timeout_seconds=timeout_seconds,
            settings=settings,
            offline=offline,
            preferences=preferences,
        )
        return function

    return decorate


def spec_of(function: Callable[..., Any]) -> ToolSpec:
    """Return what is known of a tool; of a plain function that is its name."""
    found = getattr(function, "spec", None)
    if isinstance(found, ToolSpec):
        return found
    name = function.__name__
    return ToolSpec(view=ToolView(name=name, title={"en": name}, icon="wrench", progress={}, subject="", result=None))


def is_tool(value: object) -> TypeGuard[Tool]:
    """Tell whether this is a function with the decorator :func:`tool`."""
    return callable(value) and isinstance(getattr(value, "spec", None), ToolSpec)


def text_in(texts: Texts, language: str) -> str | None:
    """Return a text in a language, else in English, else in the first one that there is."""
    return texts.get(language) or texts.get("en") or next(iter(texts.values()), None)


def fill(template: str, arguments: Mapping[str, Any], result: Any = None) -> str | None:
    """Fill a template, see :class:`ResultView`; ``None`` if a field is missing."""
    fields = {**arguments, **(result if isinstance(result, Mapping) else {"result": result})}
    shown = {name: _shown(value) for name, value in fields.items() if value is not None}
    try:
        return FIELD.sub(lambda field: shown[field[1]], template)
    except KeyError:
        return None


def _shown(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
