"""A tiny BLIP with seeded random weights, saved as transformers saves one."""

from __future__ import annotations

from pathlib import Path

WORDS = ("a", "an", "the", "woman", "man", "dog", "bottle", "shoe", "with", "on", "holding", "in",
         "red", "blue", "green", "table", "phone", "of", "and", "##s")  # fmt: skip
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_blip(root: Path, name: str = "blip-base", *, seed: int = 0) -> None:
    """A BLIP of 32 x 32 pixels that knows twenty words and puts them together at random.

    Args:
        root: the folder of all weights.
        name: in the registry.
        seed: of the weights.
    """
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *WORDS]
    number = {token: n for n, token in enumerate(vocabulary)}
    text = {
        "vocab_size": len(vocabulary) + 2,  # as the real one: the tokenizer lacks the last two
        "hidden_size": 16,
        "encoder_hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": len(vocabulary),
        "eos_token_id": number["[CLS]"],
        "sep_token_id": number["[SEP]"],
        "pad_token_id": number["[PAD]"],
        "initializer_range": 1.0,  # so that pictures make a difference
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
        "initializer_range": 1.0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BlipConfig(text_config=text, vision_config=vision, initializer_range=1.0)
        model = BlipForConditionalGeneration(config)
    model.save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    _write_tokenizer(folder, vocabulary)


def _write_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    from transformers import BertTokenizer

    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizer(vocab={token: n for n, token in enumerate(vocabulary)}).save_pretrained(folder)
