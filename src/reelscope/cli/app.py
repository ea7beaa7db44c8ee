"""`python main.py`: the main job, and the commands beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from reelscope.cli import exit_codes, music_dedupe, music_library, music_match, music_originals  # noqa: F401  (they register commands)
from reelscope.cli.music import music_app
from reelscope.errors import ReelscopeError, UsageError

app = typer.Typer(
    name="reelscope",
    help="Turn short videos into facts: what is said, shown, written and played.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file. Default: config/config.yml.")
]
BatchId = Annotated[
    str | None,
    typer.Option(
        "--batch-id",
        help="Name of the results folder. Default: the input's name, so the same call resumes.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on where an earlier run ended. Always done; the flag is kept for habit.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, say what would run, write nothing.")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Videos that share a model's forward pass.")
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", help="Videos analysed side by side.")
]
Limit = Annotated[
    int | None, typer.Option("--limit-per-creator", help="At most so many videos of each creator.")
]
Describe = Annotated[
    bool,
    typer.Option(
        "--describe",
        help="Ask a language model what each video is, for whom and why it works. Costs money.",
    ),
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost-usd", help="The description may cost at most so much.")
]
Source = Annotated[
    Literal["auto", "tiktok", "ytdlp", "folder"],
    typer.Option(
        "--source",
        help="Where videos come from. folder: data/tiktok_videos/<username>/. auto: the folder "
        "if it has videos of your own, else TikTok if a token is set.",
    ),
]
Since = Annotated[
    str, typer.Option("--since", help="Only what was posted since this day, 2026-05-31.")
]
Only = Annotated[
    str, typer.Option("--only", help="Run only these stages and what they need: STAGE,...")
]
Skip = Annotated[str, typer.Option("--skip", help="Leave these stages out: STAGE,...")]


@app.callback(invoke_without_command=True)
def main_job(
    context: typer.Context,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Creators, one per line, column `username`. Default: data/creators.csv."
        ),
    ] = None,
    urls: Annotated[
        Path | None,
        typer.Option("--urls", help="Instead of a CSV: addresses of videos, one per line."),
    ] = None,
    config: Config = None,
    batch_id: BatchId = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    batch_size: BatchSize = None,
    concurrency: Concurrency = None,
    limit_per_creator: Limit = None,
    source: Source = "auto",
    since: Since = "",
    describe: Describe = False,
    max_cost_usd: MaxCost = None,
    only: Only = "",
    skip: Skip = "",
) -> None:
    """Analyse the videos of every creator in a CSV."""
    if context.invoked_subcommand is not None:
        return
    from reelscope.cli import run

    call = run.call_of(context.params)
    if csv and urls:
        raise UsageError("--csv and --urls: one of them")
    if urls:
        raise typer.Exit(run.urls(urls, call, since=since))
    given = csv or Path("data/creators.csv")
    raise typer.Exit(run.creators(given, call, source=source, since=since))


@app.command()
def analyze(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(help="Video files and folders.", show_default=False)
    ],
    config: Config = None,
    batch_id: BatchId = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    batch_size: BatchSize = None,
    concurrency: Concurrency = None,
    limit_per_creator: Limit = None,
    describe: Describe = False,
    max_cost_usd: MaxCost = None,
    only: Only = "",
    skip: Skip = "",
) -> None:
    """Analyse video files and folders, without a CSV."""
    from reelscope.cli import run

    call = run.call_of(context.params)
    raise typer.Exit(run.files(paths, call))


@app.command("import")
def import_posts(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="CSV or NDJSON of 4CAT, or NDJSON of Zeeschuimer.")],
    media: Annotated[
        Path | None,
        typer.Option("--media", help="Folder with the posts' files. Default: the export's."),
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch files that are not there from their pages.")
    ] = False,
    config: Config = None,
    batch_id: BatchId = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    batch_size: BatchSize = None,
    concurrency: Concurrency = None,
    limit_per_creator: Limit = None,
    describe: Describe = False,
    max_cost_usd: MaxCost = None,
    only: Only = "",
    skip: Skip = "",
) -> None:
    """Analyse TikTok posts that were collected with 4CAT or Zeeschuimer."""
    from reelscope.cli import run

    call = run.call_of(context.params)
    raise typer.Exit(run.imported(path, call, media=media, fetch=fetch))


@app.command()
def doctor(config: Config = None) -> None:
    """Say what this machine has and lacks, with a remedy for each."""
    from reelscope.cli import doctor as checks

    raise typer.Exit(checks.report(config))


@app.command()
def demo(
    into: Annotated[
        Path,
        typer.Option(
            "--into", help="Folder of the results. Default: data/demo.", show_default=False
        ),
    ] = Path("data/demo"),
    neural: Annotated[
        bool, typer.Option("--neural", help="Use the weights in models/ too; takes longer.")
    ] = False,
) -> None:
    """Everything at once on the sample videos: no network, no key, no cost."""
    from reelscope.cli import demo as everything

    raise typer.Exit(everything.demo(into, neural=neural))


models = typer.Typer(help="Weights of the neural engines: list, pull, verify.")
app.add_typer(models, name="models")


@models.command("list")
def models_list(config: Config = None) -> None:
    """Every set of weights: role, revision, size, licence, whether it is here, who needs it."""
    from reelscope.cli import models as weights

    raise typer.Exit(weights.show(config))


@models.command("pull")
def models_pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Sets of weights. Default: those that today's settings need."),
    ] = None,
    config: Config = None,
    everything: Annotated[bool, typer.Option("--all", help="Every set that there is.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Read what is here and fetch again what is damaged.")
    ] = False,
) -> None:
    """Fetch weights; goes on where an earlier call was cut off."""
    from reelscope.cli import models as weights

    raise typer.Exit(weights.pull(names or [], config, everything=everything, force=force))


@models.command("verify")
def models_verify(config: Config = None) -> None:
    """Compare every file that is here with its checksum."""
    from reelscope.cli import models as weights

    raise typer.Exit(weights.verify(config))


@app.command()
def crawl(
    csv: Annotated[
        Path | None, typer.Option("--csv", help="As for the main job. Default: data/creators.csv.")
    ] = None,
    config: Config = None,
    limit_per_creator: Limit = None,
    source: Source = "auto",
    since: Since = "",
) -> None:
    """Fetch the videos of every creator in a CSV, without analysing them."""
    from reelscope.cli import crawl as fetching

    given = csv or Path("data/creators.csv")
    code = fetching.crawl(given, config, limit=limit_per_creator, source=source, since=since)
    raise typer.Exit(code)


tiktok = typer.Typer(help="Access to TikTok: configure, check.")
app.add_typer(tiktok, name="tiktok")


@tiktok.command("configure")
def tiktok_configure(
    config: Config = None,
    from_env: Annotated[
        bool, typer.Option("--from-env", help="Take the token from TIKTOK_MS_TOKEN.")
    ] = False,
) -> None:
    """Ask for the ms_token without showing it, and write it into the config file."""
    from reelscope.cli import tiktok_access as access

    raise typer.Exit(access.configure(config, from_env=from_env))


@tiktok.command("check")
def tiktok_check(
    username: Annotated[str, typer.Argument(help="Whose newest video is listed.")] = "tiktok",
    config: Config = None,
) -> None:
    """Say whether config, browser and a real listing of one video work."""
    from reelscope.cli import tiktok_access as access

    raise typer.Exit(access.check(config, username))


description = typer.Typer(help="The description by a language model: fetch answers of batch mode.")
app.add_typer(description, name="describe")


@description.command("collect")
def describe_collect(
    batch_id: Annotated[
        str, typer.Option("--batch-id", help="Name of the results folder of the run.")
    ],
    config: Config = None,
) -> None:
    """Fetch the answers that are ready into the records, and write the tables anew."""
    from reelscope.cli import describe as description_command

    raise typer.Exit(description_command.collect(batch_id, config))


app.add_typer(music_app, name="music")


def main() -> None:
    """Run the command line; every expected error ends as one message on stderr."""
    try:
        app()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_codes.USAGE)
    except ReelscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_codes.NOTHING_SUCCEEDED)
