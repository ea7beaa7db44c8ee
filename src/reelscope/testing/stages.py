"""Small real stages, for tests and for measuring the runner itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from reelscope.media.clip import Clip
from reelscope.records import Lane, Ok, Outcome, Platform
from reelscope.settings import Section


class Knob(Section):
    """One setting."""

    turn: int = 0


class Say:
    """A stage whose value is a caption; it notes every video that it was run on.

    Args:
        name: the stage's name.
        needs: as in `Stage`.
        uses: as in `Stage`.
        lane: as in `Stage`.
        batch_size: as in `Stage`.
        at_once: as in `Limited`; 0: no limit.
        turn: a setting that the value depends on.
        answer: what to answer for a clip; by default a caption that names both.
        on_open: called when the stage is opened; may raise.
    """

    version = 1
    engine = "test 1"

    def __init__(
        self,
        name: str,
        *,
        needs: tuple[str, ...] = (),
        uses: tuple[str, ...] = (),
        lane: Lane = "cpu",
        batch_size: int = 1,
        at_once: int = 0,
        turn: int = 0,
        answer: Callable[[Clip], Outcome] | None = None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.needs = needs
        self.uses = uses
        self.lane: Lane = lane
        self.batch_size = batch_size
        self.at_once = at_once
        self.settings = Knob(turn=turn)
        self.answer = answer or self._say
        self.on_open = on_open
        self.opened = 0
        self.closed = 0
        self.batches: list[list[str]] = []
        self._lock = threading.Lock()

    @property
    def ran_on(self) -> list[str]:
        """Video ids in the order of the calls."""
        return [video for batch in self.batches for video in batch]

    def _say(self, clip: Clip) -> Outcome:
        return Ok(Platform(name="test", caption=f"{self.name} of {clip.source.video_id}"))

    def open(self) -> None:
        """Count, after what `on_open` does."""
        self.on_open()
        self.opened += 1

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Note the batch and answer each clip."""
        with self._lock:
            self.batches.append([clip.source.video_id for clip in clips])
        return [self.answer(clip) for clip in clips]

    def close(self) -> None:
        """Count."""
        self.closed += 1
