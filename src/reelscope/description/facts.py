"""What is known of a video, as it stands in the prompt: short entries, cut to a length.

A part of the facts is named by the source that evidence names (`speech`, `caption`, ...). A
stage that did not run gives no part; one that ran and found nothing says so. All texts come
from outside: what cannot be seen of them is left out (`visible`).

Where all of it is too long, the parts get their shares by weight, as max-min fairness does
(Bertsekas and Gallager, Data Networks, 1992, section 6.5.2): what a short part does not need
goes to the long ones. A part is cut between two entries and says how many were given. Of
speech the beginning and the end are given, because hook and call to action stand there; of
all else the beginning. Segments of speech that may be hallucinated are given and marked
`doubtful`: leaving them out would hide what was really said over loud music.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TypeAlias

from pydantic import JsonValue

from reelscope.description.visible import visible
from reelscope.records import (
    Captions,
    Detections,
    Embedding,
    Events,
    EvidenceSource,
    Music,
    OnScreenText,
    Platform,
    Probe,
    Shots,
    Sounds,
    SpeechRate,
    Transcript,
    TranscriptSegment,
    VideoRecord,
    Voice,
)

Words: TypeAlias = tuple[tuple[float | None, str], ...]
Head: TypeAlias = dict[str, JsonValue]

STAGES = tuple(
    kind.stage
    for kind in (
        Platform, Probe, Voice, Events, Sounds, Transcript, SpeechRate, Music, Shots, OnScreenText,
        Detections, Embedding, Captions,
    )
)  # fmt: skip
"""Whose values are read here."""
MOST_NAME_CHARS = 200
"""Of a text that names something (a song, a region); longer ones are cut."""
LEAST_ENTRY_CHARS = 40
"""A text that does not fit is cut to the room there is, unless that is less than this."""
_PAIR = len(", ")
_LONGEST_ESCAPE = len("\\u003c")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said to a model of a video, besides its pictures.

    Attributes:
        text: one JSON object, a key per part.
        words: source of evidence -> (seconds or None, text) of all that stands in it.
    """

    text: str
    words: Mapping[EvidenceSource, Words]


def facts_of(record: VideoRecord, max_chars: int) -> Facts:
    """The facts of a video whose stages have run.

    Args:
        record: what is known of it.
        max_chars: of the JSON text, at least 2. Where it is not enough for every part, those
            that matter least are named under `left_out`; too short for that, nothing is said.
    """
    parts = [part for part in _parts(record) if part is not None]
    kept, left_out = _that_fit(parts, max_chars)
    if left_out and not kept:
        return Facts(text="{}", words={})
    given = _cut(kept, max_chars - len(_frame(kept, left_out)))
    shown: Head = {part.name: part.shown(at) for part, at in zip(kept, given, strict=True)}
    words: dict[EvidenceSource, Words] = {}
    for part, entries in zip(kept, given, strict=True):
        if part.source and (said := part.head_words + tuple(e.word for e in entries if e.word[1])):
            words[part.source] = words.get(part.source, ()) + said
    return Facts(text=to_json(shown | _naming(left_out)), words=words)


def to_json(value: JsonValue) -> str:
    """As JSON on one line, in which the marks of a fence (`<<<`) cannot stand."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("<<<", "\\u003c\\u003c\\u003c")


# ---------------------------------------------------------------------------- cutting


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item of a part; `word` is what of it can be evidence, with its time."""

    shown: str | Head
    word: tuple[float | None, str] = (None, "")


@dataclass(frozen=True, slots=True)
class _Part:
    """A key of the facts: a few fixed values, and entries of which some may be left out."""

    name: str
    head: Head = field(default_factory=dict)
    head_words: Words = ()
    what: str = "entries"
    entries: tuple[_Entry, ...] = ()
    source: EvidenceSource | None = None
    weight: float = 1.0
    both_ends: bool = False

    def shown(self, given: Sequence[_Entry]) -> Head:
        """With these of its entries, and how many they are if not all."""
        cut = f"{len(given)} of {len(self.entries)} {self.what} given"
        if given and given[0] is not self.entries[0]:
            cut += ", shortened"
        shown: Head = dict(self.head)
        if list(given) != list(self.entries):
            shown["cut"] = cut
        if self.entries:
            shown[self.what] = [entry.shown for entry in given]
        return shown

    @property
    def least_chars(self) -> int:
        """Of the part with all its entries cut away, its key and a comma."""
        shown: Head = dict(self.head)
        if number := len(self.entries):
            shown |= {"cut": f"{number} of {number} {self.what} given, shortened", self.what: []}
        return len(to_json({self.name: shown}))

    @property
    def most_chars(self) -> int:
        """What all entries take on top of that."""
        return sum(map(_chars, self.entries))


def _chars(entry: _Entry) -> int:
    return len(to_json(entry.shown)) + _PAIR


def _naming(left_out: Sequence[_Part]) -> Head:
    return {"left_out": [part.name for part in left_out]} if left_out else {}


def _frame(kept: Sequence[_Part], left_out: Sequence[_Part]) -> str:
    """As long as the facts are before any entry is given, or a little longer."""
    return "".join(" " * part.least_chars for part in kept) + to_json(_naming(left_out))


def _that_fit(parts: Sequence[_Part], max_chars: int) -> tuple[Sequence[_Part], Sequence[_Part]]:
    """(the first parts, which leave a third of the room to their entries; the others)."""
    for number in range(len(parts), 0, -1):
        kept, left_out = parts[:number], parts[number:]
        entries = min(sum(part.most_chars for part in kept), max_chars // 3)
        if len(_frame(kept, left_out)) + entries <= max_chars:
            return kept, left_out
    return [], parts


def _cut(parts: Sequence[_Part], room: int) -> list[Sequence[_Entry]]:
    """The entries of each part that fit into the room together."""
    given: dict[int, Sequence[_Entry]] = {}
    wanting = sorted(range(len(parts)), key=lambda i: parts[i].most_chars / parts[i].weight)
    weight = sum(part.weight for part in parts)
    for at in wanting:
        part = parts[at]
        given[at] = _first(part, int(room * part.weight / weight))
        room -= sum(map(_chars, given[at]))
        weight -= part.weight
    return [given[at] for at in range(len(parts))]


def _first(part: _Part, room: int) -> Sequence[_Entry]:
    """The entries that fit, from the beginning or from both ends by turns."""
    taken: set[int] = set()
    for at in _turns(len(part.entries), both_ends=part.both_ends):
        size = _chars(part.entries[at])
        if size > room:
            break
        room -= size
        taken.add(at)
    if not taken and part.entries and (short := _shortened(part.entries[0], room)):
        return [short]
    return [entry for at, entry in enumerate(part.entries) if at in taken]


def _turns(number: int, *, both_ends: bool) -> Iterator[int]:
    for turn in range(number):
        yield number - 1 - turn // 2 if both_ends and turn % 2 else turn // 2 if both_ends else turn


def _shortened(entry: _Entry, room: int) -> _Entry | None:
    """The entry with as much of its text as fits; None: that is next to nothing."""
    time_s, text = entry.word
    if not isinstance(entry.shown, str) and "text" not in entry.shown:
        return None
    text = text[: max(room, 0)]
    while room >= LEAST_ENTRY_CHARS and text:
        shown = text if isinstance(entry.shown, str) else {**entry.shown, "text": text}
        too_much = _chars(_Entry(shown)) - room
        if too_much <= 0:
            return _Entry(shown, (time_s, text))
        text = text[: -ceil(too_much / _LONGEST_ESCAPE)].rstrip()
    return None


# ------------------------------------------------------------------------------ parts


def _parts(record: VideoRecord) -> Iterator[_Part | None]:
    """All parts in the order in which they matter."""
    platform = record.value(Platform)
    yield _caption(platform)
    yield _speech(record, platform)
    yield _screen_text(record.value(OnScreenText), platform)
    yield _video(record.value(Probe))
    yield _post(platform)
    yield _objects(record.value(Detections))
    yield _frame_captions(record.value(Captions))
    yield _sound(record.value(Sounds), record.value(Events))
    yield _music(platform, record.value(Music))
    yield _editing(record.value(Shots))
    yield _speech_rate(record.value(SpeechRate))
    yield _guesses(record.value(Embedding))


def _s(seconds: float) -> float:
    return round(seconds, 2) + 0.0


def _name(text: str | None) -> str | None:
    """A text that names something; None: there is none, or nothing of it can be seen."""
    return visible(text[: 4 * MOST_NAME_CHARS])[:MOST_NAME_CHARS].rstrip() or None if text else None


def _known(**values: JsonValue) -> Head:
    return {key: value for key, value in values.items() if value is not None}


def _entries(texts: Iterable[str]) -> tuple[_Entry, ...]:
    return tuple(_Entry(seen, (None, seen)) for text in texts if (seen := visible(text)))


def _caption(platform: Platform | None) -> _Part | None:
    """The caption, then each hashtag."""
    if platform is None or (platform.caption is None and not platform.hashtags):
        return None
    texts = [platform.caption or "", *(f"#{tag}" for tag in platform.hashtags if visible(tag))]
    entries = _entries(texts)
    head: Head = {} if entries else {"note": "nothing is written under the video"}
    return _Part("caption", head, what="texts", entries=entries, source="caption", weight=4.0)


def _speech(record: VideoRecord, platform: Platform | None) -> _Part | None:
    """The transcript; without one the platform's subtitles; else whether somebody speaks."""
    transcript, voice = record.value(Transcript), record.value(Voice)
    entries = tuple(_segments(transcript.segments)) if transcript else ()
    head: Head = _known(language=_name(transcript.language)) if transcript else {}
    if entries and transcript and transcript.accuracy == "low":
        head["note"] = "low accuracy: many words are wrong"
    if not entries and platform and (entries := _entries(platform.subtitles)):
        head = {"note": "subtitles of the platform"}
    if not entries:
        if transcript is None and voice is None:
            return None
        head = _silence(transcript, voice)
    return _Part(
        "speech", head, what="segments", entries=entries, source="speech", weight=6.0,
        both_ends=True,
    )  # fmt: skip


def _segments(segments: Iterable[TranscriptSegment]) -> Iterator[_Entry]:
    for segment in segments:
        if text := visible(segment.text):
            shown: Head = {"start_s": _s(segment.start_s), "text": text}
            yield _Entry(
                {**shown, "doubtful": True} if segment.flags else shown,
                (_s(segment.start_s), text),
            )


def _silence(transcript: Transcript | None, voice: Voice | None) -> Head:
    if voice is None or voice.segments:
        spoken = _known(speech_seconds=_s(voice.speech_s)) if voice else {}
        unknown = "no words were understood" if transcript else "nobody wrote down what is said"
        return {**spoken, "note": unknown}
    return {"note": "nobody speaks"}


def _screen_text(found: OnScreenText | None, platform: Platform | None) -> _Part | None:
    """What was read on the screen; if nobody read it, the stickers that the platform names."""
    if found is None:
        stickers = _entries(platform.stickers) if platform else ()
        head: Head = {"note": "stickers that the platform names; nobody read the screen"}
        return _Part(
            "screen_text", head, what="texts", entries=stickers, source="screen_text", weight=3.0
        ) if stickers else None  # fmt: skip
    entries = tuple(
        _Entry(
            {"start_s": _s(a.start_s), "end_s": _s(a.end_s), "text": text}, (_s(a.start_s), text)
        )
        for a in found.appearances
        if (text := visible(a.text))
    )
    head = {} if entries else {"note": "no writing was found on the screen"}
    return _Part(
        "screen_text", head, what="appearances", entries=entries, source="screen_text", weight=3.0
    )


def _video(probe: Probe | None) -> _Part | None:
    """How long, which shape, with sound or without."""
    if probe is None:
        return None
    seconds = None if probe.duration_s is None else _s(probe.duration_s)
    fps = None if probe.fps is None else _s(probe.fps)
    return _Part(
        "video",
        _known(
            seconds=seconds, width=probe.width, height=probe.height, fps=fps, sound=probe.has_audio
        ),
    )


def _post(platform: Platform | None) -> _Part | None:
    if platform is None:
        return None
    posted = platform.posted_at.isoformat(timespec="seconds") if platform.posted_at else None
    head = _known(
        platform=_name(platform.name),
        posted_at=posted,
        region=_name(platform.region),
        labelled_as_ad=platform.is_ad,
        labelled_as_paid_partnership=platform.is_paid_partnership,
        labelled_as_ai_generated=platform.is_ai_generated,
    )
    return _Part("post", head) if head else None


def _objects(found: Detections | None) -> _Part | None:
    if found is None:
        return None
    entries = tuple(
        _Entry(
            {"label": label, "first_s": _s(o.first_s), "seconds": _s(o.seconds),
             **({"product": True} if o.product else {})},
            (_s(o.first_s), label),
        )
        for o in found.objects
        if (label := _name(o.label))
    )  # fmt: skip
    head: Head = {} if entries else {"note": "none of the known things was found"}
    return _Part("object", head, what="objects", entries=entries, source="object")


def _frame_captions(found: Captions | None) -> _Part | None:
    """Sentences that another model made of frames: no evidence."""
    if found is None or not found.frames:
        return None
    return _Part(
        "frame_captions",
        {"note": "by a small model, often wrong in detail"},
        what="frames",
        entries=tuple(
            _Entry({"time_s": _s(frame.time_s), "text": text}, (_s(frame.time_s), text))
            for frame in found.frames
            if (text := visible(frame.text))
        ),
    )


def _sound(sounds: Sounds | None, events: Events | None) -> _Part | None:
    """Seconds of speech, music and silence, and what is heard by name."""
    if sounds is None and events is None:
        return None
    seconds: Head = {kind: _s(s) for kind, s in events.seconds.items() if s} if events else {}
    entries = tuple(
        _Entry(
            {"label": label, "start_s": _s(tag.start_s), "end_s": _s(tag.end_s)},
            (_s(tag.start_s), label),
        )
        for tag in (sounds.tags if sounds else ())
        if (label := _name(tag.label))
    )
    heard: Head = {"seconds": seconds} if seconds else {}
    return _Part(
        "sound",
        heard if entries or sounds is None else {**heard, "note": "no sound was named"},
        head_words=tuple((None, kind) for kind in seconds),
        what="sounds",
        entries=entries,
        source="sound",
    )


def _music(platform: Platform | None, heard: Music | None) -> _Part | None:
    """The sound as the platform names it, and the track that was recognised if it is another."""
    music = platform.music if platform else None
    title, author = (_name(music.title), _name(music.author)) if music else (None, None)
    head = _known(title=title, author=author, original_sound=music.original) if music else {}
    track = next((t for t in heard.recognised if t.source != "platform"), None) if heard else None
    recognised = _known(title=_name(track.title), artist=_name(track.artist)) if track else {}
    if recognised:
        head["recognised"] = recognised
    names = (title, author, *recognised.values())
    words = tuple((None, text) for text in dict.fromkeys(names) if isinstance(text, str))
    return _Part("music", head, words, source="music") if head else None


def _editing(shots: Shots | None) -> _Part | None:
    """Cuts, and the hook in numbers."""
    if shots is None:
        return None
    hook = shots.hook
    return _Part(
        "editing",
        _known(
            cuts=len(shots.cuts),
            cuts_per_minute=_s(shots.cuts_per_minute),
            hook=_known(
                end_s=_s(hook.end_s),
                cuts=hook.cuts,
                motion=None if hook.motion is None else _s(hook.motion),
                speech_share=None if hook.speech_share is None else _s(hook.speech_share),
                music_share=None if hook.music_share is None else _s(hook.music_share),
            ),
        ),
    )


def _speech_rate(rate: SpeechRate | None) -> _Part | None:
    if rate is None or rate.rate_category is None:
        return None
    return _Part("speech_rate", {"category": rate.rate_category})


def _guesses(found: Embedding | None) -> _Part | None:
    """What CLIP takes the pictures for: no evidence."""
    if found is None or not (found.categories or found.products):
        return None
    note = "by a small model that compares pictures with words; often wrong"
    return _Part(
        "guesses",
        {"note": note},
        what="names",
        entries=tuple(
            _Entry({kind: name, "probability": _s(share)})
            for kind, label, share in (
                *(("category", c.name, c.confidence) for c in found.categories),
                *(("product", p.label, p.probability) for p in found.products),
            )
            if (name := _name(label))
        ),
    )
