"""Batches that fit: halved when memory runs out, and the size that worked is kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.engines.batching import Batches
from reelscope.errors import DeviceLost, OutOfMemory


class Model:
    """Really runs out of memory on more than `fits` items: torch's own allocator says no."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.seen: list[int] = []

    def forward(self, items: Sequence[int]) -> list[int]:
        import torch

        self.seen.append(len(items))
        if len(items) > self.fits:
            torch.empty(2**52, dtype=torch.float64)
        return [item * 10 for item in items]


@given(st.lists(st.integers(), max_size=60), st.integers(1, 16), st.integers(1, 16))
def test_every_item_gets_its_result_in_order(items: list[int], size: int, fits: int) -> None:
    model, batches = Model(fits), Batches("model", size)
    assert batches.map(model.forward, items) == [item * 10 for item in items]
    assert all(n <= size for n in model.seen)


def test_the_size_that_worked_is_remembered() -> None:
    model, batches = Model(fits=3), Batches("model", 16)
    batches.map(model.forward, range(16))
    assert model.seen[:4] == [16, 8, 4, 2]
    model.seen.clear()
    batches.map(model.forward, range(7))
    assert model.seen == [2, 2, 2, 1]


def test_a_single_item_that_does_not_fit_is_named() -> None:
    with pytest.raises(OutOfMemory, match="model: the memory of cpu"):
        Batches("model", 4).map(Model(fits=0).forward, [1])


def test_a_lost_device_is_told_from_a_wrong_item() -> None:
    def lost(_: Sequence[int]) -> list[int]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    def wrong(_: Sequence[int]) -> list[int]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(DeviceLost, match="start again"):
        Batches("model", 4).map(lost, [1, 2])
    with pytest.raises(RuntimeError, match="shapes"):
        Batches("model", 4).map(wrong, [1, 2])
