"""`music match`: from what was given to videos, and from answers to files and records."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from reelscope.crawl.folder import file_videos
from reelscope.crawl.names import safe_name
from reelscope.crawl.video_table import read_video_table
from reelscope.errors import ConfigError, UsageError
from reelscope.export.batch import export_batch
from reelscope.export.columns import columns
from reelscope.export.creator import export_creator
from reelscope.export.dictionary import render
from reelscope.export.matching import campaign_match, write_matching
from reelscope.music.campaigns import Campaigns, read_campaigns
from reelscope.music.fetching import Fetcher
from reelscope.music.match import Answer, Candidate, Listener, Matcher
from reelscope.music.work_folder import work_folder
from reelscope.pipeline.afterwards import creator_summary
from reelscope.pipeline.batch import Records
from reelscope.pipeline.checkpoint import RECORD_NAME, RecordStore, batch_lock, read_record
from reelscope.pipeline.plan import Folders
from reelscope.pipeline.sound_groups import SoundGroups
from reelscope.pipeline.summary import Summary
from reelscope.records import CampaignMatch, StageRecord, VideoSource
from reelscope.settings import Settings
from reelscope.settings import load as load_settings
from reelscope.store.database import Database
from reelscope.store.matches import MatchStore

log = logging.getLogger(__name__)

TABLES = frozenset({".csv", ".tsv", ".txt"})
"""Suffixes of lists of videos; any other file is a video."""
BATCH_TABLE = "video_features_results.json"
DATABASE_NAME = "music_matches.sqlite"
ENTRY = CampaignMatch.stage


@dataclass(frozen=True)
class Videos:
    """The videos that are to be listened to.

    Attributes:
        name: of what was given, safe as a folder's name.
        candidates: each with an id of its own.
        sources: of those that have a record, by that id.
        batch: the batch's folder, if it is one.
        notes: (where, what) of what was left out or cleaned.
    """

    name: str
    candidates: Sequence[Candidate]
    sources: Mapping[str, VideoSource] = field(default_factory=dict)
    batch: Path | None = None
    notes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Matched:
    """What came of it.

    Attributes:
        results: what stands in matching-results.json.
        folder: where the files stand.
        warning: what a reader has to know of the engine; empty: nothing.
        problems: (where, what) of campaigns, tracks and lines.
        known: videos that an earlier run had listened to.
        seconds: that it took.
    """

    results: dict[str, Any]
    folder: Path
    warning: str
    problems: Sequence[tuple[str, str]]
    known: int
    seconds: float


# ------------------------------------------------------------------------- what was given


def read_videos(given: str, settings: Settings) -> Videos:
    """The videos of a folder, of a CSV, or of a batch (its folder or its id).

    Raises:
        UsageError: it is none of these, or there is no video in it.
        CsvError: the CSV cannot be used.
    """
    path = Path(given)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except ValueError:
        is_folder = is_file = False
    if is_folder:
        return _of_batch(path) if (path / BATCH_TABLE).is_file() else _of_files(path)
    if is_file:
        return _of_table(path) if path.suffix.lower() in TABLES else _of_files(path)
    batch = Folders(settings.paths).batch(given)
    if safe_name(given) == given and batch.is_dir():
        return _of_batch(batch)
    raise UsageError(f"--videos {given!r}: no folder, no CSV, and no batch in {batch.parent}")


def _of_files(path: Path) -> Videos:
    sources = file_videos([path])
    names = _names(sources)
    found = [Candidate(names[i], Path(source.path or "")) for i, source in enumerate(sources)]
    return Videos(safe_name(path.resolve().stem or "videos"), found)


def _of_table(path: Path) -> Videos:
    lines, notes = read_video_table(path)
    found = [Candidate(line.video_id, line.path, line.url, line.error) for line in lines]
    said = [(f"{path}, line {line}", text) for line, text in notes]
    return Videos(safe_name(path.stem), found, notes=said)


def _of_batch(folder: Path) -> Videos:
    folder = folder.resolve()
    store = _records_of(folder)
    try:
        rows = json.loads((folder / BATCH_TABLE).read_bytes())
        places = sorted({(str(row["creator"]), str(row["video_id"])) for row in rows})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"the batch {folder} has no table {BATCH_TABLE} that can be read; run it again"
        ) from None
    notes, sources = list[tuple[str, str]](), list[VideoSource]()
    for creator, video_id in places:
        safe = safe_name(creator) == creator and safe_name(video_id) == video_id
        record = read_record(store.root / creator / video_id / RECORD_NAME) if safe else None
        if record is None:
            notes.append((f"{creator}/{video_id}", "has no record any more and is left out"))
        else:
            sources.append(record.source)
    if not sources:
        raise UsageError(f"the batch {folder} has no video")
    names = _names(sources)
    found = [_of_source(names[i], source) for i, source in enumerate(sources)]
    by_id = {names[i]: source for i, source in enumerate(sources)}
    return Videos(folder.name, found, by_id, folder, notes)


def _of_source(video_id: str, source: VideoSource) -> Candidate:
    """The file if it is still there, else its address."""
    if source.path and Path(source.path).is_file():
        return Candidate(video_id, Path(source.path))
    if source.url:
        return Candidate(video_id, url=source.url)
    return Candidate(video_id, error=source.missing or f"{source.path} is not there any more")


def _names(sources: Sequence[VideoSource]) -> list[str]:
    """Ids of the videos; with the creator where several have the same."""
    times = Counter(source.video_id for source in sources)
    return [
        source.video_id if times[source.video_id] == 1 else f"{source.creator}/{source.video_id}"
        for source in sources
    ]


def _records_of(batch: Path) -> RecordStore:
    """The records beside `results/<batch>/`."""
    return RecordStore(batch.parent.parent / "analysis_results")


# ----------------------------------------------------------------------------- the run


def database_of(settings: Settings) -> str:
    """Where the results are kept: a path or an address (which may hold a password)."""
    chosen = settings.music.match.database
    return chosen.get_secret_value() if chosen else str(settings.paths.data / DATABASE_NAME)


def match_videos(
    campaigns_folder: Path,
    videos: Videos,
    settings: Settings,
    *,
    listener: Listener,
    fetcher: Fetcher | None = None,
    out: Path | None = None,
) -> Matched:
    """Compare, write the files, and put the answers into the records of a batch.

    Args:
        campaigns_folder: `<campaign id>/*`.
        videos: see `read_videos`.
        settings: of the call.
        listener: hears of every video that has ended.
        fetcher: fetches addresses; None: they are errors.
        out: folder of the files. None: the batch's, else `matching/<name>` below paths.data.

    Raises:
        UsageError: there is no campaign with a sound.
        BatchLocked: a run works on the batch.
        DatabaseFailed: the database does not answer.
        OutputError: a file or record cannot be written; what was found is in the database.
    """
    begun = time.monotonic()
    campaigns = read_campaigns(campaigns_folder)
    chosen = settings.music.match
    folder = out or videos.batch or settings.paths.data / "matching" / videos.name
    with ExitStack() as stack:
        stack.enter_context(batch_lock(videos.batch) if videos.batch else nullcontext())
        work = stack.enter_context(work_folder(folder))
        database = stack.enter_context(Database.open(database_of(settings)))
        matcher = Matcher(chosen, MatchStore(database), work=work, fetcher=fetcher)
        recorder = _Recorder(videos, settings, matcher, listener)
        answers = matcher.run(campaigns, videos.candidates, recorder)
        recorder.finish()
        problems = [*videos.notes, *campaigns.problems, *matcher.problems]
        seconds = time.monotonic() - begun
        results = write_matching(
            folder,
            answers,
            engine=matcher.engine.name,
            threshold=chosen.similarity_threshold,
            seconds=seconds,
            run=_run(campaigns, settings, matcher.engine.warning, problems),
        )
        if videos.batch:
            problems += _write_tables(videos.batch, list(videos.sources.values()))
    known = sum(answer.known for answer in answers)
    return Matched(results, folder, matcher.engine.warning, problems, known, seconds)


def _run(
    campaigns: Campaigns, settings: Settings, warning: str, problems: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """matching-run.json."""
    chosen = settings.music.match.model_dump(mode="json", exclude={"database"})
    return {
        "settings": chosen,
        "notes": [warning] if warning else [],
        "campaigns": {
            name: [track.name for track in campaigns.tracks if track.campaign_id == name]
            for name in campaigns.ids
        },
        "problems": [{"where": where, "problem": what} for where, what in problems],
    }


# ------------------------------------------------------------------------- the records


class _Recorder:
    """Puts answers into the records of a batch, some at a time, and passes them on."""

    def __init__(
        self, videos: Videos, settings: Settings, matcher: Matcher, listener: Listener
    ) -> None:
        self._sources = videos.sources
        self._store = _records_of(videos.batch) if videos.batch else None
        self._chosen, self._engine = settings.music.match, matcher.engine
        self._listener = listener
        self._waiting: list[Answer] = []

    def ended(self, answer: Answer) -> None:
        """One more."""
        self._waiting.append(answer)
        if len(self._waiting) >= self._chosen.batch_size:
            self._write()
        self._listener.ended(answer)

    def finish(self) -> None:
        """Write what is left.

        Raises:
            OutputError: a record cannot be written.
        """
        self._write()
        if self._store:
            self._store.close()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._store is None:
            return
        for answer in waiting:
            source = self._sources[answer.video_id]
            record = read_record(self._store.folder(source) / RECORD_NAME)
            if record is None:
                continue
            entry, before = self._entry(answer), record.stages.get(ENTRY)
            if before is None or _plain(before) != _plain(entry):
                self._store.save(record.with_stage(ENTRY, entry))
        self._store.flush()

    def _entry(self, answer: Answer) -> StageRecord:
        common = {
            "key": answer.key or "0" * 64,
            "engine": self._engine.key,
            "seconds": answer.seconds,
            "finished_at": datetime.now(UTC),
        }
        if answer.error is not None:
            return StageRecord(
                status="failed", kind=ENTRY, message=answer.error, retryable=True, **common
            )
        value = campaign_match(
            answer, engine=self._engine.name, threshold=self._chosen.similarity_threshold
        )
        return StageRecord(status="ok", value=value, **common)


def _plain(entry: StageRecord) -> dict[str, Any]:
    """Without what differs from run to run."""
    return entry.model_dump(exclude={"seconds", "finished_at"})


def _write_tables(folder: Path, sources: Sequence[VideoSource]) -> list[tuple[str, str]]:
    """The batch's tables anew, now with the campaigns; why not, if that cannot be."""
    try:
        was = load_settings(folder / "settings.yml", environ={})
        saved = yaml.safe_load((folder / "settings.yml").read_text(encoding="utf-8"))
        summary = json.loads((folder / "summary.json").read_bytes())
    except (OSError, ValueError, ConfigError, yaml.YAMLError) as error:
        log.info("%s: %s", folder, error)
        return [(folder.name, "its tables are not written anew: run the batch again for that")]
    dimensions = was.description.dimensions
    table, store = columns(dimensions), _records_of(folder)
    groups = SoundGroups(was, store.root.parent)
    for creator in sorted({source.creator for source in sources}):
        export_creator(
            groups.told(store.creator_records(creator)),
            store.root / creator,
            table=table,
            creator_summary=creator_summary(store.root / creator),
        )
    export_batch(
        groups.told(Records(store, sources)),
        folder,
        table=table,
        settings=saved,
        summary=summary,
        dictionary=render(Summary, dimensions),
    )
    return []
