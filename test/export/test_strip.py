"""A video's timeline as places on a strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.export.strip import MOST_EVENTS, MOST_TICKS, TEXT_ROWS, Mark, Strip, legend, strip
from reelscope.records import Event, Events, Loudness, StageRecord, VideoRecord

Make = Callable[..., VideoRecord]


def drawn(record: VideoRecord) -> Strip:
    found = strip(record)
    assert found is not None
    return found


def marks(found: Strip) -> Iterator[Mark]:
    yield from (*found.sound, *found.shots, *found.cuts, *found.frames, *found.ticks)
    for row in found.texts:
        yield from row


def with_sound(*timeline: Event, length_s: float) -> VideoRecord:
    seconds = dict.fromkeys(("speech", "music", "speech_over_music", "other", "silence"), 0.0)
    value = Events.model_construct(
        timeline=timeline, duration_s=length_s, seconds=seconds,
        loudness=Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None),
    )  # fmt: skip
    entry = StageRecord.model_construct(status="ok", key="0", engine="", value=value)
    return VideoRecord.model_construct(source=None, stages={"events": entry})


def event(start_s: float, end_s: float, kind: str = "music") -> Event:
    return Event.model_validate(
        {"start_s": start_s, "end_s": end_s, "kind": kind, "confidence": 1.0}
    )


def test_places_are_shares_of_the_length(make: Make) -> None:
    found = drawn(make(probe={"duration_s": 20.0}))
    assert [(m.x, m.width, m.kind) for m in found.sound] == [("0.00", "65.00", "speech_over_music")]
    assert [(m.x, m.kind) for m in found.cuts] == [("10.00", "cut"), ("45.00", "fade")]
    assert [(m.x, m.width) for m in found.shots] == [("10.00", "35.00")], "every second one"
    assert [(m.x, m.title) for m in found.frames] == [
        ("0.00", "0.00 s: sharpest"), ("5.00", "1.00 s: text"),
    ]  # fmt: skip
    assert [[m.text for m in row] for row in found.texts] == [["SALE", "SALE"], ["now | -50 %"]]
    assert [m.text for m in found.ticks] == ["0 s", "5 s", "10 s", "15 s", "20 s"]
    assert legend(found.kinds) == ["speech_over_music", "cut", "fade", "text", "chosen"]


def test_without_a_length_there_is_no_strip(make: Make) -> None:
    assert strip(make(without=("probe", "events"))) is None
    assert strip(make(probe={"duration_s": 0.0}, without=("events",))) is None
    assert drawn(make(without=("probe",))).ticks, "the sound's length does as well"


def test_why_nothing_is_heard(make: Make) -> None:
    assert drawn(make(without=("events",), probe={"has_audio": False})).silence == "no sound"
    assert drawn(make(without=("events",), probe={"has_audio": True})).silence == "not known"


@pytest.mark.parametrize(
    ("length_s", "labels"),
    [
        (0.5, ["0 s"]),
        (59.0, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        (75.0, ["0", "15.0 s", "30.0 s", "45.0 s", "1:00", "1:15"]),
        (7200.0, ["0", "30:00", "1:00:00", "1:30:00", "2:00:00"]),
    ],
)
def test_the_axis_has_round_times(length_s: float, labels: list[str]) -> None:
    assert [m.text for m in drawn(with_sound(length_s=length_s)).ticks] == labels


def test_very_many_stretches_become_few_with_the_same_shares() -> None:
    kinds = ["speech", "speech", "speech", "music"]
    many = [event(k, k + 1, kinds[k % 4]) for k in range(4001)]
    found = drawn(with_sound(*many, length_s=4001.0))
    assert len(found.sound) <= MOST_EVENTS
    covered = dict.fromkeys(("speech", "music"), 0.0)
    for mark in found.sound:
        covered[mark.kind] += float(mark.width)
    assert sum(covered.values()) == pytest.approx(100, abs=2)
    assert covered["speech"] == pytest.approx(75, abs=8)


def test_texts_that_overlap_stand_in_rows(make: Make) -> None:
    box = [[0, 0], [1, 0], [1, 1], [0, 1]]
    texts = [{"text": str(k), "start_s": k / 10, "end_s": 10, "confidence": 1, "box": box,
              "frames": 1} for k in range(9)]  # fmt: skip
    rows = drawn(make(text={"appearances": texts})).texts
    assert [[m.text for m in row] for row in rows] == [["0"], ["1"], ["2"], ["3"]]
    assert len(rows) == TEXT_ROWS


FINITE = st.floats(-1e9, 1e9)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1e300), st.lists(st.tuples(FINITE, FINITE, st.floats(0, 1e9)), max_size=5))
def test_every_place_is_a_plain_number_inside(
    length_s: float, spans: list[tuple[float, float, float]]
) -> None:
    timeline = [event(start, start + long) for start, _, long in spans]
    found = strip(with_sound(*timeline, length_s=length_s))
    assert (found is None) == (length_s == 0)
    for mark in marks(found) if found else ():
        assert 0 <= float(mark.x) <= 100
        assert 0 <= float(mark.width) <= 100
        assert float(mark.x) + float(mark.width) <= 100.01
        assert "e" not in mark.x + mark.width
    assert not found or len(found.ticks) <= MOST_TICKS + 1
