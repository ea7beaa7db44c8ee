"""Speech rate: the scores' shape everywhere, the measurements, and the stage on files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.audio.speech_rate import (
    SYLLABLES_PER_WORD,
    WEIGHTS,
    SpeechRateStage,
    Timing,
    Word,
    assess,
    clarity_score,
    consistency_score,
    overall_score,
    pause_score,
    rate_category,
    rate_score,
    rate_variation,
    spoken_words,
)
from reelscope.media.clip import Clip
from reelscope.records import (
    Ok,
    Skipped,
    SpeechRate,
    SpeechSegment,
    StageRecord,
    Transcript,
    TranscriptSegment,
    TranscriptWord,
    VideoRecord,
    VideoSource,
    Voice,
)
from reelscope.settings import Media
from reelscope.settings import SpeechRate as Settings
from reelscope.testing.media import Scene, write_sound, write_video
from reelscope.testing.sounds import silence
from reelscope.testing.speech import speech_like

SETTINGS = Settings()
BANDS = {
    "very_slow": (0.0, 120.0, 1.0, 6.0),
    "slow": (120.0, 150.0, 6.0, 8.0),
    "normal": (150.0, 180.0, 8.0, 10.0),
    "fast": (180.0, 220.0, 7.0, 9.0),
    "very_fast": (220.0, 300.0, 4.0, 7.0),
    "extremely_fast": (300.0, math.inf, 1.0, 4.0),
}
VARIATIONS = ((0.0, 0.1, 9.0, 10.0), (0.1, 0.2, 7.0, 9.0), (0.2, 0.3, 5.0, 7.0), (0.3, 9, 1.0, 5.0))
positive = st.floats(0, 1e6, allow_nan=False)
small = st.floats(0, 2, allow_nan=False)
shares = st.floats(0, 1, allow_nan=False)


# ---------------------------------------------------------------------------- scores


@given(wpm=positive)
def test_a_rate_scores_within_the_band_of_its_category(wpm: float) -> None:
    low, high, least, most = BANDS[rate_category(wpm)]
    assert low <= wpm <= high
    assert least <= rate_score(wpm) <= most


@pytest.mark.parametrize("border", [120.0, 150.0, 180.0, 220.0, 300.0])
def test_at_a_border_the_score_fits_both_bands_and_does_not_jump(border: float) -> None:
    for _, (low, high, least, most) in BANDS.items():
        if border in (low, high):
            assert least <= rate_score(border) <= most
    assert rate_score(border - 1e-6) == pytest.approx(rate_score(border + 1e-6), abs=1e-5)


@pytest.mark.parametrize(
    ("wpm", "category"),
    [
        (0, "very_slow"),
        (119.9, "very_slow"),
        (120, "slow"),
        (150, "normal"),
        (180, "fast"),
        (220, "very_fast"),
        (300, "very_fast"),
        (300.1, "extremely_fast"),
        (1e9, "extremely_fast"),
    ],
)
def test_where_a_category_begins(wpm: float, category: str) -> None:
    assert rate_category(wpm) == category


@given(wpm=positive, step=st.floats(0, 5))
def test_the_rate_score_is_continuous_and_has_one_peak(wpm: float, step: float) -> None:
    now, then = rate_score(wpm), rate_score(wpm + step)
    assert abs(now - then) <= 0.14 * step + 1e-9
    if wpm + step <= 165:
        assert then >= now
    if wpm >= 165:
        assert then <= now


def test_the_whole_range_is_used() -> None:
    assert rate_score(0) == 1
    assert rate_score(165) == 10
    assert rate_score(1000) == 1
    assert consistency_score(0) == 10
    assert consistency_score(3) == 1
    assert pause_score(0.15, 1.0) == 10
    assert pause_score(0.9, 10.0) == 1
    assert clarity_score([1.0, 1.0]) == 10
    assert clarity_score([0.0]) == 1


@given(variation=small, step=st.floats(0, 0.1))
def test_consistency_stays_in_its_band_and_falls(variation: float, step: float) -> None:
    score = consistency_score(variation)
    for low, high, least, most in VARIATIONS:
        if low <= variation <= high:
            assert least <= score <= most
    assert 0 <= score - consistency_score(variation + step) <= 20 * step + 1e-9


@given(share=shares, mean_s=st.floats(0, 30), step=st.floats(0, 0.05))
def test_pauses_score_best_in_the_stated_range_and_nowhere_jump(
    share: float, mean_s: float, step: float
) -> None:
    score = pause_score(share, mean_s)
    assert 1 <= score <= 10
    if 0.1 <= share <= 0.2 and 0.5 <= mean_s <= 1.5:
        assert score == pytest.approx(10)
    assert abs(pause_score(min(1.0, share + step), mean_s) - score) <= 100 * step + 1e-9
    assert abs(pause_score(share, mean_s + step) - score) <= 20 * step + 1e-9


def test_outside_the_stated_range_pauses_score_less() -> None:
    assert pause_score(0.09, 1.0) < 10
    assert pause_score(0.21, 1.0) < 10
    assert pause_score(0.15, 0.45) < 10
    assert pause_score(0.15, 1.6) < 10


@given(mean_s=st.floats(0, 30))
def test_no_pause_is_the_limit_of_ever_fewer(mean_s: float) -> None:
    assert pause_score(1e-9, mean_s) == pytest.approx(pause_score(0.0, None), abs=1e-6)


@given(
    sure=st.lists(shares, min_size=1, max_size=30),
    which=st.integers(0, 29),
    step=st.floats(0, 0.05),
)
def test_clarity_rises_with_every_probability_and_does_not_jump(
    sure: list[float], which: int, step: float
) -> None:
    score = clarity_score(sure)
    more = list(sure)
    more[which % len(sure)] = min(1.0, more[which % len(sure)] + step)
    raised = clarity_score(more)
    assert score is not None
    assert raised is not None
    assert 1 <= score <= raised + 1e-9 <= 10 + 1e-8
    assert raised - score <= 60 * step + 1e-9


def test_doubtful_words_cost_more_than_their_mean() -> None:
    assert clarity_score([0.7] * 10) > clarity_score([1.0] * 7 + [0.0] * 3)  # type: ignore[operator]
    assert clarity_score([]) is None


part = st.one_of(st.none(), st.floats(1, 10))


@given(rate=st.floats(1, 10), consistency=part, clarity=part, pauses=part)
def test_overall_lies_between_its_parts(
    rate: float, consistency: float | None, clarity: float | None, pauses: float | None
) -> None:
    parts = {"rate": rate, "consistency": consistency, "clarity": clarity, "pauses": pauses}
    known = [score for score in parts.values() if score is not None]
    overall = overall_score(parts)
    assert overall is not None
    assert min(known) - 1e-9 <= overall <= max(known) + 1e-9


def test_overall_weighs_as_stated() -> None:
    full = {"rate": 8.0, "consistency": 6.0, "clarity": 9.0, "pauses": 4.0}
    assert overall_score(full) == pytest.approx(0.4 * 8 + 0.25 * 6 + 0.2 * 9 + 0.15 * 4)
    assert overall_score({**full, "clarity": None}) == pytest.approx(
        (0.4 * 8 + 0.25 * 6 + 0.15 * 4) / 0.8
    )
    assert overall_score({**full, "rate": None}) is None
    assert sum(WEIGHTS.values()) == pytest.approx(1)


# ---------------------------------------------------------------------- measurements


def timing(
    nuclei: np.ndarray,
    *,
    begin_s: float = 0.0,
    end_s: float = 10.0,
    pauses: list[tuple[float, float]] | None = None,
    breaks: list[tuple[float, float]] | None = None,
) -> Timing:
    return Timing(
        begin_s,
        end_s,
        np.asarray(nuclei, np.float64),
        np.array(pauses or [], np.float64).reshape(-1, 2),
        np.array(breaks or [], np.float64).reshape(-1, 2),
    )


def voice_of(*spans: tuple[float, float], duration_s: float) -> Voice:
    spoken = sum(end - begin for begin, end in spans)
    return Voice(
        segments=tuple(SpeechSegment(start_s=a, end_s=b, probability=0.9) for a, b in spans),
        duration_s=duration_s,
        speech_s=spoken,
        speech_share=spoken / duration_s if duration_s else 0.0,
    )


def words_at(middles: np.ndarray, probability: float | None = 0.9) -> list[Word]:
    return [Word("word", float(m) - 0.1, float(m) + 0.1, probability) for m in middles]


def test_the_clock_of_speech_stops_in_pauses_and_breaks() -> None:
    speech = timing(np.array([]), begin_s=1, end_s=20, pauses=[(3, 4)], breaks=[(6, 14)])
    assert speech.speech_s == pytest.approx(11)
    assert speech.speaking_s == pytest.approx(10)
    moments = np.array([0.0, 1.0, 3.0, 3.5, 4.0, 6.0, 10.0, 14.0, 20.0, 30.0])
    assert speech.spoken_s(moments) == pytest.approx([0, 0, 2, 2, 2, 4, 4, 4, 10, 10])


@given(every_s=st.floats(0.05, 1.0), begin_s=st.floats(-5, 100), count=st.integers(0, 200))
def test_even_events_have_no_variation(every_s: float, begin_s: float, count: int) -> None:
    found = rate_variation(begin_s + every_s * np.arange(count), window_s=3.0)
    spanned_s = every_s * max(0, count - 1)
    assert (found is None) == (spanned_s < 6 - 1e-6) or spanned_s == pytest.approx(6)
    if found is not None:
        assert found == pytest.approx(0, abs=1e-6)


def test_a_change_of_rate_is_variation() -> None:
    slow, fast = np.arange(0, 12, 0.3), np.arange(12, 24, 0.2)
    found = rate_variation(np.concatenate([slow, fast]), window_s=3.0)
    # Half at 3.33, half at 5 per second: the deviation is a fifth of the mean.
    assert found == pytest.approx(0.2, abs=0.03)


@given(
    events=st.lists(st.floats(0, 100), min_size=0, max_size=60),
    window_s=st.floats(0.1, 10),
)
def test_variation_is_a_number_or_not_known(events: list[float], window_s: float) -> None:
    found = rate_variation(np.sort(np.array(events)), window_s=window_s)
    assert found is None or (math.isfinite(found) and found >= 0)


def test_without_words_the_score_is_on_the_syllable_scale() -> None:
    # 240 syllables per minute are 170 words per minute of spoken British English.
    found = assess(
        timing(np.arange(0.125, 20, 0.25), end_s=20, pauses=[(8, 9), (15, 16)]),
        voice=voice_of((0, 20), duration_s=25),
        settings=SETTINGS,
    )
    assert found.method == "syllable_nuclei"
    assert found.syllables_per_minute == pytest.approx(240)
    assert found.speech_rate_wpm is None
    assert found.clarity_score is None
    assert found.metrics.word_count is None
    assert found.metrics.syllables_per_word == pytest.approx(240 / 170, abs=1e-6)
    assert found.rate_category == "normal"
    assert found.rate_score == pytest.approx(rate_score(170))
    assert found.metrics.articulation_rate == pytest.approx(80 / 18, abs=1e-6)
    assert found.metrics.pause_share == pytest.approx(0.1)
    assert found.metrics.total_duration == 25
    assert found.pause_score == pytest.approx(10)
    assert found.overall_score == pytest.approx(
        (0.4 * found.rate_score + 0.25 * (found.consistency_score or 0) + 0.15 * 10) / 0.8,
        abs=1e-5,
    )
    assert "not known without a transcript" in found.detailed_report
    assert "1.41 syllables per word" in found.detailed_report
    assert "rate 40%, consistency 25%, pauses 15%" in found.detailed_report


def test_with_words_everything_is_known() -> None:
    middles = np.arange(0.2, 20, 0.375)  # 160 per minute
    found = assess(
        timing(np.arange(0.125, 20, 0.25), end_s=20, pauses=[(8, 9), (15, 16)]),
        voice=voice_of((0, 20), duration_s=20),
        settings=SETTINGS,
        words=words_at(middles, 0.95),
    )
    assert found.method == "words"
    assert found.speech_rate_wpm == pytest.approx(60 * middles.size / 20, abs=1e-6)
    assert found.metrics.word_count == middles.size
    assert found.syllables_per_minute == pytest.approx(240)
    assert found.metrics.syllables_per_word is None
    assert found.rate_category == "normal"
    assert found.clarity_score == pytest.approx(1 + 9 * 0.95)
    parts = [found.rate_score, found.consistency_score, found.clarity_score, found.pause_score]
    assert None not in parts
    assert found.overall_score == pytest.approx(
        np.dot([0.4, 0.25, 0.2, 0.15], np.array(parts, np.float64)), abs=1e-5
    )
    assert "not known" not in found.detailed_report


def test_words_in_a_break_or_outside_the_speech_do_not_make_it_faster() -> None:
    spoken = np.concatenate([np.arange(0.2, 10, 0.4), np.arange(30.2, 40, 0.4)])
    sung = np.arange(15, 25, 0.2)
    found = assess(
        timing(np.arange(0.1, 10, 0.25), end_s=40, breaks=[(10, 30)]),
        voice=voice_of((0, 10), (30, 40), duration_s=60),
        settings=SETTINGS,
        words=words_at(np.concatenate([spoken[:25], sung, spoken[25:], [55.0]])),
    )
    assert found.speech_rate_wpm == pytest.approx(150)
    assert found.metrics.speech_duration == 20
    assert found.metrics.break_count == 1
    assert "left out: 1" in found.detailed_report


def test_words_without_probabilities_leave_clarity_open() -> None:
    found = assess(
        timing(np.arange(0.1, 10, 0.25)),
        voice=voice_of((0, 10), duration_s=10),
        settings=SETTINGS,
        words=words_at(np.arange(0.2, 10, 0.4), None),
    )
    assert found.clarity_score is None
    assert found.overall_score is not None
    assert "does not say how sure" in found.detailed_report


def said(text: str, times: int, *, every_s: float) -> list[Word]:
    parts = text.split() * times
    return [Word(p, at * every_s, (at + 0.9) * every_s, 0.9) for at, p in enumerate(parts)]


def rated(words: list[Word], language: str | None) -> SpeechRate:
    end_s = words[-1].end_s
    return assess(
        timing(np.arange(0.125, end_s, 0.25), end_s=end_s),  # 240 syllables per minute
        voice=voice_of((0, end_s), duration_s=end_s),
        settings=SETTINGS,
        words=words,
        language=language,
    )


def test_english_words_go_by_the_scheme_itself() -> None:
    words = said("a beautiful day by the ocean", 10, every_s=0.36)
    found = rated(words, "en")
    assert found.speech_rate_wpm is not None
    assert found.rate_score == pytest.approx(rate_score(found.speech_rate_wpm))
    assert found.metrics.syllables_per_word == pytest.approx(9 / 6)
    assert found.metrics.syllables_source == "dictionary"
    assert "1.50 syllables on average (CMU dictionary)" in found.detailed_report


def test_long_german_words_are_not_slow_speech() -> None:
    words = said("Entschuldigung Schmetterling Kindergarten Abend", 10, every_s=0.75)
    found = rated(words, "de")  # 80 words, but 260 syllables per minute
    assert found.speech_rate_wpm is not None
    assert found.metrics.syllables_per_word == pytest.approx(13 / 4)
    assert found.metrics.syllables_source == "spelling"
    assert rate_category(found.speech_rate_wpm) == "very_slow"
    assert found.rate_category == "fast"
    in_english = found.speech_rate_wpm * 13 / 4 / SYLLABLES_PER_WORD
    assert found.rate_score == pytest.approx(rate_score(in_english))
    assert "as spelt, about" in found.detailed_report


def test_chinese_is_not_counted_in_words() -> None:
    found = rated(said("你 好 谢 谢", 20, every_s=0.25), "zh")
    assert found.method == "words"
    assert found.speech_rate_wpm is None
    assert found.metrics.syllables_source == "characters"
    assert found.rate_score == pytest.approx(rate_score(240 / SYLLABLES_PER_WORD), abs=0.1)


def test_words_of_a_language_that_nobody_can_spell_here_go_by_the_signal() -> None:
    found = rated(said("مرحبا بكم", 20, every_s=0.5), "ar")
    assert found.method == "words"
    assert found.speech_rate_wpm is not None
    assert found.metrics.syllables_per_word == pytest.approx(SYLLABLES_PER_WORD, abs=1e-6)
    assert found.metrics.syllables_source == "english_mean"
    assert found.rate_score == pytest.approx(rate_score(240 / SYLLABLES_PER_WORD), abs=0.1)
    assert "How long the words are is not known" in found.detailed_report


def test_nobody_speaks() -> None:
    found = assess(
        timing(np.array([]), end_s=0.0), voice=voice_of(duration_s=12.5), settings=SETTINGS
    )
    assert found.detailed_report == "Nobody speaks in these 12.5 s of sound."
    assert found.metrics.syllable_count == 0
    for name in SpeechRate.model_fields:
        if name not in {"method", "detailed_report", "metrics"}:
            assert getattr(found, name) is None


def test_too_short_to_know_a_rate() -> None:
    found = assess(
        timing(np.array([0.1]), end_s=0.2),
        voice=voice_of((0, 0.2), duration_s=3),
        settings=SETTINGS,
    )
    assert found.metrics.syllable_count == 1
    assert found.syllables_per_minute is None
    assert found.overall_score is None
    assert "less than 2 s of speech" in found.detailed_report


def test_whispering_is_not_slow() -> None:
    found = assess(
        timing(np.array([]), end_s=8), voice=voice_of((0, 8), duration_s=8), settings=SETTINGS
    )
    assert found.rate_score is None
    assert found.rate_category is None
    assert found.pause_score is not None
    assert "whispered" in found.detailed_report


# ------------------------------------------------------------------------ transcript


def transcript_of(
    *words: TranscriptWord, accuracy: str = "normal", flags: tuple[str, ...] = ()
) -> Transcript:
    text = " ".join(word.text for word in words)
    segment = TranscriptSegment.model_validate({
        "start_s": 0, "end_s": 10, "text": text, "raw_text": text, "words": words,
        "avg_logprob": -0.2, "no_speech_probability": 0.1, "compression_ratio": 1.0,
        "flags": flags,
    })  # fmt: skip
    return Transcript.model_validate({
        "text": text, "raw_text": text, "language": "en", "language_probability": 0.9,
        "segments": [segment], "sound": "mix", "tried": [], "accuracy": accuracy,
    })  # fmt: skip


def heard(text: str) -> TranscriptWord:
    return TranscriptWord(text=text, start_s=0.5, end_s=0.75, probability=0.8)


def test_which_words_count() -> None:
    assert spoken_words(None) == []
    assert spoken_words(transcript_of()) == []
    found = spoken_words(transcript_of(heard("Hello,"), heard("—"), heard("5")))
    assert found == [Word("Hello,", 0.5, 0.75, 0.8), Word("5", 0.5, 0.75, 0.8)]
    assert spoken_words(transcript_of(heard("Hello"), accuracy="low")) == []


@pytest.mark.parametrize(
    ("flag", "counts"),
    [
        ("repetition", False),
        ("compression", False),
        ("no_voice", False),
        ("no_speech", True),
        ("low_probability", True),
    ],
)
def test_words_that_nobody_said_do_not_count(flag: str, counts: bool) -> None:
    assert bool(spoken_words(transcript_of(heard("Hello"), flags=(flag,)))) == counts


# ----------------------------------------------------------------------------- stage


@contextmanager
def clip_of(
    path: Path, voice: Voice | None, transcript: Transcript | None = None
) -> Iterator[Clip]:
    source = VideoSource(creator="c", video_id="v", frames_id="v", path=str(path))
    record = VideoRecord(source=source)
    for value in (voice, transcript):
        if value is not None:
            entry = StageRecord(status="ok", key="k", engine="truth", value=value)
            record = record.with_stage(value.stage, entry)
    with Clip(source, record, Media(), frames_root=path.parent) as clip:
        yield clip


def run(path: Path, voice: Voice | None, transcript: Transcript | None = None) -> SpeechRate:
    with clip_of(path, voice, transcript) as clip:
        stage = SpeechRateStage(SETTINGS)
        stage.open()
        (outcome,) = stage.run([clip])
        stage.close()
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, SpeechRate)
    return outcome.value


@pytest.mark.parametrize("rate", [3.0, 5.0])
def test_the_stage_measures_a_file(tmp_path: Path, rate: float) -> None:
    samples, truth = speech_like(20, syllables_per_s=rate, rate_hz=44100, seed=11)
    path = tmp_path / "speech.m4a"
    write_sound(path, samples, rate_hz=44100)
    found = run(path, voice_of(*truth.phrases_s, duration_s=20))
    pauses = [end - begin for begin, end in truth.pauses_s]
    assert found.metrics.syllable_count == pytest.approx(len(truth.nuclei_s), rel=0.05)
    assert found.metrics.articulation_rate == pytest.approx(rate, rel=0.1)
    assert found.metrics.pause_count == len(pauses)
    assert found.metrics.mean_pause == pytest.approx(np.mean(pauses), abs=0.1)
    assert found.metrics.speech_segments == len(truth.phrases_s)
    assert found.consistency_score is not None
    assert found.consistency_score > 8


def test_the_stage_reads_a_good_transcript_and_no_poor_one(tmp_path: Path) -> None:
    samples, _ = speech_like(10, rate_hz=16000, seed=3)
    path = tmp_path / "speech.wav"
    write_sound(path, samples, rate_hz=16000)
    words = [
        TranscriptWord(text="ocean", start_s=at, end_s=at + 0.3, probability=0.9)
        for at in np.arange(0.5, 9.5, 0.4)
    ]
    good = run(path, voice_of((0.2, 9.8), duration_s=10), transcript_of(*words))
    assert good.method == "words"
    assert good.metrics.syllables_per_word == 2
    assert good.clarity_score is not None
    poor = run(path, voice_of((0.2, 9.8), duration_s=10), transcript_of(*words, accuracy="low"))
    assert poor == run(path, voice_of((0.2, 9.8), duration_s=10))
    assert poor.method == "syllable_nuclei"
    assert SpeechRateStage(SETTINGS).uses == ("transcribe",)
    assert "pyphen" in SpeechRateStage(SETTINGS).engine


def test_the_stage_on_a_video_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    write_video(path, [Scene(seconds=0.5)], size=(64, 64))
    with clip_of(path, voice_of(duration_s=0.5)) as clip:
        (outcome,) = SpeechRateStage(SETTINGS).run([clip])
    assert isinstance(outcome, Skipped)
    assert "audio" in outcome.reason or "sound" in outcome.reason


def test_the_stage_where_nobody_speaks(tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    write_sound(path, silence(2, rate_hz=16000), rate_hz=16000)
    assert run(path, voice_of(duration_s=2)).detailed_report.startswith("Nobody speaks")


def test_segments_that_end_after_the_sound(tmp_path: Path) -> None:
    samples, _ = speech_like(4, rate_hz=16000, seed=2)
    path = tmp_path / "short.wav"
    write_sound(path, samples, rate_hz=16000)
    found = run(path, voice_of((0.2, 60.0), duration_s=60))
    assert found.metrics.speech_duration < 4.1


def test_the_stage_on_known_words(corpus: Path) -> None:
    """Kennedy's sentence: 28 syllables and 22 words in 10.3 s with four pauses."""
    spans = ((0.32, 2.27), (3.27, 4.45), (5.38, 7.68), (8.16, 10.62))
    found = run(corpus / "speech" / "jfk.flac", voice_of(*spans, duration_s=11.0))
    assert found.metrics.syllable_count == pytest.approx(28, rel=0.15)
    assert found.syllables_per_minute == pytest.approx(60 * 28 / 10.3, rel=0.15)
    assert found.metrics.pause_count == 4
    assert found.rate_category in {"very_slow", "slow"}


def test_syllables_per_word_is_that_of_the_source() -> None:
    assert pytest.approx(1.41, abs=0.005) == SYLLABLES_PER_WORD
