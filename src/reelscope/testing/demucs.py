"""A tiny htdemucs with random weights, in the files that the real one comes in.

The layout is that of demucs' `tools/export_hf.py` as `demucs.hf` reads it: a YAML that
names the members of a bag, and one safetensors file per member, whose metadata hold the
class and its arguments as JSON.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

MEMBER = "955717e8"
SOURCES = ["drums", "bass", "other", "vocals"]
SEGMENT = Fraction(39, 40)
"""Seconds; an eighth of the real model's 39/5."""
TINY: dict[str, Any] = {
    "channels": 2, "dconv_mode": 0, "bottom_channels": 4, "t_layers": 1, "t_heads": 2,
    "segment": SEGMENT,
}  # fmt: skip
"""Arguments of HTDemucs."""


def write_htdemucs(root: Path, name: str = "htdemucs", *, arguments: dict[str, Any] = TINY) -> None:
    """Write `htdemucs.yaml` and `955717e8.safetensors` into `root/name`.

    Args:
        root: the folder of all weights.
        name: in the registry.
        arguments: of HTDemucs; by default those of a tiny one.
    """
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(955717)
        model = HTDemucs(SOURCES, **arguments)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": json.dumps([SOURCES]),
        "kwargs": json.dumps(arguments, default=_fraction),
    }
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, folder / f"{MEMBER}.safetensors", metadata)
    (folder / "htdemucs.yaml").write_text(f"models: ['{MEMBER}']\n", encoding="utf-8")


def _fraction(value: Fraction) -> dict[str, object]:
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
