"""A tiny YOLO-World with seeded random weights, as a checkpoint of ultralytics' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reelscope.engines.registry import REGISTRY, UrlFile
from reelscope.engines.yolo_world import quiet_import
from reelscope.testing.open_clip import TINY as TINY_CLIP

TEXT_NUMBERS: int = TINY_CLIP["embed_dim"]

TINY: dict[str, Any] = {
    "nc": 80,
    "scale": "t",
    "scales": {"t": [0.33, 0.125, 256]},
    "backbone": [
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 3, "C2f", [128, True]],
        [-1, 1, "Conv", [256, 3, 2]],
        [-1, 6, "C2f", [256, True]],
        [-1, 1, "Conv", [512, 3, 2]],
        [-1, 6, "C2f", [512, True]],
        [-1, 1, "Conv", [1024, 3, 2]],
        [-1, 3, "C2f", [1024, True]],
        [-1, 1, "SPPF", [1024, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 6], 1, "Concat", [1]],
        [-1, 3, "C2fAttn", [512, 256, 8, TEXT_NUMBERS]],
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 4], 1, "Concat", [1]],
        [-1, 3, "C2fAttn", [256, 128, 4, TEXT_NUMBERS]],
        [15, 1, "Conv", [256, 3, 2]],
        [[-1, 12], 1, "Concat", [1]],
        [-1, 3, "C2fAttn", [512, 256, 8, TEXT_NUMBERS]],
        [-1, 1, "Conv", [512, 3, 2]],
        [[-1, 9], 1, "Concat", [1]],
        [-1, 3, "C2fAttn", [1024, 512, 16, TEXT_NUMBERS]],
        [[15, 18, 21], 1, "WorldDetect", ["nc", TEXT_NUMBERS, True]],
    ],
}
"""cfg/models/v8/yolov8-worldv2.yaml, an eighth as wide as the full one, with short words."""

BOX_SPREAD, BIAS = 10.0, -3.0


def write_yolo_world(root: Path, name: str = "yolo-world-s", *, seed: int = 0) -> None:
    """A YOLO-World that reads the words of the tiny CLIP, about 1 MB.

    Its guesses are spread evenly around the threshold, so that a picture has a few
    findings of several words and sizes.

    Args:
        root: the folder of all weights.
        name: in the registry.
        seed: of the weights.
    """
    import torch

    with quiet_import(root):
        from ultralytics import __version__
        from ultralytics.nn.tasks import DetectionModel, WorldModel
    source = REGISTRY[name].source
    assert isinstance(source, UrlFile)  # noqa: S101
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # WorldModel.__init__ with words of another length than its 512 numbers
        model: Any = WorldModel.__new__(WorldModel)
        model.txt_feats, model.clip_model = torch.randn(1, TINY["nc"], TEXT_NUMBERS), None
        DetectionModel.__init__(model, TINY, verbose=False)  # type: ignore[no-untyped-call]
        _wake(model)
    model.args = {}
    checkpoint = {"epoch": -1, "model": model.half(), "ema": None, "version": __version__}
    torch.save(checkpoint, folder / source.name)


def _wake(model: Any) -> None:
    """Make the answers depend on the picture.

    A network of fresh random weights says nearly the same of every picture. Here each layer
    is given the mean and spread of what reaches it, as training would; then a few guesses
    in a thousand are surer than 0.25, and boxes differ in size.
    """
    import torch
    from torch.nn import BatchNorm2d

    for layer in model.modules():
        if isinstance(layer, BatchNorm2d):
            layer.momentum = None  # the mean of all passes
    pictures = torch.cat(
        [
            torch.nn.functional.interpolate(torch.rand(2, 3, cells, cells), size=(320, 320))
            for cells in (1, 5, 20, 80, 320)
        ]
    )
    with torch.no_grad():
        model.train()(pictures)
        head = model.eval().model[-1]
        for boxes, words in zip(head.cv2, head.cv4, strict=True):
            boxes[-1].weight.mul_(BOX_SPREAD)
            words.logit_scale.fill_(0.0)
            words.bias.fill_(BIAS)
