"""The Demucs adapter: same numbers as the vendor's own code, passes shared, bad files named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from reelscope.audio.overlap import Cutter, Joiner
from reelscope.engines.demucs import NAME, DemucsSeparator
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY, HubFiles
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.testing.demucs import SEGMENT, write_htdemucs

Float32 = NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_htdemucs(root)
    return root


@pytest.fixture(scope="module")
def separator(models: Path) -> Iterator[DemucsSeparator]:
    one = DemucsSeparator(WeightStore(models), ModelPool(1), at_once=3)
    one.open()
    yield one
    one.close()


def sound(samples: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).standard_normal((samples, 2)).astype(np.float32)


def separated(separator: DemucsSeparator, mix: Float32, pieces: int) -> Float32:
    cutter, joiner = (kind(len(mix), separator.segment()) for kind in (Cutter, Joiner))
    blocks = np.array_split(mix, pieces)
    chunks = (chunk for block in blocks for chunk in cutter.feed(block))  # type: ignore[union-attr]
    found = [joiner.add(one) for one in separator.vocals(chunks)]  # type: ignore[union-attr]
    assert joiner.complete  # type: ignore[union-attr]
    return np.concatenate(found)


SEGMENT_LENGTH = int(SEGMENT * 44100)


@pytest.mark.parametrize(
    "samples", [1, SEGMENT_LENGTH - 1, SEGMENT_LENGTH, SEGMENT_LENGTH + 1, 80001]
)
def test_the_result_is_that_of_the_vendors_own_apply_model(
    separator: DemucsSeparator, models: Path, samples: int
) -> None:
    import torch
    from demucs.apply import BagOfModels, apply_model
    from demucs.hf import load_safetensors_model

    mix = sound(samples)
    bag = BagOfModels([load_safetensors_model(models / NAME / "955717e8.safetensors")])
    theirs = apply_model(bag, torch.from_numpy(mix.T)[None], shifts=0, split=True, overlap=0.25)
    vocals = theirs[0, bag.sources.index("vocals")].T.numpy()
    assert samples < 1000 or vocals.std() > 1e-3  # there is something to compare
    np.testing.assert_allclose(separated(separator, mix, pieces=7), vocals, atol=1e-5)


def test_several_chunks_share_a_pass(separator: DemucsSeparator) -> None:
    sizes: list[int] = []
    with separator._model() as bag:
        handle = bag.models[0].register_forward_pre_hook(
            lambda _, given: sizes.append(len(given[0]))
        )
    chunks = [sound(separator.segment(), seed) for seed in range(4)]
    together = list(separator.vocals(iter(chunks)))
    assert sizes == [3, 1]
    handle.remove()
    alone = [next(iter(separator.vocals([chunk]))) for chunk in chunks]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-5)


def test_numbers_that_are_none_never_leave(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    write_htdemucs(tmp_path)
    path = tmp_path / NAME / "955717e8.safetensors"
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    state = {
        name: np.full_like(weight, np.nan) if name.startswith("tdecoder.2.") else weight
        for name, weight in load_file(path).items()
    }
    save_file(state, path, metadata)
    separator = DemucsSeparator(WeightStore(tmp_path), ModelPool(1))
    with pytest.raises(EngineFailed, match="numbers that are none"):
        list(separator.vocals([sound(separator.segment())]))


def test_the_tiny_model_comes_in_the_files_that_the_registry_names(models: Path) -> None:
    source = REGISTRY[NAME].source
    assert isinstance(source, HubFiles)
    assert {path.name for path in (models / NAME).iterdir()} == set(source.patterns)
    assert WeightStore(models).state(NAME) == "present"


def test_the_registry_names_what_the_package_would_fetch() -> None:
    from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name

    source = REGISTRY[NAME].source
    assert isinstance(source, HubFiles)
    assert source.repo == f"{DEFAULT_NAMESPACE}/{hf_repo_name(NAME)}"
    assert f"{NAME}.yaml" in source.patterns


def test_absent_weights_are_named_with_the_remedy(tmp_path: Path) -> None:
    separator = DemucsSeparator(WeightStore(tmp_path), ModelPool(1))
    assert "absent" in separator.engine
    with pytest.raises(EngineUnavailable, match="not on this machine") as caught:
        separator.open()
    assert caught.value.remedy == "python main.py models pull htdemucs"


def test_a_file_that_is_cut_short_is_named_with_the_remedy(tmp_path: Path) -> None:
    write_htdemucs(tmp_path)
    path = tmp_path / NAME / "955717e8.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(EngineUnavailable, match="cannot be read") as caught:
        DemucsSeparator(WeightStore(tmp_path), ModelPool(1)).open()
    assert caught.value.remedy == "python main.py models pull htdemucs --force"


def test_a_file_cannot_have_any_class_imported(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    write_htdemucs(tmp_path)
    evil = {"klass": "subprocess.Popen", "args": '["true"]', "kwargs": "{}"}
    save_file({"x": np.zeros(1)}, tmp_path / NAME / "955717e8.safetensors", evil)
    with pytest.raises(EngineUnavailable, match=r"subprocess\.Popen"):
        DemucsSeparator(WeightStore(tmp_path), ModelPool(1)).open()
