"""`music originals` as a user calls it."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelscope.testing.melody import RATE_HZ, melody, write_wav

CALL = ("music", "originals")

pytestmark = pytest.mark.slow


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    whole = melody(1, 24.0)
    write_wav(folder / "maker" / "whole.wav", whole)
    write_wav(folder / "fan" / "it's, a clip.wav", whole[round(6.5 * RATE_HZ) : 16 * RATE_HZ])
    write_wav(folder / "fan" / "other.wav", melody(2, 12.0))
    write_wav(folder / "fan" / "silence.wav", np.zeros(3 * RATE_HZ, np.float32))
    (folder / "fan" / "broken.mp3").write_bytes(b"")
    (folder / "notes.txt").write_text("not a video")
    return folder


@pytest.mark.timeout(400)
def test_a_folder_from_add_to_export(workplace: Any, videos: Path) -> None:
    added = workplace.call(*CALL, "add", "--videos", videos)
    assert (added.returncode, added.stdout) == (0, "5 new, 0 known before\n"), added.stderr
    again = workplace.call(*CALL, "add", "--videos", videos)
    assert again.stdout == "0 new, 5 known before\n"
    worked = workplace.call(*CALL, "work", "--workers", "2", "--once")
    assert worked.returncode == 1, worked.stderr  # one has failed
    assert "5/5 videos" in worked.stderr
    said = json.loads(workplace.call(*CALL, "status", "--json").stdout)
    assert said | {"flagged": 0} == {
        "pending": 0, "processing": 0, "original": 2, "match": 1, "too_short": 1, "failed": 1,
        "flagged": 0,
    }  # fmt: skip
    shown = workplace.call(*CALL, "show", "maker/whole")
    assert "maker/whole: original" in shown.stdout
    assert "fan/it's, a clip: match, of maker/whole, begins at its second 6.5" in shown.stdout
    clip = json.loads(workplace.call(*CALL, "show", "fan/it's, a clip", "--json").stdout)
    assert (clip["original"], clip["copies"]) == ("maker/whole", [])
    assert clip["offset_s"] == pytest.approx(6.5, abs=0.1)
    for name in ("out.csv", "out.json"):
        assert workplace.call(*CALL, "export", "--out", name).returncode == 0
    rows = json.loads((workplace.root / "out.json").read_text(encoding="utf-8"))
    with (workplace.root / "out.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["video_id"] for row in rows] == [row["video_id"] for row in table]
    assert {row["status"] for row in rows} == {"original", "match", "too_short", "failed"}
    assert float(table[1]["offset_s"] or 0) == pytest.approx(rows[1]["offset_s"] or 0)


@pytest.mark.timeout(400)
def test_a_csv_with_dates_on_postgresql(workplace: Any, videos: Path, postgres_url: str) -> None:
    (videos / "list.csv").write_text(
        "video_id;Path;uploaded\n"
        "\"'; DROP TABLE videos; --\";fan/it's, a clip.wav;2026-05-01\n"
        "late;maker/whole.wav;1780000000\n"
        "odd;fan/other.wav;yesterday\n"
        ";;2026-05-01\n",
        encoding="utf-8",
    )
    how = ("--database", postgres_url)
    added = workplace.call(
        *CALL, "add", "--videos", videos / "list.csv", "--published-column", "uploaded", *how
    )
    assert added.stdout == "3 new, 0 known before\n", added.stderr
    assert "line 4: yesterday is no date" in added.stderr
    assert "line 5 names no file" in added.stderr
    worked = workplace.call(*CALL, "work", "--workers", "1", "--once", *how)
    assert worked.returncode == 0, worked.stderr
    late = json.loads(workplace.call(*CALL, "show", "late", "--json", *how).stdout)
    assert (late["status"], late["original"]) == ("match", "'; DROP TABLE videos; --")
    assert late["published_at"] == "2026-05-28T20:26:40Z"
    assert late["offset_s"] == pytest.approx(-6.5, abs=0.1)  # begins before the older one


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["add", "--videos", "nowhere.csv"], "there is no such file"),
        (["add", "--videos", "empty"], "no video in it"),
        (["add", "--videos", "no_path.csv"], "no column path"),
        (["show", "nobody"], "no video is called nobody"),
        (["export", "--out", "x.xlsx"], ".csv or .json"),
        (["status", "--database", "mysql://u:SECRET@h/x"], "mysql"),
        (["work", "--once", "--database", "postgresql://u:SECRET@127.0.0.1:1/x"], "u:***@127"),
    ],
)
def test_what_cannot_be_done_is_said(workplace: Any, call: list[str], said: str) -> None:
    (workplace.root / "empty").mkdir()
    (workplace.root / "no_path.csv").write_text("name\nx\n")
    answer = workplace.call(*CALL, *call)
    assert answer.returncode in (1, 2)
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "SECRET" not in answer.stderr + answer.stdout


@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_videos_in_hand(
    workplace: Any, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "videos"
    hiss = np.random.default_rng(1).normal(0, 0.1, RATE_HZ * 900).astype(np.float32)
    for at in range(12):
        write_wav(folder / f"v{at:02d}.wav", hiss)
    assert workplace.call(*CALL, "add", "--videos", folder).returncode == 0
    process = workplace.start(*CALL, "work", "--workers", "2")
    try:
        wait(lambda: status(workplace)["processing"] > 0)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    ended = status(workplace)
    assert (ended["processing"], ended["failed"]) == (0, 0)
    assert ended["pending"] > 0, "not all were worked through"


@pytest.mark.timeout(400)
def test_a_killed_worker_is_replaced(workplace: Any, videos: Path) -> None:
    hiss = np.random.default_rng(1).normal(0, 0.1, RATE_HZ * 900).astype(np.float32)
    write_wav(videos / "aaa.wav", hiss)
    assert workplace.call(*CALL, "add", "--videos", videos).returncode == 0
    process = workplace.start(*CALL, "work", "--workers", "1", "--lease-s", "15")
    try:
        wait(lambda: status(workplace)["processing"] == 1)
        for child in children(process.pid):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
        wait(lambda: status(workplace)["pending"] + status(workplace)["processing"] == 0)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert status(workplace)["original"] == 3


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(one) for one in found.split()]


def status(workplace: Any) -> dict[str, int]:
    return dict(json.loads(workplace.call(*CALL, "status", "--json").stdout))


def wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not done():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)
