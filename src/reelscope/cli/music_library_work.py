"""What the commands of the music library do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from reelscope import settings as settings_module
from reelscope.cli import exit_codes
from reelscope.cli.progress import open_progress
from reelscope.cli.terminal import console, printable, progress_console
from reelscope.crawl.table import NOT_UTF8, TOO_LONG, read_rows, read_text
from reelscope.engines.media_fetcher import MediaFetcher
from reelscope.errors import CsvError, MediaError, UsageError
from reelscope.music.adding import Added
from reelscope.music.fingerprint import RATE_HZ
from reelscope.music.library import Identification, MusicLibrary
from reelscope.music.new_tracks import NewTrack, is_url, new_tracks
from reelscope.music.sound import read_sound
from reelscope.music.wording import clock
from reelscope.store.tracks import Track, Wanted

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "track_id", "asset_id"),
    "path": ("path", "file", "file_path", "filename"),
    "url": ("url", "link", "address", "audio_url"),
    "title": ("title", "track", "name"),
    "artist": ("artist", "artists", "author"),
    "album": ("album",),
    "genre": ("genre",),
    "campaign": ("campaign", "campaign_id"),
    "source_url": ("source_url",),
}
"""Names of a table's columns, the first one found; case, blanks, - and _ do not matter."""


@dataclass(frozen=True)
class Place:
    """Which library is meant.

    Attributes:
        library: as given: a folder or an address; None: as the settings say.
        config: of the settings.
    """

    library: str | None
    config: Path | None

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[MusicLibrary]:
        """The library, for a block."""
        settings = settings_module.load(self.config)
        own = settings.music.library
        folder = own.folder or settings.paths.data / "library"
        database = own.database.get_secret_value() if own.database else None
        where = self.library or _address(database) or folder
        with MusicLibrary.open(
            where,
            folder=folder,
            create=create,
            settings=own,
            fetcher=MediaFetcher(settings.crawl, attempts=1),
        ) as library:
            yield library


def _address(database: str | None) -> str | None:
    """A path of a catalogue elsewhere is an address as well."""
    if database is None or "://" in database:
        return database
    return f"sqlite:///{Path(database).absolute()}"


# ------------------------------------------------------------------------------------- adding


def add(
    place: Place,
    given: Sequence[NewTrack],
    csv: Path | None,
    *,
    campaign: str | None,
    replaces: bool,
    as_json: bool,
) -> int:
    """Add tracks. Returns 0 if any is in the library now, else 1."""
    if not given and csv is None:
        raise UsageError("nothing to add: name files, folders or addresses, or --csv")
    listed, notes = read_tracks(csv) if csv else ([], [])
    news = list(new_tracks([*given, *listed], campaign=campaign))
    done: list[Added] = []
    stopped = False
    with (
        place.open(create=True) as library,
        open_progress(len(news), what="tracks") as progress,
    ):

        def told(added: Added) -> None:
            done.append(added)
            progress.ended += 1
            progress.failures += added.outcome == "failed"
            progress.now = printable(Path(added.source).name)
            if as_json:
                _print_json(_added_facts(added))
            elif added.outcome == "failed" or added.same_as:
                console.print(_added_line(added))
            progress.show()

        try:
            library.add(news, replaces=replaces, told=told)
        except KeyboardInterrupt:
            stopped = True
        total = library.count(Wanted(status="ready"))
    for note in notes:
        progress_console.print(f"note: {printable(note)}")
    if not as_json:
        console.print(_summary(done, total))
    if stopped:
        progress_console.print("Stopped. The same call goes on where this one ended.")
        return exit_codes.INTERRUPTED
    return 0 if any(one.outcome != "failed" for one in done) else exit_codes.NOTHING_SUCCEEDED


def _added_facts(added: Added) -> dict[str, Any]:
    return {
        "source": added.source,
        "outcome": added.outcome,
        "track": _facts(added.track) if added.track else None,
        "same_as": added.same_as,
        "error": added.error,
    }


def _added_line(added: Added) -> str:
    if added.outcome == "failed":
        return f"error: {printable(added.source)}: {printable(added.error or '')}"
    same = ", ".join(added.same_as)
    name = added.track.id if added.track else ""
    return f"note: {printable(name)} has the same content as {printable(same)}"


def _summary(done: Sequence[Added], total: int) -> str:
    counts = [
        f"{n} {outcome}"
        for outcome in ("added", "replaced", "unchanged", "failed")
        if (n := sum(one.outcome == outcome for one in done))
    ]
    return f"{', '.join(counts) or 'nothing added'}; {total} tracks in the library"


def read_tracks(path: Path) -> tuple[list[NewTrack], list[str]]:
    """The rows of a table, and what there is to say about its lines.

    Raises:
        CsvError: no such file, not text, no column `path` or `url`, or no usable line.
    """
    text, odd_line = read_text(path, what="a list of tracks")
    notes = [f"line {odd_line}: {NOT_UTF8}"] if odd_line else []
    rows = read_rows(text, wanted=lambda cell: _plain(cell) in _SOURCES)
    header = next((cells for _, cells in rows if any(cells)), [])
    where = _columns(header)
    if not where.keys() & {"path", "url"}:
        found = ", ".join(repr(cell[:40]) for cell in header[:20]) or "nothing"
        raise CsvError(f"{path}: no column `path` or `url` in the first line; found {found}")
    found_rows: list[NewTrack] = []
    for line, cells in rows:
        if cells == TOO_LONG:
            notes.append(f"line {line}: a cell is far too long; is a quote left open?")
        elif any(cells):
            row = {name: cells[at] for name, at in where.items() if at < len(cells) and cells[at]}
            source = row.pop("path", "")
            url = row.pop("url", "")
            if not (source or url):
                notes.append(f"line {line}: no path and no address")
                continue
            if source and url:
                row.setdefault("source_url", url)
            found_rows.append(NewTrack(_source(path, source or url), **row))
    if not found_rows:
        raise CsvError("\n  ".join([f"{path}: no usable line below the header", *notes[:5]]))
    return found_rows, notes


def _source(table: Path, text: str) -> str:
    return text if is_url(text) else str(table.parent / text)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


_SOURCES = {_plain(name) for kind in ("path", "url") for name in COLUMNS[kind]}


def _columns(header: Sequence[str]) -> dict[str, int]:
    plain = [_plain(cell) for cell in header]
    found = {}
    for kind, names in COLUMNS.items():
        at = next((plain.index(_plain(name)) for name in names if _plain(name) in plain), None)
        if at is not None:
            found[kind] = at
    return found


# ------------------------------------------------------------------------------------ looking


def list_tracks(place: Place, wanted: Wanted, *, limit: int | None, as_json: bool) -> int:
    """Print tracks. Returns 0."""
    with place.open() as library:
        tracks = library.list_tracks(wanted, limit=limit)
    if as_json:
        for track in tracks:
            _print_json(_facts(track))
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("id", "track", "campaign", "length", "status"):
        table.add_column(column, justify="right" if column == "length" else "left")
    for track in tracks:
        length = clock(track.duration_s) if track.duration_s is not None else ""
        cells = (track.id, track.name, track.campaign, length, track.status)
        table.add_row(*(printable(cell or "") for cell in cells))
    console.print(table)
    console.print(f"{len(tracks)} tracks")
    return 0


def show(place: Place, id_: str, *, as_json: bool) -> int:
    """Print a track. Returns 0."""
    with place.open() as library:
        track = library.get(id_)
    if track is None:
        raise UsageError(f"there is no track {id_[:200]!r} in the library")
    if as_json:
        _print_json(_facts(track))
        return 0
    for name, value in _facts(track).items():
        if value is not None:
            console.print(f"{name:<12} {printable(str(value))}")
    return 0


def count(place: Place, wanted: Wanted) -> int:
    """Print a number. Returns 0."""
    with place.open() as library:
        console.print(str(library.count(wanted)))
    return 0


def verify(place: Place, *, as_json: bool) -> int:
    """Check everything. Returns 0 if all is well, else 1."""
    with place.open() as library:
        found = library.verify()
    if as_json:
        _print_json(asdict(found))
    else:
        for problem in found.problems:
            console.print(f"error: {printable(problem)}")
        console.print(
            f"{found.tracks} tracks, {found.hours:.2f} h, {found.segments} files of the index with"
            f" {found.index_bytes / 1e6:.1f} MB; {found.failed} failed, {found.leftover} left over"
            f" from removed tracks: {'damaged' if found.problems else 'all is well'}"
        )
    return exit_codes.NOTHING_SUCCEEDED if found.problems else 0


# ----------------------------------------------------------------------------------- changing


def update(place: Place, id_: str, values: Mapping[str, str]) -> int:
    """Change a track. Returns 0."""
    if not values:
        raise UsageError("nothing to change: --title, --artist, --album, --genre, --campaign, ...")
    with place.open() as library:
        track = library.update(id_, **values)
    console.print(f"{printable(track.id)}: {', '.join(sorted(values))} changed")
    return 0


def remove(place: Place, ids: Sequence[str]) -> int:
    """Remove tracks. Returns 0 if any was there, else 1."""
    with place.open() as library:
        removed = library.remove(ids)
    for id_ in dict.fromkeys(ids):
        if id_ not in removed:
            console.print(f"error: there is no track {printable(id_[:200])}")
    console.print(f"{len(removed)} removed")
    return 0 if removed else exit_codes.NOTHING_SUCCEEDED


def compact(place: Place) -> int:
    """Merge the index. Returns 0."""
    with place.open() as library:
        files = library.compact()
        size = library.index.snapshot().size_bytes
    console.print(f"the index has {files} files with {size / 1e6:.1f} MB")
    return 0


def move(place: Place, to: str, index_folder: Path | None) -> int:
    """Move the library. Returns 0."""
    with place.open() as library, library.move(to, folder=index_folder) as moved:
        console.print(
            f"{moved.count()} tracks are at {moved.catalogue.database.name} now,"
            f" their fingerprints in {moved.index.folder}"
        )
    return 0


# -------------------------------------------------------------------------------- identifying


def identify(place: Place, clips: Sequence[Path], *, top: int, as_json: bool) -> int:
    """Say what is heard in clips. Returns 0 if any could be listened to, else 1."""
    listened = 0
    with place.open() as library:
        for clip in clips:
            error, found = "", tuple[Identification, ...]()
            try:
                found = library.identify(read_sound(clip, RATE_HZ), RATE_HZ, top=top)
                listened += 1
            except MediaError as fault:
                error = str(fault)
            if as_json:
                _print_json({
                    "clip": str(clip),
                    "error": error or None,
                    "found": [_found_facts(one) for one in found],
                })  # fmt: skip
            else:
                for line in _lines(found, error):
                    console.print(f"{printable(str(clip))}: {printable(line)}")
    return 0 if listened else exit_codes.NOTHING_SUCCEEDED


def _lines(found: Sequence[Identification], error: str) -> list[str]:
    if error:
        return [f"error: {error}"]
    return [one.line() for one in found] or ["no track of the library is in it"]


def _found_facts(one: Identification) -> dict[str, Any]:
    facts = asdict(one)
    return {**facts, "track": _facts(one.track), "line": one.line()}


def _facts(track: Track) -> dict[str, Any]:
    facts = asdict(track)
    del facts["number"]  # the index's own
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
    }


def _print_json(facts: Mapping[str, Any]) -> None:
    # As ASCII: whatever stands in it, it is one line and steers no terminal.
    console.print(json.dumps(facts), soft_wrap=True)
