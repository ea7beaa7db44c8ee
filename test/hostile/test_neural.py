"""What the models make of bad input: nothing where there is nothing, and never a broken run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reelscope
from reelscope.export.transcript import TEXT_FILES
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.provision import wanted_by
from reelscope.records import (
    Captions,
    Detections,
    Embedding,
    Separation,
    Sounds,
    StageRecord,
    Transcript,
    VideoRecord,
    Voice,
)
from reelscope.settings import Settings
from reelscope.testing import media
from reelscope.testing.hostile import BAD_FILES
from reelscope.testing.weights import write_weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RATE_HZ = 16000
ENGINES = {"whisper": {"engine": "faster-whisper", "size": "tiny"}, "device": "cpu"}
SOUND_STAGES = ("voice", "events", "separate", "sounds", "transcribe", "speech_rate")
PICTURE_STAGES = (
    "keyframes", "quality", "similarity", "stills", "shots", "text", "detect", "embed",
    "choose", "caption",
)  # fmt: skip
ROOF_MB = 1700
"""Resident: torch, the other packages and the tiny models take about 1300."""


def speech(seconds: float = 3.0) -> media.Samples:
    return media.speech_like(seconds, rate_hz=RATE_HZ, seed=3)[0]


def music(seconds: float = 5.0) -> media.Samples:
    return media.music_like(seconds, rate_hz=RATE_HZ, seed=1)


def broken() -> media.Samples:
    """Speech in a float file some of whose samples are no numbers."""
    samples = speech()
    samples[20_000:25_000] = np.nan
    samples[30_000:30_100] = np.inf
    return samples


@dataclass(frozen=True)
class Bad:
    """A video; `spoken`: somebody speaks, so that words may be heard."""

    how: dict[str, Any]
    spoken: bool = True
    suffix: str = ".mp4"


COLOURS = [media.Scene(1.0), media.Scene(1.0, (40, 120, 200))]
BLACK = [media.Scene(2.0, black=True)]

VIDEOS = {
    "silence": Bad({"sound": media.silence(3.0, rate_hz=RATE_HZ)}, spoken=False),
    "music": Bad({"sound": music()}, spoken=False),
    "noise": Bad({"sound": media.noise(3.0, rate_hz=RATE_HZ)}, spoken=False),
    "hum": Bad({"sound": media.tone(3.0, hz=50, rate_hz=RATE_HZ)}, spoken=False),
    "click": Bad({"sound": speech()[8000:8160]}, spoken=False),
    "short": Bad({"sound": speech()[8000:12800]}),
    "square": Bad({"sound": np.sign(speech(5.0)).astype(np.float32)}),
    "too_loud": Bad({"sound": 20 * speech(), "sound_codec": "pcm_f32le"}, suffix=".mkv"),
    "not_numbers": Bad({"sound": broken(), "sound_codec": "pcm_f32le"}, suffix=".mkv"),
    "sound_alone": Bad({"sound": speech(), "scenes": ()}),
    "pictures_alone": Bad({"sound": None}, spoken=False),
    "one_frame": Bad({"sound": None, "scenes": [media.Scene(0.1)]}, spoken=False),
    "plain": Bad({"sound": None, "scenes": [media.Scene(2.0)]}, spoken=False),
    "black": Bad({"sound": None, "scenes": BLACK}, spoken=False),
    "two_pixels": Bad({"sound": None, "size": (2, 2)}, spoken=False),
    "one_pixel": Bad({"sound": None, "size": (1, 1), "pixel_format": "yuv444p"}, spoken=False),
    "strip": Bad({"sound": None, "size": (16000, 16)}, spoken=False),
    "tower": Bad({"sound": None, "size": (16, 16000)}, spoken=False),
}
"""With something to work on; the sound or the pictures may be missing."""
CUT = ("truncated",)
UNREADABLE = ("no_index", "text")


@dataclass(frozen=True)
class Analysed:
    """The records of all videos by name, and the folder of the results."""

    records: dict[str, VideoRecord]
    root: Path

    def folder(self, name: str) -> Path:
        source = self.records[name].source
        return self.root / "analysis_results" / source.creator / source.video_id

    def written(self, name: str, file: str) -> str | None:
        path = self.folder(name) / file
        return path.read_text(encoding="utf-8") if path.exists() else None


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_weights(root, wanted_by(build_graph(Settings.model_validate({"models": ENGINES}))))
    return root


@pytest.fixture(scope="module")
def analysed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """All of them in one batch: they share the models' passes."""
    root = tmp_path_factory.mktemp("bad")
    paths = []
    for name, bad in VIDEOS.items():
        paths.append(root / f"{name}{bad.suffix}")
        how = {"size": (160, 96), "fps": 10, "sound_rate_hz": RATE_HZ, **bad.how}
        media.write_video(paths[-1], how.pop("scenes", COLOURS), **how)
    paths += [BAD_FILES[name].make(root) for name in (*CUT, *UNREADABLE)]
    settings = Settings.model_validate(
        {
            "paths": {"data": root / "data", "models": models, "logs": root / "logs"},
            "models": {**ENGINES, "offline": True},
            "detect": {"min_confidence": 0.01},  # so that the random weights find much
        }
    )
    records = reelscope.analyze(paths, settings=settings, batch_id="bad")
    return Analysed({record.source.video_id: record for record in records}, root / "data")


def value(record: VideoRecord, name: str) -> Any:
    stage = record.stages[name]
    assert stage.status == "ok", stage.reason or stage.message
    return stage.value


def sentence(stage: StageRecord) -> None:
    """What was not done says why, to a person."""
    text = stage.reason or stage.message or ""
    assert len(text) > 15
    assert "Error" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("name", [*VIDEOS, *CUT])
def test_all_that_there_is_to_do_is_done(name: str, analysed: Analysed) -> None:
    record = analysed.records[name]
    probe = value(record, "probe")
    todo = {"platform", "probe", "music"}
    todo |= set(SOUND_STAGES) if probe.has_audio else set()
    todo |= set(PICTURE_STAGES) if probe.has_video else set()
    assert {stage for stage, entry in record.stages.items() if entry.status == "ok"} == todo
    for stage, entry in record.stages.items():
        if stage not in todo:
            assert entry.status == "skipped"
            sentence(entry)
            assert entry.remedy is None  # nothing that the next run could do better


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_no_one_can_read_is_one_failure(name: str, analysed: Analysed) -> None:
    stages = analysed.records[name].stages
    assert [stage for stage, entry in stages.items() if entry.status == "failed"] == ["probe"]
    for stage, entry in stages.items():
        if stage != "platform":
            assert entry.status != "ok"
            sentence(entry)


@pytest.mark.parametrize("name", [name for name, bad in VIDEOS.items() if not bad.spoken])
def test_where_nobody_speaks_nobody_is_heard(name: str, analysed: Analysed) -> None:
    record = analysed.records[name]
    if not value(record, "probe").has_audio:
        assert record.stages["transcribe"].reason == "it needs voice: there is no audio stream"
        assert all(analysed.written(name, file) is None for file in TEXT_FILES)
        return
    found: Transcript = value(record, "transcribe")
    assert (found.text, found.raw_text, found.segments, found.language) == ("", "", (), None)
    separated: Separation = value(record, "separate")
    assert (separated.applied, separated.vocals) == (False, None)
    assert value(record, "speech_rate").speech_rate_wpm is None
    page = analysed.written(name, "speech_transcription.txt")
    assert page is not None
    assert page.endswith("Nothing is said.\n")
    assert analysed.written(name, "subtitles.srt") is None
    assert analysed.written(name, "subtitles.vtt") is None


@pytest.mark.parametrize("name", [*(name for name, bad in VIDEOS.items() if bad.spoken), *CUT])
def test_words_stand_where_somebody_speaks(name: str, analysed: Analysed) -> None:
    record = analysed.records[name]
    voice: Voice = value(record, "voice")
    found: Transcript = value(record, "transcribe")
    assert voice.segments
    assert found.segments
    for segment in found.segments:
        assert 0 <= segment.start_s <= segment.end_s <= voice.duration_s + 0.01
        for word in segment.words:
            middle_s = (word.start_s + word.end_s) / 2
            assert any(s.start_s - 0.4 <= middle_s <= s.end_s + 0.4 for s in voice.segments)
    end_s = value(record, "probe").duration_s
    for file, point in (("subtitles.srt", ","), ("subtitles.vtt", ".")):
        lines = (analysed.written(name, file) or "").splitlines()
        stamps = [line for line in lines if " --> " in line]
        assert stamps
        assert stamps[-1].split()[-1] <= f"00:00:{end_s:06.3f}".replace(".", point)


def test_silence_has_no_sounds_and_a_click_no_name(analysed: Analysed) -> None:
    for name in ("silence", "click"):
        found: Sounds = value(analysed.records[name], "sounds")
        assert (found.tags, found.windows) == ((), 0), name
        assert [event.labels for event in found.timeline] == [()], name


@pytest.mark.parametrize("name", [*VIDEOS, *CUT])
def test_boxes_lie_in_the_picture_and_vectors_are_numbers(name: str, analysed: Analysed) -> None:
    record = analysed.records[name]
    probe = value(record, "probe")
    if not probe.has_video:
        return
    found: Detections = value(record, "detect")
    for frame in found.frames:
        for thing in frame.objects:
            left, top, right, bottom = thing.box
            assert 0 <= left < right <= probe.width
            assert 0 <= top < bottom <= probe.height
    for thing in found.objects:
        assert 0 <= thing.first_s < thing.last_s <= probe.duration_s + 0.01
        assert thing.seconds <= probe.duration_s + 0.01
    embedding: Embedding = value(record, "embed")
    assert len(embedding.frames) == len(value(record, "stills").frames)
    captions: Captions = value(record, "caption")
    assert all(caption.text.strip() for caption in captions.frames)
    if embedding.file is None:
        assert not embedding.frames
        return
    with np.load(analysed.folder(name) / embedding.file, allow_pickle=False) as saved:
        vectors = saved["embeddings"].astype(np.float32)
    assert len(vectors) == len(embedding.frames)
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)


def test_the_detector_had_something_to_say(analysed: Analysed) -> None:
    """Else nothing would be shown of its boxes."""
    seen = [name for name in VIDEOS if _things(analysed.records[name])]
    assert len(seen) > 5, seen
    assert {"strip", "tower"} & set(seen), seen


def _things(record: VideoRecord) -> int:
    entry = record.stages["detect"]
    return len(entry.value.objects) if isinstance(entry.value, Detections) else 0


def test_a_black_video_has_no_frame_to_look_at(analysed: Analysed) -> None:
    record = analysed.records["black"]
    assert value(record, "detect").frames == ()
    assert value(record, "embed").file is None
    assert value(record, "caption").frames == ()


# ---------------------------------------------------------------------------- long sound


def test_twenty_minutes_are_heard_in_bounded_time_and_memory(
    models: Path, tmp_path: Path, analyze: Any
) -> None:
    """Its samples at the models' rates would be 77 MB (16 kHz) and 423 MB (44.1 kHz)."""
    sound = media.noise(1200.0, amplitude=0.001, rate_hz=RATE_HZ)
    starts_s = (30, 600, 1190)
    for start_s in starts_s:
        sound[start_s * RATE_HZ : (start_s + 3) * RATE_HZ] += speech()
    scenes = [media.Scene(2.0)]
    path = tmp_path / "long.mkv"
    media.write_video(
        path, scenes, size=(64, 48), fps=1, sound=sound, sound_rate_hz=RATE_HZ,
        sound_codec="pcm_s16le",
    )  # fmt: skip
    (tmp_path / "config.yml").write_text(
        f"paths: {{models: {models}}}\n"
        "models: {offline: true, device: cpu, whisper: {engine: faster-whisper, size: tiny}}\n"
        "separate: {when: always}\n"
    )
    run = analyze(tmp_path, path, "--config", "config.yml", limit_s=250)
    assert run.returncode == 0, run.stderr
    stages = run.records()["long.mkv"]["stages"]
    assert {stage["status"] for stage in stages.values()} == {"ok"}
    heard = stages["transcribe"]["value"]["segments"]
    assert len(heard) >= len(starts_s)
    for segment in heard:
        assert any(s - 1 <= segment["start_s"] and segment["end_s"] <= s + 4 for s in starts_s)
    assert max(run.memory_mb) < ROOF_MB


# ------------------------------------------------------------------------- wrong settings


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("transcribe: {language: klingon}", ["klingon", " de,", " en,", " zh"]),
        ("transcribe: {language: auto}", ["auto", "null", " en,"]),
        (
            "{transcribe: {language: de}, models: {whisper: {size: small.en}}}",
            ["'de'", "there are: en"],
        ),
        ("models: {whisper: {engine: whisperx}}", ["whisperx", "'faster-whisper'"]),
        ("models: {whisper: {size: huge}}", ["huge", "'large-v3-turbo'"]),
        ("models: {detector: {engine: yolo}}", ["'yolo-world' or 'owlv2'"]),
        ("models: {embedder: {model: ViT-B/32}}", ["ViT-B/32", "'ViT-B-32' or 'ViT-L-14'"]),
    ],
)
def test_a_wrong_name_is_refused_at_the_start(
    config: str, told: list[str], tmp_path: Path, analyze: Any
) -> None:
    media.write_video(tmp_path / "v.mp4", [media.Scene(0.5)], size=(64, 48))
    (tmp_path / "config.yml").write_text(config)
    run = analyze(tmp_path, "v.mp4", "--config", "config.yml", limit_s=60)
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    for part in told:
        assert part in run.stderr
    assert not (tmp_path / "data").exists()
