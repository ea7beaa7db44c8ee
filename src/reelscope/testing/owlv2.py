"""A tiny OWLv2 with seeded random weights, saved as transformers saves one."""

from __future__ import annotations

import json
from pathlib import Path

SIDE_PX, PATCH_PX = 64, 16
MERGES = ("b o", "t h", "r e", "a n", "bo t", "p h", "c a", "ca r</w>", "d o", "do g</w>")
START, END = "<|startoftext|>", "<|endoftext|>"


def write_owlv2(root: Path, name: str = "owlv2-base", *, seed: int = 0) -> None:
    """An OWLv2 of 64 x 64 pixels and 16 cells that reads single letters and a few pairs.

    Args:
        root: the folder of all weights.
        name: in the registry.
        seed: of the weights.
    """
    import torch
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    words = _write_tokenizer(folder)
    size = {"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **size,
        "hidden_size": 16,
        "vocab_size": len(words),
        "max_position_embeddings": 16,
        "bos_token_id": words[START],
        "eos_token_id": words[END],
        "pad_token_id": 0,
        "initializer_range": 1.0,
    }
    vision = {
        **size,
        "hidden_size": 32,
        "image_size": SIDE_PX,
        "patch_size": PATCH_PX,
        "initializer_range": 1.0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Owlv2ForObjectDetection(
            Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
        )
        with torch.no_grad():  # so that some guesses are sure, and boxes have sizes
            head, boxes = model.class_head, model.box_head
            for layer, bias in ((head.logit_scale, 10.0), (head.logit_shift, -0.3)):
                layer.weight.zero_()
                layer.bias.fill_(bias)
            for layer in (boxes.dense0, boxes.dense1, boxes.dense2):
                layer.weight.normal_(std=0.3)
    model.save_pretrained(folder)
    Owlv2ImageProcessor(size={"height": SIDE_PX, "width": SIDE_PX}).save_pretrained(folder)


def _write_tokenizer(folder: Path) -> dict[str, int]:
    """The four files of google/owlv2-base-patch16-ensemble, with a few words."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())  # "!", the padding, is the first
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [merge.replace(" ", "") for merge in MERGES]
    words = {token: number for number, token in enumerate([*tokens, START, END])}
    marks = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": "!"}
    settings = {
        **marks,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 16,
        "processor_class": "Owlv2Processor",
        "tokenizer_class": "CLIPTokenizer",
    }
    for file, content in (
        ("vocab.json", words),
        ("tokenizer_config.json", settings),
        ("special_tokens_map.json", marks),
    ):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *MERGES]) + "\n"
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return words
