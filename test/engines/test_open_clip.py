"""The adapter on a tiny CLIP in the vendor's own files, beside the vendor's own calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from reelscope.engines.open_clip import OpenClipEmbedder, Vectors, load, squares
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.media.images import RGB
from reelscope.testing.open_clip import write_clip

pytestmark = pytest.mark.slow

NAME = "clip-ViT-B-32"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_clip(folder, NAME)
    return folder


@pytest.fixture(scope="module")
def embedder(root: Path) -> OpenClipEmbedder:
    made = OpenClipEmbedder("ViT-B-32", WeightStore(root), ModelPool())
    made.open()
    return made


def encode(embedder: OpenClipEmbedder, images: Sequence[RGB]) -> Vectors:
    return embedder.encode_images([partial(np.copy, image) for image in images])


def noise(height: int, width: int, seed: int = 0) -> RGB:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.kron(small, np.ones((-(-height // 6), -(-width // 6), 1), np.uint8))[:height, :width]


def test_square_pictures_give_what_the_vendor_gives(root: Path, embedder: OpenClipEmbedder) -> None:
    import torch
    from open_clip import create_model_and_transforms
    from PIL import Image

    vendor, _, prepare = create_model_and_transforms(f"local-dir:{root / NAME}")
    vendor.eval()
    images = [noise(64, 64, seed) for seed in range(5)]
    with torch.no_grad():
        stack = torch.stack([prepare(Image.fromarray(image)) for image in images])
        wanted = vendor.encode_image(stack, normalize=True).numpy()
    found = encode(embedder, images)
    assert found.shape == (5, 16)
    assert found.dtype == np.float32
    assert np.allclose(found, wanted, atol=2e-3)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found[0] @ found[1]) < 0.9999  # the test can tell pictures apart


def test_texts_give_what_the_vendor_gives(root: Path, embedder: OpenClipEmbedder) -> None:
    import open_clip
    import torch

    texts = ["a photo of a lipstick.", "", "shoe", "naïve ☕ 日本", "word " * 200]
    vendor = load(root / NAME, "cpu").clip
    with torch.no_grad():
        wanted = vendor.encode_text(open_clip.tokenize(texts), normalize=True).numpy()
    assert np.allclose(embedder.encode_texts(texts), wanted, atol=1e-5)
    assert np.allclose(embedder.encode_texts(texts[:1]), wanted[:1], atol=1e-5)


def test_a_picture_is_the_mean_of_the_squares_that_cover_it(embedder: OpenClipEmbedder) -> None:
    tall = noise(455, 256)
    parts = encode(embedder, [tall[:256], tall[-256:]])
    mean = parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0))
    assert np.allclose(encode(embedder, [tall])[0], mean, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        ((256, 256), [(0, 0)]),
        ((256, 262), [(0, 3)]),
        ((455, 256), [(0, 0), (199, 0)]),
        ((256, 341), [(0, 0), (0, 85)]),
        ((100, 1000), [(0, 0), (0, 300), (0, 600), (0, 900)]),
        ((1, 1), [(0, 0)]),
    ],
)
def test_squares_cover_a_picture(size: tuple[int, int], corners: list[tuple[int, int]]) -> None:
    assert squares(*size) == corners


def test_mixed_sizes_in_one_pass_are_as_each_alone(embedder: OpenClipEmbedder) -> None:
    images = [noise(455, 256), noise(1, 1), noise(256, 455), noise(455, 256, 3), noise(16, 2048)]
    together = encode(embedder, images)
    alone = np.concatenate([encode(embedder, [image]) for image in images])
    assert np.allclose(together, alone, atol=1e-5)


def test_nothing_gives_nothing(embedder: OpenClipEmbedder) -> None:
    assert len(encode(embedder, [])) == 0
    assert len(embedder.encode_texts([])) == 0


def test_it_says_who_it_is(embedder: OpenClipEmbedder) -> None:
    assert embedder.engine == f"open_clip {version('open-clip-torch')} ViT-B-32 by hand"
    assert embedder.weights == (NAME,)
    assert embedder.scale() == pytest.approx(1 / 0.07, rel=1e-3)


def test_quick_gelu_is_on_whatever_the_config_says(root: Path, tmp_path: Path) -> None:
    write_clip(tmp_path, NAME)
    config = tmp_path / NAME / "open_clip_config.json"
    facts = json.loads(config.read_text())
    del facts["model_cfg"]["quick_gelu"]
    config.write_text(json.dumps(facts))
    other = OpenClipEmbedder("ViT-B-32", WeightStore(tmp_path), ModelPool())
    first = OpenClipEmbedder("ViT-B-32", WeightStore(root), ModelPool())
    image = noise(64, 64)
    assert np.array_equal(encode(other, [image]), encode(first, [image]))


@pytest.mark.parametrize("damage", ["cut short", "another model", "no config"])
def test_damaged_files_are_named_with_the_remedy(tmp_path: Path, damage: str) -> None:
    write_clip(tmp_path, NAME)
    weights, config = (
        tmp_path / NAME / file for file in ("open_clip_model.safetensors", "open_clip_config.json")
    )
    if damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "another model":
        config.write_text(config.read_text().replace('"layers": 1', '"layers": 2'))
    else:
        config.write_text("{}")
    made = OpenClipEmbedder("ViT-B-32", WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineUnavailable) as caught:
        made.open()
    assert caught.value.remedy == f"python main.py models pull {NAME} --force"


def test_missing_weights_are_told_at_once(tmp_path: Path) -> None:
    made = OpenClipEmbedder("ViT-L-14", WeightStore(tmp_path), ModelPool())
    assert made.engine == f"open_clip {version('open-clip-torch')} ViT-L-14 absent"
    with pytest.raises(EngineUnavailable, match="clip-ViT-L-14 are not on this machine"):
        made.open()


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_clip(tmp_path, NAME)
    path = tmp_path / NAME / "open_clip_model.safetensors"
    state = load_file(path)
    state["visual.proj"][:] = float("nan")
    save_file(state, path)
    made = OpenClipEmbedder("ViT-B-32", WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineFailed, match="no numbers"):
        encode(made, [noise(32, 32)])
