"""Items made by a thread: same order, same errors, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from reelscope.engines.ahead import ahead


@pytest.mark.parametrize("most", [0, 1, 3, 100])
def test_the_same_items_in_the_same_order(most: int) -> None:
    assert list(ahead(iter(range(20)), most)) == list(range(20))
    assert list(ahead(iter(()), most)) == []


def test_they_are_made_before_they_are_asked_for_but_not_too_many() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    with closing(ahead(items(), 3)) as given:
        assert next(given) == 0
        assert third.wait(5)  # two more, though nobody has asked
    assert len(made) <= 3


def test_what_one_raises_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    given = ahead(items(), 4)
    assert next(given) == 1
    with pytest.raises(KeyError, match="two"):
        next(given)
    assert list(given) == []


def test_the_thread_ends_when_nobody_wants_more() -> None:
    before = threading.active_count()
    given = ahead(iter(range(1000)), 2)
    assert next(given) == 0
    given.close()
    assert threading.active_count() == before
