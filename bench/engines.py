"""What each neural engine takes to load: seconds, and memory with its package.

    python bench/engines.py [--device auto] [--models FOLDER] [--save]

Every engine is loaded in a process of its own, at its default size and at the large one.
Weights that are not in the folder are made at random in their real size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from machine import describe, save
from real_size import write_missing

from reelscope.engines.device import CPU, Devices
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.stage import ReadsWeights
from reelscope.settings import load

WHISPER = "models.whisper.engine"
CASES: tuple[tuple[str, dict[str, str]], ...] = (
    ("transcribe", {WHISPER: "pocketsphinx"}),
    ("transcribe", {WHISPER: "faster-whisper", "models.whisper.size": "small"}),
    ("transcribe", {WHISPER: "faster-whisper", "models.whisper.size": "large-v3-turbo"}),
    ("transcribe", {WHISPER: "openai-whisper", "models.whisper.size": "small"}),
    ("separate", {}),
    ("sounds", {}),
    ("detect", {"models.detector.size": "s"}),
    ("detect", {"models.detector.size": "l"}),
    ("detect", {"models.detector.engine": "owlv2"}),
    ("embed", {"models.embedder.model": "ViT-B-32"}),
    ("embed", {"models.embedder.model": "ViT-L-14"}),
    ("caption", {}),
)


def one(stage_name: str, flags: dict[str, str]) -> dict[str, object]:
    """Load one engine in this process."""
    settings = load(None, environ={}, flags={**flags, "models.offline": True})
    stage = build_graph(settings)[stage_name]
    if isinstance(stage, ReadsWeights):
        write_missing(settings.paths.models, list(stage.weights))
    process = psutil.Process()
    before, began = process.memory_info().rss, time.perf_counter()
    with Devices(settings.models.device).hold() as device:
        stage.open()
        seconds = time.perf_counter() - began
        found = {"stage": stage_name, "engine": stage.engine, "load_s": seconds, "device": device}
        found["ram_mb"] = (process.memory_info().rss - before) / 1e6
        if device != CPU:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2]))
            found["gpu_mb"] = pynvml.nvmlDeviceGetMemoryInfo(handle).used / 1e6
        stage.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], json.loads(options.one[1]))))
        return
    print(describe())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        where = {"paths.models": str(options.models or folder), "models.device": options.device}
        for stage, flags in CASES:
            asked = [sys.executable, __file__, "--one", stage, json.dumps({**where, **flags})]
            for attempt in range(2):  # the first may have to make the weights
                done = subprocess.run(asked, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                if attempt:
                    rows.append(json.loads(done.stdout.splitlines()[-1]))
            row = rows[-1]
            print(f"{stage:11} {row['load_s']:6.1f} s {row['ram_mb']:7.0f} MB  {row['engine']}")
    if options.save:
        save("engines", {"engines": rows})


if __name__ == "__main__":
    main()
