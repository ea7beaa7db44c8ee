"""How right and how fast are the stages voice and events? `python bench/audio.py [--scenes N]`.

Scenes of about a minute are cut together from the material of bench/events_material.py
and written to files; the stages read those. Truth is known to the sample, except inside
speech, where what silero-vad finds in the speech alone is the truth and its pauses do not
count. The confusion matrix is in seconds. The constants of the model were fitted on the
same recordings (bench/fit_events.py tells what they do on new ones), so at the end come
real recordings that nothing was fitted on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import events_material as material
import numpy as np
from events_material import RATE_HZ, Rng, Sound, at_level
from numpy.typing import NDArray

from reelscope.audio.events import CELLS_PER_S, KINDS, EventsStage
from reelscope.audio.voice import VoiceStage, find_speech
from reelscope.engines.silero import SileroDetector
from reelscope.media.clip import Clip
from reelscope.records import Events, Ok, StageRecord, Value, VideoRecord, VideoSource, Voice
from reelscope.settings import Settings
from reelscope.testing.media import write_sound

SPEECH, MUSIC, BOTH, OTHER, SILENCE = range(5)
UNKNOWN = -1
CELL = RATE_HZ // CELLS_PER_S


def scene(rng: Rng, detector: SileroDetector, parts: int) -> tuple[Sound, NDArray[np.int_]]:
    """Parts of 3 to 12 s, and the kind of every 10 ms; music goes on from part to part."""
    tracks, voices = material.music_tracks(), material.speech_tracks()
    track, voice = tracks[rng.integers(len(tracks))], voices[rng.integers(len(voices))]
    music = at_level(material.excerpt(rng, track.sound, 12.0 * parts), -20)
    sounds, truths, at, before = [], [], 0, -1
    for _ in range(parts):
        kind = rng.choice([k for k in range(5) if k != before])
        seconds = round(rng.uniform(3, 12), 2)
        size = round(seconds * RATE_HZ)
        background = music[at : at + size]
        truth = np.full(size // CELL, kind)
        if kind == SILENCE:
            sound = at_level(rng.standard_normal(size), rng.uniform(-90, -60))
        elif kind == OTHER:
            name = rng.choice([n for n in material.NOISES if n != "babble"])
            sound = at_level(material.noise(rng, str(name), seconds), -22)
        elif kind == MUSIC:
            sound = background
        else:
            speech = at_level(material.spoken(rng, seconds, voice), -20)
            truth = np.where(_spoken(speech, detector), kind, MUSIC if kind == BOTH else UNKNOWN)
            ratio_db = rng.uniform(0, 18)
            sound = speech + background * 10 ** (-ratio_db / 20) if kind == BOTH else speech
        sounds.append(sound[: len(truth) * CELL])
        truths.append(truth)
        at, before = at + size, kind
    level = rng.uniform(-6, 6)
    return np.concatenate(sounds) * np.float32(10 ** (level / 20)), np.concatenate(truths)


def _spoken(speech: Sound, detector: SileroDetector) -> NDArray[np.bool_]:
    found = np.zeros(len(speech) // CELL, bool)
    for start, end in find_speech(detector.probabilities([speech]), len(speech), Settings().voice):
        found[start // CELL : end // CELL] = True
    return found


class Listener:
    """Both stages, on files."""

    def __init__(self) -> None:
        settings = Settings()
        self._media = settings.media
        self.stages = (
            VoiceStage(settings.voice, SileroDetector()),
            EventsStage(settings.events),
        )
        self.seconds = {stage.name: 0.0 for stage in self.stages}
        self.heard_s = 0.0
        for stage in self.stages:
            stage.open()

    def __call__(self, path: Path) -> tuple[Voice, Events]:
        source = VideoSource(creator="c", video_id="v", frames_id="v", path=str(path))
        values: list[Value] = []
        record = VideoRecord(source=source)
        with Clip(source, record, self._media, frames_root=path.parent) as clip:
            assert clip.audio.check().bad == 0  # decoded before the clock runs
            for stage in self.stages:
                begun = time.perf_counter()
                (outcome,) = stage.run([clip])
                self.seconds[stage.name] += time.perf_counter() - begun
                assert isinstance(outcome, Ok)
                values.append(outcome.value)
                clip.record = clip.record.with_stage(
                    stage.name, StageRecord(status="ok", key="", engine="", value=outcome.value)
                )
        voice, events = values
        assert isinstance(voice, Voice)
        assert isinstance(events, Events)
        self.heard_s += events.duration_s
        return voice, events


def cells(events: Events, count: int) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Kind and confidence of every 10 ms."""
    kinds, sure = np.zeros(count, int), np.zeros(count)
    for event in events.timeline:
        part = slice(round(event.start_s * CELLS_PER_S), round(event.end_s * CELLS_PER_S))
        kinds[part], sure[part] = KINDS.index(event.kind), event.confidence
    return kinds, sure


def scenes(listen: Listener, count: int, seed: int) -> Iterator[tuple[NDArray[np.int_], ...]]:
    detector = SileroDetector()
    detector.open()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            sound, truth = scene(np.random.default_rng([seed, i]), detector, parts=8)
            path = Path(folder) / "scene.wav"
            write_sound(path, sound, rate_hz=RATE_HZ)
            kinds, sure = cells(listen(path)[1], len(truth))
            known = truth != UNKNOWN
            yield truth[known], kinds[known], sure[known]


def print_confusion(truth: NDArray[np.int_], found: NDArray[np.int_]) -> None:
    seconds = np.zeros((5, 5))
    np.add.at(seconds, (truth, found), 1 / CELLS_PER_S)
    print(f"{'is, seconds':>18} " + " ".join(f"{kind:>17}" for kind in KINDS) + "   found")
    for kind, row in zip(KINDS, seconds, strict=True):
        share = row[KINDS.index(kind)] / row.sum()
        print(f"{kind:>18} " + " ".join(f"{value:17.1f}" for value in row) + f"  {share:6.1%}")
    shares = np.diag(seconds) / seconds.sum(axis=1)
    print(f"right: {np.trace(seconds) / seconds.sum():.1%} of the time, mean {shares.mean():.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    listen = Listener()
    parts = zip(*scenes(listen, given.scenes, given.seed), strict=True)
    truth, found, sure = (np.concatenate(part) for part in parts)
    print_confusion(truth, found)
    print("confidence -> how often it is right")
    for low in (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        high = {0.0: 0.5, 0.9: 0.95, 0.95: 1.01}.get(low, low + 0.1)
        rows = (sure >= low) & (sure < high)
        if rows.any():
            right = np.mean(truth[rows] == found[rows])
            print(f"  {low:.2f}-{min(high, 1):.2f} {right:6.1%}  of {rows.mean():.1%}")
    for name, seconds in listen.seconds.items():
        print(f"{name}: {listen.heard_s / seconds:.0f} times real time")
    print("real recordings, share of time by kind:")
    for path in sorted((material.CORPUS / "video").iterdir()):
        if path.stem in material.HELD_OUT:
            events = listen(path)[1]
            shares = {k: f"{v / events.duration_s:.0%}" for k, v in events.seconds.items() if v}
            print(f"  {path.name:28s} {shares} {events.loudness}")


if __name__ == "__main__":
    main()
