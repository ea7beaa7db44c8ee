"""The colours and marks that all pictures share."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from reelscope.records import EventKind

Floats: TypeAlias = npt.NDArray[np.float64]
Fate: TypeAlias = Literal["chosen", "kept", "near-duplicate", "blurred", "black"]

KIND_COLOURS: dict[EventKind, str] = {
    "speech": "#2f6fbf", "music": "#e69138", "speech_over_music": "#8e5bb5", "other": "#7fa08d",
    "silence": "#c5cad3",
}  # fmt: skip
FATE_MARKS: dict[Fate, dict[str, Any]] = {
    "chosen": {"marker": "D", "color": "#c62f4b", "markersize": 8},
    "kept": {"marker": "o", "color": "#30405a", "markersize": 6},
    "near-duplicate": {"marker": "o", "color": "#30405a", "fillstyle": "none", "markersize": 6},
    "blurred": {"marker": "x", "color": "#8a93a3", "markersize": 6},
    "black": {"marker": "s", "color": "#111111", "markersize": 5.5},
}
INK, PALE = "#30405a", "#8a93a3"

LEGEND: dict[str, Any] = {
    "frameon": False, "fontsize": 9, "labelcolor": INK, "handlelength": 1.1, "columnspacing": 1.3,
}  # fmt: skip
