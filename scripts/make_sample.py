"""Draw, compose and write the sample: three creators, six short videos, all from code.

    python scripts/make_sample.py [FOLDER]

writes FOLDER/creators.csv and FOLDER/tiktok_videos/<creator>/<id>.mp4 (and .json, what a
platform would say of the video). FOLDER is `data` if it is not given. With the same
versions of PyAV, OpenCV and numpy the same bytes come out again.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.testing import media
from reelscope.testing.media import RGB, Caption, Colour, Scene, Size

CREATORS = {
    "mira.bakes": "bread and biscuits",
    "two_wheels_tom": "bicycles, repaired and ridden",
    "dr.lena": "science in ten seconds",
}
_FINER = 2  # pictures are drawn so many times larger and then shrunk: smooth edges

# ------------------------------------------------------------------------------ canvas


class Canvas:
    """A sheet to draw on: places are shares of width and height, lengths of the shorter side."""

    def __init__(self, size: Size, ground: RGB) -> None:
        self.width, self.height = size[0] * _FINER, size[1] * _FINER
        self.unit = min(self.width, self.height)
        self.sheet = ground.copy()

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Pixels of a place."""
        return round(x * self.width), round(y * self.height)

    def length(self, share: float) -> int:
        """Pixels of a length, at least one."""
        return max(1, round(share * self.unit))

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled disc."""
        cv2.circle(self.sheet, self.place(x, y), self.length(radius), colour, -1, cv2.LINE_AA)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """A circle's line."""
        where, thick = self.place(x, y), self.length(width)
        cv2.circle(self.sheet, where, self.length(radius), colour, thick, cv2.LINE_AA)

    def oval(
        self, x: float, y: float, axes: tuple[float, float], colour: Colour, turn_deg: float = 0
    ) -> None:
        """A filled ellipse."""
        half = (self.length(axes[0]), self.length(axes[1]))
        where = self.place(x, y)
        cv2.ellipse(self.sheet, where, half, turn_deg, 0, 360, colour, -1, cv2.LINE_AA)

    def line(self, points: Sequence[tuple[float, float]], width: float, colour: Colour) -> None:
        """An open line through places."""
        path = np.array([self.place(*point) for point in points], np.int32)
        cv2.polylines(self.sheet, [path], False, colour, self.length(width), cv2.LINE_AA)

    def area(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        path = np.array([self.place(*point) for point in points], np.int32)
        cv2.fillPoly(self.sheet, [path], colour, cv2.LINE_AA)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Light that fades outwards."""
        rows = np.arange(self.height, dtype=np.float32)[:, None]
        columns = np.arange(self.width, dtype=np.float32)[None, :]
        left, top = self.place(x, y)
        far = ((columns - left) ** 2 + (rows - top) ** 2) / self.length(radius) ** 2
        share = (strength * np.exp(-far))[..., None]
        mixed = self.sheet * (1 - share) + np.array(colour, np.float32) * share
        self.sheet = np.asarray(mixed, np.uint8)

    def picture(self, pan: tuple[float, float] = (0.0, 0.0), zoom: float = 1.0) -> RGB:
        """The sheet at its final size, seen by a hand-held camera (shares of the unit)."""
        shift = (pan[0] * self.unit, pan[1] * self.unit)
        matrix = np.array(
            [
                [zoom, 0, self.width / 2 * (1 - zoom) + shift[0]],
                [0, zoom, self.height / 2 * (1 - zoom) + shift[1]],
            ]
        )
        whole = (self.width, self.height)
        seen = cv2.warpAffine(self.sheet, matrix, whole, borderMode=cv2.BORDER_REFLECT)
        final = (self.width // _FINER, self.height // _FINER)
        return np.asarray(cv2.resize(seen, final, interpolation=cv2.INTER_AREA), np.uint8)


def hand(time_s: float) -> tuple[float, float]:
    """The small drift of a phone held by a hand."""
    return 0.006 * math.sin(2.1 * time_s), 0.005 * math.sin(1.7 * time_s + 1)


@lru_cache(maxsize=32)
def fade(size: Size, top: Colour, bottom: Colour) -> RGB:
    """A ground that goes from one colour to another, downwards."""
    share = np.linspace(0, 1, size[1] * _FINER, dtype=np.float32)[:, None, None]
    rows = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    return np.repeat(np.rint(rows).astype(np.uint8), size[0] * _FINER, axis=1)


@lru_cache(maxsize=8)
def wood(size: Size, colour: Colour, seed: int) -> RGB:
    """Planks with grain."""
    width, height = size[0] * _FINER, size[1] * _FINER
    rng = np.random.default_rng(seed)
    light = np.ones((height, width), np.float32)
    for rows, columns, strength in ((90, 3, 0.10), (260, 8, 0.07), (24, 2, 0.08)):
        grain = rng.standard_normal((rows, columns)).astype(np.float32)
        spread = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        light += strength * np.asarray(spread, np.float32)
    planks = 5
    for k in range(planks):
        rows_of = slice(k * height // planks, (k + 1) * height // planks)
        light[rows_of] *= rng.uniform(0.88, 1.08)
        light[rows_of][:3] *= 0.55
    lit = np.clip(light[..., None] * np.array(colour, np.float32), 0, 255)
    return np.asarray(lit, np.uint8)


@lru_cache(maxsize=8)
def specks(count: int, seed: int) -> NDArray[np.float64]:
    """Random places: x, y, and a size 0-1, shape (count, 3)."""
    return np.random.default_rng(seed).random((count, 3))


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """A colour between two."""
    blend = [round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True)]
    return blend[0], blend[1], blend[2]


# --------------------------------------------------------------------------- mira.bakes

_CRUST: Colour = (186, 112, 48)
_CRUST_LIGHT: Colour = (226, 166, 92)
_DOUGH: Colour = (240, 222, 190)
_FLOUR: Colour = (250, 246, 238)


def _loaf(canvas: Canvas, x: float, y: float, size: float, crust: Colour = _CRUST) -> None:
    """A loaf with three cuts, seen from above."""
    canvas.oval(x, y + 0.02, (1.05 * size, 0.66 * size), (60, 38, 24))
    canvas.oval(x, y, (size, 0.62 * size), crust)
    shine = mixed(crust, (255, 232, 190), 0.35)
    canvas.oval(x, y - 0.012, (0.86 * size, 0.46 * size), mixed(crust, shine, 0.6))
    for k in (-1, 0, 1):
        canvas.oval(x + 0.42 * k * size, y, (0.08 * size, 0.40 * size), _CRUST_LIGHT, 24)
        canvas.oval(x + 0.42 * k * size, y, (0.04 * size, 0.34 * size), _DOUGH, 24)


def _steam(canvas: Canvas, time_s: float, y: float) -> None:
    for k in range(3):
        points = []
        for step in range(16):
            rise = step / 15
            sway = 0.022 * math.sin(7 * rise + 3 * time_s + 2 * k)
            points.append((0.36 + 0.14 * k + sway, y - 0.17 * rise))
        canvas.line(points, 0.013, (238, 226, 210))


def loaf_on_table(size: Size, time_s: float) -> RGB:
    """A fresh loaf steams on a wooden table."""
    canvas = Canvas(size, wood(size, (150, 100, 62), 1))
    canvas.area([(0.08, 0.37), (0.92, 0.33), (0.96, 0.74), (0.05, 0.77)], (92, 128, 140))
    canvas.area([(0.10, 0.38), (0.90, 0.345), (0.94, 0.73), (0.07, 0.76)], (214, 222, 214))
    for k in range(7):
        x = 0.12 + 0.13 * k
        canvas.line([(x, 0.38 - 0.03 * x), (x - 0.02, 0.755)], 0.010, (150, 178, 182))
    _loaf(canvas, 0.5, 0.56, 0.34)
    _steam(canvas, time_s, 0.47)
    return canvas.picture(hand(time_s), 1.04 + 0.012 * time_s)


def oven(size: Size, time_s: float) -> RGB:
    """The loaf rises behind the glowing window of an oven."""
    canvas = Canvas(size, fade(size, (52, 56, 64), (34, 36, 42)))
    for k in range(4):
        x = 0.2 + 0.2 * k
        canvas.circle(x, 0.19, 0.062, (196, 200, 206))
        canvas.circle(x, 0.19, 0.046, (120, 126, 134))
        turn = 0.5 + k + (0.25 * time_s if k == 2 else 0)
        tip = (x + 0.04 * math.sin(turn), 0.19 - 0.022 * math.cos(turn))
        canvas.line([(x, 0.19), tip], 0.012, (250, 250, 250))
    canvas.line([(0.12, 0.29), (0.88, 0.29)], 0.030, (206, 210, 216))
    canvas.area([(0.08, 0.34), (0.92, 0.34), (0.92, 0.70), (0.08, 0.70)], (16, 14, 14))
    canvas.area([(0.11, 0.355), (0.89, 0.355), (0.89, 0.685), (0.11, 0.685)], (88, 36, 12))
    canvas.glow(0.5, 0.66, 0.52, (255, 150, 40), 0.75 + 0.08 * math.sin(5 * time_s))
    rise = min(1.0, time_s / 2.5)
    for k in range(9):
        canvas.line([(0.13 + 0.0925 * k, 0.625), (0.13 + 0.0925 * k, 0.64)], 0.012, (60, 50, 48))
    canvas.line([(0.12, 0.628), (0.88, 0.628)], 0.012, (70, 60, 56))
    crust = mixed(_DOUGH, _CRUST, 0.25 + 0.65 * rise)
    canvas.oval(0.5, 0.585 - 0.02 * rise, (0.27 + 0.02 * rise, 0.11 + 0.06 * rise), crust)
    top = mixed(crust, (255, 240, 210), 0.35)
    canvas.oval(0.5, 0.572 - 0.03 * rise, (0.21, 0.06 + 0.05 * rise), top)
    canvas.line([(0.16, 0.37), (0.30, 0.37)], 0.008, (255, 214, 170))
    return canvas.picture(hand(time_s), 1.03)


def scoring(size: Size, time_s: float) -> RGB:
    """A blade cuts into the dough on a floured board."""
    canvas = Canvas(size, wood(size, (196, 150, 100), 2))
    for x, y, share in specks(160, 3):
        canvas.circle(x, 0.25 + 0.55 * y, 0.002 + 0.006 * share, _FLOUR)
    canvas.oval(0.5, 0.525, (0.40, 0.37), (120, 84, 52))
    canvas.oval(0.5, 0.515, (0.385, 0.355), _DOUGH)
    canvas.oval(0.47, 0.495, (0.31, 0.27), (247, 234, 208))
    for x, y, share in specks(60, 4):
        canvas.circle(0.3 + 0.4 * x, 0.42 + 0.19 * y, 0.002 + 0.004 * share, _FLOUR)
    done = time_s / 2.2 * 3
    blade = (0.5, 0.5)
    for k in range(3):
        share = min(1.0, max(0.0, done - k))
        if share == 0.0:
            continue
        start = (0.30, 0.47 + 0.055 * k)
        blade = (start[0] + 0.38 * share, start[1] - 0.055 * share)
        canvas.line([start, blade], 0.030, (206, 172, 128))
        canvas.line([start, blade], 0.014, (160, 118, 76))
    x, y = blade
    canvas.area(
        [(x, y), (x + 0.13, y - 0.045), (x + 0.15, y - 0.02), (x + 0.02, y + 0.012)],
        (210, 216, 224),
    )
    canvas.line([(x + 0.13, y - 0.034), (x + 0.34, y - 0.115)], 0.048, (70, 44, 36))
    return canvas.picture(hand(time_s), 1.03)


def cooling(size: Size, time_s: float) -> RGB:
    """The loaf on a rack by the window; the evening light moves."""
    canvas = Canvas(size, fade(size, (120, 160, 196), (232, 206, 170)))
    canvas.glow(0.8 - 0.05 * time_s, 0.16, 0.5, (255, 240, 200), 0.9)
    canvas.area(
        [(0.0, 0.30), (0.30, 0.22), (0.62, 0.29), (1.0, 0.21), (1.0, 0.42), (0, 0.42)],
        (96, 140, 96),
    )
    canvas.line([(0.5, 0.0), (0.5, 0.42)], 0.035, (246, 244, 240))
    canvas.line([(0.0, 0.42), (1.0, 0.42)], 0.05, (246, 244, 240))
    canvas.area([(0, 0.44), (1, 0.44), (1, 1), (0, 1)], (112, 74, 50))
    for k in range(6):
        canvas.line([(0, 0.52 + 0.09 * k), (1, 0.515 + 0.09 * k)], 0.006, (84, 54, 38))
    for k in range(9):
        canvas.line([(0.06 + 0.11 * k, 0.575), (0.03 + 0.1175 * k, 0.70)], 0.010, (164, 164, 172))
    for y in (0.575, 0.637, 0.70):
        canvas.line([(0.04, y), (0.96, y)], 0.014, (190, 190, 198))
    _loaf(canvas, 0.5, 0.60, 0.33, (168, 92, 36))
    return canvas.picture(hand(time_s), 1.05 + 0.01 * time_s)


def ingredients(size: Size, time_s: float) -> RGB:
    """A bowl into which flour, butter and sugar fall, one after the other."""
    canvas = Canvas(size, fade(size, (252, 214, 200), (246, 178, 170)))
    canvas.line([(0.0, 0.02), (1.0, 0.02)], 0.008, (214, 120, 112))
    for k in range(9):
        x, flag = 0.06 + 0.11 * k, ((255, 238, 228), (232, 120, 112))[k % 2]
        canvas.area([(x - 0.045, 0.02), (x + 0.045, 0.02), (x, 0.065)], flag)
    fill = min(1.0, time_s / 3.6)
    for k in range(26):
        drop = (1.1 * time_s + 0.37 * k) % 1.0
        x = 0.5 + 0.16 * math.sin(2.4 * k)
        if time_s < 1.2:
            canvas.circle(x, 0.2 + 0.32 * drop, 0.010, _FLOUR)
        elif time_s < 2.4 and k < 5:
            y = 0.2 + 0.32 * drop
            canvas.area([(x - 0.04, y), (x + 0.04, y), (x + 0.04, y + 0.03), (x - 0.04, y + 0.03)],
                        (250, 216, 104))  # fmt: skip
        elif time_s >= 2.4:
            canvas.circle(x, 0.2 + 0.32 * drop, 0.006, (255, 255, 255))
    canvas.oval(0.5, 0.56, (0.36, 0.10), (64, 108, 128))
    canvas.oval(0.5, 0.56, (0.335, 0.085), (46, 82, 100))
    canvas.oval(0.5, 0.575 - 0.010 * fill, (0.18 + 0.14 * fill, 0.04 + 0.035 * fill), _DOUGH)
    canvas.area([(0.14, 0.56), (0.86, 0.56), (0.74, 0.70), (0.26, 0.70)], (84, 140, 160))
    canvas.area([(0.14, 0.56), (0.22, 0.56), (0.32, 0.70), (0.26, 0.70)], (120, 176, 192))
    canvas.oval(0.5, 0.56, (0.36, 0.05), (84, 140, 160))
    canvas.oval(0.5, 0.553, (0.335, 0.046), mixed((46, 82, 100), _DOUGH, 0.2 + 0.75 * fill))
    canvas.area([(0.28, 0.70), (0.72, 0.70), (0.70, 0.72), (0.30, 0.72)], (64, 108, 128))
    return canvas.picture(hand(time_s), 1.04)


def _sprinkle(canvas: Canvas, place: tuple[float, float], turn: float, colour: Colour) -> None:
    dx, dy = 0.012 * math.cos(turn), 0.012 * math.sin(turn) * canvas.width / canvas.height
    (x, y) = place
    canvas.line([(x - dx, y - dy), (x + dx, y + dy)], 0.012, colour)


def cookies(size: Size, time_s: float) -> RGB:
    """A tray of biscuits; sprinkles fall on them."""
    canvas = Canvas(size, fade(size, (74, 78, 88), (52, 54, 62)))
    canvas.area([(0.06, 0.17), (0.94, 0.17), (0.98, 0.70), (0.02, 0.70)], (148, 152, 160))
    canvas.area([(0.09, 0.185), (0.91, 0.185), (0.945, 0.685), (0.055, 0.685)], (206, 200, 188))
    colours: tuple[Colour, ...] = ((232, 74, 110), (84, 170, 222), (250, 202, 72), (120, 196, 110))
    for row in range(4):
        for column in range(3):
            x, y = 0.24 + 0.26 * column, 0.25 + 0.122 * row
            canvas.circle(x + 0.008, y + 0.010, 0.105, (150, 140, 122))
            canvas.circle(x, y, 0.103, (206, 150, 84))
            canvas.circle(x, y, 0.086, (228, 178, 112))
            landed = min(12, int(max(0.0, 3.2 * time_s - 0.5 * row)))
            for u, v, share in specks(12, 10 + 3 * row + column)[:landed]:
                angle, far = 2 * math.pi * u, 0.066 * math.sqrt(v)
                dx, dy = far * math.cos(angle), far * math.sin(angle) * size[0] / size[1]
                _sprinkle(canvas, (x + dx, y + dy), 9 * share, colours[int(4 * share)])
    for u, v, share in specks(30, 30):
        _sprinkle(
            canvas,
            (u, 0.20 + 0.46 * ((v + 1.6 * time_s) % 1.0)),
            4 * time_s + 9 * u,
            colours[int(4 * share)],
        )
    return canvas.picture(hand(time_s), 1.03)


# ----------------------------------------------------------------------- two_wheels_tom


def _gear(
    canvas: Canvas, x: float, y: float, radius: float, *, teeth: int, turn: float, colour: Colour
) -> None:
    """A chain wheel with arms."""
    tall = canvas.width / canvas.height
    points = []
    for k in range(4 * teeth):
        angle = turn + 2 * math.pi * k / (4 * teeth)
        reach = (radius if k % 4 < 2 else 0.88 * radius) * canvas.unit / canvas.width
        points.append((x + reach * math.cos(angle), y + reach * tall * math.sin(angle)))
    canvas.area(points, colour)
    canvas.circle(x, y, 0.74 * radius, mixed(colour, (20, 20, 24), 0.75))
    for k in range(5):
        angle = turn + 2 * math.pi * k / 5
        reach = 0.8 * radius * canvas.unit / canvas.width
        tip = (x + reach * math.cos(angle), y + reach * tall * math.sin(angle))
        canvas.line([(x, y), tip], 0.14 * radius, colour)
    canvas.circle(x, y, 0.24 * radius, mixed(colour, (255, 255, 255), 0.3))
    canvas.circle(x, y, 0.10 * radius, (40, 42, 48))


def _chain(
    canvas: Canvas, start: tuple[float, float], end: tuple[float, float], shift: float
) -> None:
    links = 12
    for k in range(-1, links):
        share = (k + shift % 1.0) / links
        if not 0.0 <= share <= 1.0 - 1 / links:
            continue
        x = start[0] + (end[0] - start[0]) * share
        y = start[1] + (end[1] - start[1]) * share
        next_x, next_y = x + (end[0] - start[0]) / links, y + (end[1] - start[1]) / links
        colour: Colour = (150, 154, 162) if k % 2 else (104, 108, 118)
        canvas.line([(x, y), (next_x, next_y)], 0.026, colour)
        canvas.circle(x, y, 0.022, (190, 194, 200))
        canvas.circle(x, y, 0.008, (60, 62, 70))


def drivetrain(size: Size, time_s: float) -> RGB:
    """Chain wheel, chain and sprocket turn."""
    canvas = Canvas(size, fade(size, (236, 186, 74), (214, 120, 52)))
    for k in range(7):
        y = 0.06 + 0.15 * k
        canvas.line([(0.0, y + 0.08), (1.0, y - 0.02)], 0.010, (228, 156, 64))
    canvas.line([(0.36, 0.62), (0.50, 0.16)], 0.09, (28, 92, 120))
    canvas.line([(0.36, 0.62), (1.05, 0.30)], 0.07, (34, 110, 142))
    canvas.line([(0.36, 0.62), (0.86, 0.40)], 0.045, (22, 74, 98))
    _chain(canvas, (0.34, 0.495), (0.80, 0.362), 3 * time_s)
    _chain(canvas, (0.86, 0.438), (0.40, 0.745), 3 * time_s)
    _gear(canvas, 0.36, 0.62, 0.25, teeth=26, turn=1.1 * time_s, colour=(58, 62, 72))
    _gear(canvas, 0.82, 0.40, 0.11, teeth=12, turn=2.6 * time_s, colour=(88, 92, 102))
    angle = 1.1 * time_s
    tip = (0.36 + 0.26 * math.cos(angle), 0.62 + 0.26 * size[0] / size[1] * math.sin(angle))
    canvas.line([(0.36, 0.62), tip], 0.05, (34, 36, 42))
    canvas.oval(tip[0], tip[1], (0.10, 0.032), (20, 20, 24))
    return canvas.picture(hand(time_s), 1.03)


def oiling(size: Size, time_s: float) -> RGB:
    """A drop of oil falls on every link of the chain."""
    canvas = Canvas(size, fade(size, (196, 222, 226), (112, 160, 176)))
    for x, y, share in specks(40, 40):
        canvas.circle(x, y, 0.003 + 0.004 * share, (176, 208, 214))
    for k in range(-1, 6):
        x = 0.20 * (k + (0.6 * time_s) % 1.0)
        for y in (0.565, 0.615):
            canvas.line([(x, y), (x + 0.2, y)], 0.018, (70, 74, 84))
        canvas.oval(x + 0.1, 0.59, (0.115, 0.062), (128, 134, 144))
        canvas.oval(x + 0.1, 0.587, (0.095, 0.046), (158, 164, 174))
        for side in (0.0, 0.2):
            canvas.circle(x + side, 0.587, 0.020, (116, 122, 134))
    bottle = [(0.44, 0.0), (0.56, 0.0), (0.56, 0.24), (0.515, 0.33), (0.485, 0.33), (0.44, 0.24)]
    canvas.area(bottle, (210, 52, 44))
    canvas.area([(0.44, 0.06), (0.56, 0.06), (0.56, 0.17), (0.44, 0.17)], (250, 244, 230))
    canvas.line([(0.5, 0.33), (0.5, 0.38)], 0.018, (240, 220, 120))
    fall = (0.6 * time_s) % 1.0
    canvas.oval(0.5, 0.385 + 0.17 * fall, (0.018, 0.026), (232, 170, 30))
    return canvas.picture(hand(time_s), 1.03)


def _bicycle(canvas: Canvas, x: float, y: float, size: float, turn: float) -> None:
    """A bicycle with a rider, seen from the side; `turn` in radians of the wheels."""
    wide, tall = size * canvas.unit / canvas.width, size * canvas.unit / canvas.height

    def at(u: float, v: float) -> tuple[float, float]:
        return x + u * wide, y + v * tall

    for wheel in (-0.55, 0.55):
        centre = at(wheel, 0.0)
        canvas.ring(*centre, 0.36 * size, 0.05 * size, (30, 30, 36))
        for k in range(6):
            angle = turn + math.pi * k / 6
            one = at(wheel + 0.34 * math.cos(angle), 0.34 * math.sin(angle))
            other = at(wheel - 0.34 * math.cos(angle), -0.34 * math.sin(angle))
            canvas.line([one, other], 0.010 * size, (170, 172, 178))
    red: Colour = (212, 50, 60)
    for line in (
        ((-0.55, 0.0), (-0.05, 0.02), (-0.22, -0.48), (-0.55, 0.0)),
        ((-0.05, 0.02), (0.38, -0.46), (-0.20, -0.42)),
        ((0.55, 0.0), (0.36, -0.56), (0.44, -0.62)),
    ):
        canvas.line([at(u, v) for u, v in line], 0.055 * size, red)
    canvas.line([at(-0.32, -0.50), at(-0.12, -0.50)], 0.06 * size, (30, 30, 36))
    foot = (-0.05 + 0.15 * math.cos(turn), 0.02 + 0.15 * math.sin(turn))
    knee = (0.10 + 0.04 * math.cos(turn), -0.34 + 0.07 * math.sin(turn))
    canvas.line([at(-0.20, -0.60), at(*knee), at(*foot)], 0.10 * size, (44, 62, 110))
    canvas.line([at(-0.20, -0.60), at(0.10, -1.0)], 0.19 * size, (250, 190, 60))
    canvas.line([at(0.08, -0.96), at(0.26, -0.76), at(0.42, -0.64)], 0.07 * size, (236, 190, 154))
    canvas.circle(*at(0.20, -1.20), 0.13 * size, (236, 190, 154))
    canvas.oval(*at(0.19, -1.27), (0.155 * size, 0.085 * size), (40, 130, 120), -8)


def ride(size: Size, time_s: float) -> RGB:
    """A rider before hills that pass by at different speeds."""
    canvas = Canvas(size, fade(size, (126, 196, 240), (250, 236, 206)))
    low = canvas.width > canvas.height
    road = 0.80 if low else 0.62
    canvas.circle(0.82, 0.24 if low else 0.18, 0.09, (255, 240, 180))
    for k, (speed, colour) in enumerate(
        (((0.03, (150, 190, 180))), ((0.07, (110, 166, 120))), ((0.15, (74, 134, 84))))
    ):
        top = road - 0.16 + 0.055 * k
        points = [(0.0, 1.0)]
        for step in range(33):
            u = step / 32 + speed * time_s
            bump = math.sin(5.1 * u + 2 * k) + 0.5 * math.sin(11.3 * u + k)
            points.append((step / 32, top - 0.045 * bump))
        canvas.area([*points, (1.0, 1.0)], colour)
    canvas.area([(0, road), (1, road), (1, 1), (0, 1)], (98, 100, 108))
    for k in range(-1, 5):
        x = (0.3 * (k + 1) - 0.9 * time_s) % 1.5 - 0.25
        canvas.line([(x, road + 0.07), (x + 0.13, road + 0.07)], 0.018, (244, 240, 224))
    for k in range(4):
        x = (0.45 * k - 0.35 * time_s) % 1.8 - 0.4
        canvas.line([(x, road), (x, road - 0.10)], 0.02, (86, 62, 44))
        canvas.circle(x, road - 0.13, 0.075, (56, 116, 66))
    _bicycle(canvas, 0.42, road - (0.055 if low else 0.035), 0.34 if low else 0.40, 6 * time_s)
    return canvas.picture(hand(time_s), 1.03)


def brake(size: Size, time_s: float) -> RGB:
    """A disc brake closes its pads on the turning disc."""
    canvas = Canvas(size, fade(size, (60, 70, 92), (28, 32, 44)))
    turn = 3.0 * time_s - 0.32 * time_s**2
    canvas.circle(0.40, 0.43, 0.38, (150, 156, 166))
    canvas.circle(0.40, 0.43, 0.29, (44, 50, 66))
    wide = canvas.unit / canvas.width
    tall = canvas.unit / canvas.height
    for k in range(24):
        angle = turn + 2 * math.pi * k / 24
        far = 0.345 + 0.025 * (-1) ** k
        canvas.circle(0.40 + far * wide * math.cos(angle), 0.43 + far * tall * math.sin(angle),
                      0.020, (52, 58, 74))  # fmt: skip
    for k in range(6):
        angle = turn + 2 * math.pi * k / 6
        tip = (0.40 + 0.30 * wide * math.cos(angle), 0.43 + 0.30 * tall * math.sin(angle))
        canvas.line([(0.40, 0.43), tip], 0.045, (150, 156, 166))
    canvas.circle(0.40, 0.43, 0.10, (206, 210, 216))
    canvas.circle(0.40, 0.43, 0.045, (60, 66, 80))
    closed = 0.5 - 0.5 * math.cos(1.6 * time_s)
    left = 0.40 + 0.30 * wide
    canvas.area(
        [(left, 0.27), (left + 0.13, 0.27), (left + 0.13, 0.59), (left, 0.59)], (206, 44, 52)
    )
    for side in (-1, 1):
        y = 0.43 + side * (0.095 - 0.03 * closed)
        canvas.area([(left + 0.01, y - 0.03), (left + 0.10, y - 0.03), (left + 0.10, y + 0.03),
                     (left + 0.01, y + 0.03)], (236, 200, 90))  # fmt: skip
    if closed > 0.7:
        canvas.glow(left + 0.05, 0.43, 0.13, (255, 150, 50), closed - 0.6)
    return canvas.picture(hand(time_s), 1.03)


# ------------------------------------------------------------------------------ dr.lena

_RAINBOW: tuple[Colour, ...] = (
    (232, 60, 60), (242, 150, 50), (246, 220, 80), (90, 200, 110), (80, 150, 250), (150, 100, 236),
)  # fmt: skip


def blue_sky(size: Size, time_s: float) -> RGB:
    """Sun, sky and drifting clouds over a city."""
    canvas = Canvas(size, fade(size, (52, 124, 214), (190, 224, 250)))
    canvas.glow(0.74, 0.17, 0.42, (255, 250, 214), 0.9)
    canvas.circle(0.74, 0.17, 0.105, (255, 244, 190))
    for k in range(4):
        x = (0.42 * k + 0.06 * (1 + k % 2) * time_s) % 1.5 - 0.25
        y = 0.22 + 0.105 * k
        for dx, dy, radius in ((0.0, 0.0, 0.085), (0.10, -0.012, 0.105), (0.21, 0.004, 0.08)):
            canvas.circle(x + dx, y + dy, radius, (246, 250, 255))
    for k, (u, v, _) in enumerate(specks(12, 50)):
        left, top = k / 12 - 0.01, 0.72 - 0.13 * v
        shade = mixed((62, 76, 110), (92, 110, 150), u)
        canvas.area([(left, 1.0), (left, top), (left + 0.10, top), (left + 0.10, 1.0)], shade)
        for row in range(9):
            for column in range(2):
                lit: Colour = (250, 226, 150) if (3 * row + column + k) % 4 else (70, 84, 118)
                x, y = left + 0.026 + 0.042 * column, top + 0.022 + 0.034 * row
                canvas.area([(x, y), (x + 0.018, y), (x + 0.018, y + 0.014), (x, y + 0.014)], lit)
    return canvas.picture(hand(time_s), 1.03)


def scattering(size: Size, time_s: float) -> RGB:
    """Waves of all colours meet the air; the blue ones are thrown aside."""
    canvas = Canvas(size, fade(size, (18, 22, 48), (34, 44, 88)))
    canvas.glow(0.0, 0.12, 0.5, (255, 244, 200), 0.95)
    for k, colour in enumerate(_RAINBOW):
        length = 0.30 - 0.036 * k
        until = 1.0 if k < 4 else 0.52
        points = []
        for step in range(121):
            x = step / 120 * until
            y = 0.235 + 0.062 * k + 0.013 * math.sin(2 * math.pi * (x / length - 1.3 * time_s))
            points.append((x, y))
        canvas.line(points, 0.014, colour)
    for x, y, share in specks(26, 60):
        canvas.circle(0.48 + 0.48 * x, 0.20 + 0.44 * y, 0.012 + 0.008 * share, (150, 170, 214))
    for k in range(10):
        angle = 2 * math.pi * k / 10 + 0.3
        far = 0.05 + 0.28 * ((0.7 * time_s + 0.13 * k) % 1.0)
        x = 0.56 + far * math.cos(angle)
        y = 0.515 + far * math.sin(angle) * size[0] / size[1]
        canvas.circle(x, y, 0.020, (84, 156, 255))
        canvas.circle(x, y, 0.010, (190, 220, 255))
    return canvas.picture(hand(time_s), 1.02)


def sunset(size: Size, time_s: float) -> RGB:
    """The sun sinks into the sea."""
    canvas = Canvas(size, fade(size, (74, 50, 110), (252, 150, 70)))
    sun = 0.42 + 0.045 * time_s
    canvas.glow(0.5, sun, 0.55, (255, 190, 90), 0.85)
    canvas.circle(0.5, sun, 0.15, (255, 224, 130))
    canvas.area([(0, 0.62), (1, 0.62), (1, 1), (0, 1)], (44, 40, 86))
    for k in range(26):
        y = 0.635 + 0.0135 * k
        half = (0.05 + 0.011 * k) * (0.75 + 0.25 * math.sin(1.9 * k + 4 * time_s))
        shift = 0.02 * math.sin(2.7 * k + 2 * time_s)
        colour = mixed((255, 196, 110), (92, 62, 110), k / 26)
        canvas.line([(0.5 + shift - half, y), (0.5 + shift + half, y)], 0.010, colour)
    for k in range(3):
        x, y = 0.22 + 0.1 * k + 0.03 * time_s, 0.24 + 0.03 * (k % 2)
        wing = 0.014 * math.sin(6 * time_s + k)
        canvas.line([(x - 0.035, y - wing), (x, y), (x + 0.035, y - wing)], 0.009, (40, 28, 60))
    return canvas.picture(hand(time_s), 1.02)


def _stars(canvas: Canvas, time_s: float, seed: int) -> None:
    for k, (x, y, share) in enumerate(specks(110, seed)):
        if 0.05 < y < 0.22 or 0.79 < y < 0.87:
            continue  # a star between letters would read as a full stop
        light = round(110 + 130 * share * (0.75 + 0.25 * math.sin(3 * time_s + k)))
        canvas.circle(x, y, 0.0022 + 0.0035 * share, (light, light, min(255, light + 12)))


def _earth(canvas: Canvas, x: float, y: float, radius: float, turn: float) -> None:
    canvas.circle(x, y, 1.06 * radius, (52, 96, 170))
    canvas.circle(x, y, radius, (40, 110, 210))
    for k, (u, v, share) in enumerate(specks(9, 70)):
        along = ((u + 0.06 * turn) % 1.0 - 0.5) * 1.7
        tall = (v - 0.5) * 1.5
        room = math.sqrt(max(0.0, 0.80 - along**2 - tall**2))
        if room < 0.25:
            continue
        dx = along * radius * canvas.unit / canvas.width
        dy = tall * radius * canvas.unit / canvas.height
        axes = (radius * room * (0.22 + 0.16 * share), radius * (0.10 + 0.10 * share))
        canvas.oval(x + dx, y + dy, axes, (84, 164, 92) if k % 3 else (240, 246, 250), 30 * k)


def _moon(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.circle(x, y, radius, (206, 206, 202))
    for u, v, share in specks(14, 80):
        far, angle = 0.78 * radius * math.sqrt(u), 2 * math.pi * v
        dx = far * math.cos(angle) * canvas.unit / canvas.width
        dy = far * math.sin(angle) * canvas.unit / canvas.height
        canvas.circle(x + dx, y + dy, radius * (0.05 + 0.11 * share), (166, 166, 164))


def moonrise(size: Size, time_s: float) -> RGB:
    """The Moon, large, over dark hills."""
    canvas = Canvas(size, fade(size, (8, 10, 26), (40, 48, 92)))
    _stars(canvas, time_s, 90)
    canvas.glow(0.5, 0.40 - 0.012 * time_s, 0.52, (190, 200, 230), 0.5)
    _moon(canvas, 0.5, 0.40 - 0.012 * time_s, 0.27)
    for k, colour in enumerate(((30, 34, 62), (16, 18, 36))):
        points = [(0.0, 1.0)]
        for step in range(25):
            u = step / 24
            points.append((u, 0.68 + 0.06 * k - 0.03 * math.sin(6 * u + 2 * k)))
        canvas.area([*points, (1.0, 1.0)], colour)
    return canvas.picture(hand(time_s), 1.03)


def thirty_earths(size: Size, time_s: float) -> RGB:
    """Earths are laid in a row until they reach the Moon."""
    canvas = Canvas(size, fade(size, (6, 8, 20), (14, 18, 40)))
    _stars(canvas, time_s, 91)
    count = min(30, int(12 * time_s))
    for k in range(count):
        share = (k + 0.5) / 30
        x = 0.5 + 0.32 * math.sin(2 * math.pi * share * 1.5)
        y = 0.66 - 0.44 * share
        _earth(canvas, x, y, 0.030, 3 * time_s + k)
    _earth(canvas, 0.5, 0.70, 0.075, 4 * time_s)
    _moon(canvas, 0.5, 0.175, 0.05)
    return canvas.picture(hand(time_s), 1.02)


# ------------------------------------------------------------------------------ the videos


@dataclass(frozen=True, slots=True)
class Video:
    """One video of the sample."""

    creator: str
    video_id: str
    size: Size
    scenes: tuple[Scene, ...]
    sound: Callable[[float], NDArray[np.float32]] | None
    platform: dict[str, Any] | None = None
    how: dict[str, Any] = field(default_factory=dict)

    def path(self, folder: Path) -> Path:
        """Where it lies below the data folder."""
        return folder / "tiktok_videos" / self.creator / f"{self.video_id}.mp4"


def _title(text: str, **how: Any) -> Caption:
    return Caption(text, centre=(0.5, 0.13), size=0.105, weight=800, plate=None, **how)


def _said(text: str, **how: Any) -> Caption:
    return Caption(text, centre=(0.5, 0.83), size=0.072, weight=650, **how)


def _low(text: str) -> Caption:
    return Caption(text, centre=(0.5, 0.905), size=0.072, weight=650)


def speech(seed: int, pitch_hz: float, pace: float) -> Callable[[float], NDArray[np.float32]]:
    """A voice alone, in a room that is not quite still."""

    def sound(seconds: float) -> NDArray[np.float32]:
        voice, _ = media.speech_like(
            seconds, syllables_per_s=pace, pitch_hz=pitch_hz, rate_hz=44100, seed=seed
        )
        return media.mix(voice, media.noise(seconds, kind="pink", amplitude=0.0008, seed=seed))

    return sound


def music(seed: int, beats_per_minute: float) -> Callable[[float], NDArray[np.float32]]:
    """Music alone."""

    def sound(seconds: float) -> NDArray[np.float32]:
        return media.music_like(seconds, beats_per_minute=beats_per_minute, seed=seed)

    return sound


def speech_over_music(
    seed: int, pitch_hz: float, pace: float
) -> Callable[[float], NDArray[np.float32]]:
    """Two seconds of music, then a voice over the same music, turned down."""

    def sound(seconds: float) -> NDArray[np.float32]:
        voice, _ = media.speech_like(
            seconds - 2.0, syllables_per_s=pace, pitch_hz=pitch_hz, rate_hz=44100, seed=seed
        )
        bed = media.music_like(seconds, beats_per_minute=96, seed=seed)
        turn_down = np.interp(np.arange(bed.size) / 44100, [1.6, 2.2], [1.0, 0.25])
        late = media.sequence(media.silence(2.0), voice)
        return media.mix(late, np.asarray(bed * turn_down, np.float32))

    return sound


def speech_then_music(seed: int, pitch_hz: float) -> Callable[[float], NDArray[np.float32]]:
    """A voice in the first half, music in the second."""

    def sound(seconds: float) -> NDArray[np.float32]:
        half = speech(seed, pitch_hz, 4.6)(seconds / 2)
        return media.sequence(half, media.music_like(seconds / 2, beats_per_minute=124, seed=seed))

    return sound


def _platform(caption: str, posted_at: str, counts: Sequence[int], **more: Any) -> dict[str, Any]:
    names = ("plays", "likes", "comments", "shares", "saves")
    return {
        "name": "tiktok",
        "caption": caption,
        "hashtags": [word[1:] for word in caption.split() if word.startswith("#")],
        "posted_at": posted_at,
        "counts": dict(zip(names, counts, strict=True)),
        **more,
    }


VIDEOS = (
    Video(
        "mira.bakes",
        "7300000000000000001",
        (432, 768),
        (
            Scene(2.6, paint=loaf_on_table, captions=(_title("3 TIPS FOR\nA CRISP CRUST"),)),
            Scene(2.4, paint=oven, captions=(_said("1. Steam for 15 minutes"),)),
            Scene(2.4, paint=scoring, captions=(_said("2. Score it deep"),)),
            Scene(2.6, paint=cooling, captions=(_said("3. Let it cool"),), fade_out_s=0.6),
        ),
        speech_over_music(1, 205.0, 5.2),
        _platform(
            "Crisp crust every time #baking #bread #sourdough",
            "2026-03-14T17:05:00Z",
            (18400, 2210, 96, 143, 870),
            region="DE",
            music={
                "id": "7300000000000009001",
                "title": "original sound",
                "author": "mira.bakes",
                "original": True,
            },
        ),
    ),
    Video(
        "mira.bakes",
        "7300000000000000002",
        (360, 640),
        (
            Scene(
                3.6,
                paint=ingredients,
                captions=(
                    _title("BUTTER BISCUITS"),
                    _said("200 g flour", end_s=1.2),
                    _said("150 g butter", start_s=1.2, end_s=2.4),
                    _said("60 g sugar", start_s=2.4),
                ),
            ),
            Scene(3.0, paint=cookies, captions=(_said("12 minutes at 180 °C"),)),
        ),
        music(4, 118.0),
        None,
        {"fps": 25},
    ),
    Video(
        "two_wheels_tom",
        "7300000000000000101",
        (360, 640),
        (
            Scene(2.8, paint=drivetrain, captions=(_title("YOUR CHAIN\nSQUEAKS?"),)),
            Scene(0.9, paint=oiling, blur=True),
            Scene(2.8, paint=oiling, captions=(_said("One drop per link"),)),
            Scene(2.5, paint=ride, captions=(_said("Enjoy the silence"),)),
        ),
        speech(7, 112.0, 4.2),
        _platform(
            "Two minutes, no more noise #bike #repair",
            "2026-04-02T06:30:00Z",
            (5120, 402, 31, 12, 96),
            region="GB",
        ),
        {"vfr": True, "seed": 3},
    ),
    Video(
        "two_wheels_tom",
        "7300000000000000102",
        (640, 360),
        (
            Scene(3.0, paint=ride, captions=(_title("CHECK YOUR BRAKES"),)),
            Scene(3.0, paint=brake, captions=(_low("Pads thinner than 1 mm? Replace."),)),
            Scene(2.0, paint=ride, captions=(_low("Then go and ride"),), fade_out_s=0.5),
        ),
        speech_then_music(11, 112.0),
    ),
    Video(
        "dr.lena",
        "7300000000000000201",
        (432, 768),
        (
            Scene(3.0, paint=blue_sky, captions=(_title("WHY IS THE\nSKY BLUE?"),)),
            Scene(
                3.4,
                paint=scattering,
                captions=(_said("Air scatters blue light\nfive times more than red"),),
            ),
            Scene(1.2, black=True),
            Scene(
                3.0,
                paint=sunset,
                captions=(_said("At sunset only the red\narrives"),),
                fade_in_s=0.5,
            ),
        ),
        speech_over_music(15, 190.0, 5.8),
        _platform(
            "Rayleigh explains it in ten seconds #science #physics #sky",
            "2026-05-21T19:45:00Z",
            (240300, 31800, 912, 4120, 9800),
            region="AT",
            music={
                "id": "7300000000000009002",
                "title": "Morning Walk",
                "author": "Example Trio",
                "original": False,
            },
        ),
        {"fps": 24},
    ),
    Video(
        "dr.lena",
        "7300000000000000202",
        (360, 640),
        (
            Scene(3.0, paint=moonrise, captions=(_title("HOW FAR IS\nTHE MOON?"),)),
            Scene(4.0, paint=thirty_earths, captions=(_said("30 Earths in a row"),)),
        ),
        None,
    ),
)


def write(video: Video, folder: Path) -> media.Truth:
    """Write one video, and what its platform says of it, below the data folder."""
    path = video.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = sum(scene.seconds for scene in video.scenes)
    truth = media.write_video(
        path,
        video.scenes,
        size=video.size,
        sound=video.sound(seconds) if video.sound else None,
        options={"preset": "slow", "crf": "27"},
        container_options={"movflags": "+faststart"},
        **video.how,
    )
    if video.platform is not None:
        text = json.dumps(video.platform, indent=2, ensure_ascii=False)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return truth


def main() -> None:
    """Write the whole sample."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    for video in VIDEOS:
        write(video, folder)
    with (folder / "creators.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("username", "note"), *CREATORS.items()])


if __name__ == "__main__":
    main()
