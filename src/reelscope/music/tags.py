"""What a file says of itself: title, artist, album, genre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reelscope.errors import UnreadableMedia
from reelscope.media.container import open_media


@dataclass(frozen=True, slots=True)
class Tags:
    """As the file writes them; None: it does not say."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None


def read_tags(path: Path) -> Tags:
    """The tags of a file, as ffmpeg names them whatever its format; none if it has none.

    Ogg keeps them with the stream (RFC 7845, section 5), other containers with the file.
    """
    try:
        with open_media(path) as container:
            found: dict[str, str] = {}
            for source in (container.metadata, *(s.metadata for s in container.streams.audio)):
                _add(found, source)
    except UnreadableMedia:
        return Tags()
    return Tags(*(found.get(name) for name in ("title", "artist", "album", "genre")))


def _add(found: dict[str, str], source: Mapping[str, str]) -> None:
    for name, text in source.items():
        if text.strip():
            found.setdefault(name.casefold(), text.strip())
