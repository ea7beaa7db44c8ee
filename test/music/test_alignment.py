"""How alike two fingerprints are: symmetric, 1 with itself, the same wherever it begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelscope.music.alignment import (
    align,
    align_near,
    bits,
    chance_of,
    equal_bits,
    least_overlap,
)

items = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=60).map(
    lambda values: np.array(values, np.uint32)
)


def noise(count: int, seed: int = 0) -> NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)


@settings(deadline=None)  # the first call compiles
@given(value=st.integers(0, 2**32 - 1))
def test_bits_are_counted(value: int) -> None:
    assert bits(np.uint32(value)) == value.bit_count()


@settings(deadline=None)
@given(one=items)
def test_equal_bits_by_definition(one: NDArray[np.uint32]) -> None:
    other = np.roll(one, 1)
    said = sum(
        32 - int(a ^ b).bit_count() for a, b in zip(one.tolist(), other.tolist(), strict=True)
    )
    assert equal_bits(one, other) == said


@settings(deadline=None)
@given(one=items)
def test_anything_is_like_itself(one: NDArray[np.uint32]) -> None:
    found = align(one, one, len(one))
    assert (found.similarity, found.offset, found.overlap) == (1.0, 0, len(one))


@settings(deadline=None)
@given(one=items, other=items, share=st.floats(0.05, 1))
def test_symmetric(one: NDArray[np.uint32], other: NDArray[np.uint32], share: float) -> None:
    least = least_overlap(len(one), len(other), least=5, share=share)
    assert least == least_overlap(len(other), len(one), least=5, share=share)
    there, back = align(one, other, least), align(other, one, least)
    assert there.similarity == back.similarity
    assert there.overlap == back.overlap >= least
    if (there.offset, back.offset) != (0, 0) and there.offset == -back.offset:
        assert there.excess == pytest.approx(back.excess)


@settings(deadline=None)
@given(shift=st.integers(0, 80), seed=st.integers(0, 50))
def test_a_shift_changes_nothing_but_the_offset(shift: int, seed: int) -> None:
    whole = noise(300, seed)
    one, other = whole[:200], whole[shift : shift + 200]
    found = align(one, other, 100)
    assert found.similarity == 1.0
    assert found.offset == shift
    assert found.overlap == 200 - shift


@settings(deadline=None)
@given(before=st.integers(0, 40), seed=st.integers(0, 50))
def test_what_stands_before_it_changes_nothing(before: int, seed: int) -> None:
    sound = noise(120, seed)
    led = np.concatenate([noise(before, seed + 1000), sound])
    plain, found = align(sound, sound, 100), align(led, sound, 100)
    assert found.similarity == plain.similarity
    assert found.offset == before


def test_errors_lower_it_by_their_share() -> None:
    one = noise(400)
    flips = np.packbits(np.random.default_rng(1).random((400, 32)) < 0.1, axis=1).view(np.uint32)
    found = align(one, one ^ flips[:, 0], 200)
    assert found.similarity == pytest.approx(0.9, abs=0.01)
    assert found.chance < 1e-12


def test_strangers_are_chance() -> None:
    found = align(noise(400, 1), noise(400, 2), 200)
    assert found.similarity < 0.55
    assert found.chance > 0.2


def test_near_sees_only_what_is_near() -> None:
    whole = noise(400)
    assert align_near(whole, whole[100:], 100, offset=97, reach=4).similarity == 1.0
    assert align_near(whole, whole[100:], 100, offset=90, reach=4).similarity < 0.6
    assert align_near(whole, whole[100:], 500, offset=97, reach=4).overlap == 0


@pytest.mark.parametrize("overlap", [1, 10, 24, 100, 640, 5000])
def test_chance_falls_with_the_excess_and_stays_a_probability(overlap: int) -> None:
    chances = [chance_of(excess, overlap) for excess in np.linspace(-0.2, 0.5, 50)]
    assert all(0 <= chance <= 1 for chance in chances)
    assert chances == sorted(chances, reverse=True)
    assert chance_of(0.08, 640) < chance_of(0.08, 80) < chance_of(0.08, 24)


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(100, 1000, 60), (1000, 2000, 500), (20, 1000, 20), (1, 1, 1)]
)
def test_least_overlap(one: int, other: int, expected: int) -> None:
    assert least_overlap(one, other, least=60, share=0.5) == expected
