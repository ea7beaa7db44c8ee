"""The one place that catches whatever a stage throws, and says what it means."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from reelscope.errors import (
    DeviceLost,
    EngineFailed,
    EngineUnavailable,
    ReelscopeError,
    ServiceClosed,
    UnreadableMedia,
)
from reelscope.media.clip import Clip
from reelscope.pipeline.stage import Stage
from reelscope.records import Failed, Outcome, Skipped

log = logging.getLogger(__name__)


class Attempts:
    """Runs a stage on clips; opens it at its first use and closes it at the end.

    Args:
        stage: the stage.
        owns_file: whether a file that cannot even be opened is this stage's failure. One
            fault should be one failure: the probe's where it runs; the other stages then
            had nothing to work on. A file that opens, and in which what this stage needs
            does not decode, is this stage's failure in any case.
    """

    def __init__(self, stage: Stage, *, owns_file: bool) -> None:
        self.stage = stage
        self.owns_file = owns_file
        self._lock = threading.Lock()
        self._opened = False
        self._closed_door: Skipped | Failed | None = None

    def open(self) -> Skipped | Failed | None:
        """Load the stage's engine, once; what stands in the way if it cannot be."""
        with self._lock:
            if not self._opened and self._closed_door is None:
                try:
                    self.stage.open()
                    self._opened = True
                except Exception as error:  # noqa: BLE001  (the runner's one place)
                    self._closed_door = outcome_of(error, owns_file=self.owns_file)
                    absent = isinstance(error, EngineUnavailable)
                    level = logging.INFO if absent else logging.WARNING
                    log.log(level, "%s cannot be used: %s", self.stage.name, error)
            return self._closed_door

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One outcome per clip. A batch that raises is halved until the cause is alone."""
        if door := self.open():
            return [door] * len(clips)
        try:
            outcomes = self.stage.run(clips)
            if len(outcomes) != len(clips):
                raise EngineFailed(
                    f"{self.stage.name} gave {len(outcomes)} results for {len(clips)} videos"
                )
            return outcomes
        except (DeviceLost, ServiceClosed) as error:
            return [self._shut(error)] * len(clips)
        except Exception as error:
            if len(clips) > 1:
                half = len(clips) // 2
                log.info("%s: halving a batch of %d: %s", self.stage.name, len(clips), error)
                return self.run(clips[:half]) + self.run(clips[half:])
            video = clips[0].source.video_id
            if isinstance(error, EngineUnavailable):
                log.info("%s left %s out: %s", self.stage.name, video, error)
                return [outcome_of(error, owns_file=self.owns_file)]
            expected = isinstance(error, ReelscopeError)
            log.warning("%s failed on %s: %s", self.stage.name, video, error, exc_info=not expected)
            owns = self.owns_file or (isinstance(error, UnreadableMedia) and _opens(clips[0]))
            return [outcome_of(error, owns_file=owns)]

    def _shut(self, error: DeviceLost | ServiceClosed) -> Skipped | Failed:
        """Nothing more is asked of the engine in this run; said once, however many hear it."""
        with self._lock:
            if self._closed_door is None:
                log.error("%s is closed for the rest of the run: %s", self.stage.name, error)
                self._closed_door = outcome_of(error, owns_file=self.owns_file)
            return self._closed_door

    def close(self) -> None:
        """Let go of the engine."""
        with self._lock:
            if self._opened:
                self.stage.close()
                self._opened = False


def _opens(clip: Clip) -> bool:
    """Whether the file's header can be read."""
    try:
        return bool(clip.info.has_video or clip.info.has_audio)
    except ReelscopeError:
        return False


def outcome_of(error: Exception, *, owns_file: bool) -> Skipped | Failed:
    """What an exception means for the record."""
    if isinstance(error, EngineUnavailable):
        return Skipped(error.reason, error.remedy)
    if isinstance(error, UnreadableMedia) and not owns_file:
        return Skipped(f"the file cannot be read: {error}")
    if isinstance(error, ReelscopeError):
        return Failed(error.kind, _sentence(error), error.retryable)
    if isinstance(error, MemoryError):
        return Failed("memory", "the machine ran out of memory", retryable=True)
    if isinstance(error, OSError):
        return Failed("os", _sentence(error), retryable=True)
    return Failed("internal", f"{type(error).__name__}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    # A file name that is no UTF-8 comes as lone surrogates, which no JSON can hold.
    clean = str(error).encode("utf-8", "replace").decode("utf-8")
    text = " ".join(clean.split()) or type(error).__name__
    return text if len(text) <= 500 else text[:497] + "..."
