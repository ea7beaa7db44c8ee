"""The store of weights: what is there, what is whole, and what loaders' complaints mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelscope.engines.weights import (
    FileSum,
    Manifest,
    WeightStore,
    entry,
    is_out_of_memory,
    require,
    sha256_of,
    write_manifest,
)
from reelscope.errors import EngineFailed, EngineUnavailable, UsageError

NAME = "openai-whisper-tiny"


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    (tmp_path / NAME).mkdir()
    path = tmp_path / NAME / "tiny.pt"
    path.write_bytes(b"weights")
    found = FileSum(sha256=sha256_of(path), size_bytes=7)
    manifest = Manifest(source="x", revision="cafe" * 10, files={"tiny.pt": found})
    write_manifest(tmp_path / NAME, manifest)
    return WeightStore(tmp_path)


def test_what_is_absent_comes_with_its_command(tmp_path: Path) -> None:
    store = WeightStore(tmp_path / "models")
    assert store.state(NAME) == "absent"
    assert store.revision(NAME) == "absent"
    with pytest.raises(EngineUnavailable) as caught:
        store.locate(NAME)
    assert caught.value.remedy == f"python main.py models pull {NAME}"


def test_several_sets_come_with_one_command(store: WeightStore) -> None:
    store.require([NAME])
    with pytest.raises(EngineUnavailable) as caught:
        store.require([NAME, "blip-base", "htdemucs"])
    assert caught.value.remedy == "python main.py models pull blip-base htdemucs"
    with pytest.raises(EngineUnavailable, match="blip-base are not on"):
        store.require([NAME, "blip-base"])


def test_a_file_cut_short_is_incomplete(store: WeightStore) -> None:
    assert (store.state(NAME), store.revision(NAME)) == ("present", "cafecafecafe")
    (store.folder(NAME) / "tiny.pt").write_bytes(b"weig")
    assert store.state(NAME) == "incomplete"


def test_an_unreadable_manifest_is_none(store: WeightStore) -> None:
    (store.folder(NAME) / "reelscope-manifest.json").write_text("{]")
    assert store.manifest(NAME) is None
    assert store.revision(NAME) == "by hand"


@pytest.mark.parametrize("error", [RuntimeError("bad magic"), EOFError(), KeyError("dims")])
def test_a_loaders_complaint_about_a_damaged_file_names_it(
    error: Exception, store: WeightStore
) -> None:
    path = store.folder(NAME) / "tiny.pt"
    path.write_bytes(b"wEights")
    damaged = pytest.raises(EngineUnavailable, match=r"tiny\.pt is damaged")
    with damaged as caught, store.reading(NAME):
        raise error
    assert caught.value.remedy == f"python main.py models pull {NAME} --force"


def test_what_a_package_cannot_import_is_no_fault_of_the_weights(store: WeightStore) -> None:
    lacking = pytest.raises(EngineUnavailable, match="openai-whisper does not import")
    with lacking as caught, store.reading(NAME):
        raise ModuleNotFoundError("No module named 'torch'")
    assert "'torch'" in caught.value.reason
    assert caught.value.remedy == 'pip install "reelscope[neural]"'


def test_a_complaint_about_whole_files_does_not_call_them_damaged(store: WeightStore) -> None:
    with pytest.raises(EngineUnavailable, match="cannot be read"), store.reading(NAME):
        raise RuntimeError("unknown layer")


@pytest.mark.parametrize(
    "error", [MemoryError(), EngineFailed("no"), RuntimeError("CUDA out of memory")]
)
def test_other_troubles_of_loading_stay_what_they_are(error: Exception, store: WeightStore) -> None:
    with pytest.raises(type(error)) as caught, store.reading(NAME):
        raise error
    assert caught.value is error


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="htdemucs"):
        entry("demucs")


def test_a_missing_package_names_the_extra() -> None:
    assert require("numpy")
    with pytest.raises(EngineUnavailable) as caught:
        require("no-such-package", extra="yolo")
    assert caught.value.remedy == 'pip install "reelscope[yolo]"'


def test_real_exhaustion_of_memory_is_recognised() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**52, dtype=torch.float64)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
