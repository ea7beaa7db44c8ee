"""What both Whisper engines do alike: rounds, temperatures, languages, words.

`Script` stands for a loaded model and says what a test tells it to; the engines' own tests
run the same class on the vendors' models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.audio.speech_windows import RATE_HZ
from reelscope.audio.transcribe import Heard, Sound
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.engines.whisper import (
    Cut,
    Decoded,
    Samples,
    Timing,
    Whisper,
    compression_ratio,
    cut,
    padded,
    shortened,
)
from reelscope.errors import EngineFailed, EngineUnavailable, OutOfMemory

END, BEGIN = 900, 1000
TICKS = 50  # a second


def at(time_s: float) -> int:
    return BEGIN + round(time_s * TICKS)


# ---------------------------------------------------------------------------- timestamps


@pytest.mark.parametrize(
    ("tokens", "duration_s", "expected"),
    [
        # one text to the end
        ([at(0), 1, 2, at(5)], 5.2, Cut([(0.0, 5.0, [1, 2])], None)),
        # two segments, the last one closed
        (
            [at(0), 1, at(2), at(2.5), 2, at(5)],
            5.2,
            Cut([(0.0, 2.0, [1]), (2.5, 5.0, [2])], None),
        ),
        # "nothing follows", but a voice was found there
        ([at(0), 1, at(5)], 28.0, Cut([(0.0, 5.0, [1])], 5.0)),
        # ... unless that is the timestamp's inexactness
        ([at(0), 1, at(5)], 6.9, Cut([(0.0, 5.0, [1])], None)),
        # a pair at the end: more follows
        ([at(0), 1, at(5), at(5)], 6.0, Cut([(0.0, 5.0, [1])], 5.0)),
        ([at(0), 1, at(5), at(5)], 5.4, Cut([(0.0, 5.0, [1])], None)),
        # broken off: decoded again from the last pair on
        ([at(0), 1, at(5), at(5.5), 2, 3], 28.0, Cut([(0.0, 5.0, [1])], 5.5)),
        # broken off where hardly anything is left: kept
        (
            [at(0), 1, at(5), at(5.5), 2],
            5.8,
            Cut([(0.0, 5.0, [1]), (5.5, 5.8, [2])], None),
        ),
        # no end at all: it is all of the sound
        ([at(0.4), 1, 2], 7.0, Cut([(0.4, 7.0, [1, 2])], None)),
        ([1, 2], 7.0, Cut([(0.0, 7.0, [1, 2])], None)),
        # text in the silence behind a short sound is kept, inside the sound
        (
            [at(0), 1, at(2), at(20), 2, at(25)],
            2.5,
            Cut([(0.0, 2.0, [1]), (2.5, 2.5, [2])], None),
        ),
        # nothing
        ([], 9.0, Cut([], None)),
        ([at(0)], 9.0, Cut([], None)),
        ([at(0), at(3)], 9.0, Cut([], None)),
        # no progress is made up for
        ([at(0), 1, at(0.02), at(0.02)], 9.0, Cut([(0.0, 0.02, [1])], 0.5)),
    ],
)
def test_cuts(tokens: list[int], duration_s: float, expected: Cut) -> None:
    assert cut(tokens, duration_s, begin=BEGIN, end=END) == expected


tokens_of_any_kind = st.lists(st.one_of(st.integers(0, 899), st.integers(BEGIN, BEGIN + 1500)))


@given(tokens_of_any_kind, st.floats(0.01, 30.0))
def test_no_text_is_lost_unless_it_is_decoded_again(tokens: list[int], duration_s: float) -> None:
    found = cut(tokens, duration_s, begin=BEGIN, end=END)
    kept = [token for *_, text in found.segments for token in text]
    everything = [token for token in tokens if token < END]
    assert kept == everything[: len(kept)]
    assert len(kept) == len(everything) or found.rest_s is not None
    assert found.rest_s is None or 0.5 <= found.rest_s <= duration_s - 0.5
    assert all(0 <= a <= duration_s and 0 <= b <= duration_s for a, b, _ in found.segments)


# -------------------------------------------------------------------------------- rounds


@dataclass
class Rows:
    sounds: list[Samples]


@dataclass
class Script:
    """A model that finds speech as numbers: a sample of 0.25 is the word 25.

    Each second of sound that is not silent holds one word.
    """

    multilingual: bool = True
    end_of_text: int = END
    timestamp_begin: int = BEGIN
    most_words: int = 1000
    languages_of: Callable[[Samples], dict[str, float]] = lambda _: {"en": 0.8, "de": 0.2}
    logprob: Callable[[float], float] = lambda _: -0.1
    no_speech: float = 0.0
    passes: list[tuple[str, int, float]] = field(default_factory=list)
    most_at_once: int = 1000

    def encode(self, sounds: Sequence[Samples]) -> Rows:
        if len(sounds) > self.most_at_once:
            raise RuntimeError("CUDA out of memory")
        self.passes.append(("encode", len(sounds), 0.0))
        return Rows([padded(sound) for sound in sounds])

    def pick(self, encoded: Rows, rows: Sequence[int]) -> Rows:
        return Rows([encoded.sounds[row] for row in rows])

    def languages(self, encoded: Rows) -> list[dict[str, float]]:
        return [self.languages_of(sound) for sound in encoded.sounds]

    def decode(self, encoded: Rows, language: str, temperature: float) -> list[Decoded]:
        self.passes.append((language, len(encoded.sounds), temperature))
        return [self._decoded(sound, temperature) for sound in encoded.sounds]

    def _decoded(self, sound: Samples, temperature: float) -> Decoded:
        tokens: list[int] = []
        for second in range(30):
            word = round(float(sound[second * RATE_HZ : (second + 1) * RATE_HZ].max()) * 100)
            if word and len(tokens) == 3 * self.most_words:
                tokens.append(at(second))
                break
            if word:
                tokens += [at(second), word, at(second + 1)]
        return Decoded(tokens, self.logprob(temperature), self.no_speech)

    def align(
        self, encoded: Rows, language: str, *, tokens: Sequence[list[int]], frames: Sequence[int]
    ) -> list[list[Timing]]:
        return [
            [Timing(f" {word}", 1, i + 0.1, i + 0.6, 0.9) for i, word in enumerate(text)]
            for text in tokens
        ]

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(f" {token}" for token in tokens)


class Scripted(Whisper[Rows]):
    package = "numpy"
    weights_name = "faster-whisper-"
    cpu_memory = gpu_memory = 1.0

    def __init__(self, model: Script, *, size: str = "tiny") -> None:
        super().__init__(size, WeightStore(Path("/nowhere")), ModelPool())
        self.model = model

    def _load(self, device: str) -> Script:
        return self.model


def sound(*words: int, video: int = 0, language: str | None = None) -> Sound:
    samples = np.repeat(np.array(words, np.float32) / 100, RATE_HZ)
    return Sound(samples, video, language)


def texts(heard: Heard) -> list[str]:
    return [segment.text for segment in heard.segments]


def test_each_sound_has_what_is_said_in_it() -> None:
    model = Script()
    heard = Scripted(model).transcribe([sound(5, 6, 7), sound(9), sound(0, 0), sound()])
    assert [texts(h) for h in heard] == [["5", "6", "7"], ["9"], [], []]
    first = heard[0].segments[1]
    assert (first.start_s, first.end_s) == (1.1, 1.6)
    assert [(w.text, w.start_s, w.end_s) for w in first.words] == [("6", 1.1, 1.6)]
    assert (first.avg_logprob, first.no_speech_probability, first.tokens) == (-0.1, 0.0, 1)


def test_where_decoding_ends_early_it_goes_on_until_all_is_heard() -> None:
    words = list(range(1, 29))
    for most in (1, 3, 10, 1000):
        (heard,) = Scripted(Script(most_words=most)).transcribe([sound(*words)])
        assert texts(heard) == [str(word) for word in words], most
        starts = [segment.start_s for segment in heard.segments]
        assert starts == sorted(starts)


def test_a_sound_gives_the_same_wherever_it_stands() -> None:
    one = sound(5, 0, 6, 7, video=9)
    (alone,) = Scripted(Script(most_words=2)).transcribe([one])
    others = [sound(*[i] * 20, video=i) for i in range(1, 8)]
    among = Scripted(Script(most_words=2)).transcribe([*others[:4], one, *others[4:]])
    assert among[4] == alone


def test_the_encoder_hears_every_sound_once() -> None:
    model = Script()
    Scripted(model).transcribe([sound(5, video=i) for i in range(6)])
    assert [count for what, count, _ in model.passes if what == "encode"] == [4, 2]


def test_doubtful_texts_are_tried_at_higher_temperatures_alone() -> None:
    model = Script(logprob=lambda temperature: -3.0 + 5 * temperature)
    heard = Scripted(model).transcribe([sound(5, language="en")])
    assert [t for what, _, t in model.passes if what == "en"] == [0.0, 0.2, 0.4]
    assert heard[0].segments[0].avg_logprob == pytest.approx(-1.0)


def test_the_surest_text_is_kept_when_all_are_doubtful() -> None:
    tried = {0.0: -3.0, 0.2: -2.0, 0.4: -4.0, 0.6: -2.5, 0.8: -3.0, 1.0: -5.0}
    heard = Scripted(Script(logprob=tried.__getitem__)).transcribe([sound(5)])
    assert heard[0].segments[0].avg_logprob == -2.0


def test_texts_that_repeat_themselves_are_tried_again_and_kept() -> None:
    model = Script()
    (heard,) = Scripted(model).transcribe([sound(*[55] * 28, language="en")])
    assert len([1 for what, *_ in model.passes if what == "en"]) == 6
    assert texts(heard) == ["55"] * 28
    assert heard.segments[0].compression_ratio == pytest.approx(
        compression_ratio(" ".join(["55"] * 28))
    )
    assert (heard.segments[0].compression_ratio or 0) > 2.4


def test_nobody_speaking_is_not_tried_again() -> None:
    model = Script(logprob=lambda _: -3.0, no_speech=0.9)
    heard = Scripted(model).transcribe([sound(5, language="en")])
    assert [t for what, _, t in model.passes if what == "en"] == [0.0]
    assert texts(heard[0]) == ["5"]


def test_a_video_has_the_language_of_most_of_its_seconds() -> None:
    def tell(samples: Samples) -> dict[str, float]:
        return {"en": 0.1, "fr": 0.9} if samples.max() > 0.5 else {"en": 0.7, "fr": 0.3}

    model = Script(languages_of=tell)
    sounds = [sound(60, 60, video=1), sound(*[5] * 20, video=1), sound(60, video=2)]
    heard = Scripted(model).transcribe(sounds)
    assert [h.language for h in heard] == ["en", "en", "fr"]
    assert heard[0].language_probability == pytest.approx((2 * 0.1 + 20 * 0.7) / 22)
    assert heard[2].language_probability == pytest.approx(0.9)


def test_a_given_language_is_kept_and_not_asked_for() -> None:
    model = Script()
    (heard,) = Scripted(model).transcribe([sound(5, language="de")])
    assert (heard.language, heard.language_probability) == ("de", None)
    assert [what for what, *_ in model.passes] == ["encode", "de"]


def test_models_of_english_alone_are_not_asked_either() -> None:
    (heard,) = Scripted(Script(multilingual=False)).transcribe([sound(5)])
    assert (heard.language, heard.language_probability) == ("en", None)


def test_too_much_at_once_is_halved() -> None:
    model = Script(most_at_once=1)
    heard = Scripted(model).transcribe([sound(i, video=i) for i in range(1, 5)])
    assert [texts(h) for h in heard] == [["1"], ["2"], ["3"], ["4"]]
    with pytest.raises(OutOfMemory, match="single item"):
        Scripted(Script(most_at_once=0)).transcribe([sound(5)])


def test_no_numbers_are_no_text() -> None:
    with pytest.raises(EngineFailed, match="numbers that are none"):
        Scripted(Script(logprob=lambda _: float("nan"))).transcribe([sound(5)])
    assert Scripted(Script()).transcribe([]) == []


# --------------------------------------------------------------------------------- words


class Wild(Script):
    """Aligns words to times that make no sense."""

    def align(
        self, encoded: Rows, language: str, *, tokens: Sequence[list[int]], frames: Sequence[int]
    ) -> list[list[Timing]]:
        wild = [(5.0, 4.0), (-1.0, 0.5), (0.2, 99.0), (3.0, 3.0)]
        return [
            [
                Timing(f" {word}", 1, *wild[i % 4], float("nan") if i % 2 else 1.0000001)
                for i, word in enumerate(text)
            ]
            for text in tokens
        ]


def test_words_lie_in_the_sound_and_in_order() -> None:
    (heard,) = Scripted(Wild()).transcribe([sound(1, 2, 3, 4, 5, 6)])
    words = [word for segment in heard.segments for word in segment.words]
    times = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] <= 6.0
    assert {word.probability for word in words} == {1.0, None}


def test_a_word_beside_a_pause_is_not_stretched_over_it() -> None:
    words = [
        Timing(" So", 1, 0.0, 3.0, 1.0),
        Timing(" we", 1, 3.0, 3.2, 1.0),
        Timing(" go.", 1, 3.2, 3.4, 1.0),
        Timing(" Then", 1, 3.4, 9.0, 1.0),
        Timing(" stop.", 1, 9.0, 14.0, 1.0),
        Timing(" on", 1, 14.0, 14.2, 1.0),
        Timing(" it", 1, 14.2, 14.4, 1.0),
    ]
    spans = [(round(w.start_s, 6), round(w.end_s, 6)) for w in shortened(words)]
    longest_s = 2 * 0.2
    assert spans[0] == (3.0 - longest_s, 3.0)
    assert spans[3] == (9.0 - longest_s, 9.0)
    assert spans[4] == (9.0, 9.0 + longest_s)
    assert spans[1:3] == [(3.0, 3.2), (3.2, 3.4)]
    assert shortened([]) == []


# --------------------------------------------------------------------- what it says of itself


def test_languages_by_size() -> None:
    assert Scripted(Script(), size="small.en").languages == ("en",)
    assert "yue" not in Scripted(Script(), size="small").languages
    assert "yue" in Scripted(Script(), size="large-v3-turbo").languages
    assert len(Scripted(Script(), size="small").languages) == 99


def test_missing_weights_are_named_with_the_command() -> None:
    engine = Scripted(Script())
    assert engine.weights == ("faster-whisper-tiny",)
    assert engine.engine.endswith("tiny absent")
    with pytest.raises(EngineUnavailable, match="models pull faster-whisper-tiny"):
        engine.open()
