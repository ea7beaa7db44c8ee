"""Records on disk: whole or not there, equal after reading, one batch at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reelscope.atomic import TEMPORARY_SUFFIX
from reelscope.errors import BatchLocked
from reelscope.pipeline.checkpoint import (
    RECORD_NAME,
    RecordStore,
    batch_lock,
    read_record,
    record_json,
)
from reelscope.records import Platform, StageRecord, VideoRecord, VideoSource

SOURCE = VideoSource(creator="ana", video_id="1", frames_id="1", path='odd "name"\n.mp4')


def full_record() -> VideoRecord:
    value = Platform(name="t", caption='{"stages":{}} \u2028 "quoted"', hashtags=("a", "b"))
    record = VideoRecord(source=SOURCE)
    record = record.with_stage(
        "platform", StageRecord(status="ok", key="k", engine="e", value=value)
    )
    return record.with_stage(
        "voice", StageRecord(status="skipped", key="k", engine="e", reason="no sound")
    )


def test_a_record_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / RECORD_NAME
    path.write_text(record_json(full_record()), encoding="utf-8")
    assert read_record(path) == full_record()
    json.loads(path.read_text(encoding="utf-8"))


def test_a_hostile_path_cannot_forge_stages(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"path": '"stages":{}'})
    record = full_record().model_copy(update={"source": source})
    (tmp_path / "r").write_text(record_json(record), encoding="utf-8")
    assert read_record(tmp_path / "r") == record


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', "\x00" * 50])
def test_what_is_no_record_is_made_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).write_text(text)
    assert read_record(tmp_path / RECORD_NAME) is None
    assert read_record(tmp_path / "absent.json") is None


def test_a_value_of_another_version_is_dropped_and_the_rest_stays(tmp_path: Path) -> None:
    data = json.loads(record_json(full_record()))
    data["stages"]["platform"]["value"]["unknown_key"] = 1
    data["stages"]["from_the_future"] = {**data["stages"]["platform"]}
    (tmp_path / RECORD_NAME).write_text(json.dumps(data))
    record = read_record(tmp_path / RECORD_NAME)
    assert record is not None
    assert set(record.stages) == {"voice"}


def test_the_store_writes_the_last_state_and_cleans_up(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    record = full_record()
    for number in range(50):
        source = SOURCE.model_copy(update={"url": f"https://x.test/{number}"})
        record = record.model_copy(update={"source": source})
        store.save(record)
    store.close()
    folder = tmp_path / "ana" / "1"
    assert read_record(folder / RECORD_NAME) == record
    leftover = folder / f".abc{TEMPORARY_SUFFIX}"
    leftover.write_text("half a rec")
    assert store.load(record.source) == record
    assert not leftover.exists()
    assert list(store.creator_records("ana")) == [record]


def test_a_second_run_on_a_batch_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from reelscope.errors import BatchLocked\n"
        "from reelscope.pipeline.checkpoint import batch_lock\n"
        "try:\n"
        "    with batch_lock(Path(sys.argv[1])): print('held')\n"
        "except BatchLocked as error: print(error)\n"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with batch_lock(tmp_path):
        assert "is being worked on by another run" in other()
        with pytest.raises(BatchLocked), batch_lock(tmp_path):
            pass
    assert other() == "held\n"
