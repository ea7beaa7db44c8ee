"""A video that is known, a chat server on loopback, and the stage between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from reelscope.description.describe import DescribeStage
from reelscope.description.prompt import load_prompts
from reelscope.description.queue import BatchQueue
from reelscope.engines.openai_chat import OpenAiChat
from reelscope.media.clip import Clip
from reelscope.media.pictures import write_jpeg
from reelscope.records import (
    Choice,
    ChosenFrame,
    Platform,
    StageRecord,
    Value,
    VideoRecord,
    VideoSource,
)
from reelscope.settings import Describe, Dimension, Media
from reelscope.testing.chat import FakeChat, serve

KEY = "sk-secret-0123456789"
ASKED = (
    Dimension(name="description", instruction="What happens.", evidence=False),
    Dimension(name="tone", instruction="The tone.", type="texts"),
)


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(key=KEY)) as chat:
        yield chat


def known(value: Value) -> StageRecord:
    return StageRecord(status="ok", key="k", engine="test", value=value)


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Clip]:
    """A clip of a video without a file, of which a caption and two frames are known."""

    def make(name: str = "v1", caption: str | None = "Look at this", frames: int = 2) -> Clip:
        folder = tmp_path / "frames" / name
        chosen = []
        for number in range(frames):
            file = f"chosen-{number}.jpg"
            image = np.full((1024, 576, 3), 40 + 90 * number, np.uint8)
            size = write_jpeg(folder / file, image, 85)
            chosen.append(
                ChosenFrame(
                    time_s=1.5 * number, score=1, reason="test", file=file, width=576,
                    height=1024, bytes_before=2 * size, bytes_after=size,
                )
            )  # fmt: skip
        source = VideoSource(creator="ana", video_id=name, frames_id=name)
        values: list[Value] = [Choice(method="signal", frames=tuple(chosen))] if chosen else []
        if caption is not None:
            values.append(Platform(name="test", caption=caption, hashtags=("tiny",)))
        stages = {value.stage: known(value) for value in values}
        return Clip(
            source,
            VideoRecord(source=source, stages=stages),
            Media(),
            frames_root=tmp_path / "frames",
            records_root=tmp_path / "records",
        )

    return make


@pytest.fixture
def stage(server: FakeChat, tmp_path: Path) -> Iterator[Callable[..., DescribeStage]]:
    """Makes stages that ask the server; keywords are settings of the description."""
    made: list[DescribeStage] = []

    def make(**given: Any) -> DescribeStage:
        settings = Describe.model_validate(
            {"enabled": True, "base_url": server.url, "dimensions": ASKED, **given}
        )
        chat = OpenAiChat(settings, SecretStr(KEY), sleep=lambda seconds: None)
        queue = BatchQueue(tmp_path / "batch-1", chat) if settings.mode == "batch" else None
        made.append(DescribeStage(settings, chat, load_prompts(), queue=queue))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close()
