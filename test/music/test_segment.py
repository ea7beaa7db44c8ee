"""What goes into a segment comes out of it, and is found where it stands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.music.fingerprint import BINS, LOWEST_BIN, Constellation
from reelscope.music.segment import (
    BLOCK,
    FAN_OUT,
    FIRST_GAP,
    GAP_FRAMES,
    HASH_BITS,
    LAST_GAP,
    MOST_STEP,
    Segment,
    cell_bits,
    merge,
    pack,
    pairs,
)


def made(seed: int, length: int = 900) -> Constellation:
    rng = np.random.default_rng(seed)
    spots = np.unique(rng.integers(0, length * BINS, 40 * length // 50))
    frames, bins = spots // BINS, np.maximum(spots % BINS, LOWEST_BIN)
    keep = np.diff(frames * BINS + bins, prepend=-1) > 0
    return Constellation(frames[keep].astype(np.int32), bins[keep].astype(np.int16), length)


def same(one: Constellation, other: Constellation) -> bool:
    return (
        np.array_equal(one.frames, other.frames)
        and np.array_equal(one.bins, other.bins)
        and one.length == other.length
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3000), max_size=6), st.integers(0, 99))
def test_every_track_comes_out_as_it_went_in(lengths: list[int], seed: int) -> None:
    items = [(7 * n + 1, made(seed + n, length)) for n, length in enumerate(lengths)]
    segment = Segment.from_arrays(Segment.build(items).arrays())
    assert len(segment) == len(items)
    for number, one in items:
        assert same(segment.constellation(number), one)
    with pytest.raises(KeyError):
        segment.constellation(2)


def test_tracks_stand_apart_on_the_timeline() -> None:
    segment = Segment.build([(n, made(n)) for n in range(5)])
    assert (segment.starts % BLOCK == 0).all()
    assert (np.diff(segment.starts) >= segment.lengths + GAP_FRAMES).all()
    for at, start in enumerate(segment.starts[:-1]):
        assert segment.track_at(float(start)) == at
        assert segment.track_at(float(start + segment.lengths[at] - 1)) == at
    assert segment.track_at(-50) == 0
    assert segment.track_at(1e9) == 4


def test_every_pair_is_in_its_cell_at_its_place() -> None:
    one = made(4)
    segment = Segment.build([(1, made(3)), (2, one)])
    hashes, places = pairs(one.frames.astype(np.int64), one.bins.astype(np.int64), FAN_OUT)
    shift = HASH_BITS - cell_bits(len(segment.places))
    for hashed, place in zip(hashes.tolist(), places.tolist(), strict=True):
        start, stop = segment.cells[hashed >> shift], segment.cells[(hashed >> shift) + 1]
        assert place + segment.starts[1] in segment.places[start:stop]


def test_merging_keeps_all_but_what_is_left_out() -> None:
    items = [(n, made(n)) for n in range(6)]
    parts = [Segment.build(items[:2]), Segment.build(items[2:5]), Segment.build(items[5:])]
    whole = merge(parts, without={1, 4})
    assert whole.numbers.tolist() == [0, 2, 3, 5]
    expected = Segment.build([item for item in items if item[0] not in {1, 4}])
    for name, array in whole.arrays().items():
        assert np.array_equal(array, expected.arrays()[name]), name


@given(st.integers(0, 511), st.integers(-MOST_STEP, MOST_STEP), st.integers(FIRST_GAP, LAST_GAP))
def test_a_hash_is_of_one_pair_and_its_lead_of_its_neighbours(
    low: int, step: int, gap: int
) -> None:
    hashed = pack(low, step, gap)
    assert 0 <= hashed < 1 << HASH_BITS
    coarse = hashed >> 3
    up = step + MOST_STEP + 1
    assert coarse == ((low >> 1) << 11) | ((up >> 1) << 5) | (gap >> 1)
    assert hashed & 7 == (low & 1) << 2 | (up & 1) << 1 | gap & 1


@pytest.mark.parametrize("name", ["numbers", "starts", "lengths", "blocks", "cells"])
def test_arrays_that_do_not_fit_together_are_refused(name: str) -> None:
    arrays = Segment.build([(1, made(1)), (2, made(2))]).arrays()
    with pytest.raises(ValueError, match=r"."):
        Segment.from_arrays({**arrays, name: arrays[name][:-1]})


@pytest.mark.parametrize("name", ["points", "places", "cells"])
def test_arrays_of_another_kind_are_refused(name: str) -> None:
    arrays = Segment.build([(1, made(1))]).arrays()
    with pytest.raises(ValueError, match=name):
        Segment.from_arrays({**arrays, name: arrays[name].astype(np.float64)})
    with pytest.raises(ValueError, match="a segment has"):
        Segment.from_arrays({key: value for key, value in arrays.items() if key != name})
