"""Lists of addresses as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.crawl.names import safe_name
from reelscope.crawl.urls import UNKNOWN_CREATOR, UrlList, creator_of, read_urls
from reelscope.errors import CsvError
from reelscope.records import Platform, PlatformAuthor

ONE = "https://www.tiktok.com/@anna/video/7000000000000000001"
TWO = "https://example.org/watch?v=2&list=3"


def read(tmp_path: Path, data: bytes | str) -> UrlList:
    path = tmp_path / "urls.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_urls(path)


def pairs(found: UrlList) -> list[tuple[int, str]]:
    return [(it.line, it.url) for it in found.urls]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_with_comments_and_blanks(end: str, encoding: str, tmp_path: Path) -> None:
    lines = [
        "# mine",
        "",
        f"  {ONE}  # the first",
        "\t",
        f"<{TWO}#t=30>",
        "#" + TWO,
        "\u200b" + ONE,
    ]
    found = read(tmp_path, end.join(lines).encode(encoding))
    assert pairs(found) == [(3, ONE), (5, TWO)]
    assert [str(note) for note in found.notes] == ["line 7: stands in line 3 already; kept once"]
    assert found.problems == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["url", "URL", "Video URL", "link", "\u200burl"])
def test_a_table_with_its_other_columns(separator: str, name: str, tmp_path: Path) -> None:
    rows = [["campaign", name, "n"], ["a", ONE, "1"], ["", "", ""], ["b", f'"{TWO}"', "2"], ["c"]]
    found = read(tmp_path, "\n".join(separator.join(row) for row in rows))
    assert pairs(found) == [(2, ONE), (4, TWO)]
    assert [dict(it.columns) for it in found.urls] == [
        {"campaign": "a", "n": "1"},
        {"campaign": "b", "n": "2"},
    ]


@pytest.mark.parametrize(
    "bad",
    [
        "ftp://example.org/x", "file:///etc/passwd", "javascript:alert(1)", "anna", "@anna",
        "http://", "http://me:secret@example.org/", "http://a b.org/", "http://[::1",
        "http://example.org:99999/", "https://example.org/\x00", "data:text/html,x",
        "http://example.org/" + "x" * 9000, "-oProxyCommand=x", "ytsearch:cats",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_by_line(bad: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"{ONE}\n{bad}\n")
    assert pairs(found) == [(1, ONE)]
    assert [problem.line for problem in found.problems] == [2]
    assert "secret" not in str(found.problems[0])
    assert len(str(found.problems[0])) < 300


def test_a_list_without_anything_usable(tmp_path: Path) -> None:
    for data in ("", "\n\n", "# only this\n", "url\n", "anna\nbert\n"):
        with pytest.raises(CsvError, match="no usable address"):
            read(tmp_path, data)
    with pytest.raises(CsvError, match="line 1: 'anna'"):
        read(tmp_path, "anna\n")
    with pytest.raises(CsvError, match="no such file"):
        read_urls(tmp_path / "absent.txt")
    with pytest.raises(CsvError, match="Excel"):
        read(tmp_path, b"PK\x03\x04" + bytes(100))


def test_windows_text_and_huge_cells(tmp_path: Path) -> None:
    found = read(tmp_path, f"url;who\n{ONE};J\xf6rg\n".encode("cp1252"))
    assert found.urls[0].columns == {"who": "Jörg"}
    assert [note.line for note in found.notes] == [2]
    found = read(tmp_path, f"url,x\n{ONE},1\n{TWO},{'x' * 200_000}\n")
    assert pairs(found) == [(2, ONE)]
    assert [problem.line for problem in found.problems] == [3]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    try:
        found = read_urls(path)
    except CsvError:
        return
    assert all(it.url.startswith(("http://", "https://")) for it in found.urls)


def test_the_creator_of_an_address_is_who_posted_it() -> None:
    def folder(**author: str) -> str:
        return creator_of(Platform(name="x", author=PlatformAuthor(**author)))

    assert folder(username="anna", nickname="A") == "anna"
    assert folder(nickname="Anna Ä.") == safe_name("Anna Ä.")
    assert folder(username=" ", id="77") == "77"
    assert "/" not in folder(username="../../etc")
    assert creator_of(Platform(name="x")) == UNKNOWN_CREATOR
