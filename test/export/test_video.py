"""The files in a video's own folder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reelscope.errors import OutputError
from reelscope.export.transcript import TEXT_FILES
from reelscope.export.video import VIDEO_FILES, export_video
from reelscope.records import SpeechRate, StageRecord, VideoRecord

Make = Callable[..., VideoRecord]


def test_files_with_what_the_record_says(make: Make, tmp_path: Path) -> None:
    record = make()
    folder = tmp_path / "anna" / "1"
    export_video(record, folder)
    assert {p.name for p in folder.iterdir()} == {*VIDEO_FILES, *TEXT_FILES}
    assert "Hello." in (folder / "speech_transcription.txt").read_text()
    found = {name: json.loads((folder / name).read_text()) for name in VIDEO_FILES}
    stages = json.loads(record.model_dump_json())["stages"]

    audio = found["audio_analysis_results.json"]
    assert audio["voice"] == stages["voice"]["value"]
    assert audio["events"] == stages["events"]["value"]
    assert audio["events"]["loudness"]["integrated_lufs"] == -23.1
    assert audio["sounds"] == stages["sounds"]["value"]
    assert audio["sounds"]["timeline"][0]["labels"] == ["Music", "Laughter"]
    assert audio["missing"] == {}

    assert found["speech_rate_analysis.json"] == stages["speech_rate"]["value"]

    chosen = found["representative_timestamps.json"]
    assert chosen["timestamps_s"] == [0.0, 1.0]
    assert [frame["reason"] for frame in chosen["frames"]] == ["sharpest", "text"]
    assert (chosen["creator"], chosen["video_id"], chosen["frames_folder"]) == ("anna", "1", "1")


def test_the_speech_rate_has_exactly_the_keys_that_were_agreed() -> None:
    assert set(SpeechRate.model_fields) == {
        "speech_rate_wpm", "syllables_per_minute", "rate_category", "rate_score",
        "consistency_score", "pause_score", "clarity_score", "overall_score", "detailed_report",
        "metrics", "method",
    }  # fmt: skip


def test_half_of_the_sound_is_given_with_the_reason_for_the_other(
    make: Make, tmp_path: Path, failed: StageRecord
) -> None:
    export_video(make(events=failed), tmp_path)
    audio = json.loads((tmp_path / "audio_analysis_results.json").read_text())
    assert audio["events"] is None
    assert audio["voice"]["speech_s"] == 4.5
    assert audio["missing"] == {"events": "failed: no stream | in it <b>"}


def test_without_values_there_are_no_files_and_old_ones_go(
    make: Make, tmp_path: Path, failed: StageRecord, skipped: StageRecord
) -> None:
    export_video(make(), tmp_path)
    (tmp_path / "record.json").write_text("{}")
    own = {"embeddings.npz": "embed", "vocals.flac": "separate", "accompaniment.flac": "separate"}
    for name in own:
        (tmp_path / name).write_bytes(b"of the stage itself")
    export_video(make(), tmp_path)
    assert all((tmp_path / name).exists() for name in own)
    lost = {"events": skipped, "transcribe": skipped, "speech_rate": failed, "choose": failed}
    lost |= dict.fromkeys(own.values(), skipped)
    export_video(make(voice=skipped, **lost), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]
    export_video(make(without=tuple(make().stages)), tmp_path / "not made")
    assert not (tmp_path / "not made").exists()


def test_the_same_record_gives_the_same_bytes(make: Make, tmp_path: Path) -> None:
    export_video(make(), tmp_path / "a")
    export_video(VideoRecord.model_validate_json(make().model_dump_json()), tmp_path / "b")
    for name in (*VIDEO_FILES, *TEXT_FILES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_folder_in_the_way_is_said(make: Make, tmp_path: Path) -> None:
    (tmp_path / "speech_rate_analysis.json").mkdir()
    with pytest.raises(OutputError, match=r"speech_rate_analysis\.json"):
        export_video(make(), tmp_path)
    with pytest.raises(OutputError, match=r"speech_rate_analysis\.json"):
        export_video(make(without=("speech_rate",)), tmp_path)
