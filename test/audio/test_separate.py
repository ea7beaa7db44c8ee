"""Voices apart from music: where it pays, what the stems hold, and who finds them again."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.audio.events import EventsStage
from reelscope.audio.overlap import Cutter, Joiner
from reelscope.audio.separate import (
    ACCOMPANIMENT_FILE,
    RATE_HZ,
    VOCALS_FILE,
    SeparateStage,
    find_spans,
    vocals_of,
)
from reelscope.audio.voice import VoiceStage
from reelscope.engines.demucs import DemucsSeparator
from reelscope.engines.pool import ModelPool
from reelscope.engines.silero import SileroDetector
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineUnavailable, UnreadableMedia
from reelscope.media.audio import Audio, Samples
from reelscope.media.clip import Clip
from reelscope.media.info import read_info
from reelscope.records import (
    Event,
    EventKind,
    Events,
    Loudness,
    Ok,
    Outcome,
    Separation,
    Skipped,
    SpeechSegment,
    StageRecord,
    Value,
    VideoRecord,
    VideoSource,
    Voice,
)
from reelscope.settings import Events as EventsSettings
from reelscope.settings import Media, Separate
from reelscope.settings import Voice as VoiceSettings
from reelscope.testing.demucs import write_htdemucs
from reelscope.testing.media import Scene, Sound, write_sound, write_video
from reelscope.testing.sounds import music_like

STEP = 1 / 32768
"""Of the 16 bits of a stem."""
Spans = list[tuple[float, float]]


class Halves:
    """A separator that calls half of whatever it hears the voice."""

    engine = "halves 1"
    weights = ("halves",)

    def __init__(self, segment: int = RATE_HZ) -> None:
        self._segment = segment
        self.heard = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def segment(self) -> int:
        return self._segment

    def vocals(self, chunks: Iterable[Samples]) -> Iterator[Samples]:
        for chunk in chunks:
            assert chunk.shape == (self._segment, 2)
            self.heard += 1
            yield chunk / 2


def voices(spans: Spans) -> list[SpeechSegment]:
    return [SpeechSegment(start_s=a, end_s=b, probability=0.9) for a, b in spans]


def timeline(*parts: tuple[float, float, EventKind]) -> tuple[Event, ...]:
    return tuple(Event(start_s=a, end_s=b, kind=k, confidence=0.9) for a, b, k in parts)


def ok(value: Value) -> StageRecord:
    return StageRecord(status="ok", key="k", engine="e", value=value)


def clip_of(
    path: Path, speech: Spans, parts: Sequence[tuple[float, float, EventKind]], name: str = "v"
) -> Clip:
    end_s = max([0.0, *(b for _, b, _ in parts)])
    voice = Voice(segments=tuple(voices(speech)), duration_s=end_s, speech_s=0, speech_share=0)
    events = Events(
        timeline=timeline(*parts),
        duration_s=end_s,
        seconds={},
        loudness=Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None),
    )
    source = VideoSource(creator="c", video_id=name, frames_id=name, path=str(path))
    record = VideoRecord(source=source, stages={"voice": ok(voice), "events": ok(events)})
    root = path.parent
    return Clip(source, record, Media(), frames_root=root / "frames", records_root=root / "records")


def noise(seconds: float, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((round(seconds * RATE_HZ), 2)) * 0.1).astype(np.float32)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "sound.wav"
    write_sound(path, Sound(noise(12.0), RATE_HZ))
    return path


def value(outcome: Outcome) -> Separation:
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Separation)
    return outcome.value


def separate(clip: Clip, separator: Halves | None = None, when: str = "music") -> Separation:
    stage = SeparateStage(Separate.model_validate({"when": when}), separator or Halves())
    (outcome,) = stage.run([clip])
    found = value(outcome)
    clip.record = clip.record.with_stage("separate", ok(found))
    return found


def read(path: Path) -> Samples:
    return Audio(read_info(path), cache_bytes=0, check_time=lambda: None).samples(RATE_HZ, 2)


def stems(clip: Clip) -> tuple[Samples, Samples]:
    return read(clip.folder / VOCALS_FILE), read(clip.folder / ACCOMPANIMENT_FILE)


# ------------------------------------------------------------------------------ spans


@pytest.mark.parametrize(
    ("speech", "parts", "spans"),
    [
        ([(1, 4)], [(0, 20, "speech")], []),
        ([], [(0, 20, "music")], []),
        ([(5, 8)], [(0, 20, "speech_over_music")], [(4, 9)]),
        ([(5, 8)], [(0, 20, "music")], [(4, 9)]),  # singing
        ([(0.2, 8)], [(0, 8, "speech_over_music")], [(0, 8)]),  # not beyond the sound
        ([(5, 8)], [(0, 5.3, "music"), (5.3, 20, "speech")], []),  # the blur of a border
        ([(5, 8)], [(0, 5.3, "music"), (5.3, 6, "speech_over_music"), (6, 9, "speech")],
         [(4, 7)]),  # music goes on, whatever its name
        ([(5, 6), (10, 11)], [(0, 20, "music")], [(4, 12)]),  # near: one stretch
        ([(5, 6), (11.1, 12)], [(0, 20, "music")], [(4, 7), (10.1, 13)]),
        ([(1, 1.2), (2, 2.2), (3, 3.2)], [(0, 20, "music")], [(0, 4.2)]),  # 0.6 s together
    ],
)  # fmt: skip
def test_only_voice_over_music_is_separated(
    speech: Spans, parts: list[tuple[float, float, EventKind]], spans: Spans
) -> None:
    end_s = parts[-1][1]
    assert find_spans(voices(speech), timeline(*parts), end_s) == [
        pytest.approx(span) for span in spans
    ]


@given(
    sizes=st.lists(st.integers(0, 400), max_size=8),
    segment=st.integers(4, 200),
)
def test_chunks_cut_and_joined_are_the_sound_again(sizes: list[int], segment: int) -> None:
    whole = np.random.default_rng(1).standard_normal((sum(sizes), 2)).astype(np.float32)
    cutter, joiner = Cutter(len(whole), segment), Joiner(len(whole), segment)
    blocks = np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []
    found = [joiner.add(chunk) for block in blocks for chunk in cutter.feed(block)]
    assert joiner.complete
    np.testing.assert_allclose(np.concatenate([np.zeros((0, 2)), *found]), whole, atol=1e-5)


@pytest.mark.slow
def test_real_speech_is_left_alone_until_music_plays_behind_it(
    corpus: Path, tmp_path: Path
) -> None:
    speech = read(corpus / "speech" / "jfk.flac")[:, 0]
    music = music_like(len(speech) / RATE_HZ, rate_hz=RATE_HZ)[: len(speech)]
    path = tmp_path / "both.wav"
    write_sound(path, Sound(np.concatenate([speech, speech[: len(music)] + music / 4]), RATE_HZ))
    border_s = len(speech) / RATE_HZ
    detector = SileroDetector()
    with clip_of(path, [], []) as clip:
        for stage in (VoiceStage(VoiceSettings(), detector), EventsStage(EventsSettings())):
            stage.open()
            (outcome,) = stage.run([clip])
            assert isinstance(outcome, Ok)
            clip.record = clip.record.with_stage(stage.name, ok(outcome.value))
            stage.close()
        found = separate(clip)
    (span,) = found.spans
    assert span.start_s == pytest.approx(border_s, abs=4)  # as the timeline has it
    assert span.end_s == pytest.approx(2 * border_s, abs=0.1)


# ------------------------------------------------------------------------------ stems


def test_the_stems_hold_what_the_stage_promises(wav: Path) -> None:
    parts: list[tuple[float, float, EventKind]] = [(0, 6, "music"), (6, 12, "speech")]
    with clip_of(wav, [(2, 4), (8, 9)], parts) as clip:
        found = separate(clip)
        mix, (vocals, rest) = clip.audio.samples(RATE_HZ, 2), stems(clip)
    assert found.applied
    assert found.reason == "somebody speaks or sings over music"
    assert [(span.start_s, span.end_s) for span in found.spans] == [(1, 5)]
    assert (found.seconds, found.duration_s) == (4, 12)
    assert len(vocals) == len(rest) == len(mix)
    assert np.abs(vocals + rest - mix).max() <= 2 * STEP

    def at(start_s: float, end_s: float) -> slice:
        return slice(round(start_s * RATE_HZ), round(end_s * RATE_HZ))

    level = mix.mean()  # half of what deviates from the mean of the whole is the voice
    assert np.abs(vocals - (mix + level) / 2)[at(1.02, 4.98)].max() <= 2 * STEP
    assert np.abs(vocals - mix)[at(8, 9)].max() <= 2 * STEP
    for start_s, end_s in [(0, 1), (5, 7.8), (9.2, 12)]:
        assert not vocals[at(start_s, end_s)].any()


def test_all_of_it_where_that_is_asked_for(wav: Path) -> None:
    with clip_of(wav, [], [(0, 12, "other")]) as clip:
        found = separate(clip, when="always")
        mix, (vocals, _) = clip.audio.samples(RATE_HZ, 2), stems(clip)
    assert [(span.start_s, span.end_s) for span in found.spans] == [(0, 12)]
    assert found.reason == "separate.when is always"
    assert np.abs(vocals - mix / 2).max() <= 3 * STEP


def test_several_videos_go_through_one_stream_of_chunks(tmp_path: Path) -> None:
    clips, separator = [], Halves()
    for name, seconds in (("a", 3.0), ("b", 0.3), ("c", 7.7)):
        path = tmp_path / f"{name}.wav"
        write_sound(path, Sound(noise(seconds, seed=ord(name)), RATE_HZ))
        clips.append(clip_of(path, [(0, seconds)], [(0, seconds, "music")], name))
    (quiet,) = (clip_of(path, [(0, 1)], [(0, 1, "speech")], "d"),)
    stage = SeparateStage(Separate(when="always"), separator)
    outcomes = stage.run(clips)
    assert value(SeparateStage(Separate(), separator).run([quiet])[0]).applied is False
    assert separator.heard == sum(-(-value(o).duration_s // 0.75) for o in outcomes)
    for clip, outcome in zip(clips, outcomes, strict=True):
        assert value(outcome).applied
        mix, (vocals, rest) = clip.audio.samples(RATE_HZ, 2), stems(clip)
        assert np.abs(vocals - mix / 2).max() <= 3 * STEP
        assert np.abs(vocals + rest - mix).max() <= 2 * STEP


def test_one_unreadable_video_leaves_nothing_half_written(wav: Path) -> None:
    clips = [clip_of(wav, [(2, 4)], [(0, 12, "music")], name) for name in "ab"]
    clips[1].info  # noqa: B018  (read while the file is there)
    clips[1]._info = replace(clips[1].info, path=wav.with_name("gone.wav"))
    with pytest.raises(UnreadableMedia):
        SeparateStage(Separate(), Halves()).run(clips)
    assert not [p for clip in clips if clip.folder.exists() for p in clip.folder.iterdir()]


@pytest.mark.slow
def test_two_hours_need_no_more_memory_than_minutes(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    seconds = 240.0  # at 44.1 kHz in stereo: 85 MB
    write_sound(path, Sound(np.zeros(round(seconds * 8000), np.float32), 8000))
    with clip_of(path, [(0, seconds)], [(0, seconds, "music")]) as clip, ExitStack() as stack:
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        assert separate(clip).seconds == seconds
        assert tracemalloc.get_traced_memory()[1] < 45e6


# -------------------------------------------------------------------- nothing to separate


@pytest.mark.parametrize(
    ("when", "speech", "reason"),
    [
        ("never", [(0, 12)], "separate.when is never"),
        ("music", [], "nobody speaks or sings over music"),
        ("music", [(2, 2.4)], "nobody speaks or sings over music for 0.5 s"),
    ],
)
def test_stems_of_an_earlier_run_go(wav: Path, when: str, speech: Spans, reason: str) -> None:
    with clip_of(wav, [(2, 4)], [(0, 12, "music")]) as clip:
        assert separate(clip).applied
    separator = Halves()
    with clip_of(wav, speech, [(0, 12, "music")]) as clip:
        assert vocals_of(clip, RATE_HZ) is None
        found = separate(clip, separator, when)
        assert not list(clip.folder.iterdir())
        assert vocals_of(clip, RATE_HZ) is None
    assert (found.applied, found.reason, found.spans, found.vocals) == (False, reason, (), None)
    assert not separator.heard


def test_without_separation_no_weights_are_asked_for(tmp_path: Path) -> None:
    absent = DemucsSeparator(WeightStore(tmp_path), ModelPool(1))
    never = SeparateStage(Separate(when="never"), absent)
    assert never.weights == ()
    never.open()
    music = SeparateStage(Separate(), absent)
    assert music.weights == ("htdemucs",)
    with pytest.raises(EngineUnavailable):
        music.open()


def test_no_sound_is_skipped_with_the_reason(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", [Scene(0.5)])
    with clip_of(tmp_path / "mute.mp4", [], []) as clip:
        (outcome,) = SeparateStage(Separate(), Halves()).run([clip])
    assert outcome == Skipped("there is no audio stream")


# ------------------------------------------------------------------------- who reads them


def test_the_vocals_are_found_again_at_any_rate(wav: Path) -> None:
    with clip_of(wav, [(2, 4)], [(0, 12, "music")]) as clip:
        found = separate(clip)
        blocks = vocals_of(clip, 16000)
        assert blocks is not None
        mono = np.concatenate(list(blocks))
        assert mono.shape == (12 * 16000, 1)
        assert mono[2 * 16000 : 4 * 16000].std() > 100 * STEP
        assert not mono[6 * 16000 :].any()
        assert found.vocals is not None
        path = clip.folder / found.vocals.file
        path.write_bytes(path.read_bytes()[:-1])
        assert vocals_of(clip, 16000) is None
        path.unlink()
        assert vocals_of(clip, 16000) is None


def test_the_real_separator_through_the_whole_stage(tmp_path: Path, wav: Path) -> None:
    import torch
    from demucs.apply import apply_model

    write_htdemucs(tmp_path / "models")
    separator = DemucsSeparator(WeightStore(tmp_path / "models"), ModelPool(1))
    stage = SeparateStage(Separate(when="always"), separator)
    stage.open()
    short = tmp_path / "short.wav"
    write_sound(short, Sound(noise(0.3), RATE_HZ))
    with clip_of(short, [], [(0, 0.3, "other")]) as clip:
        found = value(stage.run([clip])[0])
        assert found.seconds == pytest.approx(0.3)
        mix, (vocals, _) = clip.audio.samples(RATE_HZ, 2), stems(clip)
    wave = torch.from_numpy(mix.T)
    mean, deviation = wave.mean(0).mean(), wave.mean(0).std() + 1e-8
    with separator._model() as bag:  # as demucs.api.Separator.separate_tensor
        theirs = apply_model(bag, ((wave - mean) / deviation)[None], shifts=0) * deviation + mean
    assert np.abs(vocals - theirs[0, 3].T.numpy()).max() < 1e-4
    stage.close()
