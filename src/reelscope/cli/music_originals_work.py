"""What the commands of `music originals` do."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

from reelscope import settings as settings_module
from reelscope.atomic import open_atomic
from reelscope.cli import exit_codes
from reelscope.cli.progress import Counter, open_progress
from reelscope.cli.run import interrupts, log_file
from reelscope.cli.terminal import console, printable
from reelscope.crawl.table import read_rows, read_text
from reelscope.errors import CsvError, ReelscopeError, UsageError
from reelscope.export.cells import csv_line
from reelscope.music.campaigns import SUFFIXES as SOUND_SUFFIXES
from reelscope.music.original_ears import CalibratedEars
from reelscope.music.original_work import Worker
from reelscope.settings import Settings
from reelscope.store.database import Database
from reelscope.store.originals import NewVideo, OriginalsStore, Video, is_storable

SUFFIXES = SOUND_SUFFIXES | {".mov", ".mkv", ".webm", ".avi", ".m4v", ".3gp", ".ts", ".flv"}
PATH_COLUMNS = ("path", "file", "file_path", "filename")
ID_COLUMNS = ("video_id", "id")
LOOK_EVERY_S = 0.5
ANSWERED = (signal.SIGINT, signal.SIGTERM)
COLUMNS = (
    "video_id", "status", "flag", "original", "offset_s", "share", "probability", "tempo",
    "duration_s", "published_at", "attempts", "reason", "path",
)  # fmt: skip
WORDS = {
    "pending": "waiting", "processing": "being worked on", "original": "originals",
    "match": "matches", "too_short": "too short or silent", "failed": "failed",
    "flagged": "of these flagged: a person may want to look",
}  # fmt: skip


def add(videos: Path, published_column: str, *, database: str | None, config: Path | None) -> int:
    """Returns 0, also if all were known before; raises UsageError if there is none."""
    settings = settings_module.load(config)
    found, notes = _in_folder(videos) if videos.is_dir() else _in_csv(videos, published_column)
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    if not found:
        raise UsageError(f"--videos {videos}: no video in it")
    with _store(settings, database) as store:
        new = store.add(found)
    console.print(f"{new} new, {len(found) - new} known before")
    return 0


def work(
    *,
    workers: int | None,
    lease_s: float | None,
    once: bool,
    database: str | None,
    config: Path | None,
) -> int:
    """Returns 0 if nothing failed that this call worked on, 130 after Ctrl-C."""
    settings = settings_module.load(config, flags={"music.originals.lease_s": lease_s})
    where = _where(settings, database)
    stopped = threading.Event()
    with log_file(settings), _store(settings, database) as store:
        before = store.counts()
        count = workers or settings.processing.workers
        with open_progress(before["pending"] + before["processing"]) as progress:
            team = _Team(where, settings, count=count, once=once)
            with interrupts(lambda _reason: stopped.set()), team.working():
                while team.is_working() and not stopped.wait(LOOK_EVERY_S):
                    _show(progress, before, store.counts())
        now = store.counts()
    _print_counts(now)
    if stopped.is_set():
        return exit_codes.INTERRUPTED
    return exit_codes.NOTHING_SUCCEEDED if team.broken or now["failed"] > before["failed"] else 0


def status(*, as_json: bool, database: str | None, config: Path | None) -> int:
    """Counts by status."""
    with _store(settings_module.load(config), database) as store:
        counts = store.counts()
    if as_json:
        print(json.dumps(counts))
    else:
        _print_counts(counts)
    return 0


def show(video_id: str, *, as_json: bool, database: str | None, config: Path | None) -> int:
    """One video with its original, or with its copies."""
    with _store(settings_module.load(config), database) as store:
        video = store.find(video_id) if is_storable(video_id) else None
        if video is None:
            raise UsageError(f"no video is called {printable(video_id)}")
        original = store.numbered(video.original_id) if video.original_id else None
        copies = store.copies(video.id)
    row = _row(video, original.video_id if original else None)
    if as_json:
        uses = [_row(copy, video.video_id) for copy in copies]
        print(json.dumps(row | {"copies": uses}, ensure_ascii=False))
        return 0
    console.print(printable(_sentence(video, original)))
    for copy in copies:
        console.print(printable(f"  {_sentence(copy, video)}"))
    return 0


def export(out: Path, *, database: str | None, config: Path | None) -> int:
    """All videos as a table, by number."""
    if out.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"--out {out}: .csv or .json")
    with _store(settings_module.load(config), database) as store:
        names = {video.id: video.video_id for video in store.all()}
        rows = [_row(video, names.get(video.original_id or 0)) for video in store.all()]
    with open_atomic(out) as file:
        if out.suffix.lower() == ".json":
            file.write((json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode())
        else:
            file.write(csv_line(COLUMNS))
            file.writelines(csv_line(row.values()) for row in rows)
    console.print(f"{len(rows)} videos in {out}")
    return 0


# ------------------------------------------------------------------------------ the workers


class _Team:
    """Worker processes; one that is killed is replaced, its video comes back after the lease."""

    def __init__(self, where: str, settings: Settings, *, count: int, once: bool) -> None:
        self._arguments = (where, settings, once)
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []
        self._count = count
        self.broken = False

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Starts them; at the end those that still work finish their video and stop."""
        try:
            self._processes = [self._started() for _ in range(self._count)]
            yield
        finally:
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.join()

    def is_working(self) -> bool:
        """Whether any of them is; those that were killed have been replaced."""
        for at, process in enumerate(self._processes):
            code = process.exitcode
            if code is not None and code < 0:
                self._processes[at] = self._started()
            self.broken |= bool(code is not None and code > 0)
        return any(process.is_alive() for process in self._processes)

    def _started(self) -> SpawnProcess:
        process = self._context.Process(target=_work, args=self._arguments)
        # The child inherits the mask: a signal waits until it can answer it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ANSWERED)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process


def _work(where: str, settings: Settings, once: bool) -> None:
    """A worker process."""
    asked = _asked_to_stop()
    parent = os.getppid()
    chosen = settings.music.originals
    try:
        with log_file(settings), Database.open(where) as database:
            store = OriginalsStore(database)
            worker = Worker(store, chosen, ears=CalibratedEars(store, chosen))
            worker.work(once=once, stop=lambda: asked.is_set() or os.getppid() != parent)
    except ReelscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_codes.NOTHING_SUCCEEDED)
    if asked.is_set():
        sys.exit(exit_codes.INTERRUPTED)


def _asked_to_stop() -> threading.Event:
    """Set by a signal: the video in hand is finished and no other begun.

    After a second Ctrl-C the process leaves at once; the lease brings its video back.
    """
    asked = threading.Event()
    pressed = False

    def answer(number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed and number == signal.SIGINT:
            os._exit(exit_codes.INTERRUPTED)
        pressed |= number == signal.SIGINT
        asked.set()

    for number in ANSWERED:
        signal.signal(number, answer)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ANSWERED)
    return asked


def _show(progress: Counter, before: dict[str, int], now: dict[str, int]) -> None:
    ended = ("original", "match", "too_short", "failed")
    progress.ended = sum(now[name] - before[name] for name in ended)
    progress.total = progress.ended + now["pending"] + now["processing"]
    progress.failures = now["failed"] - before["failed"]
    progress.show()


# ------------------------------------------------------------------------------- in and out


def _where(settings: Settings, database: str | None) -> str:
    secret = settings.music.originals.database
    given = database or (secret.get_secret_value() if secret else None)
    return given or str(settings.paths.data / "originals.sqlite")


@contextlib.contextmanager
def _store(settings: Settings, database: str | None) -> Iterator[OriginalsStore]:
    with Database.open(_where(settings, database)) as opened:
        yield OriginalsStore(opened)


def _in_folder(folder: Path) -> tuple[list[NewVideo], list[str]]:
    """Its media files; the id is the path in the folder without the suffix, if that is unique."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    found: dict[str, NewVideo] = {}
    notes = []
    for path in paths:
        name = path.relative_to(folder)
        if not is_storable(str(path.absolute())):
            notes.append(f"{str(name)!a}: the name is not UTF-8; left out")
            continue
        video_id = name.with_suffix("").as_posix()
        video_id = name.as_posix() if video_id in found else video_id
        found[video_id] = NewVideo(video_id, str(path.absolute()))
    return list(found.values()), notes


def _in_csv(path: Path, published_column: str) -> tuple[list[NewVideo], list[str]]:
    """The rows of a CSV; paths are relative to its folder."""
    text, odd = read_text(path, what="a list of videos")
    notes = [] if odd is None else [f"{path.name}: line {odd} is not UTF-8"]
    table = read_rows(text, wanted=lambda cell: cell.lower() in PATH_COLUMNS)
    rows = ((line, row) for line, row in table if any(row))
    _, header = next(rows, (1, []))
    names = [cell.lower() for cell in header]
    at = _column(names, PATH_COLUMNS)
    if at is None:
        raise CsvError(f"{path}: no column {' or '.join(PATH_COLUMNS)}")
    id_at, published_at = _column(names, ID_COLUMNS), _column(names, (published_column.lower(),))
    found: list[NewVideo] = []
    for line, row in rows:
        cells = dict(enumerate(row))
        file, named = cells.get(at, ""), cells.get(-1 if id_at is None else id_at, "")
        video_id = named or Path(file).stem
        if not is_storable(file) or not is_storable(video_id):
            notes.append(f"{path.name}: line {line} names no file; left out")
            continue
        said = cells.get(-1 if published_at is None else published_at, "")
        published = _moment(said)
        if said and published is None:
            notes.append(f"{path.name}: line {line}: {said[:60]} is no date; taken as not known")
        found.append(NewVideo(video_id, str((path.parent / file).absolute()), published))
    return found, notes


def _column(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _moment(said: str) -> datetime | None:
    """A date, a time, or seconds since 1970; without a zone it is taken as UTC."""
    try:
        seconds = float(said)
    except ValueError:
        with contextlib.suppress(ValueError, OverflowError):
            time_ = datetime.fromisoformat(said)
            return (time_ if time_.tzinfo else time_.replace(tzinfo=UTC)).astimezone(UTC)
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _row(video: Video, original: str | None) -> dict[str, str | int | float | None]:
    known = asdict(video) | {"original": original}
    published = video.published_at
    known["published_at"] = published.isoformat().replace("+00:00", "Z") if published else None
    return {name: known[name] for name in COLUMNS}


def _sentence(video: Video, original: Video | None) -> str:
    parts = [f"{video.video_id}: {video.status}"]
    if original is not None:
        parts.append(f"of {original.video_id}, begins at its second {video.offset_s:.2f}")
    if video.tempo is not None and abs(video.tempo - 1) >= 0.005:
        parts.append(f"played {'faster' if video.tempo > 1 else 'slower'}, x {video.tempo:.3f}")
    if video.share is not None:
        parts.append(f"{100 * video.share:.0f} % of its hashes")
    if video.probability is not None:
        parts.append(f"probability {video.probability:.4f}")
    return ", ".join(parts + [said for said in (video.flag, video.reason) if said])


def _print_counts(counts: dict[str, int]) -> None:
    for name, count in counts.items():
        console.print(f"{count:>9,}  {WORDS[name]}")
