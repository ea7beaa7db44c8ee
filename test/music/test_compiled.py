"""Compiled functions where nothing can be kept: a container's user, another's installation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
from reelscope.music.compiled import compiled

@compiled
def doubled(number):
    return 2 * number

print(doubled(21))
"""


def run(folder: Path) -> str:
    script = folder / "script.py"
    script.write_text(CODE)
    kept = {key: value for key, value in os.environ.items() if "CACHE" not in key}
    environ = {**kept, "HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, script], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_code_is_kept_beside_its_source(tmp_path: Path) -> None:
    assert run(tmp_path) == "42"
    assert list((tmp_path / "__pycache__").glob("script.doubled*.nbi"))


def test_it_works_where_nothing_can_be_kept(tmp_path: Path) -> None:
    for name in ("__pycache__", "home"):  # files where folders would be: root cannot write there
        (tmp_path / name).write_text("")
    assert run(tmp_path) == "42"
