"""What was found in a video, in lines for reading, whoever prints them.

The texts here are as they came: report.py escapes them for Markdown, the templates of
html_report.py for HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue

from reelscope.export.columns import stages_in_order, texts_of
from reelscope.export.description import as_evidence, evidence_of, title
from reelscope.export.video import why_missing
from reelscope.records import (
    Captions,
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

_FIRST = (
    "description", "target_demographics", "category", "call_to_action", "tone", "brand_safety",
    "sponsorship", "selling_points",
)  # fmt: skip
_LABELS = {"target_demographics": "For"}
_LEVELS = ("level_1", "level_2", "level_3")
_SUMMARY = (
    "overview", "audience", "recurring_themes", "recurring_formats", "products_and_brands", "tone",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proof:
    """What an answer rests on.

    Attributes:
        text: a quote, or the name of a source.
        quoted: whether the text is a quote.
        when: " 1.5 s", or empty.
        found: whether the video has it.
    """

    text: str
    quoted: bool
    when: str
    found: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of what was found.

    Attributes:
        label: "Caption", "Speech", ...
        text: as it came, of any length; whoever prints it cuts it at `longest`.
        longest: characters.
        warning: what stands out behind the text; empty: nothing.
        proofs: what the text rests on.
        kind: answered by a language model, noticed in the video, or measured.
    """

    label: str
    text: str
    longest: int = MAX_TEXT
    warning: str = ""
    proofs: tuple[Proof, ...] = ()
    kind: Literal["answered", "noticed", "measured"] = "noticed"


def facts(record: VideoRecord) -> Iterator[Fact]:
    """What was found, in the order in which it is read."""
    if description := record.value(Description):
        yield from (replace(fact, kind="answered") for fact in _described(description))
    if (platform := record.value(Platform)) and platform.caption:
        yield Fact("Caption", platform.caption)
    if probe := record.value(Probe):
        yield _file(probe)
    if voice := record.value(Voice):
        share = percent(voice.speech_share)
        yield Fact("Speech", f"{share} of the sound, {voice.speech_s:.1f} s", kind="measured")
    if (rate := record.value(SpeechRate)) and (pace := rate_in_words(rate)):
        yield Fact("Speech rate", pace + _score(rate), kind="measured")
    yield from _heard(record)
    if (said := record.value(Transcript)) and said.text:
        doubt = " (low accuracy)" if said.accuracy == "low" else ""
        yield Fact(f"Said{doubt}", said.text)
    if (captions := record.value(Captions)) and captions.frames:
        yield Fact("Shown", "; ".join(frame.text for frame in captions.frames))
    yield from _seen(record)


def troubles(record: VideoRecord) -> Iterator[tuple[str, str]]:
    """(stage, why) of what failed or was skipped."""
    for name, _ in stages_in_order(record):
        if reason := why_missing(record, name):
            yield name, reason


def labelled(summary: Mapping[str, JsonValue]) -> Iterator[Fact]:
    """What a model says of a creator, by the keys of its summary; other keys are left out."""
    for name in _SUMMARY:
        if text := _in_words(summary.get(name)):
            yield Fact(title(name), text, longest=MAX_ANSWER)


def _seen(record: VideoRecord) -> Iterator[Fact]:
    """Shots, texts, things."""
    if shots := record.value(Shots):
        yield Fact(
            "Pictures",
            f"{number(len(shots.shots), 'shot')}, {shots.cuts_per_minute:.1f} cuts "
            f"per minute, {shots.hook.cuts} in the first {shots.hook.end_s:.1f} s",
            kind="measured",
        )
    if (text := record.value(OnScreenText)) and (texts := texts_of(text)):
        yield Fact("On screen", " / ".join(texts))
    if (seen := record.value(Detections)) and seen.objects:
        yield Fact(
            "Seen", ", ".join(f"{thing.label} {thing.seconds:.1f} s" for thing in seen.objects)
        )


def _heard(record: VideoRecord) -> Iterator[Fact]:
    """What there is to hear besides words."""
    if events := record.value(Events):
        yield _sound(events)
    if (sounds := record.value(Sounds)) and sounds.tags:
        yield Fact("Heard", ", ".join(dict.fromkeys(tag.label for tag in sounds.tags)))
    if music := record.value(Music):
        yield from map(_track, _tracks(music))
    if (same := record.value(SoundGroup)) and same.videos > 1:
        yield _same_sound(same, record.source)


# ----------------------------------------------------------------------- description


def _described(description: Description) -> Iterator[Fact]:
    """What a model says of the video, with what that rests on."""
    if description.refusal is not None:
        yield Fact("Description refused", description.refusal.reason or description.refusal.kind)
    names = [name for name in _FIRST if name in description.dimensions]
    for name in dict.fromkeys([*names, *description.dimensions]):
        if text := _in_words(_main(name, description.dimensions[name].value)):
            proofs = _proofs(evidence_of(description, name))
            label = _LABELS.get(name, title(name))
            yield Fact(label, text, longest=MAX_ANSWER, proofs=proofs)
    if description.missing:
        why = " (the answer ended too early)" if description.truncated else ""
        yield Fact(f"Not answered{why}", ", ".join(map(title, description.missing)))


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


def _proofs(named: list[Evidence]) -> tuple[Proof, ...]:
    """At most MOST_EVIDENCE; what the video does not have first."""
    told = [evidence for evidence in named if evidence.quote or not evidence.found]
    return tuple(
        Proof(
            evidence.quote or evidence.source,
            quoted=bool(evidence.quote),
            when=f" {round(evidence.time_s, 1):g} s" if evidence.time_s is not None else "",
            found=evidence.found,
        )
        for evidence in sorted(told, key=lambda e: e.found)[:MOST_EVIDENCE]
    )


# ----------------------------------------------------------------------- single lines


def _file(probe: Probe) -> Fact:
    parts = [clock(probe.duration_s)] if probe.duration_s is not None else ["length unknown"]
    if probe.width and probe.height:
        parts.append(f"{probe.width} × {probe.height} px")
    if probe.fps:
        parts.append(f"{probe.fps:.4g} frames/s")
    parts += [codec for codec in (probe.video_codec, probe.audio_codec) if codec]
    warning = "" if probe.integrity.complete else "does not decode to its end"
    return Fact("File", ", ".join(parts), warning=warning, kind="measured")


def _sound(events: Events) -> Fact:
    longest = sorted(events.seconds.items(), key=lambda item: (-item[1], item[0]))
    parts = [
        f"{kind.replace('_', ' ')} {seconds:.1f} s" for kind, seconds in longest if seconds > 0
    ]
    loud = events.loudness
    if loud.integrated_lufs is not None:
        parts.append(f"{loud.integrated_lufs:.1f} LUFS")
    if loud.true_peak_dbtp is not None:
        parts.append(f"true peak {loud.true_peak_dbtp:.1f} dBTP")
    return Fact("Sound", ", ".join(parts) or "none", kind="measured")


def _same_sound(same: SoundGroup, source: VideoSource) -> Fact:
    others = number(same.videos - 1, "other video")
    if same.group == f"{source.creator}/{source.video_id}":
        return Fact("Same sound", f"{others}; this one is the first")
    notes = [f"from {same.offset_s:.1f} s of it"]
    if abs(same.tempo - 1) >= 0.01:
        notes.append(f"{abs(same.tempo - 1):.0%} {'faster' if same.tempo > 1 else 'slower'}")
    return Fact("Same sound", f"{others}, first {same.group} ({', '.join(notes)})")


def _tracks(music: Music) -> list[RecognisedMusic]:
    """What the best source says, and the other tracks of the library that are heard."""
    told = music.recognised[:1]
    heard = {t.library_id: t for t in reversed(music.recognised) if t.source == "library"}
    others = [t for id_, t in reversed(heard.items()) if id_ not in {t.library_id for t in told}]
    return [*told, *others]


def _track(track: RecognisedMusic) -> Fact:
    """Who says it stands beside it; a sped-up edit is named from 1 % on."""
    by = f" by {track.artist}" if track.artist else ""
    sources = {"memory": "recognised earlier", "shazam": "Shazam"}
    notes = [sources.get(track.source, f"the {track.source}")]
    if track.time_skew is not None and abs(track.time_skew) >= 0.01:
        notes.append(f"{abs(track.time_skew):.0%} {'faster' if track.time_skew > 0 else 'slower'}")
    return Fact(
        "Music", f"{track.title[:MAX_TEXT]}{by[:MAX_TEXT]} ({', '.join(notes)})", MAX_ANSWER
    )


def rate_in_words(rate: SpeechRate) -> str:
    """ "150 words/min (normal)"; empty: the rate is not known."""
    category = f" ({rate.rate_category.replace('_', ' ')})" if rate.rate_category else ""
    if rate.speech_rate_wpm is not None:
        return f"{rate.speech_rate_wpm:.0f} words/min{category}"
    if rate.syllables_per_minute is not None:
        return f"{rate.syllables_per_minute:.0f} syllables/min{category}"
    return ""


def _score(rate: SpeechRate) -> str:
    return f", {rate.overall_score:.1f} of 10" if rate.overall_score is not None else ""


def number(count: int, noun: str) -> str:
    """A count with its noun: "1 shot", "3 shots"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent(share: float) -> str:
    """A share of 0-1: "35 %"."""
    return f"{100 * share:.0f} %"


def clock(seconds: float) -> str:
    """12.3 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
