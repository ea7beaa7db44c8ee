"""`python main.py music add, list, show, ... identify`: the library and its question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reelscope.cli.music import music_app

Where = Annotated[
    str | None,
    typer.Option(
        "--library",
        help="Folder of the library, or the address of its catalogue,"
        " postgresql://user:password@host/name. Default: music.library, else data/library.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file. Default: config/config.yml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Campaign = Annotated[str | None, typer.Option("--campaign", help="That they belong to.")]
Title = Annotated[str | None, typer.Option("--title", help="Of the track.")]
Artist = Annotated[str | None, typer.Option("--artist", help="Of the track.")]
Album = Annotated[str | None, typer.Option("--album", help="Of the track.")]
Genre = Annotated[str | None, typer.Option("--genre", help="Of the track.")]
OfCampaign = Annotated[str | None, typer.Option("--campaign", help="Only of this campaign.")]
OfStatus = Annotated[
    Literal["ready", "failed"] | None,
    typer.Option("--status", help="ready: can be found; failed: could not be added."),
]
Text = Annotated[
    str | None, typer.Option("--text", help="Only with this in title, artist, album or id.")
]
Id = Annotated[str, typer.Argument(help="Of the track.", show_default=False)]


@music_app.command()
def add(  # noqa: PLR0917  (one parameter per flag)
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders with all below them, addresses.", show_default=False),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="A table with a column `path` or `url`, and id, title, artist, album, genre,"
            " campaign if they are known. Paths are taken from the table's folder.",
        ),
    ] = None,
    campaign: Campaign = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Of one file. Default: made of its content.")
    ] = None,
    title: Title = None,
    artist: Artist = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Another sound takes the place of a track's.")
    ] = False,
    library: Where = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Add tracks. What is printed as added is on the disk, whatever happens then."""
    from reelscope.cli import music_library_work as work
    from reelscope.music.new_tracks import NewTrack

    given = [
        NewTrack(source, id=id_, title=title, artist=artist, campaign=campaign)
        for source in sources or []
    ]
    place = work.Place(library, config)
    raise typer.Exit(
        work.add(place, given, csv, campaign=campaign, replaces=replace, as_json=as_json)
    )


@music_app.command("list")
def list_(  # noqa: PLR0917  (one parameter per flag)
    campaign: OfCampaign = None,
    artist: Annotated[str | None, typer.Option("--artist", help="Only of this artist.")] = None,
    genre: Annotated[str | None, typer.Option("--genre", help="Only of this genre.")] = None,
    status: OfStatus = None,
    text: Text = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")] = None,
    library: Where = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List tracks by id."""
    from reelscope.cli import music_library_work as work
    from reelscope.store.tracks import Wanted

    wanted = Wanted(campaign=campaign, artist=artist, genre=genre, status=status, text=text)
    raise typer.Exit(
        work.list_tracks(work.Place(library, config), wanted, limit=limit, as_json=as_json)
    )


@music_app.command()
def show(id_: Id, library: Where = None, config: Config = None, as_json: AsJson = False) -> None:
    """All that is known of a track."""
    from reelscope.cli import music_library_work as work

    raise typer.Exit(work.show(work.Place(library, config), id_, as_json=as_json))


@music_app.command()
def update(  # noqa: PLR0917  (one parameter per flag)
    id_: Id,
    title: Title = None,
    artist: Artist = None,
    album: Album = None,
    genre: Genre = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="It belongs to.")] = None,
    source_url: Annotated[str | None, typer.Option("--source-url", help="Its address.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="Where its file is now.")] = None,
    library: Where = None,
    config: Config = None,
) -> None:
    """Change what is known of a track; an empty text takes it away."""
    from reelscope.cli import music_library_work as work

    given = {
        "title": title,
        "artist": artist,
        "album": album,
        "genre": genre,
        "campaign": campaign,
        "source_url": source_url,
        "path": path,
    }
    values = {name: value for name, value in given.items() if value is not None}
    raise typer.Exit(work.update(work.Place(library, config), id_, values))


@music_app.command()
def remove(
    ids: Annotated[list[str], typer.Argument(help="Of tracks.", show_default=False)],
    library: Where = None,
    config: Config = None,
) -> None:
    """Remove tracks: they are found no more."""
    from reelscope.cli import music_library_work as work

    raise typer.Exit(work.remove(work.Place(library, config), ids))


@music_app.command()
def count(
    campaign: OfCampaign = None,
    status: OfStatus = None,
    text: Text = None,
    library: Where = None,
    config: Config = None,
) -> None:
    """How many tracks there are."""
    from reelscope.cli import music_library_work as work
    from reelscope.store.tracks import Wanted

    wanted = Wanted(campaign=campaign, status=status, text=text)
    raise typer.Exit(work.count(work.Place(library, config), wanted))


@music_app.command()
def verify(library: Where = None, config: Config = None, as_json: AsJson = False) -> None:
    """Read the whole library and compare every byte with its checksum."""
    from reelscope.cli import music_library_work as work

    raise typer.Exit(work.verify(work.Place(library, config), as_json=as_json))


@music_app.command()
def compact(library: Where = None, config: Config = None) -> None:
    """Merge the index's files, and drop what was removed."""
    from reelscope.cli import music_library_work as work

    raise typer.Exit(work.compact(work.Place(library, config)))


@music_app.command()
def move(
    to: Annotated[
        str, typer.Argument(help="A folder, or the address of a database.", show_default=False)
    ],
    index_folder: Annotated[
        Path | None,
        typer.Option("--index-folder", help="Holds the index if TO is an address."),
    ] = None,
    library: Where = None,
    config: Config = None,
) -> None:
    """Move the whole library into another folder or database."""
    from reelscope.cli import music_library_work as work

    raise typer.Exit(work.move(work.Place(library, config), to, index_folder))


@music_app.command()
def identify(
    clips: Annotated[list[Path], typer.Argument(help="Sounds or videos.", show_default=False)],
    top: Annotated[int, typer.Option("--top", min=1, help="At most so many of each clip.")] = 5,
    library: Where = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say which tracks are heard in clips, where, and how they are played."""
    from reelscope.cli import music_library_work as work

    raise typer.Exit(work.identify(work.Place(library, config), clips, top=top, as_json=as_json))
