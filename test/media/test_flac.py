"""Sound to disk: what is read back is what was written, to the 16th bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import OutputError
from reelscope.media.audio import Audio, Samples
from reelscope.media.flac import write_flac
from reelscope.media.info import read_info


def read(path: Path, rate_hz: int) -> Samples:
    return Audio(read_info(path), cache_bytes=0, check_time=lambda: None).samples(rate_hz, 2)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_pieces_of_any_length_come_back_as_one(tmp_path: Path, rate_hz: int) -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.uniform(-1, 1, (n, 2)).astype(np.float32) for n in (1, 0, 5000, 33, 20000)]
    with write_flac(tmp_path / "a.flac", rate_hz) as write:
        for piece in pieces:
            write(piece)
    found = read(tmp_path / "a.flac", rate_hz)
    whole = np.concatenate(pieces)
    assert found.shape == whole.shape
    assert np.abs(found - whole).max() <= 1 / 32768


def test_what_is_too_loud_is_clipped_and_does_not_wrap(tmp_path: Path) -> None:
    loud = np.array([[2.0, -2.0], [1.0, -1.0]] * 500, np.float32)
    with write_flac(tmp_path / "a.flac", 44100) as write:
        write(loud)
    found = read(tmp_path / "a.flac", 44100)
    np.testing.assert_allclose(found, np.sign(loud), atol=1 / 32768)


def test_no_file_appears_if_the_writer_fails_or_stops(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"old")
    with pytest.raises(KeyError), write_flac(tmp_path / "a.flac", 44100) as write:
        write(np.zeros((1000, 2), np.float32))
        raise KeyError("half way")
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]
    assert (tmp_path / "a.flac").read_bytes() == b"old"
    with pytest.raises(OutputError), write_flac(tmp_path / "a.flac" / "b.flac", 44100):
        pass
