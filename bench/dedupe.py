"""Duplicates: how fast, how sure, and what chance looks like.

    python bench/dedupe.py [--assets 10000] [--chance]

Fingerprints are generated: real ones of the corpus in pieces, each changed by a mask of its
own, so that sub-fingerprints are as unevenly spread as in real music while no two tracks are
alike; every tenth is a copy of another with errors of a re-encoding. `--chance` measures the
table in `music/alignment.py`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray

from reelscope.music.alignment import CHANCE_OVERLAPS, align
from reelscope.music.chromaprint import Engine, available, chromaprint
from reelscope.music.neighbours import Search, alike

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus" / "music"
GOAL_FILES_S, GOAL_COMPARE_S = 8.0, 60.0
TRACK_ITEMS = 1437  # three minutes
Prints = list[NDArray[np.uint32]]


@dataclass(frozen=True)
class Result:
    """What `measure` found; goals in the names above."""

    files_a_second: dict[Engine, float]
    assets: int
    compare_s: float
    copies: int
    copies_found: int
    false_pairs: int


def corpus_prints(engine: Engine = "own", threads: int = 2) -> tuple[Prints, float]:
    """The corpus' fingerprints, and how many files of 3 minutes that is in a second."""
    paths = sorted(CORPUS.glob("*.ogg"))
    chromaprint(paths[0], engine)  # compiles
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda path: chromaprint(path, engine), paths))
    elapsed_s = time.perf_counter() - start
    return [f.items for f in found], sum(f.duration_s for f in found) / 180 / elapsed_s


def generated(real: Prints, count: int, seed: int = 0) -> tuple[Prints, dict[int, int]]:
    """Fingerprints of `count` tracks, and which is a copy of which."""
    rng = np.random.default_rng(seed)
    pool = np.concatenate(real)
    made: Prints = []
    copy_of: dict[int, int] = {}
    for number in range(count):
        if number % 10 == 9:
            original = int(rng.integers(number))
            copy_of[number] = original
            made.append(_with_errors(rng, made[original], 0.03)[int(rng.integers(30)) :])
            continue
        made.append(np.concatenate(list(_pieces(rng, pool))))
    return made, copy_of


def _pieces(rng: np.random.Generator, pool: NDArray[np.uint32]) -> Iterator[NDArray[np.uint32]]:
    for _ in range(TRACK_ITEMS // 16):
        start = int(rng.integers(len(pool) - 16))
        mask = np.packbits(rng.random(32) < 0.25).view(np.uint32)[0]
        yield pool[start : start + 16] ^ mask


def _with_errors(
    rng: np.random.Generator, items: NDArray[np.uint32], share: float
) -> NDArray[np.uint32]:
    flips = np.packbits(rng.random((len(items), 32)) < share, axis=1).view(np.uint32)[:, 0]
    return items ^ flips


def compare(prints: Prints, copy_of: dict[int, int], threads: int = 2) -> tuple[float, int, int]:
    """Seconds, copies found, and pairs of 0.8 and more that are no copies."""
    search = Search(
        least_items=81, least_share=0.5, frequent_share=0.02, all_pairs=300,
        least_similarity=0.6, threads=threads,
    )  # fmt: skip
    alike(prints[:400], search)  # compiles
    start = time.perf_counter()
    pairs = alike(prints, search)
    elapsed_s = time.perf_counter() - start
    same = {(p.first, p.second) for p in pairs if p.alignment.similarity >= 0.8}
    families = _families(len(prints), copy_of)
    found = sum((min(a, b), max(a, b)) in same for a, b in copy_of.items())
    return elapsed_s, found, sum(families[a] != families[b] for a, b in same)


def _families(count: int, copy_of: dict[int, int]) -> list[int]:
    families = list(range(count))
    for number in range(count):
        families[number] = families[copy_of.get(number, number)]
    return families


def measure(assets: int = 10_000) -> Result:
    """Everything that the goals are about."""
    speeds: dict[Engine, float] = {}
    real: Prints = []
    for engine in available():
        real, speeds[engine] = corpus_prints(engine)
    prints, copy_of = generated(real, assets)
    elapsed_s, found, false = compare(prints, copy_of)
    return Result(speeds, assets, elapsed_s, len(copy_of), found, false)


def chance(real: Prints, seed: int = 1) -> Iterator[tuple[int, int, float, float]]:
    """Overlap, pairs, and median and scale of `excess` among different tracks."""
    rng = np.random.default_rng(seed)
    for length in CHANCE_OVERLAPS:
        found: list[float] = []
        for number, track in enumerate(real):
            for _ in range(min(max(len(track) // length, 0), 12)):
                start = int(rng.integers(len(track) - length + 1))
                passage = track[start : start + length]
                others = [other for n, other in enumerate(real) if n != number]
                results = (align(passage, other, min(length, len(other))) for other in others)
                found += [r.excess for r in results if r.overlap >= length // 2]
        middle, high = np.quantile(found, [0.5, 0.999])
        yield length, len(found), float(middle), float((high - middle) / np.log(500))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--chance", action="store_true")
    given = parser.parse_args(arguments)
    print(describe())
    if given.chance:
        for length, pairs, middle, scale in chance(corpus_prints()[0]):
            print(f"overlap {length:4}: {pairs:6} pairs, median {middle:.4f}, scale {scale:.4f}")
        return
    result = measure(given.assets)
    for engine, speed in result.files_a_second.items():
        print(f"{engine:15} {speed:6.1f} files of 3 minutes a second (goal {GOAL_FILES_S:.0f})")
    print(
        f"{result.assets} assets compared in {result.compare_s:.1f} s (goal {GOAL_COMPARE_S:.0f}):"
        f" {result.copies_found} of {result.copies} copies found, {result.false_pairs} false pairs"
    )


if __name__ == "__main__":
    main()
