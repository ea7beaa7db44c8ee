"""Whole files or none."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reelscope.atomic import TEMPORARY_SUFFIX, open_atomic, write_atomic
from reelscope.errors import OutputError


def test_writes_text_and_bytes_and_makes_the_folders(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "x.txt", "grün\r\n")
    write_atomic(tmp_path / "y.bin", b"\x00\xff", durable=False)
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == "grün\r\n".encode()
    assert (tmp_path / "y.bin").read_bytes() == b"\x00\xff"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "y.bin"]


def test_the_file_has_the_permissions_of_an_ordinary_one(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_atomic(tmp_path / "atomic", "x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), open_atomic(path) as file:
        file.write(b"half of")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("n" * 255), "x")


@pytest.mark.parametrize(
    ("name", "cause"),
    [("file/x.txt", "a file is where"), ("folder", "a folder"), ("n" * 256, "path is too long")],
)
def test_what_cannot_be_written_is_said_in_a_sentence(
    tmp_path: Path, name: str, cause: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=cause) as caught:
        write_atomic(tmp_path / name, "x")
    assert name.split("/", maxsplit=1)[0] in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(OutputError, match="the disk is full"), open_atomic(path) as file:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file.fileno())
        os.close(full)
        file.write(b"new")
    assert path.read_text() == "old"


def test_too_many_open_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(tmp_path, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OutputError, match="too many files"):
            write_atomic(tmp_path / "x", "x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


WRITER = """
import sys
from pathlib import Path
from reelscope.atomic import write_atomic
path = Path(sys.argv[1])
for number in range(10**9):
    write_atomic(path, str(number % 10) * 300_000, durable=False)
"""


def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for number in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        time.sleep(0.25 + 0.013 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        text = path.read_text()
        assert len(text) == 300_000
        assert len(set(text)) == 1
    left = [p for p in tmp_path.iterdir() if p != path]
    assert all(p.name.startswith(".") and p.name.endswith(TEMPORARY_SUFFIX) for p in left)
