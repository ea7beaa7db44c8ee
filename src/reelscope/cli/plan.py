"""`--dry-run`: what a call would do. Nothing is written."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table

from reelscope.cli.terminal import console, printable
from reelscope.errors import EngineUnavailable
from reelscope.pipeline.batch import Batch
from reelscope.pipeline.stage import Stage


def show_plan(batch: Batch) -> None:
    """Print creators, videos, stages with their engines, and what is in the way."""
    size_mb = sum(_size(source.path) for source in batch.sources) / 1e6
    console.print(
        f"batch {batch.batch_id}: {len(batch.creators)} creators, "
        f"{len(batch.sources)} videos, {size_mb:.1f} MB"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "would", "engine", "why"):
        table.add_column(column)
    for stage in batch.graph:
        verdict, why = _verdict(stage, batch)
        table.add_row(stage.name, verdict, stage.engine, why)
    console.print(table)
    for problem in batch.problems:
        console.print(f"note: {printable(problem.where)}: {printable(problem.message)}")
    console.print("Nothing was written.")


def _verdict(stage: Stage, batch: Batch) -> tuple[str, str]:
    """Whether the stage would run; its engine is really opened to know."""
    if stage.name not in batch.selected:
        return "be left out", "--only or --skip"
    absent = [name for name in stage.needs if name not in batch.selected]
    if absent:
        return "be skipped", f"it needs {', '.join(absent)} (unless an earlier run has it)"
    try:
        stage.open()
    except EngineUnavailable as error:
        return "be skipped", f"{error.reason} -> {error.remedy}"
    stage.close()
    return "run", ""


def _size(path: str | None) -> int:
    try:
        return Path(path).stat().st_size if path else 0
    except OSError:
        return 0
