"""docs/music.md says what the code does, where that can be looked up."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import math
import re
import shlex
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.main import get_command

from reelscope.cli.app import app
from reelscope.music import confidence, fingerprint, identify, match_engines, search
from reelscope.settings import Settings

MUSIC = Settings().music


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "music.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def flat(page: str) -> str:
    return " ".join(page.split())


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    path = repository / "scripts" / "show_music.py"
    spec = importlib.util.spec_from_file_location("show_music", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_and_flags_are_there(page: str) -> None:
    shown = re.findall(r"^\$ python main\.py (music .+)$", page, flags=re.MULTILINE)
    shown += re.findall(r"`(music [a-z]+[^`]*)`", page)
    assert len(shown) > 15
    for line in shown:
        command = get_command(app)
        words = shlex.split(line.replace("...", ""))
        if re.match(r"music\.", line):
            continue
        while isinstance(command, typer.core.TyperGroup):
            assert words and words[0].strip(",") in command.commands, line
            command = command.commands[words.pop(0).strip(",")]
        flags = {name for parameter in command.params for name in parameter.opts}
        for word in words:
            assert not word.startswith("--") or word in flags, line


def test_examples_import_what_there_is(page: str) -> None:
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module}.{name.name}"


def test_outputs_can_be_made_again(page: str, script: ModuleType) -> None:
    asked: list[list[str]] = []

    def ask(words: list[str]) -> str:
        asked.append(words)
        return "new\n"

    again = script.with_outputs(page, ask)
    commands = re.findall(r"^\$ (.+)$", page, flags=re.MULTILINE)
    assert [shlex.join(w) for w in asked if w[:2] != ["python", "-c"]] == commands
    assert sum(w[:2] == ["python", "-c"] for w in asked) == page.count("```python")
    assert again.count("new\n```") == len(asked) == page.count("```text")
    assert script.with_outputs(again, ask) == again  # nothing else of the page is touched
    before = re.sub(r"```text\n(\$ .+\n)?(.*\n)*?```", "", page)
    assert re.sub(r"```text\n(\$ .+\n)?(.*\n)*?```", "", again) == before


def test_a_stranger_with_a_name_is_no_output_to_show(page: str, script: ModuleType) -> None:
    assert script.names_the_stranger(page) is None
    named = page.replace("clips/unknown.wav: no track of the library is in it", "X")
    assert named != page
    line = "clips/unknown.wav: 0:00-0:12 of the clip is 0:05.0-0:17.0 of Rooftops"
    assert script.names_the_stranger(named.replace("X", line)) == line


def test_figures_of_the_search_are_those_of_the_code(flat: str) -> None:
    assert (
        f"at {fingerprint.RATE_HZ // 1000} kHz; a spectrum of {fingerprint.FRAME} samples" in flat
    )
    assert f"every {fingerprint.HOP} ({1000 / fingerprint.FRAMES_PER_S:.0f} ms)" in flat
    assert f"{fingerprint.PEAKS_PER_S} a second of a track" in flat
    assert f"as {search.SLOWEST} to {search.FASTEST} times as fast" in flat
    assert f"tempo changed by up to {search.WIDEST_TEMPO - 1:.0%}".replace("%", " %") in flat
    assert f"pitch moved by up to {12 * math.log2(search.WIDEST_PITCH):.1f} semi" in flat
    assert f"Clips under {identify.SHORTEST_S:.0f} s get no answer" in flat
    assert f"Clips over {identify.WHOLE_S:.0f} s are looked at in windows" in flat
    assert f"in windows of {identify.WINDOW_S:.0f} s" in flat
    assert MUSIC.library.false_positive_rate == confidence.FALSE_POSITIVE_RATE == 1e-4
    assert "`music.library.false_positive_rate`, one clip in 10,000" in flat


def test_a_similarity_of_95_is_what_the_page_says(flat: str) -> None:
    at_rate = confidence.threshold(1e-4)
    assert confidence.similarity(at_rate) == pytest.approx(95)
    assert confidence.similarity(at_rate + 1) > 95 > confidence.similarity(at_rate - 1)
    assert "95 is the place where one of 10,000 videos that have no campaign's track" in flat
    warned = re.findall(r"61 of 64 queries|98\.8 %|1,440", match_engines.DTW_WARNING)
    assert len(warned) == 3
    assert all(figure in flat for figure in warned)


def test_settings_are_those_of_today(flat: str) -> None:
    own = MUSIC.originals
    assert own.decide_by == "calibrated"
    assert own.false_positive_rate == 1e-4
    assert f"`segment_s` ({own.segment_s:.0f} s)" in flat
    assert f"`merge_frames` ({own.merge_frames})" in flat
    assert (
        f"from `share` ({own.share:.0%}) and `min_hashes` ({own.min_hashes})".replace("%", " %")
        in flat
    )
    same = MUSIC.dedupe
    for name, least in (
        ("identical", same.identical),
        ("same content", same.same_content),
        ("related version", same.related),
    ):
        assert f"| {name} | {least:.2f} |" in flat
    assert f"with a confidence of {same.least_confidence}" in flat
    assert f"overlap in {same.join_coverage} of the longer one" in flat
    assert f"`music.dedupe.most_files` ({same.most_files})" in flat
    assert f"`music.groups.share` ({MUSIC.groups.share})" in flat


def test_every_setting_that_is_named_is_there(page: str) -> None:
    named = set(re.findall(r"`music\.([a-z_.]+)", page))
    assert len(named) > 8
    for name in named:
        value: object = MUSIC
        for step in name.split("."):
            value = getattr(value, step)


def test_the_sql_function_is_called_like_this(flat: str) -> None:
    sql = files("reelscope.store").joinpath("find_fingerprint_candidates.sql").read_text("utf-8")
    head = " ".join(sql[sql.index("find_fingerprint_candidates(\n") :].split())
    head = head[: head.index(" LANGUAGE")].replace(") RETURNS", ") RETURNS")
    assert head in flat


def test_links_lead_somewhere(page: str, repository: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (repository / "docs" / link).exists(), link
