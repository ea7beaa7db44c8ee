"""A video in flight: views of its media that are decoded once and shared by the stages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from reelscope.errors import StageTimeout, UnreadableMedia
from reelscope.media.audio import Audio
from reelscope.media.frames import (
    Frame,
    Picture,
    Plan,
    Scan,
    full_frames,
    scan,
    stream_thumbnails,
)
from reelscope.media.info import MediaInfo, read_info
from reelscope.media.sampling import choose_moments
from reelscope.media.tracks import Track
from reelscope.records import Skipped, Value, VideoRecord, VideoSource, Voice
from reelscope.settings import Media

V = TypeVar("V", bound=Value)

_MB = 1_000_000


class Clip:
    """Views of one video's media. Released by `close`, never written to disk.

    Args:
        source: where the video is; it must have a path.
        record: what is known of it so far; the runner assigns newer ones.
        settings: of the media section.
        frames_root: folder that holds the videos' frames folders.
        records_root: folder that holds the creators' folders with their records; stages
            that leave files of their own write them beside the record.
        threads: of the decoder.

    Attributes:
        deadline: `time.monotonic()` value after which `check_time` raises.
    """

    def __init__(
        self,
        source: VideoSource,
        record: VideoRecord,
        settings: Media,
        *,
        frames_root: Path,
        records_root: Path | None = None,
        threads: int = 1,
    ) -> None:
        self.source = source
        self.record = record
        self.settings = settings
        self.threads = max(threads, 1)
        self.deadline: float | None = None
        self._frames_root = frames_root
        self._records_root = records_root or frames_root.parent / "analysis_results"
        # one lock per view, so that sound can be heard while pictures are decoded
        self._info_lock, self._audio_lock, self._scan_lock = (threading.Lock() for _ in range(3))
        self._info: MediaInfo | None = None
        self._audio: Audio | None = None
        self._scan: tuple[Plan, Scan] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything that was decoded."""
        self._scan = None
        self._audio = None

    @property
    def path(self) -> Path:
        """The file."""
        if not self.source.path:
            why = self.source.missing or "the video has no file on this machine"
            raise UnreadableMedia(why)
        return Path(self.source.path)

    @property
    def frames_dir(self) -> Path:
        """Where this video's pictures go; made by who writes the first."""
        return self._frames_root / self.source.frames_id

    @property
    def folder(self) -> Path:
        """Where the video's record stands; made by who writes the first file."""
        return self._records_root / self.source.creator / self.source.video_id

    def value(self, kind: type[V]) -> V | None:
        """What the stage of this value found, if it ended well."""
        return self.record.value(kind)

    def check_time(self) -> None:
        """Raise when the time limit of the running stage has passed.

        Raises:
            StageTimeout: the limit has passed.
        """
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise StageTimeout("the time limit for one video has passed")

    # ---------------------------------------------------------------------------- facts

    @property
    def info(self) -> MediaInfo:
        """Header and packet facts.

        Raises:
            UnreadableMedia: no media file, or nothing in it that decodes.
        """
        with self._info_lock:
            if self._info is None:
                self._info = read_info(self.path, self.check_time)
            return self._info

    def missing_video(self) -> Skipped | None:
        """The outcome of a stage that needs pictures, if there are none."""
        return None if self.info.has_video else Skipped("there is no video stream")

    def missing_audio(self) -> Skipped | None:
        """The outcome of a stage that needs sound, if there is none."""
        return None if self.info.has_audio else Skipped("there is no audio stream")

    # ---------------------------------------------------------------------------- sound

    @property
    def audio(self) -> Audio:
        """The sound.

        Raises:
            UnreadableMedia: there is none, or its header makes no sense.
        """
        if not self.info.has_audio:
            raise UnreadableMedia("there is no audio stream")
        with self._audio_lock:
            audio = self._audio
            if audio is None:
                share = self.settings.cache_mb * _MB // 4
                audio = Audio(self.info, cache_bytes=share, check_time=self.check_time)
                self._audio = audio
            return audio

    # -------------------------------------------------------------------------- pictures

    @property
    def frames(self) -> Sequence[Frame]:
        """Key frames, sampled frames and highlights, in time order.

        Raises:
            UnreadableMedia: there is no video, or none of it decodes.
        """
        found = self.scan()
        if not found.frames:
            reason = found.first_error or "its decoder gives nothing"
            raise UnreadableMedia(f"no picture could be decoded ({reason})")
        return found.frames

    def scan(self) -> Scan:
        """The one pass over the pictures; again only if the highlights have changed."""
        with self._scan_lock:
            plan, latest = self._plan(), self._scan
            if latest is None or latest[0] != plan:
                self._scan = None
                latest = self._scan = plan, scan(self.info, plan, self.check_time)
            return latest[1]

    def thumbnails(self) -> Iterator[Picture]:
        """(time_s, tiny RGB image) of every decoded frame, in time order."""
        found = self.scan()
        if found.thumbnails is not None:
            return iter(found.thumbnails)
        return stream_thumbnails(self.info, self._plan(), self.check_time)

    def full(self, times_s: Sequence[float]) -> Iterator[Picture]:
        """(time_s, full-size upright RGB) of the frames shown at these times, in time order."""
        return full_frames(
            self.info,
            self._video.at(times_s).tolist(),
            kept=self.scan().kept,
            threads=self.threads,
            check_time=self.check_time,
        )

    @property
    def _video(self) -> Track:
        if self.info.video is None:
            raise UnreadableMedia("there is no video stream")
        return self.info.video

    def _plan(self) -> Plan:
        video, cache = self._video, self.settings.cache_mb * _MB
        voice = self.value(Voice)
        middles = [(s.start_s + s.end_s) / 2 for s in voice.segments] if voice else []
        return Plan(
            moments=choose_moments(
                video,
                sample_fps=self.settings.sample_fps,
                highlights_s=middles,
                max_frames=self.settings.max_frames,
            ),
            short_side=self.settings.short_side,
            everything=self.settings.integrity == "full",
            threads=self.threads,
            thumbnail_bytes=cache // 4,
            full_bytes=cache // 2,
        )
