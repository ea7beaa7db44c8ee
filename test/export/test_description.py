"""Columns that follow the dimensions of the config, whatever a record's answers are."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.errors import ConfigError
from reelscope.export.batch import export_batch
from reelscope.export.cells import csv_cell
from reelscope.export.column import Cell
from reelscope.export.columns import columns, flat_row
from reelscope.export.creator import export_creator
from reelscope.export.description import LONGEST_MEANING, cell_of, description_columns, in_short
from reelscope.records import StageRecord, VideoRecord
from reelscope.settings import AnswerField, Describe, Dimension

Make = Callable[..., VideoRecord]
DEFAULT = Describe().dimensions
HOSTILE = '=cmd|" /C calc"!A1\r\n\x00\x1b[31m,"\u202e\u2028end'


def dimension(name: str, type: str = "text", **more: Any) -> Dimension:
    given = {"name": name, "type": type, "instruction": "What it is.", **more}
    return Dimension.model_validate(given)


def field(name: str, type: str = "text", **more: Any) -> AnswerField:
    return AnswerField.model_validate({"name": name, "type": type, **more})


def answers(**values: Any) -> dict[str, Any]:
    """Dimensions of a value, each with its answer."""
    return {
        name: {"value": value, "confidence": 0.5, "evidence": []} for name, value in values.items()
    }


def row(record: VideoRecord, *dimensions: Dimension) -> dict[str, Cell]:
    return flat_row(record, description_columns(dimensions))


def test_the_default_dimensions_as_cells(make: Make) -> None:
    found = row(make(), *DEFAULT)
    known = {
        "description": "A woman shows a lipstick.", "description_confidence": 0.9,
        "description_category_level_1": "Beauty", "description_category_level_3": None,
        "description_category_level_1_confidence": 0.9,
        "description_category_level_3_confidence": None, "description_category_confidence": 0.8,
        "description_creative_ideas": "before and after | =speaks to the camera",
        "description_selling_points": "product: lipstick; claim: It stays on all day.",
        "description_brand_safety": None, "description_brand_safety_confidence": 0.9,
        "description_tone": None, "description_tone_confidence": None,
        "description_target_demographics_age": None,
        "description_model": "gpt-4o-2024-08-06", "description_refusal": None,
        "description_truncated": True, "description_evidence": 3,
        "description_evidence_found": 2, "description_requests": 2,
        "description_input_tokens": 1500, "description_output_tokens": 400,
        "description_cost_usd": 0.00775, "description_images": 1,
    }  # fmt: skip
    assert {name: found[name] for name in known} == known
    assert not any("evidence" in name for name in found.keys() - known.keys())


def test_a_refusal_has_its_reason_and_no_answers(make: Make) -> None:
    for reason, shown in (("I can't help with that.", "I can't help with that."), ("", "refusal")):
        refused = {"dimensions": {}, "refusal": {"kind": "refusal", "reason": reason}}
        found = row(make(describe=refused), *DEFAULT)
        assert found["description_refusal"] == shown
        assert found["description_evidence"] == 0
        assert found["description"] is None


def test_a_stage_without_a_value_leaves_all_empty(make: Make, failed: StageRecord) -> None:
    assert set(row(make(describe=failed), *DEFAULT).values()) == {None}


NESTED = dimension(
    "offer",
    "object",
    fields=[
        {"name": "price", "type": "number"},
        {"name": "codes", "type": "texts"},
        {"name": "seller", "type": "object",
         "fields": [{"name": "name"}, {"name": "known", "type": "boolean"},
                    {"name": "proof", "type": "evidence"}]},
        {"name": "parts", "type": "objects",
         "fields": [{"name": "what"}, {"name": "sizes", "type": "texts"},
                    {"name": "in_it", "type": "objects", "fields": [{"name": "of"}]}]},
        {"name": "proof", "type": "evidence"},
    ],
)  # fmt: skip


def test_an_object_has_a_column_per_field_and_what_is_deeper_is_text(make: Make) -> None:
    proof = {"source": "speech", "time_s": 1.0, "quote": "ten", "found": False}
    value = {
        "price": 10, "codes": ["A", "B"], "proof": [proof],
        "seller": {"name": "Ann", "known": True, "proof": [proof, proof]},
        "parts": [{"what": "cap", "sizes": ["S", "M"], "in_it": [{"of": "x"}, {"of": "y"}]},
                  {"what": None, "sizes": [], "in_it": []}, {"what": "lid"}],
    }  # fmt: skip
    found = row(make(describe={"dimensions": answers(offer=value)}), NESTED)
    assert list(found)[:5] == [
        "description_offer_price", "description_offer_codes", "description_offer_seller",
        "description_offer_parts", "description_offer_confidence",
    ]  # fmt: skip
    assert found["description_offer_price"] == 10.0
    assert found["description_offer_codes"] == "A | B"
    assert found["description_offer_seller"] == "name: Ann; known: true"
    assert found["description_offer_parts"] == (
        "what: cap; sizes: S, M; in_it: (of: x), (of: y) | what: lid"
    )
    assert (found["description_evidence"], found["description_evidence_found"]) == (3, 0)


@pytest.mark.parametrize(
    ("type_", "cell_type", "unit", "given", "shown"),
    [
        ("text", "text", None, "a", "a"),
        ("text", "text", None, "", None),
        ("text", "text", None, ["a", 1], '["a", 1]'),
        ("text", "text", None, "half \ud83d", "half ?"),
        ("texts", "text", None, "one", '"one"'),
        ("texts", "text", None, [], None),
        ("number", "number", None, 3, 3.0),
        ("number", "number", None, 10**400, None),
        ("number", "number", None, True, None),
        ("number", "number", None, "3", None),
        ("integer", "integer", None, 3, 3),
        ("integer", "integer", None, 3.5, None),
        ("integer", "integer", None, 2**63, None),
        ("integer", "integer", None, -(2**63), -(2**63)),
        ("integer", "integer", None, False, None),
        ("share", "number", "0-1", 0.25, 0.25),
        ("share", "number", "0-1", 1.01, None),
        ("boolean", "boolean", None, False, False),
        ("boolean", "boolean", None, 0, None),
    ],
)
def test_types_and_what_does_not_fit_them(
    make: Make, type_: str, cell_type: str, unit: str | None, given: Any, shown: Cell
) -> None:
    asked = dimension("mood", type_)
    column = description_columns([asked])[0]
    assert (column.type, column.unit) == (cell_type, unit)
    found = column.get(make(describe={"dimensions": answers(mood=given)}))
    assert found == shown
    assert type(found) is type(shown)


def test_a_record_of_other_dimensions_has_a_row(make: Make) -> None:
    old = answers(offer="ten euros", tone={"was": "an object"}, gone=1, category=["a", "list"])
    found = row(make(describe={"dimensions": old}), *DEFAULT, NESTED)
    assert found["description_tone"] == '{"was": "an object"}'
    assert found["description_offer_price"] is None
    assert found["description_offer_confidence"] == 0.5
    assert found["description_category_level_1"] is None
    assert not any("gone" in name for name in found)


FIELD_TYPES = ["text", "texts", "number", "integer", "share", "boolean", "choice", "choices",
               "object", "objects"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "source"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from(FIELD_TYPES))
def test_any_answer_is_a_cell_of_its_columns_type(value: Any, type_: str) -> None:
    choices = ["x"] if type_.startswith("choice") else []
    fields = [{"name": "a"}, {"name": "b", "type": "texts"}] if "object" in type_ else []
    cell = cell_of(value, field("it", type_, choices=choices, fields=fields))
    if cell is None:
        return
    expected = {"number": float, "share": float, "integer": int, "boolean": bool}.get(type_, str)
    assert type(cell) is expected
    if isinstance(cell, float):
        assert math.isfinite(cell)
    if isinstance(cell, str):
        assert cell
        cell.encode("utf-8")


@pytest.mark.parametrize(
    ("dimensions", "column", "named"),
    [
        ([dimension("model")], "description_model", ["model", "Reelscope's own"]),
        ([dimension("refusal")], "description_refusal", ["refusal"]),
        ([dimension("cost_usd", "number")], "description_cost_usd", ["cost_usd"]),
        (
            [dimension("category", "object", fields=[{"name": "confidence", "type": "share"}])],
            "description_category_confidence",
            ["category.confidence", "the confidence of category"],
        ),
        (
            [*DEFAULT, dimension("category_level_1")],
            "description_category_level_1",
            ["category.level_1", "category_level_1"],
        ),
        (
            [dimension("description"), dimension("confidence", "share")],
            "description_confidence",
            ["the confidence of description", "confidence"],
        ),
    ],
)
def test_two_columns_of_one_name_are_refused(
    dimensions: list[Dimension], column: str, named: list[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"named {column}: ") as error:
        columns(dimensions)
    assert all(name in str(error.value) for name in named)


def test_names_are_unique_beside_the_other_columns() -> None:
    names = [column.name for column in columns([*DEFAULT, NESTED])]
    assert len(set(names)) == len(names)


def test_a_column_says_what_was_asked_in_one_line() -> None:
    asked = dimension("x", instruction="Is it\n\n| a \x07joke? " + "word " * 300)
    meaning = description_columns([asked])[0].description
    assert meaning.startswith("Is it | a joke? word")
    assert len(meaning) <= LONGEST_MEANING
    assert meaning.endswith(" ...")
    assert in_short("No full stop") == "No full stop."
    assert in_short("Is it?") == "Is it?"
    assert description_columns([dimension("x", instruction=" ")])[0].description == (
        "The answer to x."
    )
    assert all(column.description for column in description_columns([NESTED]))


def test_hostile_answers_stay_cells_in_every_file(make: Make, tmp_path: Path) -> None:
    asked = [
        dimension("description"), dimension("notes", "texts"),
        dimension("points", "objects", fields=[{"name": "claim"}]),
        dimension("was_text", "texts"), dimension("half"),
    ]  # fmt: skip
    given = answers(
        description=HOSTILE, notes=["@SUM(1)", HOSTILE], points=[{"claim": HOSTILE}],
        was_text=HOSTILE, half="\t+1 \udfff",
    )  # fmt: skip
    refusal = {"kind": "refusal", "reason": HOSTILE}
    record = make(describe={"dimensions": given, "refusal": refusal, "model": HOSTILE})
    table = columns(asked)
    export_batch([record], tmp_path, table=table, settings={}, summary={}, dictionary="")
    export_creator([make(describe={"dimensions": answers(notes=["@SUM(1)"])})],
                   tmp_path / "anna", table=table)  # fmt: skip

    expected = flat_row(record, table)
    names = [name for name in expected if name.startswith("description")]
    with (tmp_path / "video_features_results.csv").open(newline="", encoding="utf-8") as file:
        (cells,) = csv.DictReader(file, strict=True)
    for name in names:
        assert cells[name] == csv_cell(expected[name])
        assert not cells[name].lstrip().startswith(("=", "+", "-", "@")), name
        assert not any(ord(c) < 32 or c in "\x7f\u2028" for c in cells[name]), name
    assert cells["description"].startswith("'=cmd|")
    assert cells["description_notes"].startswith("'@SUM(1) | =cmd")
    assert cells["description_half"] == "' +1 ?"
    (as_json,) = json.loads((tmp_path / "video_features_results.json").read_text("utf-8"))
    (as_parquet,) = pq.read_table(tmp_path / "video_features_results.parquet").to_pylist()
    for name in names:
        assert as_json[name] == as_parquet[name] == expected[name]
    assert as_json["description"] == HOSTILE
    with (tmp_path / "anna" / "anna.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["description_notes"] == "'@SUM(1)"
