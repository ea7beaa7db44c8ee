"""What a stage is, and the key under which its result can be used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from reelscope.description.cost import Totals
from reelscope.media.clip import Clip
from reelscope.records import Lane, Outcome, StageRecord, VideoSource
from reelscope.settings import Section


class Stage(Protocol):
    """One question asked of a video.

    Attributes:
        name: as in the records, "transcribe".
        version: raised when the output changes.
        needs: stages whose values it cannot do without; if one of them has no value
            the runner skips this stage with that cause.
        uses: stages that it waits for and whose values it reads if they are there.
        lane: `cpu` (a few threads), `gpu` (one worker per device), `network` (many).
        batch_size: how many clips share one call of `run`.
        engine: who does the work, with its revision.
        settings: exactly the settings that it reads.
    """

    name: str
    version: int
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    lane: Lane
    batch_size: int

    @property
    def engine(self) -> str:
        """Name and revision of what does the work."""
        ...

    @property
    def settings(self) -> Section:
        """The settings that the value depends on."""
        ...

    def open(self) -> None:
        """Load what is needed; raises EngineUnavailable with the remedy."""
        ...

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One outcome per clip, in their order. Safe to call again."""
        ...

    def close(self) -> None:
        """Let go of what `open` loaded."""
        ...


@runtime_checkable
class ReadsWeights(Protocol):
    """A stage whose engine reads weights that may have to be fetched."""

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry of all sets that it reads under today's settings."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A stage of which not more than so many run at once, whatever the lane has room for."""

    @property
    def at_once(self) -> int:
        """At most so many."""
        ...


@runtime_checkable
class Spends(Protocol):
    """A stage that asks a service which wants to be paid."""

    @property
    def spent(self) -> Totals:
        """What this run has taken so far."""
        ...


def at_once(stage: Stage) -> int:
    """How many of the stage may run at once; 0: as many as its lane has room for."""
    return stage.at_once if isinstance(stage, Limited) else 0


@runtime_checkable
class ReadsSource(Protocol):
    """A stage whose value comes from what the source says, not from the media."""

    def source_key(self, source: VideoSource) -> str:
        """The part of the source that the value depends on, as text."""
        ...


@runtime_checkable
class AsksWhatGrows(Protocol):
    """A stage that asks something which changes from run to run, as a library does."""

    def revision_for(self, earlier: StageRecord | None) -> str:
        """The state of it that the value goes with; empty: there is none.

        That of the earlier value where it is not to be made again because of what has changed
        since, else today's.
        """
        ...


def stage_key(
    stage: Stage,
    *,
    source: VideoSource,
    media_sha256: str,
    upstream: Iterable[tuple[str, StageRecord | None]],
    earlier: StageRecord | None = None,
) -> str:
    """sha256 over everything that the stage's value depends on.

    Two runs with the same key would give the same value, so the second is not made.
    An upstream stage counts with its own key if it has a value, else with the way it
    ended: the value of a stage that merely *uses* another changes when that other one
    appears. `earlier` is what the stage found in an earlier run: see `AsksWhatGrows`.
    """
    subject = stage.source_key(source) if isinstance(stage, ReadsSource) else media_sha256
    parts = [
        stage.name,
        stage.version,
        stage.engine,
        stage.settings.model_dump_json(),
        subject,
        [(name, _standing(record)) for name, record in upstream],
    ]
    if isinstance(stage, AsksWhatGrows) and (revision := stage.revision_for(earlier)):
        parts.append(revision)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _standing(record: StageRecord | None) -> str:
    if record is None:
        return "absent"
    return record.key if record.status == "ok" else record.status


def reusable(record: StageRecord | None, key: str) -> bool:
    """Whether an earlier record answers for this key.

    Ok does. A failure that no retry can mend and a skip whose cause lies in the video
    do too. A retryable failure and a skip with a remedy are tried again.
    """
    if record is None or record.key != key:
        return False
    if record.status == "failed":
        return not record.retryable
    return record.status == "ok" or record.remedy is None
