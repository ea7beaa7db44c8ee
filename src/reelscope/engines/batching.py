"""Forward passes over items of several videos, in batches that fit the device's memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from reelscope.engines import device as devices
from reelscope.engines.weights import is_out_of_memory
from reelscope.errors import DeviceLost, EngineFailed, OutOfMemory

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")

LOST = (
    "device-side assert", "illegal memory access", "unspecified launch failure",
    "uncorrectable ecc", "device is lost", "cuda driver version", "no cuda gpus",
    "misaligned address", "cudnn_status_internal_error", "gpu has fallen off the bus",
)  # fmt: skip
"""What CUDA says when a device gives no results any more in this process (CUDA runtime
API, cudaError_t)."""


class Batches:
    """Cuts items into batches; a batch that does not fit is halved, and the size that
    worked is kept for the rest of the run, per device.

    Args:
        name: of the model, for the log.
        size: items in a batch to begin with.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self._first = size
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Items in a batch on this thread's device."""
        return self._sizes.get(devices.current(), self._first)

    def map(self, forward: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """One result per item, in their order.

        Args:
            forward: one pass; gives one result per item.
            items: may come from several videos.

        Raises:
            OutOfMemory: a single item does not fit.
            DeviceLost: the device gives no results any more.
        """
        return list(self._results(forward, items))

    def _results(
        self, forward: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]
    ) -> Iterator[R]:
        done = 0
        while done < len(items):
            batch = items[done : done + self.size]
            try:
                results = forward(batch)
            except Exception as error:
                if is_out_of_memory(error) and len(batch) > 1:
                    self._halve(len(batch))
                    continue
                if ours := translated(error, self.name):
                    raise ours from error
                raise
            yield from results
            done += len(batch)

    def _halve(self, tried: int) -> None:
        device = devices.current()
        with self._lock:
            self._sizes[device] = max(1, tried // 2)
        log.warning(
            "%s: %d at once do not fit the memory of %s; going on with %d",
            self.name, tried, device, self._sizes[device],
        )  # fmt: skip
        if device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


def translated(error: Exception, name: str) -> EngineFailed | None:
    """Our name for what a vendor raised, where it is about memory or a lost device."""
    device, text = devices.current(), " ".join(str(error).split())[:200]
    if is_out_of_memory(error):
        return OutOfMemory(f"{name}: the memory of {device} is too small for a single item")
    if any(word in text.lower() for word in LOST):
        return DeviceLost(f"{name}: {device} gives no results any more ({text}); start again")
    return None
