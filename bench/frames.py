"""The frames path against the ffmpeg program: `python bench/frames.py [--quick] [--save]`.

Ours: open the file, index its packets, decode, take 1 frame per second and every key
frame as small images, thumbnails of all that is decoded, then the stages keyframes,
quality and similarity. Theirs: `ffmpeg -threads N -i X -vf fps=1 -f null -`, which decodes
and throws away. The same number of decoder threads, in alternation, in one run; medians
are compared. Wall time is the goal; CPU time is told too, since it hardly depends on what
else the machine does. Ours runs in one warm process, theirs starts a program each time;
`cold` tells what a fresh interpreter with all its imports costs for one file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import machine
import numpy as np

from reelscope.media.clip import Clip
from reelscope.records import Ok, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Keyframes, Media, Quality, Similarity
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import QualityStage
from reelscope.vision.similarity import SimilarityStage

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpus" / "video"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
THREADS = 2
GOAL = 1.15
WIDTH, HEIGHT, FPS = 1080, 1920, 30
SHOT_S = 3


# ------------------------------------------------------------------------------- videos


def generated(seconds: int, *, b_frames: bool) -> Path:
    """A phone-sized h264 clip: camera moves over rich texture, a moving figure, grain, cuts."""
    kind = "b" if b_frames else "p"
    folder = Path(tempfile.gettempdir()) / "reelscope-bench"
    path = folder / f"phone-{WIDTH}x{HEIGHT}-{seconds}s-{kind}-1.mp4"
    if path.exists():
        return path
    folder.mkdir(exist_ok=True)
    print(f"making {path} ...", file=sys.stderr)
    half = path.with_suffix(".part")
    size = f"{WIDTH}x{HEIGHT}"
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", str(FPS), "-i", "-"]
    encode = ["-c:v", "libx264", "-preset", "medium", "-crf", "26", "-pix_fmt", "yuv420p"]
    encode += [] if b_frames else ["-bf", "0"]
    command = [FFMPEG, "-v", "error", "-y", *source, *encode, "-f", "mp4", str(half)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        for frame in _pictures(seconds * FPS):
            encoder.stdin.write(frame)
        encoder.stdin.close()
    half.replace(path)
    return path


def _pictures(count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(7)
    canvases = [_canvas(rng) for _ in range(3)]
    grain = rng.normal(0, 2.5, (HEIGHT + 64, WIDTH + 64)).astype(np.int16)
    for number in range(count):
        shot, inside = divmod(number, SHOT_S * FPS)
        x = int(200 + 180 * np.sin(inside / 37 + shot))
        y = int(200 + 150 * np.cos(inside / 23 + 2 * shot))
        picture = canvases[shot % 3][y : y + HEIGHT, x : x + WIDTH].copy()
        _figure(picture, canvases[(shot + 1) % 3], inside)
        dx, dy = rng.integers(0, 64, 2)
        luma = picture[..., 0] + grain[dy : dy + HEIGHT, dx : dx + WIDTH]
        chroma = cv2.resize(picture[..., 1:], (WIDTH // 2, HEIGHT // 2))
        planes = [np.clip(luma, 16, 235).astype(np.uint8), chroma[..., 0], chroma[..., 1]]
        yield b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)


def _figure(picture: np.ndarray, texture: np.ndarray, inside: int) -> None:
    top, left = 700, int(250 + 200 * np.sin(inside / 11))
    picture[top : top + 900, left : left + 380] = texture[300:1200, 500:880]
    cv2.putText(
        picture, "make it in 3 steps", (90, 300), cv2.FONT_HERSHEY_DUPLEX, 3, (235, 128, 128), 8
    )


def _canvas(rng: np.random.Generator) -> np.ndarray:
    """Texture with the 1/f spectrum of natural scenes, (h, w, 3) Y Cb Cr."""
    high, wide = HEIGHT + 400, WIDTH + 400
    frequency = np.hypot(np.fft.fftfreq(high)[:, None], np.fft.rfftfreq(wide)[None])
    planes = []
    for spread, mean in ((45, 120), (14, 128), (14, 128)):
        spectrum = np.fft.rfft2(rng.normal(size=(high, wide))) / np.maximum(frequency, 1 / wide)
        plane = np.fft.irfft2(spectrum, s=(high, wide))
        planes.append(plane / plane.std() * spread + mean)
    return np.clip(np.stack(planes, axis=-1), 16, 235).astype(np.uint8)


# -------------------------------------------------------------------------- measurements


def ours(path: Path) -> dict[str, Any]:
    """Run the frames path and say what it gave."""
    source = VideoSource(creator="bench", video_id=path.stem, path=str(path), frames_id="bench")
    media, root, found = Media(), Path(tempfile.gettempdir()), {}
    stages = (
        KeyframesStage(Keyframes(), media=media),
        QualityStage(Quality()),
        SimilarityStage(Similarity()),
    )
    with Clip(source, VideoRecord(source=source), media, frames_root=root, threads=THREADS) as clip:
        for stage in stages:
            (outcome,) = stage.run([clip])
            assert isinstance(outcome, Ok), outcome
            entry = StageRecord(status="ok", key="", engine=stage.engine, value=outcome.value)
            clip.record = clip.record.with_stage(stage.name, entry)
            found[stage.name] = outcome.value.model_dump()
    return {
        "frames": len(found["keyframes"]["frames"]),
        "kept": len(found["similarity"]["kept_s"]),
    }


def theirs(path: Path) -> None:
    """Decode with the ffmpeg program and keep one frame per second."""
    command = [FFMPEG, "-v", "error", "-nostdin", "-threads", str(THREADS), "-i", str(path)]
    subprocess.run([*command, "-vf", "fps=1", "-f", "null", "-"], check=True)


def timed(work: Callable[[Path], object], path: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one run, its child processes included."""
    wall, cpu = time.perf_counter(), _cpu_s()
    work(path)
    return time.perf_counter() - wall, _cpu_s() - cpu


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def compare(path: Path, rounds: int) -> dict[str, Any]:
    """Alternating pairs, who goes first changing each time."""
    found = ours(path)
    theirs(path)
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "ffmpeg": []}
    for number in range(rounds):
        pair = [("ours", ours), ("ffmpeg", theirs)]
        for name, work in pair if number % 2 else pair[::-1]:
            runs[name].append(timed(work, path))
    row: dict[str, Any] = {"file": path.name, "rounds": rounds, **found}
    for place, kind in enumerate(("wall", "cpu")):
        for name, figures in runs.items():
            row[f"{name}_{kind}_s"] = round(statistics.median(f[place] for f in figures), 4)
        row[f"{kind}_ratio"] = round(row[f"ours_{kind}_s"] / row[f"ffmpeg_{kind}_s"], 3)
    return row


def cold(path: Path) -> float:
    """Wall seconds of a fresh interpreter that does one file."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--one", str(path)], check=True)
    return round(time.perf_counter() - started, 3)


def versions() -> dict[str, Any]:
    """What decodes on either side, and how busy the machine was."""
    version = subprocess.run([FFMPEG, "-version"], check=True, capture_output=True, text=True)
    return {
        "pyav_ffmpeg": av.ffmpeg_version_info,
        "ffmpeg": version.stdout.split()[2],
        "threads": THREADS,
        "load_average": round(os.getloadavg()[0], 2),
    }


# -------------------------------------------------------------------------------- report


def videos(*, quick: bool) -> list[Path]:
    """Real files with pictures in them, then the generated ones."""
    real = [path for path in sorted(CORPUS.glob("*")) if path.suffix != ".mp3"]
    if quick:
        return [*real[:4], generated(4, b_frames=True)]
    return [*real, generated(60, b_frames=True), generated(60, b_frames=False)]


def measure(*, quick: bool) -> dict[str, Any]:
    """Every video, and the sums."""
    rows, files = [], videos(quick=quick)
    for path in files:
        small = path.stat().st_size < 3_000_000
        rows.append(compare(path, 3 if quick else 9 if small else 5))
        print(f"{path.name}: {rows[-1]['wall_ratio']}", file=sys.stderr)
    total: dict[str, float] = {}
    for kind in ("wall", "cpu"):
        for name in ("ours", "ffmpeg"):
            total[f"{name}_{kind}_s"] = round(sum(row[f"{name}_{kind}_s"] for row in rows), 4)
        total[f"{kind}_ratio"] = round(total[f"ours_{kind}_s"] / total[f"ffmpeg_{kind}_s"], 3)
    return {
        "goal_ratio": GOAL,
        "versions": versions(),
        "files": rows,
        "total": total,
        "cold_wall_s": {path.name: cold(path) for path in (files[0], files[-1])},
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    names = (
        "ours_wall_s",
        "ffmpeg_wall_s",
        "wall_ratio",
        "ours_cpu_s",
        "ffmpeg_cpu_s",
        "cpu_ratio",
    )
    heads = ["file", *(name.replace("_", " ") for name in names), "frames", "kept"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for row in [*result["files"], {"file": "**total**", **result["total"]}]:
        cells = [row["file"], *(f"{row[name]:.3f}" for name in names)]
        lines.append(
            "| " + " | ".join([*cells, str(row.get("frames", "")), str(row.get("kept", ""))]) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and save if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few files, few rounds")
    parser.add_argument("--save", action="store_true", help="write bench/results/frames.json")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        ours(arguments.one)
        return
    result = measure(quick=arguments.quick)
    print(json.dumps({"machine": machine.facts(), **result}, indent=2))
    print(f"{machine.describe()}; load {result['versions']['load_average']}")
    print(markdown(result))
    if arguments.save:
        machine.save("frames", result)


if __name__ == "__main__":
    main()
