"""The colours of what is heard and seen, the same in every picture and page."""

from __future__ import annotations

from reelscope.records import EventKind

KIND_COLOURS: dict[EventKind, str] = {
    "speech": "#2f6fbf", "music": "#e69138", "speech_over_music": "#8e5bb5", "other": "#7fa08d",
    "silence": "#c5cad3",
}  # fmt: skip
CHOSEN = "#c62f4b"
"""Frames that stand for a video."""
TEXT = "#2f7a60"
"""Texts on screen; white letters on it have a contrast of 5.2."""
INK, PALE = "#30405a", "#8a93a3"
