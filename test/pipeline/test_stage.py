"""Cache keys: what changes them and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelscope.pipeline.platform import PlatformStage
from reelscope.pipeline.stage import reusable, stage_key
from reelscope.records import Platform, StageRecord, VideoSource
from reelscope.testing.stages import Say

SOURCE = VideoSource(creator="ana", video_id="1", frames_id="1", path=str(Path("a.mp4")))


def key(stage: object, *, sha: str = "s", upstream: object = (), source: object = SOURCE) -> str:
    return stage_key(stage, source=source, media_sha256=sha, upstream=upstream)  # type: ignore[arg-type]


def record(status: str, **more: object) -> StageRecord:
    return StageRecord.model_validate({"status": status, "key": "k", "engine": "e", **more})


def test_the_key_changes_with_everything_that_the_value_depends_on() -> None:
    newer, other_engine = Say("a"), Say("a")
    newer.version = 2
    other_engine.engine = "test 2"
    keys = [
        key(Say("a")),
        key(Say("b")),
        key(Say("a", turn=1)),
        key(newer),
        key(other_engine),
        key(Say("a"), sha="t"),
        key(Say("a"), upstream=[("x", None)]),
        key(Say("a"), upstream=[("x", record("ok"))]),
        key(Say("a"), upstream=[("x", record("failed"))]),
        key(Say("a"), upstream=[("x", record("skipped"))]),
    ]
    assert len(set(keys)) == len(keys)
    assert key(Say("a")) == keys[0]


def test_the_platform_stage_depends_on_the_source_not_on_the_bytes() -> None:
    said = SOURCE.model_copy(update={"platform": Platform(name="tiktok", caption="new")})
    stage = PlatformStage()
    assert key(stage, sha="s") == key(stage, sha="t")
    assert key(stage) != key(stage, source=said)


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (record("ok"), True),
        (record("skipped", reason="no sound"), True),
        (record("skipped", reason="no weights", remedy="pull"), False),
        (record("failed", kind="media", message="m", retryable=False), True),
        (record("failed", kind="os", message="m", retryable=True), False),
        (None, False),
    ],
)
def test_what_can_be_used_again(earlier: StageRecord | None, expected: bool) -> None:
    assert reusable(earlier, "k") is expected
    assert not reusable(earlier, "another key")
