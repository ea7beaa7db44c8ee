"""OWLv2, by a tiny model in the vendor's own folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from reelscope.engines.owlv2 import NAME, Owlv2Detector
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY
from reelscope.engines.weights import WeightStore, wanted_files
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.media.images import RGB
from reelscope.settings import Detect
from reelscope.testing.owlv2 import write_owlv2
from reelscope.vision.detect import Found

pytestmark = pytest.mark.slow

PROMPTS = ["bottle", "a dog", "a red car", "phone"]
ALL = Detect(min_confidence=0.001, max_overlap=1.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_owlv2(root)
    return root


@pytest.fixture(scope="module")
def detector(models: Path) -> Iterator[Owlv2Detector]:
    detector = Owlv2Detector(WeightStore(models), ModelPool())
    yield detector
    detector.close()


def mosaic(height: int, width: int, *, seed: int = 0) -> RGB:
    """Squares of colours, eight along each side."""
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST)


def find(
    detector: Owlv2Detector, images: Sequence[RGB], settings: Detect = ALL
) -> list[list[Found]]:
    return detector.detect([lambda image=image: image for image in images], PROMPTS, settings)


def test_the_tiny_folder_has_the_files_of_the_registry(models: Path) -> None:
    assert WeightStore(models).state(NAME) == "present"
    assert {path.name for path in (models / NAME).iterdir()} == {*wanted_files(REGISTRY[NAME])}


@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (64, 64), (97, 31)])
def test_as_the_vendors_own_forward_pass(
    models: Path, detector: Owlv2Detector, shape: tuple[int, int]
) -> None:
    import torch
    from transformers import Owlv2ForObjectDetection, Owlv2Processor

    image, folder = mosaic(*shape), str(models / NAME)
    processor = Owlv2Processor.from_pretrained(folder, local_files_only=True)
    model = Owlv2ForObjectDetection.from_pretrained(folder, local_files_only=True).eval()
    inputs = processor(text=[PROMPTS], images=image, return_tensors="pt")
    with torch.inference_mode():
        output = model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        output, threshold=0.001, target_sizes=[shape], text_labels=[PROMPTS]
    )
    order = theirs["scores"].argsort(descending=True)
    boxes = theirs["boxes"][order].clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([shape[1], shape[0]] * 2))
    visible = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    (ours,) = find(detector, [image])
    assert len(ours) == int(visible.sum()) > 2
    assert len({found.term for found in ours}) > 1
    assert [f.term for f in ours] == theirs["labels"][order][visible].tolist()
    wanted = theirs["scores"][order][visible].tolist()
    assert [f.confidence for f in ours] == pytest.approx(wanted, abs=1e-5)
    assert np.allclose([f.box for f in ours], boxes[visible].numpy(), atol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (3, 50), (640, 360), (359, 641)])
def test_boxes_lie_inside_pictures_of_any_shape(
    detector: Owlv2Detector, shape: tuple[int, int]
) -> None:
    (found,) = find(detector, [mosaic(*shape)])
    for left, top, right, bottom in (f.box for f in found):
        assert 0 <= left < right <= shape[1]
        assert 0 <= top < bottom <= shape[0]
    confidences = [f.confidence for f in found]
    assert confidences == sorted(confidences, reverse=True)


def test_boxes_refer_to_the_picture_and_not_to_its_padding(detector: Owlv2Detector) -> None:
    """A wide picture is padded below. With the padding drawn into it the model sees the same,
    so the boxes are the same where the picture is."""
    wide = mosaic(90, 160)
    square = np.zeros((160, 160, 3), np.uint8)
    square[:90] = wide
    (within,), (padded,) = find(detector, [wide]), find(detector, [square])
    expected = {
        (f.term, left, top, right, min(bottom, 90.0))
        for f in padded
        for left, top, right, bottom in [f.box]
        if top < 90
    }
    assert any(f.box[3] > 90 for f in padded), "the test needs boxes that reach the padding"
    assert {(f.term, *f.box) for f in within} == expected


def test_a_result_does_not_depend_on_the_neighbours(detector: Owlv2Detector) -> None:
    shapes = [(64, 36), (36, 64), (64, 36), (1, 1), (50, 50)]
    images = [mosaic(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    for image, found in zip(images, find(detector, images), strict=True):
        (alone,) = find(detector, [image])
        assert [f.term for f in alone] == [f.term for f in found]
        assert np.allclose([f.box for f in alone], [f.box for f in found], atol=0.02)


def test_of_boxes_that_overlap_the_surest_is_kept(detector: Owlv2Detector) -> None:
    image = mosaic(64, 64)
    (every,) = find(detector, [image])
    (few,) = find(detector, [image], Detect(min_confidence=0.001, max_overlap=0.2))
    assert 0 < len(few) < len(every)
    assert few[0] == every[0]
    for n, one in enumerate(few):
        for other in few[n + 1 :]:
            assert one.term != other.term or overlap(one, other) <= 0.21
    (two,) = find(detector, [image], Detect(min_confidence=0.001, max_overlap=1, max_per_frame=2))
    assert two == every[:2]


def overlap(one: Found, other: Found) -> float:
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    both = max(right - left, 0) * max(bottom - top, 0)
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in (one, other)]
    return both / (sum(areas) - both)


def test_the_threshold_is_the_makers_unless_one_is_set(detector: Owlv2Detector) -> None:
    image = mosaic(64, 64)
    (usual,) = find(detector, [image], Detect(max_overlap=1.0))
    (every,) = find(detector, [image])
    assert usual == [f for f in every if f.confidence > 0.1]
    assert len(usual) < len(every)


def test_the_tokenizer_reads_the_files_of_the_folder(detector: Owlv2Detector) -> None:
    with detector._model() as loaded:
        tokens = loaded.tokenizer.convert_ids_to_tokens(loaded.tokenizer("Car a DOG")["input_ids"])
    assert tokens == ["<|startoftext|>", "car</w>", "a</w>", "dog</w>", "<|endoftext|>"]


def test_words_that_are_too_long_are_cut_and_logged(
    detector: Owlv2Detector, caplog: pytest.LogCaptureFixture
) -> None:
    image = mosaic(64, 64)
    with caplog.at_level(logging.WARNING):
        (found,) = detector.detect([lambda: image], ["x" * 70, "dog"], ALL)
    assert found
    assert "72 tokens, of which owlv2-base reads 16" in caplog.text


def test_nothing_to_look_at(detector: Owlv2Detector) -> None:
    assert find(detector, []) == []


def test_missing_weights_name_the_remedy(tmp_path: Path) -> None:
    detector = Owlv2Detector(WeightStore(tmp_path), ModelPool())
    assert detector.weights == (NAME,)
    with pytest.raises(EngineUnavailable, match="models pull owlv2-base"):
        detector.open()


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "vocab.json", "merges.txt"])
def test_a_file_cut_short_is_named(models: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(models / NAME, tmp_path / NAME)
    path = tmp_path / NAME / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(EngineUnavailable, match=r"owlv2-base.* --force"):
        Owlv2Detector(WeightStore(tmp_path), ModelPool()).open()


def test_weights_that_are_not_all_there_are_refused(models: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(models / NAME, tmp_path / NAME)
    path = tmp_path / NAME / "model.safetensors"
    state = load_file(path)
    del state["box_head.dense2.weight"]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(EngineUnavailable, match="1 weights are missing"):
        Owlv2Detector(WeightStore(tmp_path), ModelPool()).open()


def test_values_that_are_no_numbers_fail(models: Path) -> None:
    import torch

    detector = Owlv2Detector(WeightStore(models), ModelPool())
    with detector._model() as loaded, torch.no_grad():
        loaded.model.box_head.dense2.bias.fill_(float("nan"))
    with pytest.raises(EngineFailed, match="no numbers"):
        find(detector, [mosaic(32, 32)])
