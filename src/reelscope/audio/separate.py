"""Voices apart from the music behind them. Stage `separate`.

Separating clean speech costs time and loses words, so only stretches where somebody speaks
or sings over music go through the model (engines/demucs.py). In the vocals the rest is the
mix where somebody speaks and silence elsewhere; the accompaniment is the mix without the
vocals, so that both together are the mix again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.overlap import Cutter, Joiner
from reelscope.errors import UnreadableMedia
from reelscope.media.audio import Audio, Samples
from reelscope.media.clip import Clip
from reelscope.media.fingerprint import media_id
from reelscope.media.flac import write_flac
from reelscope.media.info import read_info
from reelscope.records import (
    Event,
    Events,
    Lane,
    Ok,
    Outcome,
    SeparatedSpan,
    Separation,
    Skipped,
    SpeechSegment,
    Stem,
    Voice,
)
from reelscope.settings import Separate

log = logging.getLogger(__name__)

RATE_HZ = 44100
"""Of the model, and of the stems."""
STEMS = VOCALS_FILE, ACCOMPANIMENT_FILE = "vocals.flac", "accompaniment.flac"
MIN_OVERLAP_S = 0.5
"""Less voice over music than this in a stretch is the blur of the timeline's borders: it
has no shorter events either (settings.events.min_event_s)."""
MARGIN_S = 1.0
"""Separated before and after the voice: the model hears it come, and the borders of the
voice segments are 0.2 s off at times."""
MERGE_S = 3.0
"""Stretches closer than half of a segment of htdemucs (7.8 s) are one: both ways it takes
about as many passes, and one has no seam."""
SPEECH_PAD_S = 0.2
FADE_S = 0.01
BLOCK_S = 10.0
MOST_CLIPS = 64
"""In one call: each has two files open, and many systems allow 256."""
MUSICAL = ("music", "speech_over_music")

Span = tuple[float, float]


class Separator(Protocol):
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

    def segment(self) -> int:
        """Samples of a chunk at 44.1 kHz."""
        ...

    def vocals(self, chunks: Iterable[Samples]) -> Iterator[Samples]:
        """The voices in each chunk, float32 (segment, 2), in order.

        Chunks are asked for a few at a time, maybe by another thread, and share forward
        passes.
        """
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


# ----------------------------------------------------------------------------- the stage


class SeparateStage:
    """Writes `vocals.flac` and `accompaniment.flac` beside the record, where it pays."""

    name = "separate"
    version = 1
    needs: tuple[str, ...] = ("voice", "events")
    uses: tuple[str, ...] = ()
    lane: Lane = "gpu"

    def __init__(self, settings: Separate, separator: Separator, *, batch_size: int = 8) -> None:
        self.settings = settings
        self.batch_size = min(batch_size, MOST_CLIPS)
        self._separator = separator

    @property
    def engine(self) -> str:
        """The separator's name and revision."""
        return self._separator.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """None where nothing is ever separated."""
        return () if self.settings.when == "never" else self._separator.weights

    def open(self) -> None:
        """Load the separator's model, if it will be asked."""
        if self.settings.when != "never":
            self._separator.open()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok, separated or with the reason why not; Skipped without sound."""
        outcomes = [self._decide(clip) for clip in clips]
        with ExitStack() as stack:
            jobs = {
                at: _Job(clip, decision, self._separator.segment(), stack)
                for at, (clip, decision) in enumerate(zip(clips, outcomes, strict=True))
                if isinstance(decision, _Plan)
            }
            self._separate(list(jobs.values()))
        return [
            jobs[at].result() if isinstance(outcome, _Plan) else outcome
            for at, outcome in enumerate(outcomes)
        ]

    def close(self) -> None:
        """Let go of the separator's model."""
        self._separator.close()

    def _separate(self, jobs: Sequence[_Job]) -> None:
        """One stream of chunks through the model, whichever video they come from."""
        asked: deque[_Job] = deque()

        def chunks() -> Iterator[Samples]:
            for job in jobs:
                for chunk in job.chunks():
                    asked.append(job)
                    yield chunk

        for estimate in self._separator.vocals(chunks()):
            asked.popleft().take(estimate)

    def _decide(self, clip: Clip) -> Outcome | _Plan:
        decision = self._plan(clip)
        if not isinstance(decision, _Plan):
            for name in STEMS:  # of an earlier run
                (clip.folder / name).unlink(missing_ok=True)
        return decision

    def _plan(self, clip: Clip) -> Outcome | _Plan:
        if skipped := clip.missing_audio():
            return skipped
        voice, events = clip.value(Voice), clip.value(Events)
        if voice is None or events is None:
            return Skipped("it is not known where somebody speaks and music plays")
        if self.settings.when == "never":
            return _left_alone("separate.when is never", events.duration_s)
        if self.settings.when == "always":
            spans, reason = [(0.0, events.duration_s)], "separate.when is always"
        else:
            spans = find_spans(voice.segments, events.timeline, events.duration_s)
            reason = "somebody speaks or sings over music"
        if not spans:
            return _left_alone(_why_not(voice.segments, events.timeline), events.duration_s)
        level = _measure(clip)
        pieces = _in_samples(spans, level.samples)
        if self.settings.when == "always":
            pieces = [(0, level.samples)] if level.samples else []
        if not pieces:
            return _left_alone("there is no sound in the audio stream", events.duration_s)
        return _Plan(pieces, reason, level, voice.segments)


@dataclass(frozen=True)
class _Level:
    """Of a whole sound at 44.1 kHz: what the model's input is brought to 0 and 1 with."""

    samples: int
    mean: float
    deviation: float


@dataclass(frozen=True)
class _Plan:
    """What will be separated: (first sample, end sample) at 44.1 kHz, in order, apart."""

    pieces: list[tuple[int, int]]
    reason: str
    level: _Level
    speech: Sequence[SpeechSegment]


def _left_alone(reason: str, duration_s: float) -> Outcome:
    return Ok(
        Separation(
            applied=False,
            reason=reason,
            spans=(),
            seconds=0.0,
            duration_s=duration_s,
            vocals=None,
            accompaniment=None,
        )
    )


def find_spans(
    speech: Sequence[SpeechSegment], timeline: Sequence[Event], duration_s: float
) -> list[Span]:
    """Where a voice is over music, with margins, in order and apart from one another.

    Args:
        speech: the voice stage's segments. Singing is found as voice too.
        timeline: the events stage's. Over music, it takes singing for music alone.
        duration_s: no span ends after it.
    """
    both = _overlaps(speech, timeline)
    wide = [(max(a - MARGIN_S, 0.0), min(b + MARGIN_S, duration_s)) for a, b in both]
    return [
        (start_s, end_s)
        for start_s, end_s in _joined(wide, MERGE_S)
        if sum(b - a for a, b in both if start_s <= a < end_s) >= MIN_OVERLAP_S
    ]


def _why_not(speech: Sequence[SpeechSegment], timeline: Sequence[Event]) -> str:
    if _overlaps(speech, timeline):
        return f"nobody speaks or sings over music for {MIN_OVERLAP_S} s"
    return "nobody speaks or sings over music"


def _overlaps(speech: Sequence[SpeechSegment], timeline: Sequence[Event]) -> list[Span]:
    """Where there are a voice and music, in the order of the voices."""
    music = _joined([(e.start_s, e.end_s) for e in timeline if e.kind in MUSICAL], 0.0)
    return [
        (max(s.start_s, start_s), min(s.end_s, end_s))
        for s in speech
        for start_s, end_s in music
        if min(s.end_s, end_s) > max(s.start_s, start_s)
    ]


def _joined(spans: Iterable[Span], gap_s: float) -> list[Span]:
    """Spans in order, those with no more than this between them made one."""
    found: list[Span] = []
    for start_s, end_s in sorted(spans):
        if found and start_s - found[-1][1] <= gap_s:
            found[-1] = found[-1][0], max(found[-1][1], end_s)
        else:
            found.append((start_s, end_s))
    return found


def _in_samples(spans: Iterable[Span], samples: int) -> list[tuple[int, int]]:
    cut = [(round(a * RATE_HZ), min(round(b * RATE_HZ), samples)) for a, b in spans]
    return [(first, end) for first, end in cut if end > first]


# -------------------------------------------------------------------------------- sound


def _blocks(clip: Clip) -> Iterator[Samples]:
    """The mix at 44.1 kHz, float32 (n, 2), without numbers that are none."""
    for block in clip.audio.blocks(RATE_HZ, 2, BLOCK_S):
        clip.check_time()
        yield np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)


def _measure(clip: Clip) -> _Level:
    """Mean and deviation of the mean of the channels (demucs.api.Separator.separate_tensor)."""
    count, total, squares = 0, 0.0, 0.0
    for block in _blocks(clip):
        mono = block.mean(axis=1, dtype=np.float64)
        count, total, squares = count + len(mono), total + mono.sum(), squares + mono @ mono
    mean = total / max(count, 1)
    variance = max(squares - count * mean * mean, 0.0) / max(count - 1, 1)
    return _Level(count, float(mean), float(variance**0.5) + 1e-8)


class _Job:
    """One video's sound on its way: mix -> chunks -> vocals -> two files.

    One thread may ask for chunks while another takes the answers.
    """

    def __init__(self, clip: Clip, plan: _Plan, segment: int, stack: ExitStack) -> None:
        self._clip, self._plan = clip, plan
        self._write_vocals = self._file(VOCALS_FILE, stack)
        self._write_rest = self._file(ACCOMPANIMENT_FILE, stack)
        self._cutters = [(a, b, Cutter(b - a, segment)) for a, b in plan.pieces]
        self._joiners = deque((a, b, Joiner(b - a, segment)) for a, b in plan.pieces)
        self._known = 0  # the vocals are known up to this sample
        self._voices: deque[tuple[int, Samples]] = deque()  # what the model gave, not written
        self._mix: Samples = np.zeros((0, 2), np.float32)  # read, not written
        self._written = 0
        self._lock = threading.Lock()  # of what is read, found and written
        total = plan.level.samples
        self._separated = Gain(plan.pieces, total)
        pad = round(SPEECH_PAD_S * RATE_HZ)
        spoken = [(s.start_s, s.end_s) for s in plan.speech]
        wide = [(max(a - pad, 0), min(b + pad, total)) for a, b in _in_samples(spoken, total)]
        self._spoken = Gain([(int(a), int(b)) for a, b in _joined(wide, 0)], total)

    def chunks(self) -> Iterator[Samples]:
        """What the model has to hear, float32 (segment, 2) of mean 0 and deviation 1."""
        level, at = self._plan.level, 0
        for block in _blocks(self._clip):
            with self._lock:
                self._mix = np.concatenate([self._mix, block])
            for first, end, cutter in self._cutters:
                inside = block[max(first - at, 0) : max(end - at, 0)]
                if len(inside):
                    scaled = (inside - level.mean) / level.deviation
                    yield from cutter.feed(scaled.astype(np.float32))
            at += len(block)
            with self._lock:
                self._flush()

    def take(self, estimate: Samples) -> None:
        """The model's answer to the next chunk, float32 (segment, 2)."""
        level = self._plan.level
        with self._lock:
            first, _, joiner = self._joiners[0]
            found = joiner.add(estimate) * np.float32(level.deviation) + np.float32(level.mean)
            at = max(self._known, first)
            self._voices.append((at, found))
            self._known = at + len(found)
            if joiner.complete:
                self._joiners.popleft()
            self._flush()

    def result(self) -> Outcome:
        """The record's value, once the files are in their places."""
        spans = [(a / RATE_HZ, b / RATE_HZ) for a, b in self._plan.pieces]
        return Ok(
            Separation(
                applied=True,
                reason=self._plan.reason,
                spans=tuple(SeparatedSpan(start_s=a, end_s=b) for a, b in spans),
                seconds=sum(b - a for a, b in spans),
                duration_s=self._plan.level.samples / RATE_HZ,
                vocals=_stem(self._clip.folder / VOCALS_FILE),
                accompaniment=_stem(self._clip.folder / ACCOMPANIMENT_FILE),
            )
        )

    def _file(self, name: str, stack: ExitStack) -> Callable[[Samples], None]:
        return stack.enter_context(write_flac(self._clip.folder / name, RATE_HZ))

    def _flush(self) -> None:
        """Write what is known and let go of it."""
        read = self._written + len(self._mix)
        end = min(max(self._joiners[0][0], self._known), read) if self._joiners else read
        size = end - self._written
        if size <= 0:
            return
        mix, self._mix = self._mix[:size], self._mix[size:]
        separated = self._separated.at(self._written, size)
        spoken = self._spoken.at(self._written, size)
        vocals = separated * self._voices_until(end) + (1 - separated) * spoken * mix
        self._write_vocals(vocals)
        self._write_rest(mix - vocals)
        self._written = end

    def _voices_until(self, end: int) -> Samples:
        """What the model gave for what is written next; zeros where it was not asked."""
        found = np.zeros((end - self._written, 2), np.float32)
        while self._voices and self._voices[0][0] < end:
            at, samples = self._voices.popleft()
            inside = samples[: end - at]
            found[at - self._written : at - self._written + len(inside)] = inside
            if len(inside) < len(samples):
                self._voices.appendleft((end, samples[len(inside) :]))
        return found


class Gain:
    """1 inside of pieces, 0 outside, with short ramps inside so that nothing clicks.

    Args:
        pieces: (first sample, end sample), in order, apart from one another.
        total: samples in all; there is no ramp where the sound begins or ends.
    """

    def __init__(self, pieces: Sequence[tuple[int, int]], total: int) -> None:
        points: list[tuple[int, float]] = []
        for first, end in pieces:
            ramp = min(round(FADE_S * RATE_HZ), (end - first) // 2)
            points += [(first, float(first == 0)), (first + ramp, 1.0)]
            points += [(end - ramp, 1.0), (end, float(end == total))]
        self._at = np.array([at for at, _ in points] or [0], np.float64)
        self._gain = np.array([gain for _, gain in points] or [0.0], np.float64)

    def at(self, first: int, count: int) -> NDArray[np.float32]:
        """Of the samples from `first` on, float32 (count, 1), 0-1."""
        places = np.arange(first, first + count)
        return np.interp(places, self._at, self._gain).astype(np.float32)[:, None]


# ------------------------------------------------------------------------------- stems


def _stem(path: Path) -> Stem:
    known = media_id(path)
    return Stem(file=path.name, size_bytes=known.size_bytes, sha256=known.sha256)


def vocals_of(clip: Clip, rate_hz: int) -> Iterator[Samples] | None:
    """The separated voices of a clip, from time 0 of the video, in pieces of 30 s.

    Args:
        clip: a video whose record has the value of stage `separate`.
        rate_hz: of the result.

    Returns:
        float32 (n, 1) blocks, full scale is -1 to 1; None where nothing was separated, or
        the file is not there any more or is not the one that was written.
    """
    separation = clip.value(Separation)
    stem = separation.vocals if separation else None
    return _sound_of(clip, stem, rate_hz, clip.check_time) if stem else None


def accompaniment_of(clip: Clip, rate_hz: int) -> Iterator[Samples] | None:
    """As `vocals_of`, what plays behind the voices; for stages that wait, without time limit."""
    separation = clip.value(Separation)
    stem = separation.accompaniment if separation else None
    return _sound_of(clip, stem, rate_hz, lambda: None) if stem else None


def _sound_of(
    clip: Clip, stem: Stem, rate_hz: int, check_time: Callable[[], None]
) -> Iterator[Samples] | None:
    path = clip.folder / stem.file
    try:
        whole = path.stat().st_size == stem.size_bytes
        info = read_info(path, check_time) if whole else None
    except (OSError, UnreadableMedia):
        info = None
    if info is None or not info.has_audio:
        log.warning("%s is not what was separated; the mix is used instead", path)
        return None
    return Audio(info, cache_bytes=0, check_time=check_time).blocks(rate_hz)
