"""Decoded frames as RGB: small ones for analysis, tiny ones for cuts, full size."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from reelscope.media.info import MediaInfo

RGB: TypeAlias = npt.NDArray[np.uint8]
"""Picture, (h, w, 3), uint8, channels red green blue, upright."""

MAX_ASPECT = 4
"""Small images hold at most short_side * short_side * MAX_ASPECT pixels, so that the
memory of a very long or very flat picture stays bounded."""

THUMB_SHORT_PX = 36
"""Least short side of a thumbnail of a larger picture; it is below twice that."""
THUMB_LONG_PX = 192

PLANAR_BITS = {
    "yuv420p": 8, "yuvj420p": 8, "yuv422p": 8, "yuvj422p": 8, "yuv444p": 8, "yuvj444p": 8,
    "yuv420p10le": 10, "yuv422p10le": 10, "yuv444p10le": 10,
}  # fmt: skip
"""Pixel formats whose planes are read directly, without scaling the whole picture."""

LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
"""Colour space number (ITU-T H.273, MatrixCoefficients) -> weights of red and blue."""

BT601 = (0.299, 0.114)
"""What FFmpeg takes where the file states nothing."""

FULL_RANGE = 2


SCALING = Interpolation.AREA | Interpolation.FULL_CHR_H_INT
"""Means over areas. Without the second flag swscale's scaled pictures come out too dark by
1 to 2 of 255 (white is 253), and differ from its unscaled ones."""


def small_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Size with the given short side, never enlarged, of at most MAX_ASPECT squares."""
    scale = min(1.0, short_side / min(width, height))
    scale = min(scale, short_side * (MAX_ASPECT / (width * height)) ** 0.5)
    return max(round(width * scale), 1), max(round(height * scale), 1)


class Upright:
    """Makes frames of one video into upright RGB images of one size.

    Args:
        info: of the video.
        size: width and height of the upright image; None: each frame's own.
    """

    def __init__(self, info: MediaInfo, size: tuple[int, int] | None = None) -> None:
        self.turn = info.orientation
        self.size = size[::-1] if size and self.turn.transpose else size
        self._scaler = VideoReformatter()

    def image(self, frame: VideoFrame) -> RGB:
        """uint8 (h, w, 3), by swscale; the frame's own matrix and range are honoured."""
        width, height = self.size or (frame.width, frame.height)
        scaled = self._scaler.reformat(
            frame, width, height, "rgb24", interpolation=SCALING, threads=1
        )
        return self.turn.apply(cast("RGB", scaled.to_ndarray()))


class Thumbnails(Upright):
    """Makes frames into tiny images, nearly for free.

    A thumbnail pixel stands for a block of the picture whose sides are whole numbers of
    pixels: this is where scaling is fastest. It is the mean over two lines of luma and one
    of chroma in that block. What is left over at the right and lower edge is cut.
    """

    def __init__(self, info: MediaInfo) -> None:
        wide, high = info.width or 1, info.height or 1
        block = max(min(wide, high) // THUMB_SHORT_PX, -(-max(wide, high) // THUMB_LONG_PX), 1)
        block_w, block_h = min(block, wide), min(block, high)
        super().__init__(info, (wide // block_w, high // block_h))
        self.stored = (high, wide) if self.turn.transpose else (wide, high)
        self.block = (block_h, block_w) if self.turn.transpose else (block_w, block_h)

    def image(self, frame: VideoFrame) -> RGB:
        """uint8 (h, w, 3)."""
        bits = PLANAR_BITS.get(frame.format.name)
        if bits is None or (frame.width, frame.height) != self.stored:
            return super().image(frame)
        small = [self._shrunk(plane, bits) for plane in frame.planes[:3]]
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        matrix = yuv_to_rgb(LUMA_WEIGHTS.get(int(frame.colorspace), BT601), full_range=full)
        return self.turn.apply(cast("RGB", cv2.transform(cv2.merge(small), matrix)))

    def _shrunk(self, plane: VideoPlane, bits: int) -> npt.NDArray[np.uint8]:
        kind = np.dtype(np.uint8 if bits == 8 else "<u2")
        pixels = np.frombuffer(plane, kind)  # type: ignore[call-overload]
        lines = pixels.reshape(plane.height, abs(plane.line_size) // kind.itemsize)
        if plane.line_size < 0:
            lines = lines[::-1]
        size = cast("tuple[int, int]", self.size)
        columns = round(size[0] * self.block[0] * plane.width / self.stored[0])
        few = lines.take(_lines(size[1], self.block[1], self.stored[1], plane.height), axis=0)
        small = cv2.resize(few[:, :columns], size, interpolation=cv2.INTER_AREA)
        return np.asarray(small if bits == 8 else small >> (bits - 8), np.uint8)


@lru_cache(maxsize=32)
def _lines(rows: int, block: int, height: int, plane_height: int) -> npt.NDArray[np.int64]:
    """Which lines of a plane make the rows of a thumbnail."""
    places = (0.25, 0.75) if plane_height == height else (0.5,)
    middles = (np.arange(rows)[:, None] + places).ravel() * block * plane_height / height
    return np.minimum(middles.astype(np.int64), plane_height - 1)


@lru_cache(maxsize=32)
def yuv_to_rgb(weights: tuple[float, float], *, full_range: bool) -> npt.NDArray[np.float32]:
    """(3, 4) matrix from Y'CbCr bytes to R'G'B' bytes (ITU-R BT.601-7 2.5, BT.709-6 3).

    Args:
        weights: of red and blue in luma.
        full_range: bytes run from 0 to 255, not from 16 to 235 (240).
    """
    red, blue = weights
    green = 1 - red - blue
    y_gain, c_gain = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    cr, cb = 2 * (1 - red) * c_gain, 2 * (1 - blue) * c_gain
    mix = np.array(
        [[y_gain, 0.0, cr], [y_gain, -cb * blue / green, -cr * red / green], [y_gain, cb, 0.0]]
    )
    offset = np.array([0.0 if full_range else 16.0, 128.0, 128.0])
    return np.column_stack([mix, -mix @ offset]).astype(np.float32)
