"""Syllables of written words: known words of many languages, and whatever is written."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.audio.word_syllables import (
    MIN_KNOWN_SHARE,
    engine,
    mean_syllables,
    word_syllables,
)

# Common words with the syllables that a grammar of the language counts.
WORDS: dict[str, dict[str, int]] = {
    "en": {"university": 5, "beautiful": 3, "ocean": 2, "idea": 3, "strengths": 1, "areas": 3,
           "table": 2, "America": 4, "don't": 1, "TV": 2, "rhythm": 2, "queue": 1, "a": 1},
    "de": {"Abend": 2, "Entschuldigung": 4, "Straße": 2, "Schmetterling": 3, "ich": 1, "Idee": 2,
           "Universität": 5, "haben": 2, "Auto": 2, "Löwe": 2, "Kindergarten": 4, "neu": 1},
    "fr": {"bonjour": 2, "maison": 2, "important": 3, "université": 5, "amour": 2, "je": 1,
           "année": 2, "beaucoup": 2, "aimer": 2, "ordinateur": 4, "elle": 1, "rouges": 1},
    "es": {"amigo": 3, "hola": 2, "universidad": 5, "importante": 4, "casa": 2, "día": 2,
           "ahora": 3, "murciélago": 4, "aire": 2, "había": 3, "que": 1, "bueno": 2, "país": 2},
    "it": {"amico": 3, "ciao": 1, "università": 5, "importante": 4, "casa": 2, "famiglia": 3,
           "ora": 2, "bellissimo": 4, "aereo": 4, "buongiorno": 3},
    "pt": {"amigo": 3, "obrigado": 4, "universidade": 6, "casa": 2, "importante": 4,
           "agora": 3, "coração": 3, "saída": 3},
    "nl": {"avond": 2, "straat": 1, "universiteit": 5, "huis": 1, "belangrijk": 3, "mooi": 1},
    "sv": {"familj": 2, "universitet": 5, "hus": 1, "viktig": 2, "gata": 2, "ost": 1, "öl": 1},
    "no": {"hei": 1, "universitet": 5, "gutten": 2, "takk": 1, "viktig": 2, "ikke": 2},
    "pl": {"dziękuję": 3, "dom": 1, "uniwersytet": 5, "mleko": 2, "rodzina": 3, "ulica": 3},
    "cs": {"děkuji": 3, "mléko": 2, "rodina": 3, "ulice": 3, "vlk": 1},
    "el": {"καλημέρα": 4, "ευχαριστώ": 4, "νερό": 2, "σπίτι": 2},
    "ru": {"спасибо": 3, "хорошо": 3, "университет": 5, "дом": 1, "семья": 2, "она": 2, "её": 2},
    "uk": {"дякую": 3, "молоко": 3, "родина": 3, "їжак": 2},
    "hu": {"köszönöm": 3, "egyetem": 3, "ház": 1, "család": 2, "iskola": 3, "könyv": 1},
    "tr": {"teşekkürler": 4, "ışık": 2, "İstanbul": 3, "saat": 2},
    "zh": {"你好": 2, "谢谢": 2, "中华人民共和国": 7},
    "ko": {"안녕하세요": 5, "감사합니다": 5},
    "ja": {"こんにちは": 4, "きょう": 2, "がっこう": 3, "コーヒー": 2, "ありがとう": 5},
}  # fmt: skip

MORE_WORDS: dict[str, dict[str, int]] = {
    "de": {"Fenster": 2, "Wochenende": 4, "Geschenk": 2, "Museum": 3, "Familie": 4, "Ruhe": 2,
           "aber": 2, "Theater": 3, "Lehrerin": 3, "genau": 2},
    "fr": {"oiseau": 2, "lumière": 2, "petite": 2, "maintenant": 3, "aujourd'hui": 3, "pays": 2,
           "idée": 2, "nuit": 1, "chocolat": 3, "histoire": 2},
    "es": {"teatro": 3, "ciudad": 2, "corazón": 3, "oído": 3, "poema": 3, "guitarra": 3,
           "feliz": 2, "viaje": 2, "cuando": 2, "leer": 2},
    "it": {"grazie": 2, "teatro": 3, "poesia": 4, "paura": 3, "sole": 2, "giorno": 2, "perché": 2,
           "bambina": 3},
    "pt": {"bonito": 3, "saudade": 3, "viagem": 3, "pão": 1, "menina": 3, "criança": 3,
           "muito": 2},
    "nl": {"vandaag": 2, "water": 2, "museum": 3, "idee": 2, "moeder": 2, "politie": 3,
           "bijzonder": 3},
    "pl": {"dziecko": 2, "miasto": 2, "poeta": 3, "kobieta": 3, "nauka": 3, "wieczór": 2},
    "sv": {"vänlig": 2, "teater": 3, "äpple": 2, "idé": 2, "människa": 3},
    "cs": {"město": 2, "auto": 2, "neděle": 3, "učitel": 3, "smrt": 1},
    "el": {"άνθρωπος": 3, "παιδί": 2, "αυτό": 2, "ουρανός": 3, "εκκλησία": 4},
}  # fmt: skip


def test_of_156_words_spelt_150_are_right() -> None:
    """The figure of docs/speech-rate.md."""
    words = [
        (word, language, count)
        for language, more in MORE_WORDS.items()
        for word, count in (WORDS[language] | more).items()
    ]
    right = sum(word_syllables(word, language) == count for word, language, count in words)
    assert (len(words), right) == (156, 150)


@pytest.mark.parametrize("language", WORDS)
def test_known_words(language: str) -> None:
    known = WORDS[language]
    found = {word: word_syllables(word, language) for word in known}
    wrong = {word: found[word] for word in known if found[word] != known[word]}
    exact = language in {"en", "ru", "uk", "hu", "tr", "zh", "ko", "ja"}
    assert len(wrong) <= (0 if exact else 0.15 * len(known)), wrong


def test_english_goes_by_its_sound_not_its_spelling() -> None:
    assert word_syllables("every", "en") == 3  # the dictionary's first pronunciation
    assert word_syllables("wednesday", "en") == 2
    assert word_syllables("colonel", "en") == 2


@pytest.mark.parametrize("word", ["“Beautiful,”", "beautiful!", "BEAUTIFUL", "(beautiful)..."])
def test_punctuation_and_case_change_nothing(word: str) -> None:
    assert word_syllables(word, "en") == 3


def test_parts_are_added() -> None:
    assert word_syllables("ice-cream", "en") == 2
    assert word_syllables("peut-être", "fr") == 2
    assert word_syllables("Beautiful’s", "en") == 3


@pytest.mark.parametrize(
    ("word", "language"),
    [
        ("5", "en"), ("B2B4", "en"), ("٣", "ar"), ("", "en"), ("...", "de"), ("❤", "en"),
        ("مرحبا", "ar"), ("שלום", "he"), ("日本", "ja"), ("word", None), ("word", "xx"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_none(word: str, language: str | None) -> None:
    assert word_syllables(word, language) is None


def test_the_mean_needs_most_words_to_be_known() -> None:
    assert mean_syllables(["beautiful", "day", "42", "ocean"], "en") == (2.0, "dictionary")
    assert MIN_KNOWN_SHARE == 0.75
    assert mean_syllables(["beautiful", "42", "ocean"], "en") is None
    assert mean_syllables([], "en") is None
    assert mean_syllables(["word"], None) is None
    assert mean_syllables(["guten", "Abend"], "de") == (2.0, "spelling")
    assert mean_syllables(["你", "好"], "zh") == (1.0, "characters")


def test_spoken_english_has_about_the_published_mean() -> None:
    """Kennedy's sentence: 28 syllables in 22 words."""
    text = "And so my fellow Americans, ask not what your country can do for you, ask what you"
    words = f"{text} can do for your country.".split()
    assert mean_syllables(words, "en") == (pytest.approx(28 / 22), "dictionary")


@settings(deadline=None)  # the first word of a language loads its dictionary
@given(word=st.text(max_size=40), language=st.sampled_from([*WORDS, "ar", "th", "te", "xx"]))
def test_whatever_is_written(word: str, language: str) -> None:
    found = word_syllables(word, language)
    letters = sum(unicodedata.category(sign)[0] in "LM" for sign in word)
    assert found is None or 1 <= found <= max(1, 4 * letters)
    assert word_syllables(word, language) == found


@settings(deadline=None)  # the first word of a language loads its dictionary
@given(words=st.lists(st.text(max_size=8), max_size=12), language=st.sampled_from([*WORDS, "xx"]))
def test_a_mean_lies_between_its_words(words: list[str], language: str) -> None:
    counts = [count for word in words if (count := word_syllables(word, language)) is not None]
    found = mean_syllables(words, language)
    if found is not None:
        assert min(counts) <= found[0] <= max(counts)


def test_the_engine_names_its_dictionaries() -> None:
    assert engine().startswith("pyphen ")
    assert "pocketsphinx 5." in engine()
