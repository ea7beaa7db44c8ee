"""A video's timeline as places on a strip: what is heard, shots, texts, chosen frames.

Places are percentages of the strip's width, as text with two decimals, so that the strip
fits any width while its letters keep their size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from reelscope.export.colours import KIND_COLOURS
from reelscope.export.facts import clock, number
from reelscope.records import (
    Choice,
    Event,
    Events,
    OnScreenText,
    Probe,
    Shots,
    TextAppearance,
    VideoRecord,
)

MOST_EVENTS = 300
"""Stretches of sound on a strip; of more, the kind in the middle of each 300th is drawn."""
MOST_CUTS = 300
MOST_TEXTS = 120
TEXT_ROWS = 4
MOST_TICKS = 6
_STEPS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something on the strip.

    Attributes:
        x: where it begins, percent.
        width: percent; "0.00" for a moment.
        kind: what it is, for its colour.
        title: what it says when it is pointed at.
        text: what is written on it.
    """

    x: str
    width: str
    kind: str
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """What is drawn.

    Attributes:
        title: all of it in a sentence.
        sound: stretches of sound by kind.
        silence: why there are none.
        shots: every second one, as a background.
        cuts: moments.
        frames: the chosen ones, moments.
        texts: in rows, so that none overlaps another.
        ticks: of the time axis.
    """

    title: str
    sound: tuple[Mark, ...]
    silence: str
    shots: tuple[Mark, ...]
    cuts: tuple[Mark, ...]
    frames: tuple[Mark, ...]
    texts: tuple[tuple[Mark, ...], ...]
    ticks: tuple[Mark, ...]

    @property
    def kinds(self) -> set[str]:
        """Kinds of marks that there are, for the legend."""
        marks = (*self.sound, *self.cuts, *self.frames, *(m for row in self.texts for m in row))
        return {mark.kind for mark in marks}


def strip(record: VideoRecord) -> Strip | None:
    """The strip of a video; None: its length is not known."""
    probe, events = record.value(Probe), record.value(Events)
    length_s = (probe and probe.duration_s) or (events and events.duration_s) or 0.0
    if length_s <= 0:
        return None
    line = _Line(length_s)
    shots, choice = record.value(Shots), record.value(Choice)
    frames = sorted(choice.frames if choice else (), key=lambda frame: frame.time_s)
    return Strip(
        title=_title(record, length_s),
        sound=tuple(_sound(line, events)),
        silence="no sound" if probe and not probe.has_audio else "not known",
        shots=tuple(
            line.mark(shot.start_s, shot.end_s, "shot")
            for shot in (shots.shots if shots else ())[1:MOST_CUTS:2]
        ),
        cuts=tuple(
            line.mark(cut.time_s, cut.time_s, cut.kind, f"{cut.kind} at {cut.time_s:.2f} s")
            for cut in (shots.cuts if shots else ())[:MOST_CUTS]
        ),
        frames=tuple(
            line.mark(f.time_s, f.time_s, "chosen", f"{f.time_s:.2f} s: {f.reason}") for f in frames
        ),
        texts=tuple(_texts(line, record)),
        ticks=tuple(_ticks(line)),
    )


def legend(kinds: Collection[str]) -> list[str]:
    """These kinds of marks in the order in which a legend has them."""
    known = (*KIND_COLOURS, "cut", "fade", "dissolve", "text", "chosen")
    return [kind for kind in known if kind in kinds]


def text_rows(record: VideoRecord) -> list[list[TextAppearance]]:
    """The on-screen texts in as few rows as none overlaps another."""
    text = record.value(OnScreenText)
    rows: list[list[TextAppearance]] = []
    for seen in sorted(text.appearances if text else (), key=lambda a: (a.start_s, a.box[0][1])):
        row = next((row for row in rows if row[-1].end_s <= seen.start_s), None)
        if row is None:
            rows.append(row := [])
        row.append(seen)
    return rows


@dataclass(frozen=True, slots=True)
class _Line:
    length_s: float

    def mark(
        self, start_s: float, end_s: float, kind: str, title: str = "", text: str = ""
    ) -> Mark:
        start, end = self._place(start_s), self._place(end_s)
        return Mark(f"{start:.2f}", f"{max(end - start, 0.0):.2f}", kind, title, text)

    def _place(self, time_s: float) -> float:
        return 100 * min(max(time_s / self.length_s, 0.0), 1.0)


def _sound(line: _Line, events: Events | None) -> Iterator[Mark]:
    for event in _coarse(events.timeline) if events else ():
        name = event.kind.replace("_", " ")
        title = f"{name}, {event.start_s:.1f} to {event.end_s:.1f} s"
        yield line.mark(event.start_s, event.end_s, event.kind, title)


def _coarse(timeline: Sequence[Event]) -> Sequence[Event]:
    """A timeline of at most MOST_EVENTS stretches: a long one is looked at in so many places."""
    if len(timeline) <= MOST_EVENTS:
        return timeline
    start_s, end_s = timeline[0].start_s, timeline[-1].end_s
    step_s = (end_s - start_s) / MOST_EVENTS
    places = (start_s + (k + 0.5) * step_s for k in range(MOST_EVENTS))
    seen = [timeline[bisect_right(timeline, t, key=lambda e: e.start_s) - 1] for t in places]
    stretches, at_s = [], start_s
    for kind, group in groupby(seen, key=lambda event: event.kind):
        until_s = at_s + step_s * len(list(group))
        stretches.append(Event(start_s=at_s, end_s=until_s, kind=kind, confidence=0.0))
        at_s = until_s
    return stretches


def _texts(line: _Line, record: VideoRecord) -> Iterator[tuple[Mark, ...]]:
    """The first rows; with very many texts only those on screen longest."""
    for row in text_rows(record)[:TEXT_ROWS]:
        longest = sorted(row, key=lambda seen: seen.start_s - seen.end_s)[: MOST_TEXTS // TEXT_ROWS]
        yield tuple(
            line.mark(
                seen.start_s, seen.end_s, "text",
                f"{seen.start_s:.1f} to {seen.end_s:.1f} s: {seen.text[:200]}", seen.text[:80],
            )
            for seen in sorted(longest, key=lambda seen: seen.start_s)
        )  # fmt: skip


def _ticks(line: _Line) -> Iterator[Mark]:
    """At most MOST_TICKS + 1 round times, from 0 on."""
    most_s = line.length_s / MOST_TICKS
    step_s = next((step_s for step_s in _STEPS_S if step_s >= most_s), most_s)
    for k in range(int(line.length_s / step_s) + 1):
        time_s = k * step_s
        label = f"{time_s:g} s" if line.length_s < 60 else clock(time_s) if time_s else "0"
        yield line.mark(time_s, time_s, "tick", text=label)


def _title(record: VideoRecord, length_s: float) -> str:
    """The strip in a sentence, for who cannot see it."""
    parts = []
    if events := record.value(Events):
        longest = sorted(events.seconds.items(), key=lambda item: (-item[1], item[0]))
        parts += [f"{kind.replace('_', ' ')} {clock(s)}" for kind, s in longest if s > 0]
    if shots := record.value(Shots):
        parts.append(number(len(shots.cuts), "cut"))
    if text := record.value(OnScreenText):
        parts.append(f"{number(len(text.appearances), 'text')} on screen")
    if choice := record.value(Choice):
        parts.append(number(len(choice.frames), "chosen frame"))
    return f"Timeline of {clock(length_s)}: {', '.join(parts) or 'nothing known'}"
