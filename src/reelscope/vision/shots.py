"""Where does one shot end and the next begin? Stage `shots`.

The frames pass once, as tiny pictures. On the way `transitions.py` finds cuts, fades and
dissolves, and this file measures the hook. Memory does not grow with the video's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise

import cv2
import numpy as np

from reelscope.errors import UnreadableMedia
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import Cut, Events, Hook, Lane, Ok, Outcome, Shot, Shots, Voice
from reelscope.settings import Shots as ShotsSettings
from reelscope.vision.quality import colourfulness
from reelscope.vision.transitions import (
    DissolveFinder,
    FadeFinder,
    JumpFinder,
    Look,
    Transition,
)

MOTION_STEP_S = 0.1
"""Motion is measured between frames at least so far apart, whatever the frame rate."""


class ShotsStage:
    """Puts cuts, shots and the hook of a video into its record."""

    name = "shots"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ("voice", "events")
    lane: Lane = "cpu"
    batch_size = 1

    def __init__(self, settings: ShotsSettings) -> None:
        self.settings = settings

    @property
    def engine(self) -> str:
        """PySceneDetect and its version."""
        return f"scenedetect {version('scenedetect')}"

    def open(self) -> None:
        """Nothing is loaded."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with at least one shot; Skipped without video.

        Raises:
            UnreadableMedia: not one picture could be decoded.
        """
        return [self._watch(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to let go of."""

    def _watch(self, clip: Clip) -> Outcome:
        if skipped := clip.missing_video():
            return skipped
        seen = watch(_in_time(clip), self.settings)
        if seen is None:
            raise UnreadableMedia(f"{clip.path.name}: no picture could be decoded")
        duration_s = max(clip.info.duration_s or 0.0, seen.last_s)
        cuts = seen.cuts(duration_s)
        edges_s = [0.0, *(cut.time_s for cut in cuts), duration_s]
        shots = tuple(Shot(start_s=start, end_s=end) for start, end in pairwise(edges_s))
        return Ok(
            Shots(
                cuts=cuts,
                shots=shots,
                cuts_per_minute=60.0 * len(cuts) / duration_s if duration_s else 0.0,
                mean_shot_s=duration_s / len(shots),
                hook=seen.hook(cuts, duration_s, clip.value(Voice), clip.value(Events)),
            )
        )


def _in_time(clip: Clip) -> Iterator[tuple[float, RGB]]:
    for time_s, image in clip.thumbnails():
        clip.check_time()
        yield time_s, image


# ---------------------------------------------------------------------- the whole video


def watch(frames: Iterable[tuple[float, RGB]], settings: ShotsSettings) -> Watcher | None:
    """Look at every frame once.

    Args:
        frames: (time_s, uint8 (h, w, 3) RGB) in time order, all of one size; tiny ones do.
        settings: thresholds.

    Returns:
        What was seen; None: there was no frame.
    """
    watcher = None
    for time_s, image in frames:
        watcher = watcher or Watcher(settings)
        watcher.see(time_s, image)
    if watcher:
        watcher.finish()
    return watcher


class Watcher:
    """Everything that is asked of the passing frames."""

    def __init__(self, settings: ShotsSettings) -> None:
        self.settings = settings
        self.first_s: float | None = None
        self.last_s = 0.0
        self.opening = Opening()
        # In this order they are believed where they find the same.
        black = settings.fade_luma
        self.finders = (FadeFinder(black), JumpFinder(settings), DissolveFinder(black))

    def see(self, time_s: float, image: RGB) -> None:
        """The next frame, uint8 (h, w, 3) RGB."""
        self.first_s = time_s if self.first_s is None else self.first_s
        self.last_s = time_s
        look = Look.at(time_s, image)
        for finder in self.finders:
            finder.see(look)
        if not self.opening.frames or time_s < self.settings.hook_s:
            self.opening.see(look)

    def finish(self) -> None:
        """There are no more frames."""
        for finder in self.finders:
            finder.finish()

    def cuts(self, duration_s: float) -> tuple[Cut, ...]:
        """What was found, in order; no shot is shorter than `settings.min_shot_s`.

        Of two cuts that are too close the first counts: a flash often lies on a cut, and
        then begins with it.
        """
        shortest_s = self.settings.min_shot_s
        edges_s = [self.first_s or 0.0, duration_s]
        kept: list[Transition] = []
        for new in (transition for finder in self.finders for transition in finder.found):
            times_s = [*edges_s, *(old.cut.time_s for old in kept)]
            apart = all(abs(new.cut.time_s - time_s) >= shortest_s for time_s in times_s)
            if apart and not any(new.overlaps(old) for old in kept):
                kept.append(new)
        return tuple(sorted((new.cut for new in kept), key=lambda cut: cut.time_s))

    def hook(
        self, cuts: Sequence[Cut], duration_s: float, voice: Voice | None, events: Events | None
    ) -> Hook:
        """The first seconds in numbers."""
        end_s = min(self.settings.hook_s, duration_s)
        looks = np.mean(self.opening.frames, axis=0)
        speech = [(s.start_s, s.end_s) for s in voice.segments] if voice else []
        music = (
            [(e.start_s, e.end_s) for e in events.timeline if "music" in e.kind] if events else []
        )
        return Hook(
            end_s=end_s,
            cuts=sum(cut.time_s < end_s for cut in cuts),
            first_cut_s=cuts[0].time_s if cuts else None,
            motion=self.opening.motion(cuts),
            luma=float(looks[0]),
            contrast=float(looks[1]),
            colourfulness=float(looks[2]),
            speech_share=_covered(speech, end_s) if voice else None,
            speech_starts_s=speech[0][0] if speech else None,
            music_share=_covered(music, end_s) if events else None,
        )


def _covered(spans_s: Iterable[tuple[float, float]], end_s: float) -> float | None:
    """Share of the time from 0 to `end_s` that lies in the spans, which do not overlap."""
    if end_s <= 0:
        return None
    return min(1.0, sum(max(0.0, min(b, end_s) - max(a, 0.0)) for a, b in spans_s) / end_s)


# --------------------------------------------------------------------------------- hook


@dataclass(slots=True)
class Opening:
    """Measures of the first seconds.

    Attributes:
        frames: luma, contrast and colourfulness of each.
        steps: (from_s, to_s, mean absolute luma difference).
    """

    frames: list[tuple[float, float, float]] = field(default_factory=list)
    steps: list[tuple[float, float, float]] = field(default_factory=list)
    _last: Look | None = None

    def see(self, look: Look) -> None:
        """The next frame."""
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(look.gray))
        self.frames.append((mean, deviation, colourfulness(look.image)))
        if self._last is None:
            self._last = look
        elif look.time_s - self._last.time_s >= MOTION_STEP_S - 1e-6:  # times are rounded
            change = cv2.norm(self._last.gray, look.gray, cv2.NORM_L1) / look.gray.size
            self.steps.append((self._last.time_s, look.time_s, change))
            self._last = look

    def motion(self, cuts: Sequence[Cut]) -> float | None:
        """Luma change per second, without the changes that are cuts; None: one frame."""
        steps = [s for s in self.steps if not any(s[0] < cut.time_s <= s[1] for cut in cuts)]
        length_s = sum(to_s - from_s for from_s, to_s, _ in steps)
        return sum(change for *_, change in steps) / length_s if length_s else None
