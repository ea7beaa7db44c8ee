"""Folders of campaigns as people have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reelscope.errors import UsageError
from reelscope.music.campaigns import read_campaigns


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_suffixes_in_any_case_and_folders_in_folders(tmp_path: Path) -> None:
    touch(
        tmp_path, "b/Song.MP3", "b/deep/er/x.Flac", "a/1.wav", "a/2.m4a", "a/3.ogg", "a/4.aac",
        "a/5.OPUS", "a/6.mp4", "a/cover.jpg", "a/.hidden.mp3", "a/._song.mp3", ".git/x.mp3",
    )  # fmt: skip
    found = read_campaigns(tmp_path)
    assert found.ids == ("a", "b")
    assert [(t.campaign_id, t.name) for t in found.tracks] == [
        ("a", "1.wav"), ("a", "2.m4a"), ("a", "3.ogg"), ("a", "4.aac"), ("a", "5.OPUS"),
        ("a", "6.mp4"), ("b", "Song.MP3"), ("b", "deep/er/x.Flac"),
    ]  # fmt: skip
    assert not found.problems
    assert all(track.path.is_file() for track in found.tracks)


def test_what_gives_nothing_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "good/a.mp3", "empty/readme.txt", "loose.wav", "notes.txt")
    (tmp_path / "void").mkdir()
    problems = dict(read_campaigns(tmp_path).problems)
    assert problems.keys() == {"empty", "void", "loose.wav"}
    assert "no sound" in problems["void"]
    assert "no campaign's folder" in problems["loose.wav"]


@pytest.mark.parametrize("name", ["a'b", 'quo"te', "semi;colon", "ä🎵", "-rf", "=1+1", "a b\nc"])
def test_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/x.mp3")
    assert read_campaigns(tmp_path).ids == (name,)


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/x.mp3")
    camp = tmp_path / "camp" / "c"
    camp.mkdir(parents=True)
    (camp / "song.mp3").symlink_to(tmp_path / "elsewhere" / "x.mp3")
    (camp / "loop").symlink_to(camp)
    (camp / "itself.mp3").symlink_to(camp / "itself.mp3")
    assert [track.name for track in read_campaigns(tmp_path / "camp").tracks] == ["song.mp3"]


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "good/a.mp3")
    touch(tmp_path, *(os.fsdecode(name) for name in (b"\xff/a.mp3", b"good/\xfe.mp3")))
    found = read_campaigns(tmp_path)
    assert [track.name for track in found.tracks] == ["a.mp3"]
    assert len(found.problems) == 2
    assert all("UTF-8" in problem for _, problem in found.problems)


def test_nothing_to_compare_with_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no campaign with a sound"):
        read_campaigns(tmp_path)
    with pytest.raises(UsageError, match="No such file"):
        read_campaigns(tmp_path / "none")
    touch(tmp_path, "file")
    with pytest.raises(UsageError, match="directory"):
        read_campaigns(tmp_path / "file")
