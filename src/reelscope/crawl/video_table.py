"""A table of videos that are on disk or on the web, for the music library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reelscope.crawl.addresses import split_url
from reelscope.crawl.table import NOT_UTF8, TOO_LONG, read_rows, read_text
from reelscope.errors import CrawlFailed, CsvError

PLACE_COLUMNS = (
    "path", "file", "file_path", "filename", "video_path", "local_path", "url", "video_url",
    "link", "address", "webpage_url", "video", "source",
)  # fmt: skip
"""Names of the columns that say where a video is; case, blanks, - and _ do not matter. Of
several that are there, the first that is filled counts, in this order."""
ID_COLUMNS = ("video_id", "id", "asset_id", "post_id")
"""Names of the column with the video's id."""


@dataclass(frozen=True, slots=True)
class VideoLine:
    """A video of the table.

    Attributes:
        line: of the file, counted from 1.
        video_id: from its column, else the file's name without suffix, else the address.
        path: of the file, if it is one; it may not be there.
        url: if it is an address.
        error: why it is neither.
    """

    line: int
    video_id: str
    path: Path | None = None
    url: str | None = None
    error: str | None = None


def read_video_table(path: Path) -> tuple[list[VideoLine], list[tuple[int, str]]]:
    """The videos of a CSV, in order, and notes by line.

    Paths are taken from the table's folder, then from the current one. A line with the id of
    an earlier one is a note if it says the same, else a video with an error.

    Raises:
        CsvError: no such file, not text, no column with a path or an address, or no video.
    """
    text, odd_line = read_text(path, what="a list of videos")
    notes = [(odd_line, NOT_UTF8)] if odd_line else []
    found: dict[str, VideoLine] = {}
    for line in _lines(path, text):
        first = found.get(line.video_id)
        if first is None:
            found[line.video_id] = line
        elif (first.path, first.url, first.error) == (line.path, line.url, line.error):
            notes.append((line.line, f"stands in line {first.line} already; taken once"))
        else:
            marked = f"{line.video_id} (line {line.line})"
            said = f"line {first.line} has the same id; nobody listened to this one"
            found[marked] = VideoLine(line.line, marked, error=said)
    if not found:
        raise CsvError(f"{path}: no video in it")
    return list(found.values()), notes


def _lines(path: Path, text: str) -> Iterator[VideoLine]:
    places: list[int] = []
    ids: list[int] = []
    for line, cells in read_rows(text, wanted=_is_place):
        if not any(cells):
            continue
        if not places:
            places, ids = _columns(cells, PLACE_COLUMNS), _columns(cells, ID_COLUMNS)
            if not places:
                raise CsvError(
                    f"{path}: no column says where the videos are; one of"
                    f" {', '.join(PLACE_COLUMNS)}"
                )
        elif cells == TOO_LONG:
            yield VideoLine(line, f"line {line}", error="a cell is far too long")
        else:
            yield _video(line, _first(cells, places), _first(cells, ids), path.parent)


def _video(line: int, place: str, video_id: str, folder: Path) -> VideoLine:
    if not (video_id or place).isprintable():
        return VideoLine(line, f"line {line}", error="control characters in the id or the path")
    if not place:
        return VideoLine(line, video_id or f"line {line}", error="neither a path nor an address")
    if "://" in place:
        try:
            split_url(place)
        except CrawlFailed as refusal:
            return VideoLine(line, video_id or f"line {line}", error=str(refusal))
        return VideoLine(line, video_id or place, url=place)
    if not place.isprintable():
        return VideoLine(line, video_id, error="control characters in the path")
    near = folder / place
    there = near if near.exists() else Path(place)
    return VideoLine(line, video_id or Path(place).stem, path=there)


def _columns(header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of the columns that have one of the names, in the order of the names."""
    folded = [_folded(cell) for cell in header]
    wanted = [_folded(name) for name in names]
    return [folded.index(name) for name in wanted if name in folded]


def _first(cells: Sequence[str], columns: Sequence[int]) -> str:
    return next((cells[at] for at in columns if at < len(cells) and cells[at]), "")


def _is_place(cell: str) -> bool:
    return _folded(cell) in {_folded(name) for name in PLACE_COLUMNS}


def _folded(name: str) -> str:
    return name.casefold().translate(str.maketrans("", "", " _-\ufeff"))
