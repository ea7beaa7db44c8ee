"""A tiny CLIP with seeded random weights, in the files in which open_clip publishes one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,  # that of the tokenizer
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}
"""As `model_cfg` in timm/vit_base_patch32_clip_224.openai, with smaller numbers."""


def write_clip(root: Path, name: str = "clip-ViT-B-32", *, seed: int = 0) -> None:
    """A CLIP of 32 x 32 pixels and 16 numbers, about 4 MB.

    Args:
        root: the folder of all weights.
        name: in the registry.
        seed: of the weights.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**TINY)
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    prepare = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": TINY, "preprocess_cfg": prepare}
    text = json.dumps(config, indent=4)
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
