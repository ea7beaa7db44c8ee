"""Files that no camera made: damaged copies of real ones, and one of every known sort of bad.

hostile.mutate(data, seed)              # the same damage for the same seed
hostile.BAD_FILES["fifo"].make(folder)  # -> Path of something that is named like a video
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition

from reelscope.testing import media

Make: TypeAlias = Callable[[Path], None]

# ------------------------------------------------------------------------------ damage


def mutate(data: bytes, seed: int) -> bytes:
    """A damaged copy: one to four of bit flips, cuts, and swapped, zeroed, repeated blocks.

    Half of the damage hits the first 4 KiB or the last 16 KiB, where containers keep
    what everything else is read by.
    """
    rng = random.Random(seed)  # noqa: S311  (Python keeps its sequence from version to version)
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if len(damaged) < 16:
            break
        rng.choice(_DAMAGES)(rng, damaged)
    return bytes(damaged)


def _place(rng: random.Random, data: bytearray) -> int:
    """An offset; half of the time near one of the ends."""
    side = rng.random()
    if side < 0.25:
        return rng.randrange(min(len(data), 4096))
    if side < 0.5:
        return len(data) - 1 - rng.randrange(min(len(data), 16384))
    return rng.randrange(len(data))


def _block(rng: random.Random, data: bytearray) -> slice:
    """A stretch of 1 byte to 1/8 of the file, short ones more often."""
    length = max(1, int(len(data) / 8 * rng.random() ** 4))
    start = min(_place(rng, data), len(data) - length)
    return slice(start, start + length)


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 4, 16, 256))):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _cut_end(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(8, len(data)) :]


def _cut_out(rng: random.Random, data: bytearray) -> None:
    del data[_block(rng, data)]


def _swap(rng: random.Random, data: bytearray) -> None:
    length = max(1, len(data) // rng.choice((8, 64, 512, 4096)))
    one, other = sorted(rng.randrange(max(1, len(data) - length)) for _ in range(2))
    if other - one < length:
        return
    data[one : one + length], data[other : other + length] = (
        data[other : other + length],
        data[one : one + length],
    )


def _zero(rng: random.Random, data: bytearray) -> None:
    block = _block(rng, data)
    data[block] = bytes(block.stop - block.start)


def _noise(rng: random.Random, data: bytearray) -> None:
    block = _block(rng, data)
    data[block] = rng.randbytes(block.stop - block.start)


def _repeat(rng: random.Random, data: bytearray) -> None:
    block = _block(rng, data)
    data[block.stop : block.stop] = data[block] * rng.randint(1, 4)


def _extreme_number(rng: random.Random, data: bytearray) -> None:
    """Four bytes become a number on which sums and allocations break."""
    start = min(_place(rng, data), len(data) - 4)
    number = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFF, 0xFFFF0000))
    data[start : start + 4] = struct.pack(">I", number)


_DAMAGES: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flip, _flip, _flip, _cut_end, _cut_out, _swap, _zero, _noise, _repeat, _extreme_number,
)  # fmt: skip


# ------------------------------------------------------------------------------- kinds


@dataclass(frozen=True, slots=True)
class BadFile:
    """Something that is named like a video.

    Attributes:
        file_name: what it is called.
        build: makes it at the path that it is given.
        video, audio: whether pictures, sound can be had from it.
        whole: whether it decodes to its end.
        is_file: a plain file; False: a folder, a pipe, a link that leads nowhere.
        slow: takes more than a moment to analyse.
    """

    file_name: str
    build: Make
    video: bool = False
    audio: bool = False
    whole: bool = True
    is_file: bool = True
    slow: bool = False

    def make(self, folder: Path) -> Path:
        """Make it in this folder."""
        path = folder / self.file_name
        self.build(path)
        return path


_SIZE = (160, 96)
_SCENES = (media.Scene(1.0, text="ONE"), media.Scene(1.0, (40, 120, 200), text="TWO"))
_LONGER = (media.Scene(4.0, text="ONE"), media.Scene(4.0, (40, 120, 200), text="TWO"))


def _sound(seconds: float = 2.0, rate_hz: int = 16000) -> media.Sound:
    samples, _ = media.speech_like(seconds, rate_hz=rate_hz, seed=1)
    return media.Sound(samples, rate_hz)


def video(**how: Any) -> Make:
    """Builder of a small sound video; `how` as for `media.write_video`."""

    def build(path: Path) -> None:
        chosen = {"size": _SIZE, "sound": _sound(), **how}
        media.write_video(path, chosen.pop("scenes", _SCENES), **chosen)

    return build


def _bytes(data: bytes) -> Make:
    def build(path: Path) -> None:
        path.write_bytes(data)

    return build


def _changed(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """Built as usual, then its bytes are changed."""

    def build(path: Path) -> None:
        make(path)
        path.write_bytes(change(path.read_bytes()))

    return build


def _as(suffix: str, make: Make) -> Make:
    """Written with one suffix, then given its own name."""

    def build(path: Path) -> None:
        honest = path.with_name("honest" + suffix)
        make(honest)
        honest.rename(path)

    return build


def _first(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def _other_tracks(data: bytes) -> bytes:
    """An MP4 whose tracks say that they are neither pictures nor sound."""
    for said, other in (
        (b"vide", b"data"),
        (b"soun", b"data"),
        (b"avc1", b"????"),
        (b"mp4a", b"!!!!"),
    ):
        data = data.replace(said, other)
    return data


# -------------------------------------------------------------------- builders by hand


def _two_hours(path: Path) -> None:
    """A minute at one picture per second, copied 120 times without decoding it."""
    minute = path.with_name("minute.mp4")
    scenes = [media.Scene(30.0), media.Scene(30.0, (60, 90, 200))]
    media.write_video(minute, scenes, size=(64, 48), fps=1, sound=_sound(60.0, 8000))
    with av.open(str(minute)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        packets = [p for p in source.demux() if p.size]
        for turn in range(120):
            for packet in packets:
                # 61: the sound of the minute is longer than it by less than a packet.
                shift = round(61 * turn / packet.time_base)
                again = av.Packet(bytes(packet))
                again.pts, again.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
                again.duration, again.time_base = packet.duration, packet.time_base
                again.is_keyframe = packet.is_keyframe
                again.stream = streams[packet.stream_index]
                target.mux(again)
    minute.unlink()


def _with_cover(*, moving: bool) -> Make:
    """Sound with a cover picture; with `moving` also a video."""

    def build(path: Path) -> None:
        with av.open(str(path), "w", format="mp4") as container:
            pictures = _small_stream(container) if moving else None
            sound: Any = container.add_stream("aac", rate=16000, layout="mono")
            cover: Any = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
            cover.disposition = Disposition.attached_pic
            image = media.Scene(1.0).picture(0.0, (320, 320))
            _encode(container, cover, [av.VideoFrame.from_ndarray(image, format="rgb24")])
            if pictures:
                shown = (image for _, image in media.pictures(_SCENES, size=_SIZE))
                _encode(
                    container,
                    pictures,
                    [av.VideoFrame.from_ndarray(image, format="rgb24") for image in shown],
                )
            samples = _sound().samples[None]
            heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            heard.sample_rate = 16000
            _encode(container, sound, [heard])

    return build


def _small_stream(container: OutputContainer) -> Any:
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = *_SIZE, "yuv420p"
    return stream


def _encode(container: OutputContainer, stream: Any, frames: list[Any]) -> None:
    for k, frame in enumerate(frames):
        frame.pts = k
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _size_changes(path: Path) -> None:
    """Two transport streams in one: the pictures grow in the middle."""
    parts = []
    for k, size in enumerate(((160, 96), (96, 160))):
        part = path.with_name(f"part{k}.ts")
        video(size=size, first_pts_s=2.112 * k)(part)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def _wav(rate_hz: int, channels: int, claimed: int) -> bytes:
    """A WAV file of 0.25 s of noise whose header says what it is told to say."""
    samples = np.random.default_rng(0).integers(-3000, 3000, 8000, np.int16).tobytes()
    block = 2 * max(1, channels)
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * block & 0xFFFFFFFF, block, 16)
    head = b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", claimed) + samples


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _closed(path: Path) -> None:
    video()(path)
    path.chmod(0)


_GIF_BOMB = (
    b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    + b"\x2c" + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\x00\x02\x02\x44\x01\x00\x3b"
)  # fmt: skip
_PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n"
_CONCAT = b"ffconcat version 1.0\nfile '/etc/passwd'\nfile 'other.mp4'\n"
_SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
_SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
_MVHD_ONLY = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom") + struct.pack(
    ">I4s", 8, b"moov"
)

_NEGATIVE: dict[str, Any] = {
    "first_pts_s": -0.5,
    "container_options": {"avoid_negative_ts": "disabled"},
}
_LONG_NAME = "long-" + "x" * 246 + ".mp4"  # 255 bytes, the most that Linux allows

BAD_FILES: dict[str, BadFile] = {
    # Not media at all.
    "empty": BadFile("empty.mp4", _bytes(b"")),
    "one_byte": BadFile("one_byte.mp4", _bytes(b"\x00")),
    "zeros": BadFile("zeros.mp4", _bytes(bytes(100_000))),
    "random": BadFile("random.mp4", _bytes(random.Random(0).randbytes(100_000))),  # noqa: S311
    "text": BadFile("text.mp4", _bytes(b"This was a text file.\n" * 200)),
    "web_page": BadFile("web_page.mp4", _bytes(b"<!DOCTYPE html><html><p>404</p></html>")),
    "drawing": BadFile("drawing.mp4", _bytes(_SVG)),
    "playlist": BadFile("playlist.mp4", _bytes(_PLAYLIST)),
    "concat_script": BadFile("concat_script.mp4", _bytes(_CONCAT)),
    "session": BadFile("session.mp4", _bytes(_SDP)),
    "picture_bomb": BadFile("picture_bomb.mp4", _bytes(_GIF_BOMB)),
    "no_tracks": BadFile("no_tracks.mp4", _bytes(_MVHD_ONLY)),
    "other_tracks": BadFile("other_tracks.mp4", _changed(video(), _other_tracks)),
    # Cut.
    "no_index": BadFile("no_index.mp4", _changed(video(), _first(0.6))),
    "truncated": BadFile(
        "truncated.mp4",
        _changed(video(container_options={"movflags": "+faststart"}), _first(0.6)),
        video=True, audio=True, whole=False,
    ),
    "truncated_webm": BadFile(
        "truncated.webm",
        _changed(video(codec="libvpx", scenes=_LONGER, sound=_sound(8.0)), _first(0.5)),
        video=True, audio=True, whole=False,
    ),
    "no_head": BadFile(
        "no_head.ts", _changed(video(gop=15), lambda data: data[9999:]), True, True
    ),
    # One half is missing.
    "audio_only": BadFile("audio_only.mp4", video(scenes=()), audio=True),
    "video_only": BadFile("video_only.mp4", video(sound=None), video=True),
    "silent": BadFile("silent.mp4", video(sound=media.silence(2.0)), True, True),
    "cover_and_sound": BadFile("cover.m4a", _with_cover(moving=False), audio=True),
    "cover_and_video": BadFile("cover.mp4", _with_cover(moving=True), True, True),
    "one_frame": BadFile(
        "one_frame.mp4", video(scenes=[media.Scene(1 / 30)], sound=None), video=True
    ),
    "short_video": BadFile("short_video.mp4", video(scenes=[media.Scene(0.2)]), True, True),
    "short_sound": BadFile("short_sound.mp4", video(sound=media.tone(0.02)), True, True),
    "late_sound": BadFile(
        "late_sound.mp4", video(sound=media.Sound(media.tone(1.0), start_s=1.5)), True, True
    ),
    # Odd but right.
    "no_duration": BadFile(
        "no_duration.webm", video(codec="libvpx", container_options={"live": "1"}), True, True
    ),
    "fragmented": BadFile(
        "fragmented.mp4",
        video(container_options={"movflags": "frag_keyframe+empty_moov"}), True, True,
    ),
    "ten_bit": BadFile(
        "ten_bit.mp4", video(codec="libx265", pixel_format="yuv420p10le"), True, True
    ),
    "av1": BadFile("av1.mp4", video(codec="libsvtav1"), True, True),
    "one_pixel": BadFile(
        "one_pixel.mp4", video(size=(1, 1), pixel_format="yuv444p"), True, True
    ),
    "wide": BadFile("wide.mp4", video(size=(8192, 16)), True, True),
    "tall": BadFile("tall.mp4", video(size=(16, 8192)), True, True),
    "odd_size": BadFile("odd_size.webm", video(codec="libvpx-vp9", size=(161, 95)), True, True),
    "size_changes": BadFile("size_changes.ts", _size_changes, True, True, whole=False),
    "rotated": BadFile("rotated.mp4", video(rotation=90), True, True),
    "variable_rate": BadFile("variable_rate.mp4", video(vfr=True), True, True),
    "negative_pts": BadFile("negative_pts.ts", video(**_NEGATIVE), True, True),
    "edit_list": BadFile("edit_list.mp4", video(first_pts_s=-0.5), True, True),
    "no_pts": BadFile("no_pts.mkv", video(**_NEGATIVE), True, True),
    "far_pts": BadFile("far_pts.flv", video(**_NEGATIVE), True, True),
    "lies_mp4": BadFile("lies.mp4", _as(".webm", video(codec="libvpx")), True, True),
    "no_suffix": BadFile("no_suffix", _as(".mp4", video()), True, True),
    "wav_1_hz": BadFile("wav_1_hz.wav", _bytes(_wav(1, 1, 16000))),
    "wav_0_channels": BadFile("wav_0_channels.wav", _bytes(_wav(16000, 0, 16000))),
    "wav_endless": BadFile(
        "wav_endless.wav", _bytes(_wav(16000, 1, 0xFFFFFFF0)), audio=True, whole=False
    ),
    "two_hours": BadFile("two_hours.mp4", _two_hours, True, True, slow=True),
    # Names.
    "newline": BadFile("new\nline.mp4", video(), True, True),
    "escape": BadFile("\x1b[31mred\x1b[0m\x07.mp4", video(), True, True),
    "emoji": BadFile("🍞 crust 🥖.mp4", video(), True, True),
    "right_to_left": BadFile("abc\u202e4pm.mp4", video(), True, True),
    "dash": BadFile("--skip.mp4", video(), True, True),
    "long_name": BadFile(_LONG_NAME, _as(".mp4", video()), True, True),
    "formula": BadFile("=1+1.mp4", video(), True, True),
    "quotes": BadFile("a'b\"c;d&e$(f)`g`%h{i}.mp4", video(), True, True),
    "dots": BadFile("two..dots...mp4", video(), True, True),
    "protocol": BadFile("http:;concat:x|y.mp4", _as(".mp4", video()), True, True),
    "percent": BadFile("frame%03d.mp4", video(), True, True),
    "reserved": BadFile("con.mp4", video(), True, True),
    # Not plain files.
    "link_loop": BadFile("link_loop.mp4", _loop, is_file=False),
    "dangling": BadFile("dangling.mp4", lambda p: p.symlink_to("nothing.mp4"), is_file=False),
    "folder": BadFile("folder.mp4", Path.mkdir, is_file=False),
    "fifo": BadFile("fifo.mp4", os.mkfifo, is_file=False),
    "device": BadFile("device.mp4", lambda p: p.symlink_to("/dev/zero"), is_file=False),
    "closed": BadFile("closed.mp4", _closed),
}  # fmt: skip
"""One of every sort. Root may read "closed"."""
