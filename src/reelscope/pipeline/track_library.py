"""The user's music library, as stage `music` asks it.

It is opened when it is first asked for, once in a run, and read through once: a library that is
cut off, changed or of another version is not asked at all, and every video says why. What is
wrong with it ends no run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reelscope.audio.recognition import Identified, Sound
from reelscope.audio.sound_memory import Placed
from reelscope.errors import (
    EngineUnavailable,
    LibraryDamaged,
    OutputError,
    StoreError,
    UsageError,
)
from reelscope.records import MusicTrack
from reelscope.settings import Settings

if TYPE_CHECKING:
    from reelscope.music.library import Identification, MusicLibrary
    from reelscope.store.tracks import Track

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when the same library would give another answer."""


def users_library(settings: Settings) -> UsersLibrary | None:
    """The library that `music.library` names, not opened yet; None: there is none."""
    chosen = settings.music.library
    folder = chosen.folder or settings.paths.data / "library"
    if chosen.database is None and not folder.is_dir():
        return None
    from reelscope.music.library import CATALOGUE, MusicLibrary

    if chosen.database is None:
        if not (folder / CATALOGUE).is_file():
            return None
        where: str | Path = folder
    else:
        named = chosen.database.get_secret_value()
        where = named if "://" in named else f"sqlite:///{Path(named).absolute()}"

    def open_() -> MusicLibrary:
        return MusicLibrary.open(where, folder=folder, create=False, settings=chosen)

    return UsersLibrary(open_, false_positive_rate=chosen.false_positive_rate)


@dataclass(frozen=True)
class _Opened:
    """What came of opening it."""

    library: MusicLibrary | None
    revision: str = ""
    absent: str | None = None


class UsersLibrary:
    """`TrackLibrary` over a `MusicLibrary`. Threads may share it; other processes may add.

    Args:
        open_: opens it.
        false_positive_rate: that it is asked with.
    """

    def __init__(self, open_: Callable[[], MusicLibrary], *, false_positive_rate: float) -> None:
        self._open = open_
        self._rate = false_positive_rate
        self._lock = threading.Lock()
        self._latest: _Opened | None = None

    @property
    def engine(self) -> str:
        """Name, version, and how often a sound that is in no track may get an answer."""
        from reelscope.music import fingerprint

        return f"music library {VERSION}.{fingerprint.VERSION} ({self._rate:g})"

    @property
    def absent(self) -> str | None:
        """Why it cannot be asked, with the remedy; None: it can."""
        return self._opened().absent

    @property
    def revision(self) -> str:
        """Which library, and how often its tracks had changed when it was opened."""
        return self._opened().revision

    def identify(self, samples: Sound, rate_hz: int) -> list[Identified]:
        """Every track that is heard, the surest first.

        Raises:
            StoreError, OutputError: it does not answer any more.
        """
        library = self._opened().library
        return list(map(_identified, library.identify(samples, rate_hz))) if library else []

    def unchanged(self, library_id: str, since: datetime | None) -> bool:
        """Whether this track still stands in it as it did then; also where nobody can say."""
        library = self._opened().library
        try:
            track = library.get(library_id) if library else None
        except (StoreError, OutputError) as error:
            log.warning("the music library: %s", error)
            return True
        if library is None or since is None:
            return library is None
        return track is not None and track.status == "ready" and track.updated_at <= since

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        with self._lock:
            if self._latest and self._latest.library:
                self._latest.library.close()

    def _opened(self) -> _Opened:
        with self._lock:
            if self._latest is None:
                self._latest = self._try()
                if self._latest.absent:
                    log.warning("%s", self._latest.absent)
            return self._latest

    def _try(self) -> _Opened:
        library: MusicLibrary | None = None
        try:
            library = self._open()
            return _checked(library)
        except (StoreError, OutputError, UsageError, EngineUnavailable) as error:
            if library:
                library.close()
            return _Opened(None, absent=f"the music library cannot be asked: {_said(error)}")


def _checked(library: MusicLibrary) -> _Opened:
    """Read through once: a byte that has changed could name a wrong track.

    Raises:
        StoreError: it is damaged, of another version, or does not answer.
    """
    if problems := library.catalogue.database.check():
        raise LibraryDamaged(problems[0])
    revision = f"{library.catalogue.index_id()}:{library.catalogue.changes()}"
    library.segments()
    library.index.snapshot().check()
    if not library.catalogue.numbers():
        library.close()
        return _Opened(
            None, absent="there is no track in the music library (`music add` adds some)"
        )
    return _Opened(library, revision)


def _said(error: Exception) -> str:
    remedy = "`python main.py music verify` says what is wrong with it"
    return f"{error} ({remedy})" if isinstance(error, StoreError) else str(error)


def _identified(found: Identification) -> Identified:
    return Identified(
        Placed(
            _as_heard(found.track),
            track_offset_s=found.offset_s,
            time_skew=found.tempo - 1,
            frequency_skew=found.pitch - 1,
        ),
        start_s=found.start_s,
        end_s=found.end_s,
        confidence=min(max(found.probability, 0.0), 1.0),
    )


def _as_heard(track: Track) -> MusicTrack:
    """A track without a title is called by its file, as everywhere in the library."""
    return MusicTrack(
        title=track.title or track.name,
        artist=track.artist,
        album=track.album,
        library_id=track.id,
    )
