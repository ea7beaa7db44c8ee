"""Fit the constants of `reelscope.audio.musicality` and say how good they are.

    python bench/fit_events.py [--clips 3600] [--save FILE]

Clips of 12 s are put together from recordings and synthetic sounds of known kind
(bench/events_material.py), at random levels, in rooms and through filters. Two logistic
models are fitted on windows of 0.5 s: is there music, and is the voice that is heard over
it speaking rather than singing. Figures are cross-validated four ways, and everything in
the part that is judged is new: other tracks by other authors, other speakers, other sorts
of noise. At the end stand the constants, fitted on everything, to be copied.
"""

from __future__ import annotations

import argparse
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import events_material as material
import numpy as np
from events_material import Rng, Sound, at_level
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from reelscope.audio import musicality
from reelscope.audio.events import voice_at
from reelscope.audio.voice import voice
from reelscope.engines.silero import SileroDetector
from reelscope.settings import Voice

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SECONDS = 12.0
KINDS = {
    "music": 0.12, "synthetic": 0.08, "song": 0.06, "a cappella": 0.02,
    "speech over music": 0.20, "speech over synthetic": 0.07, "music in noise": 0.05,
    "speech": 0.10, "announcement": 0.02, "speech in noise": 0.11, "noise": 0.17,
}  # fmt: skip
"""Share of the clips."""
MUSICAL = list(KINDS)[:7]
IMPORTANCE = {
    "music": 1.0, "synthetic": 0.7, "song": 1.0, "a cappella": 0.3,
    "speech over music": 2.0, "speech over synthetic": 0.7, "music in noise": 0.5,
    "speech": 1.0, "announcement": 0.3, "speech in noise": 1.2, "noise": 3.0,
}  # fmt: skip
"""Weight of each kind in the fit, shared evenly among its families."""
SPEAKING_COLUMNS = ["note_energy", "flatness"]
VOICES_OVER_MUSIC = ["speech over music", "speech over synthetic", "song", "a cappella"]
SPEAKING_PRIOR = 2.0
"""Made singing follows recorded speech more closely than real singing does, so it counts less."""
RIDGE = 3e-3
FAMILIES = ("real", "yubatake", "t4ngr4m", "chip")


@dataclass
class Example:
    """A clip and what is known of it. `snr_db`: voice over what is behind it."""

    kind: str
    family: str = ""
    speaker: str = ""
    noise: str = ""
    snr_db: float = np.nan
    features: Floats | None = None
    voice_share: Floats | None = None
    voice_probability: Floats | None = None


def compose(rng: Rng) -> tuple[Sound, Example]:
    kind = str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    example = Example(kind)
    front = back = np.zeros(round(SECONDS * material.RATE_HZ), np.float32)
    if kind in ("music", "speech over music", "music in noise") or (
        kind == "song" and rng.random() < 0.6
    ):
        back = _music(rng, example)
    elif "synthetic" in kind or kind == "song":
        example.family = "synthetic"
        back = material.synthetic_music(rng, SECONDS)
    elif "noise" in kind:
        back = _noise(rng, example)
    elif kind in ("speech", "announcement"):
        back = at_level(material.coloured(rng, SECONDS, rng.uniform(0, 2)), -rng.uniform(25, 70))
    if kind.startswith("speech"):
        front = _speech(rng, example)
    elif kind == "announcement":
        front = material.announcing(rng, SECONDS)
    elif kind in ("song", "a cappella"):
        front = material.singing(rng, SECONDS)
    elif kind == "music in noise":
        front, back = back, _noise(rng, example)
    low, high = {"song": (-3, 10), "speech in noise": (0, 25), "music in noise": (0, 25)}.get(
        kind, (-5, 24)
    )
    if front.any() and back.any() and kind not in ("speech", "announcement"):
        example.snr_db = float(rng.uniform(low, high))
        back = at_level(back, -example.snr_db)
    sound = at_level(front, 0) * front.any() + back
    return _treated(rng, sound), example


def _treated(rng: Rng, sound: Sound) -> Sound:
    """In a room, through a filter, at some level."""
    out: NDArray[np.floating] = sound
    if rng.random() < 0.3:
        out = material.reverberant(rng, out, rng.uniform(0.15, 0.8), rng.uniform(0.1, 0.4))
    if rng.random() < 0.3:
        low, high = np.sort(rng.uniform(100, 7000, 2))
        out = out + rng.uniform(-0.7, 2) * material.band(out, low, high + 50)
    return np.clip(at_level(out, rng.uniform(-38, -12)), -1, 1)


def _music(rng: Rng, example: Example) -> Sound:
    example.family = str(rng.choice(FAMILIES, p=[0.4, 0.25, 0.15, 0.2]))
    tracks = [t for t in material.music_tracks() if t.family == example.family]
    return at_level(material.excerpt(rng, tracks[rng.integers(len(tracks))].sound, SECONDS), 0)


def _speech(rng: Rng, example: Example) -> Sound:
    tracks = material.speech_tracks()
    track = tracks[rng.integers(len(tracks))]
    example.speaker = track.name
    return at_level(material.spoken(rng, SECONDS, track), 0)


def _noise(rng: Rng, example: Example) -> Sound:
    example.noise = str(rng.choice(list(material.NOISES)))
    return at_level(material.noise(rng, example.noise, SECONDS), 0)


def observe(seed: int) -> Example:
    """Compose a clip and measure it as the stages do."""
    sound, example = compose(np.random.default_rng(seed))
    detector = SileroDetector()
    detector.open()
    heard_voice = voice(detector.probabilities([sound]), len(sound), Voice())
    heard = musicality.hear([sound], material.RATE_HZ)
    example.features = heard.features[1:-1]
    example.voice_share, example.voice_probability = voice_at(heard.times_s[1:-1], heard_voice)
    return example


# ------------------------------------------------------------------------------- fitting


def fit(design: Floats, truth: Floats, weight: Floats, ridge: float) -> Floats:
    """Weights of a logistic model (Newton-like steps on the weighted log loss)."""

    def loss(b: Floats) -> tuple[float, Floats]:
        z = design @ b
        value = (weight * (np.logaddexp(0, z) - truth * z)).sum() / weight.sum()
        slope = design.T @ (weight * (expit(z) - truth)) / weight.sum()
        return value + ridge * (b**2).sum() / 2, slope + ridge * b

    start = np.zeros(design.shape[1])
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


class Data:
    """All windows of all examples in rows."""

    def __init__(self, examples: list[Example]) -> None:
        sizes = [len(e.features) for e in examples]  # type: ignore[arg-type]
        for name in ("kind", "family", "speaker", "noise", "snr_db"):
            setattr(self, name, np.repeat([getattr(e, name) for e in examples], sizes))
        self.example = np.repeat(np.arange(len(examples)), sizes)
        features = np.concatenate([e.features for e in examples])
        self.share = np.concatenate([e.voice_share for e in examples])
        self.probability = np.concatenate([e.voice_probability for e in examples])
        self.music = np.isin(self.kind, MUSICAL).astype(float)
        self.mean, self.scale = features.mean(axis=0), features.std(axis=0)
        self.scaled = np.clip((features - self.mean) / self.scale, -3, 3)

    def folds(self) -> NDArray[np.int_]:
        """Which quarter each window is judged in: by author, speaker and sort of noise."""
        of_family = {name: i for i, name in enumerate(FAMILIES)}
        sorts = np.random.default_rng(0).permutation(sorted(material.NOISES))
        of_noise = {name: i % 4 for i, name in enumerate(sorts)}
        of_speaker = {name: i % 4 for i, name in enumerate(sorted(set(self.speaker)))}
        return np.array(
            [
                of_family.get(
                    family, of_noise.get(noise, of_speaker[speaker] if speaker else i % 4)
                )
                for family, noise, speaker, i in zip(
                    self.family, self.noise, self.speaker, self.example, strict=True
                )
            ]
        )

    def weights(self) -> Floats:
        weight = np.zeros(len(self.kind))
        for kind, importance in IMPORTANCE.items():
            of_kind = self.kind == kind
            groups = np.where(self.family != "", self.family, self.noise)
            for group in set(groups[of_kind]):
                rows = of_kind & (groups == group)
                weight[rows] = importance / len(set(groups[of_kind])) / rows.sum()
        return weight / weight.sum() * len(weight)


MUSIC_COLUMNS = [n for n in musicality.FEATURES if n not in SPEAKING_COLUMNS]


def music_design(data: Data) -> Floats:
    """Without voice, with voice: two models, blended by the share of voice."""
    columns = [musicality.FEATURES.index(name) for name in MUSIC_COLUMNS]
    one = np.hstack([data.scaled[:, columns], np.ones((len(data.share), 1))])
    return np.hstack([one * (1 - data.share[:, None]), one * data.share[:, None]])


def speaking_design(data: Data) -> Floats:
    columns = [musicality.FEATURES.index(name) for name in SPEAKING_COLUMNS]
    sure = musicality.sureness(data.probability)
    return np.column_stack([data.scaled[:, columns], sure, np.ones(len(sure))])


def cross_validated(
    design: Floats, truth: Floats, weight: Floats, fold: NDArray[np.int_], ridge: float
) -> Floats:
    found = np.zeros(len(truth))
    for k in range(4):
        known = fold != k
        found[~known] = design[~known] @ fit(design[known], truth[known], weight[known], ridge)
    return found


def report(data: Data, found: Floats) -> None:
    called = found > 0
    print("windows called music, cross-validated:")
    for kind in KINDS:
        rows = data.kind == kind
        print(f"  {kind:22s} {np.mean(called[rows]):6.1%}  of {rows.sum()}")
    print("by author; alone and under speech:")
    for family in FAMILIES:
        rows = data.family == family
        print(f"  {family:12s} {_by_kind(data, called, rows, ('music', 'speech over music'))}")
    print("music under speech, by how much louder the speech is:")
    for low in range(-5, 25, 5):
        rows = (data.kind == "speech over music") & (data.snr_db >= low) & (data.snr_db < low + 5)
        print(f"  {low:3d} to {low + 5:3d} dB {np.mean(called[rows]):6.1%}")
    print("by sort of noise; alone and under speech:")
    for noise in sorted(material.NOISES):
        rows = data.noise == noise
        print(f"  {noise:12s} {_by_kind(data, called, rows, ('noise', 'speech in noise'))}")
    print("calibration: said to be music with a chance of -> is music")
    weight, chance = data.weights(), expit(found)
    for low in np.arange(0, 1, 0.1):
        rows = (chance >= low) & (chance < low + 0.1)
        print(
            f"  {low:.1f}-{low + 0.1:.1f}: {np.average(data.music[rows], weights=weight[rows]):.2f}"
        )


def _by_kind(data: Data, called: Bools, rows: Bools, kinds: tuple[str, ...]) -> str:
    parts = [rows & (data.kind == kind) for kind in kinds]
    return "  ".join(f"{np.mean(called[part]):6.1%}" if part.any() else "-" for part in parts)


def report_speaking(data: Data, rows: Bools, found: Floats) -> None:
    print("voices over music called speaking, cross-validated:")
    for low in range(-5, 25, 5):
        level = (data.snr_db[rows] >= low) & (data.snr_db[rows] < low + 5)
        parts = [np.char.startswith(data.kind[rows], kind) & level for kind in ("speech", "song")]
        shares = [f"{np.mean(found[part] > 0):6.1%}" if part.any() else "-" for part in parts]
        print(f"  {low} to {low + 5} dB over music: speech {shares[0]}, (made) singing {shares[1]}")


def constants(data: Data, music: Floats, speaking: Floats) -> None:
    """Print `MODEL`, `BIAS` and `SURENESS` of reelscope.audio.musicality."""
    size = len(MUSIC_COLUMNS) + 1
    print("MODEL: dict[str, Weight] = {")
    for i, name in enumerate(musicality.FEATURES):
        weights = [0.0, 0.0, 0.0]
        if name in MUSIC_COLUMNS:
            at = MUSIC_COLUMNS.index(name)
            weights[:2] = music[at], music[size + at]
        if name in SPEAKING_COLUMNS:
            weights[2] = speaking[SPEAKING_COLUMNS.index(name)]
        numbers = (data.mean[i], data.scale[i], *weights)
        print(f'    "{name}": Weight({", ".join(f"{number:.4g}" for number in numbers)}),')
    print("}")
    bias = music[size - 1], music[-1], speaking[-1]
    print(f"BIAS = Weight(0.0, 1.0, {', '.join(f'{number:.4g}' for number in bias)})")
    print(f"SURENESS_WEIGHT = {speaking[-2]:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--save", type=Path, help="keep what was measured here, or use it")
    given = parser.parse_args()
    if given.save and given.save.exists():
        examples = pickle.loads(given.save.read_bytes())
    else:
        material.music_tracks()
        material.speech_tracks()  # before the workers are forked, so that all have them
        with ProcessPoolExecutor(given.workers) as pool:
            examples = list(pool.map(observe, range(given.clips), chunksize=8))
        if given.save:
            given.save.write_bytes(pickle.dumps(examples))
    data = Data(examples)
    fold, weight = data.folds(), data.weights()
    design = music_design(data)
    report(data, cross_validated(design, data.music, weight, fold, RIDGE))
    music = fit(design, data.music, weight, RIDGE)
    voices = np.isin(data.kind, VOICES_OVER_MUSIC) & (data.probability > 0)
    voices &= ~(data.snr_db > 10)  # as loud as singing is, or the level alone would tell
    design = speaking_design(data)[voices]
    speaks = np.char.startswith(data.kind[voices], "speech").astype(float)
    even = np.where(speaks > 0, SPEAKING_PRIOR / speaks.mean(), 1 / (1 - speaks.mean()))
    report_speaking(data, voices, cross_validated(design, speaks, even, fold[voices], RIDGE))
    constants(data, music, fit(design, speaks, even, RIDGE))


if __name__ == "__main__":
    main()
