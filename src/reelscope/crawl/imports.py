"""What researchers have already: exports of TikTok posts by 4CAT and Zeeschuimer.

Three files, told apart by their content: Zeeschuimer's NDJSON (the post under `data`, around
it when and where it was seen), 4CAT's NDJSON (the post itself, that under `__import_meta`) and
4CAT's CSV (see fourcat.py). They are read line by line, so that size does not matter; what a
line lacks costs that line only.

Media may lie beside the export, named as 4CAT's downloader names them: `<post id>.mp4`,
pictures `<post id>_1.jpg` (`datasources/tiktok_urls/search_tiktok_urls.py`).
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from reelscope.atomic import not_written
from reelscope.crawl.creators import Creator, Remark, username_of
from reelscope.crawl.folder import NOT_VIDEOS
from reelscope.crawl.fourcat import is_fourcat, listed_of_row
from reelscope.crawl.media_file import media_suffix
from reelscope.crawl.photo import make_photo_video
from reelscope.crawl.source import Listed, Source
from reelscope.crawl.tiktok_item import count_of, listed_of, time_of
from reelscope.errors import CrawlFailed, UnreadableMedia, UsageError

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A post has some ten thousand; one with all its comments some hundred thousand."""

MAX_PROBLEMS = 1_000
"""So many are kept; `refused` counts them all."""

_HEAD_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_NAME = re.compile(r"([0-9]{1,20})(?:[_-]([0-9]{1,3}))?")
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".heic", ".avif", ".gif"}
_SOUNDS = {".mp3", ".m4a", ".aac", ".ogg", ".opus", ".wav", ".flac"}
_SORTS = ("video", "picture", "sound")
_PLATFORMS = {"tiktok.com", "www.tiktok.com", "tiktok"}


class _Refused(Exception):  # noqa: N818 - never leaves this file
    """Why a line cannot be used."""


class _Post(NamedTuple):
    """A post, and where it stands."""

    at: int
    """Byte at which its line begins."""
    creator: Creator
    listed: Listed


@dataclass
class Import:
    """An export, read anew by each iteration.

    Attributes:
        path: the export.
        problems: the lines that cannot be used, by number; of the last reading.
        refused: how many these are.
        doubles: posts that came again.
    """

    path: Path
    problems: list[Remark] = field(default_factory=list)
    refused: int = 0
    doubles: int = 0
    _media: dict[str, list[Path]] = field(default_factory=dict, repr=False)

    def __iter__(self) -> Iterator[tuple[Creator, Listed]]:
        """Each post once, with whose it is, in the order of the file.

        Raises:
            UsageError: the file cannot be read (any more).
        """
        for post in self.posts():
            yield post.creator, post.listed

    def posts(self) -> Iterator[_Post]:
        """As `__iter__`, with the place of each."""
        self.problems, self.refused, self.doubles = [], 0, 0
        seen: set[str] = set()
        try:
            with self.path.open("rb") as file:
                for at, line, data in _rows(file):
                    try:
                        post = self._post(at, line, data)
                    except _Refused as reason:
                        self._refuse(line, str(reason))
                        continue
                    if post.listed.video_id in seen:
                        self.doubles += 1
                        continue
                    seen.add(post.listed.video_id)
                    yield post
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def post_at(self, at: int) -> _Post | None:
        """The post of the line that begins at this byte; None: the file has changed.

        Raises:
            UsageError: the file cannot be read any more.
        """
        try:
            with self.path.open("rb") as file:
                return self._post(*next(_rows(file, at=at)))
        except (StopIteration, _Refused):
            return None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _refuse(self, line: int, why: str) -> None:
        self.refused += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Remark(line, why))

    def _post(self, at: int, line: int, data: _Data) -> _Post:
        if isinstance(data, str):
            raise _Refused(data)
        listed = data.listed()
        if listed is None:
            raise _Refused("no post of TikTok: there is no id that can be one, or it is live")
        author = listed.platform.author
        try:
            name = username_of((author and author.username) or "")
        except ValueError as reason:
            raise _Refused(f"post {listed.video_id}: {reason}") from None
        return _Post(at, Creator(name, line), _with_media(listed, self._media))


def read_import(path: Path, *, media: Path | None = None) -> Import:
    """The posts of an export.

    Args:
        path: of 4CAT or Zeeschuimer.
        media: folder with the posts' files, folders below it as well; None: the folder of the
            export itself.

    Raises:
        UsageError: there is no such file or folder, or it is no such export.
    """
    _require_export(path)
    if media is not None and not media.is_dir():
        raise UsageError(f"{media}: there is no such folder")
    files = _files(media) if media is not None else _files_in(path.parent)
    return Import(path, _media=_by_id(files))


class ImportSource:
    """An export as a source of videos.

    Args:
        path: of 4CAT or Zeeschuimer.
        media: folder with the posts' files; None: the folder of the export.
        fetch: where videos come from whose files are not there; None: nowhere.
    """

    name = "import"

    def __init__(
        self, path: Path, *, media: Path | None = None, fetch: Source | None = None
    ) -> None:
        self._path = path
        self._folder = media
        self._fetch = fetch
        self._fetch_is_open = False
        self._posts: defaultdict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self.creators: list[Creator] = []
        self.export: Import | None = None

    def open(self) -> None:
        """Read the export once and keep where whose posts stand.

        Raises:
            CrawlFailed: it cannot be read.
        """
        self._posts.clear()
        self.creators = []
        try:
            self.export = read_import(self._path, media=self._folder)
            for at, creator, listed in self.export.posts():
                posts = self._posts[creator.username.casefold()]
                if not posts:
                    self.creators.append(creator)
                posts.append((listed.platform.posted_at or datetime.min.replace(tzinfo=UTC), at))
        except UsageError as error:
            raise CrawlFailed(
                "not_supported", str(error), remedy="name an export of 4CAT or Zeeschuimer"
            ) from None

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        """The creator's posts, newest first, those without a date last.

        Raises:
            CrawlFailed: no_videos.
        """
        posts = self._posts.get(creator.username.casefold())
        if not posts or self.export is None:
            raise CrawlFailed(
                "no_videos",
                f"{self._path.name} has no post of {creator.username}",
                remedy="look at the spelling, or take this creator out of the list",
            )
        given = 0
        for posted_at, at in sorted(posts, key=lambda post: post[0], reverse=True):
            if limit is not None and given >= limit:
                return
            if since is not None and datetime.min.replace(tzinfo=UTC) < posted_at < since:
                continue
            try:
                post = self.export.post_at(at)
            except UsageError as error:
                raise CrawlFailed("gone", str(error), remedy="put the export back") from None
            if post and post.creator.username.casefold() == creator.username.casefold():
                given += 1
                yield post.listed

    def download(self, video: Listed, target: Path) -> Path:
        """Link or copy the file that lies beside the export, else fetch it.

        Of a photo post's pictures and sound one file is made.

        Raises:
            CrawlFailed: there is none, and nowhere to fetch it from; or it is no media.
            OutputError: the disk does not take it.
        """
        of = {sort: [path for path in video.local if _sort(path) == sort] for sort in _SORTS}
        if of["video"]:
            return _take(of["video"][0], target)
        if of["picture"]:
            target.parent.mkdir(parents=True, exist_ok=True)
            return make_photo_video(of["picture"], next(iter(of["sound"]), None), target)
        if self._fetch is None:
            raise CrawlFailed(
                "not_supported",
                f"the file of post {video.video_id} is not here",
                remedy=f"put {video.video_id}.mp4 beside the export, or let it be fetched",
            )
        if not self._fetch_is_open:
            self._fetch.open()
            self._fetch_is_open = True
        return self._fetch.download(video, target)

    def close(self) -> None:
        """Let go of the source that fetches."""
        if self._fetch is not None and self._fetch_is_open:
            self._fetch_is_open = False
            self._fetch.close()


# ---------------------------------------------------------------------------- the file


@dataclass(frozen=True, slots=True)
class _Json:
    """A line of NDJSON."""

    data: dict[str, Any]

    def listed(self) -> Listed | None:
        """The post in it.

        Raises:
            _Refused: it is of another platform.
        """
        post, around = _unwrapped(self.data)
        platform = around.get("source_platform")
        if isinstance(platform, str) and platform not in _PLATFORMS:
            raise _Refused(f"of {platform[:40]!r}, not a post of TikTok")
        collected_ms = count_of(around.get("timestamp_collected"))
        return listed_of(post, taken_at=time_of(collected_ms // 1000 if collected_ms else None))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the CSV."""

    cells: dict[str, str]

    def listed(self) -> Listed | None:
        """The post in it."""
        return listed_of_row(self.cells)


_Data = _Json | _Row | str
"""What a line holds; a text: why it cannot be used."""


def _unwrapped(data: dict[str, Any]) -> tuple[object, dict[str, Any]]:
    """The post, and what is said of where it comes from."""
    meta = data.get("__import_meta")
    if isinstance(meta, dict):
        return data, meta
    if "author" not in data:
        for key in ("data", "item", "itemStruct"):
            if isinstance(data.get(key), dict):
                return data[key], data
    return data, {}


def _require_export(path: Path) -> None:
    try:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    start = head.removeprefix(_BOM).lstrip()
    if not start:
        raise UsageError(f"{path}: the file is empty")
    if start.startswith(b"["):
        raise UsageError(f"{path}: one JSON array; export it as NDJSON, a post per line")
    if not start.startswith(b"{") and _header(start) is None:
        raise UsageError(
            f"{path}: neither NDJSON of 4CAT or Zeeschuimer nor 4CAT's CSV of TikTok posts "
            "(columns id, author, body or tiktok_url)"
        )


def _header(start: bytes) -> tuple[str, list[str]] | None:
    """(separator, columns) of 4CAT's CSV; None: it is none."""
    first = start.split(b"\n", 1)[0].decode("utf-8", "replace")
    for separator in ",;\t":
        try:
            cells = next(csv.reader([first], delimiter=separator), [])
        except csv.Error:
            continue
        names = [cell.strip().casefold() for cell in cells]
        if is_fourcat(names):
            return separator, names
    return None


class _Lines:
    """The lines of a file, and where the next one begins. One that is too long is None."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        file.seek(at)
        self._file = file
        self.at = at
        self.line = 0

    def __iter__(self) -> Iterator[bytes | None]:
        while raw := self._file.readline(MAX_LINE_BYTES):
            self.at += len(raw)
            self.line += 1
            whole = len(raw) < MAX_LINE_BYTES or raw.endswith(b"\n")
            while not whole:
                more = self._file.readline(MAX_LINE_BYTES)
                self.at += len(more)
                if not more or more.endswith(b"\n"):
                    break
            yield raw if whole else None

    def texts(self) -> Iterator[str]:
        """For the CSV reader, which has limits of its own."""
        for raw in self:
            yield (raw or b"\n").decode("utf-8", "replace")


def _rows(file: BinaryIO, *, at: int = 0) -> Iterator[tuple[int, int, _Data]]:
    """(byte, line, what it holds) of every line or row from this byte on."""
    head = file.read(_HEAD_BYTES)
    start = head.removeprefix(_BOM)
    blank = len(start) - len(start.lstrip())
    header = _header(start.lstrip())
    begin = len(head) - len(start) if header is None else len(head) - len(start) + blank
    lines = _Lines(file, at or begin)
    if header is None:
        yield from _json_rows(lines)
        return
    if not at:
        lines.line = start[:blank].count(b"\n")
    yield from _csv_rows(lines, *header, skip=not at)


def _json_rows(lines: _Lines) -> Iterator[tuple[int, int, _Data]]:
    at = lines.at
    for raw in lines:
        if raw is None or raw.strip():
            yield at, lines.line, _json(raw)
        at = lines.at


def _json(raw: bytes | None) -> _Data:
    if raw is None:
        return f"longer than {MAX_LINE_BYTES >> 20} MB"
    try:
        data = json.loads(raw.replace(b"\0", b""))  # as 4CAT does
    except (ValueError, RecursionError) as error:
        if not raw.endswith(b"\n"):
            return "the file ends in the middle of this post"
        return f"no JSON ({str(error)[:80]})"
    if not isinstance(data, dict):
        return f"expected a post, found a {type(data).__name__}"
    return _Json(data)


def _csv_rows(
    lines: _Lines, separator: str, names: list[str], *, skip: bool
) -> Iterator[tuple[int, int, _Data]]:
    reader = csv.reader(lines.texts(), delimiter=separator)
    if skip:
        next(reader, None)
    while True:
        at, line = lines.at, lines.line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield at, line, f"no CSV ({error})"
            continue
        if len(cells) < len(names) and any(cells):
            yield at, line, f"{len(cells)} cells, the header has {len(names)}; is the file cut?"
        elif any(cells):
            yield at, line, _Row(dict(zip(names, cells, strict=False)))


# --------------------------------------------------------------------------- the media


def _files_in(folder: Path) -> Iterable[Path]:
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.is_file()]


def _files(folder: Path) -> Iterable[Path]:
    for above, _, names in os.walk(folder):
        for name in names:
            if (path := Path(above, name)).is_file():
                yield path


def _by_id(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Post id -> its files in order: those without a number first."""
    found: defaultdict[str, list[tuple[int, str, Path]]] = defaultdict(list)
    for path in files:
        if (match := _NAME.fullmatch(path.stem)) and _sort(path):
            found[match[1]].append((int(match[2] or 0), str(path), path))
    return {post_id: [path for *_, path in sorted(files)] for post_id, files in found.items()}


def _sort(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        return "picture"
    if suffix in _SOUNDS:
        return "sound"
    return None if suffix in NOT_VIDEOS or not suffix else "video"


def _with_media(listed: Listed, media: dict[str, list[Path]]) -> Listed:
    """With the files that are here: a video, or a photo post's pictures and its sound."""
    files = media.get(listed.video_id, [])
    films = [path for path in files if _sort(path) == "video"]
    if films:
        return replace(listed, local=(films[0],))
    pictures = [path for path in files if _sort(path) == "picture"]
    numbered = [path for path in pictures if path.stem != listed.video_id]
    known = "kind" in listed.platform.model_fields_set
    if not known and numbered:  # a CSV does not say it
        platform = listed.platform.model_copy(update={"kind": "photo"})
        listed = replace(listed, platform=platform)
    if listed.platform.kind != "photo" or not pictures:
        return listed  # a picture beside a video is its cover
    sounds = [path for path in files if _sort(path) == "sound"]
    return replace(listed, local=(*(numbered or pictures), *sounds[:1]))


def _take(file: Path, target: Path) -> Path:
    """`<target><suffix>` with the file's content: the same file if the disk can, else a copy."""
    try:
        source = file.resolve(strict=True).open("rb")
        suffix = media_suffix(file)
    except OSError as error:
        raise CrawlFailed(
            "gone", f"{file} cannot be read: {error.strerror}", remedy="put the file back"
        ) from None
    except UnreadableMedia as error:
        source.close()
        raise CrawlFailed("not_media", f"{file}: {error}", remedy="replace the file") from None
    place, part = (target.with_name(target.name + end) for end in (suffix, ".part"))
    try:
        with source:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            try:
                os.link(file.resolve(), part)
            except OSError:  # another disk, or one without links
                with part.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
            part.replace(place)
            part.unlink(missing_ok=True)  # nothing is renamed where both are one file
    except OSError as error:
        raise not_written(place, error) from error
    return place
