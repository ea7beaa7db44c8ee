"""`python main.py describe collect`: the answers of a batch that was handed to a server."""

from __future__ import annotations

from pathlib import Path

from reelscope import settings as settings_module
from reelscope.cli.app import EXIT_NOTHING_SUCCEEDED
from reelscope.cli.run import log_file
from reelscope.cli.terminal import console, printable
from reelscope.cli.totals import show_totals
from reelscope.crawl.names import safe_name
from reelscope.errors import UsageError
from reelscope.pipeline.collect import collect as collect_batch
from reelscope.pipeline.plan import Folders
from reelscope.settings import Settings

AS_IT_WAS = {"description.enabled": True, "description.mode": "batch"}


def collect(batch_id: str, config: Path | None) -> int:
    """Fetch what is ready. Returns 0, or 1 if nothing of it could be used."""
    if safe_name(batch_id) != batch_id:
        raise UsageError(f"--batch-id: no batch can be named {batch_id!r}")
    settings = _settings_of(batch_id, config)
    with log_file(settings):
        found = collect_batch(batch_id, settings)
    show_totals(found.summary, found.batch)
    for part in found.parts:
        place = part.batch_id or part.file
        console.print(
            printable(f"{place}: {part.status}, {len(part.requests)} requests; {part.message}")
        )
    if found.waiting:
        console.print("Not all answers are ready; the same call again fetches the rest.")
    stage = found.summary.stages["describe"]
    return 0 if stage.ok or stage.reused or found.waiting else EXIT_NOTHING_SUCCEEDED


def _settings_of(batch_id: str, config: Path | None) -> Settings:
    """The settings that the batch was run with; the key comes from today's environment."""
    today = settings_module.load(config)
    saved = Folders(today.paths).batch(batch_id) / "settings.yml"
    if not saved.is_file():
        raise UsageError(f"there is no batch {batch_id!r}: {saved} is not there")
    before = settings_module.load(saved, flags=AS_IT_WAS)
    return before.model_copy(update={"paths": today.paths, "openai": today.openai})
