"""The data dictionary says everything that the files say, and nothing else."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from reelscope.description.creator_summary import CreatorAnswer, CreatorDescription
from reelscope.description.exchange import Exchange, SavedAnswer, Turn
from reelscope.export.batch import ErrorRow, export_batch
from reelscope.export.columns import columns
from reelscope.export.dictionary import keys, render
from reelscope.export.video import VIDEO_FILES, export_video
from reelscope.pipeline.summary import Summary
from reelscope.records import (
    LATER_VALUES,
    STAGE_VALUES,
    Refusal,
    SentImage,
    StageRecord,
    Usage,
    VideoRecord,
)
from reelscope.settings import Describe, Dimension

Make = Callable[..., VideoRecord]
DIMENSIONS = Describe().dimensions
COLUMNS = columns(DIMENSIONS)
MODELS = [
    ErrorRow, VideoRecord, Summary, *STAGE_VALUES.values(), *LATER_VALUES.values(),
    *VIDEO_FILES.values(), Exchange, CreatorDescription,
]  # fmt: skip

WITHOUT_UNIT = {
    "score", "sharpness", "colourfulness", "blurred_below", "rate_variation", "syllables_per_word",
    "real_time_factor", "avg_logprob", "compression_ratio", "time_skew", "frequency_skew",
    "similarity", "threshold", "tempo", "pitch",
}  # fmt: skip
"""Numbers that are a plain ratio or a scale of their own."""


def paths(data: Any, above: str = "") -> Iterator[str]:
    """Every key in a JSON value, as the dictionary writes it."""
    if isinstance(data, list):
        for item in data:
            yield from paths(item, f"{above}[]")
    elif isinstance(data, dict):
        for key, value in data.items():
            path = f"{above}.{key}" if above else key
            yield path
            yield from paths(value, path)


def known(heading: str, page: str) -> set[str]:
    """The keys or columns of the table below a heading."""
    section = page[page.index(f"\n{heading}") :].split("\n#", 2)[1]
    return set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))


def assert_explained(data: Any, table: set[str]) -> None:
    keys_of = [re.sub(r"(\[\])+$", "", path) for path in table]
    holders = [re.sub(r"\.<\w+>$", "", path) for path in keys_of]
    patterns = [re.sub(r"<\w+>", "[a-z_]+", re.escape(path)) for path in (*keys_of, *holders)]
    for path in set(paths(data)):
        assert any(re.fullmatch(pattern, path) for pattern in patterns), path


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "data-dictionary.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_code_says(page: str) -> None:
    assert page == render(Summary, DIMENSIONS), "run: python scripts/make_dictionary.py"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_described_and_every_number_has_a_unit(model: Any) -> None:
    for key in keys(model):
        name = re.sub(r"[.\[].*", "", key.path.rsplit(".", 1)[-1])
        assert key.description, key.path
        if key.type.startswith(("number", "list of number")) and name not in WITHOUT_UNIT:
            assert key.unit, key.path


def test_the_page_has_exactly_the_columns(page: str) -> None:
    assert known("## Columns", page) == {column.name for column in COLUMNS}
    assert known("## errors.csv", page) == set(ErrorRow.model_fields)


def test_every_key_of_a_record_is_explained(make: Make, failed: StageRecord, page: str) -> None:
    record = make()
    data = json.loads(record.with_stage("text", failed).model_dump_json())
    for stage in data["stages"].values():
        stage["value"] = None
    data["source"]["platform"] = json.loads(record.model_dump_json())["stages"]["platform"]["value"]
    assert_explained(data, known("## record.json", page))
    for name, stage in json.loads(record.model_dump_json())["stages"].items():
        assert_explained(
            stage["value"],
            known(f"### {'Entry' if name in LATER_VALUES else 'Stage'} `{name}`", page),
        )


def test_every_key_of_the_other_files_is_explained(
    make: Make, failed: StageRecord, page: str, tmp_path: Path
) -> None:
    export_video(make(), tmp_path)
    for name in VIDEO_FILES:
        assert_explained(json.loads((tmp_path / name).read_text()), known(f"### {name}", page))
    export_video(make(voice=failed), tmp_path)
    audio = "audio_analysis_results.json"
    assert_explained(json.loads((tmp_path / audio).read_text()), known(f"### {audio}", page))

    failing = [make(voice=failed)]
    export_batch(failing, tmp_path, table=COLUMNS, settings={}, summary={}, dictionary=page)
    for name, heading in {
        "errors.csv": "## errors",
        "video_features_results.csv": "## Col",
    }.items():
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            assert set(csv.DictReader(file).fieldnames or ()) == known(heading, page)


def test_every_key_of_what_was_asked_is_explained(page: str) -> None:
    image = SentImage(time_s=1.0, file="a.jpg", width=9, height=9, bytes_before=9, bytes_after=9)
    answer = SavedAnswer(
        text="{}", model="m", finish="stop", refusal=None, input_tokens=1, cached_input_tokens=0,
        output_tokens=1, received_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    asked = Exchange(
        engine="e",
        key="k",
        images=(image,),
        words={"speech": ((1.0, "hello"), (None, "again"))},
        turns=(Turn(key="k", mode="live", request=None, answer=answer),),
    )
    creator = CreatorDescription(
        creator="c",
        videos=1,
        model="m",
        dimensions={"tone": CreatorAnswer(value=["calm"], confidence=0.5)},
        refusal=Refusal(kind="refusal", reason="no"),
        usage=Usage(
            requests=1, input_tokens=1, cached_input_tokens=0, output_tokens=1, cost_usd=0.1
        ),
    )
    for model, name in ((asked, "description_requests"), (creator, "creator_description")):
        data = json.loads(model.model_dump_json())
        assert_explained(data, known(f"### {name}.json", page))
    assert "[number or null, text]" in page, "a pair is not a list of one type"


def test_a_key_that_nobody_explained_is_noticed(page: str) -> None:
    with pytest.raises(AssertionError, match="secret"):
        assert_explained({"segments": [{"secret": 1}]}, known("### Stage `voice`", page))


def test_a_dimension_of_ones_own_is_explained(make: Make) -> None:
    fields = [{"name": "grade", "type": "integer", "optional": True},
              {"name": "proof", "type": "evidence"},
              {"name": "parts", "type": "objects", "fields": [{"name": "what"}]}]  # fmt: skip
    offer = Dimension.model_validate(
        {"name": "offer", "type": "object", "instruction": "What | is `offered`?", "fields": fields}
    )
    mood = Dimension.model_validate(
        {"name": "mood", "type": "choices", "choices": ["a | b", "c\\|d"], "optional": True}
    )
    page = render(Summary, [offer, mood])
    assert {"description_offer_grade", "description_offer_parts", "description_mood"} <= (
        known("## Columns", page)
    )
    assert "description_tone" not in page
    section = known("### Stage `describe`", page)
    answers = {path for path in section if path.startswith(("dimensions.offer", "dimensions.mood"))}
    proof = {f"dimensions.offer.value.proof[]{end}" for end in ("", ".source", ".time_s", ".quote",
                                                                ".found")}  # fmt: skip
    assert answers - proof == {
        "dimensions.offer.value", "dimensions.offer.value.grade", "dimensions.offer.value.parts[]",
        "dimensions.offer.value.parts[].what", "dimensions.mood.value[]",
    }  # fmt: skip
    assert proof <= answers
    (grade,) = (line for line in page.splitlines() if "`dimensions.offer.value.grade`" in line)
    assert grade == "| `dimensions.offer.value.grade` | integer or null |  | Grade. |"

    html = MarkdownIt("gfm-like", {"linkify": False}).render(page)
    rows = [line for line in html.split("<tr>") if "dimensions.mood.value" in line]
    assert rows[0].count("<td>") == 4
    assert "<code>a | b</code>" in rows[0]
    assert "<td>What | is <code>offered</code>?</td>" in html


def test_default_and_own_page_agree_but_for_the_dimensions() -> None:
    page, own = render(Summary, DIMENSIONS), render(Summary, DIMENSIONS[:1])
    assert own.splitlines()[:20] == page.splitlines()[:20]
    assert set(own.splitlines()) <= set(page.splitlines())
