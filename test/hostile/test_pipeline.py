"""Every bad file through `main.py analyze`: a record with what could be had, and why not more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelscope.testing.hostile import BAD_FILES

PLAIN = [name for name, bad in BAD_FILES.items() if bad.is_file and not bad.slow]
SPECIAL = [name for name, bad in BAD_FILES.items() if not bad.is_file]
PICTURES = ("keyframes", "quality", "similarity", "stills", "shots", "choose")
SOUND = ("voice", "events", "speech_rate")
HOLLOW = {"picture_bomb", "wav_1_hz", "wav_0_channels"}
"""A header that can be read, over nothing that decodes: the probe says so in its integrity."""


def listing(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of everything below a folder."""
    return sorted((str(p.relative_to(folder)), p.lstat().st_size) for p in folder.rglob("*"))


@pytest.fixture(scope="module")
def bad_run(tmp_path_factory: pytest.TempPathFactory, analyze: Any) -> Any:
    """One batch of everything that is bad; reading text is left out for time."""
    root = tmp_path_factory.mktemp("bad")
    folder = root / "bad"
    folder.mkdir()
    for bad in BAD_FILES.values():
        if not bad.slow:
            bad.make(folder)
    before = listing(folder)
    run = analyze(root, "bad", "--skip", "text")
    assert listing(folder) == before
    return run


@pytest.fixture(scope="module")
def records(bad_run: Any) -> dict[str, Any]:
    return dict(bad_run.records())


@pytest.mark.slow
def test_the_batch_goes_on_and_says_so(bad_run: Any) -> None:
    assert bad_run.returncode == 0, bad_run.stderr
    assert "Traceback" not in bad_run.stderr
    summary = bad_run.summary()
    assert summary["videos"] == summary["videos_ended"] == len(PLAIN)
    unreadable = {name for name in PLAIN if not (BAD_FILES[name].video or BAD_FILES[name].audio)}
    assert summary["videos_with_failures"] >= len(unreadable - {"closed"})
    # A file name cannot move the cursor, colour the terminal or break a line.
    assert "\x1b[31mred" not in bad_run.stdout + bad_run.stderr
    assert "\x07" not in bad_run.stdout + bad_run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_a_record_tells_what_could_be_had_and_why_not_more(
    name: str, records: dict[str, Any], bad_run: Any
) -> None:
    bad = BAD_FILES[name]
    stages = records[bad.file_name]["stages"]
    for stage_name, stage in stages.items():
        assert stage["kind"] != "internal", (stage_name, stage["message"])
        if stage["status"] != "ok":
            assert len(stage["reason"] or stage["message"]) > 10
    if name == "closed":
        return  # root reads it, others do not
    probe = stages["probe"]
    if bad.video or bad.audio:
        assert probe["status"] == "ok", probe
        assert (probe["value"]["has_video"], probe["value"]["has_audio"]) == (bad.video, bad.audio)
    wanted = (*(PICTURES if bad.video else ()), *(SOUND if bad.audio else ()))
    for stage_name in (*PICTURES, *SOUND):
        ended = stages[stage_name]["status"]
        if stage_name in wanted:
            # A stage may find nothing to work on in a frame or a tenth of a second.
            assert ended != "failed", (stage_name, stages[stage_name])
        else:
            assert ended != "ok", stage_name
    if name in HOLLOW:
        assert probe["value"]["integrity"]["first_error"]
    if not (bad.video or bad.audio):
        failed = [row for row in bad_run.errors() if Path(row["path"]).name == bad.file_name]
        assert failed, "no row in errors.csv"
        assert all(len(row["message"]) > 10 for row in failed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file_is_passed_over(name: str, records: dict[str, Any]) -> None:
    assert BAD_FILES[name].file_name not in records


@pytest.mark.slow
def test_every_result_lies_in_the_output_folders(bad_run: Any) -> None:
    assert {path.name for path in bad_run.root.iterdir()} == {"bad", "data", "logs"}
    results = bad_run.root / "data" / "analysis_results" / "bad"
    folders = [path for path in results.iterdir() if path.is_dir()]
    assert len(folders) == len(PLAIN)
    assert all(len(path.name.encode()) < 200 and path.name.isprintable() for path in folders)


@pytest.mark.parametrize(
    "name",
    ["fifo", "folder"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("link_loop", "dangling", "device")],
)
def test_a_call_for_what_is_no_file_is_refused(name: str, tmp_path: Path, analyze: Any) -> None:
    path = BAD_FILES[name].make(tmp_path)
    run = analyze(tmp_path, path, limit_s=20)
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert path.name in run.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_exit_1_when_nothing_succeeded(tmp_path: Path, analyze: Any) -> None:
    for name in ("empty", "text", "no_index"):
        BAD_FILES[name].make(tmp_path)
    run = analyze(tmp_path, "empty.mp4", "text.mp4", "no_index.mp4", limit_s=30)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.records()) == 3
    assert {row["stage"] for row in run.errors()} == {"probe"}


@pytest.mark.slow
def test_a_name_like_a_flag_is_a_name(tmp_path: Path, analyze: Any) -> None:
    path = BAD_FILES["dash"].make(tmp_path)
    run = analyze(tmp_path, "--only", "probe", "--", path.name, limit_s=30)
    assert run.returncode == 0, run.stderr
    assert run.records()[path.name]["stages"]["probe"]["status"] == "ok"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hours_stay_under_the_roof(tmp_path: Path, analyze: Any) -> None:
    path = BAD_FILES["two_hours"].make(tmp_path)
    run = analyze(tmp_path, path, limit_s=580)
    assert run.returncode == 0, run.stderr
    stages = run.records()[path.name]["stages"]
    assert not [name for name, stage in stages.items() if stage["status"] == "failed"]
    assert stages["probe"]["value"]["duration_s"] == pytest.approx(7319, abs=1)
    assert max(run.memory_mb) < 1200
