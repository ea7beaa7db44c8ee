"""The reader of a model's text: what it takes, what it refuses, what it never does."""

import contextlib
import json
import math
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reelscope.description.json_text import MAX_CHARS, JsonText, NotJson, read_json

ANSWER = {
    "description": {"value": "It's a \"test\": {a} [b], don't\nworry. 你好 🙂", "confidence": 0.85},
    "tags": {"value": ["x", "", "y, z"], "confidence": 1, "evidence": []},
    "claims": {
        "value": [{"product": None, "claim": "It works'", "n": -12.5e-3}, {"product": "B", "n": 7}],
        "confidence": 0.0,
        "evidence": [{"source": "frame", "time_s": 2.5, "quote": None}],
    },
    "paid": {"value": False, "confidence": 1e-05},
}


def value(text: str) -> object:
    return read_json(text).value


def repairs(text: str) -> tuple[str, ...]:
    return read_json(text).repairs


# --------------------------------------------------------------------------- examples


def test_json_comes_back_unchanged() -> None:
    assert read_json(json.dumps(ANSWER)) == JsonText(ANSWER, whole=True, repairs=())
    assert read_json(json.dumps(ANSWER, indent=2, ensure_ascii=False)).repairs == ()
    assert read_json("{}") == JsonText({}, whole=True, repairs=())


@pytest.mark.parametrize(
    ("text", "expected", "kinds"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}, ("code fence",)),
        ('```\n{"a": 1}```', {"a": 1}, ("code fence",)),
        ('Sure:\n```json\n{"a": 1}\n```\nBye', {"a": 1}, ("code fence", "text around")),
        ('Here it is: {"a": 1}. Bye {you}', {"a": 1}, ("text around",)),
        ('\ufeff{"a": 1}', {"a": 1}, ("text around",)),
        ('{"a": [1, 2,], }', {"a": [1, 2]}, ("trailing comma",)),
        ("{'a': 'b'}", {"a": "b"}, ("single quotes",)),
        ("{'a': 'it\\'s'}", {"a": "it's"}, ("single quotes", "escapes")),
        (
            "{'a': 'it's 5 o'clock', 'b': 1}",
            {"a": "it's 5 o'clock", "b": 1},
            ("single quotes", "apostrophe in single quotes"),
        ),
        ("{'a': 'say \"yes\"'}", {"a": 'say "yes"'}, ("single quotes",)),
        ("{'a': \"it's\"}", {"a": "it's"}, ("single quotes",)),
        ("{'a': ''}", {"a": ""}, ("single quotes",)),
        ('{"a": [True, False, None]}', {"a": [True, False, None]}, ("Python words",)),
        ('{"a": "x\ny\tz"}', {"a": "x\ny\tz"}, ("line breaks in texts",)),
        ('{"a": 1, // one\n "b": 2 /* two */}', {"a": 1, "b": 2}, ("comments",)),
        ('{ // first\n "a": 1}', {"a": 1}, ("comments",)),
        ('{"a": "http://x.y/*z*/"}', {"a": "http://x.y/*z*/"}, ()),
        ('{"a": 1 "b": [2] "c": 3}', {"a": 1, "b": [2], "c": 3}, ("missing comma",)),
        ('{"a": "x"\n "b": "y"}', {"a": "x", "b": "y"}, ("missing comma",)),
        ('{"a": [{"b": 1} {"b": 2}]}', {"a": [{"b": 1}, {"b": 2}]}, ("missing comma",)),
        ('{"a": "it\\\'s \\$5 \\x41"}', {"a": "it's \\$5 A"}, ("escapes",)),
        ('{"a": "\\ud83d\\ude00",}', {"a": "😀"}, ("trailing comma",)),
        ('{"a": "\\ud83d",}', {"a": "\ud83d"}, ("trailing comma",)),
        ("{'a': '\\U0001f600\\x00'}", {"a": "😀\x00"}, ("single quotes", "escapes")),
        ('{"a": 1, "a": 1}', {"a": 1}, ("key twice",)),
        ('[{"a": 1}]', {"a": 1}, ("text around",)),
        ('{"a": {"b": 1}}}', {"a": {"b": 1}}, ("text around",)),
    ],
)
def test_liberties_are_read_and_named(text: str, expected: object, kinds: tuple[str, ...]) -> None:
    assert read_json(text) == JsonText(expected, whole=True, repairs=kinds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON object"),
        ("I cannot help with that {really}.", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("null", "no JSON object"),
        ('{"a": NaN}', "'NaN'"),
        ('{"a": Infinity}', "'Infinity'"),
        ('{"a": -Infinity}', "'-Infinity'"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "300 digits"),
        ('{"a": 007}', "no number"),
        ('{"a": +1}', "no number"),
        ('{"a": 0x10}', "no number"),
        ('{"a": undefined}', "'undefined' is no value"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": 1,, "b": 2}', "a key in quotes"),
        ('{"a": [1 2]}', "a comma or ]"),
        ('{"a": [1, 2}', "a comma or ]"),
        ('{"a": ["x" "y"]}', "a comma or ]"),  # Python would join them
        ('{"a": "x" "b": 1}', "a comma or }"),  # or a text with quotes in it
        ('{"a": "say "yes", and go", "b": 1}', "a comma or }"),
        ("{'a': 'the dogs' bowl', 'b': 1}", "a comma or }"),
        ("{'a': 'say 'a', 'b' or so'}", "a comma or }"),
        ('{"a": "\\uZZZZ"}', "character's number"),
        ('{"a": "\\UFFFFFFFF"}', "character's number"),
        ('{"a": ' * 200 + "1" + "}" * 200, "levels"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "levels"),
        ('{"a"', "no JSON object"),
        ('{"a": "cut', "before anything is complete"),
        ('{"a": {"b": [{"c": 1', "before anything is complete"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(NotJson, match=said):
        read_json(text)


def test_an_error_names_the_place() -> None:
    with pytest.raises(NotJson, match=r"^at character 18: a value expected, found '<'$"):
        read_json('The answer {"a": <1>}')


def test_the_longest_object_is_the_answer() -> None:
    assert value('Like {"a": 1}: {"a": 1, "b": "long"} or {"c": 2}') == {"a": 1, "b": "long"}
    assert value('First {"a": 1} then {"b": 2}') == {"a": 1}
    assert value('Use {"a": <text>, "b": {"c": 1}}. So: {"a": "the real answer is long"}') == {
        "a": "the real answer is long"
    }
    assert value('I put it in {} or { }: {"a": 1}') == {"a": 1}
    assert value('Done: {"a": "whole and long"}, as {"a": "wh') == {"a": "whole and long"}


def test_thoughts_are_not_the_answer() -> None:
    thoughts = 'So {"a": "a long draft of it"} or {"a": "x"}? Yes.'
    for begin in ("<think>", "\n<think>\n", ""):
        read = read_json(f'{begin}{thoughts}</think>\n\n{{"a": "x"}}')
        assert read == JsonText({"a": "x"}, whole=True, repairs=("text around",))
    with pytest.raises(NotJson, match="before the answer"):
        read_json(f"<think>{thoughts}")
    assert value("{'a': 'they say </think> and {\"b\": 1}'}") == {
        "a": 'they say </think> and {"b": 1}'
    }


def test_what_stands_inside_a_broken_object_is_not_the_answer() -> None:
    for text in ('{"a": NaN, "b": {"c": 1}}', '{"a": <x>, "b": {"c": "}"}} and {"d": 1}'):
        with pytest.raises(NotJson):
            read_json(text)


@pytest.mark.parametrize(
    ("text", "expected", "cut"),
    [
        ('{"a": 1, "b": "xy', {"a": 1}, "b"),
        ('{"a": 1, "b": 12', {"a": 1}, "b"),
        ('{"a": 1, "b": 12.', {"a": 1}, "b"),
        ('{"a": 1, "b": tru', {"a": 1}, "b"),
        ('{"a": 1, "b": true', {"a": 1, "b": True}, None),
        ('{"a": 1, "b": 12 ', {"a": 1, "b": 12}, None),
        ('{"a": 1, "b": "x"', {"a": 1, "b": "x"}, None),
        ('{"a": 1, "b":', {"a": 1}, "b"),
        ('{"a": 1, "b"', {"a": 1}, None),
        ('{"a": 1, "b', {"a": 1}, None),
        ('{"a": 1,', {"a": 1}, None),
        ('{"a": 1, "b": "x\\', {"a": 1}, "b"),
        ('{"a": 1, "b": "x\\u00', {"a": 1}, "b"),
        ('{"a": 1, "b": {"c": 2, "d": [3, 4', {"a": 1, "b": {"c": 2, "d": [3]}}, "b"),
        ('{"a": 1, "b": {"c": "x', {"a": 1}, "b"),
        ('{"a": 1, "b": [{"c": 1}, {', {"a": 1, "b": [{"c": 1}]}, "b"),
        ('{"a": {"c": 1}', {"a": {"c": 1}}, None),
    ],
)
def test_a_cut_text_gives_what_was_complete(text: str, expected: object, cut: str | None) -> None:
    assert read_json(text) == JsonText(
        expected,  # type: ignore[arg-type]
        whole=False,
        repairs=("truncated",),
        cut=cut,
    )


def test_a_cut_text_in_a_fence_and_in_single_quotes() -> None:
    fenced = read_json('```json\n{"a": 1, "b": {"c": 2}\n```')
    assert (fenced.value, fenced.whole) == ({"a": 1, "b": {"c": 2}}, False)
    assert fenced.repairs == ("code fence", "truncated")
    assert value("{'a': 1, 'b': 'it'") == {"a": 1}  # perhaps it's
    assert value("{'a': 1, 'b': 'it.'") == {"a": 1, "b": "it."}


# --------------------------------------------------------------------------- hostile texts


@pytest.mark.parametrize(
    "piece",
    ["[", "{", '{"', '{"a":', '{"a":[', "{'", "{/*", "{//", "//{\n", '"\\', "{ ", "'", "{}", "\x00",
     '{"a":1}', '{"a":1', '{"a":"\\"', "{'a':'b'c", "```", "{'a':/*", '{"a":1,"a":1,'],
)  # fmt: skip
def test_hostile_texts_take_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begun = time.monotonic()
    with contextlib.suppress(NotJson):
        read_json(text)
    assert time.monotonic() - begun < 20


def test_more_than_any_answer_is_refused_at_once() -> None:
    with pytest.raises(NotJson, match="longer than"):
        read_json("[" * (MAX_CHARS + 1))


# --------------------------------------------------------------------------- properties

texts = st.text(max_size=20) | st.sampled_from(
    [
        "it's",
        'say "yes"',
        "a, b",
        "{x}",
        "[1]",
        "', '",
        '": "',
        "\n",
        "\\",
        "//",
        "/*",
        "```",
        "é🙂",
    ]
)
keys = st.text(max_size=10) | st.sampled_from(["value", "it's", "a b", '"', "confidence"])
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=5)
prose = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="{}`"), max_size=40
).filter(lambda text: "[" not in text)


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)  # tells 1, 1.0 and True apart


def trailing(given: object) -> str:
    """JSON with a comma behind every last member."""
    if isinstance(given, dict):
        return "{" + "".join(f"{json.dumps(k)}: {trailing(v)}," for k, v in given.items()) + "}"
    if isinstance(given, list):
        return "[" + "".join(f"{trailing(item)}, " for item in given) + "]"
    return json.dumps(given)


def commented(given: object) -> str:
    if isinstance(given, dict):
        parts = (f"/* k's */{json.dumps(k)}: // v\n{commented(v)}" for k, v in given.items())
        return "{" + ", ".join(parts) + "/* } */}"
    if isinstance(given, list):
        return "[" + ", ".join(map(commented, given)) + "// ]\n]"
    return json.dumps(given, ensure_ascii=False)


def raw(given: object) -> str:
    """JSON whose texts hold their control characters as they are."""
    return re.sub(
        r"(\\\\)|\\n|\\t|\\r", lambda m: m[1] or json.loads(f'"{m[0]}"'), json.dumps(given)
    )


WRAPPINGS = {
    "json": json.dumps,
    "indented": lambda given: json.dumps(given, indent=2, ensure_ascii=False),
    "fence": lambda given: f"```json\n{json.dumps(given)}\n```",
    "prose and fence": lambda given: f"Sure!\n```\n{json.dumps(given, indent=1)}\n```\nBye.",
    "trailing commas": trailing,
    "python": repr,
    "comments": commented,
    "raw": raw,
    "python in a fence": lambda given: f"```python\n{given!r}\n```",
}


@settings(max_examples=150, deadline=None)
@given(objects, st.sampled_from(sorted(WRAPPINGS)))
@example({"a": "x', 'b"}, "python")
@example({}, "trailing commas")
@example({"it's": {"'": ['"']}}, "python")
def test_no_wrapping_changes_the_value(given: dict[str, object], wrapping: str) -> None:
    text = WRAPPINGS[wrapping](given)
    read = read_json(text)
    assert same(read.value, given)
    assert read.whole
    assert read.cut is None


@settings(max_examples=80, deadline=None)
@given(objects, prose, prose)
def test_prose_around_changes_nothing(given: dict[str, object], before: str, after: str) -> None:
    assert same(value(f"{before} {json.dumps(given)} {after}"), given)


def part_of(piece: object, whole: object) -> bool:
    """Whether nothing in `piece` differs from what stands at the same place in `whole`."""
    if isinstance(piece, dict) and isinstance(whole, dict):
        return all(key in whole and part_of(piece[key], whole[key]) for key in piece)
    if isinstance(piece, list) and isinstance(whole, list):
        return len(piece) <= len(whole) and all(map(part_of, piece, whole))
    return same(piece, whole)


@settings(max_examples=100, deadline=None)
@given(objects, st.sampled_from(sorted(WRAPPINGS)), st.data())
def test_a_prefix_gives_a_part(
    given: dict[str, object], wrapping: str, data: st.DataObject
) -> None:
    text = WRAPPINGS[wrapping](given)
    prefix = text[: data.draw(st.integers(0, len(text)))]
    try:
        read = read_json(prefix)
    except NotJson:
        return
    assert part_of(read.value, given)
    if read.whole:
        assert same(read.value, given)


@pytest.mark.parametrize("wrapping", sorted(WRAPPINGS))
def test_every_prefix_of_an_answer(wrapping: str) -> None:
    text = WRAPPINGS[wrapping](ANSWER)
    sizes = []
    for end in range(len(text) + 1):
        try:
            read = read_json(text[:end])
        except NotJson:
            assert not sizes  # once something is complete it stays
            continue
        assert part_of(read.value, ANSWER)
        assert read.whole == (TAIL.fullmatch(text[end:]) is not None)
        others = {key: read.value[key] for key in read.value if key != read.cut}
        assert same(others, {key: ANSWER[key] for key in others})
        sizes.append(len(json.dumps(read.value)))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 10


TAIL = re.compile(r"\s*(```)?`{0,3}\s*(Bye\.|ye\.|e\.|\.)?")


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("{}[]\"':,\\/*\n `utrfn01.-eTNa\x00\ud800x"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    check_any(text)


@settings(max_examples=150, deadline=None)
@given(objects, st.sampled_from(sorted(WRAPPINGS)), st.data())
def test_damaged_answers_are_read_or_refused(
    given: dict[str, object], wrapping: str, data: st.DataObject
) -> None:
    text = WRAPPINGS[wrapping](given)
    for _ in range(data.draw(st.integers(1, 4))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        text = text[:start] + data.draw(st.text(max_size=3)) + text[min(end, start + 3) :]
    check_any(text)


def check_any(text: str) -> None:
    try:
        read = read_json(text)
    except NotJson as error:
        str(error).encode()
        return
    assert isinstance(read.value, dict)
    assert read.whole == ("truncated" not in read.repairs)
    assert len(set(read.repairs)) == len(read.repairs)
    check_plain(read.value)


def check_plain(found: object) -> None:
    if isinstance(found, dict):
        for key, inner in found.items():
            assert isinstance(key, str)
            check_plain(inner)
    elif isinstance(found, list):
        for inner in found:
            check_plain(inner)
    else:
        assert found is None or isinstance(found, str | bool | int | float)
        assert not isinstance(found, float) or math.isfinite(found)
