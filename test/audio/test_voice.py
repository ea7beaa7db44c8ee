"""Speech segments: the rules, recordings with known pauses, and the stage on files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from reelscope.audio.voice import RATE_HZ, WINDOW, VoiceStage, find_speech, voice
from reelscope.engines.silero import SileroDetector
from reelscope.media.clip import Clip
from reelscope.records import Ok, Outcome, Skipped, VideoRecord, VideoSource, Voice
from reelscope.settings import Media
from reelscope.settings import Voice as Settings
from reelscope.testing.media import Scene, write_sound, write_video
from reelscope.testing.sounds import music_like, noise, silence
from reelscope.testing.speech import speech_like

SETTINGS = Settings()
Spans = list[tuple[float, float]]


class Says:
    """A detector that always says the same, whatever it hears."""

    engine = "says 1"

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def open(self) -> None: ...

    def close(self) -> None: ...

    def probabilities(self, blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        samples = sum(len(block) for block in blocks)
        return np.full(-(-samples // WINDOW), self.probability, np.float32)


@pytest.fixture(scope="module")
def stage() -> Iterator[VoiceStage]:
    one = VoiceStage(SETTINGS, SileroDetector())
    one.open()
    yield one
    one.close()


def listen(stage: VoiceStage, path: Path) -> Outcome:
    source = VideoSource(creator="c", video_id="v", frames_id="v", path=str(path))
    with Clip(source, VideoRecord(source=source), Media(), frames_root=path.parent) as clip:
        (outcome,) = stage.run([clip])
    return outcome


def heard(stage: VoiceStage, path: Path) -> Voice:
    outcome = listen(stage, path)
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Voice)
    return outcome.value


# ----------------------------------------------------------------------------- the rules


def windows(*parts: tuple[int, float]) -> NDArray[np.float32]:
    return np.concatenate([np.full(count, value, np.float32) for count, value in parts])


def test_speech_lasts_through_doubt_and_short_gaps() -> None:
    found = windows((10, 0), (20, 0.9), (10, 0.4), (10, 0.6), (3, 0.1), (10, 0.9), (20, 0))
    # in windows: from 10 to 63; the gap of 3 windows (96 ms) is shorter than 100 ms
    assert find_speech(found, len(found) * WINDOW, SETTINGS) == [
        (10 * WINDOW - 480, 63 * WINDOW + 480)
    ]


def test_short_speech_is_dropped_and_speech_at_the_end_is_not_padded_over_it() -> None:
    found = windows((10, 0), (7, 0.9), (10, 0), (20, 0.9))
    samples = len(found) * WINDOW - 100
    assert find_speech(found, samples, SETTINGS) == [(27 * WINDOW - 480, samples)]


def test_a_gap_too_short_for_the_padding_is_shared() -> None:
    settings = Settings(pad_s=0.5, min_silence_s=0.1)
    found = windows((20, 0.9), (8, 0), (20, 0.9))
    assert find_speech(found, 48 * WINDOW, settings) == [
        (0, 24 * WINDOW),
        (24 * WINDOW, 48 * WINDOW),
    ]


def test_the_value_says_how_sure_it_is_and_how_much_there_is() -> None:
    found = voice(windows((25, 0.0), (50, 0.75), (25, 0.0)), 100 * WINDOW, Settings(pad_s=0))
    (segment,) = found.segments
    assert segment.probability == 0.75
    assert found.duration_s == 3.2
    assert found.speech_s == pytest.approx(1.6)
    assert found.speech_share == pytest.approx(0.5)


@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.9, 1.0]), max_size=200),
    cut=st.integers(0, WINDOW - 1),
    settings=st.builds(
        Settings,
        threshold=st.floats(0, 1),
        min_speech_s=st.floats(0, 1),
        min_silence_s=st.floats(0, 1),
        pad_s=st.floats(0, 1),
    ),
)
def test_segments_are_in_order_apart_and_inside(
    probabilities: list[float], cut: int, settings: Settings
) -> None:
    samples = max(0, len(probabilities) * WINDOW - cut)
    value = voice(np.array(probabilities, np.float32), samples, settings)
    borders = [border for s in value.segments for border in (s.start_s, s.end_s)]
    assert borders == sorted(borders)
    assert all(0 <= border <= value.duration_s for border in borders)
    assert all(s.start_s < s.end_s for s in value.segments)
    assert value.speech_s == pytest.approx(sum(s.end_s - s.start_s for s in value.segments))


# --------------------------------------------------------------------------- recordings


def decode(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return np.concatenate([f.to_ndarray()[0] for f in [*frames, *resampler.resample(None)]])


def pauses(sound: NDArray[np.float32], at_least_s: float) -> Spans:
    """Stretches in which a clean recording has no energy where voices have theirs.

    Quiet: 32 dB below the loud frames, or 8 dB above the recording's own noise.
    """
    voices = butter(4, [150, 4000], "bandpass", fs=RATE_HZ, output="sos")
    frames = sosfilt(voices, sound)[: len(sound) // 160 * 160].reshape(-1, 160)
    power = np.convolve(np.square(frames).mean(axis=1), np.ones(3) / 3, "same")
    level = 10 * np.log10(power + 1e-10)
    floor, loud = np.percentile(level, [3, 95])
    quiet = np.concatenate([[False], level < max(floor + 8, loud - 32), [False]])
    spans = np.flatnonzero(np.diff(quiet.astype(int))).reshape(-1, 2) / 100
    return [(float(a), float(b)) for a, b in spans if b - a >= at_least_s]


def gaps(value: Voice) -> Spans:
    borders = [0.0, *(b for s in value.segments for b in (s.start_s, s.end_s)), value.duration_s]
    return list(zip(borders[::2], borders[1::2], strict=True))


def off_by_s(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


SPEECH = [
    "speech/jfk.flac",
    "speech/librispeech-198-209-0000.ogg",
    "speech/librispeech-3436-172162-0000.ogg",
    "speech/librispeech-5703-47212-0000.ogg",
    "speech/multilingual.mp3",
    "video/nasa_13013.mp4",
]
WEAK_START = ("speech/librispeech-198-209-0000.ogg", 0.0)
"""Its first two syllables are so weak that silero-vad (the package as well) finds the
beginning 0.25 s late; the one border in these recordings that is off by more than 0.2 s."""


@pytest.mark.parametrize("name", SPEECH)
def test_pauses_of_real_speech_are_found_within_200_ms(
    stage: VoiceStage, corpus: Path, name: str
) -> None:
    value, truth = heard(stage, corpus / name), pauses(decode(corpus / name), 0.3)
    assert len(truth) >= 2
    for pause in truth:
        allowed_s = 0.3 if (name, pause[0]) == WEAK_START else 0.2
        assert min(off_by_s(pause, gap) for gap in gaps(value)) <= allowed_s, pause
    for gap in gaps(value):
        if gap[1] - gap[0] >= 0.5:
            assert min(off_by_s(gap, pause) for pause in truth) <= 0.3, gap
    assert value.speech_share > 0.7
    assert min(s.probability for s in value.segments) > 0.7


def test_instruments_are_not_speech(stage: VoiceStage, corpus: Path) -> None:
    for name in ("JRPG_tavern.ogg", "02_-_BWV_1007_-_Prelude.ogg", "HHavok-intro.ogg"):
        assert heard(stage, corpus / "music" / name).segments == ()


# ----------------------------------------------------------------------------- the stage


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_phrases_of_a_file_are_found(tmp_path: Path, stage: VoiceStage, rate_hz: int) -> None:
    samples, truth = speech_like(20, rate_hz=rate_hz, seed=2)
    write_sound(tmp_path / "speech.wav", samples, rate_hz=rate_hz)
    found = heard(stage, tmp_path / "speech.wav")
    assert found.duration_s == pytest.approx(20, abs=0.01)
    long_pauses = [pause for pause in truth.pauses_s if pause[1] - pause[0] > 0.4]
    assert long_pauses
    for pause in long_pauses:
        assert min(off_by_s(pause, gap) for gap in gaps(found)) < 0.2


@pytest.mark.parametrize(
    "sound",
    [silence(0.02), silence(3), music_like(3), noise(3), np.full(44100, 0.5, np.float32)],
    ids=["0.02 s", "silence", "music", "noise", "constant"],
)
def test_nobody_speaks(tmp_path: Path, stage: VoiceStage, sound: NDArray[np.float32]) -> None:
    write_sound(tmp_path / "sound.wav", sound)
    found = heard(stage, tmp_path / "sound.wav")
    assert found.segments == ()
    assert found.speech_s == found.speech_share == 0
    assert found.duration_s == pytest.approx(len(sound) / 44100, abs=0.01)


def test_a_video_without_sound_is_skipped(tmp_path: Path, stage: VoiceStage) -> None:
    write_video(tmp_path / "mute.mp4", [Scene(seconds=0.5)])
    assert listen(stage, tmp_path / "mute.mp4") == Skipped("there is no audio stream")


def test_broken_samples_do_not_spoil_the_rest(tmp_path: Path, stage: VoiceStage) -> None:
    """A decoder's NaN would otherwise stay in the model's memory to the end."""
    samples, _ = speech_like(10, rate_hz=RATE_HZ, seed=4)
    whole = samples.copy()
    samples[8000:8003] = (np.nan, np.inf, -np.inf)
    _write_float_wav(tmp_path / "holed.wav", samples)
    _write_float_wav(tmp_path / "whole.wav", whole)
    holed, clean = heard(stage, tmp_path / "holed.wav"), heard(stage, tmp_path / "whole.wav")
    assert [s.start_s for s in holed.segments] == [s.start_s for s in clean.segments]


def _write_float_wav(path: Path, samples: NDArray[np.float32]) -> None:
    """PCM of 32 bit floats at 16 kHz, which can hold any number."""
    from scipy.io import wavfile

    wavfile.write(path, RATE_HZ, samples.astype(np.float32))


def test_the_stage_names_its_engine_and_its_settings() -> None:
    stage = VoiceStage(SETTINGS, Says(1.0))
    assert (stage.name, stage.needs, stage.uses, stage.lane) == ("voice", (), (), "cpu")
    assert stage.engine == "says 1"
    assert stage.settings == SETTINGS


def test_a_clip_longer_than_a_block_is_one_sound(tmp_path: Path) -> None:
    write_sound(tmp_path / "long.wav", silence(65, rate_hz=8000), rate_hz=8000)
    found = heard(VoiceStage(SETTINGS, Says(1.0)), tmp_path / "long.wav")
    (segment,) = found.segments
    assert (segment.start_s, segment.end_s) == (0.0, found.duration_s)
    assert found.duration_s == pytest.approx(65, abs=0.01)
    assert found.speech_share == 1.0
