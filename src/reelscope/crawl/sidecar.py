"""`<video>.json` beside a video file: what a platform said of it, if somebody saved that.

The keys are those of `records.Platform`. The file comes from outside, so nothing in it is
believed before it has the right type, and nothing in it can stop a run.
"""

from __future__ import annotations

import errno
import json
import logging
import stat
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from reelscope.records import Counts, Platform, PlatformAuthor, PlatformMusic

logger = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024
_MAX_CHARACTERS = 1_000
_MAX_CAPTION = 10_000  # TikTok allows 4,000
_MAX_ITEMS = 1_000
_INNER: dict[str, type[BaseModel]] = {
    "counts": Counts, "music": PlatformMusic, "author": PlatformAuthor,
}  # fmt: skip


def read_sidecar(video: Path) -> Platform:
    """What the sidecar of this video says; without one, just that it comes from a folder.

    Unknown keys are left out; keys of the wrong type, and files that are too large or no
    JSON, are left out with a warning. Texts are cut and lose their control characters;
    times are UTC.
    """
    path = video.with_name(f"{video.stem}.json")
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
    return _platform(data, path)


def _load(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
    data = json.loads(raw)
    if not isinstance(data, dict):
        raise ValueError(f"expected keys and values, found a {type(data).__name__}")
    return data


def _platform(data: dict[str, Any], path: Path) -> Platform:
    known = {"name": "folder", **_known(data, Platform)}
    for key, kind in _INNER.items():
        if isinstance(known.get(key), dict):
            known[key] = _known(known[key], kind)
    try:
        platform = Platform.model_validate(known)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            _forget(known, problem["loc"])
            where = ".".join(map(str, problem["loc"]))
            logger.warning("%s: %s is ignored: %s", path, where, problem["msg"])
        platform = Platform.model_validate({"name": "folder", **known})
    return _in_utc(platform)


def _known(data: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    fields = kind.model_fields.keys() & data.keys()
    return {key: _clean(data[key], key) for key in fields if data[key] is not None}


def _clean(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_clean(item, key) for item in value[:_MAX_ITEMS] if not isinstance(item, list)]
    if not isinstance(value, str):
        return value
    longest = _MAX_CAPTION if key == "caption" else _MAX_CHARACTERS
    kept = (c for c in value[: 2 * longest] if c in "\n\t" or unicodedata.category(c) not in _BAD)
    return "".join(kept)[:longest]


_BAD = {"Cc", "Cs"}  # control characters, halves of surrogate pairs


def _forget(data: dict[str, Any], where: tuple[int | str, ...]) -> None:
    key, *inner = where
    if key in _INNER and inner and isinstance(data.get(str(key)), dict):
        data[str(key)].pop(inner[0], None)
    else:
        data.pop(str(key), None)


def _in_utc(platform: Platform) -> Platform:
    changes: dict[str, Any] = {"posted_at": _utc(platform.posted_at)}
    if platform.counts is not None:
        taken_at = _utc(platform.counts.taken_at)
        changes["counts"] = platform.counts.model_copy(update={"taken_at": taken_at})
    return platform.model_copy(update=changes)


def _utc(time: datetime | None) -> datetime | None:
    if time is None or time.tzinfo is None:
        return time and time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day that there is
        return None
