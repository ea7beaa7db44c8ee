"""Tables say what is there, why something is not, and run nothing of what comes from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from reelscope import notebook
from reelscope.notebook.tables import LONGEST_CELL, MOST_ROWS, answer_text, cell_text
from reelscope.pipeline.summary import FailureGroup, StageSummary, Summary
from reelscope.records import (
    Description,
    DimensionAnswer,
    Evidence,
    Refusal,
    StageRecord,
    Transcript,
    TranscriptSegment,
    Usage,
    Value,
    VideoRecord,
    VideoSource,
)

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202egnp.exe\n\x07"


def record_of(*values: Value, **ends: StageRecord) -> VideoRecord:
    record = VideoRecord(source=VideoSource(creator="anna", video_id="1", frames_id="1"))
    for value in values:
        ok = StageRecord(status="ok", key="", engine="test 1", value=value)
        record = record.with_stage(value.stage, ok)
    for name, end in ends.items():
        record = record.with_stage(name, end)
    return record


SKIPPED = StageRecord(
    status="skipped", key="", engine="none", reason="no weights",
    remedy="python main.py models pull x",
)  # fmt: skip


class Text(HTMLParser):
    """The cells of the table and the elements of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# ------------------------------------------------------------------------------ cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0"), (0.0, "0"), (12.3456, "12.35"), (240300, "240300"),
        (1234567.8, "1234568"), (-21.787606, "-21.79"), (True, "True"), ("a\tb\n c", "a b c"),
        (datetime(2026, 5, 21, 19, 45, tzinfo=UTC), "2026-05-21 19:45"),
        ("7300000000000000201", "7300000000000000201"),
    ],
)  # fmt: skip
def test_a_cell_is_short_and_exact_enough(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_a_long_text_is_cut() -> None:
    assert len(cell_text("x" * 10_000)) == LONGEST_CELL
    assert cell_text("x" * 10_000).endswith("…")


def test_what_is_hostile_is_text() -> None:
    table = notebook.Table((HOSTILE,), [(HOSTILE,)], HOSTILE, (HOSTILE,))
    shown = Text(table._repr_html_())
    assert {tag for tag, _ in shown.tags} <= {
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
        "pre",
    }
    assert all(set(attributes) <= {"style"} for _, attributes in shown.tags)
    cell = next(text for text in shown.texts if text.endswith("gnp.exe"))
    assert cell == "<script>alert(1)</script><img src=x onerror=alert(1)>gnp.exe"


def test_numbers_stand_right_also_where_one_is_not_known() -> None:
    page = notebook.Table(("name", "n"), [("a", None), ("b", 2.5)])._repr_html_()
    styles = [attributes["style"] or "" for tag, attributes in Text(page).tags if tag == "td"]
    assert ["right" in style for style in styles] == [False, True, False, True]


def test_a_large_table_is_cut_and_says_so() -> None:
    table = notebook.Table(("k",), [(k,) for k in range(MOST_ROWS + 3)])
    assert table._repr_html_().count("<tr>") == MOST_ROWS + 1
    assert "3 more rows" in repr(table)


def test_printed_columns_stand_below_one_another() -> None:
    table = notebook.Table(("name", "n"), [("long name", 1), ("x", None)])
    assert repr(table).splitlines() == ["name       n", "long name  1", "x          –"]


# ------------------------------------------------------------------------ one video


def test_a_skipped_stage_has_its_reason_and_remedy() -> None:
    table = notebook.stages(record_of(transcript("hello"), detect=SKIPPED))
    assert table.rows == [
        ("transcribe", "ok", "test 1", "", ""),
        ("detect", "skipped", "none", "no weights", "python main.py models pull x"),
    ]
    assert "describe" in table.note


def transcript(*texts: str, accuracy: Any = "normal") -> Transcript:
    segments = tuple(
        TranscriptSegment(
            start_s=k, end_s=k + 1, text=text, raw_text=text, words=(), avg_logprob=None,
            no_speech_probability=None, compression_ratio=None, flags=(),
        )
        for k, text in enumerate(texts)
    )  # fmt: skip
    return Transcript(
        text=" ".join(texts), raw_text=" ".join(texts), language="en", language_probability=None,
        segments=segments, sound="mix", tried=(), accuracy=accuracy,
    )  # fmt: skip


def test_words_stand_with_their_times() -> None:
    table = notebook.words(record_of(transcript("hello", HOSTILE)))
    assert table.rows[0] == (0, 1, "hello", "")
    assert table.note == "Language: en, heard in the mix."
    assert not table.commands


def test_words_of_low_accuracy_say_so_and_what_would_be_better() -> None:
    table = notebook.words(record_of(transcript("hello", accuracy="low")))
    assert "many words are wrong" in table.note
    assert table.commands == ["python main.py models pull faster-whisper-small"]


def test_nobody_speaking_is_not_the_same_as_nobody_listening() -> None:
    assert notebook.words(record_of(transcript())).note == "Nobody says anything."
    unheard = notebook.words(record_of(transcribe=SKIPPED))
    assert "python main.py models pull x" in unheard.note
    assert not unheard.rows


def described(value: Any, *, refusal: Refusal | None = None) -> Description:
    evidence = (
        Evidence(source="speech", time_s=1, quote="blue", found=True),
        Evidence(source="speech", time_s=None, quote="red", found=False),
    )
    answer = DimensionAnswer(value=value, confidence=0.9, evidence=evidence)
    return Description(
        model="m", mode="live", dimensions={} if refusal else {"call_to_action": answer},
        missing=(), truncated=False, repairs=(), refusal=refusal, images=(),
        usage=Usage(requests=1, input_tokens=1, cached_input_tokens=0, output_tokens=1,
                    cost_usd=None),
    )  # fmt: skip


def test_answers_stand_with_what_was_found_of_their_evidence() -> None:
    table = notebook.answers(record_of(described("like it")))
    assert table.rows == [("call to action", "like it", 0.9, "1 of 2")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (["calm", "warm"], "calm | warm"),
        ({"age": ["20s"], "gender": None, "evidence": ["x"]}, "age: 20s"),
        ([{"product": "oil", "claim": "lasts"}], "product: oil; claim: lasts"),
        (True, "True"),
    ],
)
def test_an_answer_of_any_type_is_a_line(value: Any, text: str) -> None:
    assert answer_text(value) == text


def test_a_refusal_and_the_absence_of_a_question_are_said() -> None:
    refusal = Refusal(kind="refusal", reason="I cannot")
    assert (
        notebook.answers(record_of(described(None, refusal=refusal))).note == "m refused: I cannot"
    )
    unasked = notebook.answers(record_of())
    assert "off" in unasked.note
    assert any("--describe" in command for command in unasked.commands)
    assert "models pull x" in notebook.answers(record_of(describe=SKIPPED)).note


# -------------------------------------------------------------------------- a batch


def summary() -> Summary:
    stage = StageSummary(
        engine="e 1",
        ok=0,
        skipped=0,
        failed=0,
        reused=0,
        seconds=0,
        real_time_factor=None,
        spent=None,
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    remedy = FailureGroup(
        stage="detect", kind="skipped", count=2, message="no weights", remedy="pull x"
    )
    return Summary(
        reelscope_version="0", batch_id="b", started_at=now, finished_at=now, seconds=0,
        creators=1, videos=2, videos_ended=2, videos_with_failures=0, videos_without_result=0,
        videos_from_earlier_run=2, videos_refused=0, stage_results_from_earlier_run=2,
        videos_per_minute=None, media_seconds=0, stages={"probe": stage, "detect": stage},
        failures=(), remedies=(remedy, remedy), problems=(), stopped=None,
    )  # fmt: skip


def test_outcomes_count_what_stands_in_the_rows_also_of_earlier_runs() -> None:
    rows = [
        {"status_probe": "ok", "status_detect": "skipped"},
        {"status_probe": "failed", "status_detect": None},
    ]
    table = notebook.outcomes(rows, summary())
    assert table.rows == [("probe", "e 1", 1, 0, 1), ("detect", "e 1", 0, 1, 0)]
    assert table.commands == ("pull x",)


def test_a_table_of_rows_takes_the_columns_that_were_asked_for() -> None:
    table = notebook.rows_table([{"a": 1, "b": 2}], ["b", "absent"])
    assert table.rows == [[2, None]]
