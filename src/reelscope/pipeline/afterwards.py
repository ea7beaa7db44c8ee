"""What is asked of a chat model once all videos have ended.

In batch mode the waiting requests are handed to the server's batches; where it is wished,
one more request per creator sums the videos up. Nothing here ends a run: what does not
succeed becomes a note in its summary, and the same call tries it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from reelscope.errors import (
    BudgetSpent,
    EngineError,
    EngineUnavailable,
    OutputError,
    ServiceFailed,
)
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.plan import DESCRIBE, Batch
from reelscope.pipeline.summary import Problem

if TYPE_CHECKING:
    from reelscope.description.creator_summary import CreatorDescriber
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
    except (EngineError, OutputError) as error:  # the others' results are written all the same
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


def describe_creators(
    batch: Batch, store: RecordStore, stopped: Callable[[], bool] = lambda: False
) -> list[Problem]:
    """Sum up the videos of each creator, where that is wished; what went wrong.

    Args:
        batch: whose creators.
        store: where their records are.
        stopped: whether nobody is to be asked any more.

    Raises:
        OutputError: a file cannot be written.
    """
    from reelscope.description.creator_summary import CreatorDescriber

    stage, settings = description_of(batch), batch.settings.description
    if stage is None or not settings.creator_summary:
        return []
    patience = batch.settings.processing.breaker_failures
    try:
        with _opened(stage), ThreadPoolExecutor(settings.concurrency, "creators") as pool:
            describer = CreatorDescriber(settings, stage.till, stage.prompts)
            round_ = _Round(describer, store, patience=patience, stopped=stopped)
            notes = [note for note in pool.map(round_.ask, batch.creators) if note]
    except EngineUnavailable as error:
        return [Problem(where=DESCRIBE, message=f"no creator summaries: {error}")]
    if round_.end:
        notes.append(Problem(where=DESCRIBE, message=f"no more creator summaries: {round_.end}"))
    return notes


class _Round:
    """Asks about creators, from many threads, until that is no use any more.

    Args:
        describer: asks.
        store: where the records are.
        patience: so many failures in a row, and the server is taken for dead.
        stopped: whether nobody is to be asked any more.

    Attributes:
        end: why nobody is asked any more, if something stands in the way.
    """

    def __init__(
        self,
        describer: CreatorDescriber,
        store: RecordStore,
        *,
        patience: int,
        stopped: Callable[[], bool],
    ) -> None:
        self.end: str | None = None
        self._describer, self._store = describer, store
        self._patience, self._stopped = patience, stopped
        self._failed_in_a_row = 0

    def ask(self, creator: str) -> Problem | None:
        """Ask about one; what went wrong."""
        if self.end or self._stopped():
            return None
        records, folder = self._store.creator_records(creator), self._store.root / creator
        try:
            if self._describer.describe(records, folder):
                self._failed_in_a_row = 0
        except EngineError as error:
            self._judge(error)
            closed = isinstance(error, EngineUnavailable) and not isinstance(error, BudgetSpent)
            return None if closed else Problem(where=creator, message=f"no summary: {error}")
        return None

    def _judge(self, error: EngineError) -> None:
        """Whether it is any use to ask about the next one."""
        if isinstance(error, ServiceFailed):
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= self._patience:
                self.end = f"no answer {self._failed_in_a_row} times in a row"
        elif isinstance(error, EngineUnavailable) and not isinstance(error, BudgetSpent):
            self.end = str(error)


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
