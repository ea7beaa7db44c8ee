"""Pairs among many: the index finds what comparing all pairs finds, and no chance pairs."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reelscope.music.neighbours import MOST_CANDIDATES, Search, alike, key_bits

SEARCH = Search(
    least_items=40, least_share=0.5, frequent_share=0.02, all_pairs=0, least_similarity=0.7,
    threads=2,
)  # fmt: skip
Prints = list[NDArray[np.uint32]]


def noise(count: int, seed: int) -> NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)


def with_errors(items: NDArray[np.uint32], share: float, seed: int) -> NDArray[np.uint32]:
    flips = np.random.default_rng(seed).random((len(items), 32)) < share
    return items ^ np.packbits(flips, axis=1).view(np.uint32)[:, 0]


def library(count: int) -> Prints:
    """Every fifth is a copy of the one before, with errors and without its beginning."""
    prints: Prints = []
    for number in range(count):
        if number % 5 == 4:
            prints.append(with_errors(prints[-1], 0.03 * (number % 4), number)[number % 30 :])
        else:
            prints.append(noise(150 + number, number))
    return prints


def test_the_index_finds_what_all_pairs_find() -> None:
    prints = library(60)
    by_index = alike(prints, SEARCH)
    by_all = alike(prints, replace(SEARCH, all_pairs=1000))
    assert [(p.first, p.second) for p in by_all] == [(n - 1, n) for n in range(4, 60, 5)]
    assert by_index == by_all
    for pair in by_all:
        assert pair.alignment.offset == pair.second % 30


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads: int) -> None:
    prints = library(40)
    assert alike(prints, replace(SEARCH, threads=threads)) == alike(prints, SEARCH)


def test_the_order_changes_nothing() -> None:
    prints = library(40)
    turned = alike(prints[::-1], SEARCH)
    expected = {(p.first, p.second, p.alignment.similarity) for p in alike(prints, SEARCH)}
    found = {(39 - p.second, 39 - p.first, p.alignment.similarity) for p in turned}
    assert found == expected


def test_hundreds_of_copies_hang_together() -> None:
    sound = noise(200, 1)
    prints = [with_errors(sound, 0.02, seed) for seed in range(300)]
    pairs = alike(prints, SEARCH)
    leader = list(range(len(prints)))

    def find(number: int) -> int:
        while leader[number] != number:
            number = leader[number]
        return number

    for pair in pairs:
        leader[find(pair.second)] = find(pair.first)
    assert len({find(number) for number in range(300)}) == 1
    assert len(pairs) <= 300 * MOST_CANDIDATES


def test_silence_that_everybody_has_makes_no_pairs() -> None:
    silence = np.full(60, 627964279, np.uint32)
    prints = [np.concatenate([noise(150, n), silence]) for n in range(80)]
    assert alike(prints, SEARCH) == []


def test_nothing_is_like_an_empty_one() -> None:
    empty = np.zeros(0, np.uint32)
    assert alike([], SEARCH) == []
    assert alike([noise(100, 1)], SEARCH) == []
    assert alike([empty, empty, noise(100, 1)], SEARCH) == []
    assert alike([empty, empty], replace(SEARCH, all_pairs=10)) == []


def test_progress_is_told_to_the_end() -> None:
    told: list[int] = []
    alike(library(40), SEARCH, told.append)
    assert told == sorted(told)
    assert told[-1] == 40


def test_keys_grow_with_the_library() -> None:
    sizes = [key_bits(count) for count in (0, 1000, 10**5, 10**6, 10**7, 10**9)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (16, 24)


def test_ten_hours_are_not_compared_at_every_offset() -> None:
    whole = noise(290_000, 1)
    long_ones = [whole, with_errors(whole, 0.02, 2)[500:], noise(290_000, 3)]
    started = time.perf_counter()
    pairs = alike(long_ones, replace(SEARCH, all_pairs=300))
    assert [(p.first, p.second, p.alignment.offset) for p in pairs] == [(0, 1, 500)]
    assert time.perf_counter() - started < 30
