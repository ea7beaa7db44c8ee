"""Models of real size with random weights, in the vendors' own formats.

The shapes, not the values, set the speed. Sets of weights that are already in the folder
are left as they are. The length of the texts is fixed: 40 tokens for 30 s of speech (the
weights of Whisper are steered so that it stops there), and as many as are allowed for a
caption.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from reelscope.engines.registry import REGISTRY, UrlFile
from reelscope.engines.weights import WeightStore
from reelscope.testing import demucs
from reelscope.testing.open_clip import MEAN, STD
from reelscope.testing.owlv2 import write_owlv2
from reelscope.testing.whisper import write_faster_whisper, write_openai_whisper

TOKENS = 40


def write_missing(root: Path, names: list[str]) -> list[str]:
    """Make what is not in the folder; gives the names of what was made."""
    store = WeightStore(root)
    missing = [name for name in names if store.state(name) != "present"]
    for name in missing:
        _writer(name)(root, name)
    return missing


def _writer(name: str) -> Callable[[Path, str], None]:
    kinds: dict[str, Callable[[Path, str], None]] = {
        "faster-whisper": _faster_whisper, "openai-whisper": _openai_whisper, "owlv2": _owlv2,
        "htdemucs": _demucs, "ast": _ast, "yolo-world": _yolo_world,
        "clip": _clip, "blip": _blip,
    }  # fmt: skip
    return next(write for kind, write in kinds.items() if name.startswith(kind))


def _faster_whisper(root: Path, name: str) -> None:
    write_faster_whisper(root, name, real_size=True, words=TOKENS)


def _openai_whisper(root: Path, name: str) -> None:
    write_openai_whisper(root, name, real_size=True, words=TOKENS)


def _demucs(root: Path, name: str) -> None:
    """The arguments of the published model (its experiment's configuration)."""
    arguments = {"bottom_channels": 512, "segment": Fraction(39, 5)}
    demucs.write_htdemucs(root, name, arguments=arguments)


def _ast(root: Path, name: str) -> None:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(num_labels=527)
    ASTForAudioClassification(config).save_pretrained(root / name)
    ASTFeatureExtractor().save_pretrained(root / name)


def _owlv2(root: Path, name: str) -> None:
    """owlv2-base-patch16-ensemble: 960 pixels; the tokenizer is the tiny one's."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor

    write_owlv2(root, name)
    config = Owlv2Config(vision_config={"image_size": 960, "patch_size": 16})
    Owlv2ForObjectDetection(config).save_pretrained(root / name)
    Owlv2ImageProcessor(size={"height": 960, "width": 960}).save_pretrained(root / name)


def _yolo_world(root: Path, name: str) -> None:
    import torch

    from reelscope.engines.yolo_world import quiet_import

    with quiet_import(root):
        from ultralytics import __version__
        from ultralytics.nn.tasks import WorldModel
    source = REGISTRY[name].source
    assert isinstance(source, UrlFile)
    model: Any = WorldModel(source.name.replace(".pt", ".yaml"), verbose=False)
    model.args = {}
    (root / name).mkdir(parents=True, exist_ok=True)
    checkpoint = {"epoch": -1, "model": model.half(), "ema": None, "version": __version__}
    torch.save(checkpoint, root / name / source.name)


def _clip(root: Path, name: str) -> None:
    import open_clip
    from safetensors.torch import save_file

    config = open_clip.get_model_config(f"{name.removeprefix('clip-')}-quickgelu")
    model = open_clip.CLIP(**config)
    (root / name).mkdir(parents=True, exist_ok=True)
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, root / name / "open_clip_model.safetensors", metadata={"format": "pt"})
    prepare = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": prepare})
    (root / name / "open_clip_config.json").write_text(text, encoding="utf-8")


def _blip(root: Path, name: str) -> None:
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
    )

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    words = [*special, *(f"w{n}" for n in range(30522 - len(special)))]
    text = {"vocab_size": len(words) + 2, "bos_token_id": len(words)}
    text |= {"eos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}
    BlipForConditionalGeneration(BlipConfig(text_config=text)).save_pretrained(root / name)
    BlipImageProcessor(size={"height": 384, "width": 384}).save_pretrained(root / name)
    (root / name / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    BertTokenizer(vocab={word: n for n, word in enumerate(words)}).save_pretrained(root / name)
