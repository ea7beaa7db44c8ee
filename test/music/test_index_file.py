"""Files of arrays: every byte counts."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from reelscope.errors import LibraryDamaged, LibraryMismatch
from reelscope.music import index_file
from reelscope.music.index_file import open_arrays, write_arrays

MADE_WITH = {"version": 1, "rate_hz": 8000, "floor": -6.0}
ARRAYS: dict[str, NDArray[Any]] = {
    "numbers": np.arange(3, dtype=np.int64),
    "points": np.arange(1001, dtype=np.uint16),
    "nothing": np.zeros(0, np.uint32),
    "table": np.arange(12, dtype=np.float32).reshape(3, 4),
}


def same(found: dict[str, NDArray[Any]], wanted: dict[str, NDArray[Any]]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array)
        for name, array in wanted.items()
    )


def written(path: Path) -> bytes:
    write_arrays(path, ARRAYS, MADE_WITH)
    return path.read_bytes()


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        arrays_of.arrays(
            st.sampled_from([np.int64, np.int32, np.uint32, np.uint16, np.float32]),
            arrays_of.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=20),
            elements={"allow_nan": False},
        ),
        max_size=5,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_written_is_read(tmp_path: Path, wanted: dict[str, NDArray[Any]]) -> None:
    path = tmp_path / "x.idx"
    digest = write_arrays(path, wanted, MADE_WITH)
    found = open_arrays(path, MADE_WITH)
    found.check()
    assert same(dict(found.arrays), wanted)
    assert found.digest == digest
    assert found.size_bytes == path.stat().st_size
    assert not any(array.flags.writeable for array in found.arrays.values())


def test_arrays_stand_at_cache_lines_and_are_not_copied(tmp_path: Path) -> None:
    written(tmp_path / "x.idx")
    for array in open_arrays(tmp_path / "x.idx", MADE_WITH).arrays.values():
        assert array.ctypes.data % 64 == 0 or not array.size
        assert not array.flags.owndata


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_changed_byte_is_an_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.idx"
    raw = bytearray(written(path))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    with pytest.raises((LibraryDamaged, LibraryMismatch), match=r"x\.idx"):
        open_arrays(path, MADE_WITH).check()


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_cut_and_any_addition_is_an_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.idx"
    raw = written(path)
    length = data.draw(st.integers(0, len(raw) - 1))
    path.write_bytes(raw[:length])
    with pytest.raises(LibraryDamaged, match=r"x\.idx"):
        open_arrays(path, MADE_WITH)
    path.write_bytes(raw + data.draw(st.binary(min_size=1, max_size=200)))
    with pytest.raises(LibraryDamaged, match="too long"):
        open_arrays(path, MADE_WITH)


def test_a_changed_byte_of_a_large_array_is_found_by_the_full_check(tmp_path: Path) -> None:
    path = tmp_path / "x.idx"
    large = np.zeros(index_file.SMALL_BYTES + 1, np.uint8)
    write_arrays(path, {"small": np.zeros(8, np.uint8), "large": large}, MADE_WITH)
    with path.open("r+b") as file:
        file.seek(-70, 2)
        file.write(b"\x01")
    found = open_arrays(path, MADE_WITH)
    with pytest.raises(LibraryDamaged, match="large is not what was written"):
        found.check()


def test_other_parameters_are_named(tmp_path: Path) -> None:
    written(tmp_path / "x.idx")
    with pytest.raises(LibraryMismatch, match=r"rate_hz 8000, here it is 11025"):
        open_arrays(tmp_path / "x.idx", {**MADE_WITH, "rate_hz": 11025})
    with pytest.raises(LibraryMismatch, match=r"more None, here it is 1"):
        open_arrays(tmp_path / "x.idx", {**MADE_WITH, "more": 1})


def test_another_layout_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.idx"
    with monkeypatch.context() as patch:
        patch.setattr(index_file, "LAYOUT", 7)
        write_arrays(path, ARRAYS, MADE_WITH)
    assert struct.unpack_from("<I", path.read_bytes(), 8) == (7,)
    with pytest.raises(LibraryMismatch, match="of layout 7"):
        open_arrays(path, MADE_WITH)


def test_other_files_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_arrays(tmp_path / "x.idx", MADE_WITH)
    for raw in (b"", b"RLSCPIDX", b"\0" * 500, b"ID3" * 100):
        (tmp_path / "x.idx").write_bytes(raw)
        with pytest.raises(LibraryDamaged):
            open_arrays(tmp_path / "x.idx", MADE_WITH)
    with pytest.raises(LibraryDamaged, match="cannot be read"):
        open_arrays(tmp_path, MADE_WITH)


def test_an_open_file_stays_readable_when_its_name_is_gone(tmp_path: Path) -> None:
    written(tmp_path / "x.idx")
    found = open_arrays(tmp_path / "x.idx", MADE_WITH)
    (tmp_path / "x.idx").unlink()
    found.check()
    assert same(dict(found.arrays), ARRAYS)
