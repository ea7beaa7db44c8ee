"""A list of addresses of videos: one in each line, or a table with a column `url`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urldefrag

from reelscope.crawl.addresses import split_url
from reelscope.crawl.creators import Remark
from reelscope.crawl.names import safe_name
from reelscope.crawl.table import NOT_UTF8, TOO_LONG, read_rows, read_text
from reelscope.errors import CrawlFailed, CsvError
from reelscope.records import Platform

URL_COLUMNS = ("url", "urls", "video_url", "link", "address", "webpage_url")
"""Names of the column that counts, the first one found; case, blanks and _ do not matter."""

UNKNOWN_CREATOR = "unknown"
"""Folder of videos of which nobody says who posted them."""

_COMMENT = re.compile(r"\s+#.*")


@dataclass(frozen=True, slots=True)
class UrlLine:
    """A video that is wanted.

    Attributes:
        line: of the file, counted from 1.
        url: http or https, without fragment.
        columns: the other columns of that line, name -> text.
    """

    line: int
    url: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UrlList:
    """The addresses in the order of the file, each once.

    Attributes:
        urls: that can be asked for.
        notes: what was left out because it stands there twice.
        problems: lines that were refused.
    """

    urls: tuple[UrlLine, ...]
    notes: tuple[Remark, ...]
    problems: tuple[Remark, ...]


def read_urls(path: Path) -> UrlList:
    """Read a list of addresses.

    A file whose first line has a cell `url` (or one of `URL_COLUMNS`) is a table. Any other
    is read by line; what follows `#` at the start of a line or behind a blank is a comment.

    Raises:
        CsvError: no such file, not text, too large, or no usable address in it.
    """
    text, odd_line = read_text(path, what="a list of addresses")
    rows = _table(text) if _is_table(text) else _lines(text)
    found: dict[str, UrlLine] = {}
    notes = [Remark(odd_line, NOT_UTF8)] if odd_line else []
    problems: list[Remark] = []
    for line, cell, columns in rows:
        try:
            split_url(url := _plain_url(cell))
        except CrawlFailed as refusal:
            problems.append(Remark(line, str(refusal)))
            continue
        if (first := found.get(url)) is None:
            found[url] = UrlLine(line, url, columns)
        else:
            notes.append(Remark(line, f"stands in line {first.line} already; kept once"))
    if not found:
        said = "".join(f"\n  {problem}" for problem in problems[:5])
        raise CsvError(f"{path}: no usable address of a video{said}")
    return UrlList(tuple(found.values()), tuple(notes), tuple(problems))


def creator_of(platform: Platform) -> str:
    """Folder name of who posted a video, as far as the platform says it."""
    author = platform.author
    names = (author.username, author.nickname, author.id) if author else ()
    return safe_name(next((name for name in names if name and name.strip()), UNKNOWN_CREATOR))


_Row = tuple[int, str, dict[str, str]]


def _lines(text: str) -> Iterator[_Row]:
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        shown = _visible(line)
        if shown and not shown.startswith("#"):
            yield number, _COMMENT.sub("", shown), {}


def _table(text: str) -> Iterator[_Row]:
    where, names = -1, list[str]()
    for line, cells in read_rows(text, wanted=_is_url_column):
        if not any(cells) or cells[0].startswith("#"):
            continue
        if where < 0:
            where, names = _column(cells), cells
        elif cells == TOO_LONG:
            yield line, cells[0], {}
        elif where < len(cells) and cells[where]:
            others = zip(names, cells, strict=False)
            yield line, cells[where], {n: c for i, (n, c) in enumerate(others) if i != where}


def _is_table(text: str) -> bool:
    rows = read_rows(text, wanted=_is_url_column)
    first = next((cells for _, cells in rows if any(cells) and not cells[0].startswith("#")), [])
    return any(map(_is_url_column, first))


def _is_url_column(cell: str) -> bool:
    return _folded(cell) in _KNOWN


def _column(header: list[str]) -> int:
    ranked = [(_KNOWN[_folded(cell)], i) for i, cell in enumerate(header) if _is_url_column(cell)]
    return min(ranked)[1]


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]", "", _visible(name)).casefold()


def _visible(text: str) -> str:
    """Without outer blanks and without what cannot be seen (zero width, direction marks)."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()


_KNOWN = {_folded(name): rank for rank, name in enumerate(URL_COLUMNS)}


def _plain_url(cell: str) -> str:
    """The address without fragment; quotes and <> around it go."""
    return urldefrag(_visible(cell).strip("<>\"'").strip())[0]
