"""Videos with the same sound are one group, in whatever order they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

import reelscope
from reelscope.pipeline.checkpoint import read_record
from reelscope.settings import Settings
from reelscope.testing.melody import RATE_HZ as MELODY_HZ
from reelscope.testing.melody import melody, write_wav
from reelscope.testing.sounds import mix, silence
from reelscope.testing.speech import speech_like

RATE_HZ = 16_000

pytestmark = pytest.mark.slow


def tune(seed: int, seconds: float = 16.0) -> NDArray[np.float32]:
    samples = melody(seed, seconds)
    return np.asarray(soxr.resample(samples, MELODY_HZ, RATE_HZ), np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound, a repost from its second 4 on, one sped up under speech, and strangers."""
    root = tmp_path_factory.mktemp("videos")
    sound, talk = tune(1), speech_like(12.0, rate_hz=RATE_HZ, seed=2, rms=0.05)[0]
    fast = np.asarray(soxr.resample(sound, RATE_HZ * 1.25, RATE_HZ), np.float32)
    said = speech_like(12.0, rate_hz=RATE_HZ, seed=3)[0]
    sounds = {
        "ana/a": sound,
        "berta/b": sound[4 * RATE_HZ :],
        "carla/c": mix(fast[: len(talk)], talk[: len(fast)]),
        "ana/other": tune(5),
        "ana/said": said,
        "dora/said": said[2 * RATE_HZ :] * 0.5,
        "dora/quiet": silence(5.0, rate_hz=RATE_HZ),
    }
    return {
        name: write_wav(root / f"{name}.wav", samples, RATE_HZ) for name, samples in sounds.items()
    }


def run(
    files: dict[str, Path],
    data: Path,
    names: Sequence[str],
    batch: str = "b",
    **groups: Any,
) -> dict[str, dict[str, str]]:
    settings = Settings.model_validate(
        {
            "paths": {"data": data, "logs": data / "logs"},
            "music": {"groups": {"enabled": True, **groups}},
        }
    )
    done = reelscope.analyze(
        [files[name] for name in names], settings=settings, batch_id=batch, only=["probe"]
    )
    notes = [note for note in done.summary.problems if note.where == "sound_group"]
    assert notes == []
    return rows(data / "results" / batch / "video_features_results.csv")


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {f"{row['creator']}/{row['video_id']}": row for row in csv.DictReader(file)}


def groups(table: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: row["sound_group"] for name, row in table.items()}


ALL = ("ana/a", "berta/b", "carla/c", "ana/other", "ana/said", "dora/said", "dora/quiet")
EXPECTED = {
    "ana/a": "ana/a",
    "berta/b": "ana/a",
    "carla/c": "ana/a",
    "ana/other": "ana/other",
    "ana/said": "ana/said",
    "dora/said": "ana/said",
    "dora/quiet": "",
}


def test_reposts_are_one_group_with_their_offset_and_speed(
    files: dict[str, Path], tmp_path: Path
) -> None:
    table = run(files, tmp_path, ALL)
    assert groups(table) == EXPECTED
    assert [table[name]["sound_group_videos"] for name in ALL] == ["3", "3", "3", "1", "2", "2", ""]
    assert float(table["ana/a"]["sound_group_offset_s"]) == 0
    assert float(table["berta/b"]["sound_group_offset_s"]) == pytest.approx(4, abs=0.1)
    assert float(table["carla/c"]["sound_group_offset_s"]) == pytest.approx(0, abs=0.2)
    assert float(table["carla/c"]["sound_group_tempo"]) == pytest.approx(1.25, abs=0.01)
    assert float(table["dora/said"]["sound_group_offset_s"]) == pytest.approx(2, abs=0.1)
    results = tmp_path / "analysis_results"
    assert rows(results / "berta" / "berta.csv")["berta/b"]["sound_group"] == "ana/a"
    assert "Same sound: 2 other videos" in (results / "berta" / "report.md").read_text()
    (video,) = json.loads((results / "berta" / "berta.json").read_text())["videos"]
    assert video["stages"]["sound_group"]["value"]["group"] == "ana/a"
    record = read_record(results / "berta" / "b" / "record.json")
    assert record is not None and "sound_group" not in record.stages


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_batches_makes_no_difference(
    order: Sequence[int], files: dict[str, Path], tmp_path: Path
) -> None:
    batches = [("ana/a", "ana/other"), ("berta/b", "dora/said"), ("carla/c", "ana/said")]
    for number in order:
        run(files, tmp_path, batches[number], f"b{number}")
    found: dict[str, str] = {}
    for number in order:  # again: everything is known, and the tables are written anew
        found |= groups(run(files, tmp_path, batches[number], f"b{number}"))
    assert found == {name: EXPECTED[name] for batch in batches for name in batch}


def test_runs_at_the_same_time_see_each_other(files: dict[str, Path], tmp_path: Path) -> None:
    batches = {"x": ("ana/a", "ana/other"), "y": ("berta/b", "dora/said"), "z": ("carla/c",)}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda item: run(files, tmp_path, item[1], item[0]), batches.items()))
    found: dict[str, str] = {}
    for batch, names in batches.items():
        found |= groups(run(files, tmp_path, names, batch))
    assert found["berta/b"] == found["carla/c"] == found["ana/a"] == "ana/a"
    assert found["ana/other"] == "ana/other"


def test_a_video_that_has_become_another_leaves_its_group(
    files: dict[str, Path], tmp_path: Path
) -> None:
    mine = dict(files)
    mine["berta/b"] = tmp_path / "berta" / "b.wav"
    mine["berta/b"].parent.mkdir()
    mine["berta/b"].write_bytes(files["berta/b"].read_bytes())
    assert groups(run(mine, tmp_path, ("ana/a", "berta/b")))["berta/b"] == "ana/a"
    mine["berta/b"].write_bytes(files["ana/other"].read_bytes())
    table = run(mine, tmp_path, ("ana/a", "berta/b"))
    assert groups(table) == {"ana/a": "ana/a", "berta/b": "berta/b"}
    assert table["ana/a"]["sound_group_videos"] == "1"


def test_off_it_makes_nothing(files: dict[str, Path], tmp_path: Path) -> None:
    table = run(files, tmp_path, ("ana/a", "berta/b"), enabled=False)
    assert set(groups(table).values()) == {""}
    assert not (tmp_path / "sounds").exists()


def test_a_damaged_library_of_sounds_is_said_and_loses_no_table(
    files: dict[str, Path], tmp_path: Path
) -> None:
    run(files, tmp_path, ("ana/a",))
    (tmp_path / "sounds" / "index" / "manifest.json").write_text("{}")
    settings = Settings.model_validate(
        {"paths": {"data": tmp_path, "logs": tmp_path}, "music": {"groups": {"enabled": True}}}
    )
    done = reelscope.analyze(files["berta/b"], settings=settings, batch_id="c", only=["probe"])
    (note,) = [note for note in done.summary.problems if note.where == "sound_group"]
    assert "manifest.json" in note.message
    assert rows(tmp_path / "results" / "c" / "video_features_results.csv").keys() == {"berta/b"}


def test_the_first_is_the_one_posted_first() -> None:
    from datetime import UTC, datetime

    from reelscope.music.sound_groups import Grouped, group
    from reelscope.store.sound_links import SoundLink

    posted = {"a/1": None, "b/2": datetime(2025, 2, 1, tzinfo=UTC), "c/3": None, "d/4": None}
    links = [
        SoundLink("a/1", "video", "b/2", 10.0, 2.0, 1.0),
        SoundLink("c/3", "track", "t", 30.0, 1.0, 1.0),
        SoundLink("b/2", "track", "t", 20.0, 0.5, 1.0),
        SoundLink("d/4", "video", "gone/5", 1.0, 1.0, 1.0),
    ]
    found = group(posted, links)
    assert found["a/1"] == Grouped("b/2", 10.0, 2.0, 3)
    assert found["b/2"] == Grouped("b/2", 0.0, 1.0, 3)
    assert found["c/3"] == Grouped("b/2", 20.0, 2.0, 3)  # 30 s of the track is its second 20
    assert found["d/4"] == Grouped("d/4", 0.0, 1.0, 1)
