"""Photo posts as one file: what our own media room and the whole pipeline see of them."""

from __future__ import annotations

import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reelscope
from reelscope.crawl.media_file import video_suffix
from reelscope.crawl.photo import MAX_PIXELS, SECONDS_EACH, make_photo_video
from reelscope.crawl.picture_header import read_header
from reelscope.errors import CrawlFailed, OutputError, StageTimeout
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.media.info import read_info
from reelscope.records import Probe, Stills, VideoRecord, VideoSource
from reelscope.settings import Media, load
from reelscope.testing.media import Scene, write_sound, write_video
from reelscope.testing.pictures import painter
from reelscope.testing.sounds import music_like, tone

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (210, 200, 30), (150, 30, 180))


def picture(number: int, size: tuple[int, int] = (96, 128)) -> RGB:
    """RGB (h, w, 3) with things in it, without noise, of which JPEG makes something else."""
    image = painter(COLOURS[number % len(COLOURS)], seed=number)(size, 0.0)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


def save(
    folder: Path, number: int, suffix: str = ".jpg", size: tuple[int, int] = (96, 128)
) -> Path:
    path = folder / f"{number}{suffix}"
    assert cv2.imwrite(str(path), cv2.cvtColor(picture(number, size), cv2.COLOR_RGB2BGR))
    return path


def shown(path: Path) -> RGB:
    """What a picture's file shows, RGB, as OpenCV decodes it."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def opened(path: Path) -> Iterator[Clip]:
    source = VideoSource(creator="c", video_id="v", frames_id="v", path=str(path))
    with Clip(source, VideoRecord(source=source), Media(), frames_root=path.parent) as clip:
        yield clip


def likeness(one: RGB, other: RGB) -> float:
    """Mean absolute difference of two pictures, 0-255."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.float64) - other).mean())


def test_equal_jpegs_and_the_sound_go_in_as_they_are(tmp_path: Path) -> None:
    pictures = [save(tmp_path, n) for n in range(4)]
    write_sound(tmp_path / "sound.mp3", tone(8.0))
    path = make_photo_video(pictures, tmp_path / "sound.mp3", tmp_path / "new" / "77.1")
    assert path == tmp_path / "new" / "77.1.mkv"
    assert [p.name for p in path.parent.iterdir()] == ["77.1.mkv"]
    with av.open(str(path)) as container:
        stored = [bytes(p) for p in container.demux(container.streams.video[0]) if p.size]
    assert stored == [p.read_bytes() for p in pictures]
    with av.open(str(path)) as container, av.open(str(tmp_path / "sound.mp3")) as sound:
        heard = [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]
        assert heard == [bytes(p) for p in sound.demux(sound.streams.audio[0]) if p.size]
    info = read_info(path)
    assert (info.width, info.height, info.video_codec, info.audio_codec) == (
        96,
        128,
        "mjpeg",
        "mp3",
    )
    assert info.video is not None
    assert info.video.times_s == pytest.approx([0, 2, 4, 6], abs=0.1)
    assert info.duration_s == pytest.approx(8, abs=0.1)
    assert info.cut_short is None
    assert video_suffix(path) == ".mkv"


@pytest.mark.parametrize("sound", ["m4a", "mp3", "aac", "ogg", "wav", "mp4"])
def test_every_picture_is_a_frame_and_the_sound_is_heard(sound: str, tmp_path: Path) -> None:
    pictures = [save(tmp_path, n) for n in range(5)]
    given = tmp_path / f"sound.{sound}"
    if sound == "mp4":  # its own pictures do not matter
        write_video(given, [Scene(4.0)], size=(64, 64), sound=tone(4.0))
    else:
        write_sound(given, tone(4.0))
    path = make_photo_video(pictures, given, tmp_path / "v")
    with opened(path) as clip:
        frames = clip.frames
        assert len(frames) == 5
        assert [f.time_s for f in frames] == pytest.approx([0, 0.8, 1.6, 2.4, 3.2], abs=0.08)
        full = list(clip.full([frame.time_s for frame in frames]))
        for number, (_, image) in enumerate(full):
            assert likeness(image, shown(pictures[number])) < 3
        heard = np.concatenate(list(clip.audio.blocks(16000, 1)))
        assert len(heard) / 16000 == pytest.approx(4.0, abs=0.1)
        assert np.sqrt(np.mean(heard[4000:-4000] ** 2)) == pytest.approx(0.3 / 2**0.5, rel=0.1)
        assert clip.scan().bad == 0


def test_without_sound_each_is_shown_for_three_seconds(tmp_path: Path) -> None:
    path = make_photo_video([save(tmp_path, n) for n in range(3)], None, tmp_path / "v")
    info = read_info(path)
    assert not info.has_audio
    assert info.video is not None
    assert info.video.times_s.tolist() == [0, SECONDS_EACH, 2 * SECONDS_EACH]
    assert info.duration_s == pytest.approx(3 * SECONDS_EACH)


@pytest.mark.parametrize("with_sound", [True, False])
def test_a_single_picture_has_a_length_too(with_sound: bool, tmp_path: Path) -> None:
    write_sound(tmp_path / "s.mp3", tone(5.0))
    sound = tmp_path / "s.mp3" if with_sound else None
    path = make_photo_video([save(tmp_path, 1)], sound, tmp_path / "v")
    info = read_info(path)
    assert info.duration_s == pytest.approx(5.0 if with_sound else SECONDS_EACH, abs=0.1)
    assert info.video is not None
    assert info.video.end_s == pytest.approx(info.duration_s, abs=0.1)
    with opened(path) as clip:
        full = list(clip.full([0.0, 2.9]))
        assert len(full) == 2
        assert all(likeness(image, shown(tmp_path / "1.jpg")) < 3 for _, image in full)


def test_sizes_and_kinds_that_differ_stand_in_the_middle_of_black(tmp_path: Path) -> None:
    sizes = [(96, 128), (160, 90), (97, 33)]
    kinds = [".jpg", ".png", ".webp"]
    pictures = [save(tmp_path, n, kinds[n], sizes[n]) for n in range(3)]
    path = make_photo_video(pictures, None, tmp_path / "v")
    with opened(path) as clip:
        assert (clip.info.width, clip.info.height) == (160, 128)
        full = [image for _, image in clip.full([0.0, 3.0, 6.0])]
    for number, (width, height) in enumerate(sizes):
        top, left = (128 - height) // 2, (160 - width) // 2
        inner = full[number][top : top + height, left : left + width]
        assert likeness(inner, shown(pictures[number])) < 3
        black = full[number].copy()
        black[max(top - 2, 0) : top + height + 2, max(left - 2, 0) : left + width + 2] = 0
        assert black.mean() < 1


def test_a_picture_that_is_to_be_turned_is_turned(tmp_path: Path) -> None:
    plain = save(tmp_path, 1)
    data = plain.read_bytes()
    tags = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tags
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    path = make_photo_video([turned, turned], None, tmp_path / "v")
    with opened(path) as clip:
        assert (clip.info.width, clip.info.height) == (128, 96)
        _, image = next(iter(clip.full([0.0])))
    assert likeness(image, np.ascontiguousarray(np.rot90(shown(plain), -1))) < 3


@pytest.mark.parametrize("kind", ["grey", "progressive", "full chroma"])
def test_jpegs_of_other_layouts(kind: str, tmp_path: Path) -> None:
    image = cv2.cvtColor(picture(1), cv2.COLOR_RGB2BGR)
    options: list[int] = []
    if kind == "grey":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    elif kind == "progressive":
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    else:
        factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    other = tmp_path / "other.jpg"
    assert cv2.imwrite(str(other), image, options)
    path = make_photo_video([save(tmp_path, 0), other], None, tmp_path / "v")
    with opened(path) as clip:
        _, (_, seen) = clip.full([0.0, 3.0])
    assert likeness(seen, shown(other)) < 3


# ------------------------------------------------------------------------------- hostile


def png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_claiming(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def test_hostile_pictures_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    good = save(tmp_path, 0)
    data = good.read_bytes()
    webp = save(tmp_path, 1, ".webp").read_bytes()
    hostile = {
        "empty": b"",
        "page": b"<html>captcha</html>",
        "gif": b"GIF89a" + bytes(100),
        "cut": data[: len(data) // 2],
        "head": data[:30],
        "huge": jpeg_claiming(data, 65535, 65535),
        "nothing": jpeg_claiming(data, 0, 0),
        "bomb": png_claiming(100_000, 100_000),
        "wide": png_claiming(MAX_PIXELS // 100 + 1, 100),
        "false": png_claiming(5000, 5000)[:60],
        "webp": webp[:60],
        "noise": b"\xff\xd8\xff" + bytes(range(256)) * 4 + b"\xff\xd9",
    }
    for name, content in hostile.items():
        bad = tmp_path / f"{name}.jpg"
        bad.write_bytes(content)
        for order in ([good, bad], [bad], [bad, good]):
            with pytest.raises(CrawlFailed, match=name) as failed:
                make_photo_video(order, None, tmp_path / "out" / "v")
            assert failed.value.fault == "not_media"
    assert not list((tmp_path / "out").glob("*"))
    assert not list((tmp_path / "out").glob(".*"))


def test_one_very_wide_and_one_very_high_picture(tmp_path: Path) -> None:
    wide, high = save(tmp_path, 0, ".png", (9000, 8)), save(tmp_path, 1, ".png", (8, 9000))
    with pytest.raises(CrawlFailed, match="9000x9000"):
        make_photo_video([wide, high], None, tmp_path / "v")


def test_sound_that_is_none(tmp_path: Path) -> None:
    pictures = [save(tmp_path, 0)]
    (tmp_path / "page.mp3").write_bytes(b"<html>expired</html>")
    write_video(tmp_path / "silent.mp4", [Scene(1.0)], size=(64, 64))
    for name in ("page.mp3", "silent.mp4", "absent.mp3"):
        with pytest.raises(CrawlFailed, match=name) as failed:
            make_photo_video(pictures, tmp_path / name, tmp_path / "v")
        assert failed.value.fault == "not_media"
    assert not (tmp_path / "v.mkv").exists()


@pytest.mark.parametrize("with_sound", [True, False])
def test_a_disk_that_takes_no_more_is_said(with_sound: bool, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    noise = np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "noise.jpg"), noise)
    write_sound(tmp_path / "s.mp3", tone(3.0))
    sound = tmp_path / "s.mp3" if with_sound else None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match="could not be written"):
            make_photo_video([tmp_path / "noise.jpg"] * 3, sound, tmp_path / "v")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise.jpg", "s.mp3"]


def test_too_many_and_none(tmp_path: Path) -> None:
    one = save(tmp_path, 0)
    for pictures in ([], [one] * 201):
        with pytest.raises(CrawlFailed) as failed:
            make_photo_video(pictures, None, tmp_path / "v")
        assert failed.value.fault == "not_supported"


def test_it_can_be_stopped(tmp_path: Path) -> None:
    def late() -> None:
        raise StageTimeout("enough")

    pictures = [save(tmp_path, n) for n in range(3)]
    with pytest.raises(StageTimeout):
        make_photo_video(pictures, None, tmp_path / "v", check_time=late)
    assert not list(tmp_path.glob("v*"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"\xff\xd8\xff", b"RIFFxxxxWEBPVP8 ", b""]))
def test_any_bytes_have_a_header_or_none(data: bytes, start: bytes) -> None:
    header = read_header(start + data)
    assert header is None or (header.width >= 0 and header.height >= 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("size", [(1, 1), (640, 3), (7, 801)])
def test_the_header_says_the_size(suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for lossless in (True, False):
        options = [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else 80] if suffix == ".webp" else []
        assert cv2.imwrite(str(tmp_path / f"x{suffix}"), image, options)
        header = read_header((tmp_path / f"x{suffix}").read_bytes())
        assert header is not None
        assert (header.width, header.height) == size


# ------------------------------------------------------------------------------ pipeline


STAGES = (
    "probe", "voice", "events", "keyframes", "quality", "similarity", "stills", "shots", "text",
    "choose",
)  # fmt: skip
"""That need no weights and no network."""


@pytest.mark.slow
def test_the_pipeline_takes_it_for_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    pictures = [save(tmp_path, n, size=(360, 640)) for n in range(5)]
    write_sound(tmp_path / "sound.mp3", music_like(10.0))
    make_photo_video(pictures, tmp_path / "sound.mp3", folder / "777")
    chosen = load(environ={"REELSCOPE_PATHS__DATA": str(tmp_path / "data")})
    found = reelscope.analyze(folder, settings=chosen, only=STAGES)
    record = found[0]
    probe = record.value(Probe)
    assert probe is not None
    assert (probe.width, probe.height, probe.integrity.complete) == (360, 640, True)
    assert {name: record.stages[name].status for name in STAGES} == dict.fromkeys(STAGES, "ok")
    stills = record.value(Stills)
    assert stills is not None
    assert len(stills.frames) == 5, "each picture is kept once"
