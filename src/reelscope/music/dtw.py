"""Dynamic time warping under the cosine distance, equal to `librosa.sequence.dtw`.

The path may step (1, 1), (0, 1) and (1, 0), each at the price of the cell that it enters; of
equal ones the first in this order is taken. With `subsequence` the shorter sequence may begin
and end anywhere in the longer one (Mueller, Fundamentals of Music Processing, 2015, chapters
3 and 7.2). Additions are done in the same order as in librosa and in scipy's `cdist`, so that
costs and paths are the same to the last bit. What is ours is how: cells of a row are taken
together, only two rows of costs are kept, and a step is a byte.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled

_DIAGONAL, _ALONG, _DOWN = 0, 1, 2
"""The steps (1, 1), (0, 1), (1, 0), numbered as librosa does."""
TOGETHER = 512
"""Cells of a row whose distances are taken together: their sums stay in the nearest cache."""


@dataclass(frozen=True, slots=True)
class Warping:
    """How two sequences were laid upon one another.

    Attributes:
        cost: sum of the distances along the path.
        path: (steps, 2), pairs of rows of the first and of the second sequence, from the end
            to the beginning, as librosa gives it.
    """

    cost: float
    path: NDArray[np.int64]

    @property
    def distance(self) -> float:
        """The mean distance along the path, 0 to 2."""
        return self.cost / len(self.path)


def warp(
    first: NDArray[np.floating], second: NDArray[np.floating], *, subsequence: bool = False
) -> Warping:
    """The cheapest way to lay one sequence upon the other.

    Args:
        first, second: (rows, features); librosa's matrices, turned.
        subsequence: the shorter one may lie anywhere in the longer one.

    Raises:
        ValueError: shapes that do not fit, nothing in one of them, values that are not
            finite, or a row of zeros, which has no direction.
    """
    one, two = _checked(first), _checked(second)
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"rows of {one.shape[1]} and of {two.shape[1]} numbers")
    turned = subsequence and len(one) > len(two)
    if turned:
        one, two = two, one
    steps = np.empty((len(one), len(two)), np.uint8)
    costs = _accumulate(one, np.ascontiguousarray(two.T), steps, subsequence)
    end = int(np.argmin(costs)) if subsequence else len(two) - 1
    path = _walk_back(steps, end, subsequence)
    return Warping(float(costs[end]), np.fliplr(path) if turned else path)


def _checked(sequence: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = np.ascontiguousarray(sequence, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"expected rows of numbers, found the shape {rows.shape}")
    if not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise ValueError("a row is all zeros or has values that are not finite")
    return rows


@compiled
def _accumulate(
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    steps: NDArray[np.uint8],
    subsequence: bool,
) -> NDArray[np.float64]:
    """The last row of accumulated costs; fills `steps`. `two` is turned: (features, rows)."""
    length = two.shape[1]
    norms, own = np.empty(length), np.empty(one.shape[0])
    _norms(two, norms)
    _norms(one.T, own)
    above = np.full(length, np.inf)
    here = np.empty(length)
    cell = np.empty(length)
    odd = np.empty(TOGETHER)
    for n in range(one.shape[0]):
        _distances(one[n], own[n], two, norms, cell, odd)
        if n == 0:
            _first_row(cell, here, steps[0], subsequence)
        else:
            _next_row(cell, above, here, steps[n])
        above, here = here, above
    return above


@compiled
def _norms(turned: NDArray[np.float64], norms: NDArray[np.float64]) -> None:
    """Fill `norms`: the length of every column, summed as in `_distances`."""
    features = turned.shape[0]
    for m in range(norms.shape[0]):
        even = odd = 0.0
        for feature in range(0, features - 1, 2):
            even += turned[feature, m] * turned[feature, m]
            odd += turned[feature + 1, m] * turned[feature + 1, m]
        total = even + odd
        if features % 2:
            total += turned[features - 1, m] * turned[features - 1, m]
        norms[m] = np.sqrt(total)


@compiled
def _distances(
    row: NDArray[np.float64],
    norm: float,
    two: NDArray[np.float64],
    norms: NDArray[np.float64],
    cell: NDArray[np.float64],
    odd: NDArray[np.float64],
) -> None:
    """Fill `cell` with 1 - cosine between the row and every column of `two`.

    Products of even and of odd places are summed apart, then both, then what is left over:
    so does scipy 1.17 (its compiler takes doubles two by two), and the last bit shows it.
    `odd` is room to work in.
    """
    features = two.shape[0]
    for first in range(0, cell.shape[0], TOGETHER):
        count = min(TOGETHER, cell.shape[0] - first)
        odd[:] = 0.0
        here = cell[first : first + count]
        here[:] = 0.0
        for feature in range(0, features - 1, 2):
            one, other = row[feature], row[feature + 1]
            columns = two[feature, first : first + count]
            others = two[feature + 1, first : first + count]
            for m in range(count):
                here[m] += one * columns[m]
                odd[m] += other * others[m]
        for m in range(count):
            here[m] += odd[m]
        if features % 2:
            one = row[features - 1]
            columns = two[features - 1, first : first + count]
            for m in range(count):
                here[m] += one * columns[m]
        for m in range(count):
            cosine = here[m] / (norm * norms[first + m])
            here[m] = 1.0 - min(max(cosine, -1.0), 1.0)


@compiled
def _first_row(
    cell: NDArray[np.float64],
    here: NDArray[np.float64],
    steps: NDArray[np.uint8],
    subsequence: bool,
) -> None:
    here[0] = cell[0]
    steps[0] = _DIAGONAL
    for m in range(1, cell.shape[0]):
        here[m] = cell[m] if subsequence else here[m - 1] + cell[m]
        steps[m] = _DIAGONAL if subsequence else _ALONG


@compiled
def _next_row(
    cell: NDArray[np.float64],
    above: NDArray[np.float64],
    here: NDArray[np.float64],
    steps: NDArray[np.uint8],
) -> None:
    here[0] = above[0] + cell[0]
    steps[0] = _DOWN
    for m in range(1, cell.shape[0]):
        best = above[m - 1] + cell[m]
        step = _DIAGONAL
        along = here[m - 1] + cell[m]
        if along < best:
            best = along
            step = _ALONG
        down = above[m] + cell[m]
        if down < best:
            best = down
            step = _DOWN
        here[m] = best
        steps[m] = step


@compiled
def _walk_back(steps: NDArray[np.uint8], end: int, subsequence: bool) -> NDArray[np.int64]:
    path = np.empty((steps.shape[0] + steps.shape[1], 2), np.int64)
    n, m = steps.shape[0] - 1, end
    count = 0
    while True:
        path[count, 0] = n
        path[count, 1] = m
        count += 1
        if n == 0 and (subsequence or m == 0):
            return path[:count].copy()
        step = steps[n, m]
        if step != _ALONG:
            n -= 1
        if step != _DOWN:
            m -= 1
