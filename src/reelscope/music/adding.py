"""From a file or an address to a track: fetched, listened to, told what is known of it.

Nothing here writes to the library; `library.py` does, many tracks at once.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from reelscope.errors import (
    CrawlFailed,
    EngineUnavailable,
    MediaChanged,
    ReelscopeError,
    UnreadableMedia,
    UsageError,
)
from reelscope.media.fingerprint import media_id
from reelscope.music.fetching import Fetcher
from reelscope.music.fingerprint import Constellation, fingerprint_file
from reelscope.music.new_tracks import NewTrack
from reelscope.music.tags import read_tags
from reelscope.store.tracks import Catalogue, Track, check_id, clean_text, exact_text

Outcome: TypeAlias = Literal["added", "replaced", "unchanged", "failed"]

ID_DIGITS: Final = 16
"""Hexadecimal digits of the content's SHA-256 that make an id: of a million tracks, two share
one by chance once in 40 million libraries."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one new track; whatever it says is on the disk.

    Attributes:
        source: as it was given.
        outcome: unchanged: it was there already.
        track: that is in the library now; None: nothing of it is.
        same_as: ids of other tracks with the same content, byte for byte.
        error: why it failed, a sentence.
    """

    source: str
    outcome: Outcome
    track: Track | None = None
    same_as: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A new track that was listened to.

    Attributes:
        new: as it was given.
        track: as it would stand in the catalogue, without number; None: not even an id.
        heard: its fingerprint; None: it failed, or is there already.
        error: why it failed.
    """

    new: NewTrack
    track: Track | None = None
    heard: Constellation | None = None
    error: str | None = None


class Preparer:
    """Listens to new tracks. Threads may share one.

    Args:
        catalogue: knows what is there already.
        indexed: numbers of the tracks that the index holds.
        replaces: whether a track of the same id with another sound is replaced.
        fetcher: fetches addresses; None: they fail.
        attempts: for an address that failed in passing.
        wait_s: before the second attempt, doubled before each further one.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        indexed: frozenset[int],
        *,
        replaces: bool = False,
        fetcher: Fetcher | None = None,
        attempts: int = 3,
        wait_s: float = 1.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._catalogue = catalogue
        self._indexed = indexed
        self._replaces = replaces
        self._fetcher = fetcher
        self._attempts = attempts
        self._wait_s = wait_s
        self._sleep = sleep

    def prepare(self, new: NewTrack) -> Prepared:
        """Listen to one. What is wrong with it stands in the result.

        Raises:
            OutputError: the disk does not take what is fetched.
            StoreError: the catalogue cannot be read.
        """
        try:
            given = check_id(new.id) if new.id is not None else None
        except UsageError as error:
            return Prepared(new, error=str(error))
        if new.url is None:
            return self._listen(new, given, new.path)
        known = self._catalogue.by_url(new.url) if given is None and not self._replaces else None
        if known is not None and known.number in self._indexed:
            return Prepared(new, known)
        with tempfile.TemporaryDirectory(prefix="reelscope-") as folder:
            try:
                path = self._fetched(new.url, Path(folder))
            except (CrawlFailed, EngineUnavailable) as error:
                return self._failed(new, given or _id_of(new.url.encode()), error)
            return self._listen(new, given, path)

    def _fetched(self, url: str, folder: Path) -> Path:
        if self._fetcher is None:
            raise CrawlFailed("not_supported", "nothing fetches addresses here", remedy="a file")
        for attempt in range(self._attempts):
            try:
                return self._fetcher.fetch(url, folder)
            except CrawlFailed as fault:
                if not fault.passing or attempt == self._attempts - 1:
                    raise
                self._sleep(self._wait_s * 2**attempt)
        raise AssertionError("there is at least one attempt")

    def _listen(self, new: NewTrack, given: str | None, path: Path) -> Prepared:
        try:
            if "\0" not in str(path) and path.is_dir():
                raise UnreadableMedia("there is no sound and no video in this folder")
            content = media_id(path)
        except (UnreadableMedia, MediaChanged) as error:
            return self._failed(new, given, error)
        id_ = given or content.sha256[:ID_DIGITS]
        there = self._catalogue.get(id_)
        if there is not None and there.status == "ready" and there.number in self._indexed:
            if there.sha256 == content.sha256:
                return Prepared(new, there)
            if not self._replaces:
                return Prepared(new, error=f"the id {id_} is that of another sound already")
        try:
            heard = fingerprint_file(path)
            if not len(heard):
                raise UnreadableMedia("there is nothing in it that could be found again: silence")
            if media_id(path, known=content).sha256 != content.sha256:
                raise MediaChanged("the file changed while it was read")
        except ReelscopeError as error:
            return self._failed(new, id_, error, sha256=content.sha256)
        track = _described(new, path, id_)
        return Prepared(
            new, replace(track, sha256=content.sha256, duration_s=heard.duration_s), heard
        )

    def _failed(
        self, new: NewTrack, id_: str | None, error: ReelscopeError, *, sha256: str | None = None
    ) -> Prepared:
        """It stands in the catalogue as failed, unless something good has its id."""
        there = self._catalogue.get(id_) if id_ else None
        if id_ is None or (there is not None and there.status == "ready"):
            return Prepared(new, error=str(error))
        track = replace(_as_given(new, id_), sha256=sha256, status="failed", error=str(error))
        return Prepared(new, track, error=str(error))


def prepared_ones(
    news: Iterable[NewTrack], preparer: Preparer, workers: int, *, patience_s: float
) -> Iterator[Prepared | None]:
    """All of them, in the order in which they are done; None: nothing came for a while.

    Args:
        news: read no further than the workers need.
        preparer: of them.
        workers: at once.
        patience_s: seconds for which nothing may come before None does.
    """
    pool = ThreadPoolExecutor(workers, "listener")
    coming, going = iter(news), set[Future[Prepared]]()
    stopped = threading.Event()

    def one(new: NewTrack) -> Prepared:
        if stopped.is_set():
            return Prepared(new, error="stopped")
        return preparer.prepare(new)

    try:
        while True:
            while len(going) < 2 * workers and (new := next(coming, None)) is not None:
                going.add(pool.submit(one, new))
            if not going:
                return
            done, going = wait(going, patience_s, FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                yield future.result()
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _described(new: NewTrack, path: Path, id_: str) -> Track:
    """What is given counts before what the file says of itself."""
    track, tags = _as_given(new, id_), read_tags(path)
    return replace(
        track,
        title=track.title or clean_text(tags.title),
        artist=track.artist or clean_text(tags.artist),
        album=track.album or clean_text(tags.album),
        genre=track.genre or clean_text(tags.genre),
    )


def _as_given(new: NewTrack, id_: str) -> Track:
    return Track(
        id=id_,
        title=clean_text(new.title),
        artist=clean_text(new.artist),
        album=clean_text(new.album),
        genre=clean_text(new.genre),
        campaign=clean_text(new.campaign),
        source_url=exact_text(new.source_url or new.url),
        path=None if new.url else exact_text(str(new.path.absolute())),
    )


def _id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:ID_DIGITS]
