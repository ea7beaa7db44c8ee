"""The main job with --describe against a stand-in chat server on this machine.

Shows what the description leaves without a key and without cost: `make demo-describe`. The
server speaks the real protocol and counts tokens as a vendor would, but it understands
nothing: every answer says that it is a stand-in's. Results go to data/demo-describe/, or
below the folder after --into; all else goes to main.py.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

from reelscope.testing.chat import FakeChat, serve

ROOT = Path(__file__).resolve().parent.parent
BATCH = "demo-describe"
PORT = 18117
"""Always the same: another address is another server, which would be asked anew."""
SHOWN = 2
"""Descriptions that are printed in the end."""


def main() -> int:
    """Run it; the exit code is that of the main job."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Describe the sample videos.")
    parser.add_argument("--into", type=Path, help="where results go (default: data/demo-describe)")
    asked, others = parser.parse_known_args()
    data = asked.into.absolute() if asked.into else ROOT / "data" / "demo-describe"
    shutil.copytree(ROOT / "data" / "tiktok_videos", data / "tiktok_videos", dirs_exist_ok=True)
    with serve(FakeChat(), port=PORT) as chat:
        code = _main_job(data, chat.url, others)
    paid = chat.paid
    print(
        f"The stand-in server answered {chat.answered} requests, {paid.input:,} tokens read"
        f" and {paid.output:,} written; what was answered in an earlier run is not asked again."
    )
    _show(data)
    return code


def _main_job(data: Path, url: str, others: list[str]) -> int:
    command = [sys.executable, "main.py", "--csv", "data/creators.csv"]
    command += ["--describe", "--batch-id", BATCH, *others]
    environment = {
        **os.environ,
        "NO_PROXY": f"{os.environ.get('NO_PROXY', '')},127.0.0.1".lstrip(","),
        "REELSCOPE_PATHS__DATA": str(_short(data)),
        "REELSCOPE_DESCRIPTION__BASE_URL": url,
        "REELSCOPE_DESCRIPTION__CREATOR_SUMMARY": "true",
    }
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _show(data: Path) -> None:
    """Where descriptions stand, and the first of them."""
    table = data / "results" / BATCH / "video_features_results.csv"
    if not table.exists():
        return
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status_describe"] == "ok"]
    for row in rows[:SHOWN]:
        found = f"{row['description_evidence_found']} of {row['description_evidence']}"
        print(
            f"  {row['creator']} {row['video_id']}: {row['description']} (evidence: {found} found)"
        )
    records = data / "analysis_results"
    print(f"Descriptions of {len(rows)} videos as columns description*: {_short(table)}")
    if rows:
        one = records / rows[0]["creator"] / rows[0]["video_id"]
        print(f"One of them in full, stages.describe.value: {_short(one / 'record.json')}")
        print(f"What was asked and answered: {_short(one / 'description_requests.json')}")
        print(f"The creator: {_short(one.parent / 'creator_description.json')}")


def _short(path: Path) -> Path:
    """Below the repository's root, if it is there."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    sys.exit(main())
