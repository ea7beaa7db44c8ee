"""How a measure is spread over a creator's videos: a small histogram, or dots where few have it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reelscope.export.facts import number

HEIGHT_PX = 54
MOST_BARS = 12
LEAST_VALUES = 2
FEW_VALUES = 8
"""Fewer are dots: bars would look like more than there is."""
_DOT_PX, _DOT_PERCENT = 11, 6


@dataclass(frozen=True, slots=True)
class Spread:
    """How a measure is drawn.

    Attributes:
        name: of the measure.
        unit: of the axis; empty: none.
        factor: what a value is multiplied with to be in that unit.
        ends: of the axis, in that unit; None: the axis follows the values.
        least_step: no bar is narrower, in that unit; 0: any width.
    """

    name: str
    unit: str = ""
    factor: float = 1.0
    ends: tuple[float, float] | None = None
    least_step: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A bar or a dot: places in percent across and in pixels from above, as text."""

    x: str
    y: str
    title: str
    width: str = "0"
    height: str = "0"


@dataclass(frozen=True, slots=True)
class Histogram:
    """What is drawn.

    Attributes:
        name: of the measure.
        unit: behind the numbers.
        values: how many videos have the measure.
        median: as text.
        median_at: its place, percent.
        low: left end of the axis, as text.
        high: right end.
        bars: from left to right, empty ones left out; none if there are dots.
        dots: of few values each one.
    """

    name: str
    unit: str
    values: int
    median: str
    median_at: str
    low: str
    high: str
    bars: tuple[Shape, ...]
    dots: tuple[Shape, ...]


def histogram(values: Sequence[float], spread: Spread) -> Histogram | None:
    """The histogram of a measure; None: fewer than two videos have it.

    Args:
        values: in any order; finite.
        spread: how they are drawn.
    """
    numbers = sorted(value * spread.factor for value in values)
    if len(numbers) < LEAST_VALUES or not math.isfinite(numbers[-1] - numbers[0]):
        return None
    axis = _axis(numbers, spread)
    middle, few = median(numbers), len(numbers) < FEW_VALUES
    return Histogram(
        name=spread.name,
        unit=spread.unit,
        values=len(numbers),
        median=axis.said(middle, digits=1),
        median_at=axis.place(middle),
        low=axis.said(axis.start),
        high=axis.said(axis.start + axis.bins * axis.step),
        bars=() if few else tuple(_bars(numbers, axis)),
        dots=tuple(_dots(numbers, axis)) if few else (),
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    start: float
    step: float
    bins: int
    unit: str

    def place(self, value: float) -> str:
        share = (value - self.start) / (self.step * self.bins)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}"

    def bin_of(self, value: float) -> int:
        return min(max(int((value - self.start) / self.step), 0), self.bins - 1)

    def said(self, value: float, *, digits: int = 0) -> str:
        """The number, with as many digits as steps need; with `digits` more, up to tenths."""
        needed = -math.floor(math.log10(self.step))
        places = max(0, needed, min(needed + digits, 1))
        text = f"{value:,.{places}f}"
        return text.rstrip("0").rstrip(".") if places else text


def _axis(numbers: Sequence[float], spread: Spread) -> _Axis:
    """Round steps, at most MOST_BARS of them, around the sorted values."""
    low, high = spread.ends or (numbers[0], numbers[-1])
    wide = high - low or max(abs(low) / 2, spread.least_step * 4, 1.0)
    if high == low:
        low, high = low - wide / 2, low + wide / 2
    size = 10.0 ** math.floor(math.log10(wide / MOST_BARS))
    for step in (size, 2 * size, 5 * size, 10 * size, 20 * size):
        start = math.floor(low / step) * step
        bins = math.ceil((high - start) / step) or 1
        if bins <= MOST_BARS and step >= spread.least_step:
            return _Axis(start, step, bins, spread.unit)
    step = max(20 * size, spread.least_step)
    return _Axis(low, step, max(math.ceil((high - low) / step), 1), spread.unit)


def _bars(numbers: Sequence[float], axis: _Axis) -> list[Shape]:
    counts = Counter(map(axis.bin_of, numbers))
    unit = f" {axis.unit}" if axis.unit else ""
    bars = []
    for k, count in sorted(counts.items()):
        height = HEIGHT_PX * count / max(counts.values())
        low, high = axis.start + k * axis.step, axis.start + (k + 1) * axis.step
        title = f"{axis.said(low)} to {axis.said(high)}{unit}: {number(count, 'video')}"
        bars.append(
            Shape(
                axis.place(low), f"{HEIGHT_PX - height:.1f}", title,
                width=f"{100 / axis.bins:.2f}", height=f"{height:.1f}",
            )
        )  # fmt: skip
    return bars


def _dots(numbers: Sequence[float], axis: _Axis) -> list[Shape]:
    """Dots on the axis; one that would cover another stands on it."""
    unit = f" {axis.unit}" if axis.unit else ""
    dots: list[Shape] = []
    for value in numbers:
        x = axis.place(value)
        below = sum(float(x) - float(dot.x) < _DOT_PERCENT for dot in dots)
        y = max(HEIGHT_PX - 8 - _DOT_PX * below, 5)
        dots.append(Shape(x, str(y), axis.said(value, digits=1) + unit))
    return dots
