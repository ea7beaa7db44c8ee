"""The sound of campaigns on disk: `DIR/<campaign id>/*.{mp3,wav,m4a,ogg,flac}`, in any case.

Folders within a campaign's folder belong to it. What is hidden is left out, links to folders
are not entered, and nothing here opens a file: whether it is a sound shows when it is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reelscope.errors import UsageError

SUFFIXES = frozenset({".mp3", ".wav", ".m4a", ".ogg", ".flac", ".aac", ".opus", ".mp4"})
"""Of a campaign's tracks, in any case."""


@dataclass(frozen=True, slots=True)
class CampaignTrack:
    """A file of a campaign.

    Attributes:
        campaign_id: name of the campaign's folder.
        name: of the file, from the campaign's folder on, with "/" between folders.
        path: where it is.
    """

    campaign_id: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Campaigns:
    """What is in the folder of campaigns.

    Attributes:
        ids: names of all campaigns, in order, those without a track too.
        tracks: in order of campaign and name.
        problems: (where, what): campaigns without a track, files that belong to none.
    """

    ids: tuple[str, ...]
    tracks: tuple[CampaignTrack, ...]
    problems: tuple[tuple[str, str], ...]


def read_campaigns(root: Path) -> Campaigns:
    """The campaigns in a folder.

    Raises:
        UsageError: there is no such folder, it cannot be read, or no track is in it.
    """
    problems: list[tuple[str, str]] = []
    tracks: list[CampaignTrack] = []
    ids: list[str] = []
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--campaigns {root}: {why}") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not _is_text(entry.name):
            problems.append((ascii(entry.name), "the name is not UTF-8; rename it"))
        elif not entry.is_dir():
            if Path(entry.name).suffix.lower() in SUFFIXES:
                problems.append((entry.name, "lies in no campaign's folder and is left out"))
        else:
            found = list(_tracks(root / entry.name, problems))
            ids.append(entry.name)
            tracks += found
            if not found:
                problems.append((entry.name, "no sound is in this campaign's folder"))
    if not tracks:
        raise UsageError(
            f"--campaigns {root}: no campaign with a sound in it; expected"
            f" <campaign id>/*.{{{','.join(sorted(s[1:] for s in SUFFIXES))}}}"
        )
    return Campaigns(tuple(ids), tuple(tracks), tuple(problems))


def _tracks(folder: Path, problems: list[tuple[str, str]]) -> Iterator[CampaignTrack]:
    """A campaign's tracks, by name."""
    found: list[CampaignTrack] = []
    pending = [folder]
    while pending:
        here = pending.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            problems.append((_name(here, folder.parent), f"cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            path = here / entry.name
            if entry.name.startswith("."):
                continue
            if not _is_text(entry.name):
                problems.append((ascii(_name(path, folder.parent)), "the name is not UTF-8"))
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif path.suffix.lower() in SUFFIXES and _is_file(entry):
                found.append(CampaignTrack(folder.name, _name(path, folder), path))
    return iter(sorted(found, key=lambda track: track.name))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_text(name: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in name)
