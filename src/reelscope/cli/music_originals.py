"""`python main.py music originals`: whose sound is in whose video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelscope.cli.music import music_app

originals_app = typer.Typer(
    name="originals",
    help="Which video has a sound first, who uses it, and from which second on.",
    no_args_is_help=True,
)
music_app.add_typer(originals_app)

Where = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="SQLite file, or postgresql://user:password@host/name. Default:"
        " music.originals.database, else originals.sqlite below paths.data.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file. Default: config/config.yml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@originals_app.command()
def add(
    videos: Annotated[
        str,
        typer.Option(
            "--videos",
            help="A folder, or a CSV with a column `path` (and `video_id`, and when it was"
            " published).",
        ),
    ],
    published_column: Annotated[
        str,
        typer.Option(
            "--published-column",
            help="Of the CSV: 2026-05-31, 2026-05-31T12:00:00Z or seconds since 1970.",
        ),
    ] = "published_at",
    database: Where = None,
    config: Config = None,
) -> None:
    """Make videos known; those whose id is known stay as they are."""
    from reelscope.cli import music_originals_work as work

    raise typer.Exit(work.add(Path(videos), published_column, database=database, config=config))


@originals_app.command()
def work(
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=256, help="Processes. Default: one per core."),
    ] = None,
    lease_s: Annotated[
        float | None,
        typer.Option("--lease-s", help="A worker that has not ended a video by then has lost it."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is waiting. Else wait for more.")
    ] = False,
    database: Where = None,
    config: Config = None,
) -> None:
    """Listen to what is waiting and decide whose it is. Any number of these may run at once."""
    from reelscope.cli import music_originals_work as working

    code = working.work(
        workers=workers, lease_s=lease_s, once=once, database=database, config=config
    )
    raise typer.Exit(code)


@originals_app.command()
def status(json: AsJson = False, database: Where = None, config: Config = None) -> None:
    """How many videos are what."""
    from reelscope.cli import music_originals_work as work

    raise typer.Exit(work.status(as_json=json, database=database, config=config))


@originals_app.command()
def show(
    video: Annotated[str, typer.Argument(help="Its id.")],
    json: AsJson = False,
    database: Where = None,
    config: Config = None,
) -> None:
    """What is known of a video, and who uses its sound."""
    from reelscope.cli import music_originals_work as work

    raise typer.Exit(work.show(video, as_json=json, database=database, config=config))


@originals_app.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="File.csv or file.json.")],
    database: Where = None,
    config: Config = None,
) -> None:
    """Write every video with its original and offset into a table."""
    from reelscope.cli import music_originals_work as work

    raise typer.Exit(work.export(out, database=database, config=config))
