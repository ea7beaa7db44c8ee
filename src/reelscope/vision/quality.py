"""Which frames are worth looking at: black and blurred ones out, a score for the rest.

`measure` describes one picture, `judge` compares the pictures of one video. Thresholds
without another source were set on real footage: dark stage, haze, animation, title card,
hand-held close-up, silent film (see docs/adr/004-frames.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt

from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import FrameQuality, Keyframes, Lane, Ok, Outcome, Quality
from reelscope.settings import Quality as QualitySettings
from reelscope.vision.keyframes import images_at, value_of

Gray: TypeAlias = npt.NDArray[np.uint8]
"""Luma, (h, w), uint8, ITU-R BT.601 weights, full range."""

Exposure: TypeAlias = Literal["under", "good", "over"]
Verdict: TypeAlias = Literal["kept", "black", "blurred"]

DARK_LUMA, BRIGHT_LUMA = 16, 239
"""Where shadows and lights stop having detail (ends of the BT.601 studio range)."""

UNDER_LUMA, OVER_LUMA, OVER_SHARE = 50.0, 215.0, 0.35
"""Exposure: mean luma of the picture without black bars, share of blown-out pixels."""

LAG_PX, TILE_PX = 3, 32
MIN_EDGE_ENERGY, MIN_EDGE_TILES = 8.0, 0.25
"""Widths of edges: see `edge_width`. A tile has edges if the mean squared step is above
the first (luma², about 3 levels); a direction counts if it has edges in that share of the
tiles in which the other has."""

MIN_EDGE_LIMIT_PX = 4.0
"""Edges no wider than this are sharp in a picture of any size."""

NEAR_S, HOPELESS = 2.5, 2.0
"""A soft frame goes only if a sharp one is so near, or if it is so many times too soft."""

DARK_VIDEO_SHARE = 0.4
"""In a dark video the black threshold sinks, but to no less than this share of it."""

FLAT_SHARE = 0.25
"""A flat frame has at most this share of the video's sharpness (and little of it at all)."""

SHARP_EDGE_PX, RICH_CONTRAST, RICH_COLOUR = 3.0, 64.0, 60.0
"""Where the parts of the score reach their best. 59: "highly colourful" (Hasler 2003)."""


@dataclass(frozen=True, slots=True)
class Measures:
    """One picture in numbers; see `records.FrameQuality` for the units."""

    luma: float
    contrast: float
    sharpness: float
    edge_px: float | None
    dark_share: float
    bright_share: float
    exposure: Exposure
    colourfulness: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of one video."""

    black_below: float
    blurred_below: float
    blurred_above_px: float
    flat_below: float
    sharp: float


# ----------------------------------------------------------------------- one picture


def luma(image: RGB | Gray) -> Gray:
    """Luma of an RGB picture, uint8 (h, w); a picture of one channel is its own."""
    if image.ndim == 2:
        return image
    return cast("Gray", cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def measure(image: RGB) -> Measures:
    """Brightness, sharpness and colour of one picture.

    Args:
        image: uint8 (h, w, 3) RGB, upright; meant for small ones (short side about 256).
    """
    gray = luma(image)
    mean, deviation = cv2.meanStdDev(gray)
    bright_share = _share(gray > BRIGHT_LUMA)
    return Measures(
        luma=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        sharpness=sharpness(gray),
        edge_px=edge_width(gray),
        dark_share=_share(gray < DARK_LUMA),
        bright_share=bright_share,
        exposure=_exposure(_without_bars(gray)),
        colourfulness=colourfulness(image),
    )


def sharpness(gray: Gray) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing")."""
    second = cv2.Laplacian(gray, cv2.CV_16S)
    mean = cv2.sumElems(second)[0] / second.size
    return max(cv2.norm(second, cv2.NORM_L2SQR) / second.size - mean * mean, 0.0)


def colourfulness(image: RGB) -> float:
    """Metric M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003).

    sqrt(var rg + var yb) + 0.3 sqrt(mean² rg + mean² yb) with rg = R - G and
    yb = (R + G) / 2 - B. The sum of squares of R + G - 2B comes from those of the three
    differences: |u + v|² = 2|u|² + 2|v|² - |u - v|².
    """
    red, green, blue = cv2.split(image)
    count = red.size
    mean_red, mean_green, mean_blue = (cv2.sumElems(c)[0] / count for c in (red, green, blue))
    red_green, red_blue, green_blue = (
        cv2.norm(a, b, cv2.NORM_L2SQR) / count
        for a, b in ((red, green), (red, blue), (green, blue))
    )
    rg = mean_red - mean_green
    yb = (mean_red + mean_green) / 2 - mean_blue
    variance = red_green - rg * rg + (2 * red_blue + 2 * green_blue - red_green) / 4 - yb * yb
    return math.sqrt(max(variance, 0.0)) + 0.3 * math.hypot(rg, yb)


def edge_width(gray: Gray) -> float | None:
    """Typical width of the edges in pixels; None where there are none.

    Let d(l) be the mean squared difference between pixels l apart along a line. For an
    edge that climbs evenly over w >= 2 l pixels d(l) = l²/w - l³/(3 w²), so that
    w = l (4 q + 1) / 3 with q = d(l) / (4 d(l) - d(2 l)), whatever the number and the
    height of the edges. That tells a blurred picture from one that has little in it,
    which the variance of the Laplacian cannot. With l = 3 noise and the ringing of a
    phone's sharpening do not pass for sharp edges; widths under 3 or over 16 are not told
    apart.

    Both directions are measured, as motion blurs only one, and the wider counts. Of all
    tiles with edges two fifths are narrower than the result, so that neither a sharp
    caption over a blurred picture nor the soft ground behind a sharp subject decides.
    """
    tile = min(TILE_PX, *(side - 2 * LAG_PX for side in gray.shape))
    if tile < 1:
        return None
    widths: list[npt.NDArray[np.float32]] = []
    for lines in (gray, cast("Gray", cv2.transpose(gray))):
        near, far = (_mean_steps(lines, tile, apart) for apart in (LAG_PX, 2 * LAG_PX))
        bend = np.maximum(4 * near - far, 1e-3)
        wide = np.minimum(LAG_PX * (4 * near / bend + 1) / 3, tile / 2)
        widths.append(wide[near > MIN_EDGE_ENERGY])
    enough = max(1.0, MIN_EDGE_TILES * max(wide.size for wide in widths))
    return max((float(np.quantile(w, 0.4)) for w in widths if w.size >= enough), default=None)


def _mean_steps(lines: Gray, tile: int, apart: int) -> npt.NDArray[np.float32]:
    """Mean squared difference between pixels so far apart along a line, per tile."""
    rows, columns = (side // tile for side in np.subtract(lines.shape, 2 * LAG_PX).tolist())
    height, width = rows * tile, columns * tile
    every = 2 if tile % 2 == 0 else 1  # half of the lines say the same in half of the time
    step = cv2.absdiff(lines[:height:every, apart : apart + width], lines[:height:every, :width])
    square = cv2.multiply(step, step, dtype=cv2.CV_32F)
    mean = cv2.resize(square, (columns, rows), interpolation=cv2.INTER_AREA)
    return cast("npt.NDArray[np.float32]", mean)


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask)) / mask.size


def _without_bars(gray: Gray) -> Gray:
    """The picture inside black bars (rows and columns at the border without any light)."""
    borders = (gray[0], gray[-1], gray[:, 0], gray[:, -1])
    if all(border.max() >= 2 * DARK_LUMA for border in borders):
        return gray
    rows = np.flatnonzero(gray.max(axis=1) >= 2 * DARK_LUMA)
    columns = np.flatnonzero(gray.max(axis=0) >= 2 * DARK_LUMA)
    if not rows.size:
        return gray
    return gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _exposure(picture: Gray) -> Exposure:
    mean = cv2.mean(picture)[0]
    if mean < UNDER_LUMA:
        return "under"
    blown = mean > OVER_LUMA or _share(picture > BRIGHT_LUMA) > OVER_SHARE
    return "over" if blown else "good"


# --------------------------------------------------------------- the pictures of a video


def limits(
    measures: Sequence[Measures], *, short_side_px: int, settings: QualitySettings
) -> Limits:
    """What is black and what is blurred in this video.

    A dark video lowers the luma under which a frame is black. What is sharp is taken from
    the better frames: the upper quartile of the sharpness and the lower quartile of the
    edge widths among the frames that are not black. A video that is soft throughout thus
    keeps its best frames; one that is black throughout keeps none, for there is nothing
    in them to look at.

    Args:
        measures: of all frames.
        short_side_px: of the pictures that were measured.
        settings: of the quality section.
    """
    black = settings.black_luma
    if measures:
        bright = float(np.quantile([m.luma for m in measures], 0.75))
        black = min(black, max(DARK_VIDEO_SHARE * black, bright / 2))
    lit = [m for m in measures if not _black(m, black, settings)]
    sharp = float(np.quantile([m.sharpness for m in lit], 0.75)) if lit else 0.0
    edges = [m.edge_px for m in lit if m.edge_px is not None]
    return Limits(
        black_below=black,
        blurred_below=settings.blur_share * sharp,
        blurred_above_px=max(
            MIN_EDGE_LIMIT_PX,
            settings.blur_edge_share * short_side_px,
            settings.blur_edge_ratio * float(np.quantile(edges, 0.25)) if edges else 0.0,
        ),
        flat_below=min(settings.blur_floor, FLAT_SHARE * sharp),
        sharp=sharp,
    )


def _black(measures: Measures, below: float, settings: QualitySettings) -> bool:
    return measures.luma < below and measures.contrast < settings.black_contrast


def verdicts(
    times_s: Sequence[float],
    measures: Sequence[Measures],
    limits: Limits,
    settings: QualitySettings,
) -> list[Verdict]:
    """Black, blurred, or worth looking at: one verdict per frame.

    Little sharpness alone is no blur: a title card or an aeroplane in the sky has little
    to be sharp. The edges that there are have to be wide as well, or there are none. And
    a frame that is merely soft goes only if a sharp one is near: a shot of a face before
    a soft ground in an otherwise crisp video would be lost as a whole.
    """
    black = [_black(m, limits.black_below, settings) for m in measures]
    soft = [(m.edge_px or 0.0) / limits.blurred_above_px for m in measures]
    sharp_s = [
        time_s
        for time_s, m, dark, softness in zip(times_s, measures, black, soft, strict=True)
        if m.edge_px is not None and not dark and softness <= 1
    ]

    def blurred(time_s: float, sharpness: float, softness: float) -> bool:
        if sharpness < limits.flat_below:
            return True
        if sharpness >= limits.blurred_below or softness <= 1:
            return False
        return softness > HOPELESS or any(abs(time_s - other) <= NEAR_S for other in sharp_s)

    return [
        "black" if dark else "blurred" if blurred(time_s, m.sharpness, softness) else "kept"
        for time_s, m, dark, softness in zip(times_s, measures, black, soft, strict=True)
    ]


def score(measures: Measures, limits: Limits) -> float:
    """How good a picture it is, 0-1.

    Focus (narrow edges) counts 35 %, light (best in the middle of the range) 25 %, detail
    (sharpness against that of the video) 15 %, contrast 15 %, colour 10 %: our weights.
    """
    focus = min(1.0, SHARP_EDGE_PX / measures.edge_px) if measures.edge_px else 0.0
    both = measures.sharpness + limits.sharp
    detail = measures.sharpness / both if both else 0.0
    light = 1.0 - ((measures.luma - 127.5) / 127.5) ** 2
    contrast = min(1.0, measures.contrast / RICH_CONTRAST)
    colour = min(1.0, measures.colourfulness / RICH_COLOUR)
    return 0.35 * focus + 0.25 * light + 0.15 * detail + 0.15 * contrast + 0.1 * colour


def judge(
    times_s: Sequence[float],
    measures: Sequence[Measures],
    *,
    short_side_px: int,
    settings: QualitySettings,
) -> Quality:
    """Every frame of a video with its verdict and score, in the order given."""
    found = limits(measures, short_side_px=short_side_px, settings=settings)
    frames = tuple(
        FrameQuality(time_s=time_s, **asdict(m), score=score(m, found), verdict=verdict)
        for time_s, m, verdict in zip(
            times_s, measures, verdicts(times_s, measures, found, settings), strict=True
        )
    )
    return Quality(
        frames=frames,
        kept_s=tuple(frame.time_s for frame in frames if frame.verdict == "kept"),
        black_below=found.black_below,
        blurred_below=found.blurred_below,
        blurred_above_px=found.blurred_above_px,
    )


class QualityStage:
    """Stage `quality`: black and blurred frames out, the others with a score."""

    name = "quality"
    version = 1
    needs: tuple[str, ...] = ("keyframes",)
    uses: tuple[str, ...] = ()
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: QualitySettings) -> None:
        self.settings = settings

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Quality` per clip."""
        return [self._one(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, clip: Clip) -> Outcome:
        if skip := clip.missing_video():
            return skip
        keyframes = value_of(clip, Keyframes)
        times_s = [frame.time_s for frame in keyframes.frames]
        measures = []
        for image in images_at(clip, times_s):
            clip.check_time()
            measures.append(measure(image))
        short = min(keyframes.width, keyframes.height)
        return Ok(judge(times_s, measures, short_side_px=short, settings=self.settings))
