"""`python main.py music dedupe`: which assets of a whole library are the same sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelscope.cli.music import music_app


@music_app.command("dedupe")
def dedupe(  # noqa: PLR0917  (one parameter per flag)
    assets: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR|CSV|library",
            help="A folder; a CSV with a column of paths or addresses, and one of ids; or the word"
            " library: every track of the music library.",
        ),
    ] = None,
    asset_ids: Annotated[
        str, typer.Option("--asset-ids", help="Only these: ID,... In a folder a file's path is it.")
    ] = "",
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Fingerprints written to the table together.")
    ] = None,
    resume: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--resume",
            help="Go on where an earlier run ended. Always done; the flag is kept for habit.",
        ),
    ] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Say what the table holds; with no assets, only that.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the report. Default: duplicates below paths.data."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print duplicates.json and nothing else.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file. Default: config/config.yml.")
    ] = None,
) -> None:
    """Find files that hold the same sound, and say which of them to keep."""
    from reelscope.cli import music_dedupe_work as work

    call = work.Call(
        assets=assets,
        asset_ids=tuple(name.strip() for name in asset_ids.split(",") if name.strip()),
        stats=stats,
        out=out,
        as_json=as_json,
    )
    raise typer.Exit(work.dedupe(call, config, batch_size=batch_size))
