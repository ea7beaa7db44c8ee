"""How fast the neural stages go together, beside the script that a user would write.

    python bench/gpu.py [--videos 16] [--seconds 15] [--naive-videos 4] [--device auto]
                        [--whisper large-v3-turbo] [--detector s] [--clip ViT-B-32]
                        [--models FOLDER] [--save NAME]

Synthetic 1080x1920 videos with speech over music go through separation, transcription,
sounds, detection, embeddings, choice and captions, decoding included; then the same models
are called one video and one frame at a time (bench/naive.py) in the same run. Weights that
are not in the folder are made at random in their real size.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from machine import describe, save
from naive import Naive
from real_size import write_missing

from reelscope.engines.device import CPU, Devices
from reelscope.engines.weights import WeightStore
from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.plan import plan_batch
from reelscope.pipeline.provision import wanted_by
from reelscope.pipeline.stage import ReadsWeights
from reelscope.records import Choice, VideoSource
from reelscope.settings import Settings, load
from reelscope.testing import media

STAGES = ("separate", "transcribe", "sounds", "detect", "embed", "choose", "caption")
GB = 1e9


@dataclass
class Watch:
    """Samples the device ten times a second: busy share and memory."""

    device: str
    busy: list[float] = field(default_factory=list)
    peak_gb: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Watches while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._sample, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @property
    def busy_share(self) -> float:
        return sum(self.busy) / len(self.busy) if self.busy else 0.0

    def _sample(self, stop: threading.Event) -> None:
        process = psutil.Process()
        process.cpu_percent()
        while not stop.wait(0.1):
            if self.device == CPU:
                self.busy.append(process.cpu_percent() / 100 / (os.cpu_count() or 1))
                self.peak_gb = max(self.peak_gb, process.memory_info().rss / GB)
            else:
                busy, used_gb = _gpu(int(self.device.partition(":")[2] or 0))
                self.busy.append(busy)
                self.peak_gb = max(self.peak_gb, used_gb)


def _gpu(index: int) -> tuple[float, float]:
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
    return pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100, used / GB


def write_videos(folder: Path, count: int, seconds: float) -> list[Path]:
    """Videos of four scenes; somebody speaks all the time, over music half of the time."""
    paths = []
    for number in range(count):
        path = folder / f"{number:04}.mp4"
        speech, _ = media.speech_like(seconds, rate_hz=44100, seed=number)
        music = media.music_like(seconds, rate_hz=44100, seed=number)[: len(speech)]
        music[len(music) // 2 :] = 0
        scenes = [
            media.Scene(seconds / 4, colour=(60 * n, 250 - 60 * n, 40 * (number % 6)))
            for n in range(4)
        ]
        sound = media.mix(speech[: len(music)], 0.5 * music)
        media.write_video(path, scenes, size=(1080, 1920), fps=30, sound=sound)
        paths.append(path)
    return paths


def settings_for(options: argparse.Namespace, work: Path) -> Settings:
    return load(
        None,
        environ={},
        flags={
            "paths.data": work / "data",
            "paths.logs": work / "logs",
            "paths.models": options.models or work / "models",
            "models.offline": True,
            "models.device": options.device,
            "models.whisper.engine": "faster-whisper",
            "models.whisper.size": options.whisper,
            "models.detector.size": options.detector,
            "models.embedder.model": options.clip,
            "separate.when": "always",
            "processing.batch_size": options.batch_size,
        },
    )


def run_ours(paths: list[Path], settings: Settings, device: str) -> dict[str, object]:
    """The graph's neural stages and what they need; the models are loaded before the clock."""
    sources = [
        VideoSource(creator="bench", video_id=path.stem, path=str(path), frames_id=path.stem)
        for path in paths
    ]
    batch = plan_batch(sources, settings, batch_id="gpu", default_id="gpu", only=STAGES)
    began = time.perf_counter()
    with Devices(device).hold():
        for stage in batch.graph:
            if isinstance(stage, ReadsWeights) and stage.name in batch.selected:
                stage.open()
    loading_s = time.perf_counter() - began
    watch = Watch(device)
    began = time.perf_counter()
    with watch.running():
        summary = BatchRun(batch).run()
    wall_s = time.perf_counter() - began
    failures = [group.model_dump() for group in (*summary.failures, *summary.remedies)]
    if failures:
        raise SystemExit(f"the run was not clean: {failures}")
    return {
        "videos_per_minute": 60 * len(paths) / wall_s,
        "seconds_per_video": {
            name: stage.seconds / len(paths) for name, stage in summary.stages.items()
        },
        "busy_share": watch.busy_share,
        "peak_gb": watch.peak_gb,
        "loading_s": loading_s,
        "wall_s": wall_s,
        "captions": sum(_captions(settings, path) for path in paths),
    }


def _captions(settings: Settings, path: Path) -> int:
    from reelscope.pipeline.checkpoint import RECORD_NAME, read_record

    folder = settings.paths.data / "analysis_results" / "bench" / path.stem
    record = read_record(folder / RECORD_NAME)
    choice = record.stages["choose"].value if record else None
    return len(choice.frames) if isinstance(choice, Choice) else 0


def run_naive(
    paths: list[Path], settings: Settings, device: str, *, captions: int
) -> dict[str, object]:
    models = settings.models
    names = {
        "transcribe": f"faster-whisper-{models.whisper.size}",
        "separate": "htdemucs",
        "sounds": "ast-audioset",
        "detect": f"yolo-world-{models.detector.size}",
        "embed": f"clip-{models.embedder.model}",
        "caption": "blip-base",
    }
    began = time.perf_counter()
    naive = Naive(settings, names, device)
    loading_s = time.perf_counter() - began
    watch = Watch(device)
    began = time.perf_counter()
    with watch.running():
        for path in paths:
            naive.run(path, captions=captions)
    wall_s = time.perf_counter() - began
    return {
        "videos_per_minute": 60 * len(paths) / wall_s,
        "seconds_per_video": {name: s / len(paths) for name, s in naive.seconds.items()},
        "busy_share": watch.busy_share,
        "peak_gb": watch.peak_gb,
        "loading_s": loading_s,
        "wall_s": wall_s,
    }


def show(name: str, figures: dict[str, object]) -> None:
    print(
        f"{name:6} {figures['videos_per_minute']:8.2f} videos/min, busy "
        f"{figures['busy_share']:.0%}, peak {figures['peak_gb']:.1f} GB, "
        f"models loaded in {figures['loading_s']:.0f} s"
    )
    for stage, seconds in figures["seconds_per_video"].items():  # type: ignore[attr-defined]
        if seconds >= 0.005:
            print(f"         {stage:12} {seconds:8.2f} s a video")


def device_name(device: str) -> str:
    if device == CPU:
        return "processor"
    import torch

    return str(torch.cuda.get_device_name(device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--naive-videos", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--whisper", default="small")
    parser.add_argument("--detector", default="s")
    parser.add_argument("--clip", default="ViT-B-32")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--save", help="name of the file in bench/results")
    options = parser.parse_args()
    device = Devices(options.device).names[0]
    print(describe())
    print(f"models on {device} ({device_name(device)})")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        settings = settings_for(options, work)
        graph = plan_batch([], settings, batch_id=None, default_id="x").graph
        names, store = list(wanted_by(graph)), WeightStore(settings.paths.models)
        write_missing(settings.paths.models, names)
        made = [name for name in names if store.manifest(name) is None]
        print(f"random weights: {', '.join(made) or 'none'}")
        paths = write_videos(work, options.videos, options.seconds)
        ours = run_ours(paths, settings, device)
        show("ours", ours)
        captions = round(ours["captions"] / len(paths))  # type: ignore[operator]
        naive = run_naive(paths[: options.naive_videos], settings, device, captions=captions)
        show("naive", naive)
    ratio = ours["videos_per_minute"] / naive["videos_per_minute"]  # type: ignore[operator]
    print(f"ratio  {ratio:8.2f}")
    if options.save:
        asked = {k: str(v) for k, v in vars(options).items() if k not in {"models", "save"}}
        figures = {"ours": ours, "naive": naive, "ratio": ratio, "random_weights": made}
        save(options.save, {"device": device_name(device), "options": asked, **figures})


if __name__ == "__main__":
    main()
