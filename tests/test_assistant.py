"""Reading an assistant's folder: what is wrong is told by file and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from settings import AssistantError, load_assistant
from tests.support.assistant_folder import FOLDER, HARBOUR

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("assistant.toml", "instructions.md", "logo.svg"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    return tmp_path


def test_the_smallest_folder_of_the_documentation_is_whole(folder: Path) -> None:
    [toml] = re.findall(r"^```toml\n(name = .*?)^```", (ROOT / "docs/your-assistant.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "assistant.toml").write_text(toml)
    assert load_assistant(folder).tools == ()


def told_of(folder: Path) -> str:
    with pytest.raises(AssistantError) as refused:
        load_assistant(folder)
    return str(refused.value)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('name = "Harbour desk"', "", "assistant.toml: name: Field required"),
        (
            'name = "Harbour desk"',
            'nmae = "Harbour desk"',
            "assistant.toml: nmae: is not a key of this file; did you mean name?",
        ),
        (
            'name = "Harbour desk"',
            'name = "' + "x" * 31 + '"',
            "name: String should have at most 30 characters",
        ),
        ('name = "Harbour desk"', "name = Harbour", "assistant.toml: Invalid value (at line 1, column 8)"),
        ('name = "Harbour desk"', 'name = "Harbour desk"\ninstructions = "x"', "assistant.toml: instructions: is not a key"),
        (
            "accent_dark =",
            "acent_dark =",
            "assistant.toml: colors.acent_dark: is not a key of this file; did you mean accent_dark?",
        ),
        ("summary =", "summaries =", "assistant.toml: teams.summaries: is not a key of this file; did you mean summary?"),
        ("icon =", "ikon =", "assistant.toml: texts.en.examples.0.ikon: is not a key of this file; did you mean icon?"),
        ('accent = "#12695c"', 'accent = "green"', "assistant.toml: colors.accent: String should match"),
        (
            'accent = "#12695c"',
            'accent = "#ffe000"',
            "colors.accent: cannot be read on #ffffff: its contrast is 1.3, 4.5 is needed",
        ),
        ('accent_dark = "#6fcdb9"', 'accent_dark = "#222222"', "colors.accent_dark: cannot be read on #171b1a"),
        ('"calculator"', '"../calculator"', "assistant.toml: tools.1: String should match pattern"),
        ('"calculator"', '"calculator", "calculator"', "assistant.toml: tools: calculator is there more than once"),
        ('language = "en"', 'language = "it"', "texts.it: must be there: it is the assistant's language"),
        ('language = "en"', 'language = ["en"]', "assistant.toml: language: must be there, a text"),
        ('language = "en"', "", "assistant.toml: language: must be there, a text"),
        ("[texts.de]", "[texts.German]", "assistant.toml: texts.German"),
        ("[texts.en]", "[texts]\nDE = 5\n[texts.en]", "assistant.toml: texts.DE.[key]: String should match pattern"),
        ('placeholder = "Ask the harbour"', "", "assistant.toml: texts.en.placeholder: Field required"),
        ('icon = "tide"', 'icon = "<x>"', "texts.en.examples.0.icon: String should match pattern"),
        ("summary =", "# summary =", "assistant.toml: teams.summary: Field required"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(folder: Path, before: str, after: str, told: str) -> None:
    file = folder / "assistant.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    assert told in told_of(folder)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('placeholder = "Ask the harbour"\n', "", ["texts.en.placeholder: Field required"]),
        (
            'placeholder = "Ask the harbour"\n',
            'placeholders = "Ask the harbour"\n',
            [
                "texts.en.placeholder: Field required",
                "texts.en.placeholders: is not a key of this file; did you mean placeholder?",
            ],
        ),
        ('name = "Harbour desk"', 'wholly = "other"', ["name: Field required", "wholly: is not a key of this file"]),
        ("[texts.de]\n", '[texts.de]\nplaceholder = ""\n', ["texts.de.placeholder: String should have at least 1 character"]),
    ],
)
def test_a_fault_is_told_once(folder: Path, before: str, after: str, told: list[str]) -> None:
    file = folder / "assistant.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    assert told_of(folder).splitlines() == [f"{file}: {line}" for line in told]


def test_an_examples_icon_is_one_of_the_pages_or_of_its_own(folder: Path) -> None:
    told = told_of(folder)
    assert "assistant.toml: texts.en.examples.0.icon: there is no icons/tide.svg, and none of the page's; there are " in told
    assert all(name in told for name in ("book", "calculator", "wrench"))
    (folder / "icons").mkdir()
    (folder / "icons" / "tide.svg").write_bytes((FOLDER / "icons" / "tide.svg").read_bytes())
    assert load_assistant(folder).name == HARBOUR.name


@pytest.mark.parametrize("name", ["assistant.toml", "instructions.md", "logo.svg"])
def test_a_file_that_is_not_there_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert str(folder / name) in told_of(folder)


def test_a_folder_that_cannot_be_looked_for_is_told(tmp_path: Path) -> None:
    assert "ASSISTANT_DIR: cannot be read: " in told_of(tmp_path / ("x" * 5000))


def test_a_file_in_another_encoding_is_named(folder: Path) -> None:
    (folder / "instructions.md").write_bytes("Übung".encode("latin-1"))
    assert "instructions.md: cannot be read" in told_of(folder)


@pytest.mark.parametrize("name", ["logo.svg", "icons/tide.svg"])
@pytest.mark.parametrize("content", ["", "<svg><path></svg>", "\x89PNG", "<html><body/></html>"])
def test_a_drawing_that_is_no_svg_is_named(folder: Path, name: str, content: str) -> None:
    """The page would be shown to nobody, as its document could not be made."""
    (folder / "icons").mkdir()
    (folder / "icons" / "tide.svg").write_bytes((FOLDER / "icons" / "tide.svg").read_bytes())
    load_assistant(folder)
    (folder / name).write_text(content)
    assert f"{folder / name}: is no SVG: " in told_of(folder)


def test_a_language_says_what_it_leaves_out_in_the_assistants_own() -> None:
    german = HARBOUR.texts["de"]
    assert (german.headline, german.placeholder) == ("Was kann der Hafen für dich tun?", "Ask the harbour")


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        (["de-AT"], "de"),
        (["pt", "fr_CA", "de"], "fr"),
        (["tlh"], "en"),
        ([""], "en"),
        ([], "en"),
        (["DE"], "de"),
        (["*"], "en"),
    ],
)
def test_the_first_language_that_it_speaks_is_chosen(wanted: list[str], language: str) -> None:
    assert HARBOUR.choose_language(wanted) == language
