"""scripts/image_check.py: what it says where it cannot run, and how it compares."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def check(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "image_check", repository / "scripts/image_check.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["image_check"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_it_says_what_it_needs(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, repository / "scripts/image_check.py", "--cache", tmp_path]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt install buildah debootstrap git" in done.stderr


def test_what_differs_is_named(check: ModuleType) -> None:
    ours = {"stages": {"voice": {"status": "ok", "seconds": 1.0, "value": {"a": [1, 2.0]}}}}
    theirs = {"stages": {"voice": {"status": "failed", "seconds": 2.0, "value": {"a": [1, 2.1]}}}}
    assert list(check.differences(ours, theirs)) == [
        ".stages.voice.status: ok outside, failed inside",
        ".stages.voice.value.a[1]: 2.0 outside, 2.1 inside",
    ]
    assert list(check.differences(ours, {"stages": {}}))
    assert list(check.differences([1, 2], [1])) == [": [1, 2] outside, [1] inside"]


def test_times_and_the_last_digit_may_differ(check: ModuleType) -> None:
    ours = {"finished_at": "2026-01-01", "value": 0.123456789}
    theirs = {"finished_at": "2026-02-02", "value": 0.123456788}
    assert list(check.differences(ours, theirs)) == []


def test_what_must_not_be_in_an_image_is_found(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    assert check.marked(tmp_path) == []
    (tmp_path / "app/.env").write_text("X=1\n")
    (tmp_path / "opt").write_text(check.MARK)
    assert sorted(check.marked(tmp_path)) == [str(tmp_path / "app/.env"), str(tmp_path / "opt")]
