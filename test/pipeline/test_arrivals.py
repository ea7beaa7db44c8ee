"""Videos that are fetched on another thread while the run goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from reelscope.errors import OutputError
from reelscope.pipeline.arrivals import Arrivals
from reelscope.records import VideoSource


def video(number: int) -> VideoSource:
    return VideoSource(creator="ana", video_id=str(number), frames_id=str(number))


def drain(arrivals: Arrivals, within_s: float = 10.0) -> list[str]:
    came = []
    until = time.monotonic() + within_s
    for each in arrivals:
        if each is not None:
            came.append(each.video_id)
        assert time.monotonic() < until
    return came


def test_each_comes_as_soon_as_it_is_there() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[VideoSource]:
        yield video(1)
        assert go_on.wait(10)
        yield video(2)

    arrivals = Arrivals(slow(), lambda: None)
    first = next(each for each in arrivals if each is not None)
    assert first.video_id == "1"
    assert next(arrivals) is None, "the second is not there yet, and nobody waits for it"
    go_on.set()
    assert drain(arrivals) == ["2"]
    assert drain(arrivals) == [], "the end stays the end"


def test_what_the_source_raises_is_raised_here() -> None:
    def broken() -> Iterator[VideoSource]:
        yield video(1)
        raise OutputError("the disk is full")

    arrivals = Arrivals(broken(), lambda: None)
    with pytest.raises(OutputError, match="full"):
        drain(arrivals)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_does_not_leave_the_run_waiting() -> None:
    def wrong() -> Iterator[VideoSource]:
        yield video(1)
        raise ZeroDivisionError

    arrivals = Arrivals(wrong(), lambda: None)
    assert drain(arrivals) == ["1"]
    arrivals.close()


def test_close_stops_the_source() -> None:
    stop = threading.Event()

    def endless() -> Iterator[VideoSource]:
        number = 0
        while not stop.is_set():
            yield video(number)
            number += 1
            time.sleep(0.001)

    arrivals = Arrivals(endless(), stop.set)
    next(arrivals)
    arrivals.close()
    assert stop.is_set()
    assert not [t for t in threading.enumerate() if t.name == "arrivals"]
