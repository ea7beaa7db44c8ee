"""Where models run, and how the threads of the gpu lane share the devices.

A worker of the gpu lane holds one device while it works; engines ask for `current()`.
torch is imported only where an NVIDIA driver is present: it takes seconds.
"""

from __future__ import annotations

import ctypes
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from reelscope.errors import ConfigError

CPU = "cpu"
_current: ContextVar[str] = ContextVar("device", default="")


class Devices:
    """The devices of a run, each held by one worker at a time.

    Args:
        wanted: `models.device`: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: a device is asked for that this machine does not have.
    """

    def __init__(self, wanted: str = "auto") -> None:
        self.names = tuple(find(wanted))
        self._free: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in self.names:
            self._free.put(name)

    def __len__(self) -> int:
        return len(self.names)

    @contextmanager
    def hold(self) -> Iterator[str]:
        """A device of one's own; waits until one is free."""
        name = self._free.get()
        token = _current.set(name)
        try:
            yield name
        finally:
            _current.reset(token)
            self._free.put(name)


def current() -> str:
    """The device that this thread holds, "cpu" or "cuda:0"; the first one if it holds none."""
    return _current.get() or find("auto")[0]


def find(wanted: str) -> list[str]:
    """The devices that a setting names.

    Raises:
        ConfigError: one of them is not there.
    """
    if wanted == CPU:
        return [CPU]
    there = [f"cuda:{i}" for i in range(cuda_count())]
    if wanted == "auto":
        return there or [CPU]
    asked = there if wanted == "cuda" else [name for name in there if name == wanted]
    if not asked:
        has = ", ".join(there) or "no CUDA device"
        raise ConfigError(f"models.device = {wanted!r}: this machine has {has}; try auto or cpu")
    return asked


@cache
def cuda_count() -> int:
    """How many CUDA devices torch can use."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # no driver: nothing to ask torch for
        return 0
    try:
        import torch
    except ImportError:
        return 0
    return int(torch.cuda.device_count())


def free_bytes(device: str) -> int | None:
    """Memory that is free on a device; None: not known."""
    if device == CPU:
        return _free_ram_bytes()
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def _free_ram_bytes() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123  (not a file)
            facts = dict(line.split(":", 1) for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return None
