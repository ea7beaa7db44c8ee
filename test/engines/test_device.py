"""Which devices there are, and that a worker holds one at a time."""

from __future__ import annotations

import threading

import pytest

from reelscope.engines.device import Devices, cuda_count, current, find, free_bytes
from reelscope.errors import ConfigError


def test_the_processor_is_always_there() -> None:
    assert find("cpu") == ["cpu"]
    assert find("auto") == ([f"cuda:{i}" for i in range(cuda_count())] or ["cpu"])
    assert (free_bytes("cpu") or 0) > 10_000_000


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="try auto or cpu"):
        find(f"cuda:{cuda_count()}")


def test_a_device_is_held_by_one_worker() -> None:
    devices = Devices("cpu")
    entered = threading.Event()

    def second() -> None:
        with devices.hold():
            entered.set()

    with devices.hold() as name:
        assert current() == name == "cpu"
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.1)
    thread.join(5)
    assert entered.is_set()
