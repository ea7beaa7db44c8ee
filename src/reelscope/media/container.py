"""Opening a media file safely, and what its packets say of it.

Every packet is read once and none is decoded, but for the first picture: that costs
milliseconds and gives exact times where headers only claim.
"""

from __future__ import annotations

import contextlib
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.frame import Frame as AVFrame
from av.packet import Packet as AVPacket
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelscope.errors import UnreadableMedia

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Packet: TypeAlias = "AVPacket[Stream]"

CONTAINERS = (
    "3gp,aa,aac,ac3,ac4,aiff,amr,amrnb,amrwb,amv,ape,apng,asf,asf_o,au,av1,avi,avs2,avs3,bink,"
    "caf,cavsvideo,cdxl,dhav,dirac,dnxhd,dts,dtshd,dv,eac3,ea,evc,film_cpk,flac,flic,flv,gif,gsm,"
    "gxf,h261,h263,h264,hevc,ingenient,ivf,jpegxl_anim,kux,live_flv,lxf,m4v,matroska,webm,mjpeg,"
    "mlp,mov,mp4,m4a,mp2,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mpjpeg,msnwctcp,mtv,mv,mxf,nsv,nut,"
    "nuv,obu,ogg,oma,pva,qcp,qoa,rl2,rm,roq,smk,smjpeg,sox,swf,tak,thp,truehd,tta,ty,vc1,vc1test,"
    "vivo,voc,vqf,vvc,w64,wav,wtv,wv,wve,xa,xmv,xwma,yuv4mpegpipe"
)
"""Demuxers that read one file and nothing else. Playlists and scripts (hls, dash, concat,
image2, sdp, ...) are not among them: their text could name any other file of the machine."""

MAX_SIDE_PX = 16384
MAX_PIXELS = 100_000_000
NO_PTS = np.iinfo(np.int64).min
LONGEST_GAP_S = 3600.0
"""Packets further than this from all others carry a broken timestamp."""

OPEN_TIMEOUT_S = 60.0
MAX_READ_ERRORS = 16
HOPEFUL_PACKETS = 4
DEFAULT_BONUS_PX = 5_000_000
"""What the default flag of a stream is worth, as in the ffmpeg program's automatic choice."""

_SKIP_SAMPLES_BYTES = 4


class Faults:
    """Counts what went wrong while a stream was read, and keeps the first sentence."""

    def __init__(self) -> None:
        self.count = 0
        self.first: str | None = None

    def note(self, error: Exception | str, *, at: str = "") -> None:
        """Count one packet."""
        self.count += 1
        if self.first is None:
            text = error if isinstance(error, str) else describe(error)
            self.first = f"{text}{at}"


@dataclass(frozen=True)
class Orientation:
    """How the stored picture becomes upright: transposed first, then mirrored."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read the display matrix (ISO/IEC 14496-12, 6.2.2), rounded to quarter turns."""
        matrix = frame.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]
        if matrix is None:
            return cls()
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, flip_x=a < 0, flip_y=d < 0)
        return cls(True, flip_x=c < 0, flip_y=b < 0)

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn that makes the picture upright (after mirroring it left to right
        where the matrix mirrors)."""
        if not self.transpose:
            return 180 if self.flip_y else 0
        return 270 if self.flip_y else 90

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The upright picture of a stored one, (h, w, 3)."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


@dataclass(frozen=True, eq=False)
class Track:
    """The packets of a stream, in file order.

    Attributes:
        index: of the stream in the container.
        codec: canonical name, "h264".
        time_base: seconds per tick.
        pts: (n,) int64 ticks, NO_PTS where the packet states none.
        key: (n,) whether the packet is a key frame.
        shown: (n,) whether its frame is presented (not cut off by an edit list, not a
            hidden reference, and not years away from the rest).
        step: ticks from the last packet's start to its end.
        timed: every shown packet has a time; if not, frames are counted at `rate`.
        start_s: time in the stream that is 0 in the video.
        packets: how many, marked corrupt or not.
        corrupt: how many the container marks corrupt.
    """

    index: int
    codec: str
    time_base: Fraction
    pts: Integers
    key: Flags
    shown: Flags
    step: int
    timed: bool
    corrupt: int
    start_s: float = 0.0

    @property
    def packets(self) -> int:
        """Number of packets."""
        return len(self.pts)

    @cached_property
    def order(self) -> Integers:
        """Times of the shown frames in ticks, ascending, each once."""
        return np.unique(self.pts[self.shown])

    @cached_property
    def times_s(self) -> Floats:
        """`order` in seconds of the video, to the microsecond."""
        return np.round(self.seconds(self.order), 6)

    @cached_property
    def key_order(self) -> Integers:
        """As `order`, key frames only."""
        return np.unique(self.pts[self.shown & self.key])

    @property
    def end_s(self) -> float:
        """Where the last frame or sample ends, seconds of the video."""
        return float(self.seconds(self.order[-1:] + self.step)[0])

    def seconds(self, ticks: Integers) -> Floats:
        """Ticks as seconds of the video."""
        base = self.time_base
        return np.asarray(ticks * (base.numerator / base.denominator) - self.start_s, np.float64)

    def at(self, time_s: float) -> int:
        """Ticks of the frame that is shown at a time: the last that began by then."""
        place = int(np.searchsorted(self.times_s, time_s + 1e-6, side="right")) - 1
        return int(self.order[max(place, 0)])


@dataclass(frozen=True, eq=False)
class MediaInfo:
    """What the header and the packets say. Fields as in `records.Probe`.

    `video` and `audio` are the tracks that are used, `orientation` how frames become
    upright, `mirrored` whether that mirrors them, `cut_short` a sentence if the file ends
    before its own table of contents does.
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
    cut_short: str | None = None

    @property
    def has_video(self) -> bool:
        """There is a stream of moving pictures that can be decoded."""
        return self.video is not None

    @property
    def has_audio(self) -> bool:
        """There is a sound stream that can be decoded."""
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


# ------------------------------------------------------------------------------ opening


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file and only that file; it is closed at the end of the block.

    Raises:
        UnreadableMedia: a sentence that says what is wrong with the file.
    """
    _refuse_what_is_no_file(path)
    try:
        container = av.open(
            f"file:{path}",
            container_options={"protocol_whitelist": "file", "format_whitelist": CONTAINERS},
            metadata_errors="replace",
            timeout=OPEN_TIMEOUT_S,
        )
    except FFmpegError as error:
        raise UnreadableMedia(f"{path.name}: {describe(error)}") from error
    try:
        yield container
    finally:
        container.close()


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(f"{path.name}: the file cannot be opened ({reason})") from error
    if not stat.S_ISREG(facts.st_mode):
        raise UnreadableMedia(f"{path.name} is not a regular file")
    if facts.st_size == 0:
        raise UnreadableMedia(f"{path.name}: the file is empty")


def describe(error: Exception) -> str:
    """What FFmpeg's error means, in words."""
    if isinstance(error, av.error.InvalidDataError):
        return "not media data that can be decoded"
    if isinstance(error, av.error.ArgumentError):
        return "not a kind of media file that is read here (a playlist, a picture, a script?)"
    if isinstance(error, av.error.ExitError):
        return f"reading it took longer than {OPEN_TIMEOUT_S:.0f} s"
    reason = getattr(error, "strerror", None) or str(error)
    return f"it cannot be read ({reason})"


# -------------------------------------------------------------------- packets and frames


def read_packets(
    container: InputContainer,
    streams: Iterable[VideoStream | AudioStream],
    *,
    faults: Faults,
    check_time: Callable[[], None],
) -> Iterator[Packet]:
    """Every packet with data, in file order; a damaged place is counted and passed."""
    chosen = list(streams)
    for _ in range(MAX_READ_ERRORS):
        try:
            for number, packet in enumerate(container.demux(chosen)):
                if number % 256 == 0:
                    check_time()
                if packet.size:
                    yield packet
        except FFmpegError as error:
            faults.note(error)
        else:
            return


def decode(context: CodecContext, packet: Packet | None, faults: Faults) -> list[AVFrame]:
    """Frames that this packet (None: the end) lets out; a refused packet is counted."""
    try:
        return cast("list[AVFrame]", context.decode(packet))  # type: ignore[attr-defined]
    except av.error.EOFError:
        return []
    except FFmpegError as error:
        faults.note(error)
        return []


def drain(context: CodecContext) -> None:
    """Leave no frame in the decoder's threads.

    A context that is thrown away while its threads work can hang the process
    (https://github.com/PyAV-Org/PyAV/issues/1849).
    """
    if context.is_open:
        decode(context, None, Faults())


# -------------------------------------------------------------------------------- index


class _Collector:
    """Gathers the packets of one stream."""

    def __init__(self, stream: VideoStream | AudioStream) -> None:
        self.stream = stream
        self.codec = stream.codec_context.codec.canonical_name
        self.pts = array("q")
        self.key = bytearray()
        self.shown = bytearray()
        self.corrupt = 0
        self.last = 0
        self.last_duration = 0
        self.preskip = 0
        self.hopeful: list[Packet] = []

    def add(self, packet: Packet) -> None:
        pts = packet.pts
        if not self.pts and packet.has_sidedata("skip_samples"):
            raw = bytes(packet.get_sidedata("skip_samples"))[:_SKIP_SAMPLES_BYTES]
            self.preskip = int.from_bytes(raw, "little")
        self.pts.append(NO_PTS if pts is None else pts)
        self.key.append(packet.is_keyframe)
        self.shown.append(not packet.is_discard and not self._hidden(packet))
        self.corrupt += packet.is_corrupt
        if pts is not None and pts >= self.last:
            self.last, self.last_duration = pts, packet.duration or 0
        if packet.is_keyframe and len(self.hopeful) < HOPEFUL_PACKETS:
            self.hopeful.append(packet)

    def _hidden(self, packet: Packet) -> bool:
        """VP8 keeps reference pictures that are never shown (RFC 6386, 9.1: show_frame)."""
        return self.codec == "vp8" and not (memoryview(packet)[0] >> 4) & 1

    def track(self, rate: Fraction | None = None) -> Track | None:
        if not self.pts:
            return None
        pts = np.frombuffer(self.pts, np.int64).copy()
        shown = np.frombuffer(self.shown, np.bool_).copy()
        key = np.frombuffer(self.key, np.bool_).copy()
        base = self.stream.time_base or Fraction(1, 90000)
        timed = bool(shown.any()) and bool((pts[shown] != NO_PTS).all())
        if timed:
            shown &= _together(pts, shown, base)
        elif rate:
            shown[:] = True
            pts, base = np.arange(len(pts), dtype=np.int64), 1 / rate
        else:  # sound without times: it plays from 0
            shown[:] = False
        step = self.last_duration if timed else 1
        if not 0 < step * base < LONGEST_GAP_S:
            step = _usual_step(pts[shown])
        return Track(
            self.stream.index, self.codec, base, pts, key, shown, step, timed, self.corrupt
        )


def _together(pts: Integers, shown: Flags, base: Fraction) -> Flags:
    """Which shown packets lie in the largest group without an hour-long gap."""
    known = np.unique(pts[shown])
    breaks = np.flatnonzero(np.diff(known) > LONGEST_GAP_S / base) + 1
    if not len(breaks):
        return shown
    groups = np.split(known, breaks)
    best = max(groups, key=lambda group: np.count_nonzero((pts >= group[0]) & (pts <= group[-1])))
    return cast("Flags", shown & (pts >= best[0]) & (pts <= best[-1]))


def _usual_step(pts: Integers) -> int:
    known = np.unique(pts)
    return int(np.median(np.diff(known))) if len(known) > 1 else 0


def read_info(path: Path, check_time: Callable[[], None] = lambda: None) -> MediaInfo:
    """Read the header and every packet of a file.

    Raises:
        UnreadableMedia: no media file, nothing in it that decodes, or pictures too large.
    """
    faults = Faults()
    with open_media(path) as container:
        video, audio = _best_video(container), _best_audio(container)
        collectors = {s.index: _Collector(s) for s in (video, audio) if s is not None}
        streams = [collector.stream for collector in collectors.values()]
        for packet in read_packets(container, streams, faults=faults, check_time=check_time):
            collectors[packet.stream_index].add(packet)
        return _info(path, container, collectors, faults)


def _best_video(container: InputContainer) -> VideoStream | None:
    """The stream that the ffmpeg program would take: most pixels, default preferred."""
    usable = [
        stream
        for stream in container.streams.video
        if stream.codec_context and not stream.disposition & Disposition.attached_pic
    ]

    def weight(stream: VideoStream) -> int:
        bonus = DEFAULT_BONUS_PX * bool(stream.disposition & Disposition.default)
        return stream.codec_context.width * stream.codec_context.height + bonus

    return max(usable, key=weight, default=None)


def _best_audio(container: InputContainer) -> AudioStream | None:
    usable = [stream for stream in container.streams.audio if stream.codec_context]

    def weight(stream: AudioStream) -> int:
        bonus = DEFAULT_BONUS_PX * bool(stream.disposition & Disposition.default)
        return stream.codec_context.layout.nb_channels + bonus

    return max(usable, key=weight, default=None)


def _info(
    path: Path, container: InputContainer, collectors: dict[int, _Collector], faults: Faults
) -> MediaInfo:
    video = next((c for c in collectors.values() if c.stream.type == "video"), None)
    audio = next((c for c in collectors.values() if c.stream.type == "audio"), None)
    rate = _stated_rate(cast("VideoStream", video.stream)) if video else None
    pictures = video.track(rate or Fraction(25)) if video else None
    sound = audio.track() if audio else None
    pictures, sound = _on_one_clock(pictures, sound, audio)
    if pictures is None and sound is None:
        raise UnreadableMedia(f"{path.name}: there is neither a picture nor sound in it")
    ends = [track.end_s for track in (pictures, sound) if track and len(track.order)]
    info = MediaInfo(
        path=path,
        container=container.format.name,
        size_bytes=path.stat().st_size,
        created_at=_created_at(container),
        video=pictures,
        audio=sound,
        duration_s=round(max(ends), 6) if ends and max(ends) > 0 else None,
        cut_short=faults.first or _cut_short(collectors),
    )
    if audio and sound:
        info = _with_sound(info, audio)
    return _with_pictures(info, video, rate) if video and pictures else info


def _on_one_clock(
    video: Track | None, audio: Track | None, collector: _Collector | None
) -> tuple[Track | None, Track | None]:
    """Both tracks counted from the earliest thing seen or heard."""
    starts: dict[str, float] = {}
    if video and len(video.order):
        starts["video"] = float(video.order[0] * video.time_base)
    if audio and collector and len(audio.order):
        rate = collector.stream.codec_context.sample_rate  # type: ignore[union-attr]
        starts["audio"] = float(audio.order[0] * audio.time_base) + collector.preskip / max(rate, 1)
    if len(starts) == 2 and abs(starts["video"] - starts["audio"]) <= LONGEST_GAP_S:
        starts = dict.fromkeys(starts, min(starts.values()))
    return _started(video, starts.get("video")), _started(audio, starts.get("audio"))


def _started(track: Track | None, start_s: float | None) -> Track | None:
    return replace(track, start_s=start_s) if track and start_s is not None else track


def _stated_rate(stream: VideoStream) -> Fraction | None:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= 1000:
            return rate
    return None


def _with_sound(info: MediaInfo, audio: _Collector) -> MediaInfo:
    context = cast("AudioCodecContext", audio.stream.codec_context)
    return replace(
        info,
        audio_rate_hz=context.sample_rate or None,
        audio_channels=context.layout.nb_channels or None,
    )


def _with_pictures(info: MediaInfo, video: _Collector, rate: Fraction | None) -> MediaInfo:
    context = cast("VideoCodecContext", video.stream.codec_context)
    _refuse_size(info.path, context.width, context.height)
    first = _first_picture(context, video.hopeful)
    width, height = (first.width, first.height) if first else (context.width, context.height)
    _refuse_size(info.path, width, height)
    turned = Orientation.of(first) if first else Orientation()
    if turned.transpose:
        width, height = height, width
    track = cast("Track", info.video)
    return replace(
        info,
        width=width or None,
        height=height or None,
        orientation=turned,
        fps=rate or _measured_rate(track),
        variable_frame_rate=_varies(track) if track.timed else None,
        pixel_format=first.format.name if first else context.pix_fmt,
    )


def _refuse_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise UnreadableMedia(
            f"{path.name}: pictures of {width}x{height} pixels are larger than"
            f" {MAX_SIDE_PX} a side or {MAX_PIXELS // 1_000_000} megapixels"
        )


def _first_picture(context: VideoCodecContext, packets: list[Packet]) -> VideoFrame | None:
    context.thread_type = "NONE"
    for packet in packets:
        ignored = Faults()
        frames = [*decode(context, packet, ignored), *decode(context, None, ignored)]
        context.flush_buffers()
        if frames:
            return cast("VideoFrame", frames[0])
    return None


def _measured_rate(track: Track) -> Fraction | None:
    if len(track.order) < 2:
        return None
    span = int(track.order[-1] - track.order[0]) * track.time_base
    return ((len(track.order) - 1) / span).limit_denominator(1001)


def _varies(track: Track) -> bool:
    """Whether frames are unevenly spaced by more than the container's rounding."""
    steps = np.diff(track.order)
    if len(steps) < 2:
        return False
    usual = float(np.median(steps))
    off = np.abs(steps - usual)
    return bool((off > max(0.1 * usual, 1.0 if usual >= 8 else 0.0)).any())


def _created_at(container: InputContainer) -> str | None:
    stated = container.metadata.get("creation_time", "")
    try:
        datetime.fromisoformat(stated)
    except ValueError:
        return None
    return stated


def _cut_short(collectors: dict[int, _Collector]) -> str | None:
    for collector in collectors.values():
        promised, found = len(collector.stream.index_entries), len(collector.pts)
        if found < promised:
            return (
                f"the file ends early: {found} of {promised} {collector.stream.type} packets"
                " are there"
            )
    return None
