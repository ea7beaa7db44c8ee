"""docs/crawling.md names what there is: settings with their defaults, kinds of faults, flags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import typer.main

from reelscope.cli.app import app
from reelscope.errors import CrawlFault
from reelscope.settings import Settings

DOC = Path(__file__).parents[1] / "docs" / "crawling.md"
TEXT = DOC.read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
SECTIONS = ("crawl", "tiktok", "music", "models")


def test_every_setting_that_is_named_is_there() -> None:
    defaults = Settings()
    named = re.findall(rf"`({'|'.join(SECTIONS)})\.(\w+)[`:]", WORDS)
    assert len(set(named)) > 15
    for section, key in named:
        assert key in type(getattr(defaults, section)).model_fields, f"{section}.{key}"


def test_defaults_in_brackets_are_those_of_the_settings() -> None:
    defaults = Settings()
    pattern = rf"`({'|'.join(SECTIONS)})\.(\w+)`(?: times| hours)? \((\d+)(?: s)?\)"
    stated = re.findall(pattern, WORDS)
    assert len(stated) >= 8
    for section, key, number in stated:
        assert float(number) == getattr(getattr(defaults, section), key), f"{section}.{key}"


def test_the_table_of_faults_is_complete() -> None:
    told = re.findall(r"^\| `(\w+)` \|", TEXT.partition("## When something fails")[2], re.MULTILINE)
    assert sorted(told) == sorted(get_args(CrawlFault))


def test_every_flag_that_is_named_is_there() -> None:
    command = typer.main.get_command(app)
    commands = [command, *_below(command)]
    known = {flag for each in commands for option in each.params for flag in option.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - {"--with-deps"}  # playwright's
    assert len(named) > 6
    assert named <= known


def _below(group: Any) -> list[Any]:
    found: list[Any] = []
    for command in getattr(group, "commands", {}).values():
        found += [command, *_below(command)]
    return found
