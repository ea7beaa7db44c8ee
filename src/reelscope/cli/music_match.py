"""`python main.py music match`: which campaign's sound is in which video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reelscope.cli.music import music_app

if TYPE_CHECKING:
    from reelscope.cli.progress import Counter
    from reelscope.music.match import Answer
    from reelscope.pipeline.match import Matched

MOST_SHOWN = 20
"""Matches, and things that went wrong, on the screen; the files have all."""


@music_app.command("match")
def match(  # noqa: PLR0917  (one parameter per flag)
    campaigns: Annotated[
        Path, typer.Option("--campaigns", help="Folder with a folder of sounds per campaign.")
    ],
    videos: Annotated[
        str,
        typer.Option(
            "--videos", help="Folder, CSV (a column with paths or addresses), or a batch."
        ),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file. Default: config/config.yml.")
    ] = None,
    engine: Annotated[
        Literal["fingerprint", "dtw"] | None,
        typer.Option("--engine", help="dtw finds almost any two sounds alike. See docs/music.md."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="A match from this similarity on, 0-100.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of the results. Default: the batch's, or data/matching."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Videos listened to at the same time.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print matching-results.json and nothing else.")
    ] = False,
) -> None:
    """Compare the sound of every video with the sound of every campaign."""
    from reelscope import settings as settings_module
    from reelscope.cli.progress import open_progress
    from reelscope.cli.terminal import progress_console
    from reelscope.engines.media_fetcher import MediaFetcher
    from reelscope.music.match_engines import make_engine
    from reelscope.pipeline.match import match_videos, read_videos

    flags = {"engine": engine, "similarity_threshold": threshold, "max_workers": workers}
    settings = settings_module.load(
        config, flags={f"music.match.{name}": value for name, value in flags.items()}
    )
    wanted = read_videos(videos, settings)
    if warning := make_engine(settings.music.match).warning:
        progress_console.print(f"warning: {warning}")
    with open_progress(len(wanted.candidates)) as progress:
        found = match_videos(
            campaigns,
            wanted,
            settings,
            listener=_Progress(progress),
            fetcher=MediaFetcher(settings.crawl, attempts=1),
            out=out,
        )
    raise typer.Exit(_show(found, as_json=as_json))


class _Progress:
    """Moves the progress display."""

    def __init__(self, progress: Counter) -> None:
        self._progress = progress

    def ended(self, answer: Answer) -> None:
        """One more video."""
        from reelscope.cli.terminal import printable

        self._progress.ended += 1
        self._progress.failures += answer.error is not None
        self._progress.now = printable(answer.video_id)
        self._progress.show()


def _show(found: Matched, *, as_json: bool) -> int:
    """Say what came of it; 0 if at least one video was listened to, else 1."""
    from reelscope.cli import exit_codes
    from reelscope.cli.terminal import console, printable

    results = found.results
    listened = results["matched"] + results["unmatched"]
    if as_json:
        console.print(json.dumps(results, indent=2, ensure_ascii=False), soft_wrap=True)
        return 0 if listened else exit_codes.NOTHING_SUCCEEDED
    for one in results["matched_videos"][:MOST_SHOWN]:
        console.print(printable(_line(one)))
    _more(len(results["matched_videos"]))
    for error in results["error_details"][:MOST_SHOWN]:
        console.print(f"error: {printable(error['video_id'])}: {printable(error['error'])}")
    _more(len(results["error_details"]))
    for where, what in list(found.problems)[:MOST_SHOWN]:
        console.print(f"note: {printable(where)}: {printable(what)}")
    _more(len(found.problems))
    console.print(
        f"{results['total_processed']} videos: {results['matched']} matched,"
        f" {results['unmatched']} unmatched, {results['errors_count']} errors;"
        f" {found.known} known from before; {found.seconds:.1f} s"
    )
    console.print(f"Results  {found.folder}/matching-results.json, .csv")
    return 0 if listened else exit_codes.NOTHING_SUCCEEDED


def _line(one: dict[str, object]) -> str:
    tempo = one["tempo"]
    played = f", played {tempo:.2f} times as fast" if isinstance(tempo, float) else ""
    played = played if tempo and abs(float(str(tempo)) - 1) >= 0.005 else ""
    return (
        f"{one['video_id']}: {one['similarity']:.1f} {one['campaign_id']}/{one['track']},"
        f" {one['start_s']:.1f}-{one['end_s']:.1f} s is from {one['offset_s']:.1f} s on{played}"
    )


def _more(count: int) -> None:
    from reelscope.cli.terminal import console

    if count > MOST_SHOWN:
        console.print(f"... and {count - MOST_SHOWN} more, see the files")
