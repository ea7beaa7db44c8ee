"""What is asked of a chat model once all videos have ended.

In batch mode the waiting requests are handed to the server's batches; where it is wished,
one more request per creator sums the videos up. Nothing here ends a run: what does not
succeed becomes a note in its summary, and the same call tries it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from reelscope.errors import BudgetSpent, EngineError, EngineUnavailable, OutputError
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.plan import DESCRIBE, Batch
from reelscope.pipeline.summary import Problem

if TYPE_CHECKING:
    from reelscope.description.describe import DescribeStage
    from reelscope.description.queue import Part

log = logging.getLogger(__name__)


def hand_over(batch: Batch) -> list[Problem]:
    """Hand the queue of the description to the server's batches; what became of it."""
    stage = description_of(batch)
    if stage is None or stage.queue is None:
        return []
    try:
        if not stage.queue.to_hand_over:
            return []
        with _opened(stage):
            parts = stage.queue.submit()
    except (
        EngineError,
        OutputError,
    ) as error:  # the other stages' results are written all the same
        waits = f"requests were not handed over and wait on: {error}; run the same call again"
        return [Problem(where=DESCRIBE, message=waits)]
    return [Problem(where=DESCRIBE, message=_said(part, stage.queue.remedy)) for part in parts]


def _said(part: Part, remedy: str) -> str:
    number = len(part.requests)
    requests = f"{number:,} request{'' if number == 1 else 's'}"
    if part.status == "lost":
        return f"{requests} could not be handed over: {part.message}; run the same call again"
    return f"{requests} handed over as {part.batch_id}; the answers come within 24 hours: {remedy}"


def answers_wait(batch: Batch) -> bool:
    """Whether some of its descriptions are on their way: in a server's batch, or in the queue."""
    stage = description_of(batch)
    if stage is None or stage.queue is None:
        return False
    try:
        parts = stage.queue.parts
        return stage.queue.to_hand_over or any(part.status == "waiting" for part in parts)
    except OutputError:
        return False  # it is said where it is handed over


def describe_creators(batch: Batch, store: RecordStore) -> list[Problem]:
    """Sum up the videos of each creator, where that is wished; what went wrong.

    Raises:
        OutputError: a file cannot be written.
    """
    from reelscope.description.creator_summary import CreatorDescriber

    stage, settings = description_of(batch), batch.settings.description
    if stage is None or not settings.creator_summary:
        return []
    problems = []
    try:
        with _opened(stage):
            describer = CreatorDescriber(settings, stage.till, stage.prompts)
            for creator in batch.creators:
                try:
                    describer.describe(store.creator_records(creator), store.root / creator)
                except BudgetSpent as spent:
                    problems.append(Problem(where=creator, message=f"no summary: {spent}"))
                except EngineUnavailable:
                    raise
                except EngineError as error:
                    problems.append(Problem(where=creator, message=f"no summary: {error}"))
    except EngineUnavailable as error:
        problems.append(Problem(where=DESCRIBE, message=f"no creator summaries: {error}"))
    return problems


def creator_summary(folder: Path) -> dict[str, JsonValue] | None:
    """What a model said of a creator, by question; None: nothing."""
    from reelscope.description.creator_summary import load_creator_description

    found = load_creator_description(folder)
    if found is None or not found.dimensions:
        return None
    return {name: answer.value for name, answer in found.dimensions.items()}


def description_of(batch: Batch) -> DescribeStage | None:
    """The stage that describes, if this run has it."""
    from reelscope.description.describe import DescribeStage

    stage = batch.graph[DESCRIBE] if DESCRIBE in batch.selected else None
    return stage if isinstance(stage, DescribeStage) else None


@contextmanager
def _opened(stage: DescribeStage) -> Iterator[None]:
    stage.open()
    try:
        yield
    finally:
        stage.close()
