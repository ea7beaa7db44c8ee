"""The sound of a file as one channel: decoded once, resampled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import UnreadableMedia
from reelscope.media.audio import Audio
from reelscope.media.container import never
from reelscope.media.info import read_info

Sound: TypeAlias = NDArray[np.float32]
"""One channel, (n,), full scale -1 to 1."""


def sound_blocks(
    path: Path, rate_hz: int, *, block_s: float = 30.0, check_time: Callable[[], None] = never
) -> Iterator[Sound]:
    """The sound of a file in pieces; a file of any length is read in bounded memory.

    Args:
        path: of a sound or a video.
        rate_hz: of the result.
        block_s: seconds of a piece; the last is shorter.
        check_time: called while reading; raises to stop.

    Raises:
        MediaError: it is no media file, or has no sound.
    """
    info = read_info(path, check_time)
    if not info.has_audio:
        raise UnreadableMedia(f"{path.name}: there is no sound in it")
    sound = Audio(info, cache_bytes=0, check_time=check_time)
    for block in sound.blocks(rate_hz, block_s=block_s):
        yield block[:, 0]


def read_sound(
    path: Path,
    rate_hz: int,
    *,
    most_s: float | None = None,
    check_time: Callable[[], None] = never,
) -> Sound:
    """The sound of a file, whole or its first `most_s` seconds.

    Raises:
        MediaError: it is no media file, or has no sound.
    """
    left = None if most_s is None else round(most_s * rate_hz)
    blocks: list[Sound] = []
    for block in sound_blocks(path, rate_hz, check_time=check_time):
        blocks.append(block if left is None else block[:left])
        if left is not None and (left := left - len(block)) <= 0:
            break
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
