"""creators.csv as people save it."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelscope.crawl.creators import CreatorList, read_creators
from reelscope.crawl.table import MAX_FILE_BYTES
from reelscope.errors import CsvError


def read(folder: Path, text: str | bytes, encoding: str = "utf-8") -> CreatorList:
    path = folder / "creators.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_creators(path)


def names(found: CreatorList) -> list[str]:
    return [creator.username for creator in found.creators]


def test_a_plain_file_is_read_without_a_word(tmp_path: Path) -> None:
    found = read(tmp_path, "username,source,note\nanna,folder,first\nb.c_d,,\n")
    assert names(found) == ["anna", "b.c_d"]
    assert [c.line for c in found.creators] == [2, 3]
    assert found.creators[0].columns == {"source": "folder", "note": "first"}
    assert found.creators[1].columns == {"source": "", "note": ""}
    assert (found.notes, found.problems) == ((), ())


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_any_separator_line_end_and_encoding(
    tmp_path: Path, separator: str, end: str, encoding: str
) -> None:
    rows = ["name|username|city", "Zoë|zoë|Köln", "", "Дарья|дарья|", "||", "初音|初音ミク|札幌"]
    text = end.join(row.replace("|", separator) for row in rows)
    found = read(tmp_path, text, encoding)
    assert names(found) == ["zoë", "дарья", "初音ミク"]
    assert [c.line for c in found.creators] == [2, 4, 6]
    assert found.creators[0].columns == {"name": "Zoë", "city": "Köln"}
    assert (found.notes, found.problems) == ((), ())


def test_utf_32_and_latin_1(tmp_path: Path) -> None:
    assert names(read(tmp_path, "username\nzoë\n", "utf-32")) == ["zoë"]
    found = read(tmp_path, "username\nanna\nzoë\n", "latin-1")
    assert names(found) == ["anna", "zoë"]
    assert str(found.notes[0]).startswith("line 3: not UTF-8")


def test_excel_may_state_its_separator(tmp_path: Path) -> None:
    found = read(tmp_path, "sep=;\r\nusername;a,b,c\r\nanna;1,2,3\r\n")
    assert names(found) == ["anna"]
    assert found.creators[0].line == 3
    assert found.creators[0].columns == {"a,b,c": "1,2,3"}


@pytest.mark.parametrize(
    ("cell", "username"),
    [
        ("@anna", "anna"),
        (" @@anna ", "anna"),
        ("https://www.tiktok.com/@anna", "anna"),
        ("https://www.tiktok.com/@anna?lang=en", "anna"),
        ("http://m.tiktok.com/@anna/video/71234#x", "anna"),
        ("TikTok.com/@anna/", "anna"),
        ("https://www.tiktok.com/@zo%C3%AB", "zoë"),
        ("an\u200bna\ufeff", "anna"),
        ("\u202eanna", "anna"),
        ('"anna"', "anna"),
        ("zoe\u0308", "zoë"),
        ("CON", "CON"),
        (".anna", ".anna"),
        ("anna.", "anna."),
        ("Anna Müller", "Anna Müller"),
        ("a" * 64, "a" * 64),
    ],
)
def test_usernames_are_cleaned(tmp_path: Path, cell: str, username: str) -> None:
    found = read(tmp_path, f"username\n{cell}\n")
    assert names(found) == [username]
    folder = found.creators[0].folder
    assert Path("root", folder).parent == Path("root")
    if folder != username:
        assert any(folder in str(note) for note in found.notes)
    if cell.strip(' "') not in (username, "zoe\u0308"):
        assert "was read as" in str(found.notes[0])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("../../etc", "'/' in it"),
        ("a/b", "'/' in it"),
        ("a\\b", "in it"),
        ("..", "not a name"),
        ("@", "no username"),
        ("a" * 65, "more than 64"),
        ("an\x07na", "'\\x07' in it"),
        ("an\x00na", "'\\x00' in it"),
        ("=cmd|' /C calc'!A0", "'=' in it"),
        ("anna@example.com", "'@' in it"),
        ("# a comment", "'#' in it"),
        ("https://vm.tiktok.com/ZMabc/", "not the address of a TikTok profile"),
        ("https://www.tiktok.com/@", "no username"),
        ("https://www.tiktok.com/@..%2F..%2Fetc", "'/' in it"),
        ("https://example.com/anna", "not the address"),
        ('""', "is empty"),
        ("x" * 200_000, "far too long"),
        ("🎬", "in it"),
    ],
)
def test_a_bad_line_is_refused_by_number_and_the_others_stay(
    tmp_path: Path, cell: str, reason: str
) -> None:
    found = read(tmp_path, f"note,username\n,anna\nkept,{cell}\n,berta\n".replace("|", "¦"))
    assert names(found) == ["anna", "berta"]
    (problem,) = found.problems
    assert problem.line == 3
    assert reason in problem.text
    assert len(str(problem)) < 200


def test_a_quote_left_open_costs_its_cell_only_and_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, 'username,x\nanna,1\n"berta,2\ncarla,3\n')
    assert names(found) == ["anna"]
    assert str(found.problems[0]).startswith("line 3: ")
    assert "quote left open" in str(found.problems[0])


def test_line_numbers_count_the_lines_of_quoted_cells(tmp_path: Path) -> None:
    found = read(tmp_path, 'username,note\nanna,"one\ntwo"\n\nberta,x\na/b,y\n')
    assert [(c.username, c.line) for c in found.creators] == [("anna", 2), ("berta", 5)]
    assert found.creators[0].columns["note"] == "one\ntwo"
    assert found.problems[0].line == 6


def test_duplicates_are_kept_once_and_both_lines_named(tmp_path: Path) -> None:
    found = read(tmp_path, "username,note\nAnna,first\nberta,\n@aNNa,second\n")
    assert names(found) == ["Anna", "berta"]
    assert found.creators[0].columns == {"note": "first"}
    assert [str(n) for n in found.notes] == ["line 4: 'aNNa' stands in line 2 already; kept once"]


@pytest.mark.parametrize("header", ["Username", "USER NAME", "User_Name", "unique_id", "handle"])
def test_the_column_may_be_called_a_little_differently(tmp_path: Path, header: str) -> None:
    assert names(read(tmp_path, f"x;{header}\n1;anna\n")) == ["anna"]


def test_username_goes_before_its_synonyms(tmp_path: Path) -> None:
    found = read(tmp_path, "creator,username\nAnna A.,anna\n")
    assert names(found) == ["anna"]
    assert found.creators[0].columns == {"creator": "Anna A."}


def test_odd_headers_keep_every_column(tmp_path: Path) -> None:
    found = read(tmp_path, "username,,x,x\nanna,1,2,3,4,5\nberta\n")
    assert found.creators[0].columns == {"column_2": "1", "x": "2", "x_4": "3"}
    assert found.creators[1].columns == {"column_2": "", "x": "", "x_4": ""}
    assert [str(n) for n in found.notes] == [
        "line 2: 2 more cells than the header has; they were left out"
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n \n\r\n", "is empty"),
        (b"username,x\n\n", "no creator below"),
        (b"username,x\na/b,1\n..,2\n", "no usable creator\n  line 2: .*\n  line 3: "),
        (b"name,city\nanna,Rome\n", "no column `username` .*; found 'name', 'city'"),
        (b"anna\nberta\n", "no column `username` .*; found 'anna'"),
        (b"PK\x03\x04....", "save it as CSV"),
        (b"username\n\x81\x8d\n", "line 2 is not text"),
        (b"\xff\xfeu", "not whole utf-16"),
        (b"\0" * 100, "no column"),
        (b"x" * (MAX_FILE_BYTES + 1), "larger than 16 MB"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    with pytest.raises(CsvError, match=sentence) as caught:
        read(tmp_path, data)
    assert "creators.csv" in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["absent.csv", ".", "nul\0.csv"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(CsvError, match=r"no such file|cannot be read"):
        read_creators(tmp_path / name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs an endless file")
def test_an_endless_line_is_bounded() -> None:
    with pytest.raises(CsvError, match="larger than"):
        read_creators(Path("/dev/zero"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_else(tmp_path: Path, data: bytes) -> None:
    for start in (b"", b"username\n", b'user;x\n"'):
        try:
            found = read(tmp_path, start + data)
        except CsvError:
            continue
        for creator in found.creators:
            assert Path("root", creator.folder).parent == Path("root")
            assert not set(creator.username) & set("/\\\0\n")
            assert creator.username.strip(".")


handles = st.text("abcdefgh._123", min_size=1, max_size=24).filter(lambda t: t.strip("."))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(handles, st.text(st.characters(exclude_categories=("C", "Z")))), min_size=1),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_a_csv_writer_wrote_is_read_back(
    tmp_path: Path, rows: list[tuple[str, str]], separator: str, end: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([("username", "note"), *rows])
    found = read(tmp_path, text.getvalue())
    assert names(found) == list(dict.fromkeys(name for name, _ in rows))
    assert not found.problems
