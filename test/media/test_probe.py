"""Stage `probe`: facts, and an honest word on whether the file is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.clip import Clip
from reelscope.media.probe import ProbeStage, probe
from reelscope.records import MediaId, Ok, Probe
from reelscope.settings import Media
from reelscope.testing import media

Videos = Callable[[str], media.Truth]
OpenClip = Callable[..., Clip]


def test_the_stage_gives_a_probe(videos: Videos, open_clip: OpenClip) -> None:
    stage = ProbeStage(Media())
    stage.open()
    (outcome,) = stage.run([open_clip(videos("b_frames.mp4").path)])
    stage.close()
    assert isinstance(outcome, Ok)
    value = outcome.value
    assert isinstance(value, Probe)
    assert Probe.model_validate_json(value.model_dump_json()) == value
    assert (value.fps_exact, value.fps, value.video_codec) == ("30/1", 30.0, "h264")
    path = videos("b_frames.mp4").path
    assert value.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert value.bit_rate_bps == round(value.size_bytes * 8 / 2.5)


def test_whole_files_are_complete(any_video: media.Truth, open_clip: OpenClip) -> None:
    found = probe(open_clip(any_video.path, threads=2)).integrity
    assert found.method == "reference"
    assert (found.complete, found.bad_packets, found.first_error) == (True, 0, None)
    assert found.video_packets == len(any_video.frame_times_s)
    assert found.decoded_until_s is not None
    info = open_clip(any_video.path).info
    assert info.video is not None
    assert found.decoded_until_s == info.video.times_s[-1]  # to the very last frame


def test_real_files_are_complete(corpus: Path, open_clip: OpenClip) -> None:
    for path in sorted((corpus / "video").iterdir()):
        if path.stat().st_size > 600_000:
            continue  # the same would come out, but not in a moment
        found = probe(open_clip(path)).integrity
        assert (found.complete, found.first_error) == (True, None), path.name


def test_sound_alone_and_pictures_alone(tmp_path: Path, open_clip: OpenClip, corpus: Path) -> None:
    cover = probe(open_clip(corpus / "video" / "with-attached-pic.mp3"))
    assert (cover.has_video, cover.has_audio, cover.width) == (False, True, None)
    assert cover.integrity.video_packets == 0
    silent = probe(open_clip(corpus / "video" / "av1_video.mkv"))
    assert (silent.has_video, silent.has_audio, silent.audio_rate_hz) == (True, False, None)


def test_a_file_cut_short_is_incomplete_and_says_why(tmp_path: Path, open_clip: OpenClip) -> None:
    path = tmp_path / "v.mp4"
    media.write_video(
        path, [media.Scene(4.0)], size=(96, 96), sound=media.tone(4.0),
        container_options={"movflags": "+faststart"},
    )  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    found = probe(open_clip(path))
    assert not found.integrity.complete
    assert found.integrity.first_error is not None
    assert "ends early" in found.integrity.first_error
    assert found.duration_s is not None
    assert 1.5 < found.duration_s < 3.5


def test_an_unusable_sound_does_not_take_the_facts_away(
    tmp_path: Path, open_clip: OpenClip
) -> None:
    path = tmp_path / "v.wav"
    media.write_sound(path, media.tone(0.2))
    data = bytearray(path.read_bytes())
    data[24:28] = (1).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    found = probe(open_clip(path))
    assert (found.has_audio, found.audio_rate_hz, found.integrity.complete) == (True, 1, False)
    assert "1 Hz" in (found.integrity.first_error or "")


def test_no_media_is_unreadable(tmp_path: Path, open_clip: OpenClip) -> None:
    path = tmp_path / "v.mp4"
    path.write_text("not a video")
    with pytest.raises(UnreadableMedia):
        probe(open_clip(path))


def test_a_known_hash_is_not_taken_again(videos: Videos, open_clip: OpenClip) -> None:
    clip = open_clip(videos("b_frames.mp4").path)
    facts = clip.path.stat()
    known = MediaId(sha256="ab" * 32, size_bytes=facts.st_size, mtime_ns=facts.st_mtime_ns)
    clip.record = clip.record.model_copy(update={"media": known})
    assert probe(clip).sha256 == "ab" * 32
