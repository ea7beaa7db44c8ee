"""How well cuts are found: `python bench/shots.py [--save]`.

Needs ../shared/corpus. Its videos are cut into takes and joined anew at random, with what
looks like a cut and is none: flashes, whip pans, zooms, stickers, captions, exposure. So
the truth is known and the pictures are real. Some files have a variable or a low frame
rate. The peers are PySceneDetect's detectors over every frame at full size. A title that
fades in or a bird that hops is as hard here as it is in life.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import machine
import numpy as np
from scenedetect import SceneManager, detectors, open_video

from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import Ok, Shots, VideoRecord, VideoSource
from reelscope.settings import Media
from reelscope.settings import Shots as ShotsSettings
from reelscope.vision.shots import ShotsStage

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "video"
WIDTH, HEIGHT = 180, 320
TICK_HZ = 90_000
NEAR_S = 0.15
TAKES: dict[str, list[tuple[float, float]]] = {
    "av1_video.mkv": [(0, 5)],
    "big_buck_bunny_0_30.webm": [(2, 11.7), (11.9, 15.6), (15.8, 22.9), (23.1, 29.9)],
    "chaplin.mp4": [(0, 9.6)],
    "cockatoo.mp4": [(0, 14)],
    "fire2.mp4": [(0, 2.4)],
    "h265_10bits.mp4": [(0, 1)],
    "nasa_13013.mp4": [(0, 4.9), (5.8, 7.9), (8.1, 12.9)],
    "no_duration.webm": [(0, 4.9)],
    "realshort.mp4": [(0, 1.2)],
    "video_with_failing_audio.mp4": [(0, 11.2)],
}
WORDS = ("wait", "for", "it", "this changed", "my life", "SALE", "follow", "OMG", "no way", "look")

Frames = list[RGB]


@dataclass(frozen=True)
class Change:
    """A transition of an edit: frame of the new shot, and the frames it takes."""

    at: int
    kind: str
    first: int
    last: int


# ------------------------------------------------------------------------ what is edited


def load() -> dict[str, Frames]:
    takes: dict[str, Frames] = {}
    for name, spans in TAKES.items():
        for number, (start_s, end_s) in enumerate(spans):
            frames = [f for t, f in decode(CORPUS / name) if start_s <= t < end_s]
            takes[f"{name}/{number}"] = frames
    return takes


def decode(path: Path) -> Iterator[tuple[float, RGB]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            scale = max(WIDTH / frame.width, HEIGHT / frame.height)
            size = round(frame.width * scale), round(frame.height * scale)
            image = frame.to_ndarray(
                format="rgb24", width=size[0], height=size[1], interpolation="AREA"
            )
            left, top = (size[0] - WIDTH) // 2, (size[1] - HEIGHT) // 2
            yield frame.time or 0.0, image[top : top + HEIGHT, left : left + WIDTH].copy()


def flash(take: Frames, rng: random.Random) -> None:
    start, light = rng.randrange(4, len(take) - 4), rng.randint(120, 230)
    for n in range(start, start + rng.choice([1, 1, 2, 3])):
        take[n] = cv2.add(take[n], (light,) * 3)


def whip_pan(take: Frames, rng: random.Random) -> None:
    start, speed, moved = rng.randrange(2, len(take) - 8), rng.randint(8, 30), 0
    for n in range(start, len(take)):
        moved += speed if n < start + 8 else 0
        wide = np.concatenate([take[n], take[n][:, ::-1]], axis=1)
        image = np.ascontiguousarray(np.roll(wide, -moved, axis=1)[:, :WIDTH])
        take[n] = cv2.blur(image, (speed, 1)) if n < start + 8 else image


def handheld(take: Frames, rng: random.Random) -> None:
    phase = rng.random() * 6
    for n, image in enumerate(take):
        x, y = 8 * np.sin(n * 0.35 + phase) - 9, 12 * np.sin(n * 0.27 + phase) - 16
        move = np.array([[1.1, 0, x], [0, 1.1, y]], np.float32)
        take[n] = cv2.warpAffine(image, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def exposure(take: Frames, rng: random.Random) -> None:
    start, gain = rng.randrange(len(take)), rng.choice([0.6, 1.5])
    for n in range(start, len(take)):
        take[n] = cv2.convertScaleAbs(take[n], alpha=1 + min(1, (n - start) / 6) * (gain - 1))


def zoom(take: Frames, rng: random.Random) -> None:
    start = rng.randrange(len(take) - 4)
    for n in range(start, len(take)):
        z = 1 + min(1.0, (n - start) / 6) * 0.6
        move = np.array([[z, 0, WIDTH / 2 * (1 - z)], [0, z, HEIGHT / 2 * (1 - z)]], np.float32)
        take[n] = cv2.warpAffine(take[n], move, (WIDTH, HEIGHT))


def flicker(take: Frames, rng: random.Random) -> None:
    for n, image in enumerate(take):
        if rng.random() < 0.3:
            take[n] = cv2.convertScaleAbs(image, alpha=rng.uniform(0.75, 1.3))


def sticker(take: Frames, rng: random.Random) -> None:
    x, y, colour = rng.randint(0, 60), rng.randint(0, 150), [rng.randint(0, 255) for _ in range(3)]
    for n in range(rng.randrange(2, len(take) - 2), len(take)):
        cv2.rectangle(take[n], (x, y), (x + 110, y + 130), colour, -1)


EFFECTS: list[Callable[[Frames, random.Random], None]] = [
    flash, flash, whip_pan, whip_pan, handheld, handheld, exposure, zoom, flicker, sticker,
]  # fmt: skip


def captions(frames: Frames, rng: random.Random) -> None:
    y, colour, n = rng.randint(60, 300), rng.choice([(255, 255, 255), (255, 230, 0)]), 0
    while n < len(frames):
        words, end = " ".join(rng.choices(WORDS, k=rng.randint(1, 3))), n + rng.randint(4, 25)
        for image in frames[n:end]:
            for ink, weight in (((0, 0, 0), 5), (colour, 1)):
                cv2.putText(image, words, (8, y), cv2.FONT_HERSHEY_DUPLEX, 0.6, ink, weight)
        n = end


# ------------------------------------------------------------------------------- an edit


def edit(takes: dict[str, Frames], rng: random.Random, fps: int) -> tuple[Frames, list[Change]]:
    frames: Frames = []
    changes: list[Change] = []
    before = ""
    while len(frames) < 10 * fps:
        name = rng.choice([name for name in takes if name.split("/")[0] != before])
        longest = rng.choice([rng.uniform(0.4, 1), rng.uniform(1, 3), rng.uniform(2, 5)])
        start = rng.randint(0, max(0, len(takes[name]) - 20))
        take = [image.copy() for image in takes[name][start : start + int(longest * fps)]]
        if len(take) < 12:
            continue
        if rng.random() < 0.65:
            rng.choice(EFFECTS)(take, rng)
        if frames:
            changes.append(join(frames, take, changes[-1].last if changes else 0, rng))
        else:
            frames += take
        before = name.split("/")[0]
    if rng.random() < 0.6:
        frames = [image.copy() for image in frames]
        captions(frames, rng)
    return frames, changes


def join(frames: Frames, take: Frames, since: int, rng: random.Random) -> Change:
    """Append a take to the edit."""
    how, room = rng.random(), min(len(frames) - since, len(take)) - 4
    if how < 0.15 and room > 5:
        return fade(frames, take, min(rng.randint(5, 15), room), rng.randint(1, 6))
    if how < 0.22 and room > 6:
        return dissolve(frames, take, min(rng.randint(6, 15), room))
    if how < 0.27:
        take[:2] = [cv2.add(image, (150.0,) * 3) for image in take[:2]]
    frames += take
    start = len(frames) - len(take)
    return Change(start, "cut", start, start)


def fade(frames: Frames, take: Frames, length: int, black: int) -> Change:
    for n in range(length):
        frames[-1 - n] = cv2.convertScaleAbs(frames[-1 - n], alpha=n / length)
        take[n] = cv2.convertScaleAbs(take[n], alpha=n / length)
    frames += [np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(black)]
    start = len(frames)
    frames += take
    return Change(start, "fade", start - black - length, start + length)


def dissolve(frames: Frames, take: Frames, length: int) -> Change:
    start = len(frames)
    for n in range(length):
        share = (n + 1) / (length + 1)
        old = frames[start - length + n]
        frames[start - length + n] = cv2.addWeighted(old, 1 - share, take[n], share, 0)
    frames += take[length:]
    return Change(start - length // 2, "dissolve", start - length, start)


def write(path: Path, frames: Frames, times_s: list[float], fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "27", "preset": "veryfast"}
        stream.codec_context.time_base = Fraction(1, TICK_HZ)
        for image, time_s in zip(frames, times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time_s * TICK_HZ), Fraction(1, TICK_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make(folder: Path, count: int, seed: int) -> list[tuple[Path, list[tuple[str, float, float]]]]:
    """Edits on disk, and for each (kind, earliest, latest second) of its transitions."""
    takes, made = load(), []
    for number in range(count):
        rng = random.Random(seed + number)
        fps = rng.choice([24, 25, 30, 30, 30])
        frames, changes = edit(takes, rng, fps)
        rate = rng.choice(["constant", "constant", "variable", "half"])
        kept = [n for n in range(len(frames)) if rate != "variable" or rng.random() < 0.75]
        kept = kept[::2] if rate == "half" else kept
        path = folder / f"{number:03}.mp4"
        write(path, [frames[n] for n in kept], [n / fps for n in kept], fps)
        spans = [(c.kind, c.first / fps - NEAR_S, c.last / fps + NEAR_S) for c in changes]
        made.append((path, spans))
    return made


# ------------------------------------------------------------------------ who finds what


def ours(path: Path) -> list[float]:
    source = VideoSource(creator="c", video_id="v", path=str(path), frames_id="v")
    record = VideoRecord(source=source)
    with Clip(source, record, Media(), frames_root=path.parent) as clip:
        (outcome,) = ShotsStage(ShotsSettings()).run([clip])
    assert isinstance(outcome, Ok) and isinstance(outcome.value, Shots)
    return [cut.time_s for cut in outcome.value.cuts]


def peer(*make_detectors: Callable[[], detectors.ContentDetector]) -> Callable[[Path], list[float]]:
    def find(path: Path) -> list[float]:
        manager = SceneManager()
        for make_detector in make_detectors:
            manager.add_detector(make_detector())
        manager.detect_scenes(open_video(str(path), backend="pyav"))
        return [start.seconds for start, _ in manager.get_scene_list()[1:]]

    return find


FINDERS: dict[str, Callable[[Path], list[float]]] = {
    "reelscope": ours,
    "adaptive": peer(detectors.AdaptiveDetector),
    "adaptive, shots from 0.3 s": peer(lambda: detectors.AdaptiveDetector(min_scene_len=0.3)),
    "content, shots from 0.3 s": peer(lambda: detectors.ContentDetector(min_scene_len=0.3)),
    "adaptive and threshold, 0.3 s": peer(
        lambda: detectors.AdaptiveDetector(min_scene_len=0.3),
        lambda: detectors.ThresholdDetector(min_scene_len=0.3),
    ),
}


def score(
    found: list[float], spans: list[tuple[str, float, float]]
) -> tuple[Counter[str], Counter[str], int]:
    """Transitions found and missed by kind, and how many others were found."""
    hits: Counter[str] = Counter()
    misses: Counter[str] = Counter()
    left = sorted(found)
    for kind, first_s, last_s in spans:
        match = next((t for t in left if first_s <= t <= last_s), None)
        (misses if match is None else hits)[kind] += 1
        left = [t for t in left if t != match]
    return hits, misses, len(left)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--save", action="store_true")
    wanted = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder), wanted.videos, wanted.seed)
        for name, find in FINDERS.items():
            started = time.perf_counter()
            scores = [score(find(path), spans) for path, spans in made]
            seconds = time.perf_counter() - started
            hits = sum((s[0] for s in scores), Counter())
            misses = sum((s[1] for s in scores), Counter())
            false = sum(s[2] for s in scores)
            precision = hits.total() / max(hits.total() + false, 1)
            recall = hits.total() / (hits.total() + misses.total())
            results[name] = {
                "f1": round(2 * precision * recall / (precision + recall), 3),
                "precision": round(precision, 3),
                "recall": round(recall, 3),
                **{
                    f"{kind}s": f"{hits[kind]}/{hits[kind] + misses[kind]}"
                    for kind in misses | hits
                },
                "seconds": round(seconds, 1),
            }
            print(f"{name:30}", results[name])
    print(machine.describe())
    if wanted.save:
        machine.save("shots", results)


if __name__ == "__main__":
    main()
