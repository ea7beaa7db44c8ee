"""The registry against the constants that the vendors' own packages carry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from reelscope.engines.registry import REGISTRY, HubFiles, InPackage, UrlFile
from reelscope.engines.weights import installed
from reelscope.records import STAGE_VALUES
from reelscope.settings import Detector, Embedder, Whisper


def choices(section: type, key: str) -> tuple[str, ...]:
    return get_args(section.model_fields[key].annotation)  # type: ignore[attr-defined]


def test_names_are_safe_as_folders_and_unique() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.\-]*", name) for name in REGISTRY)
    assert len({name.lower() for name in REGISTRY}) == len(REGISTRY)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_entry_is_complete(name: str) -> None:
    weights = REGISTRY[name]
    assert weights.licence
    assert weights.size_mb > 0
    assert weights.role in STAGE_VALUES, "the role is a stage's name"
    assert installed(weights.package), "the full list of requirements brings every package"
    if isinstance(weights.source, HubFiles):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", weights.source.repo)
        assert all("/" not in pattern for pattern in weights.source.patterns)
    if isinstance(weights.source, UrlFile):
        assert weights.source.url.startswith("https://")
    assert isinstance(weights.source, InPackage) == (weights.extra is None)


def test_every_choice_of_the_settings_has_weights() -> None:
    for size in choices(Whisper, "size"):
        assert {f"faster-whisper-{size}", f"openai-whisper-{size}"} <= REGISTRY.keys()
    for size in choices(Detector, "size"):
        assert f"yolo-world-{size}" in REGISTRY
    for model in choices(Embedder, "model"):
        assert f"clip-{model}" in REGISTRY


def test_openai_whisper_files_are_the_packages_own() -> None:
    import whisper

    ours = {name: w.source for name, w in REGISTRY.items() if w.package == "openai-whisper"}
    for name, source in ours.items():
        assert isinstance(source, UrlFile)
        url = whisper._MODELS[name.removeprefix("openai-whisper-")]
        assert (source.url, source.sha256) == (url, url.split("/")[-2])
    known = {size for size in whisper._MODELS if size not in {"large", "turbo"}}
    assert {name.removeprefix("openai-whisper-") for name in ours} == known


def test_faster_whisper_repositories_are_the_packages_own() -> None:
    from faster_whisper.utils import _MODELS

    for name, weights in REGISTRY.items():
        if weights.package == "faster-whisper":
            assert isinstance(weights.source, HubFiles)
            assert weights.source.repo == _MODELS[name.removeprefix("faster-whisper-")]


def test_demucs_is_the_packages_own() -> None:
    import demucs
    import yaml
    from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name

    source = REGISTRY["htdemucs"].source
    assert isinstance(source, HubFiles)
    assert source.repo == f"{DEFAULT_NAMESPACE}/{hf_repo_name('htdemucs')}"
    assert demucs.__file__
    bag = yaml.safe_load((Path(demucs.__file__).parent / "remote/htdemucs.yaml").read_text())
    assert {f"{signature}.safetensors" for signature in bag["models"]} < set(source.patterns)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-L-14"])
def test_clip_weights_are_openais_with_quick_gelu(model: str) -> None:
    import open_clip

    config = open_clip.get_pretrained_cfg(f"{model}-quickgelu", "openai")
    source = REGISTRY[f"clip-{model}"].source
    assert isinstance(source, HubFiles)
    assert source.repo == config["hf_hub"].rstrip("/")
    assert config["quick_gelu"] is True
    assert open_clip.get_model_config(f"{model}-quickgelu")["quick_gelu"] is True


def test_yolo_world_files_are_the_packages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import inspect
    import tempfile

    monkeypatch.setenv("YOLO_CONFIG_DIR", tempfile.mkdtemp())  # it writes settings on import
    from ultralytics.utils import downloads

    release = inspect.signature(downloads.attempt_download_asset).parameters["release"].default
    for name, weights in REGISTRY.items():
        if weights.package == "ultralytics":
            assert isinstance(weights.source, UrlFile)
            assert weights.source.name in downloads.GITHUB_ASSETS_NAMES
            assert f"/ultralytics/assets/releases/download/{release}/" in weights.source.url
            assert weights.licence == "AGPL-3.0"
            assert weights.extra == "yolo", name
