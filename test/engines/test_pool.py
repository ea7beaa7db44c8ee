"""Models are loaded once, shared, and dropped when the memory is needed."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from reelscope.engines.device import Devices
from reelscope.engines.pool import ModelPool
from reelscope.errors import EngineUnavailable


class Loader:
    """Counts what it loads."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, str]] = []

    def of(self, name: str):  # type: ignore[no-untyped-def]
        def load(device: str) -> object:
            time.sleep(0.01)
            self.loads.append((name, device))
            return object()

        return load


def test_many_threads_load_a_model_once() -> None:
    pool, loader = ModelPool(), Loader()

    def use(_: int) -> object:
        with pool.lease("a", loader.of("a"), size_mb=1) as model:
            return model

    with ThreadPoolExecutor(8) as threads:
        models = set(threads.map(use, range(32)))
    assert len(models) == 1
    assert loader.loads == [("a", "cpu")]


def test_the_idle_model_used_longest_ago_makes_room() -> None:
    pool, loader = ModelPool(memory_gb=0.1), Loader()
    for name in ("a", "b", "a", "c"):  # 40 MB each, 100 MB in all
        with pool.lease(name, loader.of(name), size_mb=40):
            pass
    assert pool.loaded("cpu") == ["a", "c"]
    with (
        pool.lease("a", loader.of("a"), size_mb=40),
        pool.lease("c", loader.of("c"), size_mb=40),
        pool.lease("d", loader.of("d"), size_mb=40),  # nothing is idle: the budget is passed
    ):
        assert set(pool.loaded("cpu")) == {"a", "c", "d"}
    with pool.lease("e", loader.of("e"), size_mb=40):
        assert pool.loaded("cpu") == ["d", "e"]


def test_a_failed_load_leaves_nothing_behind() -> None:
    pool, loader = ModelPool(), Loader()

    def fails(_device: str) -> object:
        raise EngineUnavailable("no file", remedy="get it")

    with pytest.raises(EngineUnavailable), pool.lease("a", fails, size_mb=1):
        pass
    assert pool.loaded("cpu") == []
    with pool.lease("a", loader.of("a"), size_mb=1) as model:
        assert model is not None


def test_release_spares_what_is_in_use() -> None:
    pool, loader = ModelPool(), Loader()
    with pool.lease("a", loader.of("a"), size_mb=1):
        pool.release("a")
        assert pool.loaded("cpu") == ["a"]
    pool.release("a")
    assert pool.loaded("cpu") == []


def test_each_device_has_models_of_its_own() -> None:
    pool, loader, devices = ModelPool(memory_gb=1), Loader(), Devices("cpu")
    devices.names = ("cpu", "cuda:0")
    devices._free.put("cuda:0")
    both = threading.Barrier(2, timeout=5)

    def use(_: int) -> str:
        with devices.hold() as device, pool.lease("a", loader.of("a"), size_mb=1):
            both.wait()
            return device

    with ThreadPoolExecutor(2) as threads:
        assert set(threads.map(use, range(2))) == {"cpu", "cuda:0"}
    assert sorted(loader.loads) == [("a", "cpu"), ("a", "cuda:0")]
