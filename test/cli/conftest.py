"""A workplace: an empty folder with the committed sample, in which main.py is called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Workplace:
    """Calls main.py as a user does, in a folder of its own."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = root
        self.main = repository / "main.py"
        self.data = root / "data"
        shutil.copytree(repository / "data" / "tiktok_videos", self.data / "tiktok_videos")
        shutil.copy(repository / "data" / "creators.csv", self.data)

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, str(self.main), *map(str, arguments)]

    def environ(self, extra: dict[str, str]) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("REELSCOPE_")}
        return {**clean, "COLUMNS": "200", "REELSCOPE_MODELS__OFFLINE": "true", **extra}

    def start(self, *arguments: object, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.environ(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environ(environ),
            capture_output=True,
            text=True,
            timeout=600,  # the test's own limit is what counts
            check=False,
        )

    def records(self) -> dict[str, Any]:
        """Every record without what a clock decides."""
        found = {}
        for path in sorted((self.data / "analysis_results").glob("*/*/record.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["media"]:
                del record["media"]["mtime_ns"]
            for stage in record["stages"].values():
                del stage["seconds"], stage["finished_at"]
            found[f"{path.parent.parent.name}/{path.parent.name}"] = record
        return found

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def summary(self, batch: str = "creators") -> Any:
        path = self.data / "results" / batch / "summary.json"
        return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def new_workplace(repository: Path) -> Callable[[Path], Workplace]:
    """For those that several tests look at."""
    return lambda root: Workplace(root, repository)


@pytest.fixture
def workplace(tmp_path: Path, repository: Path) -> Workplace:
    return Workplace(tmp_path, repository)
