"""Assets: the sounds of somebody's library, as a folder or a CSV lists them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from reelscope.errors import UsageError
from reelscope.music.new_tracks import SUFFIXES, is_url
from reelscope.store.audio_fingerprint import Key
from reelscope.store.tracks import exact_text

ID_COLUMNS: Final = ("asset_id", "id", "track_id", "video_id", "sound_id")
FILE_COLUMNS: Final = ("file_key", "path", "file", "url", "source", "source_url")
"""Columns of a CSV, the first that is there counts."""

LONGEST_FIELD: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Asset:
    """A sound that somebody has.

    Attributes:
        asset_id: as its owner calls it.
        source: where its file is: an http(s) address or a path.
    """

    asset_id: str
    source: str | Path

    @property
    def key(self) -> Key:
        """As the table calls it: whatever a file may be called, a database can hold this."""
        return _storable(self.asset_id), _storable(str(self.source))

    @property
    def url(self) -> str | None:
        """The address; None: it is a file here."""
        return self.source if isinstance(self.source, str) and is_url(self.source) else None


def _storable(text: str) -> str:
    return exact_text(text) or quote(os.fsencode(text.replace("\0", "%00")))


def assets_in(folder: Path) -> list[Asset]:
    """The sounds and videos in a folder and below; each is called by its path in the folder.

    Raises:
        UsageError: there are none.
    """
    folder, found = folder.resolve(), []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(root, name) for name in sorted(names) if not name.startswith("."))
        found += [p for p in paths if p.suffix.casefold() in SUFFIXES and p.is_file()]
    if not found:
        raise UsageError(f"{folder}: there is no sound and no video in this folder")
    return [Asset(str(path.relative_to(folder)), path) for path in found]


def assets_of_csv(path: Path) -> list[Asset]:
    """The assets that a CSV lists: a column of ids, and one of paths or addresses.

    Paths are taken from the CSV's folder. Without a column of ids, the file is the id.

    Raises:
        UsageError: it cannot be read, or has no such column, or no row.
    """
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = {str(n).strip().casefold(): n for n in rows.fieldnames or ()}
            place = next((names[n] for n in FILE_COLUMNS if n in names), None)
            name = next((names[n] for n in ID_COLUMNS if n in names), None)
            if place is None:
                raise UsageError(f"{path}: none of the columns {', '.join(FILE_COLUMNS)} is there")
            found = [_listed(path, row.get(name) if name else None, row.get(place)) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    finally:
        csv.field_size_limit(before)  # it is one for the whole process
    assets = [asset for asset in found if asset is not None]
    if not assets:
        raise UsageError(f"{path}: it lists no file")
    return assets


def _listed(path: Path, asset_id: object, source: object) -> Asset | None:
    given = source.strip() if isinstance(source, str) else ""
    if not given:
        return None
    named = asset_id.strip() if isinstance(asset_id, str) else ""
    if is_url(given):
        return Asset(named or given, given)
    return Asset(named or given, path.parent.resolve() / given)


def chosen(assets: Iterable[Asset], asset_ids: Sequence[str]) -> list[Asset]:
    """Those with these ids; all if none are named.

    Raises:
        UsageError: there is no such asset.
    """
    everything = list(assets)
    if not asset_ids:
        return everything
    missing = set(asset_ids) - {asset.asset_id for asset in everything}
    if missing:
        raise UsageError(f"there is no asset {', '.join(sorted(missing)[:5])}")
    return [asset for asset in everything if asset.asset_id in set(asset_ids)]
