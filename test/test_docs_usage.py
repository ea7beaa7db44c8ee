"""README.md and docs/usage.md call the program as it can be called."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from reelscope.cli.app import app
from reelscope.records import STAGE_VALUES

REPOSITORY = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/usage.md", "docs/crawling.md", "docs/description.md")
COMMAND = typer.main.get_command(app)


def text(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def calls(page: str) -> list[str]:
    """What stands after `python main.py` in the code of a page, comments left out."""
    shown = re.findall(r"^(?: {4}|\$ )python main\.py ?(.*)$", text(page), re.MULTILINE)
    return [line.partition(" #")[0].strip() for line in shown]


def parse(line: str) -> None:
    """As the command line does, without running anything."""
    words = [word for word in shlex.split(line) if word != "..."]
    command: Any = COMMAND
    while isinstance(command, typer.core.TyperGroup):
        context = command.make_context("main.py", words)
        words = [*context._protected_args, *context.args]
        if not words:
            return
        _, command, words = command.resolve_command(context, words)
    command.make_context("main.py", words)


@pytest.mark.parametrize("page", PAGES)
def test_every_call_that_is_shown_can_be_made(page: str) -> None:
    for line in calls(page):
        parse(line)


def test_wrong_calls_would_be_noticed() -> None:
    assert len(calls("README.md")) >= 8
    assert len(calls("docs/usage.md")) >= 15
    for wrong in ("--csw x.csv", "analyse x.mp4", "music identfy a.wav", "--source elsewhere"):
        with pytest.raises(Exception, match=r"(?i)no such|not one of"):
            parse(wrong)


def test_the_table_of_flags_is_that_of_help() -> None:
    part = text("docs/usage.md").partition("## The main job's flags")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(--[a-z-]+)", part, re.MULTILINE)
    known = [flag for option in COMMAND.params for flag in option.opts if flag.startswith("--")]
    assert sorted(told) == sorted(set(known) - {"--help"})


def test_the_table_of_commands_is_that_of_help() -> None:
    told = re.findall(r"^\| `python main\.py ([a-z]+)`", text("docs/usage.md"), re.MULTILINE)
    assert isinstance(COMMAND, typer.core.TyperGroup)
    assert sorted(told) == sorted(COMMAND.commands)


def test_the_readme_names_every_stage_once() -> None:
    part = text("README.md").partition("## What it finds")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(STAGE_VALUES)


def test_make_knows_what_the_readme_calls() -> None:
    makefile = text("Makefile")
    for page in PAGES:
        for target in re.findall(r"^ {4}make (\S+)", text(page), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"


def test_docker_is_called_with_services_and_files_that_are_there() -> None:
    services = yaml.safe_load(text("docker-compose.yml"))["services"]
    calls = re.findall(r"^ {4}docker compose (.+)$", text("README.md"), re.MULTILINE)
    assert len(calls) == 3
    for line in calls:
        words = shlex.split(line.partition(" #")[0])
        for flag, value in pairwise(words):
            assert flag != "-f" or (REPOSITORY / value).is_file(), value
            assert flag != "--rm" or value in services, value
