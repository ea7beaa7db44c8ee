"""Hundreds of damaged copies of real files through the whole of `analyze`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from reelscope.testing.hostile import mutate

ROOF_MB = 1200


@pytest.fixture(scope="module")
def originals(repository: Path) -> list[Path]:
    """Real recordings where they are, and the sample."""
    corpus = repository.parent / "shared" / "corpus" / "video"
    real = sorted(corpus.iterdir()) if corpus.is_dir() else []
    return real + sorted((repository / "data" / "tiktok_videos").rglob("*.mp4"))


def damaged_copies(originals: list[Path], folder: Path, seeds: range) -> None:
    """One copy per seed; the name tells how to make it again."""
    folder.mkdir()
    for seed in seeds:
        original = originals[seed % len(originals)]
        copy = folder / f"{seed:05d}-{original.name}"
        copy.write_bytes(mutate(original.read_bytes(), seed))


def check(run: Any, count: int) -> None:
    assert run.returncode == 0, run.stderr[-3000:]
    for sign in ("Traceback", "Fatal Python error", "Segmentation"):
        assert sign not in run.stderr, run.stderr[-3000:]
    records = run.records()
    assert len(records) == count
    uncaught = {
        name: (stage_name, stage["message"])
        for name, record in records.items()
        for stage_name, stage in record["stages"].items()
        if stage["kind"] in {"internal", "memory", "timeout"}
    }
    assert not uncaught
    summary = run.summary()
    assert summary["videos_ended"] == count
    assert summary["stopped"] is None
    assert max(run.memory_mb) < ROOF_MB


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_hundred_damaged_files(tmp_path: Path, originals: list[Path], analyze: Any) -> None:
    count = 320
    damaged_copies(originals, tmp_path / "copies", range(count))
    run = analyze(tmp_path, "copies", "--skip", "text", limit_s=1150)
    check(run, count)
    early = run.memory_mb[len(run.memory_mb) // 4 : len(run.memory_mb) // 2]
    late = run.memory_mb[3 * len(run.memory_mb) // 4 :]
    assert statistics.median(late) < 1.25 * statistics.median(early) + 50


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_share_with_everything_on(tmp_path: Path, originals: list[Path], analyze: Any) -> None:
    damaged_copies(originals, tmp_path / "copies", range(10_000, 10_024))
    check(analyze(tmp_path, "copies", limit_s=1150), 24)
