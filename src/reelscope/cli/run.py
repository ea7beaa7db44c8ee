"""The main job and `analyze`: check the call, run it, show what came of it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from reelscope import settings as settings_module
from reelscope.cli import exit_codes
from reelscope.cli.fetching import FetchLines
from reelscope.cli.plan import show_plan
from reelscope.cli.progress import open_progress
from reelscope.cli.terminal import console, printable
from reelscope.cli.totals import show_totals
from reelscope.crawl.crawler import AUTO, FOLDER, no_videos
from reelscope.crawl.creators import Creator, read_creators
from reelscope.crawl.folder import file_videos, folder_videos
from reelscope.crawl.urls import read_urls
from reelscope.errors import UsageError
from reelscope.pipeline.afterwards import answers_wait
from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.crawl import SOURCES, CrawlPlan, import_plan, url_plan, wanted_of
from reelscope.pipeline.plan import Batch, Folders, plan_batch
from reelscope.pipeline.summary import Problem, Summary, spending
from reelscope.records import VideoSource
from reelscope.settings import Settings

INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Call:
    """The flags that the main job and `analyze` share."""

    config: Path | None
    batch_id: str | None
    dry_run: bool
    batch_size: int | None
    concurrency: int | None
    limit_per_creator: int | None
    describe: bool
    max_cost_usd: float | None
    only: str
    skip: str

    def settings(self) -> Settings:
        """Config, environment and these flags, checked."""
        return settings_module.load(
            self.config,
            flags={
                "processing.batch_size": self.batch_size,
                "processing.concurrency": self.concurrency,
                "processing.limit_per_creator": self.limit_per_creator,
                "description.enabled": self.describe or None,
                "description.max_cost_usd": self.max_cost_usd,
            },
        )


def call_of(params: Mapping[str, Any]) -> Call:
    """The shared flags out of all that a command was called with."""
    return Call(**{flag.name: params[flag.name] for flag in fields(Call)})


def creators(csv: Path, call: Call, *, source: str, since: str) -> int:
    """`python main.py --csv`: every creator's videos. Returns the exit code."""
    settings = call.settings()
    listed, problems = listed_creators(csv)
    plan = crawl_plan(csv, listed, problems, settings=settings, source=source, since=since)
    if plan.needed:
        return _go(call, settings, [], default_id=csv.stem, problems=problems, crawl=plan)
    root = Folders(settings.paths).videos
    sources: list[VideoSource] = []
    for creator in plan.creators:
        videos = folder_videos(root, creator)
        if not videos:
            fault = no_videos(root / creator.folder)
            problems.append(Problem(where=creator.username, message=f"{fault} -> {fault.remedy}"))
        sources += videos
    return _go(call, settings, sources, default_id=csv.stem, problems=problems)


def crawl_plan(
    csv: Path,
    listed: Sequence[Creator],
    problems: list[Problem],
    *,
    settings: Settings,
    source: str,
    since: str,
) -> CrawlPlan:
    """Whose videos come from where; who cannot be asked for joins the problems, by line."""
    plan = CrawlPlan(listed, wanted_of(settings, source, date_of(since)), settings)
    refused = {creator.username: (creator.line, why) for creator, why in plan.refused()}
    problems += [
        Problem(where=f"{csv}, line {line}", message=why) for line, why in refused.values()
    ]
    return replace(plan, creators=[one for one in listed if one.username not in refused])


def urls(path: Path, call: Call, *, since: str) -> int:
    """`python main.py --urls`: videos by address. Returns the exit code."""
    settings = call.settings()
    listed = read_urls(path)
    remarks = sorted((*listed.notes, *listed.problems), key=lambda remark: remark.line)
    problems = [Problem(where=f"{path}, line {r.line}", message=r.text) for r in remarks]
    plan = url_plan(listed.urls, settings, date_of(since))
    return _go(call, settings, [], default_id=path.stem, problems=problems, crawl=plan)


def imported(path: Path, call: Call, *, media: Path | None, fetch: bool) -> int:
    """`python main.py import`: posts that others have collected. Returns the exit code."""
    settings = call.settings()
    plan = import_plan(path, media, settings, fetch=fetch)
    return _go(call, settings, [], default_id=path.stem, problems=[], crawl=plan)


def listed_creators(csv: Path) -> tuple[Sequence[Creator], list[Problem]]:
    """The creators of a CSV, and what there is to say of its lines."""
    listed = read_creators(csv)
    remarks = sorted((*listed.notes, *listed.problems), key=lambda remark: remark.line)
    problems = [Problem(where=f"{csv}, line {r.line}", message=r.text) for r in remarks]
    known = ("", AUTO, FOLDER, *SOURCES)
    for creator in listed.creators:
        if creator.source not in known:
            said = f"there is no source {creator.source!r}; one of {', '.join(known[1:])}"
            problems.append(Problem(where=f"{csv}, line {creator.line}", message=said))
    return [creator for creator in listed.creators if creator.source in known], problems


def date_of(text: str) -> datetime | None:
    """A day, or a day with a time, ISO 8601; UTC unless it says otherwise. Empty: None."""
    if not text.strip():
        return None
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"--since: {text!r} is no date; write it as 2026-05-31") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def files(paths: Sequence[Path], call: Call) -> int:
    """`python main.py analyze`: these files and folders. Returns the exit code."""
    settings = call.settings()
    sources = file_videos(paths)
    return _go(call, settings, sources, default_id=paths[0].resolve().stem, problems=[])


def _go(
    call: Call,
    settings: Settings,
    sources: list[VideoSource],
    *,
    default_id: str,
    problems: list[Problem],
    crawl: CrawlPlan | None = None,
) -> int:
    batch = plan_batch(
        sources,
        settings,
        batch_id=call.batch_id,
        default_id=default_id,
        only=_names(call.only),
        skip=_names(call.skip),
        problems=problems,
    )
    if call.dry_run:
        show_plan(batch, crawl)
        return 0
    if not batch.sources and crawl is None:
        for problem in problems:
            console.print(f"{printable(problem.where)}: {printable(problem.message)}")
        raise UsageError("there is no video to analyse")
    with log_file(settings):
        return _execute(batch, crawl)


def _execute(batch: Batch, crawl: CrawlPlan | None) -> int:
    summary, batch = execute(batch, crawl)
    show_totals(summary, batch)
    return exit_code(summary, batch)


def execute(
    batch: Batch, crawl: CrawlPlan | None = None, *, shown: bool = True
) -> tuple[Summary, Batch]:
    """Run a batch until its end or Ctrl-C.

    Args:
        batch: what is asked for.
        crawl: what is still to be fetched.
        shown: whether how far it is stands on stderr.

    Returns:
        what came of it, and the batch with the videos that were fetched.
    """
    if not shown:
        run = BatchRun(batch, crawl=crawl)
        with interrupts(run.stop):
            return run.run(), run.batch
    spent = partial(spending, batch.graph, batch.selected)
    with open_progress(len(batch.sources), spent) as progress:
        run = BatchRun(batch, [progress], FetchLines(), crawl, progress)
        with interrupts(run.stop):
            return run.run(), run.batch


def exit_code(summary: Summary, batch: Batch) -> int:
    """What the process ends with: 0, 1 or 130."""
    if summary.stopped == INTERRUPTED:
        return exit_codes.INTERRUPTED
    if summary.stopped or (summary.nothing_succeeded and not answers_wait(batch)):
        return exit_codes.NOTHING_SUCCEEDED
    return 0 if summary.videos else exit_codes.NOTHING_SUCCEEDED  # a crawl that gave nothing


@contextmanager
def interrupts(stop: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once: finish what is running and save. Twice: leave now."""
    asked = False

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(exit_codes.INTERRUPTED)
        asked = True
        stop(INTERRUPTED)
        print("\nfinishing what is running; press Ctrl-C again to leave now", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


class _OneLine(logging.Formatter):
    """Control characters from file names and captions cannot forge log lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (stdlib's name)
        record.message = printable(record.message)
        return super().formatMessage(record)


@contextmanager
def log_file(settings: Settings) -> Iterator[None]:
    """Everything the package logs goes to `logs/processing_logs.txt`."""
    settings.paths.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(settings.paths.logs / "processing_logs.txt", encoding="utf-8")
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("reelscope")
    logger.addHandler(handler)
    logger.setLevel(settings.logging.level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
