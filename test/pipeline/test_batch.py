"""A batch from plan to files: the columns follow the dimensions in the settings."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reelscope.errors import ConfigError
from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.plan import plan_batch
from reelscope.records import Description, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Settings


def settings_of(folder: Path, *dimensions: dict[str, Any]) -> Settings:
    return Settings.model_validate(
        {"paths": {"data": folder}, "description": {"dimensions": dimensions}}
    )


def described(source: VideoSource, mood: str) -> VideoRecord:
    answer = {"value": mood, "confidence": 0.5, "evidence": []}
    value = Description.model_validate(
        {"model": "m", "mode": "live", "dimensions": {"mood": answer}, "missing": [],
         "truncated": False, "repairs": [], "refusal": None, "images": [],
         "usage": {"requests": 1, "input_tokens": 1, "cached_input_tokens": 0,
                   "output_tokens": 1, "cost_usd": None}}
    )  # fmt: skip
    record = StageRecord(status="ok", key="0" * 64, engine="test 1", value=value)
    return VideoRecord(source=source).with_stage("describe", record)


def test_a_dimension_of_ones_own_is_in_every_file(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, {"name": "mood", "instruction": "How one feels."})
    source = VideoSource(creator="anna", video_id="1", frames_id="1")
    batch = plan_batch([source], settings, batch_id="b", default_id="x", only=["platform"])
    store = RecordStore(batch.folders.records)
    store.save(described(source, "=cheerful"))
    store.close()
    BatchRun(batch).run()

    folder, creator = tmp_path / "results" / "b", tmp_path / "analysis_results" / "anna"
    for path in (folder / "video_features_results.csv", creator / "anna.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
        assert row["description_mood"] == "'=cheerful"
        assert "description_tone" not in row
    table = pq.read_table(folder / "video_features_results.parquet")
    assert table.column("description_mood").to_pylist() == ["=cheerful"]
    assert table.schema.field("description_mood").metadata[b"description"] == b"How one feels."
    page = (folder / "data-dictionary.md").read_text(encoding="utf-8")
    assert "| `description_mood` | text |  | describe | How one feels. |" in page
    assert "| `dimensions.mood.value` | text |  | How one feels. |" in page
    assert "description_tone" not in page
    assert "- Mood: =cheerful" in (creator / "report.md").read_text(encoding="utf-8")


def test_two_dimensions_with_one_column_are_refused_before_anything_starts(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", {"name": "model"})
    with pytest.raises(ConfigError, match="description_model: model and Reelscope's own"):
        plan_batch([], settings, batch_id="b", default_id="x")
    assert not list(tmp_path.iterdir())
