"""The sound of a file as Chromaprint hears it: one channel of 16 bits at 11,025 Hz.

The steps are those of the fpcalc program (`src/audio/ffmpeg_audio_reader.h` and
`ffmpeg_audio_processor_swresample.h` of https://github.com/acoustid/chromaprint): FFmpeg's
own choice of the sound stream, 16 bits before anything else, libswresample in the mode that
older versions had. With the same FFmpeg the samples are the same bit by bit.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

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
from reelscope.music.chromaprint_items import RATE_HZ

Pieces: TypeAlias = Iterator[NDArray[np.int16]]

BLOCK = 1 << 16
"""Samples of a piece, 5.9 s."""

_RESAMPLING = {
    "resampler": "swr",
    "filter_size": "16",
    "phase_shift": "8",
    "linear_interp": "1",
    "tsf": "s16p",
    "cutoff": "0.8",
}
_LOSSLESS = {
    "flac", "alac", "ape", "wavpack", "tta", "tak", "truehd", "mlp", "shorten", "als", "ralf",
    "wmalossless",
}  # fmt: skip


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
    """How a file is opened a second time: its demuxer, and whether the fast way may do it."""

    facts: SoundFacts
    demuxer: str
    fast: bool


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
        return Way(facts, container.format.name.split(",")[0], fast)


def pieces(path: Path, way: Way, *, check_time: Callable[[], None] = never) -> Pieces:
    """The sound in pieces of at most `BLOCK` samples, whole files in bounded memory.

    All of the work is done inside FFmpeg, without Python's lock. Where that fails (a sound
    that changes its kind on the way, a damaged file, a name that is not UTF-8) packets are
    read and decoded one by one from where it failed; the samples are the same.

    Args:
        path: of the file.
        way: what `open_sound` said of it.
        check_time: called for every piece; raises to stop.

    Raises:
        UnreadableMedia: nothing in it decodes.
    """
    given = 0
    try:
        for piece in _quick(path, way) if way.fast else ():
            check_time()
            given += len(piece)
            yield piece
        whole = way.fast and given > 0
    except FFmpegError:
        whole = False
    if whole:
        return
    for piece in _without(_careful(path, check_time), given):
        given += len(piece)
        yield piece
    if not given:
        raise UnreadableMedia(f"{path.name}: nothing of its sound can be decoded")


def _quick(path: Path, way: Way) -> Pieces:
    """FFmpeg's `amovie` source with the demuxer that has been checked, and no other."""
    graph = Graph()
    graph.threads = 1
    graph.link_nodes(
        graph.add(
            "amovie",
            filename=_spelt(path) or "",
            format_name=way.demuxer,
            format_opts=f"protocol_whitelist=file:format_whitelist={CONTAINERS}",
            dec_threads="1",
        ),
        graph.add("aresample", **_RESAMPLING),
        graph.add("aformat", sample_rates=str(RATE_HZ), sample_fmts="s16", channel_layouts="mono"),
        graph.add("asetnsamples", n=str(BLOCK), p="0"),
        graph.add("abuffersink"),
    ).configure()
    with contextlib.suppress(EOFError):
        while True:
            yield cast("AudioFrame", graph.pull()).to_ndarray()[0]


def _careful(path: Path, check_time: Callable[[], None]) -> Pieces:
    """The same by one call for every packet and frame."""
    faults = Faults()
    with open_media(path) as container:
        stream = _stream(path, container)
        context, change = stream.codec_context, _Change()
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

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None

    def samples(self, frame: AudioFrame) -> Pieces:
        """What comes out now; it lags behind."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self.rest()
            self._kind = kind
            self._resampler = AudioResampler("s16", "mono", RATE_HZ, options=_RESAMPLING)
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
