"""The files of one creator."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reelscope.errors import OutputError
from reelscope.export.columns import columns
from reelscope.export.creator import export_creator
from reelscope.records import VideoRecord
from reelscope.settings import Describe

Make = Callable[..., VideoRecord]
COLUMNS = columns(Describe().dimensions)


def test_table_records_and_report_in_order(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "analysis_results" / "anna"
    records = [make(video_id="2"), make(video_id="10"), make(video_id="1", without=("voice",))]
    export_creator(records, folder, table=COLUMNS)
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["anna.csv", "anna.json", "report.html", "report.md"]

    with (folder / "anna.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert [row["video_id"] for row in rows] == ["1", "10", "2"]
    assert [row["speech_s"] for row in rows] == ["", "4.5", "4.5"]

    full = json.loads((folder / "anna.json").read_text())
    assert (full["schema_version"], full["creator"]) == (1, "anna")
    read = [VideoRecord.model_validate(video) for video in full["videos"]]
    assert read == sorted(records, key=lambda r: r.source.video_id)

    report = (folder / "report.md").read_text()
    assert "../../tiktok_frames/10/chosen_0.jpg" in report
    (tmp_path / "tiktok_frames").mkdir()
    assert (folder / "../../tiktok_frames").resolve() == tmp_path / "tiktok_frames"


def test_the_frames_may_stand_elsewhere(make: Make, tmp_path: Path) -> None:
    export_creator(
        [make()], tmp_path / "out" / "anna", frames_root=tmp_path / "my frames", table=COLUMNS
    )
    report = (tmp_path / "out" / "anna" / "report.md").read_text()
    assert "(../../my%20frames/1/chosen_0.jpg)" in report


def test_the_same_records_give_the_same_bytes(make: Make, tmp_path: Path) -> None:
    records = [make(video_id=name) for name in "321"]
    export_creator(records, tmp_path / "a" / "anna", table=COLUMNS)
    turned = [
        r.model_copy(update={"stages": dict(reversed(r.stages.items()))}) for r in records[::-1]
    ]
    export_creator(iter(turned), tmp_path / "b" / "anna", table=COLUMNS)
    for path in (tmp_path / "a" / "anna").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / "anna" / path.name).read_bytes(), path.name


def test_no_records_give_empty_files_that_can_be_read(tmp_path: Path) -> None:
    export_creator([], tmp_path / "zoë", table=COLUMNS)
    assert json.loads((tmp_path / "zoë" / "zoë.json").read_text())["videos"] == []
    assert (tmp_path / "zoë" / "zoë.csv").read_text().count("\n") == 1


def test_a_failure_on_the_way_changes_nothing(make: Make, tmp_path: Path) -> None:
    export_creator([make()], tmp_path / "anna", table=COLUMNS)
    before = {p: p.read_bytes() for p in (tmp_path / "anna").iterdir()}
    with pytest.raises(ValueError, match="in order"):
        export_creator(
            iter([make(video_id="2"), make(video_id="1")]), tmp_path / "anna", table=COLUMNS
        )
    assert {p: p.read_bytes() for p in (tmp_path / "anna").iterdir()} == before


def test_a_file_in_the_way_is_said(make: Make, tmp_path: Path) -> None:
    (tmp_path / "anna").write_text("")
    with pytest.raises(OutputError, match="a file is where a folder should be"):
        export_creator([make()], tmp_path / "anna", table=COLUMNS)


def test_the_summary_of_the_creator_goes_into_the_report(make: Make, tmp_path: Path) -> None:
    said = {"overview": "She shows lipsticks."}
    export_creator([make()], tmp_path / "anna", table=COLUMNS, creator_summary=said)
    assert "- Overview: She shows lipsticks." in (tmp_path / "anna" / "report.md").read_text()
