"""What is shown at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from reelscope.cli.terminal import console, printable
from reelscope.pipeline.plan import Batch
from reelscope.pipeline.summary import CrawlSummary, FailureGroup, StageSummary, Summary

SHOWN_GROUPS = 8
SHOWN_NOTES = 40


def show_totals(summary: Summary, batch: Batch) -> None:
    """The table of stages, what failed, and where the results are."""
    console.print(_table(summary))
    console.print(_headline(summary))
    if summary.crawl:
        console.print(crawl_line(summary.crawl))
    for line in _spending(summary):
        console.print(line)
    _show_groups("Failures", summary.failures)
    _show_groups("Would help", summary.remedies)
    for problem in summary.problems[:SHOWN_NOTES]:
        console.print(f"note: {printable(problem.where)}: {printable(problem.message)}")
    if len(summary.problems) > SHOWN_NOTES:
        console.print(f"note: and {len(summary.problems) - SHOWN_NOTES} more, see summary.json")
    folders = batch.folders
    console.print(f"Results  {folders.batch(batch.batch_id)}/video_features_results.csv")
    console.print(f"         {folders.records}/<creator>/report.html")
    console.print(f"Frames   {folders.frames}/<video_id>/")
    if summary.stopped:
        console.print(f"Stopped: {printable(summary.stopped)}. The same call goes on from here.")


def _table(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("ok", "skipped", "failed", "earlier", "seconds", "x real time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("engine", style="dim")
    for name, stage in summary.stages.items():
        table.add_row(name, *_cells(stage))
    return table


def _cells(stage: StageSummary) -> tuple[str, ...]:
    factor = stage.real_time_factor
    return (
        str(stage.ok),
        str(stage.skipped),
        str(stage.failed),
        str(stage.reused),
        f"{stage.seconds:.1f}",
        f"{factor:.0f}" if factor and factor >= 10 else f"{factor:.1f}" if factor else "-",
        stage.engine,
    )


def _headline(summary: Summary) -> str:
    parts = [f"{summary.videos_ended} of {summary.videos} videos of {summary.creators} creators"]
    parts.append(f"{summary.seconds:.1f} s")
    if summary.videos_per_minute:
        parts.append(f"{summary.videos_per_minute:.1f} videos/min")
    if summary.stage_results_from_earlier_run:
        parts.append(
            f"{summary.videos_from_earlier_run} videos and "
            f"{summary.stage_results_from_earlier_run} stage results from earlier run"
        )
    parts.append(f"{summary.videos_with_failures} with failures")
    return ", ".join(parts)


def crawl_line(crawl: CrawlSummary) -> str:
    """What was fetched, in a line."""
    parts = [
        f"crawl: {crawl.creators} creators, {crawl.listed} videos listed",
        f"{crawl.fetched} fetched, {crawl.earlier} here already",
        *(f"{count} x {fault.replace('_', ' ')}" for fault, count in crawl.failures.items()),
    ]
    return ", ".join(parts)


def _spending(summary: Summary) -> Iterator[str]:
    """What was paid for in this run, a line per stage."""
    for name, stage in summary.stages.items():
        if (spent := stage.spent) and spent.requests:
            cost = "no price known" if spent.cost_usd is None else f"${spent.cost_usd:.4f}"
            yield (
                f"{name}: {spent.requests:,} requests, {spent.input_tokens:,} tokens read "
                f"({spent.cached_input_tokens:,} cached), {spent.output_tokens:,} written, {cost}"
            )
    if summary.videos_refused:
        yield f"{summary.videos_refused:,} videos that a model would not describe"


def _show_groups(title: str, groups: tuple[FailureGroup, ...]) -> None:
    for group in groups[:SHOWN_GROUPS]:
        remedy = f" -> {group.remedy}" if group.remedy else ""
        console.print(
            f"{title}: {group.count} x {group.stage} ({group.kind}): "
            f"{printable(group.message)}{remedy}"
        )
    if len(groups) > SHOWN_GROUPS:
        console.print(f"{title}: and {len(groups) - SHOWN_GROUPS} more sorts, see errors.csv")
