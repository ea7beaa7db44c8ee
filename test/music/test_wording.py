"""A match in words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.music.wording import change_words, clock, match_line, percent

SEMITONE = 2 ** (1 / 12)


@pytest.mark.parametrize(
    ("tempo", "pitch", "words"),
    [
        (1.0, 1.0, ""),
        (1.002, 0.998, ""),
        (1.06, 1.06, "played 6 % faster"),
        (1.055, 1.055, "played 5.5 % faster"),
        (0.75, 0.75, "played 25 % slower"),
        (1.04, 1.0, "tempo +4 %, pitch kept"),
        (0.9, 1.001, "tempo -10 %, pitch kept"),
        (1.0, SEMITONE, "pitch +1.0 semitones, tempo kept"),
        (1.001, SEMITONE**-3, "pitch -3.0 semitones, tempo kept"),
        (1.04, SEMITONE**2, "tempo +4 %, pitch +2.0 semitones"),
    ],
)
def test_how_it_is_played(tempo: float, pitch: float, words: str) -> None:
    assert change_words(tempo, pitch) == words


def test_the_line_of_the_guide() -> None:
    line = match_line(
        "TITLE", clip=(12.0, 27.0), track=(63.4, 78.4), tempo=1.06, pitch=1.06, probability=0.99999
    )
    assert line == (
        "0:12-0:27 of the clip is 1:03.4-1:18.4 of TITLE, played 6 % faster (probability 99.99 %)"
    )


@pytest.mark.parametrize(
    ("time_s", "whole", "tenths"),
    [
        (0.0, "0:00", "0:00.0"),
        (-0.03, "0:00", "0:00.0"),
        (59.96, "1:00", "1:00.0"),
        (63.44, "1:03", "1:03.4"),
        (3599.99, "1:00:00", "1:00:00.0"),
        (36_061.5, "10:01:02", "10:01:01.5"),
    ],
)
def test_times(time_s: float, whole: str, tenths: str) -> None:
    assert (clock(time_s), clock(time_s, tenths=True)) == (whole, tenths)


@given(st.floats(0, 1))
def test_nothing_that_is_uncertain_is_called_certain(share: float) -> None:
    shown = float(percent(share))
    assert shown <= share * 100 + 1e-9
    assert math.isclose(shown, share * 100, abs_tol=0.0101)
