"""Where does somebody speak?

A detector (engines/silero.py) gives one speech probability per 32 ms. This file turns
them into segments, with the rules of silero-vad's own `get_speech_timestamps`
(snakers4/silero-vad 6.2, utils_vad.py) for segments of any length: speech begins where
the probability reaches the threshold and ends where it falls below a lower threshold and
does not come back up within the shortest silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reelscope.media.clip import Clip
from reelscope.records import Lane, Ok, Outcome, SpeechSegment, Voice
from reelscope.settings import Voice as VoiceSettings

RATE_HZ = 16000
WINDOW = 512
"""Samples that share a probability: 32 ms."""
HYSTERESIS = 0.15
"""Speech ends below the threshold minus this, silero-vad's own default ..."""
LOWEST_END_THRESHOLD = 0.01
"""... but never below this."""


class VoiceDetector(Protocol):
    """What this stage needs of an engine."""

    @property
    def engine(self) -> str:
        """Name and revision."""
        ...

    def open(self) -> None:
        """Load the model; raises EngineUnavailable with the remedy."""
        ...

    def probabilities(self, blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """One speech probability, 0-1, per 512 samples.

        Args:
            blocks: consecutive pieces of one sound at 16 kHz, float32 (n,), full scale
                +-1, of any lengths. The last window is filled up with zeros.
        """
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class VoiceStage:
    """Puts the speech segments of a video's sound into its record."""

    name = "voice"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    lane: Lane = "cpu"
    batch_size = 1

    def __init__(self, settings: VoiceSettings, detector: VoiceDetector) -> None:
        self.settings = settings
        self._detector = detector

    @property
    def engine(self) -> str:
        """The detector's name and revision."""
        return self._detector.engine

    def open(self) -> None:
        """Load the detector's model."""
        self._detector.open()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with the segments (none where nobody speaks); Skipped without sound."""
        return [self._listen(clip) for clip in clips]

    def close(self) -> None:
        """Let go of the detector's model."""
        self._detector.close()

    def _listen(self, clip: Clip) -> Outcome:
        if skipped := clip.missing_audio():
            return skipped
        sound = _Counted(clip)
        probabilities = self._detector.probabilities(sound)
        return Ok(voice(probabilities, sound.samples, self.settings))


class _Counted:
    """The blocks of a clip's sound, and how many samples went by."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.samples = 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self._clip.audio.blocks(RATE_HZ):
            self._clip.check_time()
            self.samples += len(block)
            yield np.nan_to_num(block[:, 0], nan=0.0, posinf=0.0, neginf=0.0)


def voice(probabilities: NDArray[np.float32], samples: int, settings: VoiceSettings) -> Voice:
    """The record's value.

    Args:
        probabilities: one per window, float32 (ceil(samples / 512),), 0-1.
        samples: length of the sound at 16 kHz.
        settings: thresholds and shortest lengths.
    """
    segments = tuple(
        SpeechSegment(
            start_s=start / RATE_HZ,
            end_s=end / RATE_HZ,
            probability=float(probabilities[start // WINDOW : -(-end // WINDOW)].mean()),
        )
        for start, end in find_speech(probabilities, samples, settings)
    )
    speech_s = sum(segment.end_s - segment.start_s for segment in segments)
    duration_s = samples / RATE_HZ
    return Voice(
        segments=segments,
        duration_s=duration_s,
        speech_s=speech_s,
        speech_share=min(1.0, speech_s / duration_s) if duration_s else 0.0,
    )


def find_speech(
    probabilities: NDArray[np.float32], samples: int, settings: VoiceSettings
) -> list[tuple[int, int]]:
    """Speech as (first sample, end sample) at 16 kHz, in order, without overlap.

    Args:
        probabilities: one per window of 512 samples, float32 (n,).
        samples: length of the sound; a segment never ends after it.
        settings: threshold, shortest speech and silence, padding.
    """
    found = [
        (start, end)
        for start, end in _runs(probabilities, samples, settings)
        if end - start > settings.min_speech_s * RATE_HZ
    ]
    return _padded(found, samples, settings.pad_s * RATE_HZ)


def _runs(
    probabilities: NDArray[np.float32], samples: int, settings: VoiceSettings
) -> Iterator[tuple[int, int]]:
    """Speech by hysteresis, unpadded, of any length."""
    end_threshold = max(settings.threshold - HYSTERESIS, LOWEST_END_THRESHOLD)
    min_silence = settings.min_silence_s * RATE_HZ
    start = quiet_since = None
    for at, probability in zip(range(0, samples, WINDOW), probabilities.tolist(), strict=True):
        if probability >= settings.threshold:
            start, quiet_since = at if start is None else start, None
        elif start is not None and probability < end_threshold:
            quiet_since = at if quiet_since is None else quiet_since
            if at - quiet_since >= min_silence:
                yield start, quiet_since
                start = quiet_since = None
    if start is not None:
        yield start, samples


def _padded(runs: Sequence[tuple[int, int]], samples: int, pad: float) -> list[tuple[int, int]]:
    """Every run made longer at both ends; a gap too short for that is shared evenly."""
    if not runs:
        return []
    gaps = [math.inf, *(after[0] - before[1] for before, after in pairwise(runs)), math.inf]
    pads = [pad if gap >= 2 * pad else gap // 2 for gap in gaps]
    return [
        (int(max(0, start - before)), int(min(samples, end + after)))
        for (start, end), (before, after) in zip(runs, pairwise(pads), strict=True)
    ]
