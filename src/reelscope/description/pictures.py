"""The chosen frames as they are sent: small, and no larger than they have to be."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from reelscope.description.chat import Picture
from reelscope.errors import OutputError
from reelscope.media.pictures import jpeg_bytes, read_jpeg, shrink
from reelscope.records import SentImage


def sent_picture(
    path: Path,
    time_s: float,
    *,
    longest_side: int,
    quality: int,
    detail: Literal["low", "high"],
) -> tuple[Picture, SentImage]:
    """The frame's compressed picture as it is sent, and what the record says of it.

    A picture that is small enough is sent as it is: a second compression would only cost
    quality.

    Args:
        path: of the picture.
        time_s: when it is shown, seconds.
        longest_side: of what is sent, at most, pixels.
        quality: of the JPEG file, 1-100.
        detail: how closely the model looks.

    Raises:
        OutputError: the picture is gone, or is none any more.
    """
    image = read_jpeg(path)
    before = _bytes(path)
    small = shrink(image, longest_side)
    data = before
    if small.shape != image.shape:
        data = jpeg_bytes(small, quality)
    height, width = small.shape[:2]
    picture = Picture(path.name, data, width, height, detail)
    return picture, SentImage(
        time_s=time_s,
        file=path.name,
        width=width,
        height=height,
        bytes_before=len(before),
        bytes_after=len(data),
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from error
