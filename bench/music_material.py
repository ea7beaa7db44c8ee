"""Queries of known truth for the music library, and tracks to hide the right ones among.

The tracks are the recordings of ../shared/corpus/music and music that is composed from a
number; what is done to them (noise, voices, codecs, rooms, telephones, edits of speed, tempo
and pitch) is made here. Everything follows from a seed, so that two systems hear the same.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft, signal

from reelscope.music.sound import read_sound

if TYPE_CHECKING:
    from reelscope.music.fingerprint import Constellation

Sound = NDArray[np.float32]
Rng = np.random.Generator
RATE_HZ = 44100
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
COMPOSED = Path("composed")
"""A track `COMPOSED / "17"` is no file: `composed(17)` is its sound."""


@dataclass(frozen=True, eq=False)
class Query:
    """A clip and what it is: its second t is the track's second offset_s + t * tempo."""

    samples: Sound
    rate_hz: int
    track_path: Path
    offset_s: float
    tempo: float
    pitch: float
    condition: str
    length_s: float


# ------------------------------------------------------------------------------ the tracks


def corpus_tracks() -> tuple[Path, ...]:
    return tuple(sorted((CORPUS / "music").glob("*.ogg")))


def composed_tracks(first: int, count: int) -> tuple[Path, ...]:
    return tuple(COMPOSED / str(number) for number in range(first, first + count))


def family(track: Path) -> str:
    """Tracks of one game share themes and stems: one is not heard in the absence of another."""
    if track.name.startswith("JRPG"):
        return "JRPG"
    return "numbered" if track.name[:2].isdigit() and track.name[2:3] == "_" else track.name


@lru_cache(maxsize=128)
def _stored(path: Path) -> NDArray[np.int16]:
    """Half the memory: a whole corpus of an hour is 320 MB."""
    made = composed(int(path.name)) if path.parent == COMPOSED else read_sound(path, RATE_HZ)
    return np.round(np.clip(made, -1, 1) * 32767).astype(np.int16)


def track_sound(path: Path, offset_s: float = 0.0, length_s: float | None = None) -> Sound:
    """A stretch of a track, shorter where the track ends."""
    first = max(0, round(offset_s * RATE_HZ))
    last = None if length_s is None else first + round(length_s * RATE_HZ)
    return _stored(path)[first:last].astype(np.float32) / np.float32(32767)


def duration_s(path: Path) -> float:
    return len(_stored(path)) / RATE_HZ


@cache
def _voices() -> tuple[Sound, ...]:
    return tuple(read_sound(path, RATE_HZ) for path in sorted((CORPUS / "speech").iterdir()))


def folds(tracks: Sequence[Path], count: int = 3, seed: int = 0) -> tuple[tuple[Path, ...], ...]:
    """Parts of the tracks: an index without a part makes the clips of that part negatives."""
    order = np.random.default_rng(seed).permutation(len(tracks))
    return tuple(tuple(tracks[i] for i in sorted(order[part::count])) for part in range(count))


# ----------------------------------------------------------------------- levels and mixing


def rms(sound: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-12


def mixed(sound: Sound, other: NDArray[np.floating], snr_db: float) -> Sound:
    """Both; the first is `snr_db` louder (power over the whole clip)."""
    gain = rms(sound) / rms(other) * 10 ** (-snr_db / 20)
    return (sound + other * gain).astype(np.float32)


def white(rng: Rng, count: int) -> NDArray[np.floating]:
    return rng.standard_normal(count, np.float32)


def voice(rng: Rng, count: int) -> Sound:
    """A reading, faster or slower and higher or lower than it was: 0.85 to 1.2."""
    voices = _voices()
    source = voices[rng.integers(len(voices))]
    speed = rng.uniform(0.85, 1.2)
    need = int(count * speed) + 16
    start = rng.integers(len(source))
    source = np.resize(np.roll(source, -start), max(need, len(source)))[:need]
    return respeed(source, speed)[:count]


def babble(rng: Rng, count: int, voices: int = 8) -> NDArray[np.floating]:
    """Voices of one loudness that talk at once."""
    parts = [voice(rng, count) for _ in range(voices)]
    return np.sum([part / rms(part) for part in parts], axis=0)


def ambience(rng: Rng, count: int) -> NDArray[np.floating]:
    """A street or a room: low noise that comes and goes, and people far away."""
    spectrum = fft.rfft(rng.standard_normal(count))
    hz = np.maximum(fft.rfftfreq(count, 1 / RATE_HZ), 30)
    noise = fft.irfft(spectrum * hz ** -rng.uniform(0.4, 0.9), count)
    swell = np.interp(np.arange(count), np.linspace(0, count, 12), rng.uniform(0.3, 1.5, 12))
    crowd = babble(rng, count, voices=12)
    return noise / rms(noise) * swell + 0.5 * crowd / rms(crowd)


# ------------------------------------------------------------------ speed, tempo and pitch


def respeed(sound: Sound, speed: float) -> Sound:
    """Played `speed` times faster, higher by as much."""
    return soxr.resample(sound, RATE_HZ * speed, RATE_HZ, "HQ").astype(np.float32)


def retempo(sound: Sound, tempo: float, *, by_waveform: bool = False) -> Sound:
    """`tempo` times faster at the same pitch.

    Two ways, as editors differ: a phase vocoder with identity phase locking (J. Laroche and
    M. Dolson, 1999), or by_waveform, FFmpeg's atempo (waveform similarity overlap-add), whose
    onsets are 5 to 20 ms beside their places.
    """
    return _by_waveform(sound, tempo) if by_waveform else _by_phases(sound, tempo)


def repitch(sound: Sound, semitones: float, *, by_waveform: bool = False) -> Sound:
    """Higher by `semitones` in the same time."""
    factor = 2 ** (semitones / 12)
    slower = retempo(sound, 1 / factor, by_waveform=by_waveform)
    return respeed(slower, factor)


def _by_phases(sound: Sound, tempo: float, size: int = 4096) -> Sound:
    hop = size // 4
    window = np.hanning(size + 1)[:-1]
    out_count = round(len(sound) / tempo)
    frames = out_count // hop + 5
    padded = np.concatenate([np.zeros(2 * size), sound, np.zeros(3 * size)])
    # frame i is centred on i * hop in the result and on i * hop * tempo in the sound
    centres = 2 * size + np.arange(frames) * hop * tempo
    starts = np.clip(np.round(centres).astype(int) - size // 2, hop, len(padded) - size)
    view = np.lib.stride_tricks.sliding_window_view(padded, size)
    spectra = fft.rfft(view[starts] * window, axis=1)
    before = fft.rfft(view[starts - hop] * window, axis=1)
    advance = np.angle(spectra * np.conj(before))
    phases = _locked_phases(np.abs(spectra), np.angle(spectra), advance)
    made = fft.irfft(np.abs(spectra) * np.exp(1j * phases), size, axis=1) * window
    out = np.zeros(frames * hop + size)
    for i, frame in enumerate(made):
        out[i * hop : i * hop + size] += frame
    return (out[size // 2 : size // 2 + out_count] / 1.5).astype(np.float32)


def _locked_phases(
    sizes: NDArray[np.float64], phases: NDArray[np.float64], advance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Peaks move on by what a hop brought; the bins around keep their angle to the peak."""
    out = np.empty_like(phases)
    out[0] = phases[0]
    bins = np.arange(sizes.shape[1])
    for i in range(1, len(sizes)):
        row = sizes[i]
        inner = row[2:-2]
        is_peak = (inner > row[1:-3]) & (inner >= row[3:-1])
        is_peak &= (inner > row[:-4]) & (inner >= row[4:])
        peaks = np.flatnonzero(is_peak) + 2
        if not len(peaks):
            out[i] = out[i - 1] + advance[i]
            continue
        nearest = peaks[np.searchsorted((peaks[1:] + peaks[:-1]) / 2, bins)]
        turned = out[i - 1] + advance[i] - phases[i]
        out[i] = phases[i] + turned[nearest]
    return out


def _by_waveform(sound: Sound, tempo: float) -> Sound:
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=RATE_HZ, layout="mono")
    stretch = graph.add("atempo", str(tempo))
    sink = graph.add("abuffersink")
    source.link_to(stretch)
    stretch.link_to(sink)
    graph.configure()
    parts: list[NDArray[np.floating]] = []
    silence = np.zeros(RATE_HZ // 2, np.float32)
    frame = av.AudioFrame.from_ndarray(
        np.concatenate([sound, silence])[None].astype(np.float32), format="flt", layout="mono"
    )
    frame.sample_rate = RATE_HZ
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    while True:
        try:
            parts.append(graph.pull().to_ndarray()[0])
        except (av.BlockingIOError, av.EOFError):
            break
    return np.concatenate(parts)[: round(len(sound) / tempo)].astype(np.float32)


# -------------------------------------------------------------- codecs, rooms, telephones


def coded(sound: Sound, codec: str, bit_rate: int = 64_000) -> Sound:
    """Encoded and decoded again, in step with what went in."""
    file = io.BytesIO()
    peak = max(1.0, float(np.abs(sound).max()) / 0.98)
    name, kind, samples = {
        "mp3": ("libmp3lame", "mp3", "fltp"),
        "aac": ("aac", "adts", "fltp"),
    }[codec]
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(name, rate=RATE_HZ, bit_rate=bit_rate, layout="mono")
        padded = np.concatenate([sound / peak, np.zeros(8192)]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(padded[None], format=samples, layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        for part in (*fifo.read_many(1152 if codec == "mp3" else 1024), fifo.read(0, True), None):
            if part is None or part.samples:
                container.mux(stream.encode(part))
    file.seek(0)
    with av.open(file) as container:
        decoded = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return _in_step(np.concatenate(decoded), sound) * np.float32(peak)


def _in_step(late: NDArray[np.floating], sound: Sound, most: int = 4096) -> Sound:
    """Without the codec's delay, which is found by cross-correlation: exact to the sample."""
    size = fft.next_fast_len(len(sound) + most, real=True)
    late = np.pad(late, (0, max(0, len(sound) + most - len(late))))
    product = fft.rfft(late[: len(sound) + most], size) * np.conj(fft.rfft(sound, size))
    delay = int(np.argmax(fft.irfft(product, size)[:most]))
    return np.asarray(late[delay : delay + len(sound)], np.float32)


def telephone(rng: Rng, sound: Sound) -> Sound:
    """300 to 3,400 Hz, the loudest 5 dB clipped, hiss 20 dB under it."""
    sos = signal.butter(4, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    narrow = signal.sosfiltfilt(sos, sound)
    limit = np.abs(narrow).max() * 10 ** (-5 / 20) + 1e-9
    return mixed(np.clip(narrow, -limit, limit).astype(np.float32), white(rng, len(sound)), 20)


def reverberant(rng: Rng, sound: Sound, rt60_s: float = 0.6) -> Sound:
    """In a room: the tail falls by 60 dB in `rt60_s` and is as strong as the direct sound."""
    t = np.arange(round(rt60_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60_s)
    tail[: round(0.005 * RATE_HZ)] = 0
    wet = signal.fftconvolve(sound, tail / np.sqrt(np.sum(tail**2)))[: len(sound)]
    return (sound + wet).astype(np.float32)


def equalised(rng: Rng, sound: Sound) -> Sound:
    """Another balance: a gain between -12 and +12 dB at every octave, smooth in between."""
    spectrum = fft.rfft(sound)
    hz = np.maximum(fft.rfftfreq(len(sound), 1 / RATE_HZ), 20)
    centres = 31.25 * 2.0 ** np.arange(10)
    gains_db = np.interp(np.log2(hz), np.log2(centres), rng.uniform(-12, 12, 10))
    return fft.irfft(spectrum * 10 ** (gains_db / 20), len(sound)).astype(np.float32)


# --------------------------------------------------------------------------- the conditions


@dataclass(frozen=True)
class Edit:
    """What is done to a clip: first its time and pitch, then `heard`."""

    tempo: tuple[float, float] = (1.0, 1.0)
    """Between these, evenly in the logarithm."""
    semitones: float | None = 0.0
    """None: the pitch moves with the tempo."""
    heard: Callable[[Rng, Sound], Sound] = lambda _rng, sound: sound


def _speed(low: float, high: float | None = None) -> Edit:
    return Edit((low, high or low), None)


def _spoken_over(rng: Rng, sound: Sound) -> Sound:
    return mixed(sound, voice(rng, len(sound)), 0)


def _tiktok(rng: Rng, sound: Sound) -> Sound:
    scene = voice(rng, len(sound))
    scene = scene / rms(scene) + ambience_at(rng, len(sound), -15)
    gain = rms(sound)
    return coded((sound + scene * gain).astype(np.float32), "aac")


def ambience_at(rng: Rng, count: int, level_db: float) -> NDArray[np.floating]:
    made = ambience(rng, count)
    return made / rms(made) * 10 ** (level_db / 20)


def _noise(make: Callable[[Rng, int], NDArray[np.floating]], snr_db: float) -> Edit:
    return Edit(heard=lambda rng, sound: mixed(sound, make(rng, len(sound)), snr_db))


PAGE: dict[str, Edit] = {
    "clean": Edit(),
    "mp3_64k": Edit(heard=lambda _, sound: coded(sound, "mp3")),
    "aac_64k": Edit(heard=lambda _, sound: coded(sound, "aac")),
    **{f"white_{snr}dB": _noise(white, snr) for snr in (10, 5, 0)},
    **{f"babble_{snr}dB": _noise(babble, snr) for snr in (10, 5, 0)},
    "speech_0dB": Edit(heard=_spoken_over),
    "tiktok": Edit(heard=_tiktok),
    "tempo+4": Edit((1.04, 1.04)),
    "tempo-4": Edit((0.96, 0.96)),
    "pitch+1": Edit(semitones=1),
    "pitch-1": Edit(semitones=-1),
    "speed+4": _speed(1.04),
    "speed-4": _speed(0.96),
}
"""The 17 conditions that the field was measured with."""

BEYOND: dict[str, Edit] = {
    "tempo+10": Edit((1.1, 1.1)),
    "tempo-10": Edit((0.9, 0.9)),
    "pitch+3": Edit(semitones=3),
    "pitch-3": Edit(semitones=-3),
    **{f"speed_{speed}": _speed(speed) for speed in (0.75, 0.85, 1.15, 1.25, 1.35, 1.5)},
    "speed_any": _speed(0.75, 1.5),
    "telephone": Edit(heard=telephone),
    "reverb": Edit(heard=reverberant),
    "equaliser": Edit(heard=equalised),
    "sped_up+speech": Edit((1.1, 1.35), None, _spoken_over),
    "slowed+reverb": Edit((0.75, 0.92), None, reverberant),
}
"""What short videos do to music beyond that."""

CONDITIONS = {**PAGE, **BEYOND}
QUIET = 0.05
"""A clip has at least this share of its track's level: silence at the end is no query."""


def queries(
    track_paths: Sequence[Path], condition: str, length_s: float, count: int, seed: int
) -> Iterator[Query]:
    """Clips of the tracks, one at a time; every track is asked for as often as the others.

    Number i is of the same track and about the same place under every condition.
    """
    edit = CONDITIONS[condition]
    low, high = edit.tempo
    for i in range(count):
        turn, place = divmod(i, len(track_paths))
        order = np.random.default_rng([seed, turn]).permutation(len(track_paths))
        path = track_paths[order[place]]
        rng = np.random.default_rng([seed, i, zlib.crc32(condition.encode())])
        tempo = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        offset_s = _place(np.random.default_rng([seed, i]), path, length_s * tempo)
        samples, pitch = _edited(rng, edit, track_sound(path, offset_s, length_s * tempo), tempo)
        samples = edit.heard(rng, samples)
        samples = samples / max(1.0, float(np.abs(samples).max()))
        yield Query(samples, RATE_HZ, path, offset_s, tempo, pitch, condition, length_s)


def _edited(rng: Rng, edit: Edit, sound: Sound, tempo: float) -> tuple[Sound, float]:
    by_waveform = bool(rng.integers(2))
    if edit.semitones is None:
        return respeed(sound, tempo), tempo
    if tempo != 1:
        sound = retempo(sound, tempo, by_waveform=by_waveform)
    if edit.semitones:
        sound = repitch(sound, edit.semitones, by_waveform=by_waveform)
    return sound, 2 ** (edit.semitones / 12)


def _place(rng: Rng, path: Path, length_s: float) -> float:
    """Where a clip begins, in whole samples."""
    room = duration_s(path) - length_s
    if room < 0:
        raise ValueError(f"{path.name} is shorter than {length_s:.1f} s")
    level = rms(track_sound(path))
    for _ in range(50):
        offset_s = int(rng.uniform(0, room) * RATE_HZ) / RATE_HZ
        if rms(track_sound(path, offset_s, length_s)) > QUIET * level:
            break
    return offset_s


# ---------------------------------------------------------------------------- what is right

RIGHT_S = 0.5
SAME = 0.9
_MEL_HOP = 441


def is_hit(query: Query, found_track: Path, found_offset_s: float) -> bool:
    """The clip's own place within 0.5 s, or one that sounds the same (a loop, a shared stem).

    The same: the logarithmic mel spectra of both passages, each band without its mean,
    correlate to 0.9 or more.
    """
    if found_track == query.track_path and abs(found_offset_s - query.offset_s) <= RIGHT_S:
        return True
    return likeness(query, found_track, found_offset_s) >= SAME


def likeness(query: Query, found_track: Path, found_offset_s: float) -> float:
    """Correlation of the passage asked for with the one found, at best within 0.5 s."""
    count = round(query.length_s * query.tempo * RATE_HZ / _MEL_HOP)
    asked = _mel(query.track_path)[round(query.offset_s * RATE_HZ / _MEL_HOP) :][:count]
    mel = _mel(found_track)
    around = round(found_offset_s * RATE_HZ / _MEL_HOP)
    slack = round(RIGHT_S * RATE_HZ / _MEL_HOP)
    best = 0.0
    for start in range(max(0, around - slack), around + slack + 1):
        passage = mel[start : start + len(asked)]
        if len(passage) >= 0.8 * len(asked):
            best = max(best, _correlation(asked[: len(passage)], passage))
    return best


def _correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    return float(np.sum(a * b) / (np.sqrt(np.sum(a * a) * np.sum(b * b)) + 1e-9))


@lru_cache(maxsize=128)
def _mel(path: Path) -> NDArray[np.float32]:
    """100 frames a second of 40 bands from 60 Hz to 8 kHz, in dB, at most 60 under the top."""
    sound = track_sound(path)
    size = 2048
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, size // 2), size)[::_MEL_HOP]
    edges_hz = 700 * (10 ** (np.linspace(*_mels(60, 8000), 42) / 2595) - 1)
    hz = fft.rfftfreq(size, 1 / RATE_HZ)
    up = (hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    down = (edges_hz[2:, None] - hz) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    bands = np.maximum(0, np.minimum(up, down)).astype(np.float32)
    window = np.hanning(size).astype(np.float32)
    rows = [
        np.abs(fft.rfft(frames[i : i + 500] * window, axis=1)) ** 2 @ bands.T
        for i in range(0, len(frames), 500)
    ]
    decibels = 10 * np.log10(np.concatenate(rows) + 1e-9)
    return np.maximum(decibels, decibels.max() - 60).astype(np.float32)


def _mels(*hz: float) -> list[float]:
    return [2595 * float(np.log10(1 + one / 700)) for one in hz]


# ------------------------------------------------------------------------- composed tracks

_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))
_PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 4), (0, 2, 3, 4), (1, 4, 0, 5))


def composed(number: int, rate_hz: int = RATE_HZ) -> Sound:
    """60 to 180 s of music: key, tempo, chords, tune, bass, drums and timbres by number."""
    band = _Band(number, rate_hz)
    sections = [band.section() for _ in range(int(band.rng.integers(2, 5)))]
    bars = round(band.rng.uniform(60, 180) / band.bar_s)
    out = np.zeros(round((bars + 1) * band.bar_s * rate_hz), np.float32)
    bar = 0
    while bar < bars:
        section = sections[band.rng.integers(len(sections))]
        for chord in section.chords[: bars - bar]:
            band.play(out, bar, section, chord)
            bar += 1
    return (out * (0.7 / np.abs(out).max())).astype(np.float32)


@dataclass(frozen=True)
class _Section:
    chords: tuple[int, ...]
    rhythm: NDArray[np.bool_]
    plays: frozenset[str]
    drums: dict[str, NDArray[np.bool_]]


class _Band:
    """Players of one piece; a note that was played once is kept."""

    def __init__(self, number: int, rate_hz: int) -> None:
        self.rng = rng = np.random.default_rng([977, number])
        self._rate_hz = rate_hz
        self._step_s = 60 / rng.uniform(70, 170) / 4
        self._steps = int(rng.choice([12, 16, 16, 16]))
        self.bar_s = self._step_s * self._steps
        self._key = int(rng.integers(38, 50))
        self._scale = _SCALES[rng.integers(len(_SCALES))]
        self._detune = rng.uniform(-0.5, 0.5)
        self._timbres = {part: self._timbre() for part in ("tune", "chords", "bass")}
        self._degree = 0
        self._notes: dict[tuple[str, int, int], Sound] = {}
        self._hits = {name: self._drum(name) for name in ("kick", "snare", "hat")}

    def _timbre(self) -> tuple[NDArray[np.float64], float, float, float]:
        """Strengths of the partials, decay in s, attack in s, depth of the vibrato."""
        rng = self.rng
        partials = rng.uniform(0.2, 1, 12) / np.arange(1, 13) ** rng.uniform(0.5, 2)
        partials[1::2] *= rng.uniform(0, 1)
        return partials, rng.uniform(0.1, 1.5), rng.uniform(0.002, 0.05), rng.uniform(0, 0.004)

    def _drum(self, name: str) -> Sound:
        rng = self.rng
        t = np.arange(round(0.3 * self._rate_hz)) / self._rate_hz
        fall = np.exp(
            -t
            / rng.uniform(*{"kick": (0.05, 0.12), "snare": (0.04, 0.1), "hat": (0.01, 0.05)}[name])
        )
        if name == "kick":
            sweep = rng.uniform(40, 60) + rng.uniform(60, 200) * np.exp(-t / 0.03)
            made = np.sin(2 * np.pi * np.cumsum(sweep) / self._rate_hz)
        else:
            noise = rng.standard_normal(len(t))
            made = np.diff(noise, prepend=0) if name == "hat" else noise
            tone = np.sin(2 * np.pi * rng.uniform(150, 250) * t)
            made = 0.4 * made + (0.6 * tone if name == "snare" else 0)
        return (made * fall).astype(np.float32)

    def section(self) -> _Section:
        rng = self.rng
        rhythm = rng.random((2, self._steps)) < rng.uniform(0.2, 0.5)
        rhythm[:, 0] = True
        parts = [p for p in ("tune", "chords", "bass", "drums") if rng.random() < 0.85]
        drums = {
            "kick": np.arange(self._steps) % rng.choice([4, 6, 8]) == 0,
            "snare": np.arange(self._steps) % 8 == 4,
            "hat": rng.random(self._steps) < rng.uniform(0.3, 0.9),
        }
        chords = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))] * int(rng.integers(1, 3))
        return _Section(chords, rhythm, frozenset(parts or ["tune", "bass"]), drums)

    def play(self, out: Sound, bar: int, section: _Section, chord: int) -> None:
        if "chords" in section.plays:
            for third in (0, 2, 4):
                self._note(
                    out, bar, 0, ("chords", self._pitch(chord + third, 12), self._steps), 0.3
                )
        for step in np.flatnonzero(section.rhythm[0]) if "tune" in section.plays else ():
            self._degree = int(np.clip(self._degree + self.rng.integers(-2, 3), -3, 9))
            degree = chord + 2 * (self._degree // 2) if step % 4 == 0 else self._degree
            length = int(self.rng.choice([1, 2, 2, 4]))
            self._note(out, bar, int(step), ("tune", self._pitch(degree, 24), length), 0.5)
        for step in np.flatnonzero(section.rhythm[1]) if "bass" in section.plays else ():
            self._note(out, bar, int(step), ("bass", self._pitch(chord, 0), 2), 0.6)
        for name, hits in section.drums.items() if "drums" in section.plays else ():
            for step in np.flatnonzero(hits):
                self._add(out, bar, int(step), self._hits[name], 0.25 if name == "hat" else 0.6)

    def _pitch(self, degree: int, above: int) -> int:
        octave, step = divmod(degree, len(self._scale))
        return self._key + above + 12 * octave + self._scale[step]

    def _note(
        self, out: Sound, bar: int, step: int, note: tuple[str, int, int], level: float
    ) -> None:
        if note not in self._notes:
            self._notes[note] = self._made(*note)
        self._add(out, bar, step, self._notes[note], level * self.rng.uniform(0.6, 1))

    def _made(self, part: str, pitch: int, steps: int) -> Sound:
        partials, decay_s, attack_s, vibrato = self._timbres[part]
        length_s = steps * self._step_s
        t = np.arange(round(length_s * 1.1 * self._rate_hz)) / self._rate_hz
        hz = 440 * 2 ** ((pitch + self._detune - 69) / 12)
        angle = 2 * np.pi * hz * (t + vibrato * np.sin(2 * np.pi * 5.5 * t) / (2 * np.pi * 5.5))
        made = np.zeros(len(t))
        for k, strength in enumerate(partials, start=1):
            if k * hz < 0.45 * self._rate_hz:
                made += strength * np.sin(k * angle)
        shape = np.minimum(1, t / attack_s) * np.exp(-t / decay_s)
        shape *= np.clip((t[-1] - t) / (0.1 * length_s), 0, 1)
        return (made / partials.sum() * shape).astype(np.float32)

    def _add(self, out: Sound, bar: int, step: int, sound: Sound, level: float) -> None:
        at = round((bar * self.bar_s + step * self._step_s) * self._rate_hz)
        part = out[at : at + len(sound)]
        part += np.float32(level) * sound[: len(part)]


# ------------------------------------------------------------- distractors without a sound


def distractors(
    constellations: Sequence[Constellation], count: int, *, first_number: int, seed: int = 0
) -> Iterator[tuple[int, Constellation]]:
    """Constellations that are like real music and are none of it.

    Each is two of the given ones, stretched or pressed by 25 to 60 % in time and moved along
    the frequencies by a fixed number of bins (which leaves no harmonic where it was, so that
    no change of speed or pitch leads back), laid over one another and thinned to the density
    of the first. Rendering and analysing as many tracks would take hours.
    """
    for i in range(count):
        yield first_number + i, _distractor(np.random.default_rng([seed, i]), constellations)


def _distractor(rng: Rng, constellations: Sequence[Constellation]) -> Constellation:
    one, other = (constellations[k] for k in rng.integers(len(constellations), size=2))
    frames, bins, length = _warped(rng, one)
    more_frames, more_bins, _ = _warped(rng, other)
    inside = more_frames < length
    frames = np.concatenate([frames, more_frames[inside]])
    bins = np.concatenate([bins, more_bins[inside]])
    most = round(len(one.frames) / max(1, one.length) * length)
    places = np.unique(frames << 16 | bins)  # by time, then by frequency
    places = np.sort(rng.permutation(places)[:most])
    return type(one)((places >> 16).astype(np.int32), (places & 0xFFFF).astype(np.int16), length)


def _warped(rng: Rng, one: Constellation) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    factor = rng.uniform(1.25, 1.6) ** rng.choice([-1, 1])
    low, high = int(one.bins.min(initial=0)), int(one.bins.max(initial=1))
    shift = round(rng.uniform(0.05, 0.2) * (high - low)) * int(rng.choice([-1, 1]))
    bins = (one.bins.astype(np.int64) - low + shift) % (high - low + 1) + low
    frames = np.round(one.frames * factor).astype(np.int64)
    return frames, bins, round(one.length * factor)
