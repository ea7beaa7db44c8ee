"""`make demo-describe`: the description without a key, as its page and the README promise it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def call(script: str, *arguments: object, repository: Path, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REELSCOPE_")}
    done = subprocess.run(
        [sys.executable, str(repository / "scripts" / script), *map(str, arguments)],
        cwd=cwd,
        env={
            **clean,
            "REELSCOPE_MODELS__OFFLINE": "true",
            "REELSCOPE_PATHS__LOGS": str(cwd / "logs"),
            "REELSCOPE_TEXT__MAX_FRAMES": "2",  # reading is what takes long
        },
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_demo_ends_with_descriptions_in_csv_and_json(repository: Path, tmp_path: Path) -> None:
    first = call("demo_describe.py", "--into", "demo", repository=repository, cwd=tmp_path)
    assert "answered 9 requests" in first, "6 videos and 3 creators"
    data = tmp_path / "demo"
    table = data / "results" / "demo-describe" / "video_features_results.csv"
    records = sorted((data / "analysis_results").glob("*/*/record.json"))

    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(records) == 6
    for row in rows:
        assert row["description"] == "stand-in answer for description"
        assert int(row["description_evidence_found"]) == int(row["description_evidence"]) > 0
    as_json = json.loads(table.with_suffix(".json").read_bytes())
    assert [row["description"] for row in as_json] == [row["description"] for row in rows]
    for path in records:
        described = json.loads(path.read_bytes())["stages"]["describe"]
        assert described["status"] == "ok"
        assert described["value"]["dimensions"]["description"]["value"] == rows[0]["description"]
    assert len(list((data / "analysis_results").glob("*/creator_description.json"))) == 3
    for shown in ("video_features_results.csv", "record.json", rows[0]["description"]):
        assert shown in first

    again = call("demo_describe.py", "--into", "demo", repository=repository, cwd=tmp_path)
    assert "answered 0 requests" in again, "what was answered is not asked again"
    assert "Descriptions of 6 videos" in again

    shown = call("show_request.py", records[0].parent, repository=repository, cwd=tmp_path)
    saved = json.loads((records[0].parent / "description_requests.json").read_bytes())
    for message in saved["turns"][0]["request"]["messages"]:
        for part in message["parts"]:
            assert part.get("text", part.get("image")) in shown, "shown is what was sent"
    assert "base64" not in shown
