"""What do the chosen frames show, in a sentence each? Stage `caption`.

The sentences come from a model (engines/blip.py) that describes pictures in general: they
say "a woman holding a bottle", not whose bottle it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Protocol

from reelscope.errors import OutputError
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.media.pictures import read_jpeg
from reelscope.records import CaptionedFrame, Captions, Choice, ChosenFrame, Lane, Ok, Outcome
from reelscope.settings import Caption
from reelscope.vision.choose import PREFIX
from reelscope.vision.keyframes import value_of
from reelscope.vision.stills import read_still, still_name


class Captioner(Protocol):
    """What describes pictures."""

    @property
    def engine(self) -> str:
        """Name and revision."""
        ...

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry."""
        ...

    def open(self) -> None:
        """Load it; raises EngineUnavailable."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def caption(
        self, pictures: Sequence[Callable[[], RGB]], *, beams: int, max_tokens: int
    ) -> list[str]:
        """What gives uint8 (h, w, 3) RGB each -> one text each."""
        ...


def clean(text: str) -> str:
    """The text in one line, with single blanks and nothing that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class CaptionStage:
    """Stage `caption`: frames of several videos share each forward pass.

    Args:
        settings: how it searches for words.
        captioner: what describes pictures.
        batch_size: videos in a call.
    """

    name = "caption"
    version = 1
    needs: tuple[str, ...] = ("choose",)
    uses: tuple[str, ...] = ()
    lane: Lane = "gpu"

    def __init__(self, settings: Caption, captioner: Captioner, *, batch_size: int = 8) -> None:
        self.settings = settings
        self.captioner = captioner
        self.batch_size = batch_size

    @property
    def engine(self) -> str:
        """The captioner's."""
        return self.captioner.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """The captioner's."""
        return self.captioner.weights

    def open(self) -> None:
        """Load the captioner."""
        self.captioner.open()

    def close(self) -> None:
        """Let go of the captioner."""
        self.captioner.close()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Captions` per clip."""
        skips = [clip.missing_video() for clip in clips]
        frames = [
            () if skip else _in_order(value_of(clip, Choice).frames)
            for clip, skip in zip(clips, skips, strict=True)
        ]
        pictures = [
            partial(_picture, clip, frame)
            for clip, chosen in zip(clips, frames, strict=True)
            for frame in chosen
        ]
        texts = self.captioner.caption(
            pictures, beams=self.settings.beams, max_tokens=self.settings.max_tokens
        )
        ends = accumulate((len(chosen) for chosen in frames), initial=0)
        return [
            skip or Ok(_captions(chosen, texts[start:end]))
            for skip, chosen, (start, end) in zip(skips, frames, pairwise(ends), strict=True)
        ]


def _in_order(frames: Sequence[ChosenFrame]) -> tuple[ChosenFrame, ...]:
    return tuple(sorted(frames, key=lambda frame: frame.time_s))


def _picture(clip: Clip, frame: ChosenFrame) -> RGB:
    """The compressed picture, or the still where somebody has removed or replaced that."""
    clip.check_time()
    path = clip.frames_dir / (PREFIX + still_name(frame.time_s))
    try:
        return read_jpeg(path)
    except OutputError:
        return read_still(clip, frame.time_s)


def _captions(frames: Sequence[ChosenFrame], texts: Sequence[str]) -> Captions:
    return Captions(
        frames=tuple(
            CaptionedFrame(time_s=frame.time_s, file=frame.file, text=said)
            for frame, text in zip(frames, texts, strict=True)
            if (said := clean(text))
        )
    )
