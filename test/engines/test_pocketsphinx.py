"""The packaged transcriber: real speech, whatever else is played to it, and nothing said aloud."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.audio.transcribe import Heard, Sound, Transcriber
from reelscope.engines.pocketsphinx import RATE_HZ, PocketSphinxTranscriber
from reelscope.engines.registry import REGISTRY
from reelscope.records import TranscriptWord
from reelscope.testing.sounds import music_like, noise

JFK = (
    "and so my fellow americans ask not what your country can do for you"
    " ask what you can do for your country"
)
MAYING = (
    "gave them warning that early upon the morrow she would ride a maying into the woods"
    " and fields beside westminster"
)


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketSphinxTranscriber]:
    made = PocketSphinxTranscriber()
    made.open()
    yield made
    made.close()


def decode(path: Path, start_s: float = 0.0, end_s: float = 30.0) -> np.ndarray:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        parts = [p for frame in container.decode(audio=0) for p in resampler.resample(frame)]
        parts += resampler.resample(None)
    samples = np.concatenate([part.to_ndarray()[0] for part in parts])
    return samples[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)]


def words_of(heard: Heard) -> list[TranscriptWord]:
    return [word for segment in heard.segments for word in segment.words]


def right_share(text: str, heard: Heard) -> float:
    """Words of the text that were heard, in its order, as a share of all."""
    found = [word.text for word in words_of(heard)]
    matcher = SequenceMatcher(None, text.split(), found, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(text.split())


def check(heard: Heard, duration_s: float) -> None:
    """What holds for everything that comes out."""
    assert heard.language == "en"
    assert heard.language_probability is None
    for segment in heard.segments:
        assert 0 <= segment.start_s < segment.end_s <= duration_s
        assert segment.text == " ".join(word.text for word in segment.words)
        assert segment.tokens == len(segment.words) > 0
        assert segment.avg_logprob is not None
        assert segment.avg_logprob <= 0
        for word in segment.words:
            assert 0 <= word.start_s < word.end_s <= duration_s
            assert word.probability is not None
            assert word.text
            assert not set("<>[]()+") & set(word.text)
    for before, after in pairwise(words_of(heard)):
        assert before.end_s <= after.start_s
    for first, second in pairwise(heard.segments):
        assert first.end_s <= second.start_s


# ----------------------------------------------------------------------- real speech


@pytest.fixture(scope="module")
def jfk(corpus: Path) -> np.ndarray:
    """From 0.3 s to 10.6 s somebody speaks, says stage `voice`."""
    return decode(corpus / "speech" / "jfk.flac", 0.3, 10.6)


@pytest.fixture(scope="module")
def maying(corpus: Path) -> np.ndarray:
    return decode(corpus / "speech" / "librispeech-3436-172162-0000.ogg", 8.2)


@pytest.mark.slow
def test_half_of_a_real_speech(engine: PocketSphinxTranscriber, jfk: np.ndarray) -> None:
    (heard,) = engine.transcribe([Sound(jfk, video=0)])
    check(heard, len(jfk) / RATE_HZ)
    assert right_share(JFK, heard) >= 0.5
    assert len(heard.segments) >= 2
    fellow = next(word for word in words_of(heard) if word.text == "fellow")
    assert fellow.start_s == pytest.approx(0.95, abs=0.15)
    assert fellow.end_s == pytest.approx(1.33, abs=0.15)


@pytest.mark.slow
def test_a_real_reading_loud_and_quiet(engine: PocketSphinxTranscriber, maying: np.ndarray) -> None:
    loud, quiet = engine.transcribe([Sound(maying, 0), Sound(maying * 3e-4, 1)])  # -92 dB
    for heard in (loud, quiet):
        check(heard, len(maying) / RATE_HZ)
        assert right_share(MAYING, heard) >= 0.5


@pytest.mark.slow
def test_the_same_sound_gives_the_same_words_whatever_came_before(
    engine: PocketSphinxTranscriber, jfk: np.ndarray, maying: np.ndarray
) -> None:
    one, other = jfk[: 2 * RATE_HZ], maying[: 2 * RATE_HZ] * np.float32(0.1)
    (first,) = engine.transcribe([Sound(one, 0)])
    engine.transcribe([Sound(other, 0)])
    (alone,) = engine.transcribe([Sound(one, 0)])
    among = engine.transcribe([Sound(other, 0), Sound(one, 0), Sound(other, 1)])
    assert first == alone == among[1]
    assert among[0] == among[2]
    assert words_of(first)


# ---------------------------------------------------------------------- other sounds


SOUNDS = {
    "nothing": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
    "a tenth of a second": noise(0.1, rate_hz=RATE_HZ, seed=1),
    "silence": np.zeros(RATE_HZ, np.float32),
    "clipped": np.clip(noise(2, rate_hz=RATE_HZ, seed=2) * 100, -1, 1).astype(np.float32),
    "over full scale": noise(1, rate_hz=RATE_HZ, seed=3) * np.float32(1e6),
    "denormal": np.full(RATE_HZ, 1e-42, np.float32),
    "music": music_like(1.5, rate_hz=RATE_HZ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUNDS)
def test_any_sound_gives_words_in_order_or_none(engine: PocketSphinxTranscriber, name: str) -> None:
    samples = np.asarray(SOUNDS[name], np.float32).reshape(-1)
    (heard,) = engine.transcribe([Sound(samples, video=0)])
    check(heard, len(samples) / RATE_HZ)


@pytest.mark.parametrize("name", ["nothing", "one sample", "silence", "denormal"])
def test_silence_is_no_word(engine: PocketSphinxTranscriber, name: str) -> None:
    (heard,) = engine.transcribe([Sound(SOUNDS[name], video=0)])
    assert heard.segments == ()


@settings(deadline=None, max_examples=15)
@given(
    samples=st.lists(st.floats(-1, 1, width=32), min_size=0, max_size=4),
    repeat=st.integers(1, 4000),
)
def test_any_short_sound(
    engine: PocketSphinxTranscriber, samples: list[float], repeat: int
) -> None:
    sound = np.tile(np.array(samples, np.float32), repeat)
    (heard,) = engine.transcribe([Sound(sound, video=0)])
    check(heard, len(sound) / RATE_HZ)


# ------------------------------------------------------------------------- the engine


def test_what_it_says_of_itself(engine: PocketSphinxTranscriber) -> None:
    typed: Transcriber = engine
    assert typed.accuracy == "low"
    assert typed.languages == ("en",)
    assert typed.engine.startswith("pocketsphinx 5.")
    assert [REGISTRY[name].package for name in typed.weights] == ["pocketsphinx"]
    assert engine.transcribe([]) == []


def test_it_opens_again_after_it_was_closed() -> None:
    engine = PocketSphinxTranscriber()
    engine.open()
    engine.close()
    (heard,) = engine.transcribe([Sound(noise(0.3, rate_hz=RATE_HZ, seed=1), video=0)])
    check(heard, 0.3)
    engine.close()


def test_it_says_nothing_on_the_terminal() -> None:
    """The vendor's C code writes to stderr where nobody stops it."""
    code = """
import numpy as np
from reelscope.audio.transcribe import Sound
from reelscope.engines.pocketsphinx import PocketSphinxTranscriber
engine = PocketSphinxTranscriber()
engine.open()
engine.transcribe([Sound(np.zeros(16000, np.float32), 0), Sound(np.zeros(0, np.float32), 0)])
engine.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
