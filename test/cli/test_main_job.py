"""The main job as a user calls it, on the committed sample."""

from __future__ import annotations

import contextlib
import csv
import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from reelscope.pipeline.checkpoint import batch_lock

QUICK = ("--skip", "text,transcribe", "--limit-per-creator", 1)
"""Reading and listening are most of the time; one video of each creator shows as much as all."""


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_the_main_job_leaves_the_outputs(workplace: Any) -> None:
    quicker = {
        "REELSCOPE_TEXT__MAX_FRAMES": "2",
        "REELSCOPE_MODELS__WHISPER__ENGINE": "faster-whisper",  # no weights: it is skipped
    }
    done = workplace.call("--csv", "data/creators.csv", **quicker)
    assert done.returncode == 0, done.stderr
    results = workplace.data / "results" / "creators"
    assert {path.name for path in results.iterdir() if not path.name.startswith(".")} == {
        "video_features_results.csv",
        "video_features_results.json",
        "video_features_results.parquet",
        "errors.csv",
        "settings.yml",
        "summary.json",
        "data-dictionary.md",
    }
    rows = table(results / "video_features_results.csv")
    videos = sorted((workplace.data / "tiktok_videos").glob("*/*.mp4"))
    assert len(rows) == len(videos) >= 4
    for video in videos:
        folder = workplace.data / "analysis_results" / video.parent.name / video.stem
        assert (folder / "record.json").exists()
        assert (folder / "representative_timestamps.json").exists()
        frames = workplace.data / "tiktok_frames" / video.stem
        assert list(frames.glob("*.jpg"))
    for creator in {video.parent.name for video in videos}:
        folder = workplace.data / "analysis_results" / creator
        assert (folder / f"{creator}.csv").exists()
        assert json.loads((folder / f"{creator}.json").read_text(encoding="utf-8"))
        assert (folder / "report.md").exists()
    assert (workplace.root / "logs" / "processing_logs.txt").exists()
    summary = workplace.summary()
    assert summary["videos_ended"] == len(videos)
    assert summary["videos_with_failures"] == 0
    assert all(stage["failed"] == 0 for stage in summary["stages"].values())


@pytest.mark.slow
def test_a_second_run_is_answered_by_the_first(workplace: Any) -> None:
    assert workplace.call(*QUICK).returncode == 0
    first = workplace.files()
    again = workplace.call("--resume", *QUICK)
    assert again.returncode == 0
    summary = workplace.summary()
    assert summary["videos_from_earlier_run"] == summary["videos"]
    assert "from earlier run" in again.stdout
    assert all(stage["ok"] == stage["failed"] == 0 for stage in summary["stages"].values())
    second = workplace.files()
    changed = {name for name in first if second.get(name) != first[name]}
    assert changed <= {"data/results/creators/summary.json", "logs/processing_logs.txt",
                       "data/results/creators/.lock"}  # fmt: skip


@pytest.mark.slow
def test_one_setting_runs_only_what_reads_it(workplace: Any) -> None:
    workplace.call(*QUICK)
    workplace.call(*QUICK, REELSCOPE_CHOOSE__JPEG_QUALITY="70")
    stages = workplace.summary()["stages"]
    assert {name for name, stage in stages.items() if stage["ok"]} == {"choose"}


def test_a_dry_run_tells_and_writes_nothing(workplace: Any) -> None:
    before = workplace.files()
    done = workplace.call("--dry-run", "--skip", "voice,choose")
    assert done.returncode == 0, done.stderr
    assert workplace.files() == before
    for expected in ("3 creators", "silero-vad", "rapidocr", "Nothing was written"):
        assert expected in done.stdout
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert "be left out" in lines["choose"]
    assert "it needs voice" in lines["speech_rate"]


@pytest.mark.slow
def test_limits_and_selection(workplace: Any) -> None:
    done = workplace.call("--limit-per-creator", 1, "--only", "keyframes", "--batch-id", "mine")
    assert done.returncode == 0
    summary = workplace.summary("mine")
    assert summary["videos"] == summary["creators"] == 3
    assert set(summary["stages"]) == {"keyframes"}


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        (["--csv", "none.csv"], {}, "none.csv"),
        (["--config", "none.yml"], {}, "none.yml"),
        (["--only", "nothing"], {}, "no stage is called 'nothing'"),
        (["--concurrency", "0"], {}, "processing.concurrency"),
        (["--source", "vimeo"], {}, "--source"),
        (["--since", "soon"], {}, "2026-05-31"),
        (["--batch-id", "../x"], {}, "--batch-id"),
        (["analyze", "none.mp4"], {}, "none.mp4"),
        (["--colour"], {}, "--colour"),
        ([], {"BATCH_SIZE": "many"}, "BATCH_SIZE"),
    ],
)
def test_a_wrong_call_is_told_and_nothing_is_written(
    workplace: Any, arguments: list[str], environ: dict[str, str], expected: str
) -> None:
    before = workplace.files()
    done = workplace.call(*arguments, **environ)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert workplace.files() == before


def test_nothing_succeeded_is_exit_1(workplace: Any) -> None:
    bad = workplace.root / "bad"
    bad.mkdir()
    (bad / "a.mp4").write_bytes(b"")
    (bad / "b.mp4").write_text("this is not a video")
    done = workplace.call("analyze", "bad")
    assert done.returncode == 1
    errors = table(workplace.data / "results" / "bad" / "errors.csv")
    assert {row["stage"] for row in errors} == {"probe"}
    assert len(errors) == 2


@pytest.mark.slow
def test_one_bad_video_does_not_stop_the_others(workplace: Any) -> None:
    (workplace.data / "tiktok_videos" / "mira.bakes" / "broken.mp4").write_bytes(b"\0" * 100)
    done = workplace.call("--only", "probe")
    assert done.returncode == 0
    assert workplace.summary()["videos_without_result"] == 1


@pytest.mark.slow
def test_two_runs_at_once_the_second_stops(workplace: Any) -> None:
    with batch_lock(workplace.data / "results" / "creators"):
        second = workplace.call(*QUICK)
        assert second.returncode == 2
        assert "another run" in second.stderr
        assert not (workplace.data / "analysis_results").exists()
    assert workplace.call("--only", "probe", "--limit-per-creator", 1).returncode == 0


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_exits_130(workplace: Any) -> None:
    run = workplace.start("--skip", "text,transcribe", "--concurrency", 1)
    while not list((workplace.data / "analysis_results").glob("*/*/record.json")):
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "goes on from here" in output
    assert workplace.call(*QUICK).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_9_at_20_random_moments_then_resume_gives_equal_records(
    workplace: Any, tmp_path_factory: pytest.TempPathFactory, repository: Any
) -> None:
    whole = type(workplace)(tmp_path_factory.mktemp("whole"), repository)
    start = time.monotonic()
    few = ("--limit-per-creator", 1)
    assert whole.call(*few).returncode == 0
    length_s = time.monotonic() - start
    moments = random.Random(20)
    kills = 0
    while kills < 20:
        run = workplace.start(*few)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(timeout=moments.uniform(0.2, 0.6) * length_s)
        if run.poll() is None:
            kills += 1
            run.kill()
        run.communicate()
        if run.returncode == 0:  # it got to the end: start from nothing for the next moments
            assert workplace.records() == whole.records()
            for path in (workplace.data / "analysis_results").glob("*/*/record.json"):
                path.unlink()
    assert workplace.call(*few).returncode == 0
    assert workplace.records() == whole.records()
    assert not list(workplace.root.rglob("*.reelscope-tmp"))
