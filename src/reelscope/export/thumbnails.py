"""The chosen frames as small pictures inside a page.

A page has room for so many bytes of pictures: at first for all chosen frames of a video,
then for the best of each, then for none. So a page on ten frames and one on ten thousand
both open.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from reelscope.errors import OutputError
from reelscope.media.images import RGB
from reelscope.media.pictures import jpeg_bytes, read_jpeg, shrink
from reelscope.records import Captions, Choice, ChosenFrame, VideoRecord

LONGEST_PX = 256
"""Longest side of a picture in a video's part of the page; it is shown smaller on most."""
QUALITY = 55
TILE_PX = 112
"""Longest side of a picture of the contact sheet."""
TILE_QUALITY = 50
MOST_FRAMES = 12
"""Of a video."""


@dataclass(frozen=True, slots=True)
class Room:
    """How large a page may become.

    Attributes:
        all_bytes: pictures up to which a video shows all its chosen frames ...
        best_bytes: ... and up to which it shows the best of them.
        cards_bytes: of cards with their pictures up to which a video has one; those after
            that stand in the table alone.
    """

    all_bytes: int = 4_000_000
    best_bytes: int = 10_000_000
    cards_bytes: int = 16_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A chosen frame.

    Attributes:
        time_s: when it is shown.
        reason: why it was chosen.
        says: what a model says of it; empty: none was asked.
        file: its name.
        link: to the picture on disk; empty: nobody said where it is.
        source: a data URI; empty: the picture is no longer there.
        tile: the same, smaller; empty as `source`.
        width: of `source`, pixels.
        height: of `source`, pixels.
        tile_width: of `tile`, pixels.
        tile_height: of `tile`, pixels.
    """

    time_s: float
    reason: str
    says: str
    file: str
    link: str = ""
    source: str = ""
    tile: str = ""
    width: int = 0
    height: int = 0
    tile_width: int = 0
    tile_height: int = 0


class Pictures:
    """Makes the pictures of a page and keeps count of their bytes.

    Args:
        link: from the page to the folder of the frames folders, URL-quoted; None: no links.
        tiles: whether there is a contact sheet.
        room: for pictures.
    """

    def __init__(
        self, *, link: str | None = None, tiles: bool = False, room: Room | None = None
    ) -> None:
        self.link = link
        self.room = room or Room()
        self.tiles = tiles
        self.bytes = 0
        self.left_out = 0
        """Chosen frames that found no room, so far."""

    def of(self, record: VideoRecord, root: Path | None) -> list[Picture]:
        """The chosen frames of a video that the page has room for, in order of time.

        Args:
            record: of the video.
            root: folder of the frames folders; None: nobody knows.
        """
        choice, captions = record.value(Choice), record.value(Captions)
        said = {frame.file: frame.text for frame in captions.frames} if captions else {}
        best = sorted(choice.frames if choice else (), key=lambda f: (-f.score, f.time_s))
        shown = best[: self._room()]
        self.left_out += len(best) - len(shown)
        folder = (
            root / record.source.frames_id if root and _plain(record.source.frames_id) else None
        )
        return [
            self._picture(frame, folder, says=said.get(frame.file, ""), of=record)
            for frame in sorted(shown, key=lambda f: f.time_s)
        ]

    def _room(self) -> int:
        """Pictures that the next video may have."""
        if self.bytes < self.room.all_bytes:
            return MOST_FRAMES
        return 1 if self.bytes < self.room.best_bytes else 0

    def _picture(
        self, frame: ChosenFrame, folder: Path | None, *, says: str, of: VideoRecord
    ) -> Picture:
        known = Picture(frame.time_s, frame.reason, says, frame.file)
        image = _read(frame, folder)
        if image is None:
            return known
        source, (width, height) = _inline(image, LONGEST_PX, QUALITY)
        tile, (tile_width, tile_height) = "", (0, 0)
        if self.tiles:
            tile, (tile_width, tile_height) = _inline(image, TILE_PX, TILE_QUALITY)
        self.bytes += len(source) + len(tile)
        link = ""
        if self.link is not None:
            link = f"{self.link}/{quote(of.source.frames_id, safe='')}/{quote(frame.file, safe='')}"
        return Picture(
            frame.time_s, frame.reason, says, frame.file,
            link, source, tile, width, height, tile_width, tile_height,
        )  # fmt: skip


def _read(frame: ChosenFrame, folder: Path | None) -> RGB | None:
    """The picture; None: it is no longer there."""
    if folder is None or not _plain(frame.file):
        return None
    try:
        return read_jpeg(folder / frame.file)
    except OutputError:
        return None


def _plain(name: str) -> bool:
    """Whether it names something in its folder: a record from elsewhere could name any file."""
    return bool(name) and "\0" not in name and Path(name).name == name


def _inline(image: RGB, longest_px: int, quality: int) -> tuple[str, tuple[int, int]]:
    """A data URI (RFC 2397), and its width and height in pixels."""
    small = shrink(image, longest_px)
    data = base64.b64encode(jpeg_bytes(small, quality)).decode("ascii")
    return f"data:image/jpeg;base64,{data}", (small.shape[1], small.shape[0])
