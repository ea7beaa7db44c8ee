"""The marks that all pictures share; their colours are those of the reports."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from reelscope.export.colours import CHOSEN, INK

Floats: TypeAlias = npt.NDArray[np.float64]
Fate: TypeAlias = Literal["chosen", "kept", "near-duplicate", "blurred", "black"]

FATE_MARKS: dict[Fate, dict[str, Any]] = {
    "chosen": {"marker": "D", "color": CHOSEN, "markersize": 8},
    "kept": {"marker": "o", "color": INK, "markersize": 6},
    "near-duplicate": {"marker": "o", "color": INK, "fillstyle": "none", "markersize": 6},
    "blurred": {"marker": "x", "color": "#8a93a3", "markersize": 6},
    "black": {"marker": "s", "color": "#111111", "markersize": 5.5},
}
LEGEND: dict[str, Any] = {
    "frameon": False, "fontsize": 9, "labelcolor": INK, "handlelength": 1.1, "columnspacing": 1.3,
}  # fmt: skip
