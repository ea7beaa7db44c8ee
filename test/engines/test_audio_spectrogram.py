"""The AST adapter: same numbers as the vendor's own code, passes shared, bad files named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from reelscope.engines.audio_spectrogram import NAME, SpectrogramTagger, quietly
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY, HubFiles
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.testing.ast_audioset import CLASSES, LABELS, write_ast_audioset

Float32 = NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_ast_audioset(root)
    return root


@pytest.fixture(scope="module")
def tagger(models: Path) -> Iterator[SpectrogramTagger]:
    one = SpectrogramTagger(WeightStore(models), ModelPool(1), at_once=3)
    one.open()
    yield one
    one.close()


def sound(samples: int, seed: int = 0) -> Float32:
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


@pytest.mark.parametrize("samples", [400, 4800, 160_000, 163_840, 200_000])
def test_the_features_are_those_of_the_vendors_extractor(
    tagger: SpectrogramTagger, samples: int
) -> None:
    given = sound(samples) * np.linspace(0, 1, samples, dtype=np.float32)
    with tagger._model() as loaded:
        theirs = loaded.extractor(given, sampling_rate=16000, return_tensors="np")
        ours = loaded.features(given)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs["input_values"][0], atol=1e-5)


def test_the_probabilities_are_those_of_the_vendors_model(
    tagger: SpectrogramTagger, models: Path
) -> None:
    import torch
    from transformers import AutoModelForAudioClassification

    given = [sound(160_000, 1), sound(5000, 2), np.zeros(160_000, np.float32)]
    with quietly():
        model = AutoModelForAudioClassification.from_pretrained(models / NAME)
    with tagger._model() as loaded, torch.inference_mode():
        batch = loaded.extractor(given, sampling_rate=16000, return_tensors="pt")
        theirs = model(**batch).logits.sigmoid().numpy()
    ours = np.stack(list(tagger.probabilities(given)))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours.shape == (3, CLASSES)
    assert np.abs(ours[0] - ours[1]).max() > 0.01  # it does not say the same of everything


def test_several_windows_share_a_pass(tagger: SpectrogramTagger) -> None:
    sizes: list[int] = []
    with tagger._model() as loaded:
        handle = loaded.model.classifier.register_forward_hook(
            lambda _, given, __: sizes.append(len(given[0]))
        )
    windows = [sound(16000, seed) for seed in range(4)]
    together = list(tagger.probabilities(iter(windows)))
    assert sizes == [3, 1]
    handle.remove()
    alone = [next(iter(tagger.probabilities([window]))) for window in windows]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-5)


def test_the_names_come_from_the_models_own_configuration(tagger: SpectrogramTagger) -> None:
    labels = tagger.labels()
    assert len(labels) == CLASSES
    assert {index: labels[index] for index in LABELS} == LABELS


def test_less_than_a_spectrum_and_nothing_at_all_can_be_heard(tagger: SpectrogramTagger) -> None:
    for samples in (0, 1, 399):
        (chances,) = tagger.probabilities([sound(samples)])
        assert chances.shape == (CLASSES,)
    assert list(tagger.probabilities([])) == []


def test_the_tiny_model_comes_in_the_files_that_the_registry_names(models: Path) -> None:
    source = REGISTRY[NAME].source
    assert isinstance(source, HubFiles)
    assert {path.name for path in (models / NAME).iterdir()} == set(source.patterns)


def test_absent_weights_are_named_with_the_remedy(tmp_path: Path) -> None:
    tagger = SpectrogramTagger(WeightStore(tmp_path), ModelPool(1))
    assert "absent" in tagger.engine
    with pytest.raises(EngineUnavailable, match="not on this machine") as caught:
        tagger.open()
    assert caught.value.remedy == "python main.py models pull ast-audioset"


def test_a_file_that_is_cut_short_is_named_with_the_remedy(tmp_path: Path) -> None:
    write_ast_audioset(tmp_path)
    path = tmp_path / NAME / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(EngineUnavailable, match="cannot be read") as caught:
        SpectrogramTagger(WeightStore(tmp_path), ModelPool(1)).open()
    assert caught.value.remedy == "python main.py models pull ast-audioset --force"


def changed(path: Path, state: dict[str, NDArray[np.float32]]) -> None:
    from safetensors.numpy import save_file

    save_file(state, path, {"format": "pt"})


def test_weights_that_lack_a_tensor_are_refused_not_filled_with_random_numbers(
    tmp_path: Path,
) -> None:
    from safetensors.numpy import load_file

    write_ast_audioset(tmp_path)
    path = tmp_path / NAME / "model.safetensors"
    state = {name: tensor for name, tensor in load_file(path).items() if "classifier" not in name}
    changed(path, state)
    with pytest.raises(EngineUnavailable, match="missing"):
        SpectrogramTagger(WeightStore(tmp_path), ModelPool(1)).open()


def test_numbers_that_are_none_never_leave(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    write_ast_audioset(tmp_path)
    path = tmp_path / NAME / "model.safetensors"
    state = {
        name: np.full_like(tensor, np.nan) if name == "classifier.dense.bias" else tensor
        for name, tensor in load_file(path).items()
    }
    changed(path, state)
    with pytest.raises(EngineFailed, match="numbers that are none"):
        list(SpectrogramTagger(WeightStore(tmp_path), ModelPool(1)).probabilities([sound(400)]))


def test_the_names_of_the_published_file_are_read(models: Path) -> None:
    """It was saved by a transformers 4, whose names this version still writes and reads."""
    with safe_open(models / NAME / "model.safetensors", framework="np") as file:
        names = set(file.keys())
    layer = "audio_spectrogram_transformer.encoder.layer.0"
    assert names >= {
        "audio_spectrogram_transformer.embeddings.distillation_token",
        f"{layer}.attention.attention.query.weight",
        f"{layer}.attention.output.dense.bias",
        f"{layer}.intermediate.dense.weight",
        "classifier.layernorm.weight",
        "classifier.dense.weight",
    }
