"""One file is opened and no other, whatever it is called and whatever it claims to be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.container import (
    CONTAINERS,
    Faults,
    describe,
    never,
    open_media,
    read_packets,
)
from reelscope.testing import media

Videos = Callable[[str], media.Truth]

ODD_NAMES = ["-i.mp4", "http:__x", "pipe:0", "concat:a|b.mp4", "a file : with colon", "%03d.mp4",
             "file:file:x.mp4", "with\nnewline.mp4", "ünï ☃.mp4", "image%d.png"]  # fmt: skip

OPENERS = ["hls", "dash", "concat", "image2", "sdp", "rtsp", "rtp", "lavfi", "imf", "tty", "mlv",
           "webm_dash_manifest", "vobsub", "ffmetadata"]  # fmt: skip
"""Demuxers that open what a file's text or name tells them to, or no file at all."""


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_only_a_name(
    name: str, videos: Videos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(videos("b_frames.mp4").path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, Path(name)):
        if name == "image%d.png":  # read by content: FFmpeg's picture reader goes by name
            with pytest.raises(UnreadableMedia), open_media(path):
                pass
            continue
        with open_media(path) as container:
            assert container.streams.video


def test_no_demuxer_that_opens_other_files_is_allowed() -> None:
    allowed = set(CONTAINERS.split(","))
    assert not allowed & set(OPENERS)
    known = {name for joined in av.formats_available for name in joined.split(",")}
    assert {"mov", "matroska", "webm", "avi", "mpegts", "flv", "mp3", "wav", "ogg"} <= allowed
    assert len(allowed - known) < 10  # spelling: names that FFmpeg does not know


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello, I am text\n" * 100, "not a media file"),
        (b"\n <!DOCTYPE html><html></html>", "web page"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "cut short"),
        (b"ffconcat version 1.0\nfile 'ok.mp4'\n", "playlist"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nok.mp4\n", "not a media file"),
        (bytes(5000), "not a media file"),
    ],
)
def test_what_is_no_media_is_refused_in_a_sentence(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableMedia, match=words), open_media(path):
        pass


def test_a_playlist_by_its_right_name_is_refused_too(videos: Videos, tmp_path: Path) -> None:
    shutil.copy(videos("b_frames.mp4").path, tmp_path / "ok.mp4")
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nok.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnreadableMedia, match="playlist"), open_media(path):
        pass


@pytest.mark.parametrize("name", ["no such.mp4", ".", "nul\0.mp4"])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match=r"cannot be opened|regular file"):
        open_media(tmp_path / name).__enter__()


def test_the_file_is_closed_even_if_the_block_raises(videos: Videos) -> None:
    with pytest.raises(KeyError), open_media(videos("b_frames.mp4").path) as container:
        raise KeyError
    with pytest.raises(AssertionError):
        next(container.demux())


def test_faults_count_each_packet_once() -> None:
    faults = Faults([3])
    faults.note("first", tick=3)
    faults.note("second", tick=4)
    faults.note("third")
    faults.note("fourth")
    assert (len(faults.bad), faults.first) == (4, "first")


def test_errors_in_words() -> None:
    assert "decoded" in describe(av.error.InvalidDataError(1, "x"))
    assert "long" in describe(av.error.ExitError(1, "x"))
    assert describe(ValueError("odd")) == "it cannot be read (odd)"


def test_streams_that_turn_up_late_end_the_reading_quietly() -> None:
    """PyAV's demux() raises IndexError after the last packet if a stream appeared on the way."""

    class Packet:
        size = 1

    class Container:
        def demux(self, streams: object) -> Iterator[Packet]:
            yield Packet()
            raise IndexError

    faults = Faults()
    packets = read_packets(Container(), [], faults=faults, check_time=never)  # type: ignore[arg-type]
    assert len(list(packets)) == 1
    assert not faults.bad
