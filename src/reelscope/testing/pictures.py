"""Moving pictures with known truth: scenes, their captions, and the frames of a video.

A picture is uint8 (h, w, 3), RGB, upright. Everything is seeded: the same scene gives
the same picture on every call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

RGB: TypeAlias = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]
Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[int, int, int, int]
Painter: TypeAlias = Callable[[Size, float], RGB]
"""`paint((width, height), seconds since the scene began)` -> a new picture."""


@dataclass(frozen=True, slots=True)
class Caption:
    """Words laid over a scene.

    Attributes:
        text: what is written; "\\n" begins a new line.
        start_s, end_s: shown from .. until, seconds since the scene began; None: to its end.
        centre: of the words, as shares of width and height.
        size: of the letters, as a share of the picture's shorter side; the words are
            made smaller where they would not fit.
        weight: of the letters, 100 (thin) .. 900 (black).
        plate: colour of a rounded plate behind the words; None: a dark outline instead.
    """

    text: str
    start_s: float = 0.0
    end_s: float | None = None
    centre: tuple[float, float] = (0.5, 0.78)
    size: float = 0.09
    weight: int = 700
    colour: Colour = (255, 255, 255)
    plate: Colour | None = (20, 20, 24)

    def shown(self, time_s: float, scene_s: float) -> bool:
        """Whether it is on screen so many seconds after the scene began."""
        return self.start_s <= time_s < (scene_s if self.end_s is None else self.end_s)


@dataclass(frozen=True, slots=True)
class Scene:
    """One take between two cuts.

    Attributes:
        seconds: its length.
        colour: of its light; two scenes differ by their place in the video even when
            they have the same colour.
        text: short for one caption over the whole scene.
        captions: words with times and places of their own.
        moving: False holds the first picture still.
        blur: out of focus, captions included.
        black: nothing to see (luma about 1).
        fade_in_s, fade_out_s: from and to black.
        seed: of the drawing; None: the scene's place in the video.
        paint: draws the picture instead of the built-in painter.
    """

    seconds: float
    colour: Colour = (200, 40, 40)
    text: str | None = None
    captions: tuple[Caption, ...] = ()
    moving: bool = True
    blur: bool = False
    black: bool = False
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    seed: int | None = None
    paint: Painter | None = None

    def all_captions(self) -> tuple[Caption, ...]:
        """`captions`, and `text` as one of them."""
        return ((Caption(self.text),) if self.text else ()) + self.captions

    def picture(self, time_s: float, size: Size, seed: int = 0) -> RGB:
        """The scene so many seconds after it began.

        Args:
            time_s: seconds since the scene began.
            size: width and height in pixels.
            seed: of the drawing, where the scene has none of its own.
        """
        if self.black:
            return np.ones((size[1], size[0], 3), np.uint8)
        moment = time_s if self.moving else 0.0
        paint = self.paint or painter(self.colour, seed if self.seed is None else self.seed)
        image = paint(size, moment)
        for caption in self.all_captions():
            if caption.shown(time_s, self.seconds):
                draw_caption(image, caption)
        if self.blur:
            image = out_of_focus(image)
        light = self._light(time_s)
        if light == 1.0:
            return image
        return np.asarray(cv2.convertScaleAbs(image, alpha=light), np.uint8)

    def _light(self, time_s: float) -> float:
        """Share of the light that a fade lets through."""
        light = 1.0
        if self.fade_in_s:
            light = min(light, time_s / self.fade_in_s)
        if self.fade_out_s:
            light = min(light, (self.seconds - time_s) / self.fade_out_s)
        return max(0.0, light)


def out_of_focus(image: RGB) -> RGB:
    """The same picture through a wide-open lens.

    Three box means come close to a Gaussian (sigma about 1/24 of the shorter side) in a
    time that does not grow with its width.
    """
    reach_px = max(2, round(min(image.shape[:2]) / 24))
    for _ in range(3):
        image = np.asarray(cv2.blur(image, (2 * reach_px - 1,) * 2), np.uint8)
    return image


# ----------------------------------------------------------------- the built-in painter


def painter(colour: Colour, seed: int) -> Painter:
    """A painter of a slow pan over a textured wall with three shapes that drift before it."""

    def paint(size: Size, time_s: float) -> RGB:
        wall = _wall(size, colour, seed)
        width, height = size
        reach_x, reach_y = wall.shape[1] - width, wall.shape[0] - height
        left = round(reach_x * (0.5 - 0.5 * math.cos(0.7 * time_s + seed)))
        top = round(reach_y * (0.5 - 0.5 * math.cos(0.5 * time_s + 2 * seed)))
        image = wall[top : top + height, left : left + width].copy()
        _draw_shapes(image, seed, time_s)
        return image

    return paint


@lru_cache(maxsize=16)
def _wall(size: Size, colour: Colour, seed: int) -> RGB:
    """A lit wall, a fifth larger than the picture: gradient, soft spots, fine grain, lines."""
    width, height = max(1, round(size[0] * 1.2)), max(1, round(size[1] * 1.2))
    rng = np.random.default_rng(seed)
    light = np.linspace(1.15, 0.45, height, dtype=np.float32)[:, None]
    light = light + np.linspace(-0.1, 0.1, width, dtype=np.float32)[None, :]
    for cells, strength in ((6, 0.22), (24, 0.12), (96, 0.10)):
        spots = rng.standard_normal((cells, cells)).astype(np.float32)
        spread = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
        light += strength * 0.5 * np.asarray(spread, np.float32)
    light += 0.05 * rng.standard_normal((height, width)).astype(np.float32)
    lit = light[..., None] * np.array(colour, np.float32)
    image: RGB = np.clip(lit, 0, 255).astype(np.uint8)
    step = max(8, min(width, height) // 7)
    for k in range(0, width + height, step):
        shade = tuple(int(c * 0.35) for c in colour)
        cv2.line(image, (k, 0), (k - height // 2, height), shade, 1, cv2.LINE_AA)
    return image


def _draw_shapes(image: RGB, seed: int, time_s: float) -> None:
    """Three bright shapes on paths and with colours of their own."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(seed + 1000)
    reach = min(width, height)
    for kind in range(3):
        phase, speed = rng.uniform(0, 2 * math.pi), rng.uniform(0.6, 1.5)
        colour = tuple(int(v) for v in rng.integers(60, 256, 3))
        x = round(width * (0.5 + 0.36 * math.sin(speed * time_s + phase)))
        y = round(height * (0.36 + 0.26 * math.cos(1.3 * speed * time_s + phase)))
        radius = max(1, round(reach * rng.uniform(0.10, 0.17)))
        if kind == 0:
            cv2.circle(image, (x, y), radius, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(image, (x - radius, y - radius), (x + radius, y + radius), colour, -1)
        else:
            corners = [
                (x + radius * math.cos(time_s + a), y + radius * math.sin(time_s + a))
                for a in (0.0, 2.1, 4.2)
            ]
            cv2.fillPoly(image, [np.array(corners, np.int32)], colour, cv2.LINE_AA)


# ----------------------------------------------------------------------------- captions


def draw_caption(image: RGB, caption: Caption) -> None:
    """Draw the words in place."""
    height, width = image.shape[:2]
    ink = _ink(caption.text, caption.weight, _letter_px(caption, (width, height)))
    left, top, right, bottom = caption_box(caption, (width, height))
    if right <= left or bottom <= top:
        return
    line_px = max(2, round(min(width, height) * caption.size))
    if caption.plate is not None:
        pad = max(1, line_px // 3)
        _round_plate(image, (left - pad, top - pad, right + pad, bottom + pad), caption.plate)
    else:
        _shade(image, ink, left, top, max(1, line_px // 14))
    _stamp(image, ink, left, top, caption.colour)


def caption_box(caption: Caption, size: Size) -> Box:
    """Where the ink of the words is: left, top, right, bottom; right and bottom excluded.

    Words that would leave the picture are moved inside; what cannot fit is cut.
    """
    width, height = size
    ink_height, ink_width = _ink(caption.text, caption.weight, _letter_px(caption, size)).shape
    left = round(caption.centre[0] * width - ink_width / 2)
    top = round(caption.centre[1] * height - ink_height / 2)
    left, top = min(left, width - ink_width), min(top, height - ink_height)
    left, top = max(0, left), max(0, top)
    return left, top, min(width, left + ink_width), min(height, top + ink_height)


def _letter_px(caption: Caption, size: Size) -> int:
    """The wanted letter size, or the largest that leaves a margin of 6 % on both sides."""
    wanted = max(4, round(min(size) * caption.size))
    ink_px = int(_ink(caption.text, caption.weight, wanted).shape[1])
    return max(4, math.floor(wanted * min(1.0, 0.88 * size[0] / ink_px)))


@lru_cache(maxsize=256)
def _ink(text: str, weight: int, letter_px: int) -> NDArray[np.uint8]:
    """Coverage 0-255 of the words, cropped to their ink, lines centred.

    The typeface is the variable sans (Rubik) that OpenCV 5 carries: the same pixels on
    every machine, and letters of most scripts.
    """
    face = cv2.FontFace("sans")
    lines = text.split("\n")
    step = round(1.3 * letter_px)
    widths = [cv2.getTextSize((0, 0), line, (0, 0), face, letter_px, weight)[2] for line in lines]
    pad = letter_px
    sheet = np.zeros((step * len(lines) + 2 * pad, max(widths) + 2 * pad), np.uint8)
    for row, (line, ink_px) in enumerate(zip(lines, widths, strict=True)):
        place = ((sheet.shape[1] - ink_px) // 2, pad + row * step + letter_px)
        cv2.putText(sheet, line, place, (255, 255, 255), face, letter_px, weight)
    rows, columns = np.nonzero(sheet.max(axis=1))[0], np.nonzero(sheet.max(axis=0))[0]
    if rows.size == 0:
        return np.zeros((1, 1), np.uint8)
    return sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _stamp(image: RGB, ink: NDArray[np.uint8], left: int, top: int, colour: Colour) -> None:
    """Mix `colour` into the picture where there is ink; what lies outside is left out."""
    height, width = image.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + ink.shape[1]), min(height, top + ink.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    share = ink[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32) / 255
    part = image[y0:y1, x0:x1]
    mixed = part * (1 - share) + np.array(colour, np.float32) * share
    image[y0:y1, x0:x1] = np.rint(mixed).astype(np.uint8)


def _shade(image: RGB, ink: NDArray[np.uint8], left: int, top: int, reach_px: int) -> None:
    """A dark outline, so that letters without a plate stand out on any ground."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    padded = cv2.copyMakeBorder(ink, *(reach_px,) * 4, cv2.BORDER_CONSTANT, value=0)
    outline = np.asarray(cv2.dilate(padded, kernel), np.uint8)
    _stamp(image, outline, left - reach_px, top - reach_px, (16, 16, 20))


def _round_plate(image: RGB, box: Box, colour: Colour) -> None:
    left, top, right, bottom = box
    plate = np.zeros((max(1, bottom - top), max(1, right - left)), np.uint8)
    radius = min(plate.shape) // 4
    inner = (plate.shape[1] - 1 - radius, plate.shape[0] - 1 - radius)
    cv2.rectangle(plate, (radius, 0), (inner[0], plate.shape[0] - 1), 225, -1)
    cv2.rectangle(plate, (0, radius), (plate.shape[1] - 1, inner[1]), 225, -1)
    for x in (radius, inner[0]):
        for y in (radius, inner[1]):
            cv2.circle(plate, (x, y), radius, 225, -1)
    _stamp(image, plate, left, top, colour)
