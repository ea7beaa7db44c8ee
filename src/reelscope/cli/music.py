"""`python main.py music`: the commands of the music library.

Each family of commands stands in a file of its own, which registers itself on `music_app`.
"""

from __future__ import annotations

import typer

music_app = typer.Typer(
    name="music",
    help="The music library: what is this sound, where from, and who else has it.",
    no_args_is_help=True,
)


@music_app.callback()
def _music() -> None:
    """Keeps the group a group while it has one command only."""
