"""What is there to hear, and when? A timeline without gaps: speech, music, both, other, silence.

Speech comes from the voice stage, silence from the level, music from the signal
(audio/musicality.py). Where music plays, a voice that was found may be singing; that is
decided per segment, and singing counts as music.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.special import expit

from reelscope.audio.loudness import Meter, Steps
from reelscope.audio.musicality import Heard, hear, music_logit, speaking_logit
from reelscope.media.clip import Clip
from reelscope.records import (
    Event,
    EventKind,
    Events,
    Lane,
    Ok,
    Outcome,
    Skipped,
    SpeechSegment,
    Voice,
)
from reelscope.settings import Events as EventsSettings

Float32 = NDArray[np.float32]
Floats = NDArray[np.float64]

BLOCK_S = 5.0
"""The sound is taken in pieces of this length: 6 channels at 192 kHz are 23 MB."""
LOWEST_RATE_HZ = 8000
"""Slower sound is resampled to this before its loudness is measured."""
LEVELS_PER_S = 20
CELLS_PER_S = 100
"""Resolution of the timeline: 10 ms."""
KINDS: tuple[EventKind, ...] = get_args(EventKind)
SPEECH, MUSIC, BOTH, OTHER, SILENCE = range(5)
ALIKE = np.array(
    [
        [3, 1, 2, 2, 1],
        [1, 3, 2, 2, 1],
        [2, 2, 3, 1, 0],
        [2, 2, 1, 3, 2],
        [1, 1, 0, 2, 3],
    ]
)
"""In how many of speech, music and sound at all two kinds agree."""
TRUST = 0.3
"""Windows overlap, so each brings less than its own evidence: its log odds times this ..."""
SWITCH_COST = 2.0
"""... against the log odds of music beginning or ending between two windows (0.5 s)."""
BORDER_REACH_S = 1.5
"""A border of music is moved to the largest change of the spectrum within this."""
UNHEARD_SPEECH = 0.05
"""Chance that there is speech where the voice stage found none."""


class EventsStage:
    """Puts the timeline and the loudness of a video's sound into its record."""

    name = "events"
    version = 1
    needs: tuple[str, ...] = ("voice",)
    uses: tuple[str, ...] = ()
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: EventsSettings) -> None:
        self.settings = settings

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with the timeline; Skipped without sound."""
        return [self._listen(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to let go of."""

    def _listen(self, clip: Clip) -> Outcome:
        if skipped := clip.missing_audio():
            return skipped
        voice = clip.value(Voice)
        if voice is None:
            return Skipped("it is not known where somebody speaks (stage voice)")
        sound = _Sound(clip)
        heard = hear(sound.mono(self.settings.sample_rate_hz), self.settings.sample_rate_hz)
        chances = weigh(heard, voice, sound.levels_dbfs(), self.settings.silence_dbfs)
        timeline = make_timeline(chances, sound.duration_s, self.settings.min_event_s)
        return Ok(
            Events(
                timeline=timeline,
                duration_s=sound.duration_s,
                seconds=seconds_of(timeline),
                loudness=sound.meter.result(),
            )
        )


class _Sound:
    """One pass over a clip's sound that answers several questions."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._rate_hz = max(clip.audio.rate_hz, LOWEST_RATE_HZ)
        self._levels = Steps(self._rate_hz, LEVELS_PER_S)
        self._samples = 0
        self.meter = Meter(self._rate_hz)

    def mono(self, rate_hz: int) -> Iterator[Float32]:
        """The mean of the channels at another rate, in pieces, float32 (n,)."""
        stream = soxr.ResampleStream(self._rate_hz, rate_hz, 1, dtype="float32")
        for given in self._clip.audio.blocks(self._rate_hz, self._clip.audio.channels, BLOCK_S):
            self._clip.check_time()
            block = np.nan_to_num(given, nan=0.0, posinf=0.0, neginf=0.0)
            self._samples += len(block)
            self.meter.feed(block)
            self._levels.add(np.column_stack([np.square(block).mean(axis=1), block]))
            yield stream.resample_chunk(block.mean(axis=1))
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    @property
    def duration_s(self) -> float:
        """Of what went by so far."""
        return self._samples / self._rate_hz

    def levels_dbfs(self) -> Floats:
        """Level of every 50 ms without its constant part, dB over a mean square of 1.

        Taken from the channels one by one: opposite channels would cancel in the mean.
        """
        means = self._levels.means(unfinished=True)
        power = means[:, 0] - np.square(means[:, 1:]).mean(axis=1)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-20)))


# ----------------------------------------------------------------------------- evidence


@dataclass(frozen=True)
class Chances:
    """How likely it is that there is ... in every 10 ms, (n,), 0-1."""

    silence: Floats
    speech: Floats
    music: Floats

    def of_kinds(self) -> Floats:
        """The chances of the five kinds, in their order, (5, n); they sum to 1."""
        sound, no_speech, no_music = 1 - self.silence, 1 - self.speech, 1 - self.music
        return np.stack(
            [
                sound * self.speech * no_music,
                sound * no_speech * self.music,
                sound * self.speech * self.music,
                sound * no_speech * no_music,
                self.silence,
            ]
        )

    def kinds(self) -> NDArray[np.int64]:
        """The kind that follows from what is more likely than not, (n,)."""
        speech, music = self.speech > 0.5, self.music > 0.5
        kinds = np.select([speech & music, speech, music], [BOTH, SPEECH, MUSIC], OTHER)
        return np.where(self.silence > 0.5, SILENCE, kinds)


def weigh(heard: Heard, voice: Voice, levels_dbfs: Floats, silence_dbfs: float) -> Chances:
    """Put together what was measured.

    Args:
        heard: the windows of audio/musicality.py.
        voice: the speech segments.
        levels_dbfs: of every 50 ms; the last one may be shorter.
        silence_dbfs: quieter than this is silence.
    """
    share, probability = voice_at(heard.times_s, voice)
    chance = smooth(music_logit(heard.features, share) * TRUST)
    cells = np.repeat(levels_dbfs, CELLS_PER_S // LEVELS_PER_S)
    music = _by_cell(chance, heard, len(cells))
    speech = np.full(len(cells), UNHEARD_SPEECH)
    speaking = speaking_logit(heard.features, probability)
    for segment in voice.segments:
        first, end = round(segment.start_s * CELLS_PER_S), round(segment.end_s * CELLS_PER_S)
        inside = _windows_in(heard.times_s, segment)
        sung = music[first:end].mean() * (1 - expit(speaking[inside].mean())) if end > first else 0
        speech[first:end] = (1 + segment.probability) / 2 * (1 - sung)
    return Chances(silence=expit((silence_dbfs - cells) / 2), speech=speech, music=music)


def voice_at(times_s: Floats, voice: Voice) -> tuple[Floats, Floats]:
    """Of windows of 2 s around these times: share that is speech, and how sure that is.

    The second is the probability of the segment at the time itself, 0 where there is none.
    """
    share, probability = np.zeros(len(times_s)), np.zeros(len(times_s))
    for segment in voice.segments:
        overlap = np.minimum(times_s + 1, segment.end_s) - np.maximum(times_s - 1, segment.start_s)
        share += np.maximum(overlap, 0) / 2
        inside = (times_s >= segment.start_s) & (times_s < segment.end_s)
        probability[inside] = segment.probability
    return share, probability


def _windows_in(times_s: Floats, segment: SpeechSegment) -> slice:
    """The windows whose centre lies in the segment; the nearest one if there is none."""
    first, end = np.searchsorted(times_s, [segment.start_s, segment.end_s])
    nearest = min(int(first), len(times_s) - 1)
    return slice(int(first), int(end)) if end > first else slice(nearest, nearest + 1)


def smooth(logits: Floats) -> Floats:
    """Chance of music per window, given that it seldom begins or ends (forward-backward)."""
    stay, change = np.log(expit(SWITCH_COST)), np.log(expit(-SWITCH_COST))

    def onward(odds: float) -> float:
        """Log odds one window later."""
        return float(np.logaddexp(odds + stay, change) - np.logaddexp(odds + change, stay))

    def passed(order: Floats) -> Floats:
        """Log odds at each window from those before it in this order, its own left out."""
        before = np.zeros(len(order))
        for i in range(1, len(order)):
            before[i] = onward(before[i - 1] + order[i - 1])
        return before

    return np.asarray(expit(logits + passed(logits) + passed(logits[::-1])[::-1]))


def _by_cell(chance: Floats, heard: Heard, cells: int) -> Floats:
    """The chance of music in every 10 ms; it crosses one half where the spectrum changes."""
    times_s = (np.arange(cells) + 0.5) / CELLS_PER_S
    if not len(chance):
        return np.zeros(cells)
    changes = np.flatnonzero(np.diff(chance > 0.5)) + 1
    borders = [0, *_snapped(heard, changes), cells]
    parts = pairwise([0, *changes, len(chance)])
    return np.concatenate(
        [
            np.interp(times_s[first:end], heard.times_s[a:b], chance[a:b])
            for (a, b), (first, end) in zip(parts, pairwise(borders), strict=True)
        ]
    )


def _snapped(heard: Heard, changes: NDArray[np.int64]) -> list[int]:
    """Cells at which music begins or ends, each moved to the largest change nearby."""
    change = novelty(heard.bands)
    guesses = ((heard.times_s[changes - 1] + heard.times_s[changes]) / 2).tolist()
    found: list[int] = []
    for i, guess in enumerate(guesses):
        low = max(guess - BORDER_REACH_S, found[-1] / CELLS_PER_S if found else 0.0)
        high = min([guess + BORDER_REACH_S, *guesses[i + 1 : i + 2]])
        first, end = int(np.ceil(low * 10)), int(high * 10) + 1
        near = change[first:end]
        at_s = (first + int(near.argmax())) / 10 if len(near) else guess
        found.append(round(at_s * CELLS_PER_S))
    return found


def novelty(bands: Float32) -> Floats:
    """How much the spectrum after each 0.1 s differs from that before it, dB, (n,).

    Args:
        bands: log power, one row per 0.1 s; 1 s on either side is compared.
    """
    reach = min(10, len(bands) // 2)
    if not reach:
        return np.zeros(len(bands))
    sums = np.concatenate([np.zeros((1, bands.shape[1])), np.cumsum(bands, axis=0, dtype=float)])
    means = (sums[reach:] - sums[:-reach]) / reach
    change = np.abs(means[reach:] - means[:-reach]).mean(axis=1)
    return np.pad(change, (reach, len(bands) - reach - len(change)))


# ----------------------------------------------------------------------------- timeline


def make_timeline(chances: Chances, duration_s: float, min_event_s: float) -> tuple[Event, ...]:
    """Events from 0 to the end, without gaps, no two neighbours of one kind.

    None is shorter than `min_event_s`, unless the whole sound is.
    """
    kinds = chances.kinds()
    if not len(kinds) or duration_s <= 0:
        return ()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(kinds)) + 1])
    borders_s = np.append(starts / CELLS_PER_S, duration_s)
    borders_s, kept = absorb(borders_s, kinds[starts], min_event_s)
    of_kinds = chances.of_kinds()
    events = []
    for (start_s, end_s), kind in zip(pairwise(borders_s.tolist()), kept.tolist(), strict=True):
        first = round(start_s * CELLS_PER_S)
        cells = slice(first, max(round(end_s * CELLS_PER_S), first + 1))
        confidence = float(of_kinds[kind, cells].mean())
        events.append(Event(start_s=start_s, end_s=end_s, kind=KINDS[kind], confidence=confidence))
    return tuple(events)


def absorb(
    borders_s: Floats, kinds: NDArray[np.int64], min_event_s: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Let events that are too short, the shortest first, join a neighbour.

    They join the one that is more like them (a breath between two phrases over music is
    music over which somebody speaks), and the longer one if both are alike.

    Args:
        borders_s: (n + 1,), rising.
        kinds: (n,), no two neighbours the same.
        min_event_s: shortest event that stays.
    """
    while len(kinds) > 1:
        lengths = np.diff(borders_s)
        i = int(lengths.argmin())
        if lengths[i] >= min_event_s - 1e-9:
            break
        sides = [j for j in (i - 1, i + 1) if 0 <= j < len(kinds)]
        kinds[i] = kinds[max(sides, key=lambda j: (ALIKE[kinds[i], kinds[j]], lengths[j]))]
        same = np.flatnonzero(kinds[1:] == kinds[:-1]) + 1
        kinds, borders_s = np.delete(kinds, same), np.delete(borders_s, same)
    return borders_s, kinds


def seconds_of(timeline: Sequence[Event]) -> dict[EventKind, float]:
    """Seconds of each of the five kinds."""
    return {
        kind: sum(event.end_s - event.start_s for event in timeline if event.kind == kind)
        for kind in KINDS
    }
