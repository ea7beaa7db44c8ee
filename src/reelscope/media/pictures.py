"""JPEG files."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np

from reelscope.atomic import write_atomic
from reelscope.errors import OutputError
from reelscope.media.images import RGB


def write_jpeg(path: Path, image_rgb: RGB, quality: int) -> int:
    """Write a picture whole or not at all.

    Args:
        path: of the file; folders above it are made.
        image_rgb: uint8 (h, w, 3) RGB.
        quality: 1-100, as libjpeg counts it.

    Returns:
        Size of the file, bytes.

    Raises:
        OutputError: the picture is larger than JPEG allows, or cannot be written.
    """
    if max(image_rgb.shape[:2]) > 65500:
        raise OutputError(f"{path}: JPEG holds at most 65500 pixels a side")
    data = jpeg_bytes(image_rgb, quality)
    write_atomic(path, data, durable=False)
    return len(data)


def jpeg_bytes(image_rgb: RGB, quality: int) -> bytes:
    """The JPEG file of a picture.

    Args:
        image_rgb: uint8 (h, w, 3) RGB, at most 65,500 pixels a side.
        quality: 1-100, as libjpeg counts it.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()


def shrink(image: RGB, longest_side: int) -> RGB:
    """The picture with its longest side at most so many pixels; never enlarged."""
    height, width = image.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def read_jpeg(path: Path) -> RGB:
    """uint8 (h, w, 3) RGB of a JPEG file.

    Raises:
        OutputError: there is no such picture (any more).
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise OutputError(f"{path} is not a JPEG picture")
    return cast("RGB", cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
