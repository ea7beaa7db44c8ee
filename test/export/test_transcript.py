"""The transcript as text and as subtitles, read back by strict little parsers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.export.cues import (
    GAP_MS,
    LINE_WIDTH,
    LONGEST_MS,
    SHORTEST_MS,
    WIDTH_PER_S,
    Cue,
    clean,
    cues,
    width,
)
from reelscope.export.transcript import TEXT_FILES, srt, text_files, transcription, vtt
from reelscope.records import StageRecord, Transcript, VideoRecord

Make = Callable[..., VideoRecord]


# --------------------------------------------------------------------------- parsers


def parse_time(text: str, point: str) -> int:
    found = re.fullmatch(rf"(\d\d+):([0-5]\d):([0-5]\d){re.escape(point)}(\d\d\d)", text)
    assert found, text
    hours, minutes, seconds, ms = map(int, found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms


def parse_srt(text: str) -> list[Cue]:
    """SubRip as the strictest reader has it."""
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    found = []
    for number, block in enumerate(text[:-1].split("\n\n"), 1):
        head, times, *lines = block.split("\n")
        assert head == str(number)
        start, end = times.split(" --> ")
        assert lines
        assert all(line.strip() and "-->" not in line for line in lines)
        found.append(Cue(parse_time(start, ","), parse_time(end, ","), tuple(lines)))
    return found


def parse_vtt(text: str) -> list[Cue]:
    """https://www.w3.org/TR/webvtt1/, without settings, regions, styles and tags."""
    first, note, *blocks = text[:-1].split("\n\n")
    assert first == "WEBVTT"
    assert note.startswith("NOTE ")
    assert "-->" not in note
    assert "\n" not in note.strip("\n")
    found = []
    for block in blocks:
        times, *lines = block.split("\n")
        start, end = times.split(" --> ")
        assert lines
        shown = []
        for line in lines:
            assert line.strip()
            assert "<" not in line
            assert ">" not in line
            assert re.sub(r"&(amp|lt|gt);", "", line).count("&") == 0
            shown.append(line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        found.append(Cue(parse_time(start, "."), parse_time(end, "."), tuple(shown)))
    return found


# ----------------------------------------------------------------------- transcripts


def transcript_of(*segments: dict[str, Any], **changes: Any) -> Transcript:
    filled = [
        {
            "raw_text": segment["text"], "words": [], "avg_logprob": None,
            "no_speech_probability": None, "compression_ratio": None, "flags": [], **segment,
        }
        for segment in segments
    ]  # fmt: skip
    text = " ".join(segment["text"] for segment in filled)
    return Transcript.model_validate({
        "text": text, "raw_text": text, "language": "en", "language_probability": None,
        "segments": filled, "sound": "mix", "tried": [], "accuracy": "normal", **changes,
    })  # fmt: skip


def spoken(text: str, *, start_s: float = 0.0, word_s: float = 0.3, joint: str = " ") -> dict:
    """A segment whose words follow one another at once."""
    words = [
        {"text": word, "start_s": start_s + at * word_s, "end_s": start_s + (at + 1) * word_s,
         "probability": 0.9}
        for at, word in enumerate(text.split(" "))
    ]  # fmt: skip
    end_s = start_s + len(words) * word_s
    return {"start_s": start_s, "end_s": end_s, "text": joint.join(text.split(" ")), "words": words}


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


def shown_text(found: list[Cue]) -> str:
    return letters("".join(line for cue in found for line in cue.lines))


def check_cues(found: list[Cue]) -> None:
    """What holds for every subtitle file."""
    for cue in found:
        assert cue.end_ms > cue.start_ms >= 0
        assert cue.end_ms - cue.start_ms <= LONGEST_MS
        assert 1 <= len(cue.lines) <= 2
        for line in cue.lines:
            assert line.strip() == line != ""
            assert width(line) <= LINE_WIDTH
    for before, after in pairwise(found):
        assert before.end_ms <= after.start_ms


SENTENCE = (
    "And so, my fellow Americans, ask not what your country can do for you, ask what you can"
    " do for your country. The energy, the faith, the devotion which we bring to this endeavor"
    " will light our country and all who serve it."
)


def test_a_speech_is_cut_where_it_breathes() -> None:
    found = cues(transcript_of(spoken(SENTENCE)))
    check_cues(found)
    assert shown_text(found) == letters(SENTENCE)
    ends = [cue.lines[-1][-1] for cue in found]
    assert ends == [",", ".", "n", "."]  # "the devotion | which we bring": no comma fits
    assert any(cue.lines[-1].endswith("country.") for cue in found)
    for cue in found:
        assert cue.end_ms - cue.start_ms >= SHORTEST_MS
    for before, after in pairwise(found):
        assert after.start_ms - before.end_ms >= GAP_MS


def test_two_lines_are_about_as_long() -> None:
    (cue,) = cues(
        transcript_of(spoken("one two three four five six seven eight nine ten", word_s=0.4))
    )
    assert len(cue.lines) == 2
    assert abs(len(cue.lines[0]) - len(cue.lines[1])) <= 6


def test_a_short_word_stays_long_enough_to_be_read() -> None:
    first, second = cues(
        transcript_of(spoken("Yes.", word_s=0.1), spoken("Well.", start_s=3, word_s=0.2))
    )
    assert (first.start_ms, first.end_ms) == (0, SHORTEST_MS)
    assert (second.start_ms, second.end_ms) == (3000, 3000 + SHORTEST_MS)


def test_fast_speech_stays_until_it_is_read_if_there_is_time() -> None:
    text = "this was said so fast that nobody reads it"
    (cue,) = cues(transcript_of(spoken(text, word_s=0.05)))
    assert len(text) / (cue.end_ms - cue.start_ms) * 1000 <= WIDTH_PER_S + 0.1


def test_a_silence_ends_a_cue() -> None:
    words = [
        {"text": "one", "start_s": 0, "end_s": 0.3, "probability": None},
        {"text": "two", "start_s": 5, "end_s": 5.3, "probability": None},
    ]
    segment = {"start_s": 0, "end_s": 5.3, "text": "one two", "words": words}
    assert [cue.lines for cue in cues(transcript_of(segment))] == [("one",), ("two",)]


def test_chinese_is_joined_without_blanks_and_counts_double() -> None:
    text = "我 们 今 天 去 北 京 看 一 看 那 里 的 天 安 门 广 场 ， 然 后 再 回 家 吃 饭 。"
    found = cues(transcript_of(spoken(text, word_s=0.25, joint="")))
    check_cues(found)
    assert shown_text(found) == letters(text)
    assert not any(" " in line for cue in found for line in cue.lines)
    assert not any(line[0] in "，。" for cue in found for line in cue.lines)


def test_without_words_the_segment_is_shared_by_their_length() -> None:
    segment = {"start_s": 1.0, "end_s": 21.0, "text": SENTENCE}
    found = cues(transcript_of(segment))
    check_cues(found)
    assert shown_text(found) == letters(SENTENCE)
    assert found[0].start_ms == 1000
    assert found[-1].end_ms == pytest.approx(21000, abs=1200)
    by_itself = {"start_s": 0.0, "end_s": 30.0, "text": "这是一个很长的句子" * 12}
    check_cues(cues(transcript_of(by_itself)))


def test_no_cue_stays_after_the_end_of_the_video() -> None:
    transcript = transcript_of(spoken(SENTENCE, word_s=0.05), spoken("Yes.", start_s=9.0))
    stays = cues(transcript)
    ended = cues(transcript, until_s=9.2)
    check_cues(ended)
    assert stays[-1].end_ms == 10000
    assert ended[-1].end_ms == 9200
    assert ended[:-1] == stays[:-1]
    late = cues(transcript, until_s=5.0)  # a header that lies
    check_cues(late)
    assert late[-1].end_ms > 9000


def test_the_filtered_text_is_shown() -> None:
    raw = "Hello приветworld again"
    segment = {**spoken(raw, word_s=0.5), "raw_text": raw, "text": "Hello world again"}
    (cue,) = cues(transcript_of(segment))
    assert cue.lines == ("Hello world again",)


def test_a_word_wider_than_a_line_is_cut() -> None:
    found = cues(transcript_of(spoken("a" * 100 + " b", word_s=2.0)))
    check_cues(found)
    assert shown_text(found) == "a" * 100 + "b"


# -------------------------------------------------------------------------- anything

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["-->", "<b>", "{\\an8}", "&amp;", "1", "\n\n2\n", "NOTE", "\u202e", "a.", "你"]
    ),
)
times = st.floats(0, 40, allow_nan=False)
words_drawn = st.builds(
    lambda text, start, lasts: {
        "text": text, "start_s": start, "end_s": start + lasts, "probability": None,
    },
    texts, times, st.floats(-1, 12, allow_nan=False),
)  # fmt: skip
segments_drawn = st.one_of(
    st.builds(
        lambda words, joint: {
            "start_s": 0, "end_s": 1, "text": joint.join(w["text"] for w in words), "words": words,
        },
        st.lists(words_drawn, max_size=25), st.sampled_from(["", " "]),
    ),
    st.builds(
        lambda text, start, lasts: {"start_s": start, "end_s": start + lasts, "text": text},
        st.text(max_size=200), times, st.floats(-1, 60, allow_nan=False),
    ),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(segments=st.lists(segments_drawn, max_size=5))
def test_whatever_was_heard_can_be_read_back(segments: list[dict[str, Any]]) -> None:
    transcript = transcript_of(*segments)
    found = cues(transcript)
    check_cues(found)
    said = [
        word if isinstance(word, str) else word["text"]
        for segment in segments
        for word in (segment.get("words") or [segment["text"]])
    ]
    wanted = letters("".join(map(clean, said)))
    assert shown_text(found) == wanted
    if found:
        note = "a --> note"
        assert parse_vtt(vtt(found, note=note)) == found
        read = parse_srt(srt(found))
        assert [(c.start_ms, c.end_ms) for c in read] == [(c.start_ms, c.end_ms) for c in found]
        assert shown_text(read) == letters("".join(
            line.replace("-->", "→") for cue in found for line in cue.lines
        ))  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(
    words=st.lists(st.text("abcdefghij", min_size=1, max_size=9), min_size=1, max_size=80),
    word_s=st.floats(0.15, 0.6),
)
def test_ordinary_speech_meets_every_number(words: list[str], word_s: float) -> None:
    """At 100-400 words a minute, whatever the words."""
    found = cues(transcript_of(spoken(" ".join(words), word_s=word_s)))
    check_cues(found)
    assert shown_text(found) == "".join(words)
    for cue in found[:-1]:
        assert cue.end_ms - cue.start_ms >= min(SHORTEST_MS, 1000 * word_s) - GAP_MS
    for before, after in pairwise(found):
        assert before.end_ms <= after.start_ms


@given(text=st.text())
def test_clean_text_is_one_line_without_controls(text: str) -> None:
    found = clean(text)
    assert found == " ".join(found.split())
    assert not any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in found)
    assert clean(found) == found
    found.encode()


def test_what_a_player_would_act_on_is_taken_apart() -> None:
    hostile = [Cue(0, 1000, ("<script>x</script> {\\an8}", "a --> b & <3"))]
    assert srt(hostile) == (
        "1\n00:00:00,000 --> 00:00:01,000\n< script>x< /script> { \\an8}\na → b & <3\n"
    )
    assert vtt(hostile, note="n").endswith(
        "00:00:00.000 --> 00:00:01.000\n"
        "&lt;script&gt;x&lt;/script&gt; {\\an8}\na --&gt; b &amp; &lt;3\n"
    )


# ------------------------------------------------------------------------ the record


def test_the_page(make: Make) -> None:
    record = make()
    page = text_files(record)["speech_transcription.txt"]
    assert page is not None
    assert page.endswith("\n")
    assert "Video:    anna/1" in page
    assert "Language: en (probability 0.98)" in page
    assert "Engine:   reelscope 1" in page
    assert "Accuracy: normal" in page
    assert "LOW" not in page
    assert "Heard in: the voices, separated from the music" in page
    assert "the video's sound: 7 words, mean log probability -0.60" in page
    assert "[00:00:00.500 - 00:00:01.000] 0.90 Hello." in page
    assert "may not have been said: the engine is not sure (low_probability)" in page
    assert "Subtitles that" not in page


def test_low_accuracy_is_marked(make: Make) -> None:
    found = text_files(make(transcribe={"accuracy": "low"}))
    assert "Accuracy: LOW." in (found["speech_transcription.txt"] or "")
    assert "LOW accuracy" in (found["subtitles.vtt"] or "")


def test_the_platforms_subtitles_stand_below_never_instead(make: Make) -> None:
    record = make(platform={"subtitles": ["Hi\x00 there", "friends"]})
    page = text_files(record)["speech_transcription.txt"] or ""
    assert page.index("Hello.") < page.index(
        "Subtitles that tiktok gives, not made by this program:"
    )
    assert page.endswith("  Hi there\n  friends\n")
    subtitles = text_files(record)["subtitles.srt"] or ""
    assert "friends" not in subtitles
    without = make(platform={"subtitles": ["Hi"]}, without=("transcribe",))
    assert text_files(without) == dict.fromkeys(TEXT_FILES)


def test_nothing_said(make: Make, skipped: StageRecord) -> None:
    silent = {"text": "", "raw_text": "", "language": None, "segments": [], "tried": []}
    found = text_files(make(transcribe=silent))
    assert "Nothing is said." in (found["speech_transcription.txt"] or "")
    assert "Language: not known" in (found["speech_transcription.txt"] or "")
    assert found["subtitles.srt"] is found["subtitles.vtt"] is None
    assert text_files(make(transcribe=skipped)) == dict.fromkeys(TEXT_FILES)


def test_the_raw_text_is_kept_beside(make: Make) -> None:
    transcript = transcript_of(
        {"start_s": 0, "end_s": 1, "text": "Hello", "raw_text": "Hello привет", "avg_logprob": -0.1}
    )
    page = transcription(make(), transcript)
    assert "0.90 Hello\n    as the engine wrote it: Hello привет" in page


def test_the_subtitles_of_a_record(make: Make) -> None:
    found = text_files(make())
    assert found["subtitles.srt"] == (
        "1\n00:00:00,500 --> 00:00:01,500\nHello.\n\n"
        "2\n00:00:02,200 --> 00:00:04,000\nWell, ask what you can do.\n"
    )
    assert (found["subtitles.vtt"] or "").startswith(
        "WEBVTT\n\nNOTE Language: en (probability 0.98). Engine: reelscope 1, normal accuracy.\n\n"
        "00:00:00.500 --> 00:00:01.500\nHello.\n\n"
    )
