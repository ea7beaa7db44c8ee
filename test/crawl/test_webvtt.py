"""The words of WebVTT files, as TikTok and the standard have them, and of anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.crawl.said import MAX_ITEMS, MAX_LIST_CHARACTERS, clean_text
from reelscope.crawl.webvtt import lines_of
from reelscope.testing.tiktok_items import subtitle_file

CUE = "00:00:01.000 --> 00:00:02.000"


def test_a_file_of_tiktoks() -> None:
    assert lines_of(subtitle_file("Hello.", "Today we bake", "bread.")) == (
        "Hello.", "Today we bake", "bread.",
    )  # fmt: skip


def test_all_that_a_file_may_have_beside_words() -> None:
    text = f"""\ufeffWEBVTT - a title
Kind: captions
Language: en

STYLE
::cue {{ color: red }}

REGION
id:fred

NOTE a comment
of two lines

7
{CUE} align:start position:0%
<v Ana>Salt <i.loud>&amp;</i> pepper &lt;3
on <00:00:01.500><c>two</c> lines

intro
01:02.000 --> 00:00:02.000
no hours

NOTE the end
"""
    assert lines_of(text) == ("Salt & pepper <3 on two lines", "no hours")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end(end: str) -> None:
    assert lines_of(subtitle_file("a", "b").replace("\n", end)) == ("a", "b")


def test_repeats_in_a_row_are_one() -> None:
    assert lines_of(subtitle_file("la", "la", "<b>la</b>", "di", "la")) == ("la", "di", "la")


def test_a_cue_begins_without_an_empty_line_and_needs_times() -> None:
    text = f"WEBVTT\n{CUE}\none\n{CUE}\ntwo\nnever --> ever\nthree\n\nfour"
    assert lines_of(text) == ("one", "two")


def test_texts_are_cleaned() -> None:
    assert lines_of(subtitle_file("a\x00b\ud800c &#7;&nbsp;d&shy;e")) == ("abc d\xade",)
    assert lines_of(subtitle_file("<i></i>", "\x07", "&nbsp;")) == ()
    assert lines_of(subtitle_file("x <b unclosed")) == ("x",)
    digits = f"&#{'9' * 5_000};"  # more than Python reads as a number
    assert lines_of(subtitle_file(digits)) == (digits[:1_000],)


@pytest.mark.parametrize(
    "text",
    ["", "WEBVTT", f"WEBVTTX\n\n{CUE}\na", "{}", "<html>", f"1\n{CUE}\na", f" WEBVTT\n\n{CUE}\na"],
)  # fmt: skip
def test_no_subtitles(text: str) -> None:
    assert lines_of(text) == ()


def test_bounds() -> None:
    assert len(lines_of(many(f"{n}" for n in range(MAX_ITEMS + 5)))) == MAX_ITEMS
    long = lines_of(many(f"{n:03}" + "x" * 5_000 for n in range(300)))
    assert sum(map(len, long)) == MAX_LIST_CHARACTERS
    assert max(map(len, long)) == 1_000


def many(lines: object) -> str:
    assert hasattr(lines, "__iter__")
    return "WEBVTT\n\n" + "\n\n".join(f"{CUE}\n{line}" for line in lines)


pieces = st.sampled_from(
    ["WEBVTT", "\n", "\n\n", "\r", CUE, "-->", "NOTE", "STYLE", "<c>", "<", ">", "&amp;", "&#x0;",
     "&#1114112;", "\x00", "\ud800", "a", " ", "\ufeff", "\u2028"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.one_of(pieces, st.text(max_size=3))).map("".join)))
def test_nothing_raises_and_all_is_clean(text: str) -> None:
    for given_text in (text, f"WEBVTT\n\n{CUE}\n{text}"):
        lines = lines_of(given_text)
        assert len(lines) <= MAX_ITEMS
        assert sum(map(len, lines)) <= MAX_LIST_CHARACTERS
        for line in lines:
            assert line
            assert line == " ".join(clean_text(line).split())
