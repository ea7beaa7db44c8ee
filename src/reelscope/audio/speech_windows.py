"""Which stretches of a sound are written down, and their samples.

Speech that is close together is one window, as in Bain et al., "WhisperX" (2023), section
2.2 (VAD cut and merge), except that a window never spans a long pause: silence and music
are where words are made up. A window is a stretch of the sound as it is; nothing is spliced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16000
MAX_SPEECH_S = 28.0
"""Of speech in a window; with the sound around it, and a cut that was moved, it is at most
the 30 s that Whisper sees at once (whisper/audio.py, CHUNK_LENGTH)."""
MAX_GAP_S = 2.0
"""Speech that is further apart is not heard together."""
PAD_S = 0.3
"""Heard before and after the speech: voice detection cuts soft first and last sounds."""
SEARCH_S = 0.7
"""A cut through speech moves by so much at most, to where it is quietest ..."""
QUIET_S = 0.1
"""... in the mean over so much."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a sound, seconds; a loose end is moved to where it is quiet."""

    start_s: float
    end_s: float
    loose_start: bool = False
    loose_end: bool = False


def plan_windows(speech_s: Sequence[tuple[float, float]], duration_s: float) -> list[Span]:
    """Windows of at most 30 s that hold all speech, in order, without overlap.

    Args:
        speech_s: begin and end of each stretch of speech, in order, without overlap.
        duration_s: of the sound.
    """
    windows: list[list[Span]] = []
    for span in _pieces(speech_s):
        if not windows or span.start_s - windows[-1][-1].end_s > MAX_GAP_S or span.loose_start:
            windows.append([span])
            continue
        windows[-1].append(span)
        while windows[-1][-1].end_s - windows[-1][0].start_s > MAX_SPEECH_S:
            windows[-1:] = _parted(windows[-1])
    return _padded([_joined(window) for window in windows], duration_s)


def _pieces(speech_s: Sequence[tuple[float, float]]) -> Iterator[Span]:
    """Speech; what is too long for a window in even pieces with loose ends."""
    for start_s, end_s in speech_s:
        count = max(1, int(np.ceil((end_s - start_s) / MAX_SPEECH_S)))
        edges_s = np.linspace(start_s, end_s, count + 1).tolist()
        for number, (a_s, b_s) in enumerate(pairwise(edges_s)):
            yield Span(a_s, b_s, loose_start=number > 0, loose_end=number < count - 1)


def _parted(window: list[Span]) -> list[list[Span]]:
    """Cut in two at the longest pause of the later half."""
    middle_s = window[0].start_s + MAX_SPEECH_S / 2
    late = [i for i in range(1, len(window)) if window[i].start_s >= middle_s]
    at = max(late or [len(window) - 1], key=lambda i: (window[i].start_s - window[i - 1].end_s, i))
    return [window[:at], window[at:]]


def _joined(window: Sequence[Span]) -> Span:
    first, last = window[0], window[-1]
    return Span(first.start_s, last.end_s, first.loose_start, last.loose_end)


def _padded(windows: Sequence[Span], duration_s: float) -> list[Span]:
    """A little more at each end; a pause too short for that is shared evenly."""
    ends_s = [0.0, *(w.end_s for w in windows)]
    starts_s = [*(w.start_s for w in windows[1:]), duration_s]
    padded = []
    for number, (window, before_s, after_s) in enumerate(
        zip(windows, ends_s, starts_s, strict=False)
    ):
        last = number == len(windows) - 1
        room_before_s = window.start_s - before_s if not number else (window.start_s - before_s) / 2
        room_after_s = after_s - window.end_s if last else (after_s - window.end_s) / 2
        padded.append(
            replace(
                window,
                start_s=window.start_s - min(PAD_S, max(room_before_s, 0.0)),
                end_s=window.end_s + min(PAD_S, max(room_after_s, 0.0)),
            )
        )
    return padded


def read_windows(
    blocks: Iterable[NDArray[np.float32]], windows: Sequence[Span]
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """(start_s, samples) of each window; never holds more than about two blocks.

    Args:
        blocks: consecutive pieces of one sound at 16 kHz, float32 (n, 1).
        windows: as `plan_windows` gives them.

    Yields:
        Samples float32 (n,), finite, full scale +-1; windows after the sound's end are left
        out.
    """
    source, held, at = iter(blocks), np.zeros(0, np.float32), 0
    cut: int | None = None
    for window in windows:
        start = cut if window.loose_start and cut is not None else _sample(window.start_s)
        reach = _sample(window.end_s + (SEARCH_S if window.loose_end else 0.0))
        while at + len(held) < reach and (block := next(source, None)) is not None:
            gone = min(max(start - at, 0), len(held))
            held, at = np.concatenate([held[gone:], _clean(block)]), at + gone
        end = min(_sample(window.end_s), at + len(held))
        if window.loose_end:
            end = at + _quietest(held, end - at)
        cut = end
        if end > max(start, at):
            yield start / RATE_HZ, held[max(start - at, 0) : end - at].copy()


def _clean(block: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(block[:, 0], nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)


def _sample(time_s: float) -> int:
    return max(round(time_s * RATE_HZ), 0)


def _quietest(samples: NDArray[np.float32], near: int) -> int:
    """The middle of the quietest moment around a sample."""
    first = max(near - _sample(SEARCH_S), 0)
    around = samples[first : near + _sample(SEARCH_S)].astype(np.float64)
    length = _sample(QUIET_S)
    if len(around) <= length:
        return near
    power = np.convolve(around**2, np.ones(length), "valid")
    return first + int(power.argmin()) + length // 2
