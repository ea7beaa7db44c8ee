"""From what somebody says that a platform says to a `Platform`: only what has the right type.

Listings, exports and sidecars come from outside. Nothing in them is believed before it fits;
what does not fit costs that one field. Texts are cut and lose their control characters, times
are UTC, addresses are http or https.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from reelscope.records import Counts, Platform, PlatformAuthor, PlatformMusic

MAX_ITEMS = 1_000
"""Of a list: hashtags, lines of subtitles, earlier counts."""
MAX_LIST_CHARACTERS = 100_000
"""Of all texts of a list together; an hour of speech has about 50,000."""

_MAX_CHARACTERS = 1_000
_MAX_CAPTION = 10_000  # TikTok allows 4,000
_MAX_URL = 4_096  # TikTok's signed ones have up to about 1,500; a cut one is none
_BAD = {"Cc", "Cs"}  # control characters, halves of surrogate pairs
_INNER: dict[str, type[BaseModel]] = {
    "counts": Counts, "music": PlatformMusic, "author": PlatformAuthor,
}  # fmt: skip

Refuse: TypeAlias = Callable[[str, str], None]
"""Hears which field is left out, and why."""


def platform_of(data: Mapping[str, Any], *, name: str, refuse: Refuse) -> Platform:
    """The platform's words.

    Args:
        data: keys as those of `Platform`; others are left out.
        name: where it comes from, if `data` does not say so.
        refuse: told of every field that is left out because it does not fit.
    """
    known = {"name": clean_text(name), **_known(data, Platform)}
    for key, kind in _INNER.items():
        if isinstance(known.get(key), dict):
            known[key] = _known(known[key], kind)
    if "counts_before" in known:
        known["counts_before"] = _before(known["counts_before"])
    _leave_out_addresses(known, refuse)
    try:
        platform = Platform.model_validate(known)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            _forget(known, problem["loc"])
            refuse(".".join(map(str, problem["loc"])), problem["msg"])
        platform = Platform.model_validate({"name": clean_text(name), **known})
    return _in_utc(platform)


def clean_text(text: str, *, longest: int = _MAX_CHARACTERS) -> str:
    """Without control characters (line ends and tabs stay), and cut to so many characters."""
    if text.isprintable():  # nearly all are, and this is faster
        return text[:longest]
    kept = (c for c in text[: 2 * longest] if c in "\n\t" or unicodedata.category(c) not in _BAD)
    return "".join(kept)[:longest]


def web_url(value: object) -> str | None:
    """The address, if it is one of http or https that can be asked as it stands."""
    if not isinstance(value, str) or len(value) > _MAX_URL:
        return None
    url = f"https:{value.strip()}" if value.strip().startswith("//") else value.strip()
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        return None
    return url if fits else None


def in_utc(time: datetime | None) -> datetime | None:
    """The same moment in UTC; a time without a zone is meant so."""
    if time is None or time.tzinfo is None:
        return time and time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day that there is
        return None


def _known(data: Mapping[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    fields = kind.model_fields.keys() & data.keys()
    return {key: _clean(data[key], key) for key in sorted(fields) if data[key] is not None}


def _clean(value: Any, key: str) -> Any:
    if key.endswith("_url"):
        return value
    if isinstance(value, str):
        return clean_text(value, longest=_MAX_CAPTION if key == "caption" else _MAX_CHARACTERS)
    if not isinstance(value, list | tuple):
        return value
    items, room = [], MAX_LIST_CHARACTERS
    for item in value[:MAX_ITEMS]:
        if not isinstance(item, list | tuple):
            items.append(_clean(item, key))
            room -= len(items[-1]) if isinstance(items[-1], str) else 0
            if room < 0:
                return items[:-1]
    return items


def _before(value: Any) -> list[Any]:
    """Earlier counts that are such, each with the numbers that fit."""
    found = []
    for counts in value if isinstance(value, list) else []:
        known = _known(counts, Counts) if isinstance(counts, dict) else {}
        try:
            found.append(Counts.model_validate(known))
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                known.pop(str(problem["loc"][0]), None)
            found.append(Counts.model_validate(known))
    return [counts for counts in map(_counts_in_utc, found) if has_numbers(counts)]


def has_numbers(counts: Counts) -> bool:
    """Whether there is more than a time."""
    return bool(counts.model_dump(exclude={"taken_at"}, exclude_none=True))


def _leave_out_addresses(known: dict[str, Any], refuse: Refuse) -> None:
    music = known.get("music")
    for where, data, key in (("", known, "cover_url"), ("music.", music, "play_url")):
        if not isinstance(data, dict) or key not in data:
            continue
        if url := web_url(data[key]):
            data[key] = url
        else:
            del data[key]
            refuse(f"{where}{key}", "no address of the web")


def _forget(data: dict[str, Any], where: tuple[int | str, ...]) -> None:
    key, *inner = where
    if key in _INNER and inner and isinstance(data.get(str(key)), dict):
        data[str(key)].pop(inner[0], None)
    else:
        data.pop(str(key), None)


def _in_utc(platform: Platform) -> Platform:
    changes: dict[str, Any] = {}
    if platform.posted_at is not None:
        changes["posted_at"] = in_utc(platform.posted_at)
    if platform.counts is not None:
        changes["counts"] = _counts_in_utc(platform.counts)
    return platform.model_copy(update=changes)


def _counts_in_utc(counts: Counts) -> Counts:
    if counts.taken_at is None:
        return counts
    return counts.model_copy(update={"taken_at": in_utc(counts.taken_at)})
