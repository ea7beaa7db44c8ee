"""Opening a media file, and only that file; its packets; and decoders that may refuse some."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias, cast

import av
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.frame import Frame as AVFrame
from av.packet import Packet as AVPacket
from av.stream import Stream
from av.video.stream import VideoStream

from reelscope.errors import UnreadableMedia
from reelscope.media.mp4 import refuse_false_tables

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
OPEN_TIMEOUT_S = 60.0
MAX_READ_ERRORS = 16
_HEAD_BYTES = 64


class Faults:
    """What went wrong in a stream: which packets are bad, and the first sentence on it.

    Args:
        known: ticks of the packets that the container marks as damaged.
    """

    def __init__(self, known: Iterable[int] = ()) -> None:
        self.bad = set(known)
        self.first: str | None = None
        self._nameless = -(1 << 63)

    def note(self, problem: Exception | str, *, tick: int | None = None) -> None:
        """Add a packet; one that is known already counts once."""
        if tick is None:
            self._nameless -= 1
            tick = self._nameless
        self.bad.add(tick)
        if self.first is None:
            self.first = problem if isinstance(problem, str) else describe(problem)


def never() -> None:
    """A time check that never raises."""


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
            options={"max_pixels": str(MAX_PIXELS)},
            metadata_errors="replace",
            timeout=OPEN_TIMEOUT_S,
        )
    except FFmpegError as error:
        raise UnreadableMedia(_why_not(path, error)) from error
    try:
        yield container
    finally:
        container.close()


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(f"the file cannot be opened ({reason})") from error
    if not stat.S_ISREG(facts.st_mode):
        raise UnreadableMedia("this is not a regular file")
    if facts.st_size == 0:
        raise UnreadableMedia("the file is empty")
    refuse_false_tables(path)


def _why_not(path: Path, error: FFmpegError) -> str:
    if not isinstance(error, av.error.InvalidDataError):
        return describe(error)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[4:8] == b"ftyp":
        return "an MP4 file without its table of contents, probably cut short"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not a media file"
    return "not a media file that can be decoded"


def describe(error: Exception) -> str:
    """What FFmpeg's error means, in words."""
    if isinstance(error, av.error.InvalidDataError):
        return "data that cannot be decoded"
    if isinstance(error, av.error.ArgumentError):
        return "not a kind of media file that is read here (a playlist, a picture, a script?)"
    if isinstance(error, av.error.ExitError):
        return f"reading it took longer than {OPEN_TIMEOUT_S:.0f} s"
    reason = getattr(error, "strerror", None) or str(error)
    return f"it cannot be read ({reason})"


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
        check_time()
        try:
            for packet in container.demux(chosen):
                check_time()
                if packet.size:
                    yield packet
        except FFmpegError as error:
            faults.note(f"the file breaks off: {describe(error)}")
        except IndexError:  # PyAV's end of demux(), if a damaged file brought up new streams
            return
        else:
            return


def decode(context: CodecContext, packet: Packet | None, faults: Faults) -> list[AVFrame]:
    """Frames that this packet (None: the end) lets out; a refused packet is counted."""
    try:
        return cast("list[AVFrame]", context.decode(packet))  # type: ignore[attr-defined]
    except av.error.EOFError:
        return []
    except FFmpegError:
        faults.note("the decoder refuses a packet", tick=packet.pts if packet else None)
        return []


def drain(context: CodecContext) -> None:
    """Leave no frame in the decoder's threads.

    A context that is thrown away while its threads work can hang the process
    (https://github.com/PyAV-Org/PyAV/issues/1849).
    """
    if context.is_open:
        decode(context, None, Faults())
