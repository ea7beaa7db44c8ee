"""Clips of files, and stages run one after the other on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from reelscope.media.clip import Clip
from reelscope.pipeline.stage import Stage
from reelscope.records import Ok, StageRecord, Value, VideoRecord, VideoSource
from reelscope.settings import Media

OpenClip = Callable[..., Clip]


@pytest.fixture
def open_clip(tmp_path: Path) -> Iterator[OpenClip]:
    """`open_clip(path, **media_settings)` -> Clip, closed at the end of the test."""
    with ExitStack() as stack:

        def make(path: Path, **media: float) -> Clip:
            source = VideoSource(
                creator="someone", video_id=path.stem, path=str(path), frames_id=path.stem
            )
            record = VideoRecord(source=source)
            root = tmp_path / "frames"
            return stack.enter_context(
                Clip(source, record, Media.model_validate(media), frames_root=root)
            )

        yield make


def run_chain(clip: Clip, stages: Sequence[Stage]) -> list[Value]:
    """Run stages on a clip as the runner does: each sees the values of those before."""
    values = []
    for stage in stages:
        (outcome,) = stage.run([clip])
        assert isinstance(outcome, Ok), outcome
        entry = StageRecord(status="ok", key="test", engine=stage.engine, value=outcome.value)
        clip.record = clip.record.with_stage(stage.name, entry)
        values.append(outcome.value)
    return values


@pytest.fixture
def chain() -> Callable[[Clip, Sequence[Stage]], list[Value]]:
    """`run_chain`, handed out as test files cannot import from one another."""
    return run_chain
