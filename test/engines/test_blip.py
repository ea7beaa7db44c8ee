"""The adapter on a tiny BLIP in the vendor's own files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from reelscope.engines.blip import NAME, BlipCaptioner
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY
from reelscope.engines.weights import WeightStore, wanted_files
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.media.images import RGB
from reelscope.testing.blip import write_blip

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_blip(folder, NAME)
    return folder


@pytest.fixture(scope="module")
def captioner(root: Path) -> BlipCaptioner:
    made = BlipCaptioner(WeightStore(root), ModelPool())
    made.open()
    return made


def say(captioner: BlipCaptioner, images: Sequence[RGB], **how: int) -> list[str]:
    return captioner.caption([partial(np.copy, image) for image in images], **how)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 36)) -> RGB:
    return np.full((*size, 3), colour, np.uint8)


def test_its_files_are_the_registrys(root: Path) -> None:
    names = {path.name for path in (root / NAME).iterdir()}
    assert set(wanted_files(REGISTRY[NAME])) <= names


@pytest.mark.parametrize("beams", [1, 3])
def test_it_says_what_the_vendor_says(root: Path, captioner: BlipCaptioner, beams: int) -> None:
    import torch
    from transformers import BlipForConditionalGeneration, BlipProcessor

    model = BlipForConditionalGeneration.from_pretrained(str(root / NAME)).eval()
    processor = BlipProcessor.from_pretrained(str(root / NAME))
    images = [plain(colour) for colour in COLOURS]
    with torch.inference_mode():
        tokens = model.generate(
            **processor(images=images, return_tensors="pt"), num_beams=beams, max_new_tokens=12
        )
    wanted = processor.batch_decode(tokens, skip_special_tokens=True)
    assert len(set(wanted)) > 1  # the test can tell pictures apart
    assert say(captioner, images, beams=beams, max_tokens=12) == wanted


def test_together_as_alone_and_again_the_same(captioner: BlipCaptioner) -> None:
    images = [
        plain(colour, size) for colour in COLOURS[1:3] for size in ((64, 36), (3, 50), (1, 1))
    ]
    together = say(captioner, images, beams=3, max_tokens=8)
    alone = [say(captioner, [image], beams=3, max_tokens=8)[0] for image in images]
    assert together == alone
    assert say(captioner, [], beams=3, max_tokens=8) == []


def test_a_longer_limit_goes_on_where_the_shorter_one_ended(captioner: BlipCaptioner) -> None:
    images = [plain(colour) for colour in COLOURS]
    short = say(captioner, images, beams=1, max_tokens=2)
    long = say(captioner, images, beams=1, max_tokens=20)
    assert all(len(text.split()) <= 2 for text in short)
    assert all(after.startswith(before) for before, after in zip(short, long, strict=True))
    assert short != long


def test_it_says_who_it_is(captioner: BlipCaptioner) -> None:
    assert captioner.engine == f"transformers {version('transformers')} blip-base by hand"
    assert captioner.weights == (NAME,)


def test_missing_weights_are_told_at_once(tmp_path: Path) -> None:
    made = BlipCaptioner(WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineUnavailable, match="blip-base are not on this machine"):
        made.open()


@pytest.mark.parametrize("damage", ["cut short", "a layer less", "no words"])
def test_damaged_files_are_named_with_the_remedy(tmp_path: Path, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    write_blip(tmp_path, NAME)
    weights = tmp_path / NAME / "model.safetensors"
    if damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "a layer less":
        state = load_file(weights)
        del state["vision_model.embeddings.class_embedding"]
        save_file(state, weights, metadata={"format": "pt"})
    else:
        for name in ("tokenizer.json", "vocab.txt"):
            (tmp_path / NAME / name).write_bytes(b"{")
    made = BlipCaptioner(WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineUnavailable) as caught:
        made.open()
    assert caught.value.remedy == f"python main.py models pull {NAME} --force"


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_blip(tmp_path, NAME)
    weights = tmp_path / NAME / "model.safetensors"
    state = load_file(weights)
    state["vision_model.post_layernorm.weight"][:] = float("nan")
    save_file(state, weights, metadata={"format": "pt"})
    made = BlipCaptioner(WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineFailed, match="no numbers"):
        say(made, [plain(COLOURS[0])], beams=3, max_tokens=5)


WORDS, WORDS_AGAIN = (
    "text_decoder.bert.embeddings.word_embeddings.weight",
    "text_decoder.cls.predictions.decoder.weight",
)
BIAS, BIAS_AGAIN = (
    "text_decoder.cls.predictions.bias",
    "text_decoder.cls.predictions.decoder.bias",
)


@pytest.mark.parametrize(
    "without", [(), (WORDS_AGAIN, BIAS_AGAIN), (WORDS, BIAS), (WORDS_AGAIN, BIAS)]
)
def test_weights_that_are_there_twice_may_be_named_either_way(
    without: tuple[str, ...], tmp_path: Path, captioner: BlipCaptioner
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    write_blip(tmp_path, NAME)
    path = tmp_path / NAME / "model.safetensors"
    state = load_file(path)
    state |= {WORDS_AGAIN: state[WORDS].clone(), BIAS_AGAIN: state[BIAS].clone()}
    state["text_decoder.bert.embeddings.position_ids"] = torch.arange(64)[None]
    kept = {key: value for key, value in state.items() if key not in without}
    save_file(kept, path, metadata={"format": "pt"})
    made = BlipCaptioner(WeightStore(tmp_path), ModelPool())
    images = [plain(colour) for colour in COLOURS]
    assert say(made, images, beams=3, max_tokens=8) == say(captioner, images, beams=3, max_tokens=8)


def test_files_of_the_time_of_the_real_weights_are_read(
    tmp_path: Path, captioner: BlipCaptioner
) -> None:
    """Salesforce/blip-image-captioning-base was saved by transformers 4.26."""
    write_blip(tmp_path, NAME)
    folder = tmp_path / NAME
    config = json.loads((folder / "config.json").read_text())
    old = {
        "_name_or_path": "", "add_cross_attention": False, "bad_words_ids": None,
        "chunk_size_feed_forward": 0, "do_sample": False, "early_stopping": False,
        "forced_eos_token_id": None, "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
        "initializer_factor": 1.0, "label2id": {"LABEL_0": 0, "LABEL_1": 1},
        "length_penalty": 1.0, "max_length": 20, "min_length": 0, "num_beam_groups": 1,
        "num_beams": 1, "num_return_sequences": 1, "prefix": None, "pruned_heads": {},
        "repetition_penalty": 1.0, "return_dict_in_generate": False, "temperature": 1.0,
        "tf_legacy_loss": False, "tie_encoder_decoder": False, "top_k": 50, "top_p": 1.0,
        "torch_dtype": None, "torchscript": False, "transformers_version": "4.26.0.dev0",
        "typical_p": 1.0, "use_bfloat16": False,
    }  # fmt: skip
    for part in ("text_config", "vision_config"):
        config[part] = old | config[part]
    config |= {"_commit_hash": None, "torch_dtype": "float32", "transformers_version": None}
    del config["dtype"]
    (folder / "config.json").write_text(json.dumps(config))
    images = json.loads((folder / "preprocessor_config.json").read_text())
    del images["do_rescale"], images["rescale_factor"], images["do_convert_rgb"], images["resample"]
    images |= {"size": 32, "processor_class": "BlipProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    tokenizer = {
        "cls_token": "[CLS]", "do_basic_tokenize": True, "do_lower_case": True,
        "mask_token": "[MASK]", "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 512, "name_or_path": "bert-base-uncased", "never_split": None,
        "pad_token": "[PAD]", "processor_class": "BlipProcessor", "sep_token": "[SEP]",
        "special_tokens_map_file": None, "strip_accents": None,
        "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "generation_config.json").unlink()  # not among the files that are fetched
    made = BlipCaptioner(WeightStore(tmp_path), ModelPool())
    pictures = [plain(colour) for colour in COLOURS]
    found = say(made, pictures, beams=3, max_tokens=30)
    assert found == say(captioner, pictures, beams=3, max_tokens=30)
    assert max(len(text.split()) for text in found) > 15
