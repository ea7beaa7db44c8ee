"""`--dry-run`: what a call would do. Nothing is written."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table

from reelscope.cli.terminal import console, printable
from reelscope.engines.device import Devices
from reelscope.engines.weights import WeightStore, entry, installed
from reelscope.errors import EngineUnavailable
from reelscope.pipeline.batch import Batch
from reelscope.pipeline.stage import ReadsWeights, Stage


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
    with Devices(batch.settings.models.device).hold() as device:
        for stage in batch.graph:
            verdict, why = _verdict(stage, batch)
            table.add_row(stage.name, verdict, stage.engine, why)
    console.print(f"neural stages run on {device}")
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
        to_fetch = _to_fetch(stage, batch)
        if to_fetch:
            return "run if fetched", f"first fetches {to_fetch}; if that fails: {error.remedy}"
        return "be skipped", f"{error.reason} -> {error.remedy}"
    stage.close()
    better = _to_fetch(stage, batch)
    return "run", f"first tries to fetch what is better: {better}" if better else ""


def _to_fetch(stage: Stage, batch: Batch) -> str:
    """The weights that a run would try to fetch for this stage."""
    settings = batch.settings
    if settings.models.offline or not isinstance(stage, ReadsWeights):
        return ""
    store = WeightStore(settings.paths.models)
    lacking = [entry(name) for name in stage.weights if store.state(name) != "present"]
    if not all(installed(weights.package) for weights in lacking):
        return ""
    return ", ".join(f"{weights.name} ({weights.size_mb} MB)" for weights in lacking)


def _size(path: str | None) -> int:
    try:
        return Path(path).stat().st_size if path else 0
    except OSError:
        return 0
