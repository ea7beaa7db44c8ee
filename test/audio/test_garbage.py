"""The garbage filter: what no word of a language can hold goes, all else stays."""

from __future__ import annotations

import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.audio.garbage import SCRIPTS, without_garbage

CODES = sorted(SCRIPTS)
SAMPLES = {
    "am": "ሰላም ለዓለም", "ar": "مرحبًا بالعالم", "bn": "হ্যালো বিশ্ব",
    "bo": "བཀྲ་ཤིས་བདེ་ལེགས", "el": "γειά σου Κόσμε", "fa": "سلام می‌خواهم دنیا",
    "gu": "હેલો વિશ્વ", "he": "שָׁלוֹם עולם", "hi": "नमस्ते दुनिया",
    "hy": "բարեւ աշխարհ", "ja": "東京タワーで、すし々を食べた", "ka": "გამარჯობა",
    "km": "សួស្តី\u200bពិភពលោក", "kn": "ಹಲೋ ವರ್ಲ್ಡ್", "ko": "안녕하세요 大韓民國",
    "lo": "ສະບາຍດີ", "ml": "ഹലോ വേൾഡ്", "mn": "сайн уу", "my": "မင်္ဂလာပါ",
    "pa": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ", "ru": "Привет, ёжик!", "si": "හෙලෝ වර්ල්ඩ්",
    "ta": "வணக்கம் உலகம்", "te": "హలో వరల్డ్", "th": "สวัสดีชาวโลก",
    "uk": "Привіт, світе", "ur": "ہیلو دنیا", "vi": "Xin chào thế giới ạ",
    "yi": "העלא וועלט", "yue": "你好呀", "zh": "你好，世界！", "en": "don't café naïve",
    "de": "Grüße, Straße", "tr": "İyi günler ığüşöç", "haw": "ʻO Hawaiʻi",
    "pl": "zażółć gęślą jaźń", "yo": "Ẹ káàbọ̀", "is": "Þetta er gott",
}  # fmt: skip


@pytest.mark.parametrize("language", sorted(SAMPLES))
def test_words_of_the_language_stay(language: str) -> None:
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, SAMPLES[language])
        assert without_garbage(text, language) == text


@pytest.mark.parametrize("language", CODES)
def test_numbers_signs_emoji_and_latin_stay_in_every_language(language: str) -> None:
    text = "Nike №5 — 50% €9.99 ½ #ad @ana ٣٤ ५६ ™ ♪ → 👨‍👩‍👧 ❤️ 1️⃣ 🇩🇪 👍🏽 «ok»… ok?\n1\t2"
    assert without_garbage(text, language) == text


@pytest.mark.parametrize(
    ("text", "language", "clean"),
    [
        ("hello мир world", "en", "hello world"),
        ("hello мир", "en", "hello"),
        ("мир", "en", ""),
        ("he\ufffdllo \ufffd\ufffd you", "en", "hello you"),
        ("नमस्ते hi", "en", "hi"),
        ("buy मुझे, now", "en", "buy, now"),
        ("\x00abc\x07", "en", "abc"),
        ("a \u0301b", "en", "a b"),
        ("\u0301\u0302", "en", ""),
        ("かな漢字 안녕", "ja", "かな漢字"),
        ("привет 你好 мир", "ru", "привет мир"),
        ("\ue000\U000f0000x\ufdd0", "en", "x"),
    ],
)
def test_what_belongs_to_no_word_goes(text: str, language: str, clean: str) -> None:
    assert without_garbage(text, language) == clean


def test_an_unknown_language_loses_nothing() -> None:
    text = "мир \ufffd नमस्ते"
    assert without_garbage(text, "tlh") == text
    assert without_garbage(text, None) == text


mixed = st.text(
    st.one_of(
        st.sampled_from("ab éß мё नम्ते 漢かカ 안ا٣5½€😀👍🏽️\u0301\u200d\ufffd\x00\n"),
        st.characters(),
    )
)


@settings(deadline=None)
@given(mixed, st.sampled_from(CODES))
def test_a_second_time_changes_nothing(text: str, language: str) -> None:
    once = without_garbage(text, language)
    assert without_garbage(once, language) == once


@settings(deadline=None)
@given(mixed, st.sampled_from(CODES))
def test_numbers_punctuation_and_symbols_survive_in_their_order(text: str, language: str) -> None:
    def kept(some: str) -> list[str]:
        return regex.findall(r"(?!\uFFFD)[\p{N}\p{P}\p{S}A-Za-z]", some)

    assert kept(without_garbage(text, language)) == kept(text)


@settings(deadline=None)
@given(mixed, st.sampled_from(CODES))
def test_nothing_is_added_but_blanks_between_words(text: str, language: str) -> None:
    left = iter(text)
    clean = without_garbage(text, language)
    assert all(sign == " " or sign in left for sign in clean)  # a subsequence
    assert len(clean) <= len(text)


def test_the_codes_are_those_of_whisper() -> None:
    whisper = pytest.importorskip("whisper.tokenizer")
    assert SCRIPTS.keys() == whisper.LANGUAGES.keys()
