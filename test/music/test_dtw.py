"""Costs and paths are librosa's, to the last bit."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelscope.music.dtw import Warping, warp

Rows = NDArray[np.float64]


def librosas(first: Rows, second: Rows, *, subsequence: bool) -> tuple[float, NDArray[np.int64]]:
    costs, path = librosa.sequence.dtw(first.T, second.T, metric="cosine", subseq=subsequence)
    return float(costs[-1].min() if subsequence else costs[-1, -1]), path


def rows(seed: int, count: int, features: int, *, values: int = 0) -> Rows:
    """Random rows; with `values` of few whole numbers, so that many ways cost the same."""
    rng = np.random.default_rng(seed)
    if values:
        return rng.integers(1, values + 1, (count, features)).astype(float)
    return rng.normal(size=(count, features))


def assert_same(found: Warping, first: Rows, second: Rows, *, subsequence: bool) -> None:
    cost, path = librosas(first, second, subsequence=subsequence)
    assert found.cost == cost
    assert np.array_equal(found.path, path)


@pytest.mark.slow
@settings(deadline=None)  # the first call compiles
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    features=st.integers(1, 20),
    values=st.sampled_from([0, 2, 3]),
    subsequence=st.booleans(),
)
def test_cost_and_path_are_librosas(
    seed: int, lengths: tuple[int, int], features: int, *, values: int, subsequence: bool
) -> None:
    first = rows(seed, lengths[0], features, values=values)
    second = rows(seed + 1, lengths[1], features, values=values)
    found = warp(first, second, subsequence=subsequence)
    assert_same(found, first, second, subsequence=subsequence)


def test_the_short_one_is_found_inside_the_long_one() -> None:
    long = rows(1, 300, 13)
    for first, second, column in ((long[120:180], long, 1), (long, long[120:180], 0)):
        found = warp(first, second, subsequence=True)
        assert found.cost == pytest.approx(0.0, abs=1e-9)
        assert (found.path[-1][column], found.path[0][column]) == (120, 179)
        assert_same(found, first, second, subsequence=True)


def test_opposites_are_two_apart_and_likes_none() -> None:
    same = rows(2, 30, 13)
    assert warp(same, same).distance == pytest.approx(0.0, abs=1e-12)
    assert warp(np.ones((5, 3)), -np.ones((5, 3))).distance == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (np.zeros((3, 2)), np.ones((3, 2)), "all zeros"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), "not finite"),
        (np.ones((3, 2)), np.full((1, 2), np.inf), "not finite"),
        (np.ones((0, 2)), np.ones((3, 2)), "shape"),
        (np.ones(3), np.ones((3, 2)), "shape"),
        (np.ones((3, 2)), np.ones((3, 4)), "rows of 2 and of 4"),
    ],
)
def test_what_has_no_distance_is_refused(first: Rows, second: Rows, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        warp(first, second)
