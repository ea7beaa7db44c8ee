"""YOLO-World through ultralytics (AGPL-3.0): finds what words describe. The one file that
imports the package; see docs/adr/012-ultralytics-yolo-world.md.

Cheng et al. 2024, "YOLO-World: Real-Time Open-Vocabulary Object Detection". The words'
vectors come from open_clip with the very weights that YOLO-World was trained with, so that
the package's own text encoder, which it would install from GitHub and fetch weights for
when `set_classes` is called (ultralytics issues 9240 and 11681), is never touched.

Pictures go through the package's own LetterBox, forward pass and suppression, but not
through its predictor: that ignores `batch=` for lists (issue 25406), prepares pictures of
one size differently when they come with others, and reports each picture to its log.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.engines import device as devices
from reelscope.engines.batching import Batches
from reelscope.engines.lookahead import Lookahead
from reelscope.engines.open_clip import OpenClipEmbedder
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY, UrlFile
from reelscope.engines.weights import WeightStore, installed, require
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.media.images import RGB
from reelscope.settings import Detect
from reelscope.vision.detect import Found, inside

PACKAGE, EXTRA = "ultralytics", "yolo"
TEXT_MODEL = "ViT-B-32"
"""YOLO-World's words are vectors of OpenAI's CLIP ViT-B/32 (ultralytics nn/tasks.py,
WorldModel.get_text_pe)."""
MIN_CONFIDENCE = 0.25
"""The package's own (cfg/default.yaml: conf)."""
BEYOND_PX = 1024
"""A box reaches at most 15 cells of 32 pixels over an edge of the picture (DFL, reg_max 16)."""
IMAGES = {"cpu": 4, "cuda": 32}
"""In a forward pass to begin with; more than a few gain nothing on a processor."""
OTHER = "or models.detector.engine: owlv2"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model on its device.

    Attributes:
        model: ultralytics.nn.tasks.WorldModel.
        device: "cpu" or "cuda:0".
        stride: sides of its input are multiples of this, pixels.
        text_numbers: length of a word's vector.
        lock: it keeps grids between passes: one thread at a time (ultralytics issue 13673).
    """

    model: Any
    device: str
    stride: int
    text_numbers: int
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as the model takes it.

    Attributes:
        pixels: uint8 (h, w, 3) RGB, sides multiples of the stride, grey bars around it.
        shape: height and width of the picture itself.
    """

    pixels: RGB
    shape: tuple[int, int]


class YoloWorldDetector:
    """Finds things in pictures.

    Args:
        size: "s", "m", "l" or "x".
        store: where the weights are.
        pool: who keeps the models loaded.
    """

    def __init__(self, size: str, store: WeightStore, pool: ModelPool) -> None:
        self.name = f"yolo-world-{size}"
        self._store = store
        self._pool = pool
        self._texts = OpenClipEmbedder(TEXT_MODEL, store, pool)
        self._batches = {kind: Batches(self.name, images) for kind, images in IMAGES.items()}
        self._vectors: tuple[tuple[str, ...], NDArray[np.float32]] | None = None

    @property
    def engine(self) -> str:
        """The package's version, and the revisions of both sets of weights."""
        package = f"{PACKAGE} {installed(PACKAGE) or ''}".strip()
        revisions = " ".join(f"{name} {self._store.revision(name)}" for name in self.weights)
        return f"{package} {revisions}"

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry: the detector's, and those that the words are read with."""
        return (self.name, *self._texts.weights)

    def open(self) -> None:
        """Load the models.

        Raises:
            EngineUnavailable: a package or weights are missing, a file is no such model, or
                the two sets of weights do not go together.
        """
        self._check_package()
        self._store.require(self.weights)
        self._texts.open()
        numbers = self._texts.encode_texts(["a"]).shape[1]
        with self._model() as loaded:
            if numbers != loaded.text_numbers:
                raise EngineUnavailable(
                    f"the weights {self.name} read words of {loaded.text_numbers} numbers, "
                    f"{self._texts.name} writes {numbers}",
                    remedy=f"python main.py models pull {' '.join(self.weights)} --force",
                )

    def close(self) -> None:
        """Let go of the models."""
        self._pool.release(self.name)
        self._texts.close()

    def detect(
        self, pictures: Sequence[Callable[[], RGB]], prompts: Sequence[str], settings: Detect
    ) -> list[list[Found]]:
        """What is found in each picture, the surest first.

        Args:
            pictures: give uint8 (h, w, 3) RGB each, shortly before they are looked at.
            prompts: what to look for.
            settings: thresholds, and the longest side that is looked at.

        Raises:
            EngineFailed: the model gives no numbers (NaN).
        """
        if not pictures or not prompts:
            return [[] for _ in pictures]
        vectors = self._encode(tuple(prompts))
        with self._model() as loaded:
            makers = [
                partial(_prepare, picture, settings.image_size, loaded.stride)
                for picture in pictures
            ]
            forward = partial(_forward, loaded, vectors, settings, self.name)
            batches = self._batches[loaded.device.partition(":")[0]]
            with Lookahead(makers) as prepared:
                return batches.map(forward, prepared)

    def _encode(self, prompts: tuple[str, ...]) -> NDArray[np.float32]:
        """The words' vectors, float32 (n, d) of unit length; made once per vocabulary."""
        if self._vectors is None or self._vectors[0] != prompts:
            self._vectors = prompts, self._texts.encode_texts(prompts)
        return self._vectors[1]

    def _check_package(self) -> None:
        try:
            require(PACKAGE, extra=EXTRA)
        except EngineUnavailable as missing:
            raise EngineUnavailable(missing.reason, remedy=f"{missing.remedy} {OTHER}") from None

    def _model(self) -> AbstractContextManager[Loaded]:
        return self._pool.lease(self.name, self._load, size_mb=2 * REGISTRY[self.name].size_mb)

    def _load(self, device: str) -> Loaded:
        self._check_package()
        source = REGISTRY[self.name].source
        assert isinstance(source, UrlFile)  # noqa: S101  (a fact of the registry, for the types)
        with self._store.reading(self.name) as folder:
            return load(folder / source.name, device, config_folder=self._store.root)


def load(path: Path, device: str, *, config_folder: Path) -> Loaded:
    """Read a YOLO-World checkpoint.

    The file is a pickle, which could run code. The package's restricted loader
    (ultralytics pull request 24829) refuses all but known classes; it does not check what
    those are told, so only files that `models verify` approves of should be used.

    Args:
        path: of the .pt file.
        device: "cpu" or "cuda:0".
        config_folder: where the package may keep its settings.

    Raises:
        TypeError: it is no YOLO-World checkpoint.
    """
    import torch

    with quiet_import(config_folder):
        from ultralytics.nn.tasks import WorldModel, torch_safe_load
    checkpoint, _ = torch_safe_load(path, safe_only=True)  # type: ignore[no-untyped-call]
    model = checkpoint.get("ema") or checkpoint.get("model")
    if not isinstance(model, WorldModel):
        raise TypeError(f"it holds a {type(model).__name__}, not a YOLO-World model")
    for layer in model.modules():  # of files from before torch 1.11 (nn/tasks.py, load_checkpoint)
        if isinstance(layer, torch.nn.Upsample) and not hasattr(layer, "recompute_scale_factor"):
            layer.recompute_scale_factor = None
    fused: Any = model.float().fuse(verbose=False)  # type: ignore[no-untyped-call]
    head = fused.model[-1]
    return Loaded(
        model=fused.eval().to(device).requires_grad_(requires_grad=False),
        device=device,
        stride=int(max(fused.stride.max().item(), 32)),
        text_numbers=head.cv3[0][-1].out_channels,
    )


@contextmanager
def quiet_import(config_folder: Path) -> Iterator[None]:
    """Import ultralytics without what it does to the process around it.

    By itself it would write ~/.config/Ultralytics, ask the net whether there is one,
    install packages with pip, log to the terminal, leave OpenCV and (imported before torch)
    torch with a single thread, and change how numpy prints (ultralytics __init__.py and
    utils/__init__.py). Its variables are read on import alone.
    """
    import cv2
    import torch  # noqa: F401  (first: the package limits the threads of what comes after it)
    import torchvision  # noqa: F401  (the package suppresses faster if it is there)

    quiet = {
        "YOLO_CONFIG_DIR": str(config_folder.absolute()),
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "YOLO_VERBOSE": "false",
    }
    environ, threads, printing = dict(os.environ), cv2.getNumThreads(), np.get_printoptions()
    os.environ.update({key: value for key, value in quiet.items() if key not in environ})
    try:
        yield
    finally:
        for key in os.environ.keys() - environ.keys():
            del os.environ[key]
        os.environ.update(environ)
        cv2.setNumThreads(threads)
        np.set_printoptions(**printing)


def _prepare(picture: Callable[[], RGB], image_size: int, stride: int) -> Prepared:
    """Shrunk or enlarged until it fits, with grey bars up to the next multiple of the stride.

    What a picture becomes does not depend on its neighbours, so neither does its result.
    """
    from ultralytics.data.augment import LetterBox

    image = picture()
    pixels = LetterBox(image_size, auto=True, stride=stride)(image=image)
    return Prepared(np.ascontiguousarray(pixels), (image.shape[0], image.shape[1]))


def _forward(
    loaded: Loaded,
    vectors: NDArray[np.float32],
    settings: Detect,
    name: str,
    pictures: Sequence[Prepared],
) -> list[list[Found]]:
    """One batch: a pass for each size among its pictures."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, picture in enumerate(pictures):
        by_shape.setdefault(picture.pixels.shape, []).append(number)
    found: list[list[Found]] = [[] for _ in pictures]
    for numbers in by_shape.values():
        rows = _pass(loaded, np.stack([pictures[n].pixels for n in numbers]), vectors, settings)
        if rows is None:
            raise EngineFailed(f"{name} gives values that are no numbers")
        for n, boxes in zip(numbers, rows, strict=True):
            found[n] = _found(boxes, pictures[n])
    return found


def _pass(
    loaded: Loaded, pixels: NDArray[np.uint8], vectors: NDArray[np.float32], settings: Detect
) -> list[NDArray[np.float32]] | None:
    """Boxes in the prepared pictures' pixels, (n, 6) each: corners, confidence, word.

    Returns:
        One array per picture; None: the model gave NaN or infinity.
    """
    import torch
    from ultralytics.utils.nms import non_max_suppression

    with loaded.lock, torch.inference_mode():
        images = torch.from_numpy(pixels).to(loaded.device).permute(0, 3, 1, 2)
        texts = torch.from_numpy(vectors)[None].to(loaded.device)
        loaded.model.model[-1].nc = len(vectors)  # as WorldModel.set_classes does
        with _autocast(loaded.device):
            output = loaded.model(images.float().div_(255), txt_feats=texts)[0].float()
        if not bool(output.isfinite().all()):
            return None
        rows = non_max_suppression(
            output,
            conf_thres=settings.min_confidence or MIN_CONFIDENCE,
            iou_thres=settings.max_overlap,
            max_det=settings.max_per_frame,
            nc=len(vectors),
            max_time_img=math.inf,  # it would leave out the pictures that it has no time for
            max_wh=settings.image_size + BEYOND_PX,
        )
        return [boxes.cpu().numpy() for boxes in rows]


def _found(boxes: NDArray[np.float32], picture: Prepared) -> list[Found]:
    """The same in the picture's own pixels, cut to it."""
    from ultralytics.utils.ops import scale_boxes

    height, width = picture.shape
    scale_boxes(picture.pixels.shape[:2], boxes[:, :4], picture.shape)
    return [
        Found(int(word), min(max(confidence, 0.0), 1.0), box)
        for *corners, confidence, word in boxes.tolist()
        if (box := inside(corners, width=width, height=height))
    ]


def _autocast(device: str) -> AbstractContextManager[Any]:
    import torch

    if device == devices.CPU:
        return nullcontext()
    return torch.autocast(device_type="cuda", dtype=torch.float16)
