"""What an exception means for the record."""

from __future__ import annotations

import pytest

from reelscope.errors import EngineUnavailable, MediaError, StageTimeout, UnreadableMedia
from reelscope.pipeline.attempt import outcome_of
from reelscope.pipeline.job import skipped_record
from reelscope.records import Failed, Skipped, StageRecord
from reelscope.testing.stages import Say


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MediaError("broken"), Failed("media", "broken")),
        (StageTimeout("too slow"), Failed("timeout", "too slow", True)),
        (MemoryError(), Failed("memory", "the machine ran out of memory", True)),
        (PermissionError(13, "no"), Failed("os", "[Errno 13] no", True)),
        (KeyError("x"), Failed("internal", "KeyError: 'x'")),
        (EngineUnavailable("no weights", remedy="pull"), Skipped("no weights", "pull")),
    ],
)
def test_meanings(error: Exception, expected: Failed | Skipped) -> None:
    assert outcome_of(error, owns_file=False) == expected


def test_an_unreadable_file_is_the_probes_failure_alone() -> None:
    error = UnreadableMedia("the file is empty")
    assert outcome_of(error, owns_file=True) == Failed("unreadable", "the file is empty")
    assert isinstance(outcome_of(error, owns_file=False), Skipped)


def test_any_message_can_be_saved() -> None:
    outcome = outcome_of(ValueError("a\udcff\n  b" + "x" * 1000), owns_file=True)
    assert isinstance(outcome, Failed)
    assert len(outcome.message) <= 520
    assert "\n" not in outcome.message
    record = StageRecord(
        status="failed", key="k", engine="e", kind=outcome.kind, message=outcome.message
    )
    assert record.as_json.encode("utf-8")
    assert skipped_record(Skipped("r"), stage=Say("a"), key="k").reason == "r"
