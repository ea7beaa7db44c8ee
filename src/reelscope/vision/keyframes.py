"""Which moments of a video are looked at, and their small pictures for the stages after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from reelscope.errors import MediaChanged
from reelscope.media.clip import Clip
from reelscope.media.frames import Frame
from reelscope.media.images import RGB
from reelscope.records import FrameKind, Keyframe, Keyframes, Lane, Ok, Outcome, Value
from reelscope.settings import Keyframes as KeyframesSettings
from reelscope.settings import Media, Section

V = TypeVar("V", bound=Value)


class MomentsSettings(Section):
    """What decides which frames there are and how large they are looked at."""

    keyframes: KeyframesSettings
    sample_fps: float
    short_side: int
    max_frames: int


def wanted_kinds(settings: KeyframesSettings) -> frozenset[FrameKind]:
    """The kinds of frames that the settings ask for."""
    asked: dict[FrameKind, bool] = {
        "iframe": settings.iframes,
        "sampled": settings.sampled,
        "highlight": settings.highlights,
    }
    return frozenset(kind for kind, wanted in asked.items() if wanted)


def list_keyframes(frames: Sequence[Frame], kinds: frozenset[FrameKind]) -> Keyframes:
    """The frames that are of one of these kinds, in time order.

    A video of one colour or one frame has few, but `frames` itself is never empty.
    """
    height, width = frames[0].image.shape[:2]
    return Keyframes(
        frames=tuple(
            Keyframe(time_s=frame.time_s, kinds=tuple(sorted(frame.kinds & kinds)))
            for frame in frames
            if frame.kinds & kinds
        ),
        width=width,
        height=height,
    )


def value_of(clip: Clip, kind: type[V]) -> V:
    """The value of a stage that this one needs; the runner has made sure that it is there."""
    value = clip.value(kind)
    if value is None:
        raise LookupError(f"stage {kind.stage} has no value for {clip.source.video_id}")
    return value


def images_at(clip: Clip, times_s: Sequence[float]) -> list[RGB]:
    """The small pictures of frames that an earlier stage named by their times.

    Returns:
        uint8 (h, w, 3) RGB, one per time.

    Raises:
        MediaChanged: the video has no frame at one of these times (any more).
    """
    by_time = {round(frame.time_s, 6): frame.image for frame in clip.frames}
    missing = [time_s for time_s in times_s if time_s not in by_time]
    if missing:
        raise MediaChanged(f"{clip.path.name}: there is no frame at {missing[0]:.6f} s any more")
    return [by_time[time_s] for time_s in times_s]


class KeyframesStage:
    """Stage `keyframes`. It waits for `voice`: highlights are the middles of speech."""

    name = "keyframes"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ("voice",)
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: KeyframesSettings, *, media: Media) -> None:
        self.settings = MomentsSettings(
            keyframes=settings,
            sample_fps=media.sample_fps,
            short_side=media.short_side,
            max_frames=media.max_frames,
        )

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Keyframes` per clip."""
        return [self._one(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, clip: Clip) -> Outcome:
        if skip := clip.missing_video():
            return skip
        return Ok(list_keyframes(clip.frames, wanted_kinds(self.settings.keyframes)))
