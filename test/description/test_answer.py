"""The schema that is asked for, and the answers that are held against it."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from reelscope.description.answer import (
    MAX_ITEMS,
    MAX_PROBLEMS,
    MAX_TEXT_CHARS,
    SOURCES,
    Checked,
    RawAnswer,
    RawEvidence,
    answer_schema,
    check_answer,
    schema_problems,
)
from reelscope.description.json_text import NotJson, read_json
from reelscope.settings.description import DIMENSIONS, AnswerField, Dimension

FRAME = {"source": "frame", "time_s": 2.5, "quote": None}
WORDS = {"source": "speech", "time_s": None, "quote": "so good"}


def field(type_: str, name: str = "f", **more: Any) -> AnswerField:
    return AnswerField(name=name, type=type_, **more)  # type: ignore[arg-type]


def ask(type_: str = "text", *, name: str = "a", evidence: bool = False, **more: Any) -> Dimension:
    return Dimension(name=name, type=type_, evidence=evidence, **more)  # type: ignore[arg-type]


def check(value: JsonValue, dimension: Dimension) -> Checked:
    return check_answer({dimension.name: {"value": value, "confidence": 0.5}}, [dimension])


def as_given(checked: Checked, dimensions: list[Dimension]) -> dict[str, Any]:
    """The answers as one object again, as the schema wants it."""
    data: dict[str, Any] = {}
    for dimension in dimensions:
        answer = checked.answers[dimension.name]
        data[dimension.name] = {"value": answer.value, "confidence": answer.confidence}
        if dimension.evidence:
            data[dimension.name]["evidence"] = [
                {"source": entry.source, "time_s": entry.time_s, "quote": entry.quote}
                for entry in answer.evidence
            ]
    return data


# --------------------------------------------------------------------------- schema


def test_the_schema_of_every_type() -> None:
    schema = answer_schema(
        [ask("text", instruction="Say it."), ask("share", name="b", optional=True, evidence=True)]
    )
    assert list(schema["properties"]) == schema["required"] == ["a", "b"]
    assert schema["additionalProperties"] is False
    first, second = schema["properties"].values()
    assert first["properties"]["value"] == {"type": "string", "description": "Say it."}
    assert first["required"] == ["value", "confidence"]
    assert second["required"] == ["value", "confidence", "evidence"]
    assert second["properties"]["value"] == {
        "type": ["number", "null"],
        "description": "A number from 0 to 1.",
    }
    entry = second["properties"]["evidence"]["items"]
    assert entry["required"] == ["source", "time_s", "quote"]
    assert entry["properties"]["source"]["enum"] == list(SOURCES)


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (ask("texts"), {"type": "array", "items": {"type": "string"}}),
        (ask("integer"), {"type": "integer"}),
        (ask("boolean", optional=True), {"type": ["boolean", "null"]}),
        (ask("choice", choices=("x", "y")), {"type": "string", "enum": ["x", "y"]}),
        (
            ask("choice", choices=("x",), optional=True),
            {"type": ["string", "null"], "enum": ["x", None]},
        ),
        (
            ask("choices", choices=("x", "y"), optional=True),
            {"type": ["array", "null"], "items": {"type": "string", "enum": ["x", "y"]}},
        ),
    ],
)
def test_the_schema_of_a_value(dimension: Dimension, expected: dict[str, Any]) -> None:
    assert answer_schema([dimension])["properties"]["a"]["properties"]["value"] == expected


def test_the_schema_of_objects() -> None:
    inner = {
        "type": "object",
        "properties": {"f": {"type": "string"}},
        "required": ["f"],
        "additionalProperties": False,
    }
    schema = answer_schema(
        [
            ask("object", fields=(field("text"),), optional=True, instruction="Which?"),
            ask("objects", name="b", fields=(field("text"),)),
        ]
    )
    first, second = (part["properties"]["value"] for part in schema["properties"].values())
    assert first == {"anyOf": [inner, {"type": "null"}], "description": "Which?"}
    assert second == {"type": "array", "items": inner}


def every_part(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [part for item in schema for part in every_part(item)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(part for item in schema.values() for part in every_part(item))]


def test_the_default_schema_keeps_the_published_rules() -> None:
    schema = answer_schema(DIMENSIONS)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema_problems(schema) == []
    known = {"type", "properties", "required", "additionalProperties", "items", "enum", "anyOf"}
    for part in every_part(schema):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
            assert set(part) <= known | {"description"}
    assert not {"minimum", "maximum", "minItems", "maxLength"} & set(json.dumps(schema).split('"'))


def test_limits_of_strict_schemas() -> None:
    deep = field("text")
    for _ in range(8):
        deep = field("object", fields=(deep,))
    wide = [ask("text", name=f"d{number}") for number in range(1700)]
    many = tuple(f"{number} {'x' * 60}" for number in range(200))
    long = [ask("choices", name=f"c{number}", choices=many) for number in range(6)]
    assert schema_problems(answer_schema([ask("object", fields=(deep,))])) == [
        "11 levels of objects and lists; at most 10"
    ]
    assert schema_problems(answer_schema(wide)) == ["5100 properties; at most 5000"]
    assert schema_problems(answer_schema(long)) == ["1200 choices; at most 1000"]
    one = {"type": "string", "enum": [f"{number} {'x' * 60}" for number in range(251)]}
    assert schema_problems(one) == [
        "15954 characters in an enum of more than 250 choices; at most 15000"
    ]
    names = {"properties": {str(number) + "x" * 100: {} for number in range(1200)}}
    assert schema_problems(names) == ["123690 characters of names and choices; at most 120000"]


# --------------------------------------------------------------------------- what is taken


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (ask(), "x"),
        (ask(optional=True), None),
        (ask("texts"), []),
        (ask("texts"), ["a", "a"]),
        (ask("number"), -2.5),
        (ask("number"), 7),
        (ask("integer"), 0),
        (ask("share"), 1),
        (ask("boolean"), False),
        (ask("choice", choices=("x", "X")), "X"),
        (ask("choices", choices=("x", "y")), ["y", "x"]),
        (ask("object", fields=(field("text"),)), {"f": "x"}),
        (ask("object", fields=(field("text"),), optional=True), None),
        (ask("objects", fields=(field("evidence"),)), [{"f": [FRAME, WORDS]}, {"f": []}]),
    ],
)
def test_what_is_right_is_taken_as_it_is(dimension: Dimension, value: JsonValue) -> None:
    checked = check(value, dimension)
    assert checked == Checked({"a": RawAnswer(value, 0.5)}, (), (), ())
    assert repr(checked.answers["a"].value) == repr(value)


@pytest.mark.parametrize(
    ("dimension", "value", "taken", "note"),
    [
        (ask("number"), " 0.8 ", 0.8, "text taken as number"),
        (ask("share"), "1e-1", 0.1, "text taken as number"),
        (ask("integer"), 3.0, 3, "number taken as whole number"),
        (ask("integer"), "3", 3, "text taken as number"),
        (ask("boolean"), "True", True, "text taken as true or false"),
        (ask(), 5, "5", "number taken as text"),
        (ask(), 0.25, "0.25", "number taken as text"),
        (ask("texts"), "x", ["x"], "single text taken as list"),
        (ask("choices", choices=("x",)), "x", ["x"], "single text taken as list"),
        (ask("choice", choices=("all", "a b")), " A  B", "a b", "choice spelled otherwise"),
        (ask(), "a\x00b\x1b\ud800c\r\nd\te", "abc\nd\te", "control characters removed"),
        (ask("object", fields=(field("text"),)), {"f": "x", "g": 1}, {"f": "x"},
         "unknown keys left out"),
    ],
)  # fmt: skip
def test_types_are_put_right_where_nothing_is_lost(
    dimension: Dimension, value: JsonValue, taken: JsonValue, note: str
) -> None:
    checked = check(value, dimension)
    assert checked.problems == ()
    assert repr(checked.answers["a"].value) == repr(taken)
    assert checked.repairs == (note,)


def test_evidence_is_typed() -> None:
    data = {"a": {"value": "x", "confidence": "0.9", "evidence": [FRAME, WORDS]}}
    checked = check_answer(data, [ask(evidence=True)])
    assert checked.answers == {
        "a": RawAnswer(
            "x",
            0.9,
            (RawEvidence("frame", 2.5, None), RawEvidence("speech", None, "so good")),
        )
    }


# --------------------------------------------------------------------------- what is not taken


@pytest.mark.parametrize(
    ("dimension", "value", "problem"),
    [
        (ask(), ["x"], "a.value: text expected, found a list"),
        (ask(), None, "a.value: null is no answer here"),
        (ask(), True, "a.value: text expected, found true"),
        (ask(), "x" * (MAX_TEXT_CHARS + 1), "a.value: a text of 20001 characters; at most 20000"),
        (ask("texts"), ["x", 1, None], "a.value[2]: text expected, found null"),
        (ask("texts"), 5, "a.value: list expected, found the number 5"),
        (ask("texts"), ["x"] * (MAX_ITEMS + 1), "a.value: a list of 201; at most 200"),
        (ask("number"), "about 5", 'a.value: number expected, found the text "about 5"'),
        (ask("number"), "85%", 'a.value: number expected, found the text "85%"'),
        (ask("number"), "1,5", 'a.value: number expected, found the text "1,5"'),
        (ask("number"), True, "a.value: number expected, found true"),
        (ask("number"), 10**300, "a.value: the number is too large"),
        (ask("number"), float("inf"), "a.value: number expected, found a number that is too large"),
        (ask("number"), "9" * 5000,
         f'a.value: number expected, found the text "{"9" * 60}..."'),
        (ask("integer"), 2.5, "a.value: whole number expected, found the number 2.5"),
        (ask("integer"), 1e20, "a.value: whole number expected, found the number 1e+20"),
        (ask("share"), 85, "a.value: number from 0 to 1 expected, found the number 85"),
        (ask("share"), "85%", 'a.value: number from 0 to 1 expected, found the text "85%"'),
        (ask("share"), -0.1, "a.value: number from 0 to 1 expected, found the number -0.1"),
        (ask("boolean"), 1, "a.value: true or false expected, found the number 1"),
        (ask("boolean"), "yes", 'a.value: true or false expected, found the text "yes"'),
        (ask("choice", choices=("x", "y")), "z",
         'a.value: one of x, y expected, found the text "z"'),
        (ask("choice", choices=("Ab", "aB")), "ab",
         'a.value: one of Ab, aB expected, found the text "ab"'),
        (ask("choices", choices=("x",)), ["x", "z"],
         'a.value[1]: one of x expected, found the text "z"'),
        (ask("object", fields=(field("text"),)), {}, "a.value.f: missing"),
        (ask("object", fields=(field("text", optional=True),)), {}, "a.value.f: missing"),
        (ask("object", fields=(field("text"),)), "x\n\x00y",
         'a.value: object expected, found the text "x y"'),
        (ask("objects", fields=(field("text"),)), {"f": "x"},
         "a.value: list expected, found an object"),
        (ask("objects", fields=(field("texts"),)), [{"f": []}, {"f": [[]]}],
         "a.value[1].f[0]: text expected, found a list"),
    ],
)  # fmt: skip
def test_anything_else_is_a_problem(dimension: Dimension, value: JsonValue, problem: str) -> None:
    checked = check(value, dimension)
    assert checked.problems == (problem,)
    assert checked.answers == {}
    assert checked.missing == ()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("frame 2", 'a.evidence[0]: object expected, found the text "frame 2"'),
        ({**FRAME, "time_s": None}, "a.evidence[0]: evidence must name a frame's time or words"),
        ({**WORDS, "quote": " "}, "a.evidence[0]: evidence must name a frame's time or words"),
        ({**WORDS, "quote": None}, "a.evidence[0]: evidence must name a frame's time or words"),
        ({**FRAME, "time_s": -1}, "a.evidence[0].time_s: a time is 0 or more"),
        ({**FRAME, "time_s": "later"},
         'a.evidence[0].time_s: number expected, found the text "later"'),
        ({"source": "frame", "time_s": 1}, "a.evidence[0].quote: missing"),
        ({**FRAME, "source": "audio"},
         "a.evidence[0].source: one of frame, speech, screen_text, caption, object, sound, music"
         ' expected, found the text "audio"'),
    ],
)  # fmt: skip
def test_evidence_must_name_something(entry: JsonValue, problem: str) -> None:
    data: JsonValue = {"a": {"value": "x", "confidence": 1, "evidence": [entry]}}
    assert check_answer(data, [ask(evidence=True)]).problems == (problem,)


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ([], ("answer: object expected, found a list",)),
        ({}, ("a: missing", "b: missing")),
        ({"a": "x", "b": {}}, (
            'a: object expected, found the text "x"', "b.value: missing", "b.confidence: missing")),
        ({"a": {"value": "x", "confidence": "85%"}, "b": {"value": "y", "confidence": 85}}, (
            'a.confidence: number from 0 to 1 expected, found the text "85%"',
            "b.confidence: number from 0 to 1 expected, found the number 85")),
        ({"a": {"value": "x", "confidence": None}, "b": {"value": "y", "confidence": 0}},
         ("a.confidence: null is no answer here",)),
    ],
)  # fmt: skip
def test_nothing_is_filled_in(data: JsonValue, problems: tuple[str, ...]) -> None:
    checked = check_answer(data, [ask(), ask(name="b")])
    assert checked.problems == problems
    assert checked.missing == ()


def test_problems_are_counted_where_they_are_many() -> None:
    checked = check(list(range(100, 200)), ask("texts"))
    assert checked.problems == ()
    checked = check([None] * 100, ask("texts"))
    assert len(checked.problems) == MAX_PROBLEMS + 1
    assert checked.problems[-1] == "and 80 more problems"


def test_a_cut_answer_lacks_dimensions() -> None:
    dimensions = [ask(name=name) for name in "abcd"]
    part: JsonValue = {
        "a": {"value": "x", "confidence": 1},
        "b": {"value": 5.5, "confidence": "no"},
        "c": {"value": "half"},
    }
    checked = check_answer(part, dimensions, cut="c", whole=False)
    assert list(checked.answers) == ["a"]
    assert checked.missing == ("c", "d")
    assert checked.problems == ('b.confidence: number from 0 to 1 expected, found the text "no"',)


# --------------------------------------------------------------------------- properties

names = st.sampled_from(["a", "b", "c", "d", "value", "evidence"])
choices = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4, unique=True)
plain_types = st.sampled_from(
    ["text", "texts", "number", "integer", "share", "boolean", "evidence"]
)


def asked(kind: Any, types: Any, inner: Any | None, **more: Any) -> Any:
    common = {"optional": st.booleans(), "name": names, **more}
    ways = [
        st.builds(kind, type=types, **common),
        st.builds(
            kind,
            type=st.sampled_from(["choice", "choices"]),
            choices=choices.map(tuple),
            **common,
        ),
    ]
    if inner is not None:
        fields = st.lists(inner, min_size=1, max_size=3, unique_by=lambda one: one.name)
        types = st.sampled_from(["object", "objects"])
        ways.append(st.builds(kind, type=types, fields=fields.map(tuple), **common))
    return st.one_of(ways)


leaf_fields = asked(AnswerField, plain_types, None)
nested_fields = asked(AnswerField, plain_types, leaf_fields)
dimension_lists = st.lists(
    asked(
        Dimension,
        plain_types.filter(lambda type_: type_ != "evidence"),
        nested_fields,
        evidence=st.booleans(),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.name,
)
hostile_text = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "0.5", "True"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            names | st.sampled_from(["confidence", "source", "quote"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)
entries = st.builds(
    lambda source, time_s, quote: {"source": source, "time_s": time_s, "quote": quote},
    st.sampled_from(SOURCES),
    st.floats(0, 100) | st.integers(0, 100),
    st.text(min_size=1, max_size=5).map(lambda text: "x" + text),
)


def right(asked_for: AnswerField) -> Any:
    """A strategy for values as they were asked for."""
    ways: dict[str, Any] = {
        "text": hostile_text | st.integers(-5, 5),
        "texts": st.lists(hostile_text, max_size=3) | hostile_text,
        "number": st.floats(-1e9, 1e9) | st.sampled_from(["-2.5", "1e3"]),
        "integer": st.integers(-9, 9) | st.sampled_from([2.0, "3"]),
        "share": st.floats(0, 1) | st.sampled_from([0, 1, "0.25"]),
        "boolean": st.booleans() | st.sampled_from(["true", "FALSE"]),
        "evidence": st.lists(entries, max_size=2),
    }
    if asked_for.choices:
        way = st.sampled_from(asked_for.choices)
        ways["choice"], ways["choices"] = way, st.lists(way, max_size=3) | way
    if asked_for.fields:
        way = st.fixed_dictionaries({one.name: right(one) for one in asked_for.fields})
        ways["object"], ways["objects"] = way, st.lists(way, max_size=2)
    way = ways[asked_for.type]
    return st.none() | way if asked_for.optional else way


def right_answer(dimensions: list[Dimension]) -> Any:
    return st.fixed_dictionaries(
        {
            one.name: st.fixed_dictionaries(
                {
                    "value": right(one),
                    "confidence": st.floats(0, 1),
                    **({"evidence": st.lists(entries, max_size=2)} if one.evidence else {}),
                }
            )
            for one in dimensions
        }
    )


def damage(data: Any, draw: st.DataObject) -> Any:
    """The data with something put in the place of one of its parts."""
    if isinstance(data, dict | list) and data and draw.draw(st.integers(0, 3)):
        keys: list[Any] = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = draw.draw(st.sampled_from(keys))
        copy = data.copy()
        if isinstance(data, dict) and draw.draw(st.integers(0, 5)) == 0:
            del copy[key]
        else:
            copy[key] = damage(data[key], draw)
        return copy
    return draw.draw(anything)


def hold(data: Any, dimensions: list[Dimension], **more: Any) -> Checked:
    """Check, and hold the result to its word."""
    checked = check_answer(data, dimensions, **more)
    for problem in checked.problems:
        problem.encode()
        assert "\n" not in problem
        assert len(problem) < 300
    there = [one for one in dimensions if one.name in checked.answers]
    assert list(checked.answers) == [one.name for one in there]
    assert not set(checked.answers) & set(checked.missing)
    jsonschema.validate(as_given(checked, there), answer_schema(there))
    json.dumps(as_given(checked, there), allow_nan=False, ensure_ascii=False).encode()
    if not checked.problems:
        assert len(checked.answers) + len(checked.missing) == len(dimensions)
    return checked


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dimension_lists, st.data())
def test_right_answers_are_taken(dimensions: list[Dimension], draw: st.DataObject) -> None:
    checked = hold(draw.draw(right_answer(dimensions)), dimensions)
    assert checked.problems == ()
    assert checked.missing == ()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dimension_lists, st.data(), st.booleans(), names)
def test_whatever_is_taken_satisfies_the_schema(
    dimensions: list[Dimension], draw: st.DataObject, whole: bool, cut: str
) -> None:
    data = draw.draw(right_answer(dimensions))
    for _ in range(draw.draw(st.integers(1, 3))):
        data = damage(data, draw)
    checked = hold(data, dimensions, whole=whole, cut=cut)
    assert not (whole and checked.missing)


@settings(max_examples=100, deadline=None)
@given(dimension_lists, anything)
def test_anything_is_checked(dimensions: list[Dimension], data: JsonValue) -> None:
    hold(data, dimensions)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dimension_lists, st.data())
def test_the_schema_refuses_what_is_not_asked(
    dimensions: list[Dimension], draw: st.DataObject
) -> None:
    """The schema itself can tell: it takes right answers, and none with a key too few or many."""
    schema = answer_schema(dimensions)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema_problems(schema) == []
    data = as_given(check_answer(draw.draw(right_answer(dimensions)), dimensions), dimensions)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(data)
    key = draw.draw(st.sampled_from(sorted(data)))
    assert not validator.is_valid({**data, "more": 1})
    assert not validator.is_valid({name: data[name] for name in data if name != key})
    assert not validator.is_valid({**data, key: {**data[key], "confidence": None}})


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_default_dimensions_are_answered(draw: st.DataObject) -> None:
    data = draw.draw(right_answer(list(DIMENSIONS)))
    assert hold(data, list(DIMENSIONS)).problems == ()
    data = damage(data, draw)
    hold(json.loads(json.dumps(data)), list(DIMENSIONS))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dimension_lists, st.data(), st.sampled_from([json.dumps, repr]))
def test_a_cut_text_gives_whole_answers_or_none(
    dimensions: list[Dimension], draw: st.DataObject, write: Any
) -> None:
    data = draw.draw(right_answer(dimensions))
    text = write(data)
    whole = check_answer(read_json(text).value, dimensions)
    try:
        read = read_json(text[: draw.draw(st.integers(0, len(text)))])
    except NotJson:
        return
    checked = hold(read.value, dimensions, whole=read.whole, cut=read.cut)
    assert checked.problems == ()
    assert len(checked.answers) + len(checked.missing) == len(dimensions)
    assert repr(checked.answers) == repr({name: whole.answers[name] for name in checked.answers})
