"""Reelscope turns short videos into facts.

`reelscope.analyze(paths)` does what the command line does; it and its companions are
loaded when they are first asked for (PEP 562), so that the import stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reelscope.rich_repr import draw_records_with

__version__ = "0.1.0"
__all__ = ["Analysis", "__version__", "analyze", "open_clip"]

if TYPE_CHECKING:
    from reelscope.api import Analysis, analyze, open_clip
    from reelscope.records import VideoRecord
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'reelscope' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module("reelscope.api"), name)


def _draw(record: VideoRecord) -> str:
    """A record in a notebook: export/show.py, loaded when the first one is shown."""
    from importlib import import_module

    html: str = import_module("reelscope.export.show").record_html(record)
    return html


draw_records_with(_draw)
