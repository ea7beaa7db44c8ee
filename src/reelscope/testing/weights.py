"""Every set of weights that a run can ask for, tiny and random, in the vendors' formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from reelscope.testing.ast_audioset import write_ast_audioset
from reelscope.testing.blip import write_blip
from reelscope.testing.demucs import write_htdemucs
from reelscope.testing.open_clip import write_clip
from reelscope.testing.owlv2 import write_owlv2
from reelscope.testing.whisper import write_faster_whisper, write_openai_whisper
from reelscope.testing.yolo_world import write_yolo_world

WRITERS: dict[str, Callable[[Path, str], None]] = {
    "faster-whisper": write_faster_whisper,
    "openai-whisper": write_openai_whisper,
    "htdemucs": write_htdemucs,
    "ast-audioset": write_ast_audioset,
    "yolo-world": write_yolo_world,
    "owlv2": write_owlv2,
    "clip": write_clip,
    "blip": write_blip,
}
"""Start of a name in the registry -> what writes such a set."""


def write_weights(root: Path, names: Iterable[str]) -> None:
    """Write these sets into the folder of weights.

    Args:
        root: `paths.models`.
        names: as in the registry.
    """
    for name in names:
        write = next(writer for start, writer in WRITERS.items() if name.startswith(start))
        write(root, name)
