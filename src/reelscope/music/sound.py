"""The sound of a file as one channel: decoded once, resampled once, inside FFmpeg.

FFmpeg's `amovie` source reads, decodes and resamples without Python's lock and without a call
for every frame; it is given the demuxer that has been checked, and no other. Where it fails
(a sound that changes its kind on the way, a damaged file, a name that is not UTF-8), packets
are read and decoded one by one from where it failed; the samples are the same.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.video.stream import VideoStream
from numpy.typing import NDArray

from reelscope.errors import UnreadableMedia
from reelscope.media.container import (
    CONTAINERS,
    MAX_PIXELS,
    Faults,
    decode,
    drain,
    never,
    open_media,
    read_packets,
)

Sound: TypeAlias = NDArray[np.float32]
"""One channel, (n,), full scale -1 to 1."""
Pieces: TypeAlias = Iterator[NDArray[Any]]

LATEST_START_S = 600.0
"""By so much the sound may begin after the picture; a later start is a damaged one."""
LEAST_START_S = 0.001

_LOSSLESS = {
    "flac", "alac", "ape", "wavpack", "tta", "tak", "truehd", "mlp", "shorten", "als", "ralf",
    "wmalossless",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """What samples are wanted.

    Attributes:
        rate_hz: a second.
        kind: FFmpeg's name of the sample format, packed.
        block: samples of a piece; the last is shorter.
        resampling: options of libswresample; its defaults (32 taps, Kaiser window) otherwise.
    """

    rate_hz: int
    kind: str
    block: int
    resampling: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SoundFacts:
    """What the header says of the sound: what the choice of the best copy goes by.

    Attributes:
        codec: FFmpeg's name, "mp3".
        lossless: nothing was left out when it was coded.
        bit_rate_bps: of the sound, else of the whole file.
        rate_hz: samples a second of each channel.
    """

    codec: str
    lossless: bool
    bit_rate_bps: int | None
    rate_hz: int
    channels: int


@dataclass(frozen=True)
class Way:
    """How a file is opened a second time: its demuxer, and whether the fast way may do it.

    Attributes:
        start_s: of the sound after the start of the file, 0 in a file of sound alone.
    """

    facts: SoundFacts
    demuxer: str
    fast: bool
    start_s: float = 0.0


def open_sound(path: Path) -> Way:
    """What the header says of a file's sound.

    Raises:
        UnreadableMedia: it is no media file, or has no sound.
    """
    with open_media(path) as container:
        stream = _stream(path, container)
        context = stream.codec_context
        name = context.codec.canonical_name
        facts = SoundFacts(
            codec=name,
            lossless=name in _LOSSLESS or name.startswith("pcm_"),
            bit_rate_bps=stream.bit_rate or container.bit_rate or None,
            rate_hz=context.sample_rate,
            channels=context.layout.nb_channels,
        )
        pixels = (v.width * v.height for v in _pictures(container))
        fast = _spelt(path) is not None and max(pixels, default=0) <= MAX_PIXELS
        demuxer = container.format.name.split(",")[0]
        return Way(facts, demuxer, fast, _start_s(container, stream))


def _start_s(container: InputContainer, stream: AudioStream) -> float:
    if stream.start_time is None or container.start_time is None or not stream.time_base:
        return 0.0
    start_s = float(stream.start_time * stream.time_base) - container.start_time / 1e6
    return start_s if LEAST_START_S <= start_s <= LATEST_START_S else 0.0


def sound_blocks(
    path: Path, rate_hz: int, *, block_s: float = 30.0, check_time: Callable[[], None] = never
) -> Iterator[Sound]:
    """The sound of a file in pieces; a file of any length is read in bounded memory.

    It starts at time 0 of the file: sound that begins later than the picture is led by
    silence.

    Args:
        path: of a sound or a video.
        rate_hz: of the result.
        block_s: seconds of a piece; the first, if it is silence, and the last are shorter.
        check_time: called for every piece; raises to stop.

    Raises:
        MediaError: it is no media file, has no sound, or nothing of it decodes.
    """
    way = open_sound(path)
    if way.start_s:
        yield np.zeros(round(way.start_s * rate_hz), np.float32)
    form = Form(rate_hz, "flt", max(round(block_s * rate_hz), 1))
    for piece in pieces(path, way, form, check_time=check_time):
        yield np.nan_to_num(piece, nan=0.0, posinf=0.0, neginf=0.0)


def read_sound(
    path: Path,
    rate_hz: int,
    *,
    most_s: float | None = None,
    check_time: Callable[[], None] = never,
) -> Sound:
    """The sound of a file, whole or its first `most_s` seconds.

    Raises:
        MediaError: it is no media file, has no sound, or nothing of it decodes.
    """
    left = None if most_s is None else round(most_s * rate_hz)
    blocks: list[Sound] = []
    for block in sound_blocks(
        path, rate_hz, block_s=min(most_s or 30.0, 30.0), check_time=check_time
    ):
        blocks.append(block if left is None else block[:left])
        if left is not None and (left := left - len(block)) <= 0:
            break
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def pieces(path: Path, way: Way, form: Form, *, check_time: Callable[[], None] = never) -> Pieces:
    """The sound in pieces of at most `form.block` samples, whole files in bounded memory.

    Args:
        path: of the file.
        way: what `open_sound` said of it.
        form: which samples are wanted.
        check_time: called for every piece; raises to stop.

    Raises:
        UnreadableMedia: nothing in it decodes.
    """
    given = 0
    try:
        for piece in _quick(path, way, form) if way.fast else ():
            check_time()
            given += len(piece)
            yield piece
        whole = way.fast and given > 0
    except FFmpegError:
        whole = False
    if whole:
        return
    for piece in _without(_careful(path, form, check_time), given):
        given += len(piece)
        yield piece
    if not given:
        raise UnreadableMedia(f"{path.name}: nothing of its sound can be decoded")


def _quick(path: Path, way: Way, form: Form) -> Pieces:
    graph = Graph()
    graph.threads = 1
    kind = {"sample_rates": str(form.rate_hz), "sample_fmts": form.kind, "channel_layouts": "mono"}
    graph.link_nodes(
        graph.add(
            "amovie",
            filename=_spelt(path) or "",
            format_name=way.demuxer,
            format_opts=f"protocol_whitelist=file:format_whitelist={CONTAINERS}",
            dec_threads="1",
        ),
        graph.add("aresample", **form.resampling),
        graph.add("aformat", **kind),
        graph.add("asetnsamples", n=str(form.block), p="0"),
        graph.add("abuffersink"),
    ).configure()
    with contextlib.suppress(EOFError):
        while True:
            yield cast("AudioFrame", graph.pull()).to_ndarray()[0]


def _careful(path: Path, form: Form, check_time: Callable[[], None]) -> Pieces:
    """The same by one call for every packet and frame."""
    faults = Faults()
    with open_media(path) as container:
        stream = _stream(path, container)
        context, change = stream.codec_context, _Change(form)
        context.thread_type = "NONE"
        try:
            packets = read_packets(container, [stream], faults=faults, check_time=check_time)
            for packet in itertools.chain(packets, [None]):
                for frame in decode(context, packet, faults):
                    yield from change.samples(cast("AudioFrame", frame))
            yield from change.rest()
        finally:
            drain(context)


class _Change:
    """Frames to samples; begins anew where the sound changes its kind."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._kind: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None

    def samples(self, frame: AudioFrame) -> Pieces:
        """What comes out now; it lags behind."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self.rest()
            self._kind = kind
            self._resampler = AudioResampler(
                self._form.kind, "mono", self._form.rate_hz, options=dict(self._form.resampling)
            )
        frame.pts = None
        yield from self._resampled(frame)

    def rest(self) -> Pieces:
        """What is still inside, at the end."""
        yield from self._resampled(None)

    def _resampled(self, frame: AudioFrame | None) -> Pieces:
        if self._resampler is not None:
            with contextlib.suppress(FFmpegError, ValueError):
                for out in self._resampler.resample(frame):
                    yield out.to_ndarray()[0]


def _without(all_pieces: Pieces, given: int) -> Pieces:
    """The pieces after the first `given` samples."""
    for piece in all_pieces:
        left = piece[given:]
        given -= len(piece) - len(left)
        if len(left):
            yield left


def _spelt(path: Path) -> str | None:
    """The file's address for FFmpeg, None if its name is no UTF-8."""
    address = f"file:{path}"
    try:
        address.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return address


def _pictures(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if stream.codec_context]


def _stream(path: Path, container: InputContainer) -> AudioStream:
    stream = container.streams.best("audio")
    if stream is None or not stream.codec_context:
        raise UnreadableMedia(f"{path.name}: there is no sound in it")
    return cast("AudioStream", stream)
