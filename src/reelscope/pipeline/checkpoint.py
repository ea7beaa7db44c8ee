"""Records on disk: read at the start of a video, saved after every stage.

A record is written to a temporary file beside it, synced and renamed, by one writer
thread. While a write is under way further changes of the same video are gathered, so
a burst of quick stages costs one write and no stage waits for the disk. A kill loses
at most what was running or not yet written; a half-written record is never read.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from reelscope.atomic import remove_temporaries, write_atomic
from reelscope.errors import BatchLocked, OutputError
from reelscope.records import VideoRecord, VideoSource

log = logging.getLogger(__name__)
RECORD_NAME = "record.json"
FRAMES_NAME = "tiktok_frames"
"""Of the folder beside the folder of records."""


def record_json(record: VideoRecord) -> str:
    """The record as it stands in `record.json`: one line per stage.

    The stages' own JSON is made once per stage and joined here, so saving after every
    stage does not serialise the earlier ones again.
    """
    head = record.model_copy(update={"stages": {}}).model_dump_json()
    stages = ",\n".join(
        f"{json.dumps(name)}:{stage.as_json}" for name, stage in sorted(record.stages.items())
    )
    return head.replace('"stages":{}', f'"stages":{{\n{stages}\n}}') + "\n"


class RecordStore:
    """The folder of records, `data/analysis_results/<creator>/<video_id>/record.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pending: dict[Path, VideoRecord] = {}
        self._wake = threading.Condition()
        self._writing = False
        self._closing = False
        self._error: OutputError | None = None
        self._thread: threading.Thread | None = None

    def folder(self, source: VideoSource) -> Path:
        """Where everything about one video stands."""
        return self.root / source.creator / source.video_id

    def load(self, source: VideoSource) -> VideoRecord:
        """The record of an earlier run, with today's source; an empty one if there is none."""
        folder = self.folder(source)
        remove_temporaries(folder)
        record = read_record(folder / RECORD_NAME)
        if record is None:
            return VideoRecord(source=source)
        record = record.model_copy(update={"source": source})
        return record.read_beside(self.root.parent / FRAMES_NAME)

    def save(self, record: VideoRecord) -> None:
        """Hand the record to the writer thread.

        Raises:
            OutputError: an earlier record could not be written.
        """
        with self._wake:
            if self._error:
                raise self._error
            self._pending[self.folder(record.source) / RECORD_NAME] = record
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="records", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def flush(self) -> None:
        """Wait until everything handed over is on disk.

        Raises:
            OutputError: a record could not be written.
        """
        with self._wake:
            self._wake.wait_for(lambda: self._error or not (self._pending or self._writing))
            if self._error:
                raise self._error

    def close(self) -> None:
        """Write what is pending and end the writer thread."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread:
            self._thread.join()
            self._thread = None
        self._closing = False

    def _write(self) -> None:
        while True:
            with self._wake:
                self._writing = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                path = next(iter(self._pending))
                record = self._pending.pop(path)
                self._writing = True
            try:
                write_atomic(path, record_json(record))
            except OutputError as error:
                with self._wake:
                    self._error = error
                    self._pending.clear()

    def creator_records(self, creator: str) -> Iterator[VideoRecord]:
        """All records of a creator that are on disk, by video id."""
        for path in sorted((self.root / creator).glob(f"*/{RECORD_NAME}")):
            record = read_record(path)
            if record is not None:
                yield record


def read_record(path: Path) -> VideoRecord | None:
    """A record from disk; None if there is none or it cannot be understood."""
    try:
        return VideoRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s is not a record of this version and is made anew: %s", path, error)
        return None


@contextmanager
def batch_lock(folder: Path) -> Iterator[None]:
    """Hold a batch: a second run on it says so and stops.

    The lock is the kernel's (flock): it ends with the process, however that ends.

    Raises:
        BatchLocked: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = path.read_text(errors="replace").strip() or "unknown"
            raise BatchLocked(
                f"batch {folder.name!r} is being worked on by another run (process {owner}); "
                f"wait for it, or choose another --batch-id"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
