"""`tiktok configure`: the token in the config file, and nothing else changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reelscope.cli.tiktok_access import configure, with_token
from reelscope.errors import ConfigError, UsageError
from reelscope.settings import load

TOKEN = "abcDEF-123_x=#'\"" + "0" * 20


def test_the_committed_config_keeps_every_comment(repository: Path) -> None:
    before = (repository / "config" / "config.yml").read_text(encoding="utf-8")
    after = with_token(before, TOKEN)
    assert yaml.safe_load(after)["tiktok"]["ms_token"] == TOKEN
    old, new = before.splitlines(), after.splitlines()
    changed = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][0].partition("#")[2] in changed[0][1], "its comment stays too"


@pytest.mark.parametrize(
    "before",
    ["", "media: {cache_mb: 1}\n", "tiktok:\n", "tiktok:  # mine\n  # a note\n  headless: true\n",
     "tiktok:\n\n  ms_token: old # c\nmedia:\n  cache_mb: 1", "media:\n  cache_mb: 1\ntiktok:\n"],
)  # fmt: skip
def test_files_of_all_sorts(before: str) -> None:
    after = with_token(before, TOKEN)
    old = yaml.safe_load(before) or {}
    inner = {**(old.get("tiktok") or {}), "ms_token": TOKEN}
    assert yaml.safe_load(after) == {**old, "tiktok": inner}
    assert with_token(after, TOKEN) == after


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=80))
def test_any_token_comes_back(token: str) -> None:
    after = with_token("tiktok:\n  ms_token: null  # Cookie.\n", token)
    assert yaml.safe_load(after) == {"tiktok": {"ms_token": token}}


def test_the_file_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOK_MS_TOKEN", TOKEN)
    path = tmp_path / "config.yml"
    path.write_text("media:\n  cache_mb: 1  # small\n")
    assert configure(path, from_env=True) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "# small" in path.read_text()
    token = load(path, environ={}).tiktok.ms_token
    assert token is not None
    assert token.get_secret_value() == TOKEN


@pytest.mark.parametrize("token", ["", "short", "with blanks in it 123456", "ä" * 30])
def test_what_is_no_token_is_refused(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOK_MS_TOKEN", token)
    with pytest.raises(UsageError):
        configure(tmp_path / "c.yml", from_env=True)
    assert not (tmp_path / "c.yml").exists()


@pytest.mark.parametrize("before", ["tiktok: {headless: true}\n", "[1, 2]\n", "a: [\n"])
def test_a_file_that_is_not_understood_is_left_alone(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOK_MS_TOKEN", TOKEN)
    path = tmp_path / "c.yml"
    path.write_text(before)
    with pytest.raises(ConfigError):
        configure(path, from_env=True)
    assert path.read_text() == before
