"""YOLO-World, by a tiny model in the vendor's own checkpoint format."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY, UrlFile
from reelscope.engines.weights import WeightStore
from reelscope.engines.yolo_world import YoloWorldDetector, quiet_import
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.media.images import RGB
from reelscope.settings import Detect
from reelscope.testing.open_clip import write_clip
from reelscope.testing.yolo_world import write_yolo_world
from reelscope.vision.detect import Found

PROMPTS = ["bottle", "perfume bottle", "dog", "a red car", "mobile phone"]
ANY = Detect(min_confidence=0.2, image_size=320)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_clip(root)
    write_yolo_world(root)
    return root


@pytest.fixture(scope="module")
def detector(models: Path) -> Iterator[YoloWorldDetector]:
    detector = YoloWorldDetector("s", WeightStore(models), ModelPool())
    yield detector
    detector.close()


def mosaic(height: int, width: int, *, seed: int = 0) -> RGB:
    """Squares of colours, about eight along the long side."""
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST)


def find(
    detector: YoloWorldDetector, images: Sequence[RGB], settings: Detect = ANY
) -> list[list[Found]]:
    return detector.detect([lambda image=image: image for image in images], PROMPTS, settings)


def vendor(models: Path, detector: YoloWorldDetector, image: RGB) -> list[Found]:
    """What the package's own predictor finds, given the same words."""
    import torch

    with quiet_import(models):
        from ultralytics import YOLOWorld
    source = REGISTRY["yolo-world-s"].source
    assert isinstance(source, UrlFile)
    world = YOLOWorld(models / "yolo-world-s" / source.name)
    world.model.txt_feats = torch.from_numpy(detector._encode(tuple(PROMPTS)))[None]
    world.model.model[-1].nc = len(PROMPTS)
    world.model.names = dict(enumerate(PROMPTS))
    (result,) = world.predict(
        np.ascontiguousarray(image[:, :, ::-1]),  # it takes BGR
        conf=ANY.min_confidence, iou=ANY.max_overlap, max_det=ANY.max_per_frame,
        imgsz=ANY.image_size, verbose=False, save=False, device="cpu",
    )  # fmt: skip
    return [
        Found(int(word), confidence, (left, top, right, bottom))
        for left, top, right, bottom, confidence, word in result.boxes.data.tolist()
    ]


@pytest.mark.parametrize("shape", [(320, 180), (180, 320), (333, 77), (97, 101)])
def test_as_the_vendors_own_predictor(
    models: Path, detector: YoloWorldDetector, shape: tuple[int, int], tmp_path: Path
) -> None:
    image = mosaic(*shape)
    ours, theirs = find(detector, [image])[0], vendor(models, detector, image)
    assert theirs, "the comparison needs findings"
    assert [f.term for f in ours] == [f.term for f in theirs]
    assert [f.confidence for f in ours] == pytest.approx([f.confidence for f in theirs], abs=1e-4)
    for mine, his in zip(ours, theirs, strict=True):
        assert mine.box == pytest.approx(his.box, abs=0.05)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (300, 1), (2, 2), (31, 33), (640, 360), (359, 641), (90, 1000)]
)
def test_boxes_lie_inside_pictures_of_any_shape(
    detector: YoloWorldDetector, shape: tuple[int, int]
) -> None:
    (found,) = find(detector, [mosaic(*shape)], Detect(min_confidence=0.01, image_size=320))
    assert found
    for left, top, right, bottom in (f.box for f in found):
        assert 0 <= left < right <= shape[1]
        assert 0 <= top < bottom <= shape[0]
    confidences = [f.confidence for f in found]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0.01 <= confidence <= 1 for confidence in confidences)
    assert {f.term for f in found} <= set(range(len(PROMPTS)))


@pytest.mark.parametrize("scale", [1, 2])
def test_the_bars_are_taken_off_again(detector: YoloWorldDetector, scale: int) -> None:
    """90 x 320 pixels get three rows of grey above and below. With these rows drawn into the
    picture the model sees the same, so the boxes differ by just those rows."""
    bare = mosaic(90, 320, seed=3)
    barred = np.full((96, 320, 3), 114, np.uint8)
    barred[3:93] = bare
    big = cv2.resize(bare, (320 * scale, 90 * scale), interpolation=cv2.INTER_NEAREST)
    (within,), (around,) = find(detector, [big]), find(detector, [barred])
    assert within
    expected = [
        (left * scale, max(top - 3, 0) * scale, right * scale, min(bottom - 3, 90) * scale)
        for left, top, right, bottom in (f.box for f in around)
    ]
    assert [f.confidence for f in within] == pytest.approx([f.confidence for f in around], abs=1e-4)
    for found, box in zip(within, expected, strict=True):
        assert found.box == pytest.approx(box, abs=0.05)


def test_a_result_does_not_depend_on_the_neighbours(detector: YoloWorldDetector) -> None:
    shapes = [(320, 180), (180, 320), (320, 180), (64, 64), (320, 184), (320, 180)]
    images = [mosaic(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    together = find(detector, images)
    assert any(together)
    for image, found in zip(images, together, strict=True):
        (alone,) = find(detector, [image])
        assert [f.term for f in alone] == [f.term for f in found]
        for one, other in zip(alone, found, strict=True):
            assert one.box == pytest.approx(other.box, abs=0.05)


def test_pictures_share_passes_and_a_pass_that_does_not_fit_is_halved(models: Path) -> None:
    detector = YoloWorldDetector("s", WeightStore(models), ModelPool())
    images = [mosaic(*shape) for shape in [(320, 180)] * 4 + [(180, 320)] * 2]
    sizes: list[int] = []
    most = 4

    def note(_: object, inputs: tuple[Any, ...]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > most:
            raise MemoryError

    with detector._model() as loaded:
        loaded.model.register_forward_pre_hook(note)
    found = find(detector, images)
    assert sizes == [4, 2]
    assert [len(f) for f in found[:4]] == [len(found[0])] * 4
    sizes.clear()
    most = 1
    assert [[x.term for x in f] for f in find(detector, images)] == [
        [x.term for x in f] for f in found
    ]
    assert sizes == [4, 2, *[1] * 6]


def test_the_words_matter(detector: YoloWorldDetector) -> None:
    image = mosaic(320, 180)
    (found,) = find(detector, [image])
    (turned,) = detector.detect([lambda: image], PROMPTS[::-1], ANY)
    assert found
    assert [len(PROMPTS) - 1 - f.term for f in turned] == [f.term for f in found]
    (single,) = detector.detect([lambda: image], PROMPTS[:1], ANY)
    assert {f.term for f in single} <= {0}


def test_at_most_so_many(detector: YoloWorldDetector) -> None:
    image = mosaic(320, 180)
    (all_of_them,) = find(detector, [image], Detect(min_confidence=0.01, image_size=320))
    (three,) = find(detector, [image], Detect(min_confidence=0.01, image_size=320, max_per_frame=3))
    assert three == all_of_them[:3]


def test_nothing_to_look_at(detector: YoloWorldDetector) -> None:
    assert find(detector, []) == []


def test_a_picture_that_cannot_be_read_raises(detector: YoloWorldDetector) -> None:
    def broken() -> RGB:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        detector.detect([broken], PROMPTS, ANY)


def test_missing_weights_name_the_remedy(tmp_path: Path) -> None:
    detector = YoloWorldDetector("l", WeightStore(tmp_path), ModelPool())
    assert detector.weights == ("yolo-world-l", "clip-ViT-B-32")
    assert "absent" in detector.engine
    with pytest.raises(EngineUnavailable, match=r"models pull .*clip-ViT-B-32"):
        detector.open()
    write_clip(tmp_path)
    with pytest.raises(EngineUnavailable, match="models pull yolo-world-l"):
        detector.open()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a checkpoint", b"\x80\x04."])
def test_a_damaged_file_is_named(models: Path, tmp_path: Path, content: bytes) -> None:
    write_clip(tmp_path)
    folder = tmp_path / "yolo-world-s"
    folder.mkdir()
    (folder / "yolov8s-worldv2.pt").write_bytes(content)
    with pytest.raises(EngineUnavailable, match=r"yolo-world-s.* --force"):
        YoloWorldDetector("s", WeightStore(tmp_path), ModelPool()).open()


def test_a_file_cut_short_is_named(models: Path, tmp_path: Path) -> None:
    write_clip(tmp_path)
    folder = tmp_path / "yolo-world-s"
    folder.mkdir()
    whole = (models / "yolo-world-s" / "yolov8s-worldv2.pt").read_bytes()
    (folder / "yolov8s-worldv2.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineUnavailable, match=r"yolov8s-worldv2|yolo-world-s"):
        YoloWorldDetector("s", WeightStore(tmp_path), ModelPool()).open()


def test_a_pickle_that_runs_code_does_not(models: Path, tmp_path: Path) -> None:
    import torch

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    write_clip(tmp_path)
    folder = tmp_path / "yolo-world-s"
    folder.mkdir()
    torch.save({"model": Trap()}, folder / "yolov8s-worldv2.pt")
    with pytest.raises(EngineUnavailable, match="yolo-world-s"):
        YoloWorldDetector("s", WeightStore(tmp_path), ModelPool()).open()
    assert not (tmp_path / "sprung").exists()


def test_another_kind_of_model_is_refused(models: Path, tmp_path: Path) -> None:
    import torch

    write_clip(tmp_path)
    folder = tmp_path / "yolo-world-s"
    folder.mkdir()
    torch.save({"model": torch.nn.Linear(1, 1)}, folder / "yolov8s-worldv2.pt")
    with pytest.raises(EngineUnavailable, match="Linear, not a YOLO-World"):
        YoloWorldDetector("s", WeightStore(tmp_path), ModelPool()).open()


def test_values_that_are_no_numbers_fail(models: Path) -> None:
    import torch

    detector = YoloWorldDetector("s", WeightStore(models), ModelPool())
    with detector._model() as loaded, torch.no_grad():
        loaded.model.model[-1].cv2[0][-1].bias.fill_(float("nan"))
    with pytest.raises(EngineFailed, match="no numbers"):
        find(detector, [mosaic(64, 64)])


def test_weights_that_do_not_go_together_are_refused(models: Path, tmp_path: Path) -> None:
    import torch

    with quiet_import(models):
        from ultralytics.nn.tasks import WorldModel
    write_clip(tmp_path)
    (tmp_path / "yolo-world-s").mkdir()
    with torch.random.fork_rng(devices=[]):
        model = WorldModel("yolov8n-worldv2.yaml", verbose=False)
    torch.save({"model": model.half()}, tmp_path / "yolo-world-s" / "yolov8s-worldv2.pt")
    with pytest.raises(EngineUnavailable, match="words of 512 numbers, clip-ViT-B-32 writes 16"):
        YoloWorldDetector("s", WeightStore(tmp_path), ModelPool()).open()


def test_threads_that_use_one_detector_get_their_own_results(models: Path) -> None:
    detector = YoloWorldDetector("s", WeightStore(models), ModelPool())
    images = [mosaic(320, 180, seed=1), mosaic(180, 320, seed=2), mosaic(64, 64, seed=3)]
    alone = [find(detector, [image]) for image in images]
    with ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            assert list(threads.map(lambda image: find(detector, [image]), images)) == alone


WITHOUT = """
import pathlib
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.engines.yolo_world import YoloWorldDetector
from reelscope.errors import EngineUnavailable
detector = YoloWorldDetector("s", WeightStore(pathlib.Path("models")), ModelPool())
print(detector.engine)
try:
    detector.open()
except EngineUnavailable as missing:
    print(missing)
"""


def test_without_the_package_both_remedies_are_named(tmp_path: Path) -> None:
    """In a Python that has everything but this package."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("ultralytics"):
            (packages / path.name).symlink_to(path)
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (source, packages)))},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    engine, said = done.stdout.splitlines()
    assert engine == "ultralytics yolo-world-s absent clip-ViT-B-32 absent"
    assert said == (
        "the package ultralytics is not installed "
        '(pip install "reelscope[yolo]" or models.detector.engine: owlv2)'
    )


IMPORT = """
import os, sys, pathlib
import numpy as np, cv2
from reelscope.engines.yolo_world import quiet_import
before = dict(os.environ), cv2.getNumThreads(), np.get_printoptions()
assert "ultralytics" not in sys.modules and "torch" not in sys.modules
with quiet_import(pathlib.Path(sys.argv[1])):
    import ultralytics.nn.tasks
import torch
os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch's own
after = dict(os.environ), cv2.getNumThreads(), np.get_printoptions()
assert after == before, [(a, b) for a, b in zip(after, before) if a != b]
from ultralytics.utils import AUTOINSTALL, ONLINE, VERBOSE, SETTINGS_FILE
assert not AUTOINSTALL and not ONLINE and not VERBOSE
assert SETTINGS_FILE.is_relative_to(sys.argv[1]), SETTINGS_FILE
print(torch.get_num_threads(), "clip" in sys.modules)
"""


def test_the_package_leaves_the_process_and_the_home_folder_alone(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "models"
    home.mkdir()
    keep = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT, str(config)],
        env={**keep, "HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    threads, clip = done.stdout.split()
    assert int(threads) == (os.cpu_count() or 1) or int(threads) > 1
    assert clip == "False"
    assert not list(home.iterdir())
