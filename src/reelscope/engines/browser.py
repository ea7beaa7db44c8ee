"""Finds a browser of Chromium's family: the setting, the PATH, Playwright's own download."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from reelscope.errors import CrawlFailed

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "microsoft-edge",
)  # fmt: skip
"""Of programs on the PATH, the first that is there."""

REMEDY = "apt install chromium, or playwright install chromium; or set tiktok.browser"

# Where Playwright keeps its downloads (playwright.dev, "Managing browser binaries").
_DOWNLOADS = {
    "linux": ".cache/ms-playwright",
    "darwin": "Library/Caches/ms-playwright",
    "win32": "AppData/Local/ms-playwright",
}
_WITHIN = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
    "chromium-*/chrome-win*/chrome.exe",
)


def find_browser(
    setting: Path | None, *, environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> Path:
    """The program to start.

    Args:
        setting: `tiktok.browser`: a path, or the name of a program on the PATH.
        environ: for PATH and PLAYWRIGHT_BROWSERS_PATH.
        home: folder below which Playwright keeps its downloads; None: the user's.

    Raises:
        CrawlFailed: there is none (no_browser), with the remedy.
    """
    path = environ.get("PATH", os.defpath)
    if setting is not None:
        if found := shutil.which(setting.expanduser(), path=path):
            return Path(found)
        message = f"tiktok.browser: {setting} is not there, or no program"
        raise CrawlFailed("no_browser", message, remedy=REMEDY)
    for name in NAMES:
        if found := shutil.which(name, path=path):
            return Path(found)
    for program in _downloaded(environ, home or Path.home()):
        return program
    message = "TikTok is asked through a browser, and there is no Chromium or Chrome here"
    raise CrawlFailed("no_browser", message, remedy=REMEDY)


def _downloaded(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Playwright's own, the newest first."""
    stated = environ.get("PLAYWRIGHT_BROWSERS_PATH")
    root = Path(stated) if stated else home / _DOWNLOADS.get(sys.platform, _DOWNLOADS["linux"])
    found = [path for pattern in _WITHIN for path in root.glob(pattern) if os.access(path, os.X_OK)]
    return sorted(found, key=_revision, reverse=True)


def _revision(path: Path) -> int:
    folder = next(part for part in path.parts if part.startswith("chromium-"))
    number = folder.removeprefix("chromium-")
    return int(number) if number.isdecimal() else 0
