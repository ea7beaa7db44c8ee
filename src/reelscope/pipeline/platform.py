"""Stage `platform`: what the source says of the video, carried through."""

from __future__ import annotations

from collections.abc import Sequence

from reelscope.media.clip import Clip
from reelscope.records import Lane, Ok, Outcome, Platform, Skipped, VideoSource
from reelscope.settings import Section


class PlatformStage:
    """Puts the source's own words about the video into the record."""

    name = "platform"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    lane: Lane = "cpu"
    batch_size = 1
    engine = "source"
    settings = Section()

    def source_key(self, source: VideoSource) -> str:
        """Runs again when the source says something else."""
        return source.platform.model_dump_json() if source.platform else ""

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with what the source says; Skipped where it says nothing."""
        return [_carry(clip.source.platform) for clip in clips]

    def close(self) -> None:
        """Nothing to let go of."""


def _carry(platform: Platform | None) -> Outcome:
    return Ok(platform) if platform else Skipped("the source says nothing about this video")
