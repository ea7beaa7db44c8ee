"""Which bytes a file holds, taken once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.fingerprint import media_id


def test_hash_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    found = media_id(path)
    assert found.sha256 == hashlib.sha256(b"abc" * 1000).hexdigest()
    assert (found.size_bytes, found.mtime_ns) == (3000, path.stat().st_mtime_ns)


def test_the_known_one_stands_while_size_and_time_do(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    known = media_id(path).model_copy(update={"sha256": "f" * 64})
    assert media_id(path, known) is known
    os.utime(path, ns=(1, 1))
    assert media_id(path, known).sha256 == hashlib.sha256(b"abc").hexdigest()
    path.write_bytes(b"abcd")
    assert media_id(path, known).size_bytes == 4


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for name in ("none", "nul\0"):
        with pytest.raises(UnreadableMedia):
            media_id(tmp_path / name)
