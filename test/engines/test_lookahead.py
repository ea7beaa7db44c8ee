"""Items are made shortly before they are needed, and no more of them than that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from reelscope.engines.batching import Batches
from reelscope.engines.lookahead import Lookahead


class Makers:
    """Makers that note who was called."""

    def __init__(self, count: int, seconds: float = 0.0) -> None:
        self.made: list[int] = []
        self.seconds = seconds
        self.items: list[Callable[[], int]] = [partial(self.make, n) for n in range(count)]

    def make(self, number: int) -> int:
        time.sleep(self.seconds)
        self.made.append(number)
        return number * 10


def test_batches_come_in_order_and_each_item_is_made_once() -> None:
    makers = Makers(10)
    with Lookahead(makers.items) as items:
        assert Batches("x", 3).map(lambda batch: [n + 1 for n in batch], items) == [
            n * 10 + 1 for n in range(10)
        ]
    assert sorted(makers.made) == list(range(10))


def test_no_more_than_the_next_batch_is_made_ahead() -> None:
    makers = Makers(100)
    with Lookahead(makers.items) as items:
        assert items[0:4] == [0, 10, 20, 30]
        time.sleep(0.2)
        assert max(makers.made) == 7
        assert items[4:8] == [40, 50, 60, 70]
        assert set(items._made) == set(range(4, 12))


def test_the_next_batch_is_made_while_this_one_is_used() -> None:
    makers = Makers(2)
    with Lookahead(makers.items) as items:
        assert items[0:1] == [0]
        deadline = time.monotonic() + 60
        while makers.made != [0, 1] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert makers.made == [0, 1]


def test_a_batch_that_did_not_fit_is_not_made_again() -> None:
    makers = Makers(8)

    def forward(batch: Sequence[int]) -> list[int]:
        if len(batch) > 2:
            raise MemoryError
        return list(batch)

    with Lookahead(makers.items) as items:
        assert Batches("x", 8).map(forward, items) == [n * 10 for n in range(8)]
    assert sorted(makers.made) == list(range(8))


def test_what_a_maker_raises_is_raised_and_the_rest_is_not_made() -> None:
    makers = Makers(1000, seconds=0.001)

    def broken() -> int:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), Lookahead([broken, *makers.items]) as items:
        Batches("x", 500).map(lambda batch: batch, items)
    assert len(makers.made) < 1000
    assert not [t for t in threading.enumerate() if t.name.startswith("lookahead")]


def test_single_items_and_the_end() -> None:
    with Lookahead(Makers(3).items) as items:
        assert (items[0], items[-1], len(items)) == (0, 20, 3)
        assert items[2:9] == [20]
        assert list(items) == [0, 10, 20]
        with pytest.raises(IndexError):
            items[3]
