"""What is heard, by name: laughter, applause, a dog. Stage `sounds`.

A tagger (engines/audio_spectrogram.py) says for a window of sound how likely each class of
AudioSet is in it, not where. The published model was trained on whole clips of 10 s and
errs on a second of sound that is padded to 10 (YuanGongND/ast issue 60), so only whole
windows say what there is. Windows overlap, and which of them have a sound and which have
not tells where it is; at both ends of the video shorter windows, padded by the model's own
extractor, help with that alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reelscope.media.clip import Clip
from reelscope.records import (
    Event,
    Events,
    LabelledEvent,
    Lane,
    Ok,
    Outcome,
    Skipped,
    Sounds,
    SoundTag,
)
from reelscope.settings import Sounds as SoundsSettings

Float32 = NDArray[np.float32]
Span = tuple[float, float]

RATE_HZ = 16000
"""Of the tagger."""
BLOCK_S = 10.0
MIN_SOUND_S = 0.175
"""Of a sound that can be named: the 16 spectra of 25 ms, 10 ms apart, that one patch of the
model's picture holds (the paper, section 2.1). Less is nearly all padding."""
MIN_EDGE_S = 1.0
"""No window at the ends is shorter."""
EDGE_CONFIDENCE = 0.5
"""What a window at the ends needs to have heard a sound, times `min_confidence`: it is
padded and less sure, and what there is has been decided already."""
MIN_SHARE = 0.5
"""A label belongs to an event if they share this much of the shorter of the two."""


class Tagger(Protocol):
    """What this stage needs of an engine."""

    @property
    def engine(self) -> str:
        """Name and revision."""
        ...

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry."""
        ...

    def open(self) -> None:
        """Load the model; raises EngineUnavailable with the remedy."""
        ...

    def labels(self) -> tuple[str, ...]:
        """The classes' names, in the order of the probabilities."""
        ...

    def probabilities(self, windows: Iterable[Float32]) -> Iterator[Float32]:
        """One probability per class, float32 (classes,), 0-1, for each window, in order.

        Args:
            windows: float32 (n,) at 16 kHz, at most 10.24 s; they are asked for a few at a
                time and share forward passes.
        """
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class SoundsStage:
    """Puts the sounds that were recognised, and the labelled timeline, into the record."""

    name = "sounds"
    version = 1
    needs: tuple[str, ...] = ("events",)
    uses: tuple[str, ...] = ()
    lane: Lane = "gpu"

    def __init__(self, settings: SoundsSettings, tagger: Tagger, *, batch_size: int = 8) -> None:
        self.settings = settings
        self.batch_size = batch_size
        self._tagger = tagger

    @property
    def engine(self) -> str:
        """The tagger's name and revision."""
        return self._tagger.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """The tagger's."""
        return self._tagger.weights

    def open(self) -> None:
        """Load the tagger's model."""
        self._tagger.open()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with the tags (none in silence); Skipped without sound."""
        heard = [_skipped(clip) or _Heard(clip, self.settings) for clip in clips]
        self._listen([one for one in heard if isinstance(one, _Heard)])
        labels = self._tagger.labels()
        return [
            one if isinstance(one, Skipped) else Ok(one.value(labels, self.settings))
            for one in heard
        ]

    def close(self) -> None:
        """Let go of the tagger's model."""
        self._tagger.close()

    def _listen(self, heard: Sequence[_Heard]) -> None:
        """One stream of windows through the model, whichever video they come from."""
        asked: deque[_Heard] = deque()

        def windows() -> Iterator[Float32]:
            for one in heard:
                for window in one.windows():
                    asked.append(one)
                    yield window

        for chances in self._tagger.probabilities(windows()):
            asked.popleft().chances.append(chances)


def _skipped(clip: Clip) -> Skipped | None:
    if skipped := clip.missing_audio():
        return skipped
    if clip.value(Events) is None:
        return Skipped("it is not known where it is silent (stage events)")
    return None


class _Heard:
    """One video's windows and what was heard in them."""

    def __init__(self, clip: Clip, settings: SoundsSettings) -> None:
        self._clip = clip
        self._window = round(settings.window_s * RATE_HZ)
        self._hop = round(min(settings.hop_s, settings.window_s) * RATE_HZ)
        events = clip.value(Events)
        self._timeline = events.timeline if events else ()
        self._spans: list[Span] = []  # of all windows
        self._whole: list[bool] = []  # which of them are no edges
        self._asked: list[int] = []  # which of them went to the model
        self.chances: list[Float32] = []

    def windows(self) -> Iterator[Float32]:
        """The windows in which something is heard."""
        for start, samples, whole in cut_with_edges(self._blocks(), self._window, self._hop):
            span = start / RATE_HZ, (start + len(samples)) / RATE_HZ
            self._spans.append(span)
            self._whole.append(whole)
            if len(samples) >= MIN_SOUND_S * RATE_HZ and _audible(span, self._timeline):
                self._asked.append(len(self._spans) - 1)
                yield samples

    def value(self, labels: Sequence[str], settings: SoundsSettings) -> Sounds:
        """The record's value, once all windows have come back."""
        chances = np.zeros((len(self._spans), len(labels)), np.float32)
        if self._asked:
            chances[self._asked] = self.chances
        whole = np.array(self._whole, bool)
        tags = find_tags(self._spans, chances, whole, labels, settings.min_confidence)
        tags = sorted(tags, key=lambda tag: -tag.confidence)[: settings.max_tags]
        tags.sort(key=lambda tag: (tag.start_s, tag.end_s, -tag.confidence, tag.label))
        timeline = tuple(label_event(event, tags) for event in self._timeline)
        return Sounds(tags=tuple(tags), timeline=timeline, windows=len(self._asked))

    def _blocks(self) -> Iterator[Float32]:
        for block in self._clip.audio.blocks(RATE_HZ, 1, BLOCK_S):
            self._clip.check_time()
            yield np.nan_to_num(block[:, 0], nan=0.0, posinf=0.0, neginf=0.0)


def cut(blocks: Iterable[Float32], window: int, hop: int) -> Iterator[tuple[int, Float32]]:
    """A sound in overlapping windows, the last of which ends with the sound.

    Args:
        blocks: consecutive pieces, float32 (n,).
        window: samples of a window; a shorter sound is one shorter window.
        hop: samples from one to the next, at most `window`.

    Yields:
        First sample, and float32 (window,).
    """
    held = before = np.zeros(0, np.float32)
    start = 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > window:
            yield start, held[:window]
            before, held, start = held[:hop], held[hop:], start + hop
    missing = min(window - len(held), len(before))
    if len(held):
        yield start - missing, np.concatenate([before[len(before) - missing :], held])


def cut_with_edges(
    blocks: Iterable[Float32], window: int, hop: int
) -> Iterator[tuple[int, Float32, bool]]:
    """The windows of `cut`, led by beginnings of the first and followed by ends of the last.

    Yields:
        First sample, float32 (n,), and whether it is a window of `cut`; first samples and
        ends never go back.
    """
    last: tuple[int, Float32] | None = None
    least = MIN_EDGE_S * RATE_HZ
    for start, samples in cut(blocks, window, hop):
        if last is None:
            sizes = range(hop, len(samples), hop)
            yield from ((0, samples[:size], False) for size in sizes if size >= least)
        yield start, samples, True
        last = start, samples
    if last is not None:
        start, samples = last
        for skipped in range(hop, len(samples), hop):
            if len(samples) - skipped >= least:
                yield start + skipped, samples[skipped:], False


def _audible(span: Span, timeline: Sequence[Event]) -> bool:
    return any(
        event.kind != "silence" and event.start_s < span[1] and event.end_s > span[0]
        for event in timeline
    )


# --------------------------------------------------------------------------------- tags


def find_tags(
    spans: Sequence[Span],
    chances: Float32,
    whole: NDArray[np.bool_],
    labels: Sequence[str],
    min_confidence: float,
) -> list[SoundTag]:
    """Which sounds are heard, and where.

    Args:
        spans: of the windows, in order, each overlapping or touching the next one.
        chances: (windows, classes), 0-1.
        whole: (windows,), which of them say what there is; the others say where.
        labels: the classes' names.
        min_confidence: windows below this have not heard it.
    """
    sure = (chances >= min_confidence) & whole[:, None]
    hint = (chances >= min_confidence * EDGE_CONFIDENCE) & ~whole[:, None]
    found = []
    for index in np.flatnonzero(sure.any(axis=0)).tolist():
        certain, of_class = sure[:, index], chances[:, index]
        places: list[tuple[Span, float]] = []
        for first, last in _runs(certain | hint[:, index]):
            run = slice(first, last + 1)
            if not certain[run].any():
                continue
            span, chance = place(spans, first, last), float(of_class[run][whole[run]].max())
            if places and span[0] <= places[-1][0][1]:
                earlier, before = places.pop()
                span, chance = (earlier[0], max(earlier[1], span[1])), max(before, chance)
            places.append((span, chance))
        found += [
            SoundTag(label=labels[index], start_s=span[0], end_s=span[1], confidence=chance)
            for span, chance in places
        ]
    return found


def place(spans: Sequence[Span], first: int, last: int) -> Span:
    """Where a sound is that windows `first` to `last` hear and their neighbours do not.

    It begins after the end of the last window that does not hear it yet, and ends before
    the start of the first that does not hear it any more. Where that leaves nothing (a
    neighbour should have heard it and did not), it is where all that hear it overlap.
    """
    start_s = spans[first - 1][1] if first else spans[0][0]
    end_s = spans[last + 1][0] if last + 1 < len(spans) else spans[-1][1]
    return (start_s, end_s) if start_s < end_s else (spans[last][0], spans[first][1])


def _runs(heard: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last index of every run of True."""
    for is_heard, run in groupby(enumerate(heard.tolist()), key=lambda item: bool(item[1])):
        if is_heard:
            indices = [index for index, _ in run]
            yield indices[0], indices[-1]


def label_event(event: Event, tags: Iterable[SoundTag]) -> LabelledEvent:
    """An event with the labels of what is heard in it, the surest first, each once."""
    inside = [tag for tag in tags if _belongs(tag, event)]
    inside.sort(key=lambda tag: (-tag.confidence, tag.label))
    labels = tuple(dict.fromkeys(tag.label for tag in inside))
    return LabelledEvent(**event.model_dump(), labels=labels)


def _belongs(tag: SoundTag, event: Event) -> bool:
    if event.kind == "silence":
        return False
    shared = min(tag.end_s, event.end_s) - max(tag.start_s, event.start_s)
    shorter = min(tag.end_s - tag.start_s, event.end_s - event.start_s)
    return shared > 0 and shared >= MIN_SHARE * shorter
