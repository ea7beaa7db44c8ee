"""Models in memory: each is loaded once per device and shared by who needs it.

When a device's budget would be exceeded, models that nobody is using are dropped, the
one that was used longest ago first.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reelscope.engines import device as devices

log = logging.getLogger(__name__)
M = TypeVar("M")
SHARE = 0.8
"""Of a device's free memory that models may fill; the rest is for their work."""
GB = 1_000_000_000


@dataclass(eq=False)
class _Loaded:
    model: Any
    size_bytes: int
    users: int = 0
    used_at: int = 0


@dataclass(eq=False)
class _Shelf:
    """The models on one device. The lock is held while one is loaded: two loads at once
    would need the memory of both."""

    budget_bytes: int | None
    lock: threading.RLock = field(default_factory=threading.RLock)
    models: dict[str, _Loaded] = field(default_factory=dict)


class ModelPool:
    """Loads models and lends them out.

    Args:
        memory_gb: that models may fill on each device; None: most of what is free there
            when the first one is loaded.
    """

    def __init__(self, memory_gb: float | None = None) -> None:
        self._memory_gb = memory_gb
        self._shelves: dict[str, _Shelf] = {}
        self._lock = threading.Lock()
        self._clock = 0

    @contextmanager
    def lease(self, name: str, load: Callable[[str], M], *, size_mb: int) -> Iterator[M]:
        """A model on this thread's device (`device.current()`).

        Args:
            name: of the model; whoever asks for the same name gets the same model.
            load: given the device's name, reads the model. What it raises is raised.
            size_mb: memory that the model will take, about.
        """
        device = devices.current()
        shelf = self._shelf(device)
        with shelf.lock:
            loaded = shelf.models.get(name)
            if loaded is None:
                self._make_room(shelf, size_mb * 1_000_000)
                log.info("loading %s on %s", name, device)
                loaded = _Loaded(load(device), size_mb * 1_000_000)
                shelf.models[name] = loaded
            loaded.users += 1
            self._clock += 1
            loaded.used_at = self._clock
        try:
            yield loaded.model
        finally:
            with shelf.lock:
                loaded.users -= 1

    def loaded(self, device: str) -> list[str]:
        """Names of the models on a device, the one used longest ago first."""
        models = self._shelf(device).models
        return sorted(models, key=lambda name: models[name].used_at)

    def release(self, name: str) -> None:
        """Drop a model that nobody is using, on every device."""
        for device, shelf in list(self._shelves.items()):
            with shelf.lock:
                if name in shelf.models and not shelf.models[name].users:
                    del shelf.models[name]
                    _give_back(device)

    def _shelf(self, device: str) -> _Shelf:
        with self._lock:
            if device not in self._shelves:
                free = devices.free_bytes(device) if self._memory_gb is None else None
                budget = self._memory_gb * GB if self._memory_gb else free and free * SHARE
                self._shelves[device] = _Shelf(None if budget is None else int(budget))
            return self._shelves[device]

    def _make_room(self, shelf: _Shelf, size_bytes: int) -> None:
        if shelf.budget_bytes is None:
            return
        idle = sorted(
            (name for name, loaded in shelf.models.items() if not loaded.users),
            key=lambda name: shelf.models[name].used_at,
        )
        while idle and size_bytes + _total(shelf) > shelf.budget_bytes:
            name = idle.pop(0)
            log.info("dropping %s to make room", name)
            del shelf.models[name]
            _give_back(devices.current())


def _total(shelf: _Shelf) -> int:
    return sum(loaded.size_bytes for loaded in shelf.models.values())


def _give_back(device: str) -> None:
    """Return what torch has set aside for later to the device."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
