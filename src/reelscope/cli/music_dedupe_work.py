"""What `music dedupe` does."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reelscope import settings as settings_module
from reelscope.cli import exit_codes
from reelscope.cli.progress import open_progress
from reelscope.cli.run import interrupts, log_file
from reelscope.cli.terminal import console, printable
from reelscope.engines.media_fetcher import MediaFetcher
from reelscope.errors import UsageError
from reelscope.export.duplicates import counts, report_data, write_duplicates
from reelscope.music.asset_prints import Fingerprinter
from reelscope.music.assets import Asset, assets_in, assets_of_csv, chosen
from reelscope.music.dedupe import DuplicateReport, find_duplicates
from reelscope.music.library import MusicLibrary
from reelscope.music.work_folder import work_folder
from reelscope.settings import Settings
from reelscope.store.audio_fingerprint import AssetPair, AudioFingerprints
from reelscope.store.database import Database

LIBRARY = "library"
MOST_SHOWN = 10
"""Groups, and failed assets, on the screen; the files have all."""


@dataclass(frozen=True)
class Call:
    """What the command line says."""

    assets: str | None
    asset_ids: tuple[str, ...]
    stats: bool
    out: Path | None
    as_json: bool


def dedupe(call: Call, config: Path | None, *, batch_size: int | None) -> int:
    """Returns 0; 1 if no asset could be fingerprinted; 130 if it was interrupted."""
    settings = settings_module.load(config, flags={"music.dedupe.batch_size": batch_size})
    if call.assets is None and not call.stats:
        raise UsageError("music dedupe: a folder, a CSV or the word library, or --stats")
    wanted = chosen(_assets(call.assets, settings), call.asset_ids) if call.assets else []
    with log_file(settings), Database.open(_where(settings)) as database:
        table = AudioFingerprints(database)
        if call.assets is None:
            _stats(table, as_json=call.as_json)
            return 0
        if not _fingerprint(table, wanted, settings):
            console.print("interrupted; the same call goes on from here")
            return exit_codes.INTERRUPTED
        report = _compare(table, wanted, settings)
        files = write_duplicates(call.out or settings.paths.data / "duplicates", report)
        if call.as_json:
            console.print(json.dumps(report_data(report), indent=1), soft_wrap=True)
        else:
            _show(report, files)
            if call.stats:
                _stats(table, as_json=False)
    done = any(one.processing_status != "failed" for one in report.assets)
    return 0 if done else exit_codes.NOTHING_SUCCEEDED


def _assets(given: str, settings: Settings) -> list[Asset]:
    path = Path(given)
    if path.is_dir():
        return assets_in(path)
    if given == LIBRARY:
        return _of_library(settings)
    if not path.is_file():
        raise UsageError(f"{given}: there is no such folder or CSV")
    return assets_of_csv(path)


def _of_library(settings: Settings) -> list[Asset]:
    """The tracks of the music library whose file, or address, is known."""
    given = settings.music.library
    folder = given.folder or settings.paths.data / "library"
    where = given.database.get_secret_value() if given.database else folder
    with MusicLibrary.open(where, folder=folder, create=False) as library:
        tracks = library.list_tracks()
    found = []
    for track in tracks:
        if track.path and Path(track.path).is_file():
            found.append(Asset(track.id, Path(track.path).absolute()))
        elif track.source_url:
            found.append(Asset(track.id, track.source_url))
        elif track.path:
            found.append(Asset(track.id, Path(track.path).absolute()))
    if not found:
        raise UsageError("the music library is empty")
    return found


def _where(settings: Settings) -> str | Path:
    given = settings.music.dedupe.database
    if given is not None:
        return given.get_secret_value()
    return settings.paths.data / "audio_fingerprint.sqlite"


def _fingerprint(table: AudioFingerprints, wanted: Sequence[Asset], settings: Settings) -> bool:
    """Whether it came to its end."""
    stopped = threading.Event()
    with work_folder(settings.paths.data) as folder, interrupts(lambda _: stopped.set()):
        worker = Fingerprinter(
            table,
            settings.music.dedupe,
            folder,
            fetcher=MediaFetcher(settings.crawl, attempts=1),
            stopped=stopped.is_set,
        )
        with open_progress(len(wanted), what="assets") as progress:
            for done in worker.run(wanted):
                progress.ended += 1
                if done is not None:
                    progress.failures += done.processing_status == "failed"
                    progress.now = printable(done.asset_id)
                progress.show()
    return not stopped.is_set()


def _compare(
    table: AudioFingerprints, wanted: Sequence[Asset], settings: Settings
) -> DuplicateReport:
    keys = list(dict.fromkeys(asset.key for asset in wanted))
    rules = settings.music.dedupe
    with open_progress(len(keys), what="assets compared") as progress:

        def show(done: int) -> None:
            progress.ended = done
            progress.show()

        threads = rules.workers or os.cpu_count() or 1
        report = find_duplicates(table.prints(keys), rules, threads=threads, progress=show)
    assets = report.assets
    table.replace_pairs(
        keys,
        (
            AssetPair(
                assets[p.one].key, assets[p.other].key, p.likeness, p.similarity, p.confidence
            )
            for p in report.pairs
        ),
    )
    return report


def _show(report: DuplicateReport, files: Iterable[Path]) -> None:
    for group in report.groups[:MOST_SHOWN]:
        names = [printable(report.assets[number].asset_id) for number in group.members]
        console.print(f"keep {names[0]} ({group.why})")
        for name in names[1:]:
            console.print(f"     {name}")
    if len(report.groups) > MOST_SHOWN:
        console.print(f"... and {len(report.groups) - MOST_SHOWN} more groups")
    failed = [one for one in report.assets if one.processing_status == "failed"]
    for one in failed[:MOST_SHOWN]:
        console.print(f"failed: {printable(one.asset_id)}: {printable(one.error_message or '')}")
    found = counts(report)
    console.print(f"Assets   {_counted(found['assets'])}")
    console.print(f"By       {_counted(found['engines'])}")
    console.print(f"Pairs    {_counted(found['pairs'])}")
    console.print(f"Groups   {_counted(found['groups'])}")
    for path in files:
        console.print(f"Report   {path}")


def _stats(table: AudioFingerprints, *, as_json: bool) -> None:
    by_status, by_likeness = table.counts()
    if as_json:
        console.print(json.dumps({"assets": dict(by_status), "pairs": dict(by_likeness)}))
        return
    console.print(f"In the table: {_counted(by_status)}")
    console.print(f"Pairs:        {_counted(by_likeness)}")


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items()) or "none"
