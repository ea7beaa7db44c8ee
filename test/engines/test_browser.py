from __future__ import annotations

from pathlib import Path

import pytest

from reelscope.engines.browser import find_browser
from reelscope.errors import CrawlFailed


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def found(setting: str | None, root: Path, **more: str) -> Path:
    environ = {"PATH": str(root / "bin"), **more}
    return find_browser(Path(setting) if setting else None, environ=environ, home=root / "home")


def test_the_setting_wins_over_the_path(tmp_path: Path) -> None:
    mine = program(tmp_path / "opt" / "my-browser")
    program(tmp_path / "bin" / "chromium")
    assert found(str(mine), tmp_path) == mine


def test_the_setting_may_be_a_name_on_the_path(tmp_path: Path) -> None:
    brave = program(tmp_path / "bin" / "brave")
    assert found("brave", tmp_path) == brave


def test_a_setting_that_leads_nowhere_is_not_replaced_by_another_browser(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "chromium")
    with pytest.raises(CrawlFailed, match=r"tiktok\.browser") as error:
        found("/nowhere/chromium", tmp_path)
    assert error.value.fault == "no_browser"


def test_a_folder_or_a_text_file_is_no_browser(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("x")
    for name in ("folder", "text"):
        with pytest.raises(CrawlFailed, match="no program"):
            found(str(tmp_path / name), tmp_path)


def test_programs_on_the_path_come_before_playwrights_own(tmp_path: Path) -> None:
    program(tmp_path / "home/.cache/ms-playwright/chromium-1200/chrome-linux64/chrome")
    chrome = program(tmp_path / "bin" / "google-chrome")
    assert found(None, tmp_path) == chrome


def test_playwrights_newest_download_is_found(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for revision, folder in (
        (999, "chrome-linux"),
        (1200, "chrome-linux64"),
        (1100, "chrome-linux"),
    ):
        program(store / f"chromium-{revision}" / folder / "chrome")
    newest = store / "chromium-1200" / "chrome-linux64" / "chrome"
    assert found(None, tmp_path, PLAYWRIGHT_BROWSERS_PATH=str(store)) == newest


def test_where_there_is_none_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(CrawlFailed) as error:
        found(None, tmp_path)
    assert error.value.fault == "no_browser"
    assert "playwright install chromium" in error.value.remedy
    assert "apt install chromium" in error.value.remedy
