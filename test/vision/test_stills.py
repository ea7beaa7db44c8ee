"""Stills: names, files that are made and removed, and nothing outside the folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.errors import OutputError
from reelscope.records import Similarity, StageRecord
from reelscope.settings import Stills as StillsSettings
from reelscope.testing import media
from reelscope.vision.stills import STILL_NAME, StillsStage, read_still, still_name, write_stills


@pytest.fixture
def clip(tmp_path: Path, open_clip):
    scenes = [media.Scene(1.5, text="ONE"), media.Scene(1.5, colour=(40, 90, 200))]
    truth = media.write_video(tmp_path / "v.mp4", scenes, size=(540, 960), fps=10, rotation=90)
    return open_clip(truth.path)


def keep(clip, times_s: list[float]) -> None:
    value = Similarity(groups=(), kept_s=tuple(times_s))
    entry = StageRecord(status="ok", key="test", engine="test", value=value)
    clip.record = clip.record.with_stage("similarity", entry)


def files(clip) -> list[str]:
    return sorted(path.name for path in clip.frames_dir.iterdir())


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and cv2.PSNR(a, b) > 28


# -------------------------------------------------------------------------------- names


def test_a_name_is_the_time() -> None:
    assert still_name(3.48) == "00003.480000s.jpg"
    assert still_name(-0.0) == still_name(0.0) == "00000.000000s.jpg"


@given(st.lists(st.integers(0, 99_999_999_999), min_size=2, unique=True))
def test_names_are_unique_and_sort_by_time(times_us: list[int]) -> None:
    names = [still_name(time_us / 1e6) for time_us in sorted(times_us)]
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    assert all(STILL_NAME.fullmatch(name) for name in names)


@given(st.floats(-1e4, 1e6))
def test_every_name_is_known_as_ours(time_s: float) -> None:
    assert STILL_NAME.fullmatch(still_name(time_s))


# -------------------------------------------------------------------------------- files


def test_kept_frames_are_written_at_full_size(clip) -> None:
    times_s = [clip.frames[k].time_s for k in (0, 2)]
    keep(clip, times_s)
    (outcome,) = StillsStage(StillsSettings()).run([clip])
    found = outcome.value
    assert files(clip) == [still.file for still in found.frames] == [still_name(t) for t in times_s]
    assert found.folder == clip.frames_dir.name
    for still, (_, full) in zip(found.frames, clip.full(times_s), strict=True):
        path = clip.frames_dir / still.file
        assert (still.width, still.height) == (540, 960)
        assert still.size_bytes == path.stat().st_size
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        assert close(image, full)


def test_the_same_call_writes_the_same_bytes(clip) -> None:
    time_s = clip.frames[1].time_s
    first = write_stills(clip, [time_s], jpeg_quality=90)
    before = (clip.frames_dir / first.frames[0].file).read_bytes()
    assert write_stills(clip, [time_s], jpeg_quality=90) == first
    assert (clip.frames_dir / first.frames[0].file).read_bytes() == before
    smaller = write_stills(clip, [time_s], jpeg_quality=40)
    assert smaller.frames[0].size_bytes < first.frames[0].size_bytes


def test_frames_that_are_no_longer_kept_are_removed_and_nothing_else(clip) -> None:
    first, second = clip.frames[0].time_s, clip.frames[2].time_s
    write_stills(clip, [first, second], jpeg_quality=90)
    others = ["notes.txt", "00001.000000s.jpeg", "chosen_00001.000000s.jpg", "1.0s.jpg"]
    for name in others:
        (clip.frames_dir / name).write_text("not ours")
    (clip.frames_dir / still_name(77)).mkdir()
    write_stills(clip, [second], jpeg_quality=90)
    assert files(clip) == sorted([*others, still_name(second), still_name(77)])
    assert write_stills(clip, [], jpeg_quality=90).frames == ()
    assert files(clip) == sorted([*others, still_name(77)])


def test_no_frames_make_no_folder(clip) -> None:
    assert write_stills(clip, [], jpeg_quality=90).frames == ()
    assert not clip.frames_dir.exists()


def test_links_are_replaced_or_removed_but_never_followed(clip, tmp_path: Path) -> None:
    time_s = clip.frames[0].time_s
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    clip.frames_dir.mkdir(parents=True)
    for name in (still_name(time_s), still_name(55)):
        (clip.frames_dir / name).symlink_to(outside)
    write_stills(clip, [time_s], jpeg_quality=90)
    assert outside.read_text() == "precious"
    assert files(clip) == [still_name(time_s)]
    assert not (clip.frames_dir / still_name(time_s)).is_symlink()


def test_a_folder_that_leads_elsewhere_is_refused(clip, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clip.frames_dir.parent.mkdir(parents=True)
    clip.frames_dir.symlink_to(elsewhere)
    for call in (
        lambda: write_stills(clip, [0.0], jpeg_quality=90),
        lambda: read_still(clip, 0.0),
    ):
        with pytest.raises(OutputError, match="is a link to another place"):
            call()
    assert list(elsewhere.iterdir()) == []


def test_a_folder_that_cannot_be_written_says_so(clip) -> None:
    clip.frames_dir.parent.mkdir(parents=True)
    clip.frames_dir.write_text("a file in the way")
    with pytest.raises(OutputError, match="could not be written"):
        write_stills(clip, [0.0], jpeg_quality=90)


# ------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("damage", ["none", "deleted", "cut", "emptied", "link", "nonsense"])
def test_a_still_can_always_be_read(clip, tmp_path: Path, damage: str) -> None:
    time_s = clip.frames[1].time_s
    found = write_stills(clip, [time_s], jpeg_quality=90)
    entry = StageRecord(status="ok", key="test", engine="test", value=found)
    clip.record = clip.record.with_stage("stills", entry)
    path = clip.frames_dir / found.frames[0].file
    whole = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    elif damage == "link":
        (tmp_path / "other.jpg").write_bytes(whole)
        path.unlink()
        path.symlink_to(tmp_path / "other.jpg")
    elif damage != "none":
        damaged = {"cut": whole[:-2000], "emptied": b"", "nonsense": b"\0" * len(whole)}
        path.write_bytes(damaged[damage])
    (_, full), *_ = clip.full([time_s])
    assert close(read_still(clip, time_s), full)
    assert path.read_bytes() == whole
    assert not path.is_symlink()


def test_a_still_needs_no_stage_before_it(clip) -> None:
    time_s = clip.frames[0].time_s
    image = read_still(clip, time_s, jpeg_quality=50)
    assert image.shape == (960, 540, 3)
    assert files(clip) == [still_name(time_s)]


def test_sound_alone_is_skipped(tmp_path: Path, open_clip) -> None:
    truth = media.write_sound(tmp_path / "a.m4a", media.tone(1.0))
    (outcome,) = StillsStage(StillsSettings()).run([open_clip(truth.path)])
    assert outcome.reason == "there is no video stream"
