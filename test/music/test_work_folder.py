"""Temporary files go, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reelscope.errors import OutputError
from reelscope.music.work_folder import PREFIX, YOUNG_S, work_folder

HOLDER = """
import sys, time
from pathlib import Path
from reelscope.music.work_folder import work_folder
with work_folder(Path(sys.argv[1])) as folder:
    (folder / "half.mp4").write_bytes(b"x")
    print("ready", flush=True)
    time.sleep(60)
"""


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_it_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with work_folder(tmp_path / "deep") as folder:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "c.mp4").write_bytes(b"x")
    assert folders(tmp_path / "deep") == []
    with pytest.raises(RuntimeError), work_folder(tmp_path) as folder:
        (folder / "x").touch()
        raise RuntimeError
    assert folders(tmp_path) == ["deep"]


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        (left,) = folders(tmp_path)
        with work_folder(tmp_path):
            assert left in folders(tmp_path), "it is in use"
        holder.send_signal(signal.SIGKILL)
    assert folders(tmp_path) == [left]
    with work_folder(tmp_path) as folder:
        assert folders(tmp_path) == [folder.name]
    assert folders(tmp_path) == []


def test_one_that_was_never_locked_goes_when_it_is_old(tmp_path: Path) -> None:
    for name, age_s in (("old", YOUNG_S + 10), ("new", 0)):
        (tmp_path / f"{PREFIX}{name}").mkdir()
        then = time.time() - age_s
        os.utime(tmp_path / f"{PREFIX}{name}", (then, then))
    (tmp_path / "ours").touch()
    with work_folder(tmp_path):
        pass
    assert folders(tmp_path) == [f"{PREFIX}new", "ours"]


def test_where_no_folder_can_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"), work_folder(tmp_path / "file"):
        pass
