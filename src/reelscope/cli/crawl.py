"""`python main.py crawl`: the videos of creators, onto this disk and no further."""

from __future__ import annotations

import threading
from pathlib import Path

from reelscope import settings as settings_module
from reelscope.cli import exit_codes
from reelscope.cli.progress import open_progress
from reelscope.cli.run import crawl_plan, interrupts, listed_creators, log_file
from reelscope.cli.terminal import console, printable
from reelscope.cli.totals import crawl_line
from reelscope.pipeline.crawl import Listeners
from reelscope.pipeline.plan import Folders
from reelscope.pipeline.summary import CrawlTally


def crawl(csv: Path, config: Path | None, *, limit: int | None, source: str, since: str) -> int:
    """Fetch what is wanted. Returns 0 if any file is here, else 1."""
    settings = settings_module.load(config, flags={"processing.limit_per_creator": limit})
    creators, problems = listed_creators(csv)
    plan = crawl_plan(csv, creators, problems, settings=settings, source=source, since=since)
    notes = [(problem.where, problem.message) for problem in problems]
    tally, stopped = CrawlTally(lambda *note: notes.append(note)), threading.Event()
    here = 0
    with log_file(settings), open_progress(0) as progress:
        crawler = plan.crawler(Listeners(tally, progress))

        def stop(_reason: str) -> None:
            stopped.set()
            crawler.stop()

        with interrupts(stop):
            for video in crawler.crawl(plan.creators, plan.wanted):
                here += video.path is not None
                progress.ended += 1
                progress.show()
    console.print(crawl_line(tally.summary()))
    for where, message in notes:
        console.print(f"note: {printable(where)}: {printable(message)}")
    console.print(f"Videos   {Folders(settings.paths).videos}/<creator>/")
    if stopped.is_set():
        return exit_codes.INTERRUPTED
    return 0 if here else exit_codes.NOTHING_SUCCEEDED
