"""The silero adapter: same numbers as the vendor's own code, in bounded memory, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.audio.voice import RATE_HZ, WINDOW, find_speech
from reelscope.engines import silero
from reelscope.engines.silero import SileroDetector
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.settings import Voice
from reelscope.testing.sounds import music_like, noise, sequence, silence
from reelscope.testing.speech import speech_like

VENDOR = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, torch
from silero_vad import get_speech_timestamps, load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

def keywords(settings):
    return {
        "threshold": settings["threshold"],
        "min_speech_duration_ms": settings["min_speech_s"] * 1000,
        "min_silence_duration_ms": settings["min_silence_s"] * 1000,
        "speech_pad_ms": settings["pad_s"] * 1000,
    }

asked = json.load(sys.stdin)
model, found = load_silero_vad(onnx=True), []
for path in asked["sounds"]:
    sound = torch.from_numpy(np.load(path))
    padded = torch.nn.functional.pad(sound, (0, -len(sound) % 512))
    own = model.audio_forward(padded[None], 16000)[0].tolist()
    found.append([own, [(s["start"], s["end"]) for s in get_speech_timestamps(sound, model)]])
rules = [
    [(s["start"], s["end"]) for s in get_speech_timestamps_from_probs(
        case["probabilities"], audio_length_samples=case["samples"], **keywords(case["settings"]))]
    for case in asked["cases"]
]
json.dump({"sounds": found, "rules": rules}, sys.stdout)
"""


@pytest.fixture(scope="module")
def detector() -> Iterator[SileroDetector]:
    one = SileroDetector()
    one.open()
    yield one
    one.close()


def scene() -> np.ndarray:
    """Speech, silence, music, noise: 20 s and a bit, no whole number of windows."""
    speech, _ = speech_like(8, seed=3)
    return sequence(
        speech,
        silence(3, rate_hz=RATE_HZ),
        music_like(5, rate_hz=RATE_HZ),
        noise(4.01, rate_hz=RATE_HZ),
    )


def random_cases(count: int) -> list[dict[str, object]]:
    """Probabilities that linger and jump, with settings of all sizes."""
    rng = np.random.default_rng(5)
    cases = []
    for _ in range(count):
        samples = int(rng.integers(1, 90000))
        windows = -(-samples // WINDOW)
        level = np.repeat(rng.random(windows), rng.integers(1, 9, windows))[:windows]
        wobble = rng.normal(0, rng.choice([0, 0.1, 0.3]), windows)
        settings = {
            "threshold": float(rng.choice([0.05, 0.3, 0.5, 0.9])),
            "min_speech_s": float(rng.choice([0, 0.1, 0.25, 1.0])),
            "min_silence_s": float(rng.choice([0, 0.032, 0.1, 0.5])),
            "pad_s": float(rng.choice([0, 0.03, 0.1, 0.4])),
        }
        probabilities = np.clip(level + wobble, 0, 1).astype(np.float32)
        cases.append(
            {"samples": samples, "settings": settings, "probabilities": probabilities.tolist()}
        )
    return cases


@pytest.mark.slow
def test_equal_to_the_package_itself(tmp_path: Path, detector: SileroDetector) -> None:
    """Probabilities to 1e-6, segments to the sample, rules on any settings."""
    sounds = [scene(), scene()[:100], scene()[: 512 * 40]]
    corpus = Path(__file__).parents[3] / "shared" / "corpus" / "speech"
    sounds += [_decoded(path) for path in sorted(corpus.glob("*"))]
    paths = [tmp_path / f"{i}.npy" for i in range(len(sounds))]
    for path, sound in zip(paths, sounds, strict=True):
        np.save(path, sound)
    cases = random_cases(400)
    done = subprocess.run(
        [sys.executable, "-c", VENDOR],
        input=json.dumps({"sounds": [str(path) for path in paths], "cases": cases}),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    for sound, (probabilities, segments) in zip(sounds, theirs["sounds"], strict=True):
        ours = detector.probabilities([sound])
        np.testing.assert_allclose(ours, probabilities, atol=1e-6)
        assert find_speech(ours, len(sound), Voice()) == [tuple(s) for s in segments]
    for case, segments in zip(cases, theirs["rules"], strict=True):
        probabilities = np.array(case["probabilities"], np.float32)
        ours = find_speech(probabilities, case["samples"], Voice(**case["settings"]))
        assert ours == [tuple(s) for s in segments], case["settings"]


def _decoded(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return np.concatenate([f.to_ndarray()[0] for f in [*frames, *resampler.resample(None)]])


def test_hears_speech_and_nothing_else(detector: SileroDetector) -> None:
    found = detector.probabilities([scene()])
    seconds = np.arange(len(found)) * WINDOW / RATE_HZ
    assert np.median(found[seconds < 8]) > 0.8
    assert found[seconds > 9].max() < 0.5
    assert len(found) == -(-len(scene()) // WINDOW)


@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, 16000 * 20), max_size=6))
def test_the_size_of_the_blocks_does_not_matter(cuts: list[int]) -> None:
    one = SileroDetector()
    one.open()
    sound = scene()
    whole = one.probabilities([sound])
    split = one.probabilities(iter(np.split(sound, sorted(cuts))))
    np.testing.assert_array_equal(split, whole)


def test_two_threads_share_one_detector(detector: SileroDetector) -> None:
    sounds = [scene(), scene()[::-1].copy()] * 4
    alone = [detector.probabilities([sound]) for sound in sounds[:2]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda sound: detector.probabilities([sound]), sounds))
    for i, probabilities in enumerate(found):
        np.testing.assert_array_equal(probabilities, alone[i % 2])


@pytest.mark.parametrize("samples", [0, 1, 320, 512, 513])
def test_as_many_probabilities_as_begun_windows(detector: SileroDetector, samples: int) -> None:
    found = detector.probabilities([np.zeros(samples, np.float32)])
    assert found.shape == (-(-samples // WINDOW),)
    assert found.dtype == np.float32


def test_a_long_sound_is_never_held(detector: SileroDetector) -> None:
    """A block is let go before the next but one is asked for."""
    import weakref

    alive: list[weakref.ref[np.ndarray]] = []

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(5):
            assert sum(ref() is not None for ref in alive) <= 2
            block = np.zeros(RATE_HZ * 5, np.float32)
            alive.append(weakref.ref(block))
            yield block

    assert len(detector.probabilities(blocks())) == -(-RATE_HZ * 25 // WINDOW)


def test_engine_names_the_release_of_the_weights(detector: SileroDetector) -> None:
    assert detector.engine == f"silero-vad {version('silero-vad')}"


def test_asked_before_it_is_opened() -> None:
    with pytest.raises(EngineFailed, match="before it was opened"):
        SileroDetector().probabilities([])


def test_without_the_package_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="not installed") as caught:
        SileroDetector().open()
    assert "pip install" in caught.value.remedy


def test_without_the_model_file_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "MODEL", "another.onnx")
    with pytest.raises(EngineUnavailable, match=r"carries no another\.onnx"):
        SileroDetector().open()


def test_opening_it_imports_no_torch() -> None:
    program = (
        "import sys; from reelscope.engines.silero import SileroDetector as D; "
        "light = not {'onnxruntime', 'silero_vad'} & set(sys.modules); d = D(); d.open(); "
        "sys.exit(0 if light and not {'torch', 'silero_vad'} & set(sys.modules) else 1)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
