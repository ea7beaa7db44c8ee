"""creators.csv: who is to be analysed.

A table with a column `username` (or one of `USERNAME_COLUMNS`); other columns are carried
along. People's spreadsheets are read as they come: any of the usual encodings, line ends
and separators, '@' signs, profile addresses. What was cleaned or refused is said by line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from reelscope.crawl.names import safe_name
from reelscope.crawl.table import NOT_UTF8, TOO_LONG, read_rows, read_text
from reelscope.errors import CsvError

USERNAME_COLUMNS = ("username", "user", "handle", "creator", "unique_id")
"""Names of the column that counts, the first one found; case, blanks and _ do not matter."""

MAX_USERNAME = 64
"""Characters. TikTok allows 24; folders of other origin may be longer."""

_PUNCTUATION = "._-&+'()! "
_PROFILE = re.compile(r"(?:https?://)?(?:www\.|m\.)?tiktok\.com/@([^/?#]*)(.*)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://|www\.|[\w.-]*tiktok\.com/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Creator:
    """Somebody whose videos are wanted.

    Attributes:
        username: as the platform spells it, without '@'.
        line: of the file, counted from 1.
        columns: the other columns of that line, name -> text.
    """

    username: str
    line: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the videos are to come from, as the column `source` says; empty: nothing."""
        for name, text in self.columns.items():
            if name.strip().casefold() == "source":
                return text.strip().casefold()
        return ""

    @property
    def folder(self) -> str:
        """The username as a folder name; mostly the username itself."""
        return safe_name(self.username)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one line of the file."""

    line: int
    text: str

    def __str__(self) -> str:
        """As a person reads it: "line 7: ..."."""
        return f"line {self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class CreatorList:
    """The creators in the order of the file, and what there is to say about its lines.

    Attributes:
        creators: each once.
        notes: what was cleaned, or left out because it stands there twice.
        problems: lines that were refused.
    """

    creators: tuple[Creator, ...]
    notes: tuple[Remark, ...]
    problems: tuple[Remark, ...]


class _Refused(ValueError):  # noqa: N818 - leaves this file as a ValueError
    """Why a username cannot be used."""


def read_creators(path: Path) -> CreatorList:
    """Read the list of creators.

    Raises:
        CsvError: no such file, not text, too large, no username column, or no usable
            line; the message says what was found and what is expected.
    """
    text, odd_line = read_text(path, what="a list of creators")
    notes = [Remark(odd_line, NOT_UTF8)] if odd_line else []
    rows = read_rows(text, wanted=lambda cell: _plain(cell) in _KNOWN)
    header_line, header = next(((n, cells) for n, cells in rows if any(cells)), (0, []))
    if not header_line:
        raise CsvError(f"{path}: the file is empty; expected a line with the column `username`")
    where, names = _columns(header, path)
    table = _Table(where=where, names=names, notes=notes)
    for line, cells in rows:
        table.take(line, cells)
    if not table.creators:
        raise CsvError(_nothing_usable(path, table.problems))
    return CreatorList(tuple(table.creators.values()), tuple(table.notes), tuple(table.problems))


def _nothing_usable(path: Path, problems: list[Remark]) -> str:
    if not problems:
        return f"{path}: there is a header but no creator below it"
    shown = [f"{path}: no usable creator", *map(str, problems[:5])]
    more = len(problems) - 5
    return "\n  ".join([*shown, f"... and {more} more"] if more > 0 else shown)


# ------------------------------------------------------------------------------ names


def _visible(text: str) -> str:
    """Without outer blanks and without what cannot be seen (zero width, direction marks)."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", _visible(name)).casefold()


_KNOWN = {_plain(name): rank for rank, name in enumerate(USERNAME_COLUMNS)}


def _columns(header: list[str], path: Path) -> tuple[int, list[str]]:
    """Where the username stands, and a name of its own for every column."""
    ranked = [(_KNOWN[_plain(c)], i) for i, c in enumerate(header) if _plain(c) in _KNOWN]
    if not ranked:
        found = ", ".join(repr(cell[:40]) for cell in header[:20])
        raise CsvError(
            f"{path}: no column `username` (or {', '.join(USERNAME_COLUMNS[1:])}) in the first "
            f"line; found {found}"
        )
    names: list[str] = []
    for number, cell in enumerate(header, 1):
        name = cell or f"column_{number}"
        names.append(f"{name}_{number}" if name in names else name)
    return min(ranked)[1], names


# -------------------------------------------------------------------------- usernames


@dataclass
class _Table:
    """What the rows read so far amount to."""

    where: int
    names: list[str]
    notes: list[Remark]
    problems: list[Remark] = field(default_factory=list)
    creators: dict[str, Creator] = field(default_factory=dict)

    def take(self, line: int, cells: list[str]) -> None:
        if not any(cells):
            return
        if cells == TOO_LONG:
            self.problems.append(Remark(line, "a cell is far too long; is a quote left open?"))
            return
        cell = cells[self.where] if self.where < len(cells) else ""
        try:
            username = username_of(cell)
        except _Refused as refusal:
            self.problems.append(Remark(line, str(refusal)))
            return
        if (first := self.creators.get(username.casefold())) is not None:
            text = f"{username!r} stands in line {first.line} already; kept once"
            self.notes.append(Remark(line, text))
            return
        creator = Creator(username, line, self._others(cells))
        self.creators[username.casefold()] = creator
        self._remark(creator, cell, extra=len(cells) - len(self.names))

    def _others(self, cells: list[str]) -> dict[str, str]:
        row = dict(zip(self.names, cells + [""] * len(self.names), strict=False))
        del row[self.names[self.where]]
        return row

    def _remark(self, creator: Creator, cell: str, *, extra: int) -> None:
        said = []
        if cell != creator.username:
            said.append(f"{_shown(cell)} was read as {creator.username!r}")
        if creator.folder != creator.username:
            said.append(f"{creator.username!r} gets the folder {creator.folder!r}")
        if extra > 0:
            said.append(f"{extra} more cells than the header has; they were left out")
        self.notes.extend(Remark(creator.line, text) for text in said)


def username_of(cell: str) -> str:
    """The username in a cell: without '@', out of a profile's address.

    Raises:
        ValueError: with the reason, a sentence.
    """
    text = _visible(cell)
    if match := _PROFILE.fullmatch(text):
        text = _visible(unquote(match[1]))
    elif _ADDRESS.match(text):
        raise _Refused(f"{_shown(cell)} is not the address of a TikTok profile (.../@name)")
    username = text.lstrip("@").strip()
    if not username:
        raise _Refused("the username is empty" if not cell else f"no username in {_shown(cell)}")
    _refuse_characters(username)
    if not username.strip(". "):
        raise _Refused(f"{_shown(username)} is not a name")
    if len(username) > MAX_USERNAME:
        raise _Refused(f"{_shown(username)} has more than {MAX_USERNAME} characters")
    return username


def _refuse_characters(username: str) -> None:
    if "\n" in username:
        raise _Refused(f"{_shown(username)} spans several lines; is a quote left open?")
    for character in username:
        if character not in _PUNCTUATION and unicodedata.category(character)[0] not in "LMN":
            raise _Refused(f"{_shown(username)} has {character!r} in it, which no username has")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
