"""docs/description.md says what the code does, where that can be looked up."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from reelscope import settings as settings_module
from reelscope.description.answer import answer_schema
from reelscope.description.chat import ChatRequest
from reelscope.description.cost import image_tokens
from reelscope.description.describe import DescribeStage
from reelscope.description.prompt import load_prompts, system_message
from reelscope.export.description import description_columns
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.plan import DESCRIBE
from reelscope.settings import Describe, FieldType, Settings

ASKED = Describe()
SCHEMA = answer_schema(ASKED.dimensions)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "description.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    path = repository / "scripts" / "show_request.py"
    spec = importlib.util.spec_from_file_location("show_request", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_prompt_and_schema_are_those_of_today(page: str, script: ModuleType) -> None:
    prompts = load_prompts()
    message = system_message(prompts, "describe_system", ASKED, ASKED.dimensions, schema=SCHEMA)
    again = "run the two commands below the schema in docs/description.md"
    assert f"[system]\n{message.parts[0]}\n[user]\n" in page, again
    assert script.schema_text(SCHEMA) in page, again
    mark = re.search(r"<<<VIDEO DATA (\w+)>>>\n(\{.*\})\n", page)
    assert mark, again
    begin, end = f"<<<VIDEO DATA {mark[1]}>>>", f"<<<END OF VIDEO DATA {mark[1]}>>>"
    user = prompts.render("describe_user", begin=begin, facts=mark[2], frames=True)
    assert user in page, again
    assert prompts.render("describe_closing", end=end) in page, again


def test_a_page_without_marks_is_not_written(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="two marks"):
        script.with_request("a page", ChatRequest("m", (), "text", None, 16))


def test_the_example_of_dimensions_gives_the_columns_that_it_names(
    page: str, tmp_path: Path
) -> None:
    example = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert example
    config = tmp_path / "config.yml"
    config.write_text(example[1], encoding="utf-8")
    dimensions = settings_module.load(config, environ={}).description.dimensions
    own = {c.name for c in description_columns(dimensions)}
    own -= {c.name for c in description_columns(())}
    for name in own - {"description", "description_confidence"}:
        assert f"`{name}`" in page, name
    assert '"enum": ["easy", "medium", "hard", null]' in re.sub(r"\s+", " ", page)
    assert answer_schema(dimensions)["properties"]["difficulty"]["properties"]["value"]["enum"] == [
        "easy", "medium", "hard", None,
    ]  # fmt: skip


def test_every_type_has_its_row(page: str) -> None:
    table = page[page.index("| type | answer | column |") : page.index("## Evidence")]
    named = set()
    for row in table.splitlines()[2:]:
        named |= set(re.findall(r"`([^`]+)`", row.split("|")[1])) if row.startswith("|") else set()
    assert named == set(get_args(FieldType))


def test_figures_of_costs_are_what_is_counted(page: str) -> None:
    stage = build_graph(Settings())[DESCRIBE]
    assert isinstance(stage, DescribeStage)
    most = stage.estimate(Settings().choose.max_frames)
    assert most.usd is not None
    assert most.english_usd is not None
    assert f"{most.images} images at detail low = {most.image_tokens} tokens" in page
    assert f"text {most.text_tokens:,} tokens" in page
    assert f"in English about {most.english_tokens:,})" in page
    assert f"at most ${6 * most.usd:.2f}" in page
    assert f"in English ${6 * most.english_usd:.2f}" in page

    price = ASKED.prices["gpt-4o"]
    flat = " ".join(page.split())
    assert f"85 + 6 x 170 = {image_tokens(1080, 1920, 'high', price)} tokens" in flat
    assert f"85 + 2 x 170 = {image_tokens(432, 768, 'high', price)} tokens" in flat
    assert f"at low detail {image_tokens(432, 768, 'low', price)}" in flat
