"""Others who tell music by its sound, each behind the same two calls.

Which of them can be had from the registries, looked up in 2026: Chromaprint (Debian's
libchromaprint1 through pyacoustid) runs here as it is. PyDejavu 0.1.3 is written for Python 2
and a database server: its method is repeated here from its constants. librosa's DTW does what
campaign scripts do. audfprint and Panako are on no registry, and what PyPI calls olaf is
something else: their figures are those of the field study (FIELD).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
from music_material import RATE_HZ, Sound, track_sound
from numpy.typing import NDArray
from scipy import ndimage, signal

Ranked = list[tuple[Path, float, float]]
"""(track, where in it the clip begins in seconds, score), best first."""

FIELD: dict[str, dict[float, float]] = {
    "audfprint (default)": {3: 27.8, 5: 43.1, 10: 53.4, 15: 57.7},
    "Olaf, 3-point prints": {3: 38.4, 5: 46.5, 10: 57.8, 15: 59.4},
    "Olaf, 2-point prints": {3: 54.8, 5: 61.2, 10: 73.8, 15: 80.8},
    "Panako": {3: 0, 5: 0, 10: 71.0, 15: 77.0},
    "Chromaprint": {3: 47.7, 5: 62.2, 10: 69.7, 15: 75.6},
    "dejavu": {3: 26.7, 5: 36.7, 10: 46.1, 15: 53.5},
}
"""Recall in percent at 0.1 % false positives, mean over the 17 conditions: measured for this
project on 55 other recordings with queries made the same way, not in this run."""


class Peer(Protocol):
    name: str

    def index(self, tracks: Sequence[Path]) -> None:
        """Only these tracks are found from now on."""

    def query(self, samples: Sound, rate_hz: int) -> Ranked:
        """The best place of every track that has any."""


# ------------------------------------------------------------------------------ Chromaprint


class Chromaprint:
    """Sub-fingerprints of 32 bits, every 124 ms; the share of equal bits where most are."""

    name = "Chromaprint, brute-force bit errors"
    STEP_S = 1365 / 11025
    """Chromaprint's frames: 4096 samples at 11,025 Hz, overlapping by two thirds."""
    FEWEST = 3
    """Sub-fingerprints of a clip: what 3 s give."""

    def index(self, tracks: Sequence[Path]) -> None:
        self._tracks = [(path, _chromaprint_of(path)) for path in tracks]

    def query(self, samples: Sound, rate_hz: int) -> Ranked:
        asked = chromaprint_items(samples, rate_hz)
        if len(asked) < self.FEWEST:
            return []
        found = []
        for path, items in self._tracks:
            if len(items) >= len(asked):
                windows = np.lib.stride_tricks.sliding_window_view(items, len(asked))
                wrong = np.bitwise_count(windows ^ asked).sum(axis=1)
                at = int(wrong.argmin())
                found.append((path, at * self.STEP_S, 1 - float(wrong[at]) / 32 / len(asked)))
        return sorted(found, key=lambda one: -one[2])


def chromaprint_items(samples: Sound, rate_hz: int) -> NDArray[np.uint32]:
    import chromaprint

    maker = chromaprint.Fingerprinter()
    maker.start(rate_hz, 1)
    maker.feed((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return np.array(chromaprint.decode_fingerprint(maker.finish())[0], np.uint32)


@lru_cache(maxsize=4096)
def _chromaprint_of(path: Path) -> NDArray[np.uint32]:
    return chromaprint_items(track_sound(path), RATE_HZ)


# ----------------------------------------------------------------------------------- dejavu


class Dejavu:
    """Pairs of spectral peaks looked up exactly; the score is how many agree on one offset."""

    name = "dejavu's method"
    WINDOW, NEIGHBOURS, FLOOR_DB, FAN, LONGEST = 4096, 20, 10, 15, 200
    """PyDejavu 0.1.3, fingerprint.py: at 44.1 kHz, windows overlapping by half."""

    def index(self, tracks: Sequence[Path]) -> None:
        self._tracks = list(tracks)
        prints = [_dejavu_of(path) for path in tracks]
        hashes = np.concatenate([one[0] for one in prints])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._times = np.concatenate([one[1] for one in prints])[order]
        owners = np.repeat(np.arange(len(prints)), [len(one[0]) for one in prints])
        self._owners = owners[order]

    def query(self, samples: Sound, rate_hz: int) -> Ranked:
        hashes, times = dejavu_hashes(samples, rate_hz)
        first = np.searchsorted(self._hashes, hashes, "left")
        count = np.searchsorted(self._hashes, hashes, "right") - first
        rows = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
        shift = self._times[rows] - np.repeat(times, count)
        keys, votes = np.unique(self._owners[rows] * 2**32 + shift + 2**31, return_counts=True)
        best: dict[int, tuple[int, int]] = {}
        for key, number in zip(keys.tolist(), votes.tolist(), strict=True):
            owner, at = divmod(key, 2**32)
            best[owner] = max(best.get(owner, (0, 0)), (number, at - 2**31))
        step_s = self.WINDOW / 2 / RATE_HZ
        found = [(self._tracks[k], at * step_s, float(n)) for k, (n, at) in best.items()]
        return sorted(found, key=lambda one: -one[2])


def dejavu_hashes(samples: Sound, rate_hz: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(hash, frame) of every pair of peaks."""
    if rate_hz != RATE_HZ:
        samples = soxr.resample(samples, rate_hz, RATE_HZ)
    size, fan = Dejavu.WINDOW, Dejavu.FAN
    _, _, power = signal.spectrogram(
        samples * 32767.0, RATE_HZ, "hann", size, size // 2, detrend=False
    )
    levels = 10 * np.log10(np.maximum(power, 1e-30))
    diamond = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), Dejavu.NEIGHBOURS)
    is_peak = ndimage.maximum_filter(levels, footprint=diamond) == levels
    bins, frames = np.nonzero(is_peak & (levels > Dejavu.FLOOR_DB))
    order = np.lexsort((bins, frames))
    bins, frames = bins[order].astype(np.int64), frames[order].astype(np.int64)
    hashes, times = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for ahead in range(1, fan):
        gap = frames[ahead:] - frames[:-ahead]
        near = gap <= Dejavu.LONGEST
        pair = (bins[:-ahead] << 24) | (bins[ahead:] << 8) | gap
        hashes.append(pair[near])
        times.append(frames[:-ahead][near])
    return np.concatenate(hashes), np.concatenate(times)


@lru_cache(maxsize=4096)
def _dejavu_of(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return dejavu_hashes(track_sound(path), RATE_HZ)


# ------------------------------------------------------------------------------ MFCC and DTW


class MfccDtw:
    """13 MFCC at 22.05 kHz and librosa's subsequence DTW, as campaign scripts do."""

    name = "MFCC + DTW, librosa"

    def index(self, tracks: Sequence[Path]) -> None:
        self._tracks = [(path, _mfcc_of(path)) for path in tracks]

    def query(self, samples: Sound, rate_hz: int) -> Ranked:
        import librosa

        asked = mfcc(samples, rate_hz)
        found = []
        for path, known in self._tracks:
            if known.shape[1] < asked.shape[1]:
                continue
            costs, way = librosa.sequence.dtw(asked, known, metric="cosine", subseq=True)
            end = int(costs[-1].argmin())
            distance = float(costs[-1, end]) / asked.shape[1]
            at = int(way[-1][1]) * 512 / 22050
            found.append((path, at, (1 - distance / 2) * 100))
        return sorted(found, key=lambda one: -one[2])


def mfcc(samples: Sound, rate_hz: int) -> NDArray[np.floating]:
    import librosa

    at_rate = soxr.resample(samples, rate_hz, 22050)
    return librosa.feature.mfcc(y=at_rate, sr=22050, n_mfcc=13)


@lru_cache(maxsize=4096)
def _mfcc_of(path: Path) -> NDArray[np.floating]:
    return mfcc(track_sound(path), RATE_HZ)


PEERS: dict[str, type[Peer]] = {
    "chromaprint": Chromaprint,
    "dejavu": Dejavu,
    "dtw": MfccDtw,
}
