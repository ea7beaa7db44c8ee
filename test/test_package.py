"""The package as a whole: quick to import, no heavy vendor comes along."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("torch", "onnxruntime", "rapidocr", "transformers")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_takes_under_200_ms() -> None:
    code = "import time; t = time.perf_counter(); import reelscope; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.2


@pytest.mark.slow
def test_no_room_brings_a_heavy_vendor(repository: Path) -> None:
    files = (repository / "src").rglob("*.py")
    names = [
        ".".join(path.relative_to(repository / "src").with_suffix("").parts)
        for path in files
        if path.name != "__init__.py"
    ]
    code = (
        f"import importlib, json, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    assert json.loads(python(code)) == []


def test_help_answers_in_under_half_a_second(repository: Path) -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, repository / "main.py", "-h"], capture_output=True, check=True
        )
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 0.5
