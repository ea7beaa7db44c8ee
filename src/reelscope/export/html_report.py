"""report.html: a creator's videos for looking at, one file that needs nothing else.

Its parts are written to temporary files while the records go by; only numbers are held, a
few per video. At the end they are read back in the page's order, piece by piece.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from markupsafe import Markup
from pydantic import JsonValue

from reelscope.export.card import Card, card, music_share
from reelscope.export.columns import texts_of
from reelscope.export.facts import clock, labelled, number, percent
from reelscope.export.histogram import Histogram, Spread, histogram
from reelscope.export.html_page import asset, cut, environment, policy
from reelscope.export.strip import legend
from reelscope.export.thumbnails import Pictures, Room
from reelscope.export.transcript import text_files
from reelscope.export.video import VIDEO_FILES
from reelscope.records import (
    Events,
    OnScreenText,
    Platform,
    PlatformAuthor,
    Probe,
    Shots,
    SpeechRate,
    VideoRecord,
    Voice,
)

MANY_CARDS = 24
"""More are laid out as they come into sight."""
MOST_REASONS = 2000
"""Different reasons why something is missing that are told apart."""
SHOWN_REASONS = 12
_IN_MEMORY = 1_000_000


@dataclass(frozen=True, slots=True)
class Cell:
    """Of the table: what is shown, and what it is sorted by (empty: last)."""

    text: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that each video may have: a column, and perhaps a histogram.

    Attributes:
        name: the column's.
        read: takes it out of a record; None: the video has none.
        shown: the number in a cell.
        spread: how its distribution is drawn; None: not at all.
    """

    name: str
    read: Callable[[VideoRecord], float | None]
    shown: Callable[[float], str]
    spread: Spread | None = None


def _wpm(record: VideoRecord) -> float | None:
    rate = record.value(SpeechRate)
    return rate.speech_rate_wpm if rate else None


def _syllables(record: VideoRecord) -> float | None:
    rate = record.value(SpeechRate)
    return rate.syllables_per_minute if rate else None


def _length(record: VideoRecord) -> float | None:
    probe = record.value(Probe)
    return probe.duration_s if probe else None


def _speech(record: VideoRecord) -> float | None:
    voice = record.value(Voice)
    return voice.speech_share if voice and voice.duration_s > 0 else None


def _music(record: VideoRecord) -> float | None:
    events = record.value(Events)
    return music_share(events) if events and events.duration_s > 0 else None


def _loudness(record: VideoRecord) -> float | None:
    events = record.value(Events)
    return events.loudness.integrated_lufs if events else None


def _cuts(record: VideoRecord) -> float | None:
    shots = record.value(Shots)
    return shots.cuts_per_minute if shots else None


def _texts(record: VideoRecord) -> float | None:
    text = record.value(OnScreenText)
    return len(texts_of(text)) if text else None


def _plays(record: VideoRecord) -> float | None:
    platform = record.value(Platform)
    return platform.counts.plays if platform and platform.counts else None


_PERCENT = (0.0, 100.0)
MEASURES = (
    Measure("length", _length, clock, Spread("Length", "s")),
    Measure("speech", _speech, percent, Spread("Speech", "%", factor=100, ends=_PERCENT)),
    Measure("music", _music, percent, Spread("Music", "%", factor=100, ends=_PERCENT)),
    Measure("words/min", _wpm, "{:.0f}".format, Spread("Words/min")),
    Measure("syllables/min", _syllables, "{:.0f}".format, Spread("Syllables/min")),
    Measure("LUFS", _loudness, "{:.1f}".format, Spread("Loudness", "LUFS")),
    Measure("cuts/min", _cuts, "{:.1f}".format, Spread("Cuts/min")),
    Measure("texts", _texts, "{:.0f}".format, Spread("Texts on screen", least_step=1)),
    Measure("plays", _plays, "{:,.0f}".format),
)


class HtmlReport:
    """Gathers the parts of the page record by record; close it, or use it in a `with`.

    Args:
        creator: for the heading.
        frames_root: folder of the frames folders.
        frames_link: from the page to it, URL-quoted.
        summary: what a model says of the creator, see `facts.labelled`; None: nothing was
            asked.
        room: how large the page may become.
    """

    def __init__(
        self,
        creator: str,
        *,
        frames_root: Path,
        frames_link: str,
        summary: Mapping[str, JsonValue] | None = None,
        room: Room | None = None,
    ) -> None:
        self.creator = creator
        self.frames_root = frames_root
        self.frames_link = frames_link
        self.summary = summary or {}
        self._pictures = Pictures(link=frames_link, tiles=True, room=room)
        self._values: dict[str, list[float]] = {measure.name: [] for measure in MEASURES}
        self._videos = self._cards_length = self._cards_shown = 0
        self._results: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._kinds: set[str] = set()
        self._author: PlatformAuthor | None = None
        self._files = ExitStack()
        self._tiles, self._rows, self._cards = (self._file() for _ in range(3))

    def __enter__(self) -> HtmlReport:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def _file(self) -> IO[str]:
        return self._files.enter_context(
            tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline="\n")
        )

    def add(self, record: VideoRecord) -> None:
        """One more video."""
        self._videos += 1
        self._count(record)
        anchor = ""
        if self._cards_length < self._pictures.room.cards_bytes:
            anchor = f"v{self._videos}"
            shown = card(record, self._pictures, self.frames_root)
            self._add_card(record, shown, anchor)
        template = environment().get_template("row.html.j2")
        platform = record.value(Platform)
        row = template.render(
            anchor=anchor,
            video_id=record.source.video_id,
            caption=(platform and platform.caption) or "",
            cells=[_cell(measure, measure.read(record)) for measure in MEASURES],
            missing=sum(stage.status != "ok" for stage in record.stages.values()),
        )
        self._rows.write(f"{row}\n")

    def _add_card(self, record: VideoRecord, shown: Card, anchor: str) -> None:
        self._kinds |= shown.strip.kinds if shown.strip else set()
        templates = environment()
        links = list(_links(record, self.frames_link))
        html = templates.get_template("video.html.j2").render(
            card=shown, anchor=anchor, links=links
        )
        self._cards.write(f"{html}\n")
        self._cards_length += len(html)
        self._cards_shown += 1
        self._tiles.write(
            templates.get_template("tiles.html.j2").render(card=shown, anchor=anchor) + "\n"
        )

    def _count(self, record: VideoRecord) -> None:
        for measure in MEASURES:
            if (value := measure.read(record)) is not None:
                self._values[measure.name].append(value)
        for name, stage in record.stages.items():
            self._results[stage.status] += 1
            if stage.status != "ok":
                key = (
                    name,
                    cut(f"{stage.status}: {stage.reason or stage.message or stage.kind}", 200),
                )
                if key in self._reasons or len(self._reasons) < MOST_REASONS:
                    self._reasons[key] += 1
        platform = record.value(Platform)
        self._author = (platform and platform.author) or self._author

    def pieces(self) -> Iterator[str]:
        """The page, in pieces that make it up."""
        style, script = asset("card.css") + asset("report.css"), asset("report.js")
        template = environment().get_template("report.html.j2")
        yield from template.generate(
            creator=self.creator,
            policy=policy(style=style, script=script),
            style=style,
            script=script,
            author=self._author,
            videos=number(self._videos, "video"),
            seconds=clock(sum(self._values["length"])),
            results=self._results,
            summary=list(labelled(self.summary)),
            reasons=self._most_frequent(),
            more_reasons=max(len(self._reasons) - SHOWN_REASONS, 0),
            measures=[(measure.name, bool(self._values[measure.name])) for measure in MEASURES],
            histograms=self._histograms(),
            kinds=legend(self._kinds),
            pictures_left_out=self._pictures.left_out,
            cards_left_out=self._videos - self._cards_shown,
            frames_link=self.frames_link,
            csv_link=quote(f"{self.creator}.csv", safe=""),
            json_link=quote(f"{self.creator}.json", safe=""),
            tiles=_read_back(self._tiles),
            rows=_read_back(self._rows),
            cards=_read_back(self._cards),
            many=self._cards_shown > MANY_CARDS,
        )  # fmt: skip
        yield "\n"

    def _most_frequent(self) -> list[tuple[str, str, int]]:
        """(stage, why, in how many videos) of what is missing."""
        ranked = sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))
        return [(stage, why, count) for (stage, why), count in ranked[:SHOWN_REASONS]]

    def _histograms(self) -> list[Histogram]:
        drawn = (
            histogram(self._values[measure.name], measure.spread)
            for measure in MEASURES
            if measure.spread
        )
        return [one for one in drawn if one]


def _cell(measure: Measure, value: float | None) -> Cell:
    return Cell("") if value is None else Cell(measure.shown(value), repr(round(value, 6)))


def _links(record: VideoRecord, frames_link: str) -> Iterator[tuple[str, str]]:
    """(what it is, address) of what stands about a video on disk; by its record."""
    folder = quote(record.source.video_id, safe="")
    yield "record.json", f"{folder}/record.json"
    for name, text in text_files(record).items():
        if text is not None:
            yield name, f"{folder}/{name}"
    values = {kind.stage for kind in (Voice, Events) if record.value(kind)}
    audio, rate, _ = VIDEO_FILES
    if values:
        yield audio, f"{folder}/{audio}"
    if record.value(SpeechRate):
        yield rate, f"{folder}/{rate}"
    yield "frames", f"{frames_link}/{quote(record.source.frames_id, safe='')}/"


def _read_back(file: IO[str]) -> Iterator[Markup]:
    """What was rendered, line by line."""
    file.seek(0)
    return map(Markup, file)
