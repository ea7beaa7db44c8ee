"""`main.py analyze` as a user calls it, watched: time, exit code, memory while it runs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Run:
    """How a call ended. `memory_mb`: resident set every quarter of a second."""

    root: Path
    returncode: int
    stdout: str
    stderr: str
    seconds: float
    memory_mb: list[float] = field(default_factory=list)

    def records(self) -> dict[str, Any]:
        """File name of the video -> its record."""
        found = {}
        for path in (self.root / "data" / "analysis_results").glob("*/*/record.json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            found[Path(record["source"]["path"]).name] = record
        return found

    def errors(self) -> list[dict[str, str]]:
        """Rows of errors.csv."""
        [path] = (self.root / "data" / "results").glob("*/errors.csv")
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def summary(self) -> dict[str, Any]:
        [path] = (self.root / "data" / "results").glob("*/summary.json")
        return dict(json.loads(path.read_text(encoding="utf-8")))


class Analyze:
    """Calls `python main.py analyze` in a folder."""

    def __init__(self, main: Path) -> None:
        self.main = main

    def __call__(self, root: Path, *arguments: object, limit_s: float = 100) -> Run:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("REELSCOPE_")}
        clean["REELSCOPE_MODELS__OFFLINE"] = "true"
        if "--config" not in map(str, arguments):  # pocketsphinx takes half of a sound's length
            clean["REELSCOPE_MODELS__WHISPER__ENGINE"] = "faster-whisper"
        started = time.monotonic()
        with (root / "stdout").open("w+") as out, (root / "stderr").open("w+") as err:
            process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(self.main), "analyze"]
                + [str(argument) for argument in arguments],
                cwd=root,
                env={**clean, "COLUMNS": "200"},
                stdout=out,
                stderr=err,
            )
            memory = watch(process, started + limit_s)
            out.seek(0)
            err.seek(0)
            seconds = time.monotonic() - started
            run = Run(root, process.returncode, out.read(), err.read(), seconds, memory)
        for name in ("stdout", "stderr"):
            (root / name).unlink()
        return run


def watch(process: subprocess.Popen[bytes], until: float) -> list[float]:
    """Resident memory of the process until it ends; it is killed when the time is up."""
    status = Path(f"/proc/{process.pid}/status")
    memory = []
    while process.poll() is None:
        if time.monotonic() > until:
            process.kill()
            process.wait()
            pytest.fail("it did not end in time")
        if status.exists():
            lines = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
            memory += [int(line.split()[1]) / 1000 for line in lines]
        time.sleep(0.25)
    return memory


@pytest.fixture(scope="session")
def analyze() -> Analyze:
    return Analyze(Path(__file__).parents[2] / "main.py")
