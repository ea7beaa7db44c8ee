"""Every video's sound against all campaigns' tracks, in parallel, each pair once.

What was found is kept in the database under a key of the video's bytes, the tracks' bytes and
the way of comparing, so that a run that was cut short, or comes again with another threshold,
listens only to what is new. A video that is an address is fetched into a folder of its own
and deleted as soon as it was listened to: no more are on disk than workers there are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from reelscope.atomic import not_written
from reelscope.errors import CrawlFailed, MediaError
from reelscope.media.fingerprint import media_id
from reelscope.music.campaigns import Campaigns, CampaignTrack
from reelscope.music.fetching import Fetcher
from reelscope.music.match_engines import Heard, MatchEngine, make_engine
from reelscope.settings import MusicMatch
from reelscope.store.matches import KeptMatch, Likeness, MatchStore

log = logging.getLogger(__name__)

MOST_ALIKE = 20
"""Campaigns that are kept of a video, the most similar ones."""
MOST_WAIT_S = 60.0
"""Before a download is tried again, however often it failed."""
AHEAD = 4
"""Videos handed out per worker, so that a list of a million is not held at once."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video whose sound is wanted: a file, an address, or why it is neither.

    Attributes:
        video_id: unlike that of any other in the run.
        path: of the file.
        url: where it can be fetched from, if there is no file.
        error: what is wrong with it, if there is neither.
    """

    video_id: str
    path: Path | None = None
    url: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a video.

    Attributes:
        video_id: of the candidate.
        alike: the best track of each campaign, the most similar first; empty: none is.
        error: why nobody listened to it, a sentence; None: it was listened to.
        key: under which it stands in the database.
        known: whether an earlier run had listened to it.
        seconds: of work in this run.
    """

    video_id: str
    alike: tuple[Likeness, ...] = ()
    error: str | None = None
    key: str = ""
    known: bool = False
    seconds: float = 0.0

    @property
    def similarity(self) -> float:
        """With the most similar track, 0 to 100."""
        return self.alike[0].similarity if self.alike else 0.0


class Listener(Protocol):
    """Hears of every video that has ended, in the thread that called."""

    def ended(self, answer: Answer) -> None:
        """One more."""
        ...


class Matcher:
    """Compares videos with campaigns.

    Args:
        settings: what decides.
        store: remembers.
        work: a folder for downloads, of this run alone.
        fetcher: fetches; None: addresses are refused.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        settings: MusicMatch,
        store: MatchStore,
        *,
        work: Path,
        fetcher: Fetcher | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.engine = make_engine(settings)
        self.workers = settings.max_workers or os.cpu_count() or 1
        self._settings, self._store = settings, store
        self._work, self._fetcher, self._sleep = work, fetcher, sleep
        self._tracks = _Tracks(self.engine, store, self.workers)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """(where, what) of tracks that could not be read."""
        return self._tracks.problems

    def run(
        self, campaigns: Campaigns, candidates: Iterable[Candidate], listener: Listener
    ) -> list[Answer]:
        """The answers, by video id. A video that cannot be listened to has an error.

        Raises:
            DatabaseFailed: the database does not answer.
            OutputError: the disk takes no more. What was found until then is kept.
        """
        self._tracks.look_over(campaigns.tracks)
        answers: list[Answer] = []
        waiting: list[KeptMatch] = []
        try:
            for answer, new in self._answers(candidates):
                answers.append(answer)
                waiting += new
                if len(waiting) >= self._settings.batch_size:
                    self._store.keep(waiting)
                    waiting = []
                listener.ended(answer)
        finally:
            self._store.keep(waiting)
        return sorted(answers, key=lambda answer: answer.video_id)

    def _answers(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Answer, list[KeptMatch]]]:
        """As they come; a few are on their way at any time."""
        left = iter(candidates)
        with ThreadPoolExecutor(self.workers, "match") as pool:
            pending: set[Future[tuple[Answer, list[KeptMatch]]]] = set()
            try:
                while True:
                    while len(pending) < self.workers * AHEAD and (one := next(left, None)):
                        pending.add(pool.submit(self._answer, one))
                    if not pending:
                        return
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                for future in pending:
                    future.cancel()

    # --------------------------------------------------------------------- one video

    def _answer(self, candidate: Candidate) -> tuple[Answer, list[KeptMatch]]:
        begun = time.perf_counter()
        try:
            answer, new = self._listened(candidate)
            return replace(answer, seconds=time.perf_counter() - begun), new
        except CrawlFailed as fault:
            said = f"{fault} ({fault.fault}; {fault.remedy})"
            return Answer(candidate.video_id, error=said), []
        except MediaError as error:
            return Answer(candidate.video_id, error=str(error)), []

    def _listened(self, candidate: Candidate) -> tuple[Answer, list[KeptMatch]]:
        video_id = candidate.video_id
        if candidate.error is not None:
            return Answer(video_id, error=candidate.error), []
        identity = (
            f"url {candidate.url}" if candidate.path is None else media_id(candidate.path).sha256
        )
        key = _digest(identity, self._tracks.digest, self.engine.key)
        known = self._store.match(key)
        if known is not None:
            return Answer(video_id, known, key=key, known=True), []
        self._tracks.read()
        if candidate.path is not None:
            heard = self.engine.compare(candidate.path)
        else:
            heard = self._of_address(candidate.url or "", key)
        alike = self._tracks.best(heard)
        kept = KeptMatch(key, video_id, self.engine.name, self._tracks.digest, alike)
        return Answer(video_id, alike, key=key), [kept]

    def _of_address(self, url: str, key: str) -> list[Heard]:
        folder = self._work / key
        try:
            return self.engine.compare(self._fetched(url, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetched(self, url: str, folder: Path) -> Path:
        if self._fetcher is None:
            raise CrawlFailed("not_supported", f"{url} is no file here", remedy="fetch it first")
        attempts = self._settings.retry_attempts + 1
        for attempt in range(attempts):
            _make_empty(folder)
            try:
                return self._fetcher.fetch(url, folder)
            except CrawlFailed as fault:
                if not fault.passing or attempt == attempts - 1:
                    raise
                wait_s = min(self._settings.retry_wait_s * 2.0**attempt, MOST_WAIT_S)
                log.info("%s: %s; again in %.1f s", url, fault, wait_s)
                self._sleep(wait_s)
        raise AssertionError("there is at least one attempt")


@dataclass(slots=True)
class _Track:
    """A track, and what became of it."""

    track: CampaignTrack
    sha256: str = ""
    error: str | None = None
    read: Any = None

    @property
    def where(self) -> str:
        return f"{self.track.campaign_id}/{self.track.name}"


class _Tracks:
    """The campaigns' tracks: looked over at once, read when the first video needs them."""

    def __init__(self, engine: MatchEngine, store: MatchStore, workers: int) -> None:
        self.digest = ""
        self.problems: list[tuple[str, str]] = []
        self._engine, self._store, self._workers = engine, store, workers
        self._good: list[_Track] = []
        self._same: list[list[_Track]] = []
        self._lock = threading.Lock()
        self._ready = False

    def look_over(self, tracks: Sequence[CampaignTrack]) -> None:
        """Which can be read; those that nobody has tried yet are read now."""
        with ThreadPoolExecutor(self._workers, "tracks") as pool:
            all_ = list(pool.map(_hashed, tracks))
            keys = {t.sha256: _digest(t.sha256, "track", self._engine.key) for t in all_}
            known = self._store.tracks(list(keys.values()))
            for one in all_:
                one.error = one.error or known.get(keys[one.sha256])
            new = [t for t in all_ if not t.error and keys[t.sha256] not in known]
            list(pool.map(self._try, new))
        self._store.keep_tracks({keys[t.sha256]: t.error for t in new})
        self._good = [one for one in all_ if one.error is None]
        self.problems = [(one.where, one.error) for one in all_ if one.error is not None]
        rows = sorted((t.track.campaign_id, t.track.name, t.sha256) for t in self._good)
        self.digest = _digest(*map(json.dumps, rows))

    def _try(self, one: _Track) -> None:
        try:
            one.read = self._engine.read(one.track.path)
        except MediaError as error:
            one.error = str(error)

    def read(self) -> None:
        """Read all tracks, once; other threads wait until that is done.

        Raises:
            MediaError: a track that could be read before cannot any more.
        """
        with self._lock:
            if self._ready:
                return
            left = [one for one in self._good if one.read is None]
            with ThreadPoolExecutor(self._workers, "tracks") as pool:
                list(pool.map(self._try, left))
            gone = next((one for one in left if one.error), None)
            if gone is not None:
                raise MediaError(f"the track {gone.where} cannot be read any more: {gone.error}")
            different = {one.sha256: one.read for one in self._good}
            self._same = [[t for t in self._good if t.sha256 == sha] for sha in different]
            self._engine.prepare(list(enumerate(different.values())))
            for one in self._good:
                one.read = None
            self._ready = True

    def best(self, heard: Iterable[Heard]) -> tuple[Likeness, ...]:
        """The best track of each campaign, the most similar first.

        Campaigns that have the same file are found together.
        """
        best: dict[str, Likeness] = {}
        pairs = [(one, same.track) for one in heard for same in self._same[one.number]]
        for one, track in pairs:
            alike = _likeness(one, track)
            before = best.get(track.campaign_id)
            if before is None or _order(alike) < _order(before):
                best[track.campaign_id] = alike
        return tuple(sorted(best.values(), key=_order)[:MOST_ALIKE])


def _likeness(heard: Heard, track: CampaignTrack) -> Likeness:
    return Likeness(
        campaign_id=track.campaign_id,
        track=track.name,
        similarity=heard.similarity,
        start_s=heard.start_s,
        end_s=heard.end_s,
        offset_s=heard.offset_s,
        tempo=heard.tempo,
        pitch=heard.pitch,
    )


def _hashed(track: CampaignTrack) -> _Track:
    try:
        return _Track(track, media_id(track.path).sha256)
    except MediaError as error:
        return _Track(track, error=str(error))


def _order(alike: Likeness) -> tuple[float, float, str, str, float]:
    """The most similar first, then the longest; then by name, so that runs agree."""
    length_s = alike.end_s - alike.start_s
    return (-round(alike.similarity, 2), -length_s, alike.campaign_id, alike.track, alike.start_s)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _make_empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise not_written(folder, error) from error
