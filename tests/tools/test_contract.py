"""What a tool must be, and what is said of one that cannot be used: before anything is served, with file and line."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.agent import as_function_tool
from settings import AssistantError, Settings
from tests.support.assistant_folder import HARBOUR
from tests.support.tools import serve_tools
from tools.environment import ToolEnvironment
from tools.registry import open_tools
from tools.tool import Tool, spec_of

COUNTER = itertools.count()
HEAD = """
    import asyncio
    import threading
    from contextlib import asynccontextmanager
    from typing import Annotated
    from pydantic import Field, SecretStr
    from tools.settings import ToolSettings
    from tools.tool import ResultView, tool

    class LookSettings(ToolSettings):
        look_key: SecretStr
        look_limit: int = 3
"""
WITH_SETTINGS = """
    @tool(title={"en": "Look"}, settings=LookSettings)
    def look(word: str, settings: LookSettings) -> dict[str, str | bool | int]:
        "Look a word up."
        in_thread = threading.current_thread() is not threading.main_thread()
        return {"word": word, "key": settings.look_key.get_secret_value(), "limit": settings.look_limit, "thread": in_thread}
"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module of tools and returns its name."""
    package = f"tools_of_test_{next(COUNTER)}"
    (tmp_path / package).mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str, name: str = "words") -> str:
        (tmp_path / package / f"{name}.py").write_text(textwrap.dedent(HEAD) + textwrap.dedent(code))
        return f"{package}.{name}"

    return write


async def opened(*modules: str) -> list[Tool]:
    async with open_tools(ToolEnvironment(Settings(), HARBOUR.model_copy(update={"tools": modules}))) as tools:
        return tools


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ('@tool(title={"en": "Look"})\ndef look(word: str) -> str:\n    return word', "look .*needs a docstring"),
        ('@tool(title={"en": "Look"})\ndef look(word) -> str:\n    "Look."\n    return word', "look .*word: has no type"),
        (
            '@tool(title={"en": "Look"})\ndef look(*words: str) -> str:\n    "Look."\n    return ""',
            "look .*words: a tool's parameters",
        ),
        (
            '@tool(title={"en": "Look"})\ndef look(word: "Wrod") -> str:\n    "Look."\n    return word',
            "look .*cannot be read.*Wrod",
        ),
        ('@tool(title={})\ndef look(word: str) -> str:\n    "Look."\n    return word', "look .*title is empty"),
        (
            '@tool(title={"en": "L"}, timeout_seconds=0)\ndef look(word: str) -> str:\n    "Look."',
            "timeout_seconds must be more",
        ),
        (f'@tool(title={{"en": "L"}})\ndef {"look" * 17}(word: str) -> str:\n    "Look."', "at most 64 letters"),
        ('@tool(title={"en": "L"}, settings=LookSettings)\ndef look(word: str) -> str:\n    "Look."', "no parameter settings"),
        (
            '@tool(title={"en": "L"}, icon="stars")\ndef look(word: str) -> str:\n    "Look."',
            r"look \(.*words\.py:13\): icon: there is no icons/stars\.svg, .*; there are .*\bbook, .*\btide, .*\bwrench",
        ),
        ('@tool(title={"en": "L"})\ndef look(word: str):\n    "Look."\n    yield word', r"words\.py:13\): has a yield"),
        ('@tool(title={"en": "L"})\nasync def look(word: str):\n    "Look."\n    yield word', "has a yield"),
        *(
            (f'@tool(title={{"en": "L"}})\ndef look(x: int, {parameter}) -> str:\n    "Look."', rf"words\.py:13\): {told}")
            for parameter, told in (
                ("lock: threading.Barrier", "lock: cannot be described to the model as JSON: Unable to generate"),
                ("kind: type", "kind: cannot be described to the model as JSON: Cannot generate a JsonSchema"),
                ("most: float = float('inf')", "most: cannot be described to the model as JSON: Out of range"),
                ("_word: str", "_word: the model is not told of names"),
                ("word: Annotated[str, Field(alias='w')]", "word: a field has an alias"),
            )
        ),
        (
            '@tool(title={"en": "L"}, result=ResultView(kind="figure", icons={"rain(": "book"}))\n'
            'def look(x: int):\n    "Look."',
            r"words\.py:13\): icons: 'rain\(' is no regular expression: missing \), unterminated subpattern",
        ),
        ("import nowhere_to_be_found", "words cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def look(:", "words cannot be imported: SyntaxError"),
        ("raise RuntimeError('no licence')", "words cannot be imported: RuntimeError: no licence"),
        ("def look(word: str) -> str:\n    return word", r"has no function with @tool\(…\), and no open_tools"),
    ],
)
async def test_what_is_wrong_is_told(write: Write, monkeypatch: pytest.MonkeyPatch, code: str, told: str) -> None:
    monkeypatch.setenv("LOOK_KEY", "sesame")
    with pytest.raises(AssistantError, match=told) as refused:
        await opened(write(code))
    assert "words" in str(refused.value)


@pytest.mark.parametrize(
    ("code", "line", "reason"),
    [
        ("def look(:", 13, "SyntaxError: invalid syntax"),
        ("import nowhere_to_be_found", 13, "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        (
            'x = 1\n@tool(title={"en": "L"}, icon=7)\ndef look() -> str:\n    "Look."',
            14,
            "icon: Input should be a valid string",
        ),
        (
            '@tool(title={"en": "L"})\nclass Look:\n    "Look."',
            13,
            "TypeError: @tool(…) stands before a type, but a tool is a function",
        ),
        (
            '@tool(label="L")\ndef look() -> str:\n    "Look."',
            13,
            "TypeError: tool() got an unexpected keyword argument 'label'",
        ),
    ],
)
async def test_what_cannot_be_imported_is_told_with_its_place(write: Write, code: str, line: int, reason: str) -> None:
    module = write(code)
    with pytest.raises(AssistantError) as refused:
        await opened(module)
    assert refused.value.file
    assert refused.value.file.name == "words.py"
    assert str(refused.value) == f"{refused.value.file}:{line}: {module} cannot be imported: {reason}"


async def test_a_module_that_is_not_there_is_told_with_those_that_are(write: Write) -> None:
    with pytest.raises(AssistantError) as refused:
        await opened("calculators")
    file = HARBOUR.folder / "assistant.toml"
    assert refused.value.file == file
    told, _, known = str(refused.value).partition("; there are ")
    assert told == f"{file}: tools: there is no module tools.calculators"
    assert {"calculator", "knowledge_base"} <= {*known.split(", ")}
    assert not {"tool", "registry", "settings"} & {*known.split(", ")}
    module = write('@tool(title={"en": "L"})\ndef look() -> str:\n    "Look."')
    write("", "helpers")
    with pytest.raises(AssistantError, match=rf"no module {module}s; there are {module}$"):
        await opened(f"{module}s")
    with pytest.raises(AssistantError, match=r"no module nowhere_at_all\.words$"):
        await opened("nowhere_at_all.words")


@pytest.mark.parametrize(
    ("tools", "kind"),
    [("[functools.partial(look, key='sesame')]", "partial"), ("[Look()]", "Look"), ("[Look]", "type"), ("['look']", "str")],
)
async def test_what_is_opened_and_no_function_is_refused(write: Write, tools: str, kind: str) -> None:
    module = write(f"""
        import functools

        class Look:
            def __call__(self, word: str) -> str:
                "Look a word up."
                return word

        def look(word: str, key: str) -> str:
            "Look a word up."
            return word

        @asynccontextmanager
        async def open_tools(environment):
            yield {tools}
    """)
    with pytest.raises(AssistantError, match=rf"words\.py: {module}: open_tools yields a {kind}, but a tool is") as refused:
        await opened(module)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "code",
    [
        "async def open_tools(environment):\n    yield []",
        "async def open_tools(environment):\n    return []",
        "def open_tools(environment):\n    return []",
    ],
)
async def test_what_opens_nothing_is_refused(write: Write, code: str) -> None:
    with pytest.raises(AssistantError, match=r"words\.py: .*open_tools is no .*: write @asynccontextmanager in front of it"):
        await opened(write(code))


async def test_two_tools_of_one_name_are_refused(write: Write) -> None:
    code = '@tool(title={"en": "Look"})\ndef look(word: str) -> str:\n    "Look."\n    return word'
    told = r"tool look \(.*other\.py:13\): there is another tool look \(.*words\.py:13\): give one of them another name"
    with pytest.raises(AssistantError, match=told):
        await opened(write(code), write(code, "other"))


async def test_a_tool_that_hides_another_one_in_its_file_is_refused(write: Write) -> None:
    one = '@tool(title={"en": "Look"})\ndef look(word: str) -> str:\n    "Look."\n    return word\n'
    with pytest.raises(AssistantError, match=r"tool look \(.*words\.py:17\): there is another tool look \(.*words\.py:13\)"):
        await opened(write(one + one))


async def test_a_helper_of_the_same_name_as_another_one_is_nobodys_business(write: Write) -> None:
    helper = "def help_it() -> None: ...\n"
    one = '@tool(title={"en": "Look"})\ndef look(word: str) -> str:\n    "Look."\n    return word\n'
    [look] = await opened(write(helper + helper + one))
    assert look(word="x") == "x"


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "LOOK_KEY: Field required"), ({"LOOK_KEY": "sesame", "LOOK_LIMIT": "many"}, "LOOK_LIMIT: Input should be")],
)
async def test_a_setting_that_cannot_be_used_is_named_and_not_shown(
    write: Write, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], told: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AssistantError, match=told) as refused:
        await opened(write(WITH_SETTINGS))
    assert "sesame" not in str(refused.value)


async def test_a_tools_settings_are_bound_and_hidden_from_the_model(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOOK_KEY", "sesame")
    module = write(WITH_SETTINGS)
    [look] = await opened(module)
    described = as_function_tool(look)
    assert (described.name, described.description) == ("look", "Look a word up.")
    assert list(described.parameters()["properties"]) == ["word"]
    assert spec_of(look).view.title == {"en": "Look"}
    async with serve_tools(tmp_path, module) as call:
        made = await call("look", word="x")
        assert made["result"] == {"word": "x", "key": "sesame", "limit": 3, "thread": True}
        # Neither by name nor in another way can the model set them.
        assert (await call("look", word="x", settings={"look_key": "mine"}))["result"]["key"] == "sesame"


async def test_a_tool_may_have_a_deadline_of_its_own(write: Write, tmp_path: Path) -> None:
    module = write("""
        @tool(title={"en": "Look"}, timeout_seconds=0.02)
        async def look(word: str) -> str:
            "Look a word up."
            await asyncio.Event().wait()
    """)
    async with serve_tools(tmp_path, module) as call:
        assert (await call("look", word="x"))["error"] == "the tool took longer than 0.02 seconds"


async def test_what_a_module_opens_is_closed(write: Write) -> None:
    module = write("""
        closed = []

        @asynccontextmanager
        async def open_tools(environment):
            @tool(title={"en": "Look"})
            async def look(word: str) -> str:
                "Look a word up."
                return environment.assistant.name

            yield [look]
            closed.append(environment.settings.model_kind)
    """)
    environment: Any = ToolEnvironment(Settings(), HARBOUR.model_copy(update={"tools": (module,)}))
    async with open_tools(environment) as [look]:
        assert await look(word="x") == "Harbour desk"
    import importlib

    assert importlib.import_module(module).closed == ["offline"]
