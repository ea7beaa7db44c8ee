"""Videos on disk, and the names that they get."""

import json
import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.crawl.creators import Creator
from reelscope.crawl.folder import file_videos, find_folder, folder_videos, with_frames_ids
from reelscope.crawl.names import safe_name
from reelscope.errors import UsageError
from reelscope.records import VideoRecord, VideoSource

ANNA = Creator("anna")


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def ids(sources: list[VideoSource]) -> list[tuple[str, str]]:
    return [(source.creator, source.video_id) for source in sources]


def test_every_ordinary_file_counts_but_what_lies_beside_videos(tmp_path: Path) -> None:
    make(tmp_path / "anna", "b.mp4", "a.MKV", "c", "d.mp3", "e.webm", "sub/f.mp4", ".hidden.mp4",
         "b.json", "b.info.json", "b.en.vtt", "b.JPG", "x.mp4.part", "x.mp4.ytdl", "notes.txt",
         "y.mp4.part-Frag3", "b.mp4~", "Thumbs.db")  # fmt: skip
    found = folder_videos(tmp_path, ANNA)
    assert [s.video_id for s in found] == ["a", "b", "c", "d", "e"]
    assert [Path(s.path or "").name for s in found] == ["a.MKV", "b.mp4", "c", "d.mp3", "e.webm"]
    assert all(s.creator == "anna" and s.frames_id == s.video_id for s in found)
    assert all(s.platform and s.platform.name == "folder" for s in found)


def test_the_sidecar_speaks_for_the_video(tmp_path: Path) -> None:
    make(tmp_path / "anna", "a.mp4", "b.mp4")
    (tmp_path / "anna/a.json").write_text(json.dumps({"name": "tiktok", "counts": {"likes": 3}}))
    first, second = folder_videos(tmp_path, ANNA)
    assert first.platform is not None
    assert first.platform.name == "tiktok"
    assert first.platform.counts is not None
    assert first.platform.counts.likes == 3
    assert second.platform is not None
    assert second.platform.name == "folder"


def test_files_that_share_a_stem_are_told_apart(tmp_path: Path) -> None:
    names = ["B.mp4", "a.mov", "a.mp4", "b.mkv", "c.mp4", "d.mkv", "d.mp4", "d.mp4.mkv"]
    make(tmp_path / "anna", *names)
    found = [s.video_id for s in folder_videos(tmp_path, ANNA)]
    assert found[:6] == ["B.mp4", "a.mov", "a.mp4", "b.mkv", "c", "d.mkv"]
    # The stem of the last is the name of the one before it: a digest tells them apart.
    assert [name[:-10] for name in found[6:]] == ["d.mp4-", "d.mp4.mkv-"]


def test_no_video_takes_the_name_of_a_file_that_is_exported(tmp_path: Path) -> None:
    names = ("report.md", "report.html", "anna.csv", "ANNA.json", "berta.csv")
    make(tmp_path / "anna", *(f"{name}.mp4" for name in names))
    found = [s.video_id for s in folder_videos(tmp_path, ANNA)]
    assert found == [
        "ANNA.json.mp4",
        "anna.csv.mp4",
        "berta.csv",
        "report.html.mp4",
        "report.md.mp4",
    ]


def test_file_names_are_made_safe(tmp_path: Path) -> None:
    make(
        tmp_path / "anna", "-rf.mp4", "..mp4", "a b\n.mp4", "CON.mp4", "🎬.mp4", "n" * 200 + ".mp4"
    )
    found = folder_videos(tmp_path, ANNA)
    assert len(found) >= 5
    for source in found:
        assert safe_name(source.video_id) == source.video_id
    assert len({s.video_id for s in found}) == len(found)


def test_only_ordinary_files_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "anna"
    make(folder, "a.mp4")
    make(tmp_path, "elsewhere/b.mp4")
    os.mkfifo(folder / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path must be short
        try:
            server.bind("socket.mp4")
        finally:
            os.chdir(here)
    (folder / "device.mp4").symlink_to("/dev/zero")
    (folder / "broken.mp4").symlink_to("nowhere")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "linked.mp4").symlink_to(tmp_path / "elsewhere/b.mp4")
    (folder / "folder.mp4").symlink_to(tmp_path / "elsewhere")
    assert [s.video_id for s in folder_videos(tmp_path / "root", ANNA)] == ["a", "linked"]


def test_a_name_that_is_not_utf_8_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path / "anna", "a.mp4")
    (tmp_path / "anna" / os.fsdecode(b"caf\xe9.mp4")).touch()
    assert [s.video_id for s in folder_videos(tmp_path, ANNA)] == ["a"]
    assert "not UTF-8" in caplog.text
    with pytest.raises(UsageError, match="not UTF-8"):
        file_videos([tmp_path / "anna" / os.fsdecode(b"caf\xe9.mp4")])


def test_the_folder_is_found_in_other_capitals(tmp_path: Path) -> None:
    make(tmp_path, "Anna/a.mp4", "Zoë/a.mp4")
    assert find_folder(tmp_path, ANNA) == tmp_path / "Anna"
    assert ids(folder_videos(tmp_path, ANNA)) == [("anna", "a")]
    assert find_folder(tmp_path, Creator("zoë")) == tmp_path / "Zoë"
    assert find_folder(tmp_path, Creator("berta")) is None
    assert folder_videos(tmp_path / "nowhere", ANNA) == []


def test_a_folder_of_the_exact_name_goes_first(tmp_path: Path) -> None:
    make(tmp_path, "Anna/a.mp4", "anna/b.mp4")
    assert ids(folder_videos(tmp_path, ANNA)) == [("anna", "b")]


def test_a_username_that_is_no_folder_name_is_found_by_either(tmp_path: Path) -> None:
    creator = Creator("Anna Müller")
    make(tmp_path, f"{creator.folder}/a.mp4")
    assert ids(folder_videos(tmp_path, creator)) == [(creator.folder, "a")]
    make(tmp_path, "Anna Müller/b.mp4")
    assert ids(folder_videos(tmp_path, creator)) == [(creator.folder, "b")]


# ------------------------------------------------------------------------------ analyze


def test_folders_are_walked_and_give_the_creators(tmp_path: Path) -> None:
    make(tmp_path / "clips", "z.mp4", "anna/a.mp4", "anna/deep/c.mp4", "berta/a.mp4",
         ".git/x.mp4", "anna/a.json")  # fmt: skip
    (tmp_path / "clips/again").symlink_to(tmp_path / "clips")
    found = file_videos([tmp_path / "clips"])
    assert ids(found) == [("clips", "z"), ("anna", "a"), ("deep", "c"), ("berta", "a")]


def test_files_belong_to_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "My Clips", "a.mp4", "b.txt", ".c.mp4")
    monkeypatch.chdir(tmp_path / "My Clips")
    found = file_videos([Path("a.mp4"), Path("b.txt"), Path(".c.mp4"), Path("../My Clips/a.mp4")])
    creator = safe_name("My Clips")
    assert ids(found) == [(creator, "a"), (creator, safe_name(".c"))]
    assert found[0].path == "a.mp4"


def test_folders_of_one_name_are_told_apart_by_their_videos(tmp_path: Path) -> None:
    make(tmp_path, "x/day/a.mp4", "y/day/a.mp4", "y/day/b.mp4")
    found = file_videos([tmp_path / "x", tmp_path / "y"])
    assert {s.creator for s in found} == {"day"}
    assert len({s.video_id for s in found}) == 3
    assert found == file_videos([tmp_path / "x", tmp_path / "y"])


@pytest.mark.parametrize("name", ["absent.mp4", "fifo", "empty", "notes.txt", "nul\0"])
def test_a_path_without_a_video_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").mkdir()
    make(tmp_path, "notes.txt")
    with pytest.raises(UsageError) as caught:
        file_videos([tmp_path / name])
    assert name in str(caught.value)


# ---------------------------------------------------------------------------- frames id


def video(creator: str, video_id: str, frames_id: str = "?") -> VideoSource:
    return VideoSource(creator=creator, video_id=video_id, frames_id=frames_id)


def store(root: Path, source: VideoSource) -> None:
    folder = root / source.creator / source.video_id
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(VideoRecord(source=source).model_dump_json())


def frames_ids(sources: list[VideoSource], root: Path) -> list[str]:
    return [s.frames_id for s in with_frames_ids(sources, root)]


def test_the_frames_folder_is_the_video_id_where_that_is_enough(tmp_path: Path) -> None:
    found = [video("anna", "1"), video("anna", "2"), video("berta", "3")]
    assert frames_ids(found, tmp_path / "nowhere") == ["1", "2", "3"]


def test_the_creator_joins_where_two_have_the_same_id(tmp_path: Path) -> None:
    found = [video("anna", "1"), video("berta", "1"), video("berta", "2")]
    assert frames_ids(found, tmp_path) == ["1_anna", "1_berta", "2"]
    assert frames_ids([video("a", "v"), video("b", "V")], tmp_path) == ["v_a", "V_b"]


def test_what_is_on_disk_counts_and_keeps_its_name(tmp_path: Path) -> None:
    store(tmp_path, video("anna", "1", "1"))
    both = [video("anna", "1"), video("berta", "1")]
    assert frames_ids(both, tmp_path) == ["1", "1_berta"]
    assert frames_ids(both[1:], tmp_path) == ["1_berta"]
    store(tmp_path, video("berta", "1", "1_berta"))
    assert frames_ids(both, tmp_path) == ["1", "1_berta"]


@pytest.mark.parametrize("record", ["", "[]", '{"source": 3}', '{"source":{"frames_id":"../x"}}'])
def test_a_broken_record_is_no_authority(tmp_path: Path, record: str) -> None:
    folder = tmp_path / "anna" / "1"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record)
    assert frames_ids([video("anna", "1")], tmp_path) == ["1"]


parts = st.text("ab_", min_size=1, max_size=3).map(safe_name)
pairs = st.lists(st.tuples(parts, parts), unique=True, max_size=8)


@given(pairs, pairs)
def test_no_two_videos_share_frames_and_names_stay(
    earlier: list[tuple[str, str]], later: list[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        first = with_frames_ids([video(*pair) for pair in earlier], root)
        for source in first:
            store(root, source)
        second = with_frames_ids([video(*pair) for pair in later], root)
        again = with_frames_ids(first, root)
    assert again == first
    owners = {(s.creator, s.video_id): s.frames_id for s in first}
    for source in second:
        pair = (source.creator, source.video_id)
        assert owners.setdefault(pair, source.frames_id) == source.frames_id
        assert safe_name(source.frames_id) == source.frames_id
    assert len({f.casefold() for f in owners.values()}) == len(owners)
