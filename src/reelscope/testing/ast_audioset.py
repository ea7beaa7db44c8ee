"""A tiny Audio Spectrogram Transformer with random weights, as save_pretrained leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CLASSES = 527
LABELS = {0: "Speech", 16: "Laughter", 67: "Applause", 74: "Dog", 137: "Music"}
"""Names and places of some of AudioSet's classes; the other ones are numbered."""


def write_ast_audioset(root: Path, name: str = "ast-audioset") -> None:
    """Write `config.json`, `model.safetensors` and `preprocessor_config.json`."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    from reelscope.engines.audio_spectrogram import quietly

    names = {index: LABELS.get(index, f"Class {index}") for index in range(CLASSES)}
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        frequency_stride=16,  # 8 x 64 patches instead of 12 x 101
        time_stride=16,
        id2label=names,
        label2id={label: index for index, label in names.items()},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(527)
        model = ASTForAudioClassification(config)
        # wide apart, so that some classes are likely and most are not, as in the real model
        state = model.classifier.state_dict()
        torch.nn.init.normal_(state["dense.weight"], std=0.5)
        torch.nn.init.constant_(state["dense.bias"], -4.0)
    folder = root / name
    with quietly():
        model.save_pretrained(folder)
        make: Any = ASTFeatureExtractor  # has no types
        make().save_pretrained(folder)
