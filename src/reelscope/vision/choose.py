"""The few frames that stand for the video.

Greedy choice by an additive objective: every candidate is one of the kept frames, and in
each round the one with the greatest gain is taken. The gain is the weighted sum of six
parts, each 0-1: how good the picture is, whether its shot is not shown yet (long shots
count more), how different it looks from the frames chosen so far, how far it is from them
in time, which of the texts it shows are new, and whether somebody speaks. Such sums of
coverage are commonly chosen from greedily (Nemhauser, Wolsey and Fisher 1978); it is
deterministic, and each frame's reason is what it gained by.

With the vectors of stage `embed` there is a seventh part, how much the frame is about a
product, and how different two frames are is measured between their vectors instead of
their colours: relevance, and distance from what is there, are the two sides of maximal
marginal relevance (Carbonell and Goldstein 1998).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.atomic import write_atomic
from reelscope.errors import OutputError
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.media.pictures import shrink, write_jpeg
from reelscope.records import (
    Choice,
    ChosenFrame,
    Embedding,
    Lane,
    Ok,
    OnScreenText,
    Outcome,
    Quality,
    Shot,
    Shots,
    Still,
    Stills,
    TextAppearance,
    Voice,
)
from reelscope.settings import Choose
from reelscope.vision.embed import Vectors, read_embeddings
from reelscope.vision.keyframes import images_at, value_of
from reelscope.vision.stills import STILL_NAME, read_still, still_name

PREFIX = "chosen-"
_CHOSEN_NAME = re.compile(re.escape(PREFIX) + STILL_NAME.pattern)

QUALITY, SHOT, DIFFERENCE, TIME, TEXT, SPEECH = 0.22, 0.33, 0.18, 0.1, 0.1, 0.07
"""Weights of the six parts; they sum to 1, so a frame's score is 0-1."""

RELEVANCE = 0.25
"""Weight of the seventh part, where there is one; the other six share the rest."""

UNLIKE = 0.5
"""Cosine below which two vectors of pictures count as wholly different. CLIP's vectors lie
in a narrow cone, so those of pictures that have nothing in common are far from right angles
(Liang et al. 2022, "Mind the Gap"); where in the cone the mark stands is our guess."""

NOVEL = 0.4
"""A frame is new if it shows a shot not shown yet, or a text, or looks at least this
different from every frame chosen so far. New frames go first, and beyond the minimum only
they are taken: a still video gets fewer."""

GRID, BINS = 2, (12, 4, 4)
"""Looks are compared by colour histograms (hue, saturation, value) of a 2 x 2 grid."""

ENOUGH_TEXTS = 2
"""New texts in a frame that make its text part 1."""

SHOWN_TEXT = 40
"""Letters of a text that a reason quotes."""

Histogram = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kept frame and what speaks for it.

    Attributes:
        time_s: when it is shown.
        place: where that is in the video, 0-1.
        quality: 0-1.
        look: square roots of its colour histogram.
        shot: number of its shot, from 0; None without shots.
        shot_weight: 0.5-1, by the shot's share of the video.
        texts: numbers of the text appearances that it shows.
        speech: whether somebody speaks.
        vector: of stage `embed`, of unit length; None: there is none.
        relevance: how much it is about a product, 0-1; None: not known.
    """

    time_s: float
    place: float
    quality: float
    look: Histogram
    shot: int | None
    shot_weight: float
    texts: frozenset[int]
    speech: bool
    vector: Vectors | None = None
    relevance: float | None = None


@dataclass(frozen=True)
class Gain:
    """What a candidate would add, each part 0-1."""

    quality: float
    shot: float
    difference: float
    time: float
    text: float
    speech: float
    relevance: float | None = None

    @property
    def total(self) -> float:
        """The weighted sum."""
        signal = (
            QUALITY * self.quality
            + SHOT * self.shot
            + DIFFERENCE * self.difference
            + TIME * self.time
            + TEXT * self.text
            + SPEECH * self.speech
        )
        if self.relevance is None:
            return signal
        return (1 - RELEVANCE) * signal + RELEVANCE * self.relevance

    @property
    def novel(self) -> bool:
        """Whether it shows something that is not shown yet."""
        return self.shot > 0 or self.text > 0 or self.difference >= NOVEL


def look_of(image: RGB) -> Histogram:
    """How a picture looks, for `difference`: float32 (4 * 192,), of unit length.

    Square roots of histogram shares, so that a dot product is the Bhattacharyya
    coefficient of two pictures (1943; 1 where they are distributed alike).
    """
    hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8)
    rows, columns = hsv.shape[:2]
    parts = []
    for i in range(GRID):
        for j in range(GRID):
            cell = hsv[
                rows * i // GRID : max(rows * (i + 1) // GRID, 1),
                columns * j // GRID : max(columns * (j + 1) // GRID, 1),
            ]
            parts.append(_shares(cell if cell.size else hsv))
    return np.asarray(np.sqrt(np.concatenate(parts) / len(parts)), np.float32)


def _shares(cell: RGB) -> Histogram:
    counts = cv2.calcHist([cell], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256])
    shares: Histogram = np.asarray(counts, np.float32).ravel() / (cell.shape[0] * cell.shape[1])
    return shares


def difference(first: Histogram, second: Histogram) -> float:
    """Hellinger distance of two looks: 0 the same colours in the same places, 1 no common one."""
    return float(np.sqrt(max(0.0, 1.0 - float(first @ second))))


def distance(first: Candidate, second: Candidate) -> float:
    """How different two frames are, 0-1: by their vectors if both have one, else by colours."""
    if first.vector is None or second.vector is None:
        return difference(first.look, second.look)
    cosine = float(first.vector @ second.vector)
    return min(max((1.0 - cosine) / (1.0 - UNLIKE), 0.0), 1.0)


def gain_of(candidate: Candidate, chosen: Sequence[Candidate]) -> Gain:
    """What the candidate adds to those chosen so far."""
    seen_texts = frozenset[int]().union(*(other.texts for other in chosen))
    new_texts = candidate.texts - seen_texts
    shown = candidate.shot is None or any(other.shot == candidate.shot for other in chosen)
    return Gain(
        quality=candidate.quality,
        shot=0.0 if shown else candidate.shot_weight,
        difference=min((distance(candidate, other) for other in chosen), default=1.0),
        time=min((abs(candidate.place - other.place) for other in chosen), default=1.0),
        text=min(1.0, len(new_texts) / ENOUGH_TEXTS),
        speech=float(candidate.speech),
        relevance=candidate.relevance,
    )


def choose(
    candidates: Sequence[Candidate], *, min_frames: int, max_frames: int
) -> list[tuple[Candidate, Gain]]:
    """The frames that stand for the video, in time order, each with its gain.

    Args:
        candidates: in time order.
        min_frames: at least so many, if there are.
        max_frames: at most so many; it wins over `min_frames`.
    """
    left, taken = list(candidates), list[tuple[Candidate, Gain]]()
    while left and len(taken) < max_frames:
        chosen = [candidate for candidate, _ in taken]
        gains = [gain_of(candidate, chosen) for candidate in left]
        order = sorted(range(len(left)), key=lambda i: (-round(gains[i].total, 9), i))
        novel = [i for i in order if gains[i].novel]
        order = novel or (order if len(taken) < min_frames else [])
        if not order:
            break
        taken.append((left.pop(order[0]), gains[order[0]]))
    return sorted(taken, key=lambda pair: pair[0].time_s)


# --------------------------------------------------------------------------- the stage


@dataclass(frozen=True)
class Facts:
    """What other stages found, as far as it is there."""

    quality: dict[float, float]
    shots: Sequence[Shot]
    texts: Sequence[TextAppearance]
    speech: Sequence[tuple[float, float]]
    duration_s: float
    vectors: dict[float, Vectors]
    relevance: dict[float, float]

    @classmethod
    def of(cls, clip: Clip) -> Facts:
        """What stands in the clip's record."""
        quality, shots = clip.value(Quality), clip.value(Shots)
        text, voice = clip.value(OnScreenText), clip.value(Voice)
        embedding = clip.value(Embedding)
        vectors = read_embeddings(clip.folder, embedding) if embedding else {}
        frames = embedding.frames if embedding else ()
        return cls(
            quality={f.time_s: f.score for f in quality.frames} if quality else {},
            shots=shots.shots if shots else (),
            texts=text.appearances if text else (),
            speech=[(s.start_s, s.end_s) for s in voice.segments] if voice else (),
            duration_s=clip.info.duration_s or 0.0,
            vectors=vectors,
            relevance={f.time_s: f.product_relevance for f in frames if f.time_s in vectors},
        )

    def without_vectors(self) -> Facts:
        """The same, measured alone."""
        return replace(self, vectors={}, relevance={})

    def candidate(self, time_s: float, image: RGB) -> Candidate:
        """A kept frame with everything that speaks for it."""
        shot = self.shot_at(time_s)
        length_s = self.shots[-1].end_s - self.shots[0].start_s if self.shots else 0.0
        share = 0.0
        if shot is not None and length_s > 0:
            share = (self.shots[shot].end_s - self.shots[shot].start_s) / length_s
        return Candidate(
            time_s=time_s,
            place=min(max(time_s / self.duration_s, 0.0), 1.0) if self.duration_s else 0.0,
            quality=self.quality.get(time_s, 0.5),
            look=look_of(image),
            shot=shot,
            shot_weight=0.5 + 0.5 * share,
            texts=frozenset(self._texts_at(time_s)),
            speech=any(start_s <= time_s <= end_s for start_s, end_s in self.speech),
            vector=self.vectors.get(time_s),
            relevance=self.relevance.get(time_s),
        )

    def shot_at(self, time_s: float) -> int | None:
        """Number of the shot that shows this time, from 0."""
        started = [n for n, shot in enumerate(self.shots) if shot.start_s <= time_s]
        return started[-1] if started else (0 if self.shots else None)

    def _texts_at(self, time_s: float) -> list[int]:
        return [
            number
            for number, text in enumerate(self.texts)
            if text.start_s <= time_s < text.end_s or time_s == text.start_s
        ]

    def reason(self, chosen: Candidate, gain: Gain, among: Sequence[Candidate]) -> str:
        """Why, in words."""
        parts = [self._place(chosen, among)]
        if gain.text > 0:
            shown = [self.texts[number].text for number in sorted(chosen.texts)]
            parts.append(f"shows the text {_quoted(shown)}")
        if gain.difference < 1 and gain.difference >= NOVEL:
            parts.append("looks unlike the other frames")
        if chosen.speech:
            parts.append("somebody speaks")
        if gain.relevance is None:
            parts.append("chosen by measurements alone")
        else:
            parts.append(f"product relevance {gain.relevance:.2f} by CLIP")
        return "; ".join(parts)

    def _place(self, chosen: Candidate, among: Sequence[Candidate]) -> str:
        if chosen.shot is None:
            best = chosen.quality >= max(other.quality for other in among)
            return "best picture of the video" if best else "a good picture"
        shot = self.shots[chosen.shot]
        rivals = [other.quality for other in among if other.shot == chosen.shot]
        what = "best picture" if chosen.quality >= max(rivals) else "picture"
        return f"{what} of shot {chosen.shot + 1} ({shot.start_s:.1f}-{shot.end_s:.1f} s)"


def _quoted(texts: Sequence[str]) -> str:
    text = " / ".join(texts)
    return f'"{text[: SHOWN_TEXT - 1]}…"' if len(text) > SHOWN_TEXT else f'"{text}"'


class ChooseStage:
    """Stage `choose`: picks the frames and saves them small, for a language model."""

    name = "choose"
    version = 2
    needs: tuple[str, ...] = ("stills",)
    uses: tuple[str, ...] = ("quality", "shots", "text", "voice", "embed")
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: Choose) -> None:
        self.settings = settings

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Choice` per clip."""
        return [self._one(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, clip: Clip) -> Outcome:
        stills = {still.time_s: still for still in value_of(clip, Stills).frames}
        facts, times_s = Facts.of(clip), sorted(stills)
        by_clip = bool(times_s) and facts.relevance.keys() >= stills.keys()
        if not by_clip:  # vectors of some frames cannot be compared with colours of the others
            facts = facts.without_vectors()
        images = images_at(clip, times_s) if times_s else []
        candidates = [facts.candidate(t, image) for t, image in zip(times_s, images, strict=True)]
        taken = choose(
            candidates,
            min_frames=self.settings.min_frames,
            max_frames=self.settings.max_frames,
        )
        frames = tuple(
            self._save(clip, stills[c.time_s], gain, facts.reason(c, gain, candidates))
            for c, gain in taken
        )
        _remove_others(clip.frames_dir, {frame.file for frame in frames})
        return Ok(Choice(method="clip" if by_clip else "signal", frames=frames))

    def _save(self, clip: Clip, still: Still, gain: Gain, reason: str) -> ChosenFrame:
        clip.check_time()
        image = shrink(read_still(clip, still.time_s), self.settings.longest_side)
        file = PREFIX + still_name(still.time_s)
        size_bytes = write_jpeg(clip.frames_dir / file, image, self.settings.jpeg_quality)
        if size_bytes > still.size_bytes and image.shape[:2] == (still.height, still.width):
            # What was compressed once and not shrunk may grow: the still itself is smaller.
            write_atomic(clip.frames_dir / file, (clip.frames_dir / still.file).read_bytes())
            size_bytes = still.size_bytes
        return ChosenFrame(
            time_s=still.time_s,
            score=gain.total,
            reason=reason,
            file=file,
            width=image.shape[1],
            height=image.shape[0],
            bytes_before=still.size_bytes,
            bytes_after=size_bytes,
        )


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove the choice of an earlier run."""
    if not folder.is_dir():
        return
    try:
        for path in folder.iterdir():
            if _CHOSEN_NAME.fullmatch(path.name) and path.name not in names:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: an old frame cannot be removed: {error.strerror}") from error
