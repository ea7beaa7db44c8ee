"""What the runner itself costs: stages that do nothing, over many small files.

    python bench/runner.py [--videos 1000] [--stages 12] [--save]

Everything but the stages' work is real: records are read, saved after every stage,
synced and renamed; files are hashed. Prints milliseconds per stage and video.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from machine import describe, save

from reelscope.engines.device import Devices
from reelscope.media.clip import Clip
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.graph import Graph
from reelscope.pipeline.runner import Runner
from reelscope.records import STAGE_VALUES, Platform, VideoSource
from reelscope.settings import Media, Processing
from reelscope.testing.stages import Say

GOAL_MS = 2.0


def measure(videos: int, stages: int) -> tuple[float, float]:
    """Seconds of a first run and of one in which everything is reused."""
    names = [f"stage{number}" for number in range(stages)]
    STAGE_VALUES.update(dict.fromkeys(names, Platform))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sources = []
        for number in range(videos):
            path = root / f"{number}.mp4"
            path.write_bytes(b"%d" % number)
            name = str(number)
            sources.append(VideoSource(creator="c", video_id=name, frames_id=name, path=str(path)))

        def run() -> float:
            needs = [tuple(names[max(0, i - 1) : i]) for i in range(stages)]
            graph = Graph([Say(name, needs=n) for name, n in zip(names, needs, strict=True)])
            runner = Runner(
                graph,
                graph.select(),
                Processing(),
                devices=Devices("cpu"),
                store=RecordStore(root / "records"),
                open_clip=lambda r: Clip(r.source, r, Media(), frames_root=root / "frames"),
                finish=lambda _: None,
            )
            start = time.perf_counter()
            runner.run(sources)
            return time.perf_counter() - start

        return run(), run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--stages", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    call = parser.parse_args()
    runs = [measure(call.videos, call.stages) for _ in range(call.runs)]
    per_stage = 1000 / (call.videos * call.stages)
    first_ms = statistics.median(first for first, _ in runs) * per_stage
    again_ms = statistics.median(again for _, again in runs) * per_stage
    print(describe())
    print(f"{call.videos} videos x {call.stages} stages that do nothing, median of {call.runs}")
    print(f"first run      {first_ms:.3f} ms per stage and video   (goal: under {GOAL_MS:g})")
    print(f"all reused     {again_ms:.3f} ms per stage and video")
    if call.save:
        save("runner", {"first_ms": first_ms, "reused_ms": again_ms, "goal_ms": GOAL_MS})


if __name__ == "__main__":
    main()
