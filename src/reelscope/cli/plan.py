"""`--dry-run`: what a call would do. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from reelscope.cli.terminal import console, printable
from reelscope.engines.device import Devices
from reelscope.engines.weights import WeightStore, entry, installed
from reelscope.errors import EngineUnavailable
from reelscope.pipeline.afterwards import description_of
from reelscope.pipeline.crawl import CrawlPlan
from reelscope.pipeline.plan import DESCRIBE, Batch
from reelscope.pipeline.stage import ReadsWeights, Stage


def show_plan(batch: Batch, crawl: CrawlPlan | None = None) -> None:
    """Print creators, videos, stages with their engines, and what is in the way."""
    if crawl:
        for line in _fetched(crawl):
            console.print(printable(line))
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
    for line in _costs(batch):
        console.print(line)
    for problem in batch.problems:
        console.print(f"note: {printable(problem.where)}: {printable(problem.message)}")
    console.print("Nothing was written.")


def _fetched(crawl: CrawlPlan) -> Iterator[str]:
    """Where videos would come from; nobody is asked."""
    since = f", posted since {crawl.wanted.since:%Y-%m-%d}" if crawl.wanted.since else ""
    most = f", at most {crawl.wanted.limit}" if crawl.wanted.limit else ""
    if not isinstance(crawl.creators, Sequence):
        yield f"videos by address: whose they are shows when they are looked up{since}"
        return
    for creator in crawl.creators:
        yield f"videos of {creator.username}: {crawl.source_of(creator)}{since}{most}"


def _costs(batch: Batch) -> Iterator[str]:
    """What the description can cost at most, if this call would make it."""
    stage = description_of(batch)
    if stage is None:
        return
    settings, videos = batch.settings.description, len(batch.sources)
    most = stage.estimate(batch.settings.choose.max_frames)
    images = "not known" if most.image_tokens is None else f"{most.image_tokens:,} tokens"
    yield (
        f"description by {settings.model}, {settings.mode} mode, per video at most: {most.images} "
        f"images at detail {settings.image_detail} = {images}; text {most.text_tokens:,} tokens "
        f"(one a byte; in English about {most.english_tokens:,}); answer "
        f"{most.output_tokens:,} tokens"
    )
    if most.image_tokens is not None:
        yield f"  images of all {videos:,} videos: at most {videos * most.image_tokens:,} tokens"
    if most.usd is None or most.english_usd is None:
        yield "  cost: not known; the model has no price in description.prices"
    else:
        yield (
            f"  cost of {videos:,} videos: at most ${videos * most.usd:,.2f}, with full texts in "
            f"English ${videos * most.english_usd:,.2f}; answers that are cut or wrong are asked "
            "again, each at most twice"
        )
    limits = (("max_cost_usd", settings.max_cost_usd), ("max_requests", settings.max_requests))
    for name, limit in limits:
        if limit is not None:
            yield f"  description.{name}: {limit:g}; what is left then is skipped"


def _verdict(stage: Stage, batch: Batch) -> tuple[str, str]:
    """Whether the stage would run; its engine is really opened to know."""
    if stage.name not in batch.selected:
        off = stage.name == DESCRIBE and not batch.settings.description.enabled
        return "be left out", "--describe turns it on" if off else "--only or --skip"
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
