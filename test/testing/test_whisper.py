"""The tiny Whispers are what the vendors' loaders expect, for every kind of size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reelscope.engines.weights import WeightStore
from reelscope.testing.whisper import write_faster_whisper, write_openai_whisper

pytest.importorskip("whisper")


@pytest.mark.parametrize("size", ["tiny.en", "large-v3-turbo"])
def test_openai_format(size: str, tmp_path: Path) -> None:
    import whisper

    write_openai_whisper(tmp_path, f"openai-whisper-{size}")
    assert WeightStore(tmp_path).state(f"openai-whisper-{size}") == "present"
    path = tmp_path / f"openai-whisper-{size}" / f"{size}.pt"
    model = whisper.load_model(str(path), "cpu")
    model.set_alignment_heads(whisper._ALIGNMENT_HEADS[size])
    assert model.is_multilingual == (size != "tiny.en")
    assert model.dims.n_mels == (128 if "v3" in size else 80)
    assert path.stat().st_size < 50_000_000


@pytest.mark.parametrize("size", ["tiny", "tiny.en"])
def test_ctranslate2_format(size: str, tmp_path: Path) -> None:
    from faster_whisper import WhisperModel

    write_faster_whisper(tmp_path, f"faster-whisper-{size}", words=3)
    folder = tmp_path / f"faster-whisper-{size}"
    assert WeightStore(tmp_path).state(folder.name) == "present"
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)
    assert model.model.is_multilingual == (size == "tiny")
    samples = np.zeros(16000, np.float32)
    segments, _ = model.transcribe(samples, beam_size=1, temperature=0.0)
    assert [len(segment.text.split()) for segment in segments] == [3]


def test_the_tokenizer_is_the_vendors(whisper_weights: Path) -> None:
    from tokenizers import Tokenizer
    from whisper.tokenizer import get_tokenizer

    folder = whisper_weights / "faster-whisper-tiny"
    ours = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs = get_tokenizer(True)
    for text in (" Hello, world! It's 9.99€", "東京 ♪ привет", "  \n naïve👍🏽"):
        ids = ours.encode(text, add_special_tokens=False).ids
        assert ids == theirs.encode(text)
        assert ours.decode(ids) == text
    for token in ("<|endoftext|>", "<|yo|>", "<|notimestamps|>", "<|30.00|>"):
        assert ours.token_to_id(token) == theirs.encoding.encode_single_token(token)
    names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    assert [names[i] for i in (50258, 50363)] == ["<|startoftranscript|>", "<|notimestamps|>"]


def test_the_same_weights_every_time(tmp_path: Path, whisper_weights: Path) -> None:
    write_faster_whisper(tmp_path)
    first = whisper_weights / "faster-whisper-tiny"
    for path in first.iterdir():
        assert (tmp_path / first.name / path.name).read_bytes() == path.read_bytes()
