"""`python main.py describe collect`: the answers of a batch that was handed to a server."""

from __future__ import annotations

from pathlib import Path

from reelscope import settings as settings_module
from reelscope.cli import exit_codes
from reelscope.cli.run import log_file
from reelscope.cli.terminal import console, printable
from reelscope.cli.totals import show_totals
from reelscope.pipeline.collect import collect as collect_batch
from reelscope.pipeline.collect import settings_of


def collect(batch_id: str, config: Path | None) -> int:
    """Fetch what is ready. Returns 0, or 1 if nothing of it could be used."""
    settings = settings_of(batch_id, settings_module.load(config))
    with log_file(settings):
        found = collect_batch(batch_id, settings)
    show_totals(found.summary, found.batch)
    for part in found.parts:
        said = f"{part.batch_id or part.file}: {part.status}, {len(part.requests)} requests"
        console.print(printable(f"{said}; {part.message}" if part.message else said))
    if found.waiting:
        console.print("Not all answers are ready; the same call again fetches the rest.")
    if found.to_hand_over:
        console.print("Not all requests were handed over; the run itself, called again, does that.")
    stage = found.summary.stages["describe"]
    return 0 if stage.ok or stage.reused or found.waiting else exit_codes.NOTHING_SUCCEEDED
