"""From assets to rows of `audio_fingerprint`: fetched, listened to, stored, deleted.

An address is fetched into a folder of its own, which is gone before the next file may come: no
more than `most_files` of them are on the disk at any time, whatever happens.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeAlias

from reelscope.errors import (
    CrawlFailed,
    EngineFailed,
    MediaError,
    OutputError,
    ReelscopeError,
    StoreError,
)
from reelscope.music.assets import Asset
from reelscope.music.chromaprint import Chromaprint, Engine, chromaprint, require
from reelscope.music.dedupe import is_featureless
from reelscope.music.fetching import Fetcher
from reelscope.settings.music import MusicDedupe
from reelscope.store.audio_fingerprint import AssetPrint, AudioFingerprints, Key, Known

MOST_ERROR: Final = 1000
"""Characters of an error that are kept."""

_Result: TypeAlias = AssetPrint | Literal["stopped"] | None


class _Stopped(Exception):  # noqa: N818  (named by what happened)
    """The work was stopped on purpose."""


class Fingerprinter:
    """Brings assets into the table.

    Args:
        table: that they go into.
        rules: workers, files on disk, attempts, batch.
        folder: for files that are fetched; nothing stays there.
        fetcher: of addresses; None: they fail.
        stopped: is asked whether to go on.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        table: AudioFingerprints,
        rules: MusicDedupe,
        folder: Path,
        *,
        fetcher: Fetcher | None = None,
        stopped: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._table, self._rules, self._folder = table, rules, folder
        self._fetcher, self._stopped, self._sleep = fetcher, stopped, sleep
        self._engine: Engine | None = None if rules.engine == "auto" else rules.engine
        self._workers = rules.workers or os.cpu_count() or 1
        self._room = threading.BoundedSemaphore(rules.most_files)

    def run(self, assets: Sequence[Asset]) -> Iterator[AssetPrint | None]:
        """Fingerprint what the table does not have yet.

        An asset is there already if it did not fail, and its file has the size and the time of
        change that the table says; what an address gives is taken to be the same as before.
        Rows are written `rules.batch_size` at a time, and at the end, whatever ends it.

        Yields:
            A row for every asset that was worked on, in the order in which they are done; None
            for one that the table has.

        Raises:
            EngineUnavailable: the engine of the settings is not here.
            OutputError: the disk is full.
            StoreError: the database does not answer.
        """
        if self._engine is not None:
            require(self._engine)
        known = self._table.known(asset.key for asset in assets)
        waiting: list[AssetPrint] = []
        try:
            for done in self._each(assets, known):
                if done is not None:
                    waiting.append(done)
                if len(waiting) >= self._rules.batch_size:
                    self._table.save(waiting)
                    waiting.clear()
                yield done
        finally:
            self._table.save(waiting)

    def _each(
        self, assets: Sequence[Asset], known: Mapping[Key, Known]
    ) -> Iterator[AssetPrint | None]:
        todo, seen = iter(assets), set[Key]()
        going: set[Future[_Result]] = set()
        over = threading.Event()
        pool = ThreadPoolExecutor(self._workers, "dedupe")
        try:
            while True:
                for asset in todo:
                    if asset.key in seen:  # listed twice
                        yield None
                        continue
                    seen.add(asset.key)
                    going.add(pool.submit(self._unless_stopped, asset, known, over))
                    if len(going) >= 2 * self._workers:
                        break
                if not going:
                    return
                ended, going = wait(going, return_when=FIRST_COMPLETED)
                good = [future.result() for future in ended if future.exception() is None]
                yield from (result for result in good if result != "stopped")
                for future in ended:
                    future.result()
        finally:
            over.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _unless_stopped(
        self, asset: Asset, known: Mapping[Key, Known], over: threading.Event
    ) -> _Result:
        def go_on() -> None:
            if over.is_set() or self._stopped():
                raise _Stopped

        try:
            go_on()
            return self._one(asset, known.get(asset.key), go_on)
        except _Stopped:
            return "stopped"

    def _one(
        self, asset: Asset, known: Known | None, go_on: Callable[[], None]
    ) -> AssetPrint | None:
        row = AssetPrint(*asset.key, "failed")
        try:
            if asset.url is None:
                return self._of_file(row, Path(asset.source), known, go_on)
            if known is not None and known.status != "failed":
                return None
            return self._of_address(row, asset.url, go_on)
        except (OutputError, StoreError):
            raise
        except (ReelscopeError, OSError, ValueError) as error:
            return replace(row, error_message=_shown(error))

    def _of_address(self, row: AssetPrint, url: str, go_on: Callable[[], None]) -> AssetPrint:
        with self._room, TemporaryDirectory(dir=self._folder) as folder:
            path = self._fetched(url, Path(folder), go_on)
            return self._listened(replace(row, file_size=path.stat().st_size), path, go_on)

    def _of_file(
        self, row: AssetPrint, path: Path, known: Known | None, go_on: Callable[[], None]
    ) -> AssetPrint | None:
        facts = path.stat()
        modified_at = datetime.fromtimestamp(facts.st_mtime, UTC)
        row = replace(row, file_size=facts.st_size, modified_at=modified_at)
        same = known is not None and (known.file_size, known.modified_at) == (
            facts.st_size,
            modified_at,
        )
        if same and known is not None and known.status != "failed":
            return None
        return self._listened(row, path, go_on)

    def _listened(self, row: AssetPrint, path: Path, go_on: Callable[[], None]) -> AssetPrint:
        try:
            return _heard(row, chromaprint(path, self._engine, check_time=go_on))
        except (MediaError, EngineFailed) as error:
            return replace(row, error_message=_shown(error))

    def _fetched(self, url: str, folder: Path, go_on: Callable[[], None]) -> Path:
        if self._fetcher is None:
            raise CrawlFailed("not_supported", "nothing fetches addresses here", remedy="a file")
        for attempt in range(self._rules.retry_attempts + 1):
            go_on()
            try:
                return self._fetcher.fetch(url, folder)
            except CrawlFailed as fault:
                if not fault.passing or attempt == self._rules.retry_attempts:
                    raise
                self._sleep(self._rules.retry_wait_s * 2**attempt)
        raise AssertionError("there is at least one attempt")


def _shown(error: Exception) -> str:
    text = str(error) if isinstance(error, ReelscopeError) else f"it cannot be read ({error})"
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[:MOST_ERROR]


def _heard(row: AssetPrint, found: Chromaprint) -> AssetPrint:
    """The row of an asset that was listened to."""
    row = replace(
        row,
        processing_status="completed",
        format=found.facts.codec,
        duration=found.duration_s,
        fingerprint=found.items,
        engine=found.engine,
        bit_rate=found.facts.bit_rate_bps,
        sample_rate=found.facts.rate_hz,
        channels=found.facts.channels,
        lossless=found.facts.lossless,
    )
    if not len(found.items):
        message = "shorter than the 2.7 s of which there is a fingerprint"
        return replace(row, processing_status="too_short", error_message=message)
    if is_featureless(found.items):
        message = "silence or one tone throughout: it would be like any other of its kind"
        return replace(row, processing_status="featureless", error_message=message)
    return row
