"""Fits the confidence of music identification (music/confidence.py), and measures its tail.

    python bench/fit_music.py collect --seconds 1200 --seed 1 --into FOLDER   (several at once)
    python bench/fit_music.py fit FOLDER

`collect` asks clips of known truth, under every condition of music_material.py and of 3, 5, 10
and 15 s, twice: the second time their track and its relatives are hidden; and clips of composed
tracks, which are in no library. It writes what the model sees of the best places. The library
is the corpus and distractors. `fit` prints the weights and the threshold for the source, and
what they give on clips that they were not fitted on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import music_material as material
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from reelscope.music import confidence
from reelscope.music.evidence import Traits
from reelscope.music.fingerprint import FRAMES_PER_S, at_rate, constellation
from reelscope.music.listening import listen
from reelscope.music.search import Search
from reelscope.music.segment import Segment

LENGTHS_S = (3.0, 3.0, 5.0, 5.0, 10.0, 15.0)
COMPOSED = 10_000
SAME_TRACK = 0.5
"""A place of the right track that sounds a little different: neither right nor wrong."""
ALIKE, LISTENED = 7.0, 3
"""Score from which a place is listened to, to see whether it sounds the same; so many at most."""
DISTRACTORS = 200
NAMES = tuple(confidence.WEIGHTS)


def collect(folder: Path, seconds: float, seed: int, distractors: int) -> None:
    """Rows of (condition, length, in the library, right, query, features...)."""
    rng = np.random.default_rng(seed)
    tracks = list(material.corpus_tracks())
    segment = _library(tracks, distractors)
    rows: list[list[float]] = []
    query, until = seed * 1_000_000, time.monotonic() + seconds
    while time.monotonic() < until:
        for which, condition in enumerate(material.CONDITIONS):
            number = int(rng.integers(2 * len(tracks)))
            composed = material.COMPOSED / str(rng.integers(COMPOSED))
            path = tracks[number] if number < len(tracks) else composed
            length_s = float(rng.choice(LENGTHS_S))
            try:
                (asked,) = material.queries(
                    [path], condition, length_s, 1, int(rng.integers(1 << 30))
                )
            except ValueError:  # the track is shorter than the clip
                continue
            for known in (True, False) if number < len(tracks) else (False,):
                query += 1
                start = [which, length_s, known, 0, query]
                rows += _rows(segment, tracks, number, asked, start)
        np.save(folder / f"{seed}.npy", np.array(rows, np.float64))
    print(f"{query - seed * 1_000_000} queries, {len(rows)} places")


def _library(tracks: Sequence[Path], distractors: int) -> Segment:
    """A track's number is its place in the list; distractors have higher ones."""
    known = [constellation(material.track_sound(path), material.RATE_HZ) for path in tracks]
    more = material.distractors(known, distractors, first_number=len(known))
    return Segment.build([*enumerate(known), *more])


def _rows(
    segment: Segment,
    tracks: Sequence[Path],
    number: int,
    asked: material.Query,
    start: list[float],
) -> list[list[float]]:
    known = bool(start[2])
    heard = listen(at_rate(asked.samples, asked.rate_hz))
    family = material.family(asked.track_path)
    relatives = {at for at, track in enumerate(tracks) if material.family(track) == family}
    search = Search(heard, [segment], hidden=() if known else relatives)
    rows = []
    places = search.seen(search.places())
    places.sort(key=lambda one: -confidence.log_odds(one[1]))
    for rank, (place, seen) in enumerate(places):
        at = search.track(place, seen)
        offset_s = (place.offset - segment.starts[at]) / FRAMES_PER_S
        right = at == number and abs(offset_s - asked.offset_s) <= material.RIGHT_S
        if not right and at < len(tracks) and seen.score > ALIKE and rank < LISTENED:
            right = _sounds_the_same(asked, tracks[at], offset_s, place.tempo, seen)
        if right and not known:
            continue
        label = 1.0 if right else SAME_TRACK if at == number else 0.0
        values = list(confidence.features(seen).values())
        rows.append([*start[:3], label, start[4], *values])
    return rows


def _sounds_the_same(
    asked: material.Query, track: Path, offset_s: float, tempo: float, seen: Traits
) -> bool:
    """Of the part of the clip that is said to be the track: tracks quote one another."""
    start_s, length_s = seen.start / FRAMES_PER_S, (seen.end - seen.start) / FRAMES_PER_S
    part = replace(asked, offset_s=asked.offset_s + start_s * asked.tempo, length_s=length_s)
    return material.is_hit(part, track, offset_s + start_s * tempo)


def fit(folder: Path) -> None:
    """Print weights, threshold and how good they are."""
    rows = np.concatenate([np.load(path) for path in sorted(folder.glob("*.npy"))])
    half = (rows[:, 4] // 50) % 2  # by runs of fifty: the two askings of a clip stay together
    weights = _fitted(rows[half == 0])
    print(f"{len(np.unique(rows[:, 4]))} queries")
    print("half of the queries, fitted on the other half:")
    _report(rows[half == 1], weights)
    weights = _fitted(rows)
    print("all:")
    level, fall = _report(rows, weights)
    print(json.dumps(dict(zip(NAMES, np.round(weights, 3).tolist(), strict=True)), indent=4))
    print(f"LEVEL, FALL = {level:.2f}, {fall:.2f}  at {confidence.AT_RATE}")


def _fitted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights: of each clip the best right place against the best wrong one, found in turns."""
    rows = rows[rows[:, 3] != SAME_TRACK]
    features, right = rows[:, 5:], rows[:, 3] > 0
    weights = np.array([confidence.WEIGHTS[name] for name in NAMES])
    for _ in range(4):
        odds = features @ weights
        wrong = _best(rows, np.where(right, -np.inf, odds))
        chosen = np.concatenate([_best(rows, np.where(right, odds, -np.inf)), wrong])
        chosen = np.unique(chosen)
        weights = _logistic(features[chosen], right[chosen])
    return weights


def _best(rows: NDArray[np.float64], odds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The row of each query that is believed most."""
    order = np.lexsort((-odds, rows[:, 4]))
    first = np.concatenate([[True], np.diff(rows[order, 4]) != 0])
    return order[first]


def _logistic(features: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    scale = features.std(axis=0) + 1e-9
    scale[0] = 1
    sign = np.where(right, 1.0, -1.0)
    weight = np.where(right, 0.5 / right.mean(), 0.5 / (1 - right.mean()))

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (features / scale @ w)
        slope = -weight * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = np.mean(weight * np.logaddexp(0, -margin)) + 1e-3 * np.sum(w[1:] ** 2)
        gradient = (features / scale).T @ slope / len(sign)
        gradient[1:] += 2e-3 * w[1:]
        return float(value), gradient

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B")
    return np.asarray(found.x / scale)


def _report(rows: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    odds = rows[:, 5:] @ weights
    best = _best(rows, odds)
    known, right, odds, length = rows[best, 2] > 0, rows[best, 3] == 1, odds[best], rows[best, 1]
    away = np.sort(odds[~known])[::-1]
    # An exponential tail through two quantiles: what a few odd clips do does not move it.
    upper, lower = np.quantile(away, [0.99, 0.95])
    fall = float(upper - lower) / np.log(5)
    level = float(upper) + fall * np.log(0.01 / confidence.AT_RATE)
    for rate in (1e-3, 1e-4):
        least = level + fall * np.log(confidence.AT_RATE / rate)
        over = int((away >= least).sum())
        print(f"at {rate}: threshold {least:.2f}; {over} of {len(away)} unknown clips above it")
        for seconds in np.unique(length):
            some = known & (length == seconds)
            page = some & (rows[best, 0] < len(material.PAGE))
            print(
                f"  {seconds:4.0f} s: first {right[some].mean():.1%}, found"
                f" {(right & (odds >= least))[some].mean():.1%}, of the 17 conditions"
                f" {(right & (odds >= least))[page].mean():.1%} ({some.sum()} clips)"
            )
    for low, high in ((-1, 1), (1, 3), (3, 5)):
        some = (odds >= low) & (odds < high)
        if some.any():
            print(f"  odds {low} to {high}: {right[some].mean():.1%} right of {some.sum()}")
    worst = []
    for which, name in enumerate(material.CONDITIONS):
        some = known & (rows[best, 0] == which) & (length <= 5)
        if some.any():
            worst.append(((right & (odds >= level))[some].mean(), name))
    print("  3 and 5 s, worst:", ", ".join(f"{n} {v:.0%}" for v, n in sorted(worst)[:10]))
    return level, fall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    collecting = what.add_parser("collect")
    collecting.add_argument("--seconds", type=float, default=1200)
    collecting.add_argument("--seed", type=int, default=1)
    collecting.add_argument("--distractors", type=int, default=DISTRACTORS)
    collecting.add_argument("--into", type=Path, required=True)
    what.add_parser("fit").add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.what == "collect":
        given.into.mkdir(parents=True, exist_ok=True)
        collect(given.into, given.seconds, given.seed, given.distractors)
    else:
        fit(given.folder)


if __name__ == "__main__":
    main()
