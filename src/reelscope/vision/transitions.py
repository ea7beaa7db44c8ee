"""How one shot becomes the next: hard cuts, fades through black, dissolves.

Each finder sees every frame once, in time order, and holds no more than two seconds of
tiny pictures; `found` grows as it becomes sure. How the thresholds were found and how
this compares with plain PySceneDetect: docs/adr/005-scenedetect.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from reelscope.media.images import RGB
from reelscope.records import Cut
from reelscope.settings import Shots as ShotsSettings
from reelscope.vision.quality import luma

Small: TypeAlias = npt.NDArray[np.uint8]
"""Tiny picture in Y'CrCb, (h, w, 3), uint8, its sides whole numbers of blocks."""

SHORT_SIDE_PX, LONG_SIDE_PX = 24, 96
"""Of tiny pictures."""
BLOCK_PX = 4

CONFIRM_S = 0.2
"""Flashes are shorter than this."""
CONFIRM_FRAMES = 6
"""At most so many frames are compared on each side."""
MIN_SPREAD = 0.4
"""Share of the picture that must have changed, whatever the neighbours do."""
BLOCK_CHANGED = 20.0
"""Mean absolute difference (luma + both chromas, 0-255 each) of a block that has changed."""
LONG_GAP_S = 0.5
"""Frames further apart than this (slide shows) say nothing of each other's motion ..."""
LONG_GAP_CONTENT = 27.0
"""... so the fixed threshold decides: the default of PySceneDetect's ContentDetector."""
ANY_RATE = 25.0
"""The detector wants a frame rate; it is fed frame numbers, and no time is read from it."""

FADE_REACH_S = 1.0
"""On both sides of the black there has to be a picture no further away than this."""
RAMP_S, LONGEST_RAMP_S = 0.2, 0.4
ABRUPT = 0.6
"""A side of the black is a cut if one step makes this share of the way within RAMP_S."""
LIT_PERCENTILE = 80.0
"""Of luma: it stands for the picture, and lets a caption stay bright over the black."""

DISSOLVE_S = (0.3, 0.5, 0.8)
"""Lengths of the stretches that are tried."""
DISSOLVE_FRAMES = 5
"""At least so many, or hardly anything is known of the way."""
NEAR_BLACK_S = 0.5
"""No dissolve lies closer to black than this."""
MIN_CHANGE = 20.0
"""Mean absolute luma difference of the two ends of a dissolve."""
MAX_BEND = 0.25
"""How far the frames between may lie from the straight line, as a share of that change."""
DISSOLVE_SPREAD = 0.6
"""Share of the picture that must have changed: a title that appears leaves the rest."""
MAX_CORRELATION = 0.5
"""Of the two ends: a light that is dimmed or an exposure that adapts keeps the structure."""
MIN_CONTRAST = 8.0
"""Standard deviation of luma of both ends: a blank picture correlates with nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """A frame in the forms that the finders need.

    Attributes:
        image: uint8 (h, w, 3) RGB.
        gray: its luma, uint8 (h, w).
        light: how bright it is, 0-255.
        small: see `Small`.
    """

    time_s: float
    image: RGB
    gray: npt.NDArray[np.uint8]
    light: float
    small: Small

    @classmethod
    def at(cls, time_s: float, image: RGB) -> Look:
        """The frame at this time, uint8 (h, w, 3) RGB."""
        gray = luma(image)
        light = float(np.percentile(gray, LIT_PERCENTILE))
        return cls(time_s, image, gray, light, small_of(image))


@dataclass(frozen=True, slots=True)
class Transition:
    """A cut, and the stretch of time that it takes."""

    cut: Cut
    from_s: float
    to_s: float

    def overlaps(self, other: Transition) -> bool:
        """Whether both take some of the same time."""
        return self.from_s <= other.to_s and other.from_s <= self.to_s


def small_of(image: RGB) -> Small:
    """The tiny picture of an RGB image, uint8 (h, w, 3)."""
    height, width = image.shape[:2]
    scale = min(SHORT_SIDE_PX / min(width, height), LONG_SIDE_PX / max(width, height))
    size = [max(round(side * scale / BLOCK_PX), 1) * BLOCK_PX for side in (width, height)]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb), np.uint8)


# --------------------------------------------------------------------------------- cuts


@dataclass(slots=True)
class _Jump:
    """A frame that differs from the one before it more than its neighbours do."""

    time_s: float
    ratio: float
    far_apart: bool
    before: list[Small]
    after: list[Small]

    def strength(self, threshold: float) -> float:
        """1 and more: a cut. The share that changed weighs twice: it tells cuts best."""
        changed = _least_spread(self.before, self.after)
        if changed < MIN_SPREAD:
            return 0.0
        return 1.0 if self.far_apart else self.ratio * changed**2 / threshold


class JumpFinder:
    """Finds hard cuts.

    PySceneDetect's AdaptiveDetector says how much more a frame differs from the one before
    than its neighbours do. That alone takes flashes, stickers that pop up and fast
    gestures for cuts. So a jump counts only as far as the picture stays another one:
    every frame of the last fifth of a second before it is compared with every one of the
    first fifth after it, and the pair that differs in the least part of the picture decides.
    """

    def __init__(self, settings: ShotsSettings) -> None:
        self.found: list[Transition] = []
        self._settings = settings
        self._meter = ContentMeter(settings.min_content)
        self._recent: deque[Look] = deque()
        self._open: deque[_Jump] = deque()
        self._seen = 0

    def see(self, look: Look) -> None:
        """The next frame."""
        self._recent.append(look)
        self._seen += 1
        for jump in self._open:
            if look.time_s - jump.time_s <= CONFIRM_S:
                jump.after.append(look.small)
        self._note(self._meter.see(look.image))
        while self._open and look.time_s - self._open[0].time_s > CONFIRM_S:
            self._judge(self._open.popleft())
        self._forget()

    def finish(self) -> None:
        """There are no more frames."""
        self._note(self._meter.finish())
        while self._open:
            self._judge(self._open.popleft())

    def _note(self, measures: Iterable[tuple[int, float, float]]) -> None:
        for index, content, ratio in measures:
            recent = list(self._recent)
            at = len(recent) + index - self._seen
            time_s, before_s = recent[at].time_s, recent[at - 1].time_s
            far_apart = time_s - before_s >= LONG_GAP_S and content >= LONG_GAP_CONTENT
            unusual = far_apart or ratio >= self._settings.threshold
            if unusual and content >= self._settings.min_content:
                before = [x.small for x in recent[:at] if before_s - x.time_s <= CONFIRM_S]
                after = [x.small for x in recent[at:] if x.time_s - time_s <= CONFIRM_S]
                self._open.append(_Jump(time_s, ratio, far_apart, before, after))

    def _judge(self, jump: _Jump) -> None:
        strength = jump.strength(self._settings.threshold)
        if strength >= 1.0:
            cut = Cut(time_s=jump.time_s, kind="cut", score=strength)
            self.found.append(Transition(cut, jump.time_s, jump.time_s))

    def _forget(self) -> None:
        """Hold what a frame that is measured late can still be compared with."""
        held = ContentMeter.WINDOW + 2
        recent = self._recent
        while len(recent) > held and recent[0].time_s < recent[-held].time_s - CONFIRM_S:
            recent.popleft()


class ContentMeter:
    """PySceneDetect's AdaptiveDetector as an instrument: its numbers without its verdict.

    The detector needs two frames on either side. The first and the last are mirrored,
    so that cuts near the ends are measured like all others.
    """

    WINDOW = 2

    def __init__(self, min_content: float) -> None:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector

        self._timecode = FrameTimecode
        self._detector = AdaptiveDetector(window_width=self.WINDOW, min_content_val=min_content)
        self._detector.stats_manager = self  # it only ever calls set_metrics()
        *_, self._ratio = self._detector.get_metrics()
        self._metrics: dict[int, dict[str, float]] = {}
        self._held: deque[RGB] = deque(maxlen=self.WINDOW + 1)
        self._seen = 0
        self._fed = 0

    def set_metrics(self, timecode: Any, metrics: dict[str, float]) -> None:
        """What PySceneDetect's StatsManager is told."""
        self._metrics.setdefault(timecode.frame_num, {}).update(metrics)

    def see(self, image: RGB) -> list[tuple[int, float, float]]:
        """Measures that have become known: (index of the frame, content_val, adaptive ratio)."""
        self._held.append(image)
        self._seen += 1
        if self._seen <= self.WINDOW:
            return []
        return self._feed(image) if self._seen > self.WINDOW + 1 else self._begin(mirrored=0)

    def finish(self) -> list[tuple[int, float, float]]:
        """The rest of the measures."""
        if self._seen <= self.WINDOW:
            return self._begin(mirrored=self.WINDOW) if self._seen else []
        last_but = [*self._held][-2::-1]
        return [measure for image in last_but for measure in self._feed(image)]

    def _begin(self, *, mirrored: int) -> list[tuple[int, float, float]]:
        held = list(self._held)
        order = np.pad(np.arange(len(held)), (self.WINDOW, mirrored), mode="reflect")
        return [measure for at in order for measure in self._feed(held[at])]

    def _feed(self, image: RGB) -> list[tuple[int, float, float]]:
        code = self._timecode(self._fed, ANY_RATE)
        self._detector.process_frame(code, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        target = self._fed - self.WINDOW
        self._fed += 1
        known = self._metrics.pop(target, {})
        index = target - self.WINDOW
        if self._ratio not in known or not 1 <= index < self._seen:
            return []
        return [(index, known["content_val"], known[self._ratio])]


def _least_spread(before: Sequence[Small], after: Sequence[Small]) -> float:
    """Share of the blocks that differ in that pair, one of each side, which differs least."""
    return min(_spread(a, b) for a in _thinned(before) for b in _thinned(after))


def _spread(a: Small, b: Small) -> float:
    change = cv2.absdiff(a, b).sum(axis=2)
    height, width = (side // BLOCK_PX for side in change.shape)
    blocks = change.reshape(height, BLOCK_PX, width, BLOCK_PX).mean(axis=(1, 3))
    return float((blocks > BLOCK_CHANGED).mean())


def _thinned(pictures: Sequence[Small]) -> list[Small]:
    """At most CONFIRM_FRAMES of them, the first and the last among them."""
    count = min(len(pictures), CONFIRM_FRAMES)
    return [pictures[round(at)] for at in np.linspace(0, len(pictures) - 1, count)]


# -------------------------------------------------------------------------------- fades


class FadeFinder:
    """Finds ways through black of which at least one side is gradual.

    The new shot begins with the first frame that is not black any more. Black at the
    beginning or the end of the video leads from nowhere or to nowhere and is no fade.
    """

    def __init__(self, threshold: float) -> None:
        self.found: list[Transition] = []
        self._threshold = threshold
        self._before: deque[tuple[float, float]] = deque()
        self._black: list[tuple[float, float]] = []
        self._after: list[tuple[float, float]] = []

    def see(self, look: Look) -> None:
        """The next frame."""
        light = (look.time_s, look.light)
        if look.light < self._threshold:
            self._settle()
            self._black = [*self._black[:1], light]
        elif self._black:
            self._after.append(light)
            if look.time_s - self._after[0][0] >= FADE_REACH_S:
                self._settle()
        else:
            self._before.append(light)
            while self._before[0][0] < look.time_s - FADE_REACH_S:
                self._before.popleft()

    def finish(self) -> None:
        """There are no more frames."""
        self._settle()

    def _settle(self) -> None:
        """Decide on the black that lies behind, if a picture has followed it."""
        if not self._after:
            return
        if self._before:
            way_in = [self._black[0], *reversed(self._before)]
            way_out = [self._black[-1], *self._after]
            peak = min(max(light for _, light in way) for way in (way_in, way_out))
            strength = peak / (2 * self._threshold)
            if strength >= 1.0 and (_is_gradual(way_in) or _is_gradual(way_out)):
                cut = Cut(time_s=self._after[0][0], kind="fade", score=strength)
                self.found.append(Transition(cut, _ramp_end_s(way_in), _ramp_end_s(way_out)))
        self._before, self._black, self._after = deque(self._after), [], []


def _ramp_end_s(way: Sequence[tuple[float, float]]) -> float:
    """Where the light has stopped to grow on the way from black; see `_is_gradual`."""
    end_s, light = way[0]
    for time_s, brighter in way[1:]:
        if brighter <= light or abs(time_s - way[1][0]) > LONGEST_RAMP_S:
            break
        end_s, light = time_s, brighter
    return end_s


def _is_gradual(way: Sequence[tuple[float, float]]) -> bool:
    """Whether the light comes or goes in steps.

    Args:
        way: (time_s, light) of frames that lead away from black, which is the first.
    """
    (_, black), (start_s, first), *_ = way
    peak = max(light for time_s, light in way[1:] if abs(time_s - start_s) <= RAMP_S)
    return first - black < ABRUPT * (peak - black)


# ---------------------------------------------------------------------------- dissolves


class DissolveFinder:
    """Finds one picture melting into another.

    In a dissolve every frame is a mixture of its two ends, and the mixture changes
    evenly: the frames between lie on a straight line (the idea of Yu, Bozdagi and
    Harrington, "Feature-based hierarchical video segmentation", 1997). Motion bends it.
    The new shot begins in the middle. On the way to black or from it a picture mixes
    with nothing: that is no dissolve.
    """

    def __init__(self, black: float) -> None:
        self.found: list[Transition] = []
        self._black = black
        self._black_s = -NEAR_BLACK_S
        self._recent: deque[Look] = deque()
        self._best: Transition | None = None

    def see(self, look: Look) -> None:
        """The next frame."""
        if look.light < self._black:
            self._black_s = look.time_s
            if self._best and self._best.to_s > look.time_s - NEAR_BLACK_S:
                self._best = None
        self._recent.append(look)
        while self._recent[0].time_s < look.time_s - DISSOLVE_S[-1] - 1e-6:
            self._recent.popleft()
        for length_s in DISSOLVE_S:
            hit = _dissolve([x for x in self._recent if x.time_s >= look.time_s - length_s - 1e-6])
            if hit and hit.from_s < self._black_s + NEAR_BLACK_S:
                continue
            if hit and self._best and hit.from_s > self._best.to_s:
                self.finish()
            if hit and (self._best is None or hit.cut.score > self._best.cut.score):
                self._best = hit

    def finish(self) -> None:
        """There are no more frames, or none that belong to the dissolve at hand."""
        if self._best:
            self.found.append(self._best)
        self._best = None


def _dissolve(looks: Sequence[Look]) -> Transition | None:
    """These frames as a dissolve from the first to the last, if they are one."""
    start, end = looks[0], looks[-1]
    length_s = end.time_s - start.time_s
    if len(looks) < DISSOLVE_FRAMES or length_s < 0.8 * DISSOLVE_S[0]:
        return None
    a, b = start.small[..., 0].astype(np.float32), end.small[..., 0].astype(np.float32)
    change = float(np.abs(b - a).mean())
    if change < MIN_CHANGE or min(a.std(), b.std()) < MIN_CONTRAST:
        return None
    between = looks[len(looks) // 4 : -1 : len(looks) // 4]
    shares = [(look.time_s - start.time_s) / length_s for look in between]
    bend = max(
        float(np.abs(look.small[..., 0] - (a + (b - a) * share)).mean()) / change
        for look, share in zip(between, shares, strict=True)
    )
    correlation = float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std()))
    changed = _spread(start.small, end.small)
    if bend > MAX_BEND or correlation > MAX_CORRELATION or changed < DISSOLVE_SPREAD:
        return None
    middle = min(looks, key=lambda x: abs(x.time_s - start.time_s - length_s / 2))
    score = min(MAX_BEND / max(bend, 1e-6), 10.0)
    cut = Cut(time_s=middle.time_s, kind="dissolve", score=score)
    return Transition(cut, start.time_s, end.time_s)
