"""What engines of one model have in common: their name, loading it, and letting it go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY
from reelscope.engines.weights import WeightStore, installed, require

M = TypeVar("M")


class SingleModel(ABC, Generic[M]):
    """An engine that reads one set of weights.

    Args:
        store: where the weights are.
        pool: who keeps the model loaded.
    """

    name: ClassVar[str]
    growth: ClassVar[int] = 1
    """How much more memory the model takes than its file: 2 where that holds half precision."""

    def __init__(self, store: WeightStore, pool: ModelPool) -> None:
        self._store = store
        self._pool = pool

    @property
    def engine(self) -> str:
        """The package's version, the model's name and the weights' revision."""
        package = REGISTRY[self.name].package
        revision = self._store.revision(self.name)
        return f"{package} {installed(package) or 'absent'} {self.name} {revision}"

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry."""
        return (self.name,)

    def open(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: package or weights are missing, or cannot be read.
        """
        require(REGISTRY[self.name].package)
        with self._model():
            pass

    def close(self) -> None:
        """Let go of the model."""
        self._pool.release(self.name)

    def _model(self) -> AbstractContextManager[M]:
        size_mb = self.growth * REGISTRY[self.name].size_mb
        return self._pool.lease(self.name, self._load, size_mb=size_mb)

    def _load(self, device: str) -> M:
        with self._store.reading(self.name) as folder:
            return self._read(folder, device)

    @abstractmethod
    def _read(self, folder: Path, device: str) -> M:
        """The model from its folder, on "cpu" or "cuda:0"; nothing else is looked at."""
