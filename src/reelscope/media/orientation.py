"""Which way up a picture is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: transposed first, then mirrored."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read the display matrix (ISO/IEC 14496-12, 6.2.2), rounded to quarter turns.

        The matrix sends a stored pixel (x, y) to (a x + c y, b x + d y), y downwards.
        """
        try:
            matrix = frame.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]
        except ValueError:  # PyAV has no name for some side data (EXIF); it still has the angle
            return cls.turned(-frame.rotation)
        if matrix is None:
            return cls()
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, flip_x=a < 0, flip_y=d < 0)
        return cls(True, flip_x=c < 0, flip_y=b < 0)

    @classmethod
    def turned(cls, clockwise_deg: int) -> Orientation:
        """A plain turn, rounded to quarters."""
        quarters = round(clockwise_deg / 90) % 4
        return cls(quarters % 2 == 1, flip_x=quarters in {1, 2}, flip_y=quarters in {2, 3})

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn to upright, 0-270; mirrored pictures are first mirrored left-right."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The upright picture of a stored one, (h, w, 3), contiguous."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)
