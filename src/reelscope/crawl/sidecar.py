"""`<video>.json` beside a video file: what a platform said of it, if somebody saved that.

The keys are those of `records.Platform`. The file may come from outside, so nothing in it is
believed before it has the right type, and nothing in it can stop a run.
"""

from __future__ import annotations

import errno
import json
import logging
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reelscope.atomic import write_atomic
from reelscope.crawl.said import MAX_ITEMS, has_numbers, platform_of
from reelscope.records import Counts, Frozen, Platform

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024 * 1024
"""More than `write_sidecar` can write: five full lists in four bytes a character, and counts."""


def read_sidecar(video: Path) -> Platform:
    """What the sidecar of this video says; without one, just that it comes from a folder.

    Unknown keys are left out; keys of the wrong type, and files that are too large or no
    JSON, are left out with a warning. Texts are cut and lose their control characters;
    times are UTC.
    """
    path = sidecar_path(video)
    data: dict[str, Any] = {}
    try:
        if stat.S_ISREG(path.stat().st_mode):  # a pipe would block
            data = _load(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # .mp4 may fit where .json does not
            logger.warning("%s is ignored: %s", path, error)
    except (ValueError, RecursionError) as error:
        logger.warning("%s is ignored: %s", path, error)
    return platform_of(
        data,
        name="folder",
        refuse=lambda where, why: logger.warning("%s: %s is ignored: %s", path, where, why),
    )


def _load(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
    data = json.loads(raw)
    if not isinstance(data, dict):
        raise ValueError(f"expected keys and values, found a {type(data).__name__}")
    return data


def write_sidecar(video: Path, platform: Platform) -> None:
    """Write the sidecar of this video, whole or not at all.

    `read_sidecar` gives back the same, texts cut as it cuts them.

    Raises:
        OutputError: the disk does not take it.
    """
    path = sidecar_path(video)
    bounded = platform_of(
        platform.model_dump(exclude_unset=True),
        name=platform.name,
        refuse=lambda where, why: logger.debug("%s: %s is left out: %s", path, where, why),
    )
    write_atomic(path, bounded.model_dump_json(indent=1, exclude_unset=True) + "\n")


def sidecar_path(video: Path) -> Path:
    """Where the sidecar of this video lies."""
    return video.with_name(f"{video.stem}.json")


def with_earlier_counts(new: Platform, earlier: Platform | None) -> Platform:
    """What the platform says now, with what it said before where that adds something.

    Counts become a history: `counts` are the latest, `counts_before` the others, the oldest
    first (those without a time before all). Of equal numbers in a row only the first and the
    last are kept, and of all at most 1,000, the latest. What `new` does not say (subtitles,
    an album, ...) is as it was; so nothing gets lost when a listing says less than another.

    Args:
        new: from the platform, just now or from an export.
        earlier: from the sidecar; None: there is none.
    """
    if earlier is None:
        return new
    merged = _filled(new, earlier)
    history = _history(new, earlier)
    latest = history.pop() if history else None
    return merged.model_copy(
        update={"counts": latest, "counts_before": tuple(history[-MAX_ITEMS:])}
    )


def _history(new: Platform, earlier: Platform) -> list[Counts]:
    """All counts of both, in order, without those that say nothing of their own."""
    told = [*earlier.counts_before, earlier.counts, *new.counts_before, new.counts]
    snapshots = sorted((c for c in told if c is not None and has_numbers(c)), key=_when)
    kept: list[Counts] = []
    for counts in snapshots:
        if kept and kept[-1] == counts:
            continue
        if len(kept) > 1 and _numbers(kept[-2]) == _numbers(kept[-1]) == _numbers(counts):
            kept.pop()
        kept.append(counts)
    return kept


def _when(counts: Counts) -> datetime:
    return counts.taken_at or datetime.min.replace(tzinfo=UTC)


def _numbers(counts: Counts) -> Counts:
    return counts.model_copy(update={"taken_at": None})


def _filled(new: Platform, earlier: Platform) -> Platform:
    """`new`, and what it does not say from `earlier`."""
    changes: dict[str, Any] = {}
    for key in earlier.model_fields_set - {"name", "counts", "counts_before"}:
        ours, theirs = getattr(new, key), getattr(earlier, key)
        if key in ("music", "author") and ours is not None and theirs is not None:
            changes[key] = _filled_inner(ours, theirs)
        elif ours in (None, ()) or key not in new.model_fields_set:
            changes[key] = theirs
    return new.model_copy(update=changes)


def _filled_inner(new: Frozen, earlier: Frozen) -> Frozen:
    """The same within a sound or a person, if it is the same one."""
    ids = {getattr(new, "id", None), getattr(earlier, "id", None)} - {None}
    if len(ids) > 1:
        return new
    lacks = {
        key: getattr(earlier, key)
        for key in type(new).model_fields
        if getattr(new, key) is None and getattr(earlier, key) is not None
    }
    return new.model_copy(update=lacks)
