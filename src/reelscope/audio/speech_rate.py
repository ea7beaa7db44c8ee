"""How fast, how evenly and how clearly somebody speaks.

Two methods give the same scores from 1 to 10. `syllable_nuclei` knows the signal only:
syllables, pauses and how evenly they come. `words` has a transcript with times as well
and knows words per minute and clarity. What a method cannot know is None; the overall
score is then the weighted mean of the parts that are known, and the report names them.

The category borders are in words per minute of English. Without words they are moved to
syllables with `SYLLABLES_PER_WORD`; `speech_rate_wpm` stays None, because how many words the
syllables make depends on the language, which the signal does not tell. Words of another
language are moved in the same way, with the syllables that they have
(audio/word_syllables.py): German has fewer and longer words, Chinese writes none apart.

A transcript of low accuracy is left out: its words are mostly others than those that were
said, and so are their number and their probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from reelscope.audio import syllables, word_syllables
from reelscope.audio.syllables import Floats, Spans
from reelscope.audio.word_syllables import WITHOUT_BLANKS, mean_syllables
from reelscope.media.clip import Clip
from reelscope.records import (
    Lane,
    Ok,
    Outcome,
    RateCategory,
    Skipped,
    SpeechRate,
    SpeechRateMetrics,
    SyllableSource,
    Transcript,
    TranscriptFlag,
    Voice,
)
from reelscope.settings import SpeechRate as Settings

SYLLABLES_PER_WORD = 240 / 170
"""S. Tauroza and D. Allison, "Speech rates in British English", Applied Linguistics 11
(1990) 90-105: 240 syllables and 170 words per minute over all their recordings."""

LONGEST_PAUSE_S = 5.0
"""A longer silence is a break between two passages (music, a demonstration): it is neither
a pause nor speech, or one sentence before and one after a song would be slow speech."""

MIN_RATE_S = 2.0
"""Less speech holds a handful of syllables; one more or less would change the category."""

MIN_PAUSES_S = 5.0
"""In less speech nobody has to breathe: no pause in it says nothing."""

NOT_SPOKEN: frozenset[TranscriptFlag] = frozenset({"repetition", "compression", "no_voice"})
"""A segment with one of these flags may hold words that nobody said: they are not counted."""

MIN_WINDOWS = 3
"""Local rates of which a variation is taken."""

CATEGORY_BORDERS_WPM = (120.0, 150.0, 180.0, 220.0, 300.0)
CATEGORIES: tuple[RateCategory, ...] = get_args(RateCategory)

WEIGHTS = {"rate": 0.40, "consistency": 0.25, "clarity": 0.20, "pauses": 0.15}
"""Parts of the overall score."""

# Each curve is linear between its knots (x, score) and level beyond them. At a border of
# two bands it passes through a score that both bands allow, so nothing jumps.
_RATE = np.array([(0, 1), (120, 6), (150, 8), (165, 10), (180, 8.5), (220, 7), (300, 4), (400, 1)])
_CONSISTENCY = np.array([(0, 10), (0.1, 9), (0.2, 7), (0.3, 5), (0.5, 1)])
_PAUSE_SHARE = np.array([(0, 5), (0.1, 10), (0.2, 10), (0.5, 1)])
_PAUSE_LENGTH_S = np.array([(0, 1), (0.5, 10), (1.5, 10), (4, 1)])
_DOUBT = np.array([(0.4, 1), (0.6, 0)])


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the transcript.

    Attributes:
        text: as it was written down.
        start_s: seconds from the start of the video.
        end_s: likewise.
        probability: 0-1, how sure the transcriber is; None if it does not say.
    """

    text: str
    start_s: float
    end_s: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """When somebody speaks, to the syllable.

    Attributes:
        begin_s: of the first speech.
        end_s: of the last speech.
        nuclei_s: when the syllables are at their loudest, in order.
        pauses_s: silences up to `LONGEST_PAUSE_S`, in order.
        breaks_s: longer silences, in order.
    """

    begin_s: float
    end_s: float
    nuclei_s: Floats
    pauses_s: Spans
    breaks_s: Spans

    @property
    def speech_s(self) -> float:
        """Speech with its pauses, without the breaks."""
        return self.end_s - self.begin_s - _total_s(self.breaks_s)

    @property
    def speaking_s(self) -> float:
        """Speech without pauses and breaks."""
        return self.speech_s - _total_s(self.pauses_s)

    def spoken_s(self, times_s: Floats) -> Floats:
        """How long has been spoken by these moments, pauses and breaks left out."""
        silent = np.sort(np.concatenate([self.pauses_s, self.breaks_s]), axis=0)
        clock = np.concatenate([[self.begin_s], silent.reshape(-1), [self.end_s]])
        spoken = np.concatenate([[0.0], np.cumsum(np.diff(clock)[::2])])
        return np.asarray(np.interp(times_s, clock, np.repeat(spoken, 2)[1:-1]), np.float64)


# ---------------------------------------------------------------------------- scores


def rate_category(wpm: float) -> RateCategory:
    """The band that a rate in words per minute falls into; a border belongs to the faster
    band, but for 300, above which only "extremely fast" begins."""
    passed = np.searchsorted(CATEGORY_BORDERS_WPM, wpm, side="right")
    return "very_fast" if wpm == CATEGORY_BORDERS_WPM[-1] else CATEGORIES[int(passed)]


def rate_score(wpm: float) -> float:
    """1-10, best at 165 words per minute, the middle of the normal band."""
    return _on(_RATE, wpm)


def consistency_score(variation: float) -> float:
    """1-10 from the coefficient of variation of the local rates: 10 at 0, 1 from 0.5 on."""
    return _on(_CONSISTENCY, variation)


def pause_score(share: float, mean_pause_s: float | None) -> float:
    """1-10, 10 exactly where pauses take 10-20 % of the time and last 0.5-1.5 s each.

    The length of the pauses counts half. With fewer than 10 % of pauses it counts less,
    down to nothing without any, so that a single short pause changes little.

    Args:
        share: of the speech with its pauses, 0-1.
        mean_pause_s: None if there is no pause.
    """
    by_share = _on(_PAUSE_SHARE, share)
    if mean_pause_s is None:
        return by_share
    weight = 0.5 * min(1.0, share / 0.1)
    return (1 - weight) * by_share + weight * _on(_PAUSE_LENGTH_S, mean_pause_s)


def clarity_score(probabilities: Sequence[float]) -> float | None:
    """1-10 from how sure the transcriber is: 1 + 9 * mean * (1 - share in doubt).

    A word is in doubt below a probability of 0.4, not above 0.6, and in between in
    part. None without words.
    """
    if not probabilities:
        return None
    known = np.asarray(probabilities, np.float64)
    doubt = np.interp(known, _DOUBT[:, 0], _DOUBT[:, 1])
    return float(1 + 9 * known.mean() * (1 - doubt.mean()))


def overall_score(parts: dict[str, float | None]) -> float | None:
    """Mean of the known parts by `WEIGHTS`; None without a rate."""
    if parts.get("rate") is None:
        return None
    known = {name: score for name, score in parts.items() if score is not None}
    weight = sum(WEIGHTS[name] for name in known)
    return sum(WEIGHTS[name] * score for name, score in known.items()) / weight


def _on(curve: Floats, x: float) -> float:
    return float(np.interp(x, curve[:, 0], curve[:, 1]))


# ---------------------------------------------------------------------- measurements


def timing(contour: syllables.Contour, settings: Settings) -> Timing:
    """Find syllables, pauses and breaks in the contour of a sound."""
    (begin_s, end_s), silent = syllables.silences(contour, min_silence_s=settings.min_pause_s)
    short = silent[:, 1] - silent[:, 0] <= LONGEST_PAUSE_S
    nuclei = syllables.nuclei(contour, min_dip_db=settings.min_dip_db)
    return Timing(begin_s, end_s, nuclei, silent[short], silent[~short])


def rate_variation(events_s: Floats, *, window_s: float) -> float | None:
    """Coefficient of variation of the rates in windows that overlap by half.

    How many events a window holds is read off the line through the running count, so
    that even events give 0 wherever the windows begin.

    Args:
        events_s: on the clock of `Timing.spoken_s`, in order: a pause is no slow speech.
        window_s: length of a window.

    Returns:
        Standard deviation (n - 1) over mean; None with fewer than `MIN_WINDOWS` windows.
    """
    spanned_s = float(events_s[-1] - events_s[0]) if events_s.size else 0.0
    windows = int((spanned_s - window_s) / (window_s / 2) + 1e-9) + 1
    if spanned_s < window_s or windows < MIN_WINDOWS:
        return None
    begins = np.linspace(events_s[0], events_s[-1] - window_s, windows)
    running = np.arange(events_s.size, dtype=np.float64)
    counts = np.interp(begins + window_s, events_s, running) - np.interp(begins, events_s, running)
    return float(counts.std(ddof=1) / counts.mean())


def assess(
    timing: Timing,
    *,
    voice: Voice,
    settings: Settings,
    words: Sequence[Word] = (),
    language: str | None = None,
) -> SpeechRate:
    """All measurements, scores and the report.

    Args:
        timing: of the speech, from its sound.
        voice: the speech segments.
        settings: `window_s` is read.
        words: of the transcript, in order; without any the method is `syllable_nuclei`.
            The rate counts those that fall between begin and end of the speech and
            not into a break.
        language: of the words, ISO 639-1; None: taken for English.
    """
    rate = _rate(timing, words, language)
    metrics = _metrics(timing, rate, voice=voice, settings=settings, words=words)
    variation, paused = metrics.rate_variation, metrics.speech_duration >= MIN_PAUSES_S
    sure = [word.probability for word in words if word.probability is not None]
    parts = {
        "rate": None if rate.scaled_wpm is None else rate_score(rate.scaled_wpm),
        "consistency": None if variation is None else consistency_score(variation),
        "clarity": clarity_score(sure),
        "pauses": pause_score(metrics.pause_share, metrics.mean_pause) if paused else None,
    }
    found = SpeechRate(
        method="words" if words else "syllable_nuclei",
        speech_rate_wpm=rate.wpm,
        syllables_per_minute=rate.syllables_per_minute,
        rate_category=None if rate.scaled_wpm is None else rate_category(rate.scaled_wpm),
        rate_score=parts["rate"],
        consistency_score=parts["consistency"],
        pause_score=parts["pauses"],
        clarity_score=parts["clarity"],
        overall_score=overall_score(parts),
        detailed_report="",
        metrics=metrics,
    )
    return found.model_copy(update={"detailed_report": _report(found, parts)})


@dataclass(frozen=True, slots=True)
class _Rate:
    """The rate, and what its place among the categories was found with.

    Attributes:
        syllables_per_minute: of the signal.
        wpm: words per minute; None where words are not known, or not written apart.
        scaled_wpm: words per minute of English, at as many syllables per minute.
        syllables_per_word: as in the record.
        source: of the same.
    """

    syllables_per_minute: float | None
    wpm: float | None
    scaled_wpm: float | None
    syllables_per_word: float | None
    source: SyllableSource | None


def _rate(timing: Timing, words: Sequence[Word], language: str | None) -> _Rate:
    enough, minutes = timing.speaking_s >= MIN_RATE_S, timing.speech_s / 60
    # Whispering has no voiced syllables: none found is not known, not slow.
    counted = timing.nuclei_s.size > 0 and enough
    syllables_per_minute = timing.nuclei_s.size / minutes if counted else None
    pieces = _words_within(timing, words) / minutes if words and enough else None
    per_word, source = mean_syllables((word.text for word in words), language) or (None, None)
    if words and language in {None, "en"}:
        scaled = pieces
    elif pieces is not None and per_word is not None:
        scaled = pieces * per_word / SYLLABLES_PER_WORD
    elif syllables_per_minute is not None:
        per_word, source = SYLLABLES_PER_WORD, "english_mean"
        scaled = syllables_per_minute / SYLLABLES_PER_WORD
    else:
        scaled = None
    wpm = None if language in WITHOUT_BLANKS else pieces
    return _Rate(syllables_per_minute, wpm, scaled, per_word, source)


def _metrics(
    timing: Timing, rate: _Rate, *, voice: Voice, settings: Settings, words: Sequence[Word]
) -> SpeechRateMetrics:
    events_s = np.sort([(word.start_s + word.end_s) / 2 for word in words])
    variation = rate_variation(
        timing.spoken_s(events_s if words else timing.nuclei_s), window_s=settings.window_s
    )
    count, paused_s = len(timing.pauses_s), _total_s(timing.pauses_s)
    counted = rate.syllables_per_minute is not None
    return SpeechRateMetrics(
        total_duration=voice.duration_s,
        speech_duration=timing.speech_s,
        speaking_time=timing.speaking_s,
        word_count=len(words) or None,
        syllable_count=timing.nuclei_s.size,
        speech_segments=len(voice.segments),
        articulation_rate=timing.nuclei_s.size / timing.speaking_s if counted else None,
        rate_variation=variation,
        pause_count=count,
        pause_duration=paused_s,
        pause_share=paused_s / timing.speech_s if count else 0.0,
        mean_pause=paused_s / count if count else None,
        break_count=len(timing.breaks_s),
        syllables_per_word=rate.syllables_per_word,
        syllables_source=rate.source,
    )


def _words_within(timing: Timing, words: Sequence[Word]) -> int:
    middles = np.array([(word.start_s + word.end_s) / 2 for word in words])
    within = (middles >= timing.begin_s) & (middles <= timing.end_s)
    for begin_s, end_s in timing.breaks_s:
        within &= (middles <= begin_s) | (middles >= end_s)
    return int(within.sum())


def _total_s(spans: Spans) -> float:
    return float((spans[:, 1] - spans[:, 0]).sum())


# ---------------------------------------------------------------------------- report


def _report(found: SpeechRate, parts: dict[str, float | None]) -> str:
    """A few lines that a person reads."""
    metrics = found.metrics
    if not metrics.speech_duration:
        return f"Nobody speaks in these {metrics.total_duration:.1f} s of sound."
    lines = [
        _counted(found),
        _rated(found),
        _steadied(found),
        _paused(found),
        _cleared(found),
        _summed(found, parts),
    ]
    return "\n".join(lines)


def _counted(found: SpeechRate) -> str:
    metrics = found.metrics
    source = "with a transcript" if found.method == "words" else "from the signal alone"
    units = f"{metrics.syllable_count} syllables"
    if metrics.word_count:
        units = f"{metrics.word_count} words, {units}"
    return (
        f"Measured {source}: {units} in {metrics.speech_duration:.1f} s of speech with its pauses,"
        f" {metrics.total_duration:.1f} s of sound."
    )


def _rated(found: SpeechRate) -> str:
    metrics = found.metrics
    if found.rate_category is None or found.rate_score is None:
        if metrics.speaking_time < MIN_RATE_S:
            return f"Rate: not known, less than {MIN_RATE_S:g} s of speech."
        return "Rate: not known, no voiced syllables in the speech (whispered, or drowned)."
    name = found.rate_category.replace("_", " ")
    line = f"Rate: {name}, {found.rate_score:.1f} of 10."
    if found.speech_rate_wpm is not None:
        line += f" {found.speech_rate_wpm:.0f} words per minute."
    if found.syllables_per_minute is not None and metrics.articulation_rate is not None:
        line += (
            f" {found.syllables_per_minute:.0f} syllables per minute,"
            f" {metrics.articulation_rate:.1f} per second between the pauses."
        )
    return line + _scaled(found)


def _scaled(found: SpeechRate) -> str:
    """What the category goes by."""
    per_word, source = found.metrics.syllables_per_word, found.metrics.syllables_source
    if per_word is None:
        return ""
    english = f"English with {SYLLABLES_PER_WORD:.2f} syllables per word (Tauroza and Allison 1990)"
    if source == "english_mean":
        unknown = "How long the words are is" if found.method == "words" else "Words are"
        return (
            f" {unknown} not known: the category is that of {english};"
            " other languages have other rates."
        )
    line = f" A word has {per_word:.2f} syllables on average"
    if source == "dictionary":
        return f"{line} (CMU dictionary)."
    how = "as spelt, about" if source == "spelling" else "a character each"
    return f"{line} ({how}): the category is that of {english} at as many syllables per minute."


def _steadied(found: SpeechRate) -> str:
    variation = found.metrics.rate_variation
    if found.consistency_score is None or variation is None:
        return "Consistency: not known, too little speech to compare its parts."
    return (
        f"Consistency: {found.consistency_score:.1f} of 10,"
        f" the rate varies by {variation:.0%} from one moment to the next."
    )


def _paused(found: SpeechRate) -> str:
    metrics = found.metrics
    if found.pause_score is None:
        return f"Pauses: not known, less than {MIN_PAUSES_S:g} s of speech."
    line = f"Pauses: {found.pause_score:.1f} of 10, none."
    if metrics.mean_pause is not None:
        line = (
            f"Pauses: {found.pause_score:.1f} of 10, {metrics.pause_count} of"
            f" {metrics.mean_pause:.1f} s on average, {metrics.pause_share:.0%} of the time."
        )
    if metrics.break_count:
        line += f" Silences over {LONGEST_PAUSE_S:g} s are left out: {metrics.break_count}."
    return line


def _cleared(found: SpeechRate) -> str:
    if found.clarity_score is not None:
        return f"Clarity: {found.clarity_score:.1f} of 10."
    if found.method == "words":
        return "Clarity: not known, the transcript does not say how sure it is."
    return "Clarity: not known without a transcript."


def _summed(found: SpeechRate, parts: dict[str, float | None]) -> str:
    if found.overall_score is None:
        return "Overall: not known without a rate."
    known = [f"{name} {WEIGHTS[name]:.0%}" for name in WEIGHTS if parts[name] is not None]
    line = f"Overall: {found.overall_score:.1f} of 10, from {', '.join(known)}"
    return line + ("." if len(known) == len(WEIGHTS) else " (the weights of what is known).")


# ----------------------------------------------------------------------------- stage


class SpeechRateStage:
    """Stage `speech_rate`, from the sound, stage `voice` and, if there, the transcript."""

    name = "speech_rate"
    version = 2
    needs: tuple[str, ...] = ("voice",)
    uses: tuple[str, ...] = ("transcribe",)
    lane: Lane = "cpu"
    batch_size = 1

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def engine(self) -> str:
        """This program and the dictionaries that it counts syllables with."""
        return f"reelscope 2, {word_syllables.engine()}"

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One outcome per clip, in their order."""
        return [self._run(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to let go of."""

    def _run(self, clip: Clip) -> Outcome:
        if skip := clip.missing_audio():
            return skip
        voice = clip.value(Voice)
        if voice is None:
            return Skipped("stage voice has no value for this video")
        segments = [(segment.start_s, segment.end_s) for segment in voice.segments]
        # Where nobody speaks there is nothing to decode the sound for.
        blocks = clip.audio.blocks(syllables.RATE_HZ, block_s=10.0) if segments else ()
        contour = syllables.measure(blocks, segments)
        found = timing(contour, self.settings)
        transcript = clip.value(Transcript)
        words = spoken_words(transcript)
        language = transcript.language if transcript is not None and words else None
        return Ok(
            assess(found, voice=voice, settings=self.settings, words=words, language=language)
        )


def spoken_words(transcript: Transcript | None) -> list[Word]:
    """The words that count: none of a transcript of low accuracy, or of text that nobody said."""
    if transcript is None or transcript.accuracy == "low":
        return []
    return [
        Word(word.text, word.start_s, word.end_s, word.probability)
        for segment in transcript.segments
        if not NOT_SPOKEN & set(segment.flags)
        for word in segment.words
        if any(sign.isalnum() for sign in word.text)
    ]
