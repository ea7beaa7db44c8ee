"""`music match` as a user calls it: folders, tables and batches; files, records, the database."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reelscope.pipeline.checkpoint import read_record
from reelscope.records import CampaignMatch
from reelscope.testing import media
from reelscope.testing.sounds import mix, music_like, noise
from reelscope.testing.speech import speech_like

USERS_KEYS = {
    "total_processed", "matched", "unmatched", "errors_count", "execution_time_seconds",
    "unmatched_videos", "error_details", "matched_videos",
}  # fmt: skip
CAMPAIGN = "-=1+1 'quo\"te ä"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two campaigns; a video with the one's track under speech, one with noise, one broken."""
    root = tmp_path_factory.mktemp("made")
    track, other = music_like(30.0, seed=21), music_like(30.0, beats_per_minute=90.0, seed=22)
    for name, sound in ((CAMPAIGN, track), ("other", other)):
        (root / "campaigns" / name).mkdir(parents=True)
        media.write_sound(root / "campaigns" / name / "track.mp3", sound)
    (root / "campaigns" / "empty").mkdir()
    (root / "campaigns" / "other" / "broken.WAV").write_bytes(b"RIFF")
    speech, _ = speech_like(10.0, rms=0.1, seed=2)
    (root / "videos").mkdir()
    scene, size = [media.Scene(10.0)], (64, 96)
    for name, sound in {
        "with": mix(track[: 10 * 44100], speech), "noise": noise(10.0, seed=4),
    }.items():  # fmt: skip
        media.write_video(root / "videos" / f"{name}.mp4", scene, size=size, fps=5, sound=sound)
    (root / "videos" / "broken.mp4").write_bytes(b"none")
    return root


@pytest.fixture
def place(workplace: Any, made: Path) -> Any:
    shutil.copytree(made, workplace.root / "made")
    return workplace


def match(place: Any, videos: object, *more: object, **environ: str) -> Any:
    call = ("music", "match", "--campaigns", "made/campaigns", "--videos", videos, *more)
    return place.call(*call, **environ)


def results(folder: Path) -> Any:
    return json.loads((folder / "matching-results.json").read_text(encoding="utf-8"))


def timeless(folder: Path) -> dict[str, Any]:
    found = results(folder)
    assert found.pop("execution_time_seconds") > 0
    files = ("matching-results.csv", "matching-run.json")
    return {"results": found, **{name: (folder / name).read_bytes() for name in files}}


def test_a_folder_twice_then_with_another_threshold(place: Any) -> None:
    folder = place.data / "matching" / "videos"
    run = match(place, "made/videos")
    assert run.returncode == 0, run.stderr
    found = results(folder)
    assert found.keys() == USERS_KEYS
    assert (found["total_processed"], found["errors_count"]) == (3, 1)
    assert found["matched"] + found["unmatched"] == 2
    assert [e.keys() for e in found["error_details"]] == [{"video_id", "error"}]
    assert found["error_details"][0]["video_id"] == "broken"
    assert all(u.keys() == {"video_id", "best_similarity"} for u in found["unmatched_videos"])
    best = next(one for one in found["matched_videos"] if one["video_id"] == "with")
    assert (best["campaign_id"], best["track"]) == (CAMPAIGN, "track.mp3")
    assert 0 <= best["start_s"] < best["end_s"] <= 10.2
    assert "note: empty: no sound" in run.stdout
    assert "note: other/broken.WAV: " in run.stdout
    assert "warning" not in run.stderr
    with (folder / "matching-results.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["video_id"]: row for row in csv.DictReader(file)}
    assert rows["with"]["campaign_id"] == f"'{CAMPAIGN}", "no formula for a spreadsheet"
    assert (rows["with"]["status"], rows["broken"]["status"]) == ("matched", "error")
    first = timeless(folder)
    again = match(place, "made/videos")
    assert "2 known from before" in again.stdout
    assert timeless(folder) == first, "the same but for the time"
    strict = match(place, "made/videos", "--threshold", "100", "--json")
    assert "2 known" not in strict.stdout
    shown = json.loads(strict.stdout)
    assert shown == results(folder)
    assert all(one["similarity"] >= 100 for one in shown["matched_videos"])
    loose = json.loads(match(place, "made/videos", "--json", SIMILARITY_THRESHOLD="0").stdout)
    listed = {one["video_id"] for one in loose["matched_videos"]}
    nothing = {one["video_id"] for one in loose["unmatched_videos"]}
    assert listed | nothing == {"with", "noise"}
    assert all(one["best_similarity"] == 0 for one in loose["unmatched_videos"])
    assert not list(folder.glob(".*"))


def test_dtw_warns_where_a_user_reads_it(place: Any) -> None:
    run = match(place, "made/videos", "--engine", "dtw", "--out", "out", COMPARISON_DURATION="10")
    assert run.returncode == 0, run.stderr
    assert " ".join(run.stderr.split()).count("above 95 for almost any two sounds") == 1
    run_file = json.loads((place.root / "out" / "matching-run.json").read_text(encoding="utf-8"))
    assert "above 95" in run_file["notes"][0]
    assert run_file["settings"]["comparison_duration_s"] == 10
    found = results(place.root / "out")
    best = next(one for one in found["matched_videos"] if one["video_id"] == "with")
    assert {one["campaign_id"] for one in (best, *best["other_campaigns"])} <= {CAMPAIGN, "other"}


def test_a_table_of_paths_and_addresses(place: Any) -> None:
    table = place.root / "made" / "list.csv"
    table.write_text(
        "id,link,path\n7,,videos/with.mp4\n8,http://127.0.0.1:9/x.mp4,\n9,,none.mp4\n10,,\n"
        "=2,,videos/noise.mp4\n"
    )
    run = match(place, "made/list.csv", "--engine", "dtw", RETRY_ATTEMPTS="0")
    assert run.returncode == 0, run.stderr
    found = results(place.data / "matching" / "list")
    assert found["total_processed"] == 5
    errors = {one["video_id"]: one["error"] for one in found["error_details"]}
    assert errors.keys() == {"8", "9", "10"}
    assert "not_supported" in errors["8"], "addresses of this machine are not asked"


def test_a_batch_gets_its_records_and_tables(place: Any) -> None:
    assert (
        place.call("analyze", "made/videos", "--only", "probe", "--batch-id", "b").returncode == 0
    )
    before = place.files()
    run = match(place, "b")
    assert run.returncode == 0, run.stderr
    folder = place.data / "results" / "b"
    assert results(folder)["total_processed"] == 3
    record = read_record(place.data / "analysis_results" / "videos" / "with" / "record.json")
    assert record is not None
    value = record.value(CampaignMatch)
    assert value is not None
    assert (value.matched, value.campaign_id, value.engine) == (True, CAMPAIGN, "fingerprint")
    broken = read_record(place.data / "analysis_results" / "videos" / "broken" / "record.json")
    assert broken is not None
    assert broken.stages["campaign"].status == "failed"
    with (folder / "video_features_results.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["video_id"]: row for row in csv.DictReader(file)}
    assert rows["with"]["campaign_id"] == f"'{CAMPAIGN}"
    assert rows["with"]["status_campaign"] == "ok"
    assert rows["broken"]["status_campaign"] == "failed"
    after = place.files()
    match(place, folder)
    again = place.files()
    changed = {name for name in after if again[name] != after[name]}
    assert {name for name in changed if "sqlite" not in name} - {"data/results/b/.lock"} <= {
        "data/results/b/matching-results.json"
    }
    resumed = place.call("analyze", "made/videos", "--only", "probe", "--batch-id", "b")
    assert resumed.returncode == 0
    record = read_record(place.data / "analysis_results" / "videos" / "with" / "record.json")
    assert record is not None
    assert record.value(CampaignMatch) == value, "another run of the batch keeps it"
    assert before.keys() <= again.keys()


@pytest.mark.parametrize(
    ("videos", "campaigns", "says"),
    [
        ("none", "made/campaigns", "no folder, no CSV, and no batch"),
        ("../x", "made/campaigns", "no folder, no CSV"),
        ("made/videos", "none", "No such file"),
        ("made/videos", "made/campaigns/empty", "no campaign with a sound"),
        ("made/campaigns/empty", "made/campaigns", "no video in"),
    ],
)
def test_wrong_calls_are_said_and_nothing_is_written(
    place: Any, videos: str, campaigns: str, says: str
) -> None:
    before = place.files()
    run = place.call("music", "match", "--campaigns", campaigns, "--videos", videos)
    assert run.returncode == 2
    assert says in run.stderr
    assert place.files() == before


def test_nothing_that_can_be_listened_to(place: Any) -> None:
    run = match(place, "made/videos/broken.mp4")
    assert run.returncode == 1
    assert "error: broken: " in run.stdout


def rows(database: Path) -> int:
    """Of the table of matches; 0 as long as there is none."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM campaign_matches").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_killed_at_any_moment_it_goes_on(place: Any) -> None:
    for number in range(20):
        media.write_sound(
            place.root / "made" / "videos" / f"{number:02}.wav", noise(8.0, seed=number)
        )
    call = ("music", "match", "--campaigns", "made/campaigns", "--videos", "made/videos")
    environ = {"BATCH_SIZE": "1", "MAX_WORKERS": "1"}
    folder = place.data / "matching" / "videos"
    kept = 0
    for _ in range(3):
        run = place.start(*call, **environ)
        while rows(place.data / "music_matches.sqlite") < kept + 3 and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        before, kept = kept, rows(place.data / "music_matches.sqlite")
        assert kept >= before + 3, "what was kept stays, and more came"
    last = place.call(*call, **environ)
    assert last.returncode == 0, last.stderr
    assert kept < 22, "killed before it was done, or this shows nothing"
    assert f"{kept} known from before" in last.stdout
    assert results(folder)["total_processed"] == 23
    assert sorted(path.name for path in folder.iterdir()) == [
        "matching-results.csv", "matching-results.json", "matching-run.json",
    ]  # fmt: skip
