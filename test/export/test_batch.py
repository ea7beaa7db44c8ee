"""The files of a batch: three formats that say the same."""

import csv
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from reelscope.export.batch import ErrorRow, export_batch
from reelscope.export.cells import csv_cell, iso
from reelscope.export.columns import columns, flat_row
from reelscope.export.parquet import VECTOR
from reelscope.records import StageRecord, VideoRecord
from reelscope.settings import Describe

Make = Callable[..., VideoRecord]
COLUMNS = columns(Describe().dimensions)
NAMES = ["data-dictionary.md", "errors.csv", "settings.yml", "summary.json",
         "video_features_results.csv", "video_features_results.json",
         "video_features_results.parquet"]  # fmt: skip


def export(records: Any, folder: Path) -> Path:
    settings = {"text": {"max_side": 960}, "paths": {"data": "dätä"}}
    summary = {"videos": 2, "stopped": None}
    export_batch(
        records, folder, table=COLUMNS, settings=settings, summary=summary, dictionary="# Wörter\n"
    )
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_csv_json_and_parquet_agree(make: Make, failed: StageRecord, tmp_path: Path) -> None:
    odd = {"caption": '=cmd|" /C"\n\x00, ok', "counts": None, "posted_at": None}
    records = [make("berta", "1", platform=odd), make("anna", "2"), make("anna", "1", voice=failed)]
    folder = export(records, tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == NAMES

    expected = [flat_row(records[i], COLUMNS) for i in (2, 1, 0)]
    table = pq.read_table(folder / "video_features_results.parquet")
    assert table.drop_columns(VECTOR).to_pylist() == expected
    as_csv = [{name: csv_cell(value) for name, value in row.items()} for row in expected]
    assert read_csv(folder / "video_features_results.csv") == as_csv
    assert as_csv[2]["caption"] == '\'=cmd|" /C" , ok'
    as_json = json.loads(json.dumps(expected, default=iso))
    assert json.loads((folder / "video_features_results.json").read_text()) == as_json
    assert as_json[2]["caption"] == odd["caption"]


def test_parquet_states_types_units_and_version(make: Make, tmp_path: Path) -> None:
    schema = pq.read_schema(export([make()], tmp_path) / "video_features_results.parquet")
    assert schema.names == [*(column.name for column in COLUMNS), VECTOR]
    assert schema.metadata[b"schema_version"] == b"1"
    assert schema.field("plays").type == pa.int64()
    assert schema.field("duration_s").type == pa.float64()
    assert schema.field("posted_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("is_ad").type == pa.bool_()
    assert schema.field("video_id").type == pa.string()
    assert schema.field("duration_s").metadata[b"unit"] == b"s"
    assert all(field.nullable for field in schema)


def test_the_vector_is_in_the_parquet_file_alone(
    make: Make, failed: StageRecord, tmp_path: Path
) -> None:
    empty = {"dimensions": 0, "frames": [], "mean": []}
    records = [make("a", "1"), make("a", "2", embed=failed), make("a", "3", embed=empty)]
    table = pq.read_table(export(records, tmp_path) / "video_features_results.parquet")
    assert table.schema.field(VECTOR).type == pa.list_(pa.float32())
    found = table.column(VECTOR).to_pylist()
    assert found == [pytest.approx([0.6, -0.8]), None, None]
    assert VECTOR not in read_csv(tmp_path / "video_features_results.csv")[0]
    assert VECTOR not in json.loads((tmp_path / "video_features_results.json").read_text())[0]


def test_every_failure_has_a_row_and_skips_have_none(
    make: Make, failed: StageRecord, skipped: StageRecord, tmp_path: Path
) -> None:
    again = failed.model_copy(update={"kind": "timeout", "retryable": True})
    records = [make("b", "1", text=failed, voice=skipped, probe=again), make("a", "1", text=failed)]
    rows = read_csv(export(records, tmp_path) / "errors.csv")
    assert list(rows[0]) == list(ErrorRow.model_fields)
    assert [(r["creator"], r["stage"], r["kind"], r["retryable"]) for r in rows] == [
        ("a", "text", "unreadable", "false"),
        ("b", "probe", "timeout", "true"),
        ("b", "text", "unreadable", "false"),
    ]
    assert rows[0]["message"] == "no stream | in it <b>"


def test_settings_and_summary_are_written_as_they_are(make: Make, tmp_path: Path) -> None:
    export([make()], tmp_path)
    text = (tmp_path / "settings.yml").read_text()
    assert "dätä" in text
    assert yaml.safe_load(text) == {"text": {"max_side": 960}, "paths": {"data": "dätä"}}
    assert (tmp_path / "data-dictionary.md").read_text() == "# Wörter\n"
    assert json.loads((tmp_path / "summary.json").read_text()) == {"videos": 2, "stopped": None}


def test_no_records_give_files_that_can_be_read(tmp_path: Path) -> None:
    export([], tmp_path)
    assert read_csv(tmp_path / "video_features_results.csv") == []
    assert json.loads((tmp_path / "video_features_results.json").read_text()) == []
    assert pq.read_table(tmp_path / "video_features_results.parquet").num_rows == 0
    assert read_csv(tmp_path / "errors.csv") == []


def test_the_same_records_give_the_same_bytes(make: Make, tmp_path: Path) -> None:
    records = [make("a", "1"), make("a", "2"), make("b", "1")]
    export(records[::-1], tmp_path / "x")
    export(iter(records), tmp_path / "y")
    for name in NAMES:
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes(), name


def test_a_stream_out_of_order_changes_nothing(make: Make, tmp_path: Path) -> None:
    export([make("a", "1")], tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="in order"):
        export(iter([make("b", "1"), make("a", "1")]), tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_long_stream_is_not_held_in_memory(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelscope.export.parquet.ROWS_PER_GROUP", 20)
    record = make()

    def stream(count: int) -> Iterator[VideoRecord]:
        for number in range(count):
            source = record.source.model_copy(update={"video_id": f"{number:06}"})
            yield record.model_copy(update={"source": source})

    def peak(count: int) -> int:
        tracemalloc.reset_peak()
        export(stream(count), tmp_path / str(count))
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        peak(10)  # what is loaded once
        short, long = peak(40), peak(200)
    finally:
        tracemalloc.stop()
    assert long < short + 300_000  # a row alone takes about 5,000 bytes
    assert pq.ParquetFile(tmp_path / "200" / NAMES[-1]).num_row_groups == 10
