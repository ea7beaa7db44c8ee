"""Names from outside, made into folder names."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reelscope.crawl.names import MAX_BYTES, marked_name, safe_name

HOSTILE = ["", ".", "..", "../../etc", "/etc/passwd", "a/b", "a\\b", "C:\\x", "CON", "con.txt",
           "-CON.txt", "nul", "COM¹", "lpt9.a.b", "-rf", ".hidden", "a.", "a ", "\x00", "a\nb",
           "a\u202egnp.exe", "é" * 200, "n" * 101, "\ud800", "~", "~root", "$HOME", "*",
           "\u0301", "/\u0338", "_", "🎬", "a" * 88 + ".-_" * 9, "e\u0301"]  # fmt: skip

anything = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=130))


@pytest.mark.parametrize(
    "name", ["anna", "anna.b_c-d", "Дарья", "初音ミク", "हिन्दी", "7123456789012345678", "_x", "Zoë"]
)
def test_a_good_name_stays(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("../../etc", "etc-"),
        ("My Video (1)", "My_Video_1-"),
        ("CON", "_CON-"),
        ("con.mp4", "_con.mp4-"),
        (".hidden", "hidden-"),
        ("", "unnamed-"),
        ("🎬🎬", "unnamed-"),
    ],
)
def test_a_bad_name_is_replaced_and_marked(text: str, beginning: str) -> None:
    name = safe_name(text)
    assert name.startswith(beginning)
    assert len(name) == len(beginning) + 10


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    assert safe_name("e\u0301") == safe_name("\u00e9") == "\u00e9"


@given(anything)
@example("a" * 88 + "." * 20)
def test_it_is_always_a_child_of_its_root(text: str) -> None:
    name = safe_name(text)
    joined = Path("/root/of/all") / name
    assert joined.parent == Path("/root/of/all")
    assert Path(name).parts == (name,)
    assert 1 <= len(name.encode("utf-8")) <= MAX_BYTES
    assert name[0] not in ".-"
    assert name[-1] != "."
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert unicodedata.is_normalized("NFC", name)


@given(anything)
def test_it_changes_nothing_the_second_time(text: str) -> None:
    assert safe_name(safe_name(text)) == safe_name(text)


@given(anything, anything)
@example("a/b", "a\\b")
@example("x" * 200, "x" * 201)
def test_different_texts_get_different_names(one: str, other: str) -> None:
    one, other = unicodedata.normalize("NFC", one), unicodedata.normalize("NFC", other)
    same = safe_name(one) == safe_name(other)
    # The name that a bad text is given is a good text itself, and means the same.
    assert same == (one == other or safe_name(one) == other or one == safe_name(other))


@given(st.text(st.characters(categories=("L", "N")), max_size=60), anything)
def test_marked_names_are_safe(base: str, of: str) -> None:
    name = marked_name(safe_name(base), of=of)
    assert safe_name(name) == name
