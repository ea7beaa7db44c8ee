"""What a clip gives of every bad file: what can be had, or one readable sentence. Never a hang."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelscope.errors import MediaError, UnreadableMedia
from reelscope.media.clip import Clip
from reelscope.media.probe import probe
from reelscope.records import VideoRecord, VideoSource
from reelscope.settings import Media
from reelscope.testing import hostile
from reelscope.testing.hostile import BAD_FILES

QUICK = [name for name, bad in BAD_FILES.items() if not bad.slow and name != "closed"]


def clip_of(path: Path) -> Clip:
    source = VideoSource(creator="bad", video_id="bad", path=str(path), frames_id="bad")
    return Clip(source, VideoRecord(source=source), Media(), frames_root=path.parent / "frames")


def sentence(error: MediaError) -> str:
    """What a person reads; it must be one."""
    text = str(error)
    assert len(text) > 15
    assert "Traceback" not in text
    assert "Errno" not in text
    return text


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", QUICK)
def test_a_clip_gives_what_can_be_had_or_says_why_not(name: str, tmp_path: Path) -> None:
    bad = BAD_FILES[name]
    with clip_of(bad.make(tmp_path)) as clip:
        if not (bad.video or bad.audio):
            with pytest.raises(UnreadableMedia) as caught:
                everything(clip)
            sentence(caught.value)
            return
        assert (clip.info.has_video, clip.info.has_audio) == (bad.video, bad.audio)
        assert clip.info.duration_s
        if bad.video:
            check_pictures(clip)
        if bad.audio:
            check_sound(clip)
        assert probe(clip).integrity.complete == bad.whole


def everything(clip: Clip) -> None:
    """Ask for all that a clip has; of a bad file, something must raise."""
    if clip.missing_video() is None:
        assert clip.frames
    if clip.missing_audio() is None:
        assert clip.audio.samples(16000).size


def check_pictures(clip: Clip) -> None:
    times = [frame.time_s for frame in clip.frames]
    assert times == sorted(set(times))
    assert all(0 <= time_s <= (clip.info.duration_s or 0) for time_s in times)
    sizes = {frame.image.shape for frame in clip.frames}
    assert len(sizes) == 1
    assert sum(1 for _ in clip.thumbnails()) >= 1
    for _, image in clip.full(times[:2]):
        assert image.shape == (clip.info.height, clip.info.width, 3)


def check_sound(clip: Clip) -> None:
    heard = sum(len(block) for block in clip.audio.blocks(16000, block_s=1.0))
    assert heard / 16000 == pytest.approx(clip.audio.duration_s, abs=0.1)


@pytest.mark.slow
def test_two_hours_are_read_in_bounded_memory(tmp_path: Path) -> None:
    import resource

    with clip_of(BAD_FILES["two_hours"].make(tmp_path)) as clip:
        assert clip.info.duration_s == pytest.approx(7319, abs=1)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert len(clip.frames) == Media().max_frames
        heard = sum(len(block) for block in clip.audio.blocks(16000))
        assert heard / 16000 == pytest.approx(7319, abs=1)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        assert grown_kb < 200_000  # the sound alone is 468 MB


def test_what_is_not_ours_to_read_is_not_read(tmp_path: Path) -> None:
    """A playlist in a video's clothes must not pull in the file that it names."""
    secret = BAD_FILES["audio_only"].make(tmp_path)
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"ffconcat version 1.0\nfile 'file:{secret.name}'\n",
    ):
        script = tmp_path / "script.mp4"
        script.write_text(text)
        with clip_of(script) as clip, pytest.raises(UnreadableMedia):
            clip.info  # noqa: B018


@pytest.mark.timeout(100)
@pytest.mark.parametrize("name", ["truncated", "truncated_webm", "no_head", "ten_bit", "av1"])
def test_damaged_copies_give_what_can_be_had_or_say_why_not(name: str, tmp_path: Path) -> None:
    """A quick share of the mutations; test_mutations.py runs hundreds through everything."""
    data = BAD_FILES[name].make(tmp_path).read_bytes()
    for seed in range(12):
        path = tmp_path / f"{seed}{Path(BAD_FILES[name].file_name).suffix}"
        path.write_bytes(hostile.mutate(data, seed))
        with clip_of(path) as clip:
            try:
                info = probe(clip)
                assert info.duration_s is None or 0 <= info.duration_s < 1e6
                everything(clip)
            except MediaError as error:
                sentence(error)
