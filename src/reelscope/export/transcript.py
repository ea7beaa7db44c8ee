"""What is said, for readers and players.

    speech_transcription.txt   the transcript with times and confidence, for a person
    subtitles.srt              SubRip
    subtitles.vtt              WebVTT (W3C)

How text becomes cues: `cues.py`. SubRip has no escapes, so what a player would take for
an arrow, a tag or an override of Advanced SubStation is taken apart there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import exp
from statistics import fmean

from reelscope.export.cues import Cue, clean, cues
from reelscope.records import (
    Platform,
    Probe,
    Transcript,
    TranscriptSegment,
    TriedSound,
    VideoRecord,
)

TEXT_FILES = ("speech_transcription.txt", "subtitles.srt", "subtitles.vtt")

LOW = "LOW"
SOUNDS = {"mix": "the video's sound", "vocals": "the voices, separated from the music"}
_TAG = re.compile(r"<(?=[/a-zA-Z])|\{(?=\\)")
_WHY = {
    "repetition": "it repeats itself",
    "no_voice": "nobody speaks there",
    "no_speech": "the engine doubts that anybody speaks",
    "compression": "it repeats itself",
    "low_probability": "the engine is not sure",
}


def text_files(record: VideoRecord) -> dict[str, str | None]:
    """Name -> content of each file; None: there is nothing to put into it."""
    transcript = record.value(Transcript)
    if transcript is None:
        return dict.fromkeys(TEXT_FILES)
    probe = record.value(Probe)
    shown = cues(transcript, until_s=probe.duration_s if probe else None)
    return dict(
        zip(
            TEXT_FILES,
            (
                transcription(record, transcript),
                srt(shown) if shown else None,
                vtt(shown, note=_note(record, transcript)) if shown else None,
            ),
            strict=True,
        )
    )


# ------------------------------------------------------------------------------ text


def transcription(record: VideoRecord, transcript: Transcript) -> str:
    """The transcript as a page of text.

    The platform's own subtitles stand below it, marked as such: they are another source,
    and never take its place.
    """
    parts = ["\n".join(_head(record, transcript)), "\n".join(_body(transcript))]
    platform = record.value(Platform)
    if platform is not None and platform.subtitles:
        lines = (f"  {clean(line)}" for line in platform.subtitles)
        title = f"Subtitles that {clean(platform.name)} gives, not made by this program:"
        parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts) + "\n"


def _head(record: VideoRecord, transcript: Transcript) -> Iterator[str]:
    yield f"Video:    {clean(record.source.creator)}/{clean(record.source.video_id)}"
    yield f"Language: {_language(transcript)}"
    yield f"Engine:   {clean(record.stages[Transcript.stage].engine)}"
    if transcript.accuracy == "low":
        yield f"Accuracy: {LOW}. This is the packaged engine for machines without weights:"
        yield "          many words are wrong, and words may stand where nobody said any."
    else:
        yield "Accuracy: normal"
    yield f"Heard in: {SOUNDS[transcript.sound]}"
    if len(transcript.tried) > 1:
        yield f"Tried:    {'; '.join(map(_tried, transcript.tried))}"


def _language(transcript: Transcript) -> str:
    if transcript.language is None:
        return "not known"
    if transcript.language_probability is None:
        return transcript.language
    return f"{transcript.language} (probability {transcript.language_probability:.2f})"


def _tried(tried: TriedSound) -> str:
    sure = "" if tried.avg_logprob is None else f", mean log probability {tried.avg_logprob:.2f}"
    return f"{SOUNDS[tried.sound]}: {tried.words} words{sure}"


def _body(transcript: Transcript) -> Iterator[str]:
    if not transcript.segments:
        yield "Nothing is said."
        return
    yield "[start - end] confidence text"
    for segment in transcript.segments:
        times = f"[{_clock(segment.start_s)} - {_clock(segment.end_s)}]"
        sure = confidence(segment)
        yield f"{times} {'   -' if sure is None else f'{sure:.2f}'} {clean(segment.text)}".rstrip()
        if segment.raw_text != segment.text:
            yield f"    as the engine wrote it: {clean(segment.raw_text)}"
        if segment.flags:
            why = "; ".join(dict.fromkeys(_WHY[flag] for flag in segment.flags))
            yield f"    may not have been said: {why} ({', '.join(segment.flags)})"


def confidence(segment: TranscriptSegment) -> float | None:
    """0-1: mean of its words' probabilities, else that of its tokens; None: not known."""
    known = [word.probability for word in segment.words if word.probability is not None]
    if known:
        return fmean(known)
    return None if segment.avg_logprob is None else min(1.0, exp(segment.avg_logprob))


def _clock(seconds: float) -> str:
    """00:01:02.345"""
    return _time(max(0, round(seconds * 1000)), ".")


# ------------------------------------------------------------------------- subtitles


def srt(shown: Sequence[Cue]) -> str:
    """SubRip: number, times, lines, an empty line."""
    blocks = []
    for number, cue in enumerate(shown, 1):
        lines = "\n".join(_TAG.sub(_apart, line.replace("-->", "→")) for line in cue.lines)
        blocks.append(
            f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{lines}\n"
        )
    return "\n".join(blocks)


def vtt(shown: Sequence[Cue], *, note: str) -> str:
    """WebVTT with a note on top, which players do not show."""
    blocks = [f"WEBVTT\n\nNOTE {clean(note).replace('-->', '→')}\n"]
    for cue in shown:
        lines = "\n".join(
            line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            for line in cue.lines
        )
        blocks.append(f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{lines}\n")
    return "\n".join(blocks)


def _note(record: VideoRecord, transcript: Transcript) -> str:
    accuracy = (
        f"{LOW} accuracy, many words are wrong"
        if transcript.accuracy == "low"
        else "normal accuracy"
    )
    engine = record.stages[Transcript.stage].engine
    return f"Language: {_language(transcript)}. Engine: {engine}, {accuracy}."


def _apart(found: re.Match[str]) -> str:
    return f"{found.group()} "


def _time(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
