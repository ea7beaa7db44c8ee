"""Near-duplicates: structural similarity, and groups of frames that one stands for.

`ssim` gives the number of scikit-image's `structural_similarity` with its defaults
(Wang et al. 2004, "Image quality assessment: from error visibility to structural
similarity", with a 7 x 7 mean window and sample covariance) on 8-bit luma. Window sums of
bytes are whole numbers and stay so until the last division.

Most pairs of frames are unlike, and need not be compared to the end. Two sure bounds
decide them (proofs at `_Picture` and `_compare`); neither can change an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt

from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import Lane, Ok, Outcome, Quality, SimilarFrame, SimilarGroup, Similarity
from reelscope.settings import Similarity as SimilaritySettings
from reelscope.vision.keyframes import images_at, value_of
from reelscope.vision.quality import Gray, luma

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int32]

WINDOW = 7
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Window side and constants of Wang et al. 2004, as in scikit-image."""

CELL = 8
"""Windows a side that share a cell of the coarse description."""

STRIP_PIXELS = 1 << 14
"""Pixels compared at a time: the working set stays in the core's own cache."""

SURE = 1e-4
"""Distance from the limit below which rounding could matter to a bound."""


@dataclass(frozen=True, slots=True)
class Group:
    """A frame that was kept, and the frames that it stands for with their similarity."""

    index: int
    stands_for: tuple[tuple[int, float], ...]


def ssim(first: RGB | Gray, second: RGB | Gray) -> float:
    """Mean structural similarity of the luma of two pictures, -1 to 1.

    The window is 7 x 7, or the largest odd size that fits. Pictures with a side under 3
    have no window with a variance: they are alike (1) if equal, else not (0).

    Args:
        first: uint8 (h, w, 3) RGB, or luma (h, w).
        second: of the same size.

    Raises:
        ValueError: the pictures differ in size.
    """
    a, b = _Picture(luma(first)), _Picture(luma(second))
    if a.gray.shape != b.gray.shape:
        raise ValueError(f"pictures of {a.gray.shape} and {b.gray.shape} pixels have no SSIM")
    if a.side == 1:
        return float(np.array_equal(a.gray, b.gray))
    total = math.fsum(_similarity(a, b, k) for k in range(len(a.strips)))
    return min(total / a.windows, 1.0)


# ---------------------------------------------------------------------------- one picture


@dataclass(frozen=True, slots=True)
class _Strip:
    """Rows of windows that are worked on at a time, and the rows of cells in them."""

    first: int
    last: int
    cells: slice


def _strips(rows: int, columns: int) -> list[_Strip]:
    """All rows of windows, cut where cells end; the last strip takes what is left over."""
    cell_rows = rows // CELL
    step = max(STRIP_PIXELS // (columns * CELL), 1)
    starts = list(range(0, cell_rows, step)) or [0]
    ends = [*starts[1:], cell_rows]
    strips = [
        _Strip(start * CELL, end * CELL, slice(start, end))
        for start, end in zip(starts, ends, strict=True)
    ]
    return [*strips[:-1], replace(strips[-1], last=rows)]


class _Picture:
    """A picture with the sums of its windows, strip by strip, and their rough description.

    The rough description is the means over cells of 8 x 8 windows, from which an upper
    bound of the SSIM follows. In a window SSIM = (1 - a)(1 - b) with
    a = (mx - my)² / (mx² + my² + C1) in [0, 1) and b >= c = (ux - uy)² / (ux² + uy²), m
    being the mean and u² the variance + C2 / 2 (Cauchy-Schwarz on the covariance + C2 / 2).
    So SSIM <= 1 - a and SSIM <= 1 - c. Both a and c are of the form t² / d, which is convex
    for d > 0: over a cell the mean of t² / d is at least (mean t)² / (mean d) (Jensen).
    Windows beyond the last whole cell count as alike.

    Attributes:
        side, count: of a window, pixels; 1 where none fits.
        rows, columns, windows: how many windows lie inside the picture.
        cells: rows and columns of cells.
        planes: float32 (4, cells): means of m, m² + C1 / 2, u and u², scaled alike in pairs.
        texture: share of the variance in u² per strip, summed: where differences show.
    """

    PLANES = 4

    def __init__(self, gray: Gray) -> None:
        self.gray = np.ascontiguousarray(gray)
        side = int(min(WINDOW, *gray.shape))
        self.side = side - 1 + side % 2
        self.edge = self.side // 2
        self.count = self.side**2
        self.rows = int(gray.shape[0]) - 2 * self.edge
        self.columns = int(gray.shape[1]) - 2 * self.edge
        self.windows = self.rows * self.columns
        self.k1 = np.float32(C1 * self.count**2 / 2)
        self.k2 = np.float32(C2 * self.count * (self.count - 1) / 2)
        self.strips = _strips(self.rows, self.columns)
        self.cells = self.rows // CELL, self.columns // CELL
        self._parts = [self._sums(strip) for strip in self.strips] if self.side > 1 else []
        self.planes, self.texture = self._describe()

    def forget(self) -> None:
        """Keep the picture and its description; sums are taken again where they are needed.

        Adding up the few strips that comparisons look at costs about as much as fetching
        them from a store of 1 MB per picture would.
        """
        self._parts = []

    def part(self, k: int) -> tuple[Ints, Floats]:
        """S and (n Q - S² + k2) / 2 of the windows of a strip; (rows, w), int32 and float32.

        S is the sum of a window's pixels, Q that of their squares, n their number: whole
        numbers, and exact. Two of the second add up to the denominator of the structure
        term. The rows have the width of the picture, as whole rows are faster than parts;
        windows that reach over its border are in them and are left out at the end.
        """
        return self._parts[k] if self._parts else self._sums(self.strips[k])

    def _sums(self, strip: _Strip) -> tuple[Ints, Floats]:
        pixels = self.gray[strip.first : strip.last + 2 * self.edge]
        sums = self.window_sums(pixels)
        exact = self.window_sums(np.multiply(pixels, pixels, dtype=np.uint16))
        exact *= self.count
        exact -= sums * sums
        spread = exact.astype(np.float32)
        spread += self.k2
        spread *= np.float32(0.5)
        return sums, spread

    def window_sums(self, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Ints:
        """Sum of the window around every pixel of the rows that have a whole one."""
        window = (self.side, self.side)
        sums = cv2.boxFilter(pixels, cv2.CV_32S, window, normalize=False)
        return cast("Ints", sums[self.edge : len(pixels) - self.edge])

    def _describe(self) -> tuple[Floats, list[float]]:
        rows, columns = self.cells
        planes = np.zeros((self.PLANES, rows, columns), np.float32)
        if not planes.size or not self._parts:
            return np.zeros((self.PLANES, 0), np.float32), [0.0] * len(self.strips)
        for strip, (sums, spread) in zip(self.strips, self._parts, strict=True):
            mean = sums.astype(np.float32)
            for plane, fine in zip(
                planes, (mean, mean * mean, np.sqrt(spread), spread), strict=True
            ):
                plane[strip.cells] = self._cell_means(fine, strip)
        planes[0] *= np.float32(math.sqrt(0.5))
        planes[1] += self.k1
        planes[1] *= np.float32(0.5)
        texture = 1 - self.k2 / 2 / planes[3]
        return (
            planes.reshape(self.PLANES, -1),
            [float(texture[strip.cells].sum()) for strip in self.strips],
        )

    def _cell_means(self, fine: Floats, strip: _Strip) -> Floats:
        rows, columns = strip.cells.stop - strip.cells.start, self.cells[1]
        whole = fine[: rows * CELL, self.edge : self.edge + columns * CELL]
        means = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
        return cast("Floats", means)


def _least_loss(one: Floats, others: Floats) -> Floats:
    """Per cell: 1 - SSIM is at least this. (4, cells) against (n, 4, cells) -> (n, cells)."""
    means = others[:, 0] - one[0]
    means *= means
    means /= others[:, 1] + one[1]
    deviations = others[:, 2] - one[2]
    deviations *= deviations
    deviations /= others[:, 3] + one[3]
    return cast("Floats", np.maximum(means, deviations, out=means))


# ------------------------------------------------------------------------- one comparison


def _compare(a: _Picture, b: _Picture, *, limit: float, least: Floats) -> float | None:
    """The mean SSIM if it is above the limit, else None, from as few strips as that takes.

    A window that has not been looked at loses at least what its cell loses. When what was
    found and what is sure to come lose more than the limit leaves, the rest cannot make
    up for it.

    Args:
        a: one picture; the strips in which it has most texture are compared first.
        b: another of the same size.
        limit: exclusive.
        least: `_least_loss` of the two, (cells,).
    """
    if a.side == 1:
        same = float(np.array_equal(a.gray, b.gray))
        return same if same > limit else None
    room = a.windows * (1 - limit + SURE)
    losses = least.reshape(a.cells).sum(axis=1, dtype=np.float64) * CELL * CELL
    sure = float(losses.sum())
    total = 0.0
    for k in sorted(range(len(a.strips)), key=lambda k: -a.texture[k]):
        strip = a.strips[k]
        found = _similarity(a, b, k)
        total += found
        sure += (strip.last - strip.first) * a.columns - found - float(losses[strip.cells].sum())
        if sure > room:
            return None
    value = min(total / a.windows, 1.0)
    return value if value > limit else None


def _similarity(a: _Picture, b: _Picture, k: int) -> float:
    """Sum of the SSIM of the windows of a strip.

    With P = Sx Sy and N = n Qxy - P: SSIM = (P + k1)(N + k2) over the product of the two
    denominators. P and N are exact.
    """
    (sums, spread), (other_sums, other_spread) = a.part(k), b.part(k)
    pixels = slice(a.strips[k].first, a.strips[k].last + 2 * a.edge)
    joint = a.window_sums(np.multiply(a.gray[pixels], b.gray[pixels], dtype=np.uint16))
    product = sums * other_sums
    joint *= a.count
    joint -= product
    structure = joint.astype(np.float32)
    structure += a.k2
    light = product.astype(np.float32)
    light += a.k1
    structure *= light
    apart = sums - other_sums
    apart *= apart
    below = apart.astype(np.float32)
    below *= np.float32(0.5)
    below += light  # (Sx² + Sy²) / 2 + k1
    below *= spread + other_spread
    structure /= below
    return float(cv2.sumElems(structure[:, a.edge : a.edge + a.columns])[0])


# ------------------------------------------------------------------------------- grouping


class _Shelf:
    """The kept pictures of one size, and the search for one that a picture is like."""

    def __init__(self, room: int, limit: float) -> None:
        self.limit = limit
        self.room = room
        self.indices: list[int] = []
        self.times_s: list[float] = []
        self.pictures: list[_Picture] = []
        self.planes = np.zeros((0, _Picture.PLANES, 0), np.float32)

    def find(self, picture: _Picture, time_s: float) -> tuple[int, float] | None:
        """Index and similarity of the kept one nearest in time that this one is like."""
        least = _least_loss(picture.planes, self.planes[: len(self.indices)])
        sure = least.sum(axis=1, dtype=np.float64) * CELL * CELL
        possible = np.flatnonzero(sure <= picture.windows * (1 - self.limit + SURE))
        for k in sorted(possible.tolist(), key=lambda k: abs(self.times_s[k] - time_s)):
            value = _compare(picture, self.pictures[k], limit=self.limit, least=least[k])
            if value is not None:
                return self.indices[k], value
        return None

    def add(self, index: int, picture: _Picture, time_s: float) -> None:
        """Keep this one."""
        if not self.indices:
            self.planes = np.zeros((self.room, *picture.planes.shape), np.float32)
        self.planes[len(self.indices)] = picture.planes
        picture.forget()
        self.indices.append(index)
        self.times_s.append(time_s)
        self.pictures.append(picture)


def group(
    images: Sequence[RGB | Gray],
    *,
    times_s: Sequence[float],
    scores: Sequence[float],
    max_ssim: float,
    check_time: Callable[[], None] = lambda: None,
) -> list[Group]:
    """Keep the best frame of every set of near-duplicates.

    Frames are taken in the order of their scores, the better first (then the earlier). One
    that is more alike than `max_ssim` to a frame that was kept before is put to that
    frame, to the one nearest in time if there are several; else it is kept. So no two
    kept frames are near-duplicates, however far apart, and every other frame is one of
    the frame that stands for it, which has no lower score.

    Args:
        images: uint8 (h, w, 3) RGB or luma (h, w); pictures that differ in size are unlike.
        times_s: of the images, seconds.
        scores: of the images, higher is better.
        max_ssim: frames with an SSIM above this are near-duplicates.
        check_time: called once per frame; may raise.

    Returns:
        Groups in the order of the images, `stands_for` too.
    """
    shelves: dict[tuple[int, ...], _Shelf] = {}
    members: dict[int, list[tuple[int, float]]] = {}
    for i in sorted(range(len(images)), key=lambda i: (-scores[i], times_s[i], i)):
        check_time()
        picture = _Picture(luma(images[i]))
        shelf = shelves.setdefault(picture.gray.shape, _Shelf(len(images), max_ssim))
        match = shelf.find(picture, times_s[i]) if shelf.indices else None
        if match is None:
            shelf.add(i, picture, times_s[i])
            members[i] = []
        else:
            members[match[0]].append((i, match[1]))
    return [Group(i, tuple(sorted(members[i]))) for i in sorted(members)]


class SimilarityStage:
    """Stage `similarity`: near-duplicates gathered under the frame that stands for them."""

    name = "similarity"
    version = 1
    needs: tuple[str, ...] = ("quality",)
    uses: tuple[str, ...] = ()
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: SimilaritySettings) -> None:
        self.settings = settings

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Similarity` per clip."""
        return [self._one(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, clip: Clip) -> Outcome:
        if skip := clip.missing_video():
            return skip
        kept = [frame for frame in value_of(clip, Quality).frames if frame.verdict == "kept"]
        times_s = [frame.time_s for frame in kept]
        groups = group(
            images_at(clip, times_s),
            times_s=times_s,
            scores=[frame.score for frame in kept],
            max_ssim=self.settings.max_ssim,
            check_time=clip.check_time,
        )
        found = tuple(
            SimilarGroup(
                time_s=times_s[g.index],
                stands_for=tuple(
                    SimilarFrame(time_s=times_s[i], ssim=value) for i, value in g.stands_for
                ),
            )
            for g in groups
        )
        return Ok(Similarity(groups=found, kept_s=tuple(g.time_s for g in found)))
