"""A video as a card: its frames, its timeline, what was found; of report.html and of notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reelscope.export.columns import stages_in_order, texts_of
from reelscope.export.facts import Fact, clock, facts, percent, rate_in_words, troubles
from reelscope.export.strip import Strip, strip
from reelscope.export.thumbnails import Picture, Pictures
from reelscope.export.video import why_missing
from reelscope.records import (
    Choice,
    Description,
    Events,
    OnScreenText,
    Platform,
    Probe,
    Shots,
    SpeechRate,
    VideoRecord,
    Voice,
)

SHOWN_ANSWERS = 6
"""Answers of a language model that stand open; the others are folded."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a video; texts are as they came.

    Attributes:
        video_id: which video.
        creator: whose.
        posted: day, or empty.
        url: where it stands on the web, or empty.
        lead: what a model says of it in a sentence, or empty.
        caption: what the creator wrote under it, or empty.
        figures: (number, what it counts).
        pictures: chosen frames.
        more: chosen frames that are not shown.
        strip: its timeline; None: its length is not known.
        answers: of a language model.
        noticed: said, seen, heard.
        measured: the rest.
        troubles: (stage, why) of what failed or was skipped.
        stages: (stage, status, engine, seconds, why) of all stages.
    """

    video_id: str
    creator: str
    posted: str
    url: str
    lead: str
    caption: str
    figures: tuple[tuple[str, str], ...]
    pictures: Sequence[Picture]
    more: int
    strip: Strip | None
    answers: tuple[Fact, ...]
    noticed: tuple[Fact, ...]
    measured: tuple[Fact, ...]
    troubles: tuple[tuple[str, str], ...]
    stages: tuple[tuple[str, str, str, str, str], ...]


def card(record: VideoRecord, pictures: Pictures, root: Path | None) -> Card:
    """The card of a video.

    Args:
        record: of the video.
        pictures: of the page that the card is for.
        root: folder of the frames folders; None: nobody knows where it is.
    """
    found = list(facts(record))
    platform, choice = record.value(Platform), record.value(Choice)
    lead = _lead(record.value(Description))
    shown = pictures.of(record, root)
    return Card(
        video_id=record.source.video_id,
        creator=record.source.creator,
        posted=f"{platform.posted_at:%Y-%m-%d}" if platform and platform.posted_at else "",
        url=record.source.url or "",
        lead=lead,
        caption=(platform and platform.caption) or "",
        figures=tuple(_figures(record)),
        pictures=shown,
        more=len(choice.frames) - len(shown) if choice else 0,
        strip=strip(record),
        answers=tuple(
            fact
            for fact in found
            if fact.kind == "answered" and not (lead and fact.label == "Description")
        ),
        noticed=tuple(f for f in found if f.kind == "noticed" and f.label != "Caption"),
        measured=tuple(fact for fact in found if fact.kind == "measured"),
        troubles=tuple(troubles(record)),
        stages=tuple(
            (
                name,
                stage.status,
                stage.engine,
                f"{stage.seconds:.2f}",
                why_missing(record, name) or "",
            )
            for name, stage in stages_in_order(record)
        ),
    )


def _lead(description: Description | None) -> str:
    answer = description.dimensions.get("description") if description else None
    return answer.value if answer and isinstance(answer.value, str) else ""


def _figures(record: VideoRecord) -> list[tuple[str, str]]:
    """The numbers that say most of a video, where there are any."""
    probe, voice, rate = record.value(Probe), record.value(Voice), record.value(SpeechRate)
    events, shots, text = record.value(Events), record.value(Shots), record.value(OnScreenText)
    platform = record.value(Platform)
    plays = platform.counts.plays if platform and platform.counts else None
    pace = rate_in_words(rate).partition(" ") if rate else ("", "", "")
    loudness = events.loudness.integrated_lufs if events else None
    named = [
        (clock(probe.duration_s) if probe and probe.duration_s is not None else "", "long"),
        (percent(voice.speech_share) if voice else "", "speech"),
        (pace[0], pace[2].partition(" ")[0]),
        (percent(music_share(events)) if events and events.duration_s > 0 else "", "music"),
        (f"{loudness:.1f}" if loudness is not None else "", "LUFS"),
        (f"{shots.cuts_per_minute:.1f}" if shots else "", "cuts/min"),
        (str(len(texts_of(text))) if text else "", "texts on screen"),
        (f"{plays:,}" if plays is not None else "", "plays"),
    ]
    return [(value, name) for value, name in named if value]


def music_share(events: Events) -> float:
    """Sound with music as a share of all, 0-1, with or without speech over it.

    Raises:
        ZeroDivisionError: there is no sound.
    """
    heard_s = events.seconds.get("music", 0.0) + events.seconds.get("speech_over_music", 0.0)
    return heard_s / events.duration_s
