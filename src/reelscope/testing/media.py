"""Synthetic video files with known truth, written by the codecs that PyAV carries.

    truth = media.write_video(path, [media.Scene(2.0, text="FIRST"), media.Scene(1.5)])
    truth.cuts_s            # (2.0,)
    truth.texts[0].box      # where "FIRST" is written

One call writes one file: moving pictures (`pictures.py`), sound (`speech.py`, `sounds.py`)
and the habits of real files: rotation, variable frame rate, late sound, long GOPs, 10 bits.
The same call writes the same bytes with the same versions of PyAV, OpenCV and numpy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np
from av.packet import Packet
from av.video.frame import PictureType
from numpy.typing import NDArray

from reelscope.testing.pictures import (
    RGB,
    Box,
    Caption,
    Colour,
    Painter,
    Scene,
    Size,
    caption_box,
)
from reelscope.testing.sounds import Samples, mix, music_like, noise, sequence, silence, tone
from reelscope.testing.speech import Span, SpeechTruth, speech_like

__all__ = [
    "RGB", "Box", "Caption", "Colour", "Painter", "Samples", "Scene", "Size", "Sound",
    "Span", "SpeechTruth", "Truth", "Words", "frame_times", "mix", "music_like", "noise",
    "pictures", "sequence", "silence", "speech_like", "tone", "write_sound", "write_video",
]  # fmt: skip

VFR_TICK_HZ = 90_000
"""Time base of files with a variable frame rate (the MPEG clock)."""

_CODEC_OPTIONS: dict[str, dict[str, str]] = {
    # x264's macroblock tree gives other bytes from run to run where it uses AVX-512.
    "libx264": {"preset": "veryfast", "crf": "23", "forced-idr": "1", "x264-params": "mbtree=0"},
    "libx265": {"preset": "ultrafast", "crf": "28", "x265-params": "log-level=error:pools=none"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "1M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "36", "b": "0"},
    "libsvtav1": {"preset": "12", "crf": "40"},
    "mpeg4": {"b": "1M"},
}
_SOUND_CODEC = {".webm": "libopus", ".ogg": "libopus", ".mp3": "libmp3lame", ".wav": "pcm_s16le"}


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples for a file, float32 (n,) or (n, channels); `start_s` > 0: they begin late."""

    samples: NDArray[np.float32]
    rate_hz: int = 44100
    start_s: float = 0.0

    @property
    def channels(self) -> int:
        """1 or more."""
        return 1 if self.samples.ndim == 1 else int(self.samples.shape[1])

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout."""
        return {1: "mono", 2: "stereo", 6: "5.1"}[self.channels]

    def span_s(self, hidden_s: float = 0.0) -> Span:
        """Where it begins and ends when so many seconds of the file are cut away before."""
        end_s = self.start_s + self.samples.shape[0] / self.rate_hz
        return max(0.0, round(self.start_s - hidden_s, 6)), max(0.0, round(end_s - hidden_s, 6))


@dataclass(frozen=True, slots=True)
class Words:
    """A caption as it can be read: on screen from .. until, and where (upright pixels)."""

    text: str
    start_s: float
    end_s: float
    box: Box


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a file that `write_video` wrote. Times are seconds from its start.

    Attributes:
        width, height: upright, pixels.
        rotation_deg: clockwise turn that makes the coded picture upright.
        duration_s: end of the last frame or sample, whichever is later.
        frame_times_s: presentation time of every frame.
        keyframes_s: presentation time of every key frame (as the encoder marked them).
        cuts_s: first frame of every scene that begins with a hard cut.
        fades_s: first frame of every scene that follows a fade out or begins with a fade in.
        scenes_s, black_s, blurred_s: spans of all, the black, the blurred scenes.
        texts: captions of sharp, lit scenes, in order of time.
        sound_s: span of the sound; None: there is none.
    """

    path: Path
    width: int
    height: int
    rotation_deg: int
    fps: Fraction
    duration_s: float
    frame_times_s: tuple[float, ...]
    keyframes_s: tuple[float, ...]
    cuts_s: tuple[float, ...]
    fades_s: tuple[float, ...]
    scenes_s: tuple[Span, ...]
    black_s: tuple[Span, ...]
    blurred_s: tuple[Span, ...]
    texts: tuple[Words, ...]
    sound_s: Span | None


# -------------------------------------------------------------------------- timetable


@dataclass(frozen=True, slots=True)
class _Timetable:
    """When every frame is shown: presentation times in ticks, and the scene of each."""

    ticks: tuple[int, ...]
    end_tick: int
    tick_s: Fraction
    scene_of: tuple[int, ...]
    into_scene_s: tuple[float, ...]

    def seconds(self, tick: int) -> float:
        return round(float(tick) * float(self.tick_s), 6)

    def rows(self) -> Iterator[tuple[int, int, float]]:
        """Tick, scene and seconds into that scene of every frame."""
        return zip(self.ticks, self.scene_of, self.into_scene_s, strict=True)

    def without(self, hidden_s: float) -> _Timetable:
        """What is left when the first seconds are cut away; time 0 moves to the cut."""
        shift = round(hidden_s / self.tick_s)
        kept = [row for row in self.rows() if row[0] >= shift]
        return _Timetable(
            ticks=tuple(tick - shift for tick, _, _ in kept),
            end_tick=self.end_tick - shift,
            tick_s=self.tick_s,
            scene_of=tuple(k for _, k, _ in kept),
            into_scene_s=tuple(moment for _, _, moment in kept),
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What `write_video` was asked for."""

    scenes: Sequence[Scene]
    table: _Timetable | None
    sound: Sound | None
    size: Size
    fps: Fraction
    rotation: int
    idr_at_cuts: bool
    first_pts_s: float
    seed: int

    @property
    def tick_s(self) -> Fraction:
        return self.table.tick_s if self.table else 1 / self.fps

    def hidden_s(self, path: Path) -> float:
        """Seconds that no player shows: MP4's edit list cuts what lies before zero."""
        mp4 = path.suffix.lower() in {".mp4", ".mov", ".m4v"}
        return max(0.0, -self.first_pts_s) if mp4 else 0.0


def frame_times(seconds: float, fps: Fraction, *, vfr: bool = False, seed: int = 0) -> list[int]:
    """Presentation ticks of the frames of so many seconds, and the tick where they end.

    With a constant rate a tick is 1/fps. With a variable one it is 1/90000 s and every
    frame stays for 1, 2 or 3 frame times, give or take a tenth: a phone in low light.
    """
    if not vfr:
        return list(range(round(seconds * fps) + 1))
    rng = np.random.default_rng(seed)
    step = VFR_TICK_HZ / float(fps)
    ticks = [0]
    while ticks[-1] < seconds * VFR_TICK_HZ:
        held = rng.choice([1, 1, 1, 2, 3]) + rng.uniform(-0.1, 0.1)
        ticks.append(ticks[-1] + round(step * held))
    return ticks


def _timetable(scenes: Sequence[Scene], fps: Fraction, vfr: bool, seed: int) -> _Timetable:
    borders = np.cumsum([0.0, *(scene.seconds for scene in scenes)])
    tick_s = Fraction(1, VFR_TICK_HZ) if vfr else 1 / fps
    ticks = frame_times(float(borders[-1]), fps, vfr=vfr, seed=seed)
    times = [float(tick * tick_s) for tick in ticks[:-1]]
    # A frame belongs to the scene that has begun when it is shown (1e-6: rounding).
    scene_of = np.searchsorted(borders[1:-1], np.array(times) + 1e-6, side="right")
    return _Timetable(
        ticks=tuple(ticks[:-1]),
        end_tick=ticks[-1],
        tick_s=tick_s,
        scene_of=tuple(int(k) for k in scene_of),
        into_scene_s=tuple(
            max(0.0, time - float(borders[k])) for time, k in zip(times, scene_of, strict=True)
        ),
    )


def pictures(
    scenes: Sequence[Scene],
    *,
    size: Size = (320, 568),
    fps: Fraction | int = 30,
    vfr: bool = False,
    seed: int = 0,
) -> Iterator[tuple[float, RGB]]:
    """The frames that `write_video` encodes: (time in seconds, picture), before the codec."""
    table = _timetable(scenes, Fraction(fps), vfr, seed)
    for tick, k, moment in table.rows():
        yield table.seconds(tick), scenes[k].picture(moment, size, seed + k)


# ------------------------------------------------------------------------------ truth


def _scene_spans(table: _Timetable, count: int) -> list[Span]:
    starts = [table.end_tick] * (count + 1)
    for tick, k, _ in reversed(list(table.rows())):
        starts[k] = tick
    return [(table.seconds(a), table.seconds(b)) for a, b in pairwise(starts)]


def _texts(scenes: Sequence[Scene], table: _Timetable, size: Size) -> tuple[Words, ...]:
    """Captions with the times of the frames that show them; the same words go on over a cut."""
    found: list[Words] = []
    ends = (*table.ticks[1:], table.end_tick)
    for (tick, k, moment), end in zip(table.rows(), ends, strict=True):
        scene = scenes[k]
        if scene.black or scene.blur:
            continue
        start_s, end_s = table.seconds(tick), table.seconds(end)
        for caption in scene.all_captions():
            if caption.shown(moment, scene.seconds):
                words = Words(caption.text, start_s, end_s, caption_box(caption, size))
                _extend(found, words)
    return tuple(sorted(found, key=lambda words: (words.start_s, words.box)))


def _extend(found: list[Words], words: Words) -> None:
    for i, before in enumerate(found):
        same = (before.text, before.box, before.end_s) == (words.text, words.box, words.start_s)
        if same:
            found[i] = Words(before.text, before.start_s, words.end_s, before.box)
            return
    found.append(words)


# ---------------------------------------------------------------------------- writing


@dataclass(slots=True)
class _Writer:
    """An output container with its streams; collects the key frames that were written."""

    container: av.container.OutputContainer
    video: Any = None
    audio: Any = None
    key_times: list[Fraction] = field(default_factory=list)

    def put(self, packets: Iterable[Packet[Any]]) -> None:
        for packet in packets:
            if packet.stream is self.video and packet.is_keyframe and packet.pts is not None:
                self.key_times.append(packet.pts * packet.time_base)
            self.container.mux(packet)


def write_video(
    path: Path,
    scenes: Sequence[Scene],
    *,
    size: Size = (320, 568),
    fps: Fraction | int = 30,
    sound: Sound | NDArray[np.float32] | None = None,
    sound_rate_hz: int = 44100,
    codec: str = "libx264",
    sound_codec: str | None = None,
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    gop: int | None = None,
    idr_at_cuts: bool = False,
    vfr: bool = False,
    first_pts_s: float = 0.0,
    threads: int = 1,
    seed: int = 0,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
) -> Truth:
    """Write a video file and say what is in it.

    Args:
        path: the suffix chooses the container (.mp4, .mov, .mkv, .webm, .avi, .ts ...).
        scenes: one after the other; none: a file without pictures.
        size: upright width and height in pixels. yuv420p of libx264 needs even numbers
            (yuv444p and libvpx-vp9 take any).
        fps: frames per second; with `vfr` the highest rate.
        sound: samples, shape (n,) or (n, channels).
        sound_rate_hz: of `sound` where it is a plain array.
        codec: name of a PyAV encoder: libx264, libx265, libvpx, libvpx-vp9, libsvtav1,
            mpeg4, mjpeg, ffv1 ...
        sound_codec: None: what goes with the container (AAC, Opus for WebM).
        rotation: 0, 90, 180 or 270: the picture is stored turned, with a display matrix
            that turns it clockwise by so much.
        gop: frames between key frames; None: the encoder's own choice.
        idr_at_cuts: every scene begins with a key frame.
        vfr: variable frame rate, see `frame_times`.
        first_pts_s: presentation time of the first frame and of the start of the sound.
            Below zero MP4 and MOV hide what comes before zero (edit list), and the truth
            speaks of what is shown; MPEG-TS (.ts) keeps the negative times if
            `container_options` has avoid_negative_ts=disabled; Matroska drops them.
        threads: of the encoder; other numbers may give other bytes.
        options: for the encoder, over the defaults of `_CODEC_OPTIONS`.
        container_format: where the suffix does not tell.
        container_options: for the muxer.

    Raises:
        av.FFmpegError: codec, container, size and pixel format do not go together.
    """
    if isinstance(sound, np.ndarray):
        sound = Sound(sound, sound_rate_hz)
    plan = _Plan(
        scenes=scenes,
        table=_timetable(scenes, Fraction(fps), vfr, seed) if scenes else None,
        sound=sound,
        size=size,
        fps=Fraction(fps),
        rotation=rotation,
        idr_at_cuts=idr_at_cuts,
        first_pts_s=first_pts_s,
        seed=seed,
    )
    bitexact = {"fflags": "+bitexact", **(container_options or {})}
    opened = av.open(str(path), "w", format=container_format, options=bitexact)
    with _same_priority(), opened as container:
        container.metadata.update(metadata or {})
        writer = _Writer(container)
        if plan.table is not None:
            chosen = {**_CODEC_OPTIONS.get(codec, {}), **(options or {})}
            writer.video = container.add_stream(codec, rate=plan.fps, options=chosen)
            _set_up(writer.video, plan, pixel_format=pixel_format, gop=gop, threads=threads)
        if sound is not None:
            name = sound_codec or _SOUND_CODEC.get(Path(path).suffix.lower(), "aac")
            writer.audio = _add_sound(container, sound, name)
        _write(writer, plan)
    return _truth(Path(path), plan, writer.key_times)


def _add_sound(container: Any, sound: Sound, codec: str) -> Any:
    # Opus knows 48 kHz and its fractions only; PyAV's encoder resamples.
    rate_hz = 48000 if codec == "libopus" else sound.rate_hz
    return container.add_stream(codec, rate=rate_hz, layout=sound.layout)


@contextmanager
def _same_priority() -> Iterator[None]:
    """Undo what SVT-AV1 does to the thread that calls it.

    Called by root, it makes that thread real-time (SCHED_FIFO 99), and every thread that
    is started by it later inherits that: OpenMP's waiting threads then leave no other
    process a core.
    """
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def write_sound(
    path: Path, sound: Sound | NDArray[np.float32], *, rate_hz: int = 44100, **how: Any
) -> Truth:
    """Write a file with sound alone; `how` as for `write_video`."""
    return write_video(path, (), sound=sound, sound_rate_hz=rate_hz, **how)


def _set_up(stream: Any, plan: _Plan, *, pixel_format: str, gop: int | None, threads: int) -> None:
    turned = plan.rotation % 180 == 90
    stream.width, stream.height = plan.size[::-1] if turned else plan.size
    stream.pix_fmt = pixel_format
    context = stream.codec_context
    context.time_base = plan.tick_s
    context.thread_count = threads
    if gop is not None:
        context.gop_size = gop
    if plan.rotation:
        # FFmpeg's display matrix counts counterclockwise, our truth clockwise.
        stream.set_display_rotation(-plan.rotation)


def _write(writer: _Writer, plan: _Plan) -> None:
    """Encode pictures and sound side by side, so that the packets come interleaved."""
    blocks = _sound_blocks(plan)
    for time_s, frame in _frames(plan):
        for block_s, block in blocks:
            writer.put(writer.audio.encode(block))
            if block_s > time_s:
                break
        writer.put(writer.video.encode(frame))
    for _, block in blocks:
        writer.put(writer.audio.encode(block))
    for stream in (writer.video, writer.audio):
        if stream is not None:
            writer.put(stream.encode(None))


def _frames(plan: _Plan) -> Iterator[tuple[float, av.VideoFrame]]:
    if plan.table is None:
        return
    shift = round(Fraction(plan.first_pts_s).limit_denominator(100_000) / plan.tick_s)
    last_scene = -1
    for tick, k, moment in plan.table.rows():
        image = plan.scenes[k].picture(moment, plan.size, plan.seed + k)
        coded = np.ascontiguousarray(np.rot90(image, plan.rotation // 90))
        frame = av.VideoFrame.from_ndarray(coded, format="rgb24")
        frame.pts, frame.time_base = tick + shift, plan.tick_s
        if plan.idr_at_cuts and k != last_scene:
            frame.pict_type = PictureType.I
        last_scene = k
        yield float((tick + shift) * plan.tick_s), frame


def _sound_blocks(plan: _Plan) -> Iterator[tuple[float, av.AudioFrame]]:
    """The samples as planar float frames of 1024, with their presentation times."""
    sound = plan.sound
    if sound is None:
        return
    planar = np.atleast_2d(sound.samples.T).astype(np.float32)
    shift = round((sound.start_s + plan.first_pts_s) * sound.rate_hz)
    for start in range(0, planar.shape[1], 1024):
        block = np.ascontiguousarray(planar[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=sound.layout)
        frame.sample_rate = sound.rate_hz
        frame.pts, frame.time_base = start + shift, Fraction(1, sound.rate_hz)
        yield (start + shift) / sound.rate_hz, frame


def _truth(path: Path, plan: _Plan, key_times: list[Fraction]) -> Truth:
    hidden_s = plan.hidden_s(path)
    table = plan.table.without(hidden_s) if plan.table else None
    scenes, sound, size = plan.scenes, plan.sound, plan.size
    spans = _scene_spans(table, len(scenes)) if table else []
    faded = [bool(a.fade_out_s or b.fade_in_s) for a, b in pairwise(scenes)]
    starts = list(zip((start for start, _ in spans[1:]), faded, strict=True))
    end_s = table.seconds(table.end_tick) if table else 0.0
    sound_s = sound.span_s(hidden_s) if sound is not None else None
    keys = sorted(round(float(t) - plan.first_pts_s - hidden_s, 6) for t in key_times)
    return Truth(
        path=path,
        width=size[0] if table else 0,
        height=size[1] if table else 0,
        rotation_deg=plan.rotation,
        fps=plan.fps,
        duration_s=max(end_s, sound_s[1] if sound_s else 0.0),
        frame_times_s=tuple(table.seconds(tick) for tick in table.ticks) if table else (),
        keyframes_s=tuple(key for key in keys if key >= 0),
        cuts_s=tuple(start for start, fade in starts if not fade and start > 0),
        fades_s=tuple(start for start, fade in starts if fade and start > 0),
        scenes_s=tuple(spans),
        black_s=tuple(span for span, scene in zip(spans, scenes, strict=False) if scene.black),
        blurred_s=tuple(span for span, scene in zip(spans, scenes, strict=False) if scene.blur),
        texts=_texts(scenes, table, size) if table else (),
        sound_s=sound_s,
    )
