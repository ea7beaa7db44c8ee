"""A long sound through a model that takes pieces of one length: cut with overlap, and joined.

The rules are those of `demucs.apply.apply_model` (demucs 4.1, split=True, overlap=0.25,
transition_power=1): chunks begin every three quarters of a segment; one that is shorter
than a segment is put in its middle, with the sound before it on the left and zeros after
the end; where chunks overlap, each counts with a weight that rises to the middle of the
segment and falls again. Here the sound may come in blocks and the result leaves in
blocks, so that two hours need no more memory than two minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

OVERLAP = 0.25
"""Of two neighbours, as a share of a segment."""


def stride_of(segment: int) -> int:
    """Samples from the beginning of one chunk to that of the next."""
    return int((1 - OVERLAP) * segment)


class Cutter:
    """Cuts a sound of known length into chunks of one length.

    Args:
        length: samples in all.
        segment: samples of a chunk.
    """

    def __init__(self, length: int, segment: int) -> None:
        self.length, self.segment = length, segment
        self._offset = 0  # where the next chunk begins
        self._held: Float32 | None = None  # the sound from `_from` on
        self._from = 0

    def feed(self, samples: Float32) -> Iterator[Float32]:
        """The chunks that are complete with these samples.

        Args:
            samples: the next ones, float32 (n, channels).

        Yields:
            float32 (segment, channels).
        """
        held = samples if self._held is None else np.concatenate([self._held, samples])
        known = self._from + len(held)
        while self._offset < self.length and known >= min(self.length, self._offset + self.segment):
            yield self._chunk(held)
            self._offset += stride_of(self.segment)
        keep = max(self._offset - self.segment // 2, self._from)
        self._held, self._from = held[keep - self._from :], keep

    def _chunk(self, held: Float32) -> Float32:
        missing = self.segment - min(self.segment, self.length - self._offset)
        start = self._offset - missing // 2
        first, end = max(start, 0), min(start + self.segment, self.length)
        inside = held[first - self._from : end - self._from]
        return np.pad(inside, ((first - start, start + self.segment - end), (0, 0)))


class Joiner:
    """Puts together what the model made of a `Cutter`'s chunks.

    Args:
        length: samples in all.
        segment: samples of a chunk.
    """

    def __init__(self, length: int, segment: int) -> None:
        self.length, self.segment = length, segment
        self._offset = 0
        half = segment // 2
        rising = np.concatenate([np.arange(1, half + 1), np.arange(segment - half, 0, -1)])
        self._weights: Float32 = (rising / rising.max()).astype(np.float32)[:, None]
        self._sum: Float32 | None = None  # weighted, from `_offset` on
        self._weight = np.zeros((0, 1), np.float32)

    @property
    def complete(self) -> bool:
        """Whether every chunk has come back."""
        return self._offset >= self.length

    def add(self, estimate: Float32) -> Float32:
        """Take the next chunk's result and give the samples that no later chunk changes.

        Args:
            estimate: float32 (segment, channels).

        Returns:
            float32 (n, channels), the continuation of what was given before.
        """
        size = min(self.segment, self.length - self._offset)
        left = (self.segment - size) // 2
        weights = self._weights[:size]
        total, weight = weights * estimate[left : left + size], weights.copy()
        if self._sum is not None:
            total[: len(self._sum)] += self._sum
            weight[: len(self._weight)] += self._weight
        step = min(stride_of(self.segment), size)
        self._offset += stride_of(self.segment)
        self._sum, self._weight = total[step:], weight[step:]
        return np.asarray(total[:step] / weight[:step], dtype=np.float32)
