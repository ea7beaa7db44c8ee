"""How much memory a run takes, and whether it grows.

    python bench/memory.py [--videos 300] [--long-minutes 60] [--save]

Runs `main.py analyze` as a user would, in a process of its own, on many short videos
with every stage on, and then on one long 1080p video; watches the resident memory.
Flat means: the peak over the last tenth of the videos is no more than the peak up to the
tenth video plus what the allocator rounds up (5 %).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import psutil
from machine import describe, save

from reelscope.testing import media

ROOF_MB = 1200
MAIN = Path(__file__).parent.parent / "main.py"


@dataclass
class Trace:
    """(videos done, resident MB) over the run."""

    points: list[tuple[int, float]]
    seconds: float

    def peak_mb(self, first: int = 0, last: int = 10**9) -> float:
        """Peak while between `first` and `last` videos were done."""
        inside = [mb for done, mb in self.points if first <= done <= last]
        return max(inside, default=0.0)


def watch(paths: list[Path], work: Path) -> Trace:
    """Run `analyze` and sample its memory five times a second."""
    environ = {**os.environ, "REELSCOPE_PATHS__DATA": str(work / "out")}
    environ["REELSCOPE_PATHS__LOGS"] = str(work / "logs")
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, MAIN, "analyze", *paths],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process = psutil.Process(child.pid)
    points = []
    results = work / "out" / "analysis_results"
    while child.poll() is None:
        done = sum(1 for _ in results.glob("*/*/representative_timestamps.json"))
        try:
            points.append((done, process.memory_info().rss / 1e6))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    if child.wait() != 0:
        raise SystemExit(f"analyze ended with {child.returncode}")
    return Trace(points, time.perf_counter() - start)


def many_short(folder: Path, count: int) -> list[Path]:
    """`count` different vertical videos of three seconds with cuts, text and sound."""
    folder.mkdir()
    scenes = [media.Scene(seconds=1.5, text="HELLO"), media.Scene(seconds=1.5, text="AGAIN")]
    sound = media.music_like(3.0, rate_hz=44100)
    first = folder / "0000.mp4"
    media.write_video(first, scenes, size=(540, 960), sound=sound, sound_rate_hz=44100)
    data = first.read_bytes()
    for number in range(1, count):
        # A `free` box at the end changes the hash, not the pictures.
        box = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        (folder / f"{number:04}.mp4").write_bytes(data + box)
    return [folder]


def one_long(folder: Path, minutes: int) -> list[Path]:
    """A 1080p video: one minute encoded, then repeated without encoding again."""
    folder.mkdir()
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    minute, whole = folder / "minute.mp4", folder / "long.mp4"
    encode = ["-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30:d=60"]
    encode += ["-f", "lavfi", "-i", "sine=440:d=60", "-c:v", "libx264", "-preset", "veryfast"]
    encode += ["-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-ar", "48000"]
    subprocess.run([ffmpeg, "-v", "error", *encode, minute], check=True)
    repeat = ["-stream_loop", str(minutes - 1), "-i", minute, "-c", "copy"]
    subprocess.run([ffmpeg, "-v", "error", *repeat, whole], check=True)
    minute.unlink()
    return [whole]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--long-minutes", type=int, default=60)
    parser.add_argument("--save", action="store_true")
    call = parser.parse_args()
    print(describe())
    figures: dict[str, object] = {"roof_mb": ROOF_MB}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        trace = watch(many_short(root / "short", call.videos), root / "work")
        early, late = trace.peak_mb(last=10), trace.peak_mb(first=call.videos * 9 // 10)
        figures["short"] = {
            "videos": call.videos,
            "seconds": round(trace.seconds, 1),
            "peak_mb": round(trace.peak_mb()),
            "peak_to_10th_mb": round(early),
            "peak_last_tenth_mb": round(late),
        }
        print(f"{call.videos} videos of 3 s, every stage: {trace.seconds:.0f} s")
        print(f"  peak {trace.peak_mb():.0f} MB (roof {ROOF_MB})")
        print(f"  up to the 10th video {early:.0f} MB, over the last tenth {late:.0f} MB")
    if call.long_minutes:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            trace = watch(one_long(root / "long", call.long_minutes), root / "work")
            figures["long"] = {
                "minutes": call.long_minutes,
                "seconds": round(trace.seconds, 1),
                "peak_mb": round(trace.peak_mb()),
            }
            print(f"one 1080p video of {call.long_minutes} min: {trace.seconds:.0f} s")
            print(f"  peak {trace.peak_mb():.0f} MB (roof {ROOF_MB})")
    if call.save:
        save("memory", figures)


if __name__ == "__main__":
    main()
