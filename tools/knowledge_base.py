"""Search in the articles of ``assistant/articles/``, ranked by BM25 with stemming (SQLite's FTS5: https://www.sqlite.org/fts5.html)."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from errors import ToolError
from settings import AssistantError
from tools.environment import ToolEnvironment
from tools.tool import Offline, ResultView, Source, Tool, tool

FOLDER = "articles"
MAX_LIMIT = 10
MAX_TERMS = 32
SNIPPET_TOKENS = 40
# A hit on a title says more than one in the text. The other columns are not searched.
WEIGHTS = "0, 4.0, 0, 0, 1.0"
STOP_WORDS = frozenset(
    """
    a about an and any are as at be been but by can could did do does for from get got had has have he hello
    help hey hi how i if in is it its just like me my need no not of on or our please she should so some tell
    than thank thanks that the their them then there these they this to us want was we were what when where
    which who why will with would you your
    """.split()  # noqa: SIM905 - easier to read
)

PROGRESS = {
    "en": "Searching the knowledge base…",
    "de": "Ich durchsuche die Hilfeartikel …",
    "es": "Buscando en los artículos de ayuda…",
    "fr": "Recherche dans les articles d’aide…",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Source):
    """An article that was found; a higher ``score`` is a better match."""

    category: str
    score: float


@dataclass(frozen=True, slots=True)
class Article:
    """An article: its front matter, and its text without Markdown."""

    id: str
    title: str
    category: str
    url: str
    text: str


@asynccontextmanager
async def open_tools(environment: ToolEnvironment) -> AsyncIterator[list[Tool]]:
    """Read and index the articles once, and yield the tool ``search_knowledge_base``.

    :raises AssistantError: naming the file that cannot be read.
    """
    with closing(Index()) as index:
        await asyncio.to_thread(lambda: index.fill(read_articles(environment.assistant.folder / FOLDER)))
        yield [as_tool(index, environment.assistant.articles.about)]


def as_tool(index: "Index", about: str) -> Callable[..., list[Hit]]:
    """Make the tool that the model sees of an index; ``about`` says which questions its articles answer."""

    def search_knowledge_base(
        query: Annotated[str, Field(description="What to look for, in a few words")],
        category: Annotated[
            str | None, Field(description=f"Only articles of this category: {', '.join(index.categories)}")
        ] = None,
        limit: Annotated[int, Field(description="Articles at most", ge=1, le=MAX_LIMIT)] = 3,
    ) -> list[Hit]:
        if category is not None and category not in index.categories:
            raise ToolError(f"there is no category {category[:50]!r}; there are {', '.join(index.categories)}")
        return index.search(query, category, limit)

    search_knowledge_base.__doc__ = f"Search the help articles. Use this for questions about {about}."
    decorate = tool(
        title={"en": "Help articles", "de": "Hilfeartikel", "es": "Artículos de ayuda", "fr": "Articles d’aide"},
        icon="book",
        progress=PROGRESS,
        subject="{query}",
        result=ResultView(kind="sources"),
        offline=Offline(skill="search the help articles", listen=index.listen, say=_say),
    )
    return decorate(search_knowledge_base)


class Index:
    """A full-text index in memory. Its tool runs in threads, so it takes care of its own lock."""

    def __init__(self) -> None:
        self.categories: list[str] = []
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)

    def fill(self, articles: list[Article]) -> None:
        """Take the articles in, once."""
        self.categories = sorted({article.category for article in articles})
        rows = [(article.id, article.title, article.category, article.url, article.text) for article in articles]
        with self._lock:
            self._db.execute(
                "CREATE VIRTUAL TABLE articles USING fts5 "
                "(id UNINDEXED, title, category UNINDEXED, url UNINDEXED, text, tokenize = 'porter unicode61')"
            )
            self._db.executemany("INSERT INTO articles VALUES (?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Free the index, after what its threads are doing with it."""
        with self._lock:
            self._db.close()

    def search(self, query: str, category: str | None, limit: int) -> list[Hit]:
        """Return the best matches; articles without any of the query's meaningful words are no matches."""
        terms = search_terms(query)
        if not terms:
            return []
        # Each term is a quoted string, so nothing in it is query syntax.
        match = " OR ".join(f'"{term}"' for term in terms)
        sql = (
            "SELECT id, title, category, url, bm25(articles, " + WEIGHTS + ") AS rank, "  # noqa: S608 - constants
            f"snippet(articles, 4, '', '', '…', {SNIPPET_TOKENS}) FROM articles "
            "WHERE articles MATCH ? AND (? IS NULL OR category = ?) ORDER BY rank LIMIT ?"
        )
        with self._lock:
            rows = self._db.execute(sql, (match, category, category, limit)).fetchall()
        return [
            Hit(id=id, title=title, category=found, snippet=snippet, score=float(f"{-rank:.4g}"), url=url)
            for id, title, found, url, rank, snippet in rows
        ]

    def listen(self, text: str, _: Sequence[str]) -> list[dict[str, JsonValue]]:
        """Ask for what a message says, if it has a word of an article's title: the offline model understands no more."""
        match = " OR ".join(f'title : "{term}"' for term in search_terms(text) if term.isalpha())
        if not match:
            return []
        with self._lock:
            heard = self._db.execute("SELECT 1 FROM articles WHERE articles MATCH ? LIMIT 1", (match,)).fetchone()
        return [{"query": text[:300]}] if heard else []


def search_terms(query: str) -> list[str]:
    """Return a query's meaningful words, each once."""
    words = re.findall(r"\w+", query.casefold())
    return list(dict.fromkeys(word for word in words if word not in STOP_WORDS and len(word) > 1))[:MAX_TERMS]


def read_articles(folder: Path) -> list[Article]:
    """Read all articles of a folder.

    :raises AssistantError: naming the file that cannot be read, and what its front matter lacks, two files with the same id,
        or the folder if there are none.
    """
    articles: list[Article] = []
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.md")):
        article = _read_article(path)
        if other := files.get(article.id):
            raise AssistantError(f"{path}: the id {article.id} is that of {other}, too: give one of them another id", file=path)
        files[article.id] = path
        articles.append(article)
    if not articles:
        raise AssistantError(
            f"{folder}: has no articles: write one, or take knowledge_base out of the assistant's tools", file=folder
        )
    return articles


def _read_article(path: Path) -> Article:
    try:
        written = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssistantError(f"{path}: cannot be read: {error}", file=path) from error
    head, separator, text = written.removeprefix("---\n").partition("\n---\n")
    fields = {name.strip(): value.strip().strip('"') for name, _, value in (line.partition(":") for line in head.splitlines())}
    missing = {"id", "title", "category", "url"} - set(fields)
    if missing or not separator:
        raise AssistantError(f"{path}: the front matter lacks {', '.join(sorted(missing)) or 'its end'}", file=path)
    return Article(fields["id"], fields["title"], fields["category"], fields["url"], _plain(text))


def _plain(markdown: str) -> str:
    """Return Markdown as running text."""
    lines = (
        re.sub(r"^\s*(?:[-*]|\d+\.)\s+", "", line) for line in markdown.splitlines() if not re.match(r"^\|[-|\s]+\|$", line)
    )
    return " ".join(re.sub(r"[*_`]+", "", " ".join(lines)).replace("|", " ").split())


def _say(_: Mapping[str, Any], hits: Any) -> str:
    if not hits:
        return "I found no help article about that."
    first, *others = hits
    more = "".join(f"\n- {hit['title']} [{hit['index']}]" for hit in others)
    return f"**{first['title']}**\n\n{first['snippet']} [{first['index']}]" + (f"\n\nSee also:{more}" if more else "")
