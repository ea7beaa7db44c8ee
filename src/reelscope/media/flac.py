"""Sound to disk without loss: FLAC files of 16 bits, written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from reelscope.atomic import open_atomic
from reelscope.media.audio import Samples

STEPS = 32768
"""Of a 16-bit sample on either side of zero."""


@contextmanager
def write_flac(path: Path, rate_hz: int) -> Iterator[Callable[[Samples], None]]:
    """A stereo file that appears when the block ends; if it raises, nothing changes on disk.

    Yields:
        A function that takes the next samples, float32 (n, 2); beyond full scale is clipped.

    Raises:
        OutputError: the file cannot be written.
    """
    with open_atomic(path) as file, av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate_hz, layout="stereo")
        stream.format = "s16"

        def write(samples: Samples) -> None:
            if not len(samples):
                return
            steps = np.clip(np.rint(samples * STEPS), -STEPS, STEPS - 1).astype(np.int16)
            frame = AudioFrame.from_ndarray(steps.reshape(1, -1), format="s16", layout="stereo")
            frame.sample_rate = rate_hz
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode(None))
