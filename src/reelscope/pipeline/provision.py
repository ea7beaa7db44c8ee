"""Before a run: which weights its stages lack, and fetching them if their servers answer.

Asked once, for all videos: a server that does not answer within five seconds is not asked
again in the run, and the stages that need its weights are skipped with their remedy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from reelscope.engines.download import Downloader, answering
from reelscope.engines.weights import WeightStore, entry, installed, remedy
from reelscope.errors import DownloadFailed
from reelscope.pipeline.stage import ReadsWeights, Stage
from reelscope.settings import Settings

log = logging.getLogger(__name__)


class Fetching(Protocol):
    """Hears what is fetched: a progress bar."""

    def notice(self, text: str) -> None:
        """Something a person wants to know at once."""
        ...

    def moved(self, name: str, file: str, done: int, total: int | None) -> None:
        """So many bytes of a file of this set are here."""
        ...


class QuietFetching:
    """Writes notices to the log alone."""

    def notice(self, text: str) -> None:
        """Log it."""
        log.info("%s", text)

    def moved(self, name: str, file: str, done: int, total: int | None) -> None:
        """Nobody watches."""


def wanted_by(stages: Iterable[Stage]) -> dict[str, list[str]]:
    """Name of each set of weights -> the stages that read it under today's settings."""
    wanted: dict[str, list[str]] = {}
    for stage in stages:
        if isinstance(stage, ReadsWeights):
            for name in stage.weights:
                wanted.setdefault(name, []).append(stage.name)
    return wanted


def provide(stages: Iterable[Stage], settings: Settings, fetching: Fetching) -> None:
    """Fetch what these stages lack, as far as it can be had."""
    store = WeightStore(settings.paths.models)
    lacking = {
        name: users
        for name, users in wanted_by(stages).items()
        if store.state(name) != "present" and installed(entry(name).package)
    }
    if not lacking:
        return
    if settings.models.offline:
        _say_lacking(lacking, "models.offline is set", fetching)
        return
    downloader = Downloader(store, settings.models.hub)
    hosts = downloader.hosts(list(lacking))
    there = answering(list(hosts.values()))
    absent = {name: users for name, users in lacking.items() if hosts.get(name) not in there}
    for name in lacking.keys() - absent.keys():
        fetch(downloader, name, fetching)
    for host in sorted({hosts[name] for name in absent if name in hosts}):
        names = {name: users for name, users in absent.items() if hosts.get(name) == host}
        _say_lacking(names, f"{host} does not answer", fetching)


def fetch(downloader: Downloader, name: str, fetching: Fetching, *, force: bool = False) -> bool:
    """Fetch one set and say how it went. False: it did not come."""
    fetching.notice(f"fetching the weights {name}, about {entry(name).size_mb} MB")

    def progress(file: str, done: int, total: int | None) -> None:
        fetching.moved(name, file, done, total)

    try:
        downloader.pull(name, progress, force=force)
    except DownloadFailed as error:
        fetching.notice(f"the weights {name} did not come: {error}")
        return False
    return True


def _say_lacking(lacking: dict[str, list[str]], why: str, fetching: Fetching) -> None:
    stages = ", ".join(dict.fromkeys(user for users in lacking.values() for user in users))
    commands = remedy(" ".join(lacking))
    fetching.notice(f"{why}: weights for {stages} are not here; where there is a net: {commands}")
