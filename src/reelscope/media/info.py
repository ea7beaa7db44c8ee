"""What the header and the packets of a file say. Nothing is decoded but one picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import cast

from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelscope.errors import UnreadableMedia
from reelscope.media.container import (
    MAX_PIXELS,
    MAX_SIDE_PX,
    Faults,
    Packet,
    decode,
    never,
    open_media,
    read_packets,
)
from reelscope.media.orientation import Orientation
from reelscope.media.tracks import (
    LONGEST_GAP_S,
    NO_PTS,
    Collector,
    Track,
    is_variable,
    measured_rate,
)

DEFAULT_BONUS = 5_000_000
"""What the default flag of a stream is worth, in pixels or channels: the ffmpeg program's
automatic choice of streams uses the same number."""

NOTHING = "there are neither pictures nor sound to decode in it"

FULL_INDEX = ("mov", "avi")
"""Containers whose index lists every packet, so that missing ones were cut off."""
HONEST_HEADERS = ("matroska", "flv")
"""Containers whose stated duration is exact, so that a shorter file was cut."""


@dataclass(frozen=True, eq=False)
class MediaInfo:
    """What the header and the packets say. Fields as in `records.Probe`, and:

    Attributes:
        video: the track of moving pictures that is used.
        audio: the track of sound that is used.
        speakers: name of each sound channel, "FL" is front left.
        orientation: how frames become upright.
        cut_short: a sentence, if the file ends before its own table of contents does.
    """

    path: Path
    container: str
    size_bytes: int
    created_at: str | None
    video: Track | None
    audio: Track | None
    duration_s: float | None
    width: int | None = None
    height: int | None = None
    orientation: Orientation = field(default_factory=Orientation)
    fps: Fraction | None = None
    variable_frame_rate: bool | None = None
    pixel_format: str | None = None
    audio_rate_hz: int | None = None
    audio_channels: int | None = None
    speakers: tuple[str, ...] = ()
    cut_short: str | None = None

    @property
    def has_video(self) -> bool:
        """There is a stream of moving pictures; a cover picture is none."""
        return self.video is not None

    @property
    def has_audio(self) -> bool:
        """There is a stream of sound."""
        return self.audio is not None

    @property
    def rotation_deg(self) -> int | None:
        """Clockwise turn that makes it upright: 0, 90, 180 or 270."""
        return self.orientation.rotation_deg if self.video else None

    @property
    def video_codec(self) -> str | None:
        """Canonical name."""
        return self.video.codec if self.video else None

    @property
    def audio_codec(self) -> str | None:
        """Canonical name."""
        return self.audio.codec if self.audio else None

    @property
    def bit_rate_bps(self) -> int | None:
        """Of the whole file."""
        return round(self.size_bytes * 8 / self.duration_s) if self.duration_s else None


def read_info(path: Path, check_time: Callable[[], None] = never) -> MediaInfo:
    """Read the header and every packet of a file.

    Raises:
        UnreadableMedia: no media file, nothing in it that decodes, or pictures too large.
    """
    faults = Faults()
    with open_media(path) as container:
        chosen = [_best_video(container), _best_audio(container)]
        collectors = {s.index: Collector(s) for s in chosen if s is not None}
        if not collectors:
            raise UnreadableMedia(NOTHING)
        streams = [collector.stream for collector in collectors.values()]
        for packet in read_packets(container, streams, faults=faults, check_time=check_time):
            collectors[packet.stream_index].add(packet)
        kinds = {str(collector.stream.type): collector for collector in collectors.values()}
        info = _info(path, container, kinds.get("video"), kinds.get("audio"))
        return replace(info, cut_short=faults.first or _cut_short(container, info, kinds))


def _best_video(container: InputContainer) -> VideoStream | None:
    """The stream that the ffmpeg program would take: most pixels, default preferred."""

    def weight(stream: VideoStream) -> int:
        default = bool(stream.disposition & Disposition.default)
        return stream.codec_context.width * stream.codec_context.height + default * DEFAULT_BONUS

    cover = Disposition.attached_pic
    moving = [s for s in container.streams.video if not s.disposition & cover]
    return max((s for s in moving if s.codec_context), key=weight, default=None)


def _best_audio(container: InputContainer) -> AudioStream | None:
    def weight(stream: AudioStream) -> int:
        default = bool(stream.disposition & Disposition.default)
        return stream.codec_context.layout.nb_channels + default * DEFAULT_BONUS

    return max((s for s in container.streams.audio if s.codec_context), key=weight, default=None)


def _info(
    path: Path, container: InputContainer, video: Collector | None, audio: Collector | None
) -> MediaInfo:
    pictures, sound = _on_one_clock(
        video.track() if video else None, audio.track() if audio else None, audio
    )
    if pictures is None and sound is None:
        raise UnreadableMedia(NOTHING)
    end_s = max(track.end_s for track in (pictures, sound) if track)
    info = MediaInfo(
        path=path,
        container=container.format.name,
        size_bytes=path.stat().st_size,
        created_at=_created_at(container),
        video=pictures,
        audio=sound,
        duration_s=end_s or None,
    )
    if audio and sound:
        info = _with_sound(info, audio)
    return _with_pictures(info, pictures, video) if video and pictures else info


def _on_one_clock(
    video: Track | None, audio: Track | None, collector: Collector | None
) -> tuple[Track | None, Track | None]:
    """Both tracks counted from the first thing that is seen or heard.

    Tracks that claim to start hours apart have nothing in common: each starts at its own 0.
    """
    starts: dict[str, float] = {}
    if video and len(video.order):
        starts["video"] = float(int(video.order[0]) * video.time_base)
    if audio and collector and len(audio.order):
        rate = cast("AudioCodecContext", collector.stream.codec_context).sample_rate
        starts["audio"] = float(int(audio.order[0]) * audio.time_base)
        starts["audio"] += _unheard_s(audio, collector.preskip / max(rate, 1))
    if len(starts) == 2 and abs(starts["video"] - starts["audio"]) <= LONGEST_GAP_S:
        starts = dict.fromkeys(starts, min(starts.values()))
    return _started(video, starts.get("video")), _started(audio, starts.get("audio"))


def _unheard_s(audio: Track, preskip_s: float) -> float:
    """How much of the encoder's priming lies in packets that are shown, seconds.

    MP4's edit list leaves whole packets of it out (AAC: all of it); the others say so in the
    first packet alone, and the decoder drops its samples.
    """
    first = int(audio.pts[0])
    left_out = 0 if first == NO_PTS else max(int(audio.order[0]) - first, 0)
    return max(preskip_s - float(left_out * audio.time_base), 0.0)


def _started(track: Track | None, start_s: float | None) -> Track | None:
    return replace(track, start_s=start_s) if track and start_s is not None else track


def _with_sound(info: MediaInfo, audio: Collector) -> MediaInfo:
    context = cast("AudioCodecContext", audio.stream.codec_context)
    return replace(
        info,
        audio_rate_hz=context.sample_rate or None,
        audio_channels=context.layout.nb_channels or None,
        speakers=tuple(channel.name for channel in context.layout.channels),
    )


def _with_pictures(info: MediaInfo, track: Track, video: Collector) -> MediaInfo:
    context = cast("VideoCodecContext", video.stream.codec_context)
    _refuse_size(context.width, context.height)
    first = _first_picture(context, video.hopeful)
    width, height = (first.width, first.height) if first else (context.width, context.height)
    _refuse_size(width, height)
    turned = Orientation.of(first) if first else Orientation()
    if turned.transpose:
        width, height = height, width
    return replace(
        info,
        width=width or None,
        height=height or None,
        orientation=turned,
        fps=video.rate or measured_rate(track),
        variable_frame_rate=is_variable(track) if track.timed else None,
        pixel_format=first.format.name if first else context.pix_fmt,
    )


def _refuse_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise UnreadableMedia(
            f"pictures of {width}x{height} pixels are more than"
            f" {MAX_SIDE_PX} a side or {MAX_PIXELS // 1_000_000} megapixels"
        )


def _first_picture(context: VideoCodecContext, packets: list[Packet]) -> VideoFrame | None:
    """One decoded key frame: it alone knows the display matrix and the true size."""
    context.thread_type = "NONE"
    for packet in packets:
        ignored = Faults()
        frames = [*decode(context, packet, ignored), *decode(context, None, ignored)]
        context.flush_buffers()
        if frames:
            return cast("VideoFrame", frames[0])
    return None


def _created_at(container: InputContainer) -> str | None:
    stated = container.metadata.get("creation_time", "")
    try:
        datetime.fromisoformat(stated)
    except ValueError:
        return None
    return stated


def _cut_short(
    container: InputContainer, info: MediaInfo, kinds: dict[str, Collector]
) -> str | None:
    for kind, collector in kinds.items():
        promised, found = len(collector.stream.index_entries), len(collector)
        if found < promised and info.container.startswith(FULL_INDEX):
            return f"the file ends early: {found} of {promised} {kind} packets are there"
    stated_s, found_s = (container.duration or 0) / 1e6, info.duration_s or 0.0
    if info.container.startswith(HONEST_HEADERS) and stated_s > 1.1 * found_s + 2:
        return f"the file ends at {found_s:.1f} s, its header says {stated_s:.1f} s"
    return None
