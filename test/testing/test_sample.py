"""The committed sample is what scripts/make_sample.py draws, and what is promised of it."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from reelscope.records import Platform


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_sample", repository / "scripts/make_sample.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(repository: Path) -> list[Path]:
    return sorted((repository / "data" / "tiktok_videos").rglob("*.mp4"))


def pictures(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [f.time for f in frames], [f.to_ndarray(format="gray") for f in frames]


def test_the_sample_is_all_of_the_script_and_under_three_megabytes(
    repository: Path, files: list[Path], script: ModuleType
) -> None:
    assert files == sorted(video.path(repository / "data") for video in script.VIDEOS)
    everything = [p for p in (repository / "data" / "tiktok_videos").rglob("*") if p.is_file()]
    assert sum(path.stat().st_size for path in everything) < 3_000_000


def test_every_creator_of_the_list_has_videos(repository: Path, script: ModuleType) -> None:
    with (repository / "data" / "creators.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["username"]: row["note"] for row in csv.DictReader(file)}
    assert rows == script.CREATORS
    assert {video.creator for video in script.VIDEOS} == set(rows)


@pytest.mark.slow
def test_one_video_drawn_again_shows_the_same(
    repository: Path, script: ModuleType, tmp_path: Path
) -> None:
    video = next(v for v in script.VIDEOS if v.video_id == "7300000000000000002")
    truth = script.write(video, tmp_path)
    times, committed = pictures(video.path(repository / "data"))
    again_times, again = pictures(truth.path)
    assert times == again_times
    assert times == pytest.approx(truth.frame_times_s, abs=1e-6)
    # Another processor may round otherwise; another picture differs by far more.
    worst = max(
        float(np.abs(a.astype(int) - b).mean()) for a, b in zip(committed, again, strict=True)
    )
    assert worst < 2.0
    assert truth.cuts_s == (3.6,)
    assert [words.text for words in truth.texts] == [
        "BUTTER BISCUITS", "200 g flour", "150 g butter", "60 g sugar", "12 minutes at 180 °C",
    ]  # fmt: skip


def test_there_is_something_for_every_stage(script: ModuleType) -> None:
    scenes = [scene for video in script.VIDEOS for scene in video.scenes]
    assert any(scene.black for scene in scenes)
    assert any(scene.blur for scene in scenes)
    assert any(scene.fade_out_s for scene in scenes)
    assert sum(video.sound is None for video in script.VIDEOS) == 1
    assert {video.size[0] > video.size[1] for video in script.VIDEOS} == {True, False}
    assert any(video.how.get("vfr") for video in script.VIDEOS)


def test_sidecars_say_what_a_platform_can_say(files: list[Path], script: ModuleType) -> None:
    sidecars = [path.with_suffix(".json") for path in files if path.with_suffix(".json").exists()]
    assert len(sidecars) >= 2
    for path in sidecars:
        said = Platform.model_validate(json.loads(path.read_text(encoding="utf-8")))
        assert said.name == "tiktok"
        assert said.hashtags
        assert all(f"#{tag}" in (said.caption or "") for tag in said.hashtags)
