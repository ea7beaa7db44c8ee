"""Flags for texts that look made up."""

from __future__ import annotations

import pytest

from reelscope.audio.hallucination import flags_of, loops, voiced_share
from reelscope.audio.transcribe import HeardSegment
from reelscope.records import TranscriptWord

SPEECH = [(0.0, 10.0)]


def segment(
    text: str = "we are here",
    *,
    start_s: float = 1.0,
    end_s: float = 4.0,
    avg_logprob: float | None = -0.3,
    no_speech_probability: float | None = 0.1,
    compression_ratio: float | None = 1.2,
) -> HeardSegment:
    parts = text.split()
    step = (end_s - start_s) / max(len(parts), 1)
    words = tuple(
        TranscriptWord(
            text=part,
            start_s=start_s + i * step,
            end_s=start_s + (i + 1) * step,
            probability=0.9,
        )
        for i, part in enumerate(parts)
    )
    return HeardSegment(
        start_s=start_s,
        end_s=end_s,
        text=text,
        words=words,
        tokens=len(parts),
        avg_logprob=avg_logprob,
        no_speech_probability=no_speech_probability,
        compression_ratio=compression_ratio,
    )


def test_plain_speech_has_no_flags() -> None:
    assert flags_of([segment(), segment("and no, no, no, we stay")], SPEECH) == [(), ()]


def test_an_engine_that_says_nothing_of_itself_raises_no_flags() -> None:
    silent = segment(avg_logprob=None, no_speech_probability=None, compression_ratio=None)
    assert flags_of([silent], SPEECH) == [()]


@pytest.mark.parametrize(
    ("one", "flags"),
    [
        (segment(avg_logprob=-1.2), ("low_probability",)),
        (
            segment(avg_logprob=-1.2, no_speech_probability=0.7),
            ("no_speech", "low_probability"),
        ),
        (segment(no_speech_probability=0.9), ()),  # sure of its words: they are there
        (segment(compression_ratio=2.5), ("compression",)),
        (segment("you " * 6), ("repetition",)),
        (segment("thank you for watching " * 4), ("repetition",)),
        (segment(start_s=11.0, end_s=12.0), ("no_voice",)),
        (segment(start_s=8.0, end_s=16.0), ("no_voice",)),
        (segment(start_s=8.0, end_s=11.0), ()),
    ],
)
def test_each_reason(one: HeardSegment, flags: tuple[str, ...]) -> None:
    assert flags_of([one], SPEECH) == [flags]


def test_a_loop_over_several_segments_is_seen_in_all_of_them() -> None:
    texts = ["well", *["Thanks for watching!"] * 4, "bye"]
    flags = flags_of([segment(text) for text in texts], SPEECH)
    assert flags == [(), *[("repetition",)] * 4, ()]


def test_loops_begin_and_end_where_they_do() -> None:
    assert loops([["a"], ["b", "c", "b"], ["c", "b", "c", "b", "c"], ["d"]]) == {1, 2}
    assert loops([["a", "b", "c", "b", "c", "b", "c"]]) == set()
    assert loops([["no"] * 5]) == set()
    assert loops([["no"] * 6]) == {0}
    assert loops([]) == set()


def test_a_segment_without_words_counts_by_its_span() -> None:
    bare = HeardSegment(start_s=11.0, end_s=12.0, text="hm")
    assert voiced_share(bare, SPEECH) == 0.0
    assert voiced_share(bare, [(11.2, 11.4)]) == 1.0
    assert voiced_share(bare, []) == 0.0


def test_a_word_is_voiced_where_any_stretch_of_speech_is() -> None:
    spans = [(1.0, 2.0), (2.1, 2.2), (9.0, 9.5)]
    for at_s in (0.0, 0.65, 0.75, 1.5, 2.05, 2.45, 2.55, 8.65, 8.75, 9.75, 9.85):
        one = HeardSegment(start_s=at_s, end_s=at_s, text="hm")
        near = any(a - 0.3 <= at_s <= b + 0.3 for a, b in spans)
        assert voiced_share(one, spans) == near, at_s
