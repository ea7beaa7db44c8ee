"""Tables of videos as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelscope.crawl.video_table import VideoLine, read_video_table
from reelscope.errors import CsvError


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "header", ["path", "File Path", "FILE_PATH", "video-path", "\ufefffile", "video", "filename"]
)
def test_the_column_has_many_names(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.mp4").touch()
    lines, notes = read_video_table(write(tmp_path / "t.csv", f"{header}\na.mp4\n"))
    assert lines == [VideoLine(2, "a", tmp_path / "a.mp4")]
    assert not notes


def test_paths_addresses_and_ids(tmp_path: Path) -> None:
    text = (
        "video_id;url;path\n"
        "1;https://example.com/1.mp4;a.mp4\n"
        "2;https://example.com/2.mp4;\n"
        ";https://example.com/3.mp4;\n"
        ";;/far/away/b.mov\n\n"
        "5;ftp://example.com/x;\n"
        "6;;\n"
    )
    (tmp_path / "a.mp4").touch()
    lines, _ = read_video_table(write(tmp_path / "t.csv", text))
    assert [(line.video_id, line.path, line.url) for line in lines] == [
        ("1", tmp_path / "a.mp4", None),
        ("2", None, "https://example.com/2.mp4"),
        ("https://example.com/3.mp4", None, "https://example.com/3.mp4"),
        ("b", Path("/far/away/b.mov"), None),
        ("5", None, None),
        ("6", None, None),
    ]
    assert "only http and https" in str(lines[4].error)
    assert lines[5].error == "neither a path nor an address"


def test_the_same_id_twice(tmp_path: Path) -> None:
    text = "id,path\n1,a.mp4\n1,a.mp4\n1,b.mp4\n"
    lines, notes = read_video_table(write(tmp_path / "t.csv", text))
    assert [(line.video_id, line.error is None) for line in lines] == [
        ("1", True), ("1 (line 4)", False),
    ]  # fmt: skip
    assert notes == [(3, "stands in line 2 already; taken once")]


def test_what_is_hostile_costs_its_line(tmp_path: Path) -> None:
    long = "x" * 200_000
    text = f"id,path\n\x1b[2J,a.mp4\n2,b\x00.mp4\n{long},c.mp4\n'; DROP TABLE x; --,d.mp4\n"
    lines, _ = read_video_table(write(tmp_path / "t.csv", text))
    assert [line.video_id for line in lines] == [
        "line 2", "2", "line 4", "'; DROP TABLE x; --",
    ]  # fmt: skip
    assert [line.error is None for line in lines] == [False, False, False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no video"),
        ("path\n", "no video"),
        ("name,size\na,1\n", "no column says where"),
        (b"PK\x03\x04", "workbook"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(CsvError, match=says):
        read_video_table(write(tmp_path / "t.csv", text))
    with pytest.raises(CsvError, match="no such file"):
        read_video_table(tmp_path / "none.csv")
