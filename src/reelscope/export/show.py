"""A record as HTML for notebooks: `VideoRecord._repr_html_`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reelscope.errors import ConfigError
from reelscope.export.card import card
from reelscope.export.html_page import asset, environment
from reelscope.export.strip import legend
from reelscope.export.thumbnails import Pictures
from reelscope.records import Choice, VideoRecord
from reelscope.settings import load

FRAMES = "tiktok_frames"


def record_html(record: VideoRecord) -> str:
    """Frames, timeline, what was found, and how each stage ended, with a style of its own.

    A picture that is no longer on disk is named as missing.
    """
    shown = card(record, Pictures(), frames_root(record))
    return (
        environment()
        .get_template("record.html.j2")
        .render(
            card=shown,
            style=asset("card.css"),
            kinds=legend(shown.strip.kinds) if shown.strip else [],
        )
    )


def frames_root(record: VideoRecord) -> Path | None:
    """The folder of frames folders that has this record's pictures; None: it was not found.

    A record names its pictures by folder and file alone, so that results can be moved. They
    are looked for where the record was read from, in the data folder of the settings, and
    beside the folders above the video. A picture of another size is another picture.
    """
    choice = record.value(Choice)
    if choice is None:
        return None
    sizes = {frame.file: frame.bytes_after for frame in choice.frames}
    for root in _roots(record):
        for name, size_bytes in sizes.items():
            if _size(root / record.source.frames_id / Path(name).name) == size_bytes:
                return root
    return None


def _roots(record: VideoRecord) -> Iterator[Path]:
    if record.frames_root is not None:
        yield record.frames_root
    with suppress(ConfigError):  # of a config that may have nothing to do with this record
        yield load().paths.data / FRAMES
    if record.source.path is not None:
        yield from (folder / FRAMES for folder in Path(record.source.path).absolute().parents)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None
