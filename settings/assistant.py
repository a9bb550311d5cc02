"""What makes the assistant yours: the folder ``assistant/``, or the one that ``ASSISTANT_DIR`` names.

``assistant.toml`` holds its name, colours, tools and texts by language, ``instructions.md`` what the model is told,
``articles/`` what the knowledge base knows, ``logo.svg`` and ``icons/`` what the page shows, ``color.png`` and ``outline.png``
what Teams shows.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from settings.colors import MIN_CONTRAST, contrast
from settings.icons import fault_of_drawing, unknown_icon
from settings.settings import SettingsError

FILE = "assistant.toml"
INSTRUCTIONS = "instructions.md"
LOGO = "logo.svg"
# Of an assistant, what is read from other files.
NOT_IN_FILE = {"folder", "instructions", "icons"}
# What the page's own accent is seen on, light and dark: --paper in web/page.css.
PAPER = "#ffffff"
DARK_PAPER = "#171b1a"


class AssistantError(SettingsError):
    """The assistant cannot be used as it is; the text names the file and what in it.

    ``file`` is what has to be corrected, unless that is one of the ``variables``.
    """

    def __init__(self, text: str, *, file: Path | None = None, variables: Iterable[str] = ()) -> None:
        super().__init__(text, variables=variables)
        self.file = file


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def _check_seen_on(paper: str) -> AfterValidator:
    def check(color: str) -> str:
        if (found := contrast(color, paper)) < MIN_CONTRAST:
            raise ValueError(f"cannot be read on {paper}: its contrast is {found:.1f}, {MIN_CONTRAST} is needed")
        return color

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1, max_length=2000)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


class Example(_Part):
    """A question that the page offers; ``icon`` is one of the page's or of ``icons/``."""

    question: Text
    icon: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]*$")


class Texts(_Part):
    """What the page and the bot say in one language."""

    headline: Text
    introduction: Text
    placeholder: Text
    welcome: Text = Field(description="the bot's first words")
    start: Text | None = Field(None, description="what the bot shows while it begins to answer")
    help: Text = Field(description="the beginning of the bot's /help")
    examples: tuple[Example, ...] = Field((), max_length=6)


class Colors(_Part):
    """The accent of the page, on light and on dark."""

    accent: Annotated[Color, _check_seen_on(PAPER)]
    accent_dark: Annotated[Color, _check_seen_on(DARK_PAPER)]


class Articles(_Part):
    """What the articles are about, in words that complete "Use this for questions about …"."""

    about: Text


class Teams(_Part):
    """What Teams' store shows; the limits are those of its manifest. Addresses that are not set are those of the API."""

    summary: str = Field(min_length=1, max_length=80)
    description: str = Field(min_length=1, max_length=4000)
    website: str | None = Field(None, pattern="^https://")
    privacy: str | None = Field(None, pattern="^https://")
    terms: str | None = Field(None, pattern="^https://")


class Assistant(_Part):
    """A company's assistant."""

    folder: Path
    name: str = Field(min_length=1, max_length=30)
    organisation: str = Field(min_length=1, max_length=32)
    language: Language
    tools: tuple[Module, ...]
    colors: Colors
    articles: Articles = Articles(about="the company")
    teams: Teams
    texts: dict[Language, Texts]
    instructions: str = Field(min_length=1)
    icons: dict[str, str] = Field({}, description="what is drawn, by name: SVG")

    @model_validator(mode="before")
    @classmethod
    def _complete_texts(cls, values: Any) -> Any:
        """Say in the assistant's own language what a language does not say."""
        texts, language = values.get("texts"), values.get("language")
        if not isinstance(language, str):
            raise ValueError('language: must be there, a text such as "en"')
        if not isinstance(texts, dict) or not isinstance(texts.get(language), dict):
            raise ValueError(f"texts.{language}: must be there: it is the assistant's language")
        own = texts[language]
        return {**values, "texts": {name: {**own, **each} if isinstance(each, dict) else each for name, each in texts.items()}}

    @model_validator(mode="after")
    def _has_its_icons(self) -> Self:
        for language in dict.fromkeys([self.language, *self.texts]):
            for number, example in enumerate(self.texts[language].examples):
                if example.icon and (reason := unknown_icon(example.icon, self.icons)):
                    raise ValueError(f"texts.{language}.examples.{number}.icon: {reason}")
        return self

    @field_validator("tools")
    @classmethod
    def _names_each_tool_once(cls, tools: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [name for name, count in Counter(tools).items() if count > 1]:
            raise ValueError(f"{', '.join(twice)} is there more than once")
        return tools

    def choose_language(self, wanted: Iterable[str]) -> str:
        """Return the first wanted language (tags such as ``de-AT``) that the assistant speaks, else its own."""
        primary = (tag.replace("_", "-").partition("-")[0].lower() for tag in wanted)
        return next((each for each in primary if each in self.texts), self.language)

    def texts_for(self, locale: str | None) -> Texts:
        """Return what it says to somebody with a locale such as ``de-AT``."""
        return self.texts[self.choose_language([locale or ""])]


def load_assistant(folder: Path) -> Assistant:
    """Read an assistant's folder, all but its articles.

    :raises AssistantError: naming the file, and each key whose value cannot be used.
    """
    try:
        is_there = folder.is_dir()
    except OSError as error:
        raise AssistantError(f"ASSISTANT_DIR: cannot be read: {error}", variables=["ASSISTANT_DIR"]) from error
    if not is_there:
        raise AssistantError(f"ASSISTANT_DIR: there is no folder {folder}", variables=["ASSISTANT_DIR"])
    file = folder / FILE
    try:
        fields = tomllib.loads(_read(file))
    except tomllib.TOMLDecodeError as error:
        raise AssistantError(f"{file}: {error}", file=file) from error
    read: dict[str, Any] = {
        "folder": folder,
        "instructions": _read(folder / INSTRUCTIONS),
        "icons": dict(_icons(folder / "icons")),
    }
    if not (folder / LOGO).is_file():
        raise AssistantError(f"{folder / LOGO}: is not there", file=folder / LOGO)
    _read_drawing(folder / LOGO)
    if own := sorted(NOT_IN_FILE & fields.keys()):
        _refuse(file, {own[0]: "is not a key of this file"})
    try:
        return Assistant(**fields, **read)
    except ValidationError as error:
        _refuse(file, dict(_reasons(error, fields)))


def _reasons(error: ValidationError, fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key whose value cannot be used, and why."""
    for item in error.errors():
        match location := item["loc"]:
            case ("texts", str(language), str(key), *_) if key != "[key]" and key not in fields["texts"][language]:
                # It has this from the assistant's own language, and that is told of.
                if language != fields["language"]:
                    continue
        reason = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            near = get_close_matches(str(location[-1]), _keys_beside(location), 1)
            reason = "is not a key of this file" + (f"; did you mean {near[0]}?" if near else "")
        yield ".".join(map(str, location)), reason


def _keys_beside(location: tuple[str | int, ...]) -> Iterable[str]:
    kinds: dict[str | int, type[_Part]] = {"colors": Colors, "articles": Articles, "teams": Teams, "texts": Texts}
    if len(location) == 1:
        return Assistant.model_fields.keys() - NOT_IN_FILE
    return (Example if "examples" in location else kinds[location[0]]).model_fields


def _refuse(file: Path, reasons: Mapping[str, str]) -> NoReturn:
    lines = (f"{file}: {key}: {reason}" if key else f"{file}: {reason}" for key, reason in reasons.items())
    raise AssistantError("\n".join(lines), file=file)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssistantError(f"{file}: cannot be read: {error}", file=file) from error


def _icons(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.glob("*.svg")):
        yield file.stem, _read_drawing(file)


def _read_drawing(file: Path) -> str:
    svg = _read(file)
    if reason := fault_of_drawing(svg):
        raise AssistantError(f"{file}: {reason}", file=file)
    return svg
