"""Makes src/reelscope/music/cohort.npz: the peaks of a quarter of an hour of composed music.

    python scripts/make_cohort.py

What a clip shows where these have their peaks is what it shows at a wrong place (evidence.py).
The music is that of bench/music_material.py, so that no recording is carried along.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import music_material as material  # noqa: E402  (its folder is on the path only now)

from reelscope.music.fingerprint import FRAMES_PER_S, Constellation, constellation  # noqa: E402
from reelscope.music.segment import Segment  # noqa: E402

FIRST, TRACKS, SECONDS = 50_000, 24, 40.0


def main() -> None:
    """Write the file."""
    items = []
    for number in range(FIRST, FIRST + TRACKS):
        sound = material.composed(number)[: int(SECONDS * material.RATE_HZ)]
        items.append((number, constellation(sound, material.RATE_HZ)))
    segment = Segment.build(items)
    np.savez_compressed(
        ROOT / "src/reelscope/music/cohort.npz", blocks=segment.blocks, points=segment.points
    )
    print(f"{sum(len(one) for _, one in items)} peaks of {_seconds(items):.0f} s")


def _seconds(items: list[tuple[int, Constellation]]) -> float:
    return sum(one.length for _, one in items) / FRAMES_PER_S


if __name__ == "__main__":
    main()
