"""JPEG files are written whole and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import OutputError
from reelscope.media.pictures import read_jpeg, shrink, write_jpeg
from reelscope.testing import media


def test_a_picture_comes_back(tmp_path: Path) -> None:
    image = next(image for _, image in media.pictures([media.Scene(0.1)], size=(120, 200)))
    path = tmp_path / "deep" / "down" / "x.jpg"
    sizes = [write_jpeg(path, image, quality) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes)
    assert path.stat().st_size == sizes[-1]
    back = read_jpeg(path)
    assert back.shape == image.shape
    assert np.abs(back - image.astype(float)).mean() < 6
    assert back[..., 0].mean() > 2 * back[..., 2].mean()  # red stays red
    assert [each.name for each in path.parent.iterdir()] == ["x.jpg"]


def test_what_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="65500"):
        write_jpeg(tmp_path / "x.jpg", np.zeros((1, 70000, 3), np.uint8), 80)
    with pytest.raises(OutputError):
        read_jpeg(tmp_path / "none.jpg")
    for content in (b"", b"text"):
        (tmp_path / "x.jpg").write_bytes(content)
        with pytest.raises(OutputError, match="not a JPEG"):
            read_jpeg(tmp_path / "x.jpg")


@pytest.mark.parametrize("size", [(1, 1), (8192, 16)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    image = np.full((size[1], size[0], 3), 77, np.uint8)
    write_jpeg(tmp_path / "x.jpg", image, 85)
    assert read_jpeg(tmp_path / "x.jpg").shape == image.shape


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    assert shrink(np.zeros((1920, 1080, 3), np.uint8), 1024).shape == (1024, 576, 3)
    assert shrink(np.zeros((100, 50, 3), np.uint8), 1024).shape == (100, 50, 3)
    assert shrink(np.zeros((16, 8192, 3), np.uint8), 64).shape == (1, 64, 3)
