"""report.md: a creator's videos for reading.

Everything that comes from outside (captions, texts on screen, messages) is escaped, so
that it shows as it was written and can neither format the page nor link out of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from pydantic import JsonValue

from reelscope.export.columns import stages_in_order, texts_of
from reelscope.export.description import as_evidence, evidence_of, title
from reelscope.export.video import why_missing
from reelscope.records import (
    Captions,
    Choice,
    Description,
    Detections,
    Events,
    Evidence,
    Music,
    OnScreenText,
    Platform,
    Probe,
    RecognisedMusic,
    Shots,
    SoundGroup,
    Sounds,
    SpeechRate,
    Transcript,
    VideoRecord,
    VideoSource,
    Voice,
)

MAX_TEXT = 300
"""Characters of a caption or of the texts on screen; the whole stands in the other files."""

MAX_ANSWER = 1000
"""Characters of an answer to one dimension."""
MOST_EVIDENCE = 3
"""Of an answer."""

# What formats or links in the middle of a line (CommonMark 0.31 section 6, GFM autolinks).
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~!&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_HIDDEN = {"Cc", "Cf", "Cs"}  # among them the marks that turn the direction of a line
_JOINERS = "\u200c\u200d"  # Persian words and joined emoji need them
_FIRST = (
    "description", "target_demographics", "category", "call_to_action", "tone", "brand_safety",
    "sponsorship", "selling_points",
)  # fmt: skip
_LABELS = {"target_demographics": "For"}
_LEVELS = ("level_1", "level_2", "level_3")
_SUMMARY = (
    "overview", "audience", "recurring_themes", "recurring_formats", "products_and_brands", "tone",
)  # fmt: skip
_HEADS = ("video", "length", "speech", "rate", "loudness", "cuts/min", "texts", "not done")


def escape(text: str, *, longest: int = MAX_TEXT) -> str:
    """Text from outside as one line of Markdown that shows just this text."""
    text = " ".join(text.split())
    shown = "".join(c for c in text if c in _JOINERS or unicodedata.category(c) not in _HIDDEN)
    if len(shown) > longest:
        shown = shown[: longest - 1].rstrip() + "…"
    return _MARKUP.sub(r"\\\1", shown)


class Report:
    """Gathers the lines of the page record by record.

    Args:
        creator: for the heading.
        frames_link: from the page to the folder of the frames folders, URL-quoted.
        summary: what a model says of the creator, by the keys of `_SUMMARY`; None: nothing
            was asked. Other keys are not shown.
    """

    def __init__(
        self,
        creator: str,
        *,
        frames_link: str,
        summary: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self.creator = creator
        self.frames_link = frames_link
        self.summary = summary or {}
        self._rows: list[str] = []
        self._sections: list[str] = []
        self._seconds = 0.0

    def add(self, record: VideoRecord) -> None:
        """One more video."""
        probe = record.value(Probe)
        self._seconds += (probe and probe.duration_s) or 0.0
        self._rows.append(f"| {' | '.join(_cells(record))} |")
        lines = "\n".join(self._lines(record))
        self._sections.append(f"## {escape(record.source.video_id)}\n\n{lines}\n")

    def render(self) -> str:
        """The page."""
        count = f"{len(self._rows)} video{'' if len(self._rows) == 1 else 's'}"
        table = "\n".join([f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|", *self._rows])
        head = f"# {escape(self.creator)}\n\n{count}, {_clock(self._seconds)} in all.\n"
        said = "".join(f"- {line}\n" for line in _labelled(self.summary, _SUMMARY))
        parts = [head, said, f"{table}\n", *self._sections]
        return "\n".join(part for part in parts if part)

    def _lines(self, record: VideoRecord) -> Iterator[str]:
        for line in (*_facts(record), *_troubles(record)):
            yield f"- {line}"
        if (choice := record.value(Choice)) and choice.frames:
            yield ""
            for frame in sorted(choice.frames, key=lambda f: f.time_s):
                link = f"{self.frames_link}/{quote(record.source.frames_id)}/{quote(frame.file)}"
                yield f"![{frame.time_s:.2f} s]({link})"


def _cells(record: VideoRecord) -> list[str]:
    """The row of the table at the top."""
    probe, voice = record.value(Probe), record.value(Voice)
    rate, events = record.value(SpeechRate), record.value(Events)
    shots, text = record.value(Shots), record.value(OnScreenText)
    loudness = events.loudness.integrated_lufs if events else None
    return [
        escape(record.source.video_id, longest=60),
        _clock(probe.duration_s) if probe and probe.duration_s is not None else "",
        _percent(voice.speech_share) if voice else "",
        _rate(rate) if rate else "",
        f"{loudness:.1f} LUFS" if loudness is not None else "",
        f"{shots.cuts_per_minute:.1f}" if shots else "",
        str(len(texts_of(text))) if text else "",
        " ".join(name for name, stage in stages_in_order(record) if stage.status != "ok"),
    ]


def _facts(record: VideoRecord) -> Iterator[str]:
    """What was found, a line each."""
    if description := record.value(Description):
        yield from _description_lines(description)
    if (platform := record.value(Platform)) and platform.caption:
        yield f"Caption: {escape(platform.caption)}"
    if probe := record.value(Probe):
        yield _file_line(probe)
    if voice := record.value(Voice):
        yield f"Speech: {_percent(voice.speech_share)} of the sound, {voice.speech_s:.1f} s"
    if (rate := record.value(SpeechRate)) and _rate(rate):
        yield f"Speech rate: {_rate(rate)}" + _score(rate)
    yield from _heard(record)
    if (said := record.value(Transcript)) and said.text:
        doubt = " (low accuracy)" if said.accuracy == "low" else ""
        yield f"Said{doubt}: {escape(said.text)}"
    if (captions := record.value(Captions)) and captions.frames:
        yield f"Shown: {escape('; '.join(frame.text for frame in captions.frames))}"
    if shots := record.value(Shots):
        yield (
            f"Pictures: {_number(len(shots.shots), 'shot')}, {shots.cuts_per_minute:.1f} cuts "
            f"per minute, {shots.hook.cuts} in the first {shots.hook.end_s:.1f} s"
        )
    if (text := record.value(OnScreenText)) and (texts := texts_of(text)):
        yield f"On screen: {escape(' / '.join(texts))}"
    if (seen := record.value(Detections)) and seen.objects:
        names = ", ".join(f"{thing.label} {thing.seconds:.1f} s" for thing in seen.objects)
        yield f"Seen: {escape(names)}"


def _heard(record: VideoRecord) -> Iterator[str]:
    """What there is to hear besides words."""
    if events := record.value(Events):
        yield _sound_line(events)
    if (sounds := record.value(Sounds)) and sounds.tags:
        yield f"Heard: {escape(', '.join(dict.fromkeys(tag.label for tag in sounds.tags)))}"
    if music := record.value(Music):
        yield from map(_track_line, _tracks(music))
    if (same := record.value(SoundGroup)) and same.videos > 1:
        yield _same_sound(same, record.source)


def _description_lines(description: Description) -> Iterator[str]:
    """What a model says of the video, with what that rests on."""
    if description.refusal is not None:
        why = description.refusal.reason or description.refusal.kind
        yield f"Description refused: {escape(why)}"
    names = [name for name in _FIRST if name in description.dimensions]
    for name in dict.fromkeys([*names, *description.dimensions]):
        if text := _in_words(_main(name, description.dimensions[name].value)):
            label = escape(_LABELS.get(name, title(name)))
            named = _evidence(evidence_of(description, name))
            yield f"{label}: {escape(text, longest=MAX_ANSWER)}{named}"
    if description.missing:
        why = " (the answer ended too early)" if description.truncated else ""
        yield f"Not answered{why}: {escape(', '.join(map(title, description.missing)))}"


def _main(name: str, value: JsonValue) -> JsonValue:
    """Of the dimensions that are known here, what a reader wants of them first."""
    if not isinstance(value, dict):
        return value
    if levels := [value[key] for key in _LEVELS if isinstance(value.get(key), str)]:
        return " > ".join(map(str, levels))
    if name == "target_demographics" and isinstance(value.get("summary"), str):
        return value["summary"]
    if name == "sponsorship" and isinstance(value.get("verdict"), str):
        signs = _in_words(value.get("indicators"), inside=True)
        return f"{value['verdict']}, {signs}" if signs else value["verdict"]
    return value


def _in_words(value: JsonValue, *, inside: bool = False) -> str:
    """Any answer as a text, without nulls and evidence."""
    if value is None or as_evidence(value) is not None:
        return ""
    if isinstance(value, dict):
        texts = ((key, _in_words(item, inside=True)) for key, item in value.items())
        joined = "; ".join(f"{key.replace('_', ' ')}: {text}" for key, text in texts if text)
        return f"({joined})" if inside and joined else joined
    if isinstance(value, list):
        whole = any(isinstance(item, dict) for item in value) and not inside
        texts_of_it = (_in_words(item, inside=inside) for item in value)
        return (" / " if whole else ", ").join(text for text in texts_of_it if text)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _evidence(named: list[Evidence]) -> str:
    """What an answer rests on, at most MOST_EVIDENCE; what the video does not have first."""
    told = [evidence for evidence in named if evidence.quote or not evidence.found]
    texts = []
    for evidence in sorted(told, key=lambda e: e.found)[:MOST_EVIDENCE]:
        what = f"“{escape(evidence.quote, longest=80)}”" if evidence.quote else evidence.source
        when = f" {round(evidence.time_s, 1):g} s" if evidence.time_s is not None else ""
        texts.append(f"{what}{when}" + ("" if evidence.found else " **not found**"))
    return f" ({'; '.join(texts)})" if texts else ""


def _labelled(values: Mapping[str, JsonValue], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if text := _in_words(values.get(name)):
            yield f"{title(name)}: {escape(text, longest=MAX_ANSWER)}"


def _troubles(record: VideoRecord) -> Iterator[str]:
    """What failed or was skipped, and why."""
    for name, _ in stages_in_order(record):
        if reason := why_missing(record, name):
            yield f"`{name}` {escape(reason)}"


def _file_line(probe: Probe) -> str:
    parts = [_clock(probe.duration_s)] if probe.duration_s is not None else ["length unknown"]
    if probe.width and probe.height:
        parts.append(f"{probe.width} × {probe.height} px")
    if probe.fps:
        parts.append(f"{probe.fps:.4g} frames/s")
    parts += [escape(codec) for codec in (probe.video_codec, probe.audio_codec) if codec]
    parts += [] if probe.integrity.complete else ["**does not decode to its end**"]
    return "File: " + ", ".join(parts)


def _sound_line(events: Events) -> str:
    names = {kind: kind.replace("_", " ") for kind in events.seconds}
    longest = sorted(events.seconds.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{names[kind]} {seconds:.1f} s" for kind, seconds in longest if seconds > 0]
    loud = events.loudness
    if loud.integrated_lufs is not None:
        parts.append(f"{loud.integrated_lufs:.1f} LUFS")
    if loud.true_peak_dbtp is not None:
        parts.append(f"true peak {loud.true_peak_dbtp:.1f} dBTP")
    return "Sound: " + (", ".join(parts) or "none")


def _same_sound(same: SoundGroup, source: VideoSource) -> str:
    others = _number(same.videos - 1, "other video")
    if same.group == f"{source.creator}/{source.video_id}":
        return f"Same sound: {others}; this one is the first"
    notes = [f"from {same.offset_s:.1f} s of it"]
    if abs(same.tempo - 1) >= 0.01:
        notes.append(f"{abs(same.tempo - 1):.0%} {'faster' if same.tempo > 1 else 'slower'}")
    return f"Same sound: {others}, first {escape(same.group)} ({', '.join(notes)})"


def _tracks(music: Music) -> list[RecognisedMusic]:
    """What the best source says, and the other tracks of the library that are heard."""
    told = music.recognised[:1]
    heard = {t.library_id: t for t in reversed(music.recognised) if t.source == "library"}
    others = [t for id_, t in reversed(heard.items()) if id_ not in {t.library_id for t in told}]
    return [*told, *others]


def _track_line(track: RecognisedMusic) -> str:
    """Who says it stands beside it; a sped-up edit is named from 1 % on."""
    by = f" by {track.artist}" if track.artist else ""
    sources = {"memory": "recognised earlier", "shazam": "Shazam"}
    notes = [sources.get(track.source, f"the {track.source}")]
    if track.time_skew is not None and abs(track.time_skew) >= 0.01:
        notes.append(f"{abs(track.time_skew):.0%} {'faster' if track.time_skew > 0 else 'slower'}")
    return f"Music: {escape(track.title + by)} ({', '.join(notes)})"


def _rate(rate: SpeechRate) -> str:
    category = f" ({rate.rate_category.replace('_', ' ')})" if rate.rate_category else ""
    if rate.speech_rate_wpm is not None:
        return f"{rate.speech_rate_wpm:.0f} words/min{category}"
    if rate.syllables_per_minute is not None:
        return f"{rate.syllables_per_minute:.0f} syllables/min{category}"
    return ""


def _score(rate: SpeechRate) -> str:
    return f", {rate.overall_score:.1f} of 10" if rate.overall_score is not None else ""


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _clock(seconds: float) -> str:
    """12.3 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
