"""What is to become a track: files, folders and addresses, and what is told of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reelscope.errors import UsageError

SUFFIXES: Final = frozenset(
    f".{name}"
    for name in (
        *("mp3", "wav", "m4a", "ogg", "flac", "opus", "aac", "wma", "aiff", "aif", "oga", "mka"),
        *("amr", "caf", "mp4", "mov", "mkv", "webm", "avi", "m4v", "3gp", "flv", "ts", "wmv"),
    )
)
"""Of files in a folder that are taken for sounds or videos; a file that is named is always."""


@dataclass(frozen=True, slots=True)
class NewTrack:
    """A sound that is to be added. None: not known; then the file's tags are asked.

    Attributes:
        source: path of a file, or an http(s) address.
        id: None: made of the content.
        title, artist, album, genre: of the track.
        campaign: that it belongs to.
        source_url: where the file came from.
    """

    source: Path | str
    id: str | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    campaign: str | None = None
    source_url: str | None = None

    @property
    def url(self) -> str | None:
        """The address that it is fetched from; None: it is a file."""
        return self.source if isinstance(self.source, str) and is_url(self.source) else None

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self.source)


def is_url(text: str) -> bool:
    """Whether it is an address of the web and no path."""
    return text.casefold().startswith(("http://", "https://"))


def new_tracks(
    sources: Iterable[Path | str | NewTrack], *, campaign: str | None = None
) -> Iterator[NewTrack]:
    """Sounds to be added, one by one: folders are taken apart, with all folders below.

    Args:
        sources: files, folders, addresses.
        campaign: of those that have none.

    A path that does not exist and a folder without sounds are given as they are: whoever
    opens them says so.

    Raises:
        UsageError: one id for several files.
    """
    for given in sources:
        new = given if isinstance(given, NewTrack) else NewTrack(given)
        if new.campaign is None:
            new = replace(new, campaign=campaign)
        files: list[Path | str] = [] if new.url else [*sorted(_sounds_in(new.path))]
        if new.id is not None and len(files) > 1:
            raise UsageError(f"{new.path}: {len(files)} files cannot have one id")
        yield from (replace(new, source=path) for path in files or [new.source])


def _sounds_in(folder: Path) -> Iterator[Path]:
    """None if it is no folder. Hidden ones and links to folders are not entered."""
    if "\0" in str(folder):
        return
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if path.suffix.casefold() in SUFFIXES and not name.startswith(".") and path.is_file():
                yield path
