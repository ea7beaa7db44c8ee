"""duplicates.csv, .json and .html: which assets are the same sound, and which to keep."""

from __future__ import annotations

import html
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from reelscope.atomic import write_atomic
from reelscope.export.cells import csv_line
from reelscope.export.column import Cell
from reelscope.music.dedupe import DuplicateReport, SoundGroup, SoundPair
from reelscope.store.audio_fingerprint import AssetPrint

NAMES: Final = ("duplicates.csv", "duplicates.json", "duplicates.html")

COLUMNS: Final = (
    "group", "role", "asset_id", "file_key", "other_asset_id", "other_file_key", "likeness",
    "similarity", "confidence", "offset_s", "overlap_s", "format", "lossless", "bit_rate_bps",
    "sample_rate_hz", "channels", "duration_s", "file_size_bytes",
)  # fmt: skip
"""Of duplicates.csv. role: keep, duplicate (of the other one, which is the one to keep), or pair
(alike, but in no group together). likeness to overlap_s: of this asset and the other one;
offset_s: where in this asset the other one begins."""

MOST_SHOWN: Final = 500
"""Groups and pairs on the page; the whole stands in the other files."""

MOST_TEXT: Final = 200
"""Characters of a name on the page."""


def write_duplicates(folder: Path, report: DuplicateReport) -> tuple[Path, ...]:
    """Write the three files.

    Raises:
        OutputError: the disk is full, or there is no permission.
    """
    csv, js, page = (folder / name for name in NAMES)
    write_atomic(csv, b"".join([csv_line(COLUMNS), *map(csv_line, _rows(report))]))
    write_atomic(js, json.dumps(report_data(report), indent=1, ensure_ascii=True) + "\n")
    write_atomic(page, duplicates_page(report))
    return csv, js, page


def report_data(report: DuplicateReport) -> dict[str, object]:
    """The report as plain data."""
    assets = report.assets
    return {
        "counts": counts(report),
        "groups": [
            {
                "keep": _named(assets[group.keep]),
                "why": group.why,
                "members": [_described(assets[number]) for number in group.members],
            }
            for group in report.groups
        ],
        "pairs": [
            {
                "one": _named(assets[pair.one]),
                "other": _named(assets[pair.other]),
                "likeness": pair.likeness,
                "similarity": round(pair.similarity, 4),
                "confidence": pair.confidence,
                "offset_s": round(pair.offset_s, 2),
                "overlap_s": round(pair.overlap_s, 2),
                "coverage": round(pair.coverage, 3),
                "joins": pair.joins,
            }
            for pair in report.pairs
        ],
        "not_compared": [
            _named(one) | {"status": one.processing_status, "error": one.error_message}
            for one in _left_out(report)
        ],
    }


def counts(report: DuplicateReport) -> dict[str, dict[str, int]]:
    """How many assets by status and by engine, and how many pairs by likeness."""
    extra = sum(len(group.members) - 1 for group in report.groups)
    return {
        "assets": dict(Counter(one.processing_status for one in report.assets)),
        "engines": dict(Counter(one.engine for one in report.assets if one.engine)),
        "pairs": dict(Counter(pair.likeness for pair in report.pairs)),
        "groups": {"groups": len(report.groups), "duplicates": extra},
    }


def _left_out(report: DuplicateReport) -> list[AssetPrint]:
    return [one for one in report.assets if one.processing_status != "completed"]


def _named(one: AssetPrint) -> dict[str, object]:
    return {"asset_id": one.asset_id, "file_key": one.file_key}


def _described(one: AssetPrint) -> dict[str, object]:
    return _named(one) | {
        "format": one.format,
        "lossless": one.lossless,
        "bit_rate_bps": one.bit_rate,
        "sample_rate_hz": one.sample_rate,
        "channels": one.channels,
        "duration_s": None if one.duration is None else round(one.duration, 3),
        "file_size_bytes": one.file_size,
        "engine": one.engine,
    }


def _rows(report: DuplicateReport) -> Iterator[list[Cell]]:
    by_numbers = {(pair.one, pair.other): pair for pair in report.pairs}
    group_of: dict[int, int] = {}
    for place, group in enumerate(report.groups, 1):
        for number in group.members:
            group_of[number] = place
            pair = by_numbers.get((min(number, group.keep), max(number, group.keep)))
            yield _row(report, number, group.keep, pair, group=place)
    for pair in report.pairs:
        if group_of.get(pair.one, -1) != group_of.get(pair.other, -2):
            yield _row(report, pair.one, pair.other, pair, group=None)


def _row(
    report: DuplicateReport, number: int, other: int, pair: SoundPair | None, *, group: int | None
) -> list[Cell]:
    one, their = report.assets[number], report.assets[other]
    role = "pair" if group is None else "keep" if number == other else "duplicate"
    names = (None, None) if number == other else (their.asset_id, their.file_key)
    offset_s = None
    if pair is not None:
        offset_s = round(pair.offset_s if pair.one == number else 0.0 - pair.offset_s, 2)
    measured: tuple[Cell, ...] = (None,) * 5
    if pair is not None:
        measured = (
            pair.likeness, round(pair.similarity, 4), pair.confidence, offset_s,
            round(pair.overlap_s, 2),
        )  # fmt: skip
    duration_s = None if one.duration is None else round(one.duration, 3)
    return [
        group, role, one.asset_id, one.file_key, *names, *measured, one.format, one.lossless,
        one.bit_rate, one.sample_rate, one.channels, duration_s, one.file_size,
    ]  # fmt: skip


# ------------------------------------------------------------------------------- the page


def duplicates_page(report: DuplicateReport) -> str:
    """The report as one HTML file that needs nothing else and runs nothing."""
    loose = [pair for pair in report.pairs if not pair.joins]
    left_out = _left_out(report)
    parts = [
        _HEAD,
        "<h1>Duplicates</h1>",
        _summary(report),
        *_shown("Groups", [_group_html(report, g, n) for n, g in enumerate(report.groups, 1)]),
        *_table("Alike, in no group by this", _PAIR_HEADS, [_pair_html(report, p) for p in loose]),
        *_table("Not compared", _LEFT_HEADS, [_left_html(one) for one in left_out]),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def text(given: str | None) -> str:
    """Text from outside as it is shown: nothing in it is markup, steers or turns the line."""
    line = " ".join((given or "").split())
    seen = "".join(c if unicodedata.category(c) not in _HIDDEN else "�" for c in line)
    return html.escape(seen if len(seen) <= MOST_TEXT else seen[: MOST_TEXT - 1] + "…")


_HIDDEN = {"Cc", "Cf", "Cs"}


def _summary(report: DuplicateReport) -> str:
    found = counts(report)
    extra = [report.assets[n] for group in report.groups for n in group.members[1:]]
    saved = sum(one.file_size or 0 for one in extra)
    classes = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in found["pairs"].items()
    )
    figures: Mapping[str, object] = {
        "assets": len(report.assets),
        "groups": len(report.groups),
        f"files that could go, {_size(saved)}": len(extra),
        f"pairs{': ' if classes else ''}{classes}": len(report.pairs),
        "not compared": len(_left_out(report)),
    }
    cells = "".join(
        f"<div><b>{text(str(value))}</b><span>{text(name)}</span></div>"
        for name, value in figures.items()
    )
    engines = ", ".join(f"{name} ({count})" for name, count in found["engines"].items())
    return f'<div class="figures">{cells}</div><p>Chromaprints by {text(engines or "nobody")}.</p>'


def _shown(heading: str, blocks: list[str]) -> Iterator[str]:
    yield f"<h2>{text(heading)}</h2>"
    if not blocks:
        yield "<p>None.</p>"
    yield from blocks[:MOST_SHOWN]
    if len(blocks) > MOST_SHOWN:
        yield f"<p>{len(blocks) - MOST_SHOWN} more stand in duplicates.json.</p>"


def _table(heading: str, heads: Iterable[str], rows: list[str]) -> Iterator[str]:
    if not rows:
        return
    yield f"<h2>{text(heading)}</h2><table><tr>"
    yield "".join(f"<th>{text(head)}</th>" for head in heads) + "</tr>"
    yield from rows[:MOST_SHOWN]
    yield "</table>"
    if len(rows) > MOST_SHOWN:
        yield f"<p>{len(rows) - MOST_SHOWN} more stand in duplicates.json.</p>"


_MEMBER_HEADS: Final = ("", "asset", "file", "format", "length", "size", "to the kept one")
_PAIR_HEADS: Final = ("one", "other", "class", "similarity", "confidence", "overlap", "begins at")
_LEFT_HEADS: Final = ("asset", "file", "status", "why")


def _group_html(report: DuplicateReport, group: SoundGroup, place: int) -> str:
    kept = report.assets[group.keep]
    by_numbers = {}
    for pair in report.pairs:
        if group.keep in (pair.one, pair.other):
            by_numbers[pair.one + pair.other - group.keep] = pair
    rows = "".join(_member_html(report.assets[n], by_numbers.get(n), n == group.keep)
                   for n in group.members)  # fmt: skip
    heads = "".join(f"<th>{text(head)}</th>" for head in _MEMBER_HEADS)
    title = f"{place}. {text(kept.asset_id)} <small>{len(group.members)} files</small>"
    return (
        f"<section><h3>{title}</h3><p>Keep the first: {text(group.why)}.</p>"
        f"<table><tr>{heads}</tr>{rows}</table></section>"
    )


def _member_html(one: AssetPrint, pair: SoundPair | None, kept: bool) -> str:
    likeness = "" if kept or pair is None else f"{_class(pair)} {100 * pair.similarity:.1f} %"
    mark = '<i class="keep">keep</i>' if kept else ""
    cells = (text(one.asset_id), text(one.file_key), _format(one), _length(one.duration),
             _size(one.file_size), likeness)  # fmt: skip
    return f"<tr><td>{mark}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _pair_html(report: DuplicateReport, pair: SoundPair) -> str:
    one, other = report.assets[pair.one], report.assets[pair.other]
    cells = (
        text(one.asset_id), text(other.asset_id), _class(pair), f"{100 * pair.similarity:.1f} %",
        _confidence(pair.confidence), f"{_length(pair.overlap_s)} ({100 * pair.coverage:.0f} %)",
        f"{pair.offset_s:+.1f} s",
    )  # fmt: skip
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _left_html(one: AssetPrint) -> str:
    cells = (one.asset_id, one.file_key, one.processing_status.replace("_", " "), one.error_message)
    return "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in cells) + "</tr>"


def _class(pair: SoundPair) -> str:
    return f'<i class="{pair.likeness}">{pair.likeness.replace("_", " ")}</i>'


def _confidence(value: float) -> str:
    return "&gt; 99.99 %" if value > 0.9999 else f"{100 * value:.2f} %"


def _format(one: AssetPrint) -> str:
    rate = f"{one.bit_rate / 1000:.0f} kbit/s" if one.bit_rate else ""
    hz = f"{one.sample_rate / 1000:g} kHz" if one.sample_rate else ""
    channels = f"{one.channels} ch" if one.channels else ""
    kind = f"{one.format or ''}{' (lossless)' if one.lossless else ''}"
    return text(", ".join(part for part in (kind, rate, hz, channels) if part))


def _length(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Duplicates</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0; }
main { max-width: 1100px; margin: 0 auto; padding: 24px; }
h1 { margin: 0 0 12px; } h2 { margin: 36px 0 8px; } h3 { margin: 0; overflow-wrap: anywhere; }
small { font-weight: normal; opacity: .7; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; }
.figures div { background: var(--soft); border-radius: 8px; padding: 10px 16px; }
.figures b { display: block; font-size: 22px; } .figures span { opacity: .75; }
section { border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; margin: 12px 0; }
section p { margin: 2px 0 8px; opacity: .8; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; opacity: .7; }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; }
section td:nth-last-child(-n+3) { white-space: nowrap; } tr:last-child td { border-bottom: 0; }
i { font-style: normal; border-radius: 4px; padding: 1px 6px; white-space: nowrap; }
.keep, .identical { background: #1a7f3733; } .same_content { background: #0969da33; }
.related { background: #bf870033; }
</style></head><body><main>"""
