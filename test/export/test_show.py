"""A record in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reelscope.media.pictures import write_jpeg
from reelscope.pipeline.checkpoint import RecordStore, record_json
from reelscope.records import Choice, VideoRecord

Make = Callable[..., VideoRecord]


@pytest.fixture
def saved(make: Make, tmp_path: Path) -> VideoRecord:
    """A record whose pictures stand below tmp_path/data, and the record itself as well."""
    record = make()
    choice = record.value(Choice)
    assert choice
    frames = []
    for frame in choice.frames:
        image = np.full((96, 54, 3), 128, np.uint8)
        path = tmp_path / "data" / "tiktok_frames" / "1" / frame.file
        size_bytes = write_jpeg(path, image, 80)
        frames.append(frame.model_copy(update={"bytes_after": size_bytes}))
    value = choice.model_copy(update={"frames": tuple(frames)})
    entry = record.stages["choose"].model_copy(update={"value": value})
    record = record.with_stage("choose", entry)
    folder = tmp_path / "data" / "analysis_results" / "anna" / "1"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record_json(record))
    return record


def shown(record: VideoRecord) -> str:
    html = record._repr_html_()
    assert html is not None
    return html


def pictures(record: VideoRecord) -> int:
    return shown(record).count("data:image/jpeg;base64,")


def test_it_shows_frames_timeline_and_tables(saved: VideoRecord, tmp_path: Path) -> None:
    html = shown(RecordStore(tmp_path / "data" / "analysis_results").load(saved.source))
    assert html.count("data:image/jpeg;base64,") == 2
    for part in ("Timeline of 13.1 s", "<style>", "A woman shows a lipstick.", "<summary>Stages",
                 "<code>sound_group</code>", "chosen frame</li>"):  # fmt: skip
        assert part in html, part
    assert "<script" not in html
    assert "href=" not in html, "files beside the notebook are not there"


def test_pictures_are_found_beside_the_store_it_was_read_from(
    saved: VideoRecord, tmp_path: Path
) -> None:
    record = RecordStore(tmp_path / "data" / "analysis_results").load(saved.source)
    assert pictures(record) == 2
    assert pictures(record.with_stage("x", record.stages["probe"])) == 2
    assert record == saved
    assert saved == record
    assert record.model_dump() == saved.model_dump()
    assert record_json(record) == record_json(saved)


def test_pictures_are_found_in_the_data_folder_of_the_settings(
    saved: VideoRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data" / "analysis_results" / "anna" / "1" / "record.json"
    record = VideoRecord.model_validate_json(path.read_bytes())
    assert pictures(record) == 0
    monkeypatch.setenv("REELSCOPE_PATHS__DATA", str(tmp_path / "data"))
    assert pictures(record) == 2


def test_pictures_are_found_above_the_video(saved: VideoRecord, tmp_path: Path) -> None:
    video = tmp_path / "data" / "tiktok_videos" / "anna" / "1.mp4"
    assert pictures(saved) == 0
    source = saved.source.model_copy(update={"path": str(video)})
    assert pictures(saved.model_copy(update={"source": source})) == 2


def test_a_picture_that_is_gone_is_named(saved: VideoRecord, tmp_path: Path) -> None:
    record = saved.read_beside(tmp_path / "data" / "tiktok_frames")
    (tmp_path / "data" / "tiktok_frames" / "1" / "chosen_0.jpg").unlink()
    html = shown(record)
    assert html.count("data:image/jpeg") == 1
    assert "chosen_0.jpg is no longer on disk" in html
    assert "chosen 1.jpg is no longer on disk" in shown(saved)


def test_another_video_of_the_same_name_lends_no_pictures(
    saved: VideoRecord, tmp_path: Path
) -> None:
    for path in (tmp_path / "data" / "tiktok_frames" / "1").iterdir():
        write_jpeg(path, np.zeros((10, 10, 3), np.uint8), 80)
    assert pictures(saved.read_beside(tmp_path / "data" / "tiktok_frames")) == 0


def test_a_record_of_which_nothing_is_known(make: Make) -> None:
    html = shown(make(without=tuple(make().stages)))
    assert "anna" in html
    assert "<svg" not in html


def test_a_hostile_record_stays_text(make: Make) -> None:
    source = make().source.model_copy(
        update={"frames_id": "\0", "path": "\0<img>", "creator": "<b>"}
    )
    record = make(platform={"caption": "</style><script>alert(1)</script>"})
    html = shown(record.model_copy(update={"source": source}))
    assert "<script" not in html
    assert html.count("</style>") == 1
    assert "&lt;b&gt;" in html
