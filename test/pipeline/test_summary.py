"""The tally: what is counted when, and what stands at the end."""

from __future__ import annotations

import pytest

from reelscope.pipeline.graph import Graph
from reelscope.pipeline.summary import Tally
from reelscope.records import (
    Integrity,
    Probe,
    StageRecord,
    Transcript,
    TranscriptSegment,
    VideoRecord,
    VideoSource,
)
from reelscope.testing.stages import Say


def source(number: int) -> VideoSource:
    return VideoSource(creator="ana", video_id=str(number), frames_id=str(number))


def ended(status: str, **more: object) -> StageRecord:
    return StageRecord.model_validate({"status": status, "key": "k", "engine": "e", **more})


def probe(duration_s: float) -> StageRecord:
    fields = dict.fromkeys(Probe.model_fields)
    integrity = Integrity(
        method="full",
        complete=True,
        video_packets=1,
        audio_packets=0,
        bad_packets=0,
        decoded_until_s=duration_s,
    )
    fields |= {
        "container": "mp4",
        "duration_s": duration_s,
        "size_bytes": 1,
        "sha256": "s",
        "has_video": True,
        "has_audio": False,
        "integrity": integrity,
    }  # fmt: skip
    value = Probe.model_validate(fields)
    return ended("ok", seconds=2.0, value=value)


@pytest.fixture
def tally() -> Tally:
    return Tally(Graph([Say("probe"), Say("voice")]), frozenset({"probe", "voice"}))


def test_numbers(tally: Tally) -> None:
    good = VideoRecord(source=source(1), stages={"probe": probe(10), "voice": ended("ok")})
    bad = VideoRecord(
        source=source(2),
        stages={
            "probe": ended("failed", kind="unreadable", message="empty"),
            "voice": ended("skipped", reason="no weights", remedy="models pull"),
        },
    )
    for record in (good, bad):
        for name, stage in record.stages.items():
            tally.stage_ended(record.source, name, stage)
        tally.video_ended(record, frozenset())
    tally.video_ended(good, frozenset({"probe", "voice"}))
    summary = tally.summary("b", creators=1, videos=3, stopped=None)
    assert summary.videos_ended == 3
    assert summary.videos_with_failures == summary.videos_without_result == 1
    assert summary.videos_from_earlier_run == 1
    assert summary.stage_results_from_earlier_run == 2
    stage = summary.stages["probe"]
    assert (stage.ok, stage.failed, stage.reused) == (1, 1, 1)
    assert stage.real_time_factor == 5.0
    assert [(g.stage, g.kind, g.count) for g in summary.failures] == [("probe", "unreadable", 1)]
    assert [(g.stage, g.remedy) for g in summary.remedies] == [("voice", "models pull")]
    assert not summary.nothing_succeeded


def test_a_failure_of_an_earlier_run_is_still_told(tally: Tally) -> None:
    record = VideoRecord(
        source=source(1), stages={"probe": ended("failed", kind="unreadable", message="empty")}
    )
    tally.video_ended(record, frozenset({"probe"}))
    summary = tally.summary("b", creators=1, videos=1, stopped=None)
    assert summary.failures[0].message == "empty"
    assert summary.nothing_succeeded


def test_no_videos_is_not_a_failure(tally: Tally) -> None:
    summary = tally.summary("b", creators=0, videos=0, stopped=None)
    assert not summary.nothing_succeeded
    assert summary.videos_per_minute is None


class Hears(Say):
    """A stage that reads weights."""

    def __init__(self, *weights: str) -> None:
        super().__init__("transcribe")
        self.weights = weights


def poor(*texts: str, accuracy: str = "low") -> VideoRecord:
    segments = [
        TranscriptSegment(
            start_s=0, end_s=1, text=text, raw_text=text, words=(), avg_logprob=None,
            no_speech_probability=None, compression_ratio=None, flags=(),
        )
        for text in texts
    ]  # fmt: skip
    value = Transcript.model_validate({
        "text": " ".join(texts), "raw_text": " ".join(texts), "language": "en",
        "language_probability": None, "segments": segments, "sound": "mix", "tried": [],
        "accuracy": accuracy,
    })  # fmt: skip
    stage = ended("ok", value=value).model_copy(update={"engine": "pocketsphinx 5.1.1"})
    return VideoRecord(source=source(1), stages={"transcribe": stage})


@pytest.mark.parametrize(
    ("weights", "better"),
    [
        (
            ("faster-whisper-small", "pocketsphinx-en-us"),
            "python main.py models pull faster-whisper-small",
        ),
        (("pocketsphinx-en-us",), "models.whisper.engine: auto"),
        ((), "models.whisper.engine: auto"),
    ],
)
def test_low_accuracy_is_told_once(weights: tuple[str, ...], better: str) -> None:
    tally = Tally(Graph([Hears(*weights)]), frozenset({"transcribe"}))
    tally.video_ended(poor("hello"), frozenset())
    tally.video_ended(poor("hello"), frozenset({"transcribe"}))
    (problem,) = tally.summary("b", creators=1, videos=2, stopped=None).problems
    assert problem.where == "transcribe"
    assert problem.message.startswith("used pocketsphinx 5.1.1: low accuracy")
    assert problem.message.endswith(f"better: {better}")


def test_good_accuracy_and_silence_are_no_problem() -> None:
    tally = Tally(Graph([Hears("faster-whisper-small")]), frozenset({"transcribe"}))
    tally.video_ended(poor(), frozenset())
    tally.video_ended(poor("hello", accuracy="normal"), frozenset())
    assert not tally.summary("b", creators=1, videos=2, stopped=None).problems
