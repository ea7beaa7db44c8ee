"""`python main.py tiktok configure` and `check`: the token, the browser, one real listing."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from reelscope import settings as settings_module
from reelscope.atomic import write_atomic
from reelscope.cli import exit_codes
from reelscope.cli.terminal import console, printable
from reelscope.crawl.creators import Creator
from reelscope.errors import ConfigError, CrawlFailed, UsageError
from reelscope.settings import DEFAULT_CONFIG, Settings

VARIABLE = "TIKTOK_MS_TOKEN"
_SECTION = re.compile(r"tiktok:\s*(#.*)?$")
_QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\''
_KEY = re.compile(rf"(?P<indent>\s+)ms_token:\s*(?:{_QUOTED}|[^#]*?)\s*(?P<comment>#.*)?$")
_TOKEN = re.compile(r"[\x21-\x7e]{16,4096}")


def configure(config: Path | None, *, from_env: bool) -> int:
    """Write the token into the config file, which then only its owner can read."""
    path = config or DEFAULT_CONFIG
    token = (
        os.environ.get(VARIABLE, "")
        if from_env
        else getpass.getpass("ms_token (it is not shown): ")
    ).strip()
    if not token:
        raise UsageError(f"{VARIABLE} is not set" if from_env else "no token was given")
    if not _TOKEN.fullmatch(token):
        raise UsageError("that is no ms_token: 16 or more printable characters without blanks")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = with_token(before, token)
    _same_but_for_the_token(before, after, token)
    write_atomic(path, after, mode=0o600)
    console.print(f"{path} holds the token now; only you can read the file.")
    console.print("It is as good as a password: do not commit or share it.")
    console.print("Next: python main.py tiktok check")
    return 0


def with_token(text: str, token: str) -> str:
    """The config file with this token, all else and every comment as it was."""
    lines = text.splitlines()
    quoted = yaml.safe_dump(token, default_style='"', width=10_000).strip()
    where = next((at for at, line in enumerate(lines) if _SECTION.match(line)), None)
    if where is None:
        return (
            "\n".join([*lines, *([""] if lines else []), "tiktok:", f"  ms_token: {quoted}"]) + "\n"
        )
    at = where + 1
    while at < len(lines) and (not lines[at].strip() or lines[at][0] in " #"):
        if match := _KEY.match(lines[at]):
            comment = f"  {match['comment']}" if match["comment"] else ""
            lines[at] = f"{match['indent']}ms_token: {quoted}{comment}"
            return "\n".join(lines) + "\n"
        at += 1
    lines.insert(where + 1, f"  ms_token: {quoted}")
    return "\n".join(lines) + "\n"


def _same_but_for_the_token(before: str, after: str, token: str) -> None:
    """Hold the new text against the old one before anything is written."""
    try:
        old, new = yaml.safe_load(before) or {}, yaml.safe_load(after)
    except yaml.YAMLError:
        raise ConfigError("the config file is not YAML; correct it first") from None
    if not isinstance(old, dict):
        raise ConfigError("the config file is not made of sections; correct it first")
    wanted = {**old, "tiktok": {**(old.get("tiktok") or {}), "ms_token": token}}
    if new != wanted:
        raise ConfigError(
            "the config file is written in a way that is not understood; set it there"
        )


def check(config: Path | None, username: str) -> int:
    """Look at everything that the crawl needs, and list one video. Returns 0 or 1."""
    settings = settings_module.load(config)
    for line in _verdicts(settings, username):
        console.print(printable(line))
        if line.startswith("NO "):
            return exit_codes.NOTHING_SUCCEEDED
    return 0


def _verdicts(settings: Settings, username: str) -> Iterator[str]:
    from reelscope.engines.browser import find_browser
    from reelscope.engines.tiktokapi import TikTokApiSource

    if settings.tiktok.ms_token is None:
        yield f"NO token: python main.py tiktok configure, or export {VARIABLE}=..."
        return
    yield "ok token: set"
    try:
        yield f"ok browser: {find_browser(settings.tiktok.browser)}"
        source = TikTokApiSource(settings.tiktok, settings.crawl)
        source.open()
        try:
            videos = list(source.list_videos(Creator(username), since=None, limit=1))
        finally:
            source.close()
    except CrawlFailed as fault:
        yield f"NO {fault.fault}: {fault} -> {fault.remedy}"
        return
    if not videos:
        yield f"NO videos of {username}: none came, and no reason was given"
        return
    yield f"ok listing: {username} has posted {videos[0].url or videos[0].video_id}"
