"""The chat page's document: ``web/index.html`` with an assistant's name, texts and icons filled in, for one language."""

from __future__ import annotations

import re
from html import escape
from xml.etree import ElementTree

from settings import Assistant
from settings.assistant import Example
from settings.colors import readable_on

HOLE = re.compile(r"\{\{(\w+)\}\}")


def fill_page(template: str, assistant: Assistant, language: str) -> str:
    """Return the document; every ``{{name}}`` in the template is one of the names here."""
    texts = assistant.texts[language]
    filled = {
        "language": escape(language),
        "name": escape(assistant.name),
        "headline": escape(texts.headline),
        "introduction": escape(texts.introduction),
        "placeholder": escape(texts.placeholder),
        "examples": "".join(_example(example) for example in texts.examples),
        "icons": "".join(_symbol(name, svg) for name, svg in assistant.icons.items()),
    }
    return HOLE.sub(lambda hole: filled[hole[1]], template)


def style_of(assistant: Assistant) -> str:
    """Return the stylesheet with the assistant's colours."""
    colors = assistant.colors
    values = {
        "--brand": colors.accent,
        "--on-brand": readable_on(colors.accent),
        "--brand-dark": colors.accent_dark,
        "--on-brand-dark": readable_on(colors.accent_dark),
    }
    return ":root { " + " ".join(f"{name}: {value};" for name, value in values.items()) + " }\n"


def _example(example: Example) -> str:
    icon = f'<svg class="icon" aria-hidden="true"><use href="#icon-{escape(example.icon)}"/></svg>' if example.icon else ""
    return f'<li><button type="button" class="example">{icon}<span>{escape(example.question)}</span></button></li>'


def _symbol(name: str, svg: str) -> str:
    """Return a drawing as one that the page can use by name; its colours are the page's."""
    drawing = ElementTree.fromstring(svg)  # noqa: S314 - the operator's own file
    for each in drawing.iter():
        each.tag = each.tag.rpartition("}")[2]
    inner = "".join(ElementTree.tostring(part, encoding="unicode").strip() for part in drawing)
    return f'<symbol id="icon-{escape(name)}" viewBox="{escape(drawing.get("viewBox", "0 0 24 24"))}">{inner}</symbol>'
