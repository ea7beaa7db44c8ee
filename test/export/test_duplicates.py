"""The report on duplicates: nothing from outside is markup, a formula or a program."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import OutputError
from reelscope.export.duplicates import (
    COLUMNS,
    MOST_SHOWN,
    NAMES,
    duplicates_page,
    report_data,
    text,
    write_duplicates,
)
from reelscope.music.dedupe import DuplicateReport, find_duplicates
from reelscope.settings import MusicDedupe
from reelscope.store.audio_fingerprint import AssetPrint

HOSTILE = ("=1+1", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\nb\u202egpj",
           "+cmd", "@x", "-2", "\x1b[31m", "&amp;")  # fmt: skip


def items(seed: int = 0, count: int = 200) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)


def report(names: tuple[str, ...] = HOSTILE) -> DuplicateReport:
    rows = [
        AssetPrint(
            name,
            f"/music/{name}",
            "completed",
            format="mp3",
            duration=61.0,
            fingerprint=items(),
            file_size=5_000_000 + n,
            bit_rate=128_000 + n,
            sample_rate=44100,
            channels=2,
            lossless=False,
            engine="own",
        )
        for n, name in enumerate(names)
    ]
    flips = np.random.default_rng(5).random((200, 32)) < 0.3
    changed = items() ^ np.packbits(flips, axis=1).view(np.uint32)[:, 0]
    rows.append(AssetPrint("related", "/r", "completed", fingerprint=changed))
    rows.append(AssetPrint("<b>", "/x", "failed", error_message="<i>broken</i>"))
    return find_duplicates(rows, MusicDedupe())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_shows_hostile_names_and_runs_none() -> None:
    page = duplicates_page(report())
    tags = Tags()
    tags.feed(page)
    assert not tags.names & {"script", "img", "b>", "a", "link", "iframe", "object"}
    assert tags.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    assert "default-src 'none'" in page
    assert "<script>alert(1)</script>" in tags.texts
    assert not re.search(r"https?://|[\x00-\x09\x0b-\x1f\u202e]", page)


def test_the_page_says_what_was_found() -> None:
    tags = Tags()
    tags.feed(duplicates_page(report()))
    shown = " ".join(tags.texts)
    expected = [
        "Duplicates", "Groups", "keep", "its bit rate is the highest", "mp3, 128 kbit/s", "1:01",
        "5.0 MB", "identical", "related", "Not compared", "<i>broken</i>",
    ]  # fmt: skip
    for words in expected:
        assert words in shown, words


def test_a_page_of_nothing() -> None:
    page = duplicates_page(find_duplicates([], MusicDedupe()))
    assert "None." in page


def test_a_long_page_ends_and_says_so() -> None:
    rows = [AssetPrint(str(n), f"/{n}", "failed") for n in range(MOST_SHOWN + 7)]
    page = duplicates_page(find_duplicates(rows, MusicDedupe()))
    assert page.count("<tr>") == MOST_SHOWN + 1
    assert "7 more stand in duplicates.json" in page


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path) -> None:
    path = write_duplicates(tmp_path, report())[0]
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["role"] for row in rows].count("keep") == 1
    assert {row["role"] for row in rows} == {"keep", "duplicate", "pair"}
    for row in rows:
        for name in ("asset_id", "file_key", "other_asset_id"):
            assert not row[name].lstrip().startswith(("=", "+", "-", "@")), row[name]
    assert "'=1+1" in {row["asset_id"] for row in rows}


def test_rows_of_a_group_say_how_they_lie_to_the_kept_one(tmp_path: Path) -> None:
    whole = items(1, 400)
    rows = [
        AssetPrint("long", "/long", "completed", fingerprint=whole, lossless=True),
        AssetPrint("late", "/late", "completed", fingerprint=whole[40:]),
    ]
    for turned in (rows, rows[::-1]):
        path = write_duplicates(tmp_path, find_duplicates(turned, MusicDedupe()))[0]
        keep, duplicate = csv.DictReader(io.StringIO(path.read_text("utf-8")))
        assert (keep["asset_id"], keep["other_asset_id"], keep["similarity"]) == ("long", "", "")
        assert (duplicate["other_asset_id"], duplicate["similarity"]) == ("long", "1.0")
        assert float(duplicate["offset_s"]) == pytest.approx(-40 * 1365 / 11025, abs=0.01)


def test_the_json_holds_all(tmp_path: Path) -> None:
    given = report()
    path = write_duplicates(tmp_path, given)[1]
    data = json.loads(path.read_text())
    assert data == json.loads(json.dumps(report_data(given)))
    assert data["counts"]["groups"] == {"groups": 1, "duplicates": len(HOSTILE) - 1}
    assert data["counts"]["engines"] == {"own": len(HOSTILE)}
    assert {m["asset_id"] for m in data["groups"][0]["members"]} == set(HOSTILE)
    assert data["not_compared"][0]["error"] == "<i>broken</i>"
    assert "fingerprint" not in path.read_text()


def test_text_is_cut_and_cleaned() -> None:
    assert text(None) == ""
    assert text("a\x00b\ud800<") == "a�b�&lt;"
    assert len(text("x" * 10_000)) == 200


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="duplicates"):
        write_duplicates(tmp_path / "file", report())
    assert [path.name for path in write_duplicates(tmp_path / "new", report())] == list(NAMES)
