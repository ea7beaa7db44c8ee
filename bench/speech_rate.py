"""How well syllables are counted: `python bench/speech_rate.py [--save]`.

Needs ../shared/corpus. The readings are real; two of them have a known text. Besides the
count itself, what must not change it is changed: tempo (FFmpeg's atempo, pitch kept) and
music underneath. Speech segments come from silero-vad on the changed sound, as in a run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import machine
import numpy as np
from numpy.typing import NDArray

from reelscope.audio import syllables
from reelscope.audio.speech_rate import Timing, timing
from reelscope.audio.voice import voice
from reelscope.engines.silero import SileroDetector
from reelscope.settings import SpeechRate, Voice

Sound = NDArray[np.float32]
RATE_HZ = syllables.RATE_HZ
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
TEXTS = {
    # "And so my fellow Americans, ask not what your country can do for you, ask what you
    # can do for your country."
    "jfk.flac": 28,
    # "With her white paint and her scarlet smokestack, the Inverashiel, one of the two
    # small steamers that during the summer months plied up and down the loch, and
    # incidentally carried on communication between Inverashiel and Crianan"
    "librispeech-5703-47212-0000.ogg": 59,
    "librispeech-198-209-0000.ogg": None,
    "librispeech-3436-172162-0000.ogg": None,
}
MUSIC = (
    "admiralbob77_-_Choice_-_Drum-bass.hq.ogg",
    "Kevin_MacLeod_-_Vibe_Ace.hq.ogg",
    "Hungarian_Dance_number_5_-_Allegro_in_F_sharp_minor_string_orchestra.hq.ogg",
    "Karissa_Hobbs_-_Lets_Go_Fishin.hq.ogg",
    "Chibi_Ninja.ogg",
    "442789__lena-orsa__happy-music-pistachio-ice-cream-ragtime.hq.ogg",
)


def decode(path: Path) -> Sound:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def at_tempo(sound: Sound, tempo: float) -> Sound:
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=RATE_HZ, format="flt", layout="mono", time_base=Fraction(1, RATE_HZ)
    )
    stretch, sink = graph.add("atempo", str(tempo)), graph.add("abuffersink")
    source.link_to(stretch)
    stretch.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(sound[None], "flt", "mono")
    frame.sample_rate, frame.pts = RATE_HZ, 0
    source.push(frame)
    source.push(None)
    parts = []
    while True:
        try:
            parts.append(sink.pull().to_ndarray()[0])
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(parts)


def over(sound: Sound, music: Sound, ratio_db: float) -> Sound:
    under = np.resize(music, sound.size)
    gain = np.sqrt(np.mean(sound**2) / np.mean(under**2) / 10 ** (ratio_db / 10))
    return np.asarray(sound + gain * under, np.float32)


def listen(detector: SileroDetector, sound: Sound) -> Timing:
    found = voice(detector.probabilities([sound]), sound.size, Voice())
    segments = [(segment.start_s, segment.end_s) for segment in found.segments]
    return timing(syllables.measure([sound], segments), SpeechRate())


@contextmanager
def variant(name: str) -> Iterator[None]:
    """The method with one of its choices undone."""
    window, exponent = syllables._LEVEL_WINDOW, syllables.LOUDNESS_EXPONENT
    if name == "window of the script (50 Hz)":
        wide = np.kaiser(round(6.4 / 50 * RATE_HZ) | 1, 20.24)
        syllables._LEVEL_WINDOW = wide / wide.sum()
    if name == "plain power, no loudness":
        syllables.LOUDNESS_EXPONENT = 1.0
    yield
    syllables._LEVEL_WINDOW, syllables.LOUDNESS_EXPONENT = window, exponent


def changes(sounds: dict[str, Sound]) -> dict[str, list[tuple[str, Callable[[], Sound]]]]:
    """Name of a change -> the recording and how to make its changed sound."""
    music = [decode(CORPUS / "music" / name)[10 * RATE_HZ :] for name in MUSIC]
    made: dict[str, list[tuple[str, Callable[[], Sound]]]] = {}
    for tempo in (0.7, 1.25, 1.5, 2.0):
        made[f"tempo {tempo:g}"] = [
            (name, lambda s=sound, t=tempo: at_tempo(s, t)) for name, sound in sounds.items()
        ]
    for ratio_db in (10, 5, 0):
        made[f"music at {ratio_db} dB"] = [
            (name, lambda s=sound, m=track, r=ratio_db: over(s, m, r))
            for name, sound in sounds.items()
            for track in music
        ]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    detector = SileroDetector()
    detector.open()
    sounds = {name: decode(CORPUS / "speech" / name) for name in TEXTS}
    changed = {
        change: [(name, make()) for name, make in made] for change, made in changes(sounds).items()
    }
    figures: dict[str, dict[str, object]] = {}
    print(machine.describe())
    for name in ("as it is", "window of the script (50 Hz)", "plain power, no loudness"):
        print(f"\n{name}")
        with variant(name):
            figures[name] = judge(detector, sounds, changed)
    if options.save:
        machine.save("speech_rate", figures)


def judge(
    detector: SileroDetector,
    sounds: dict[str, Sound],
    changed: dict[str, list[tuple[str, Sound]]],
) -> dict[str, object]:
    plain = {name: listen(detector, sound) for name, sound in sounds.items()}
    counts = {name: found.nuclei_s.size for name, found in plain.items()}
    print("recording, syllables counted, in the text, articulation per second, pauses")
    for name, found in plain.items():
        rate = found.nuclei_s.size / found.speaking_s
        print(
            f"  {name:34} {counts[name]:3} {TEXTS[name]!s:>5} {rate:5.2f} {len(found.pauses_s):3}"
        )
    print("change: mean difference of the count to the unchanged sound, mean absolute difference")
    drifts = {}
    for change, cases in changed.items():
        drift = np.array(
            [listen(detector, sound).nuclei_s.size / counts[name] - 1 for name, sound in cases]
        )
        drifts[change] = [round(float(drift.mean()), 3), round(float(np.abs(drift).mean()), 3)]
        print(f"  {change:16} {drift.mean():+.0%} {np.abs(drift).mean():.0%}")
    return {"counts": counts, "drift": drifts}


if __name__ == "__main__":
    main()
