"""Requests to JSON and answers from it, whatever comes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.description.chat import ChatAnswer, Tokens
from reelscope.engines import chat_format
from reelscope.engines.chat_format import NotACompletion, answer_of, fault_of, shortened

KEY = "sk-proj-Zq81kLmN0pRs7TuVwXyZ"

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "stop", "length", "content_filter", "\x00", "x" * 500]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
COMPLETIONS = st.fixed_dictionaries(
    {},
    optional={
        "model": ANYTHING,
        "usage": ANYTHING
        | st.fixed_dictionaries({"prompt_tokens": ANYTHING, "completion_tokens": ANYTHING}),
        "error": ANYTHING,
        "choices": ANYTHING
        | st.lists(
            ANYTHING
            | st.fixed_dictionaries(
                {
                    "finish_reason": ANYTHING,
                    "message": ANYTHING
                    | st.fixed_dictionaries({"content": ANYTHING, "refusal": ANYTHING}),
                }
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=300, deadline=None)
@given(COMPLETIONS | ANYTHING)
def test_any_json_is_an_answer_or_none(data: Any) -> None:
    try:
        answer = answer_of(data, model="m")
    except NotACompletion:
        return
    assert isinstance(answer, ChatAnswer)
    for text in (answer.text, answer.model, answer.refusal or ""):
        text.encode()
    assert answer.model and len(answer.model) <= 200
    assert (answer.refusal is not None) or answer.finish != "content_filter"
    counts = (answer.tokens.input, answer.tokens.cached_input, answer.tokens.output)
    assert all(type(n) is int and n >= 0 for n in counts)
    assert answer.tokens.cached_input <= answer.tokens.input
    message = data["choices"][0]["message"]
    if isinstance(message.get("content"), str) and message["content"].isascii():
        assert answer.text == message["content"]


@settings(max_examples=200, deadline=None)
@given(ANYTHING | st.fixed_dictionaries({"error": ANYTHING}))
def test_any_error_has_words(data: Any) -> None:
    fault = fault_of(data)
    shown = shortened(fault.message, 300)
    assert shown.isprintable() and len(shown) <= 300
    shown.encode()


def test_a_long_number_and_a_deep_list_are_no_json() -> None:
    for data in (b"1" * 10_000, b"[" * 100_000, b"\xff\xfe\x00", b"", b"{'a': 1}"):
        with pytest.raises(NotACompletion):
            chat_format.read_json(data)


def test_counts_of_a_whole_answer() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    choice = {"finish_reason": "length", "message": {"content": "hi", "refusal": None}}
    answer = answer_of({"choices": [choice, 1], "usage": usage, "model": "m-2"}, model="m")
    assert answer == ChatAnswer("hi", "m-2", "length", None, Tokens(100, 64, 7))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"key {KEY}!", "key ***!"),
        (f"key {KEY[:12]} and {KEY[-9:]}", "key *** and ***"),
        (f"key {KEY[:4]}********{KEY[-4:]}.", "key ***"),
        ("key sk-abc-def of another", "key *** of another"),
        ("Bearer none is none", "Bearer none is none"),
        ("nothing to hide", "nothing to hide"),
        (f"{KEY}{KEY}", "***"),
    ],
)
def test_no_part_of_the_key_is_shown(said: str, shown: str) -> None:
    assert chat_format.without_key(said, KEY) == shown


def test_a_key_of_another_form_is_hidden_too() -> None:
    assert chat_format.without_key("the key hunter2-hunter2 is odd", "hunter2-hunter2") == (
        "the key *** is odd"
    )
    assert chat_format.without_key("pass", "pass") == "***"
    assert chat_format.without_key("a word", "a") == "a word", "nobody could read it otherwise"
    assert chat_format.without_key("a word", "") == "a word"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.integers(0, 12), st.integers(8, 28), st.text(max_size=40))
def test_parts_of_the_key_are_found_anywhere(before: str, at: int, size: int, after: str) -> None:
    part = KEY[at : at + size]
    assert part not in chat_format.without_key(before + part + after, KEY)


def test_json_keeps_what_can_be_kept() -> None:
    text = json.loads('"a\\ud83d\\ude00b\\ud800"')
    assert chat_format.encodable(text) == "a\U0001f600b\ufffd"
    assert chat_format.encodable("\ud83d" + "\ude00") == "\U0001f600"
    assert shortened("a\n\tb\x1b[0m" + "c" * 400, 10) == "a b [0mcc…"
