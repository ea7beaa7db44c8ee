"""The files in a video's own folder, beside its record.

    data/analysis_results/<creator>/<video_id>/
        audio_analysis_results.json      voice, events and loudness, named sounds
        speech_rate_analysis.json        the speech rate with its scores
        representative_timestamps.json   the frames that stand for the video
        speech_transcription.txt         what is said, with times and confidence
        subtitles.srt, subtitles.vtt     the same for players

A file is there if a stage behind it has a value; one from an earlier run whose stage has
none any more is removed, because it would contradict the record. So are the files that
stages write themselves: embeddings.npz (`embed`), vocals.flac and accompaniment.flac
(`separate`).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from reelscope.atomic import write_atomic
from reelscope.audio.separate import STEMS
from reelscope.errors import OutputError
from reelscope.export.transcript import text_files
from reelscope.records import (
    SCHEMA_VERSION,
    Choice,
    ChosenFrame,
    Embedding,
    Events,
    Frozen,
    Seconds,
    Separation,
    Sounds,
    SpeechRate,
    VideoRecord,
    Voice,
)
from reelscope.vision.embed import FILE_NAME as EMBEDDINGS


class AudioAnalysis(Frozen):
    """audio_analysis_results.json."""

    schema_version: int = Field(SCHEMA_VERSION, description="Version of this file's keys.")
    creator: str = Field(description="Whose video it is.")
    video_id: str = Field(description="Which video.")
    voice: Voice | None = Field(description="Where somebody speaks; null if the stage has none.")
    events: Events | None = Field(
        description="Timeline of the sound and its loudness; null if the stage has none."
    )
    sounds: Sounds | None = Field(
        description="Sounds by name, and the timeline with them; null if the stage has none."
    )
    missing: dict[str, str] = Field(description="Stage of each null -> why, a sentence.")


class RepresentativeTimestamps(Frozen):
    """representative_timestamps.json."""

    schema_version: int = Field(SCHEMA_VERSION, description="Version of this file's keys.")
    creator: str = Field(description="Whose video it is.")
    video_id: str = Field(description="Which video.")
    method: str = Field(description="How the frames were chosen.")
    frames_folder: str = Field(description="Folder of the pictures, below data/tiktok_frames.")
    timestamps_s: tuple[Seconds, ...] = Field(description="The chosen times, in order.")
    frames: tuple[ChosenFrame, ...] = Field(description="The chosen frames, in order of time.")


VIDEO_FILES: dict[str, type[BaseModel]] = {
    "audio_analysis_results.json": AudioAnalysis,
    "speech_rate_analysis.json": SpeechRate,
    "representative_timestamps.json": RepresentativeTimestamps,
}
"""Name of the file -> what is in it."""


def export_video(record: VideoRecord, folder: Path) -> None:
    """Write the files of one video into its folder.

    Raises:
        OutputError: a file cannot be written or removed.
    """
    contents = (_audio(record), record.value(SpeechRate), _timestamps(record))
    for name, content in zip(VIDEO_FILES, contents, strict=True):
        if content is not None:
            write_atomic(folder / name, content.model_dump_json(indent=2) + "\n")
        else:
            _remove(folder / name)
    for name, text in text_files(record).items():
        if text is not None:
            write_atomic(folder / name, text)
        else:
            _remove(folder / name)
    if record.value(Embedding) is None:
        _remove(folder / EMBEDDINGS)
    if record.value(Separation) is None:
        for name in STEMS:
            _remove(folder / name)


def why_missing(record: VideoRecord, stage: str) -> str | None:
    """Why this stage has no value, a sentence; None if it has one."""
    entry = record.stages.get(stage)
    if entry is None:
        return "the stage has not run"
    if entry.status == "ok":
        return None
    if entry.status == "failed":
        return f"failed: {entry.message or entry.kind}"
    return f"skipped: {entry.reason}" + (f" ({entry.remedy})" if entry.remedy else "")


def _audio(record: VideoRecord) -> AudioAnalysis | None:
    voice, events = record.value(Voice), record.value(Events)
    if voice is None and events is None:
        return None
    reasons = {kind.stage: why_missing(record, kind.stage) for kind in (Voice, Events, Sounds)}
    return AudioAnalysis(
        creator=record.source.creator,
        video_id=record.source.video_id,
        voice=voice,
        events=events,
        sounds=record.value(Sounds),
        missing={stage: reason for stage, reason in reasons.items() if reason},
    )


def _timestamps(record: VideoRecord) -> RepresentativeTimestamps | None:
    choice = record.value(Choice)
    if choice is None:
        return None
    frames = tuple(sorted(choice.frames, key=lambda frame: frame.time_s))
    return RepresentativeTimestamps(
        creator=record.source.creator,
        video_id=record.source.video_id,
        method=choice.method,
        frames_folder=record.source.frames_id,
        timestamps_s=tuple(frame.time_s for frame in frames),
        frames=frames,
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise OutputError(f"{path} could not be removed: {error.strerror}") from error
