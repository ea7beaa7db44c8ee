"""OWLv2 through transformers (Apache-2.0): finds what words describe.

Minderer et al. 2023, "Scaling Open-Vocabulary Object Detection". The alternative to
YOLO-World for who cannot take its licence: slower, as it looks at 960 x 960 pixels with a
vision transformer.

The words are encoded once per vocabulary, not with every picture as the model's own
`forward` does: the 108 words of the packaged one would add a sixth to the time of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from reelscope.engines.batching import Batches
from reelscope.engines.lookahead import Lookahead
from reelscope.engines.pool import ModelPool
from reelscope.engines.single import SingleModel
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed
from reelscope.media.images import RGB
from reelscope.settings import Detect
from reelscope.vision.detect import Found, inside

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
NAME = "owlv2-base"
PACKAGE = "transformers"
MIN_CONFIDENCE = 0.1
"""The package's own (Owlv2Processor.post_process_grounded_object_detection)."""
IMAGES = {"cpu": 2, "cuda": 16}
"""In a forward pass to begin with."""
TEXTS = 256
"""Words in a forward pass to begin with."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model on its device, with what prepares its inputs.

    Attributes:
        model: transformers.Owlv2ForObjectDetection.
        pictures: transformers.Owlv2ImageProcessor.
        tokenizer: transformers.CLIPTokenizer.
        places: tokens that a prompt may have, with the two that mark its ends.
        device: "cpu" or "cuda:0".
    """

    model: Any
    pictures: Any
    tokenizer: Any
    places: int
    device: str


class Owlv2Detector(SingleModel[Loaded]):
    """Finds things in pictures.

    Args:
        store: where the weights are.
        pool: who keeps the model loaded.
    """

    name = NAME

    def __init__(self, store: WeightStore, pool: ModelPool) -> None:
        super().__init__(store, pool)
        self._batches = {kind: Batches(NAME, images) for kind, images in IMAGES.items()}
        self._texts = Batches(NAME, TEXTS)
        self._vectors: tuple[tuple[str, ...], torch.Tensor] | None = None

    def detect(
        self, pictures: Sequence[Callable[[], RGB]], prompts: Sequence[str], settings: Detect
    ) -> list[list[Found]]:
        """What is found in each picture, the surest first.

        Args:
            pictures: give uint8 (h, w, 3) RGB each, shortly before they are looked at.
            prompts: what to look for; what is longer than 14 tokens is cut off, and logged.
            settings: thresholds.

        Raises:
            EngineFailed: the model gives no numbers (NaN).
        """
        if not pictures or not prompts:
            return [[] for _ in pictures]
        with self._model() as loaded:
            vectors = self._encode(loaded, tuple(prompts)).to(loaded.device)
            forward = partial(_forward, loaded, vectors, settings)
            batches = self._batches[loaded.device.partition(":")[0]]
            with Lookahead(pictures) as images:
                return batches.map(forward, images)

    def _encode(self, loaded: Loaded, prompts: tuple[str, ...]) -> torch.Tensor:
        """The words' vectors, float32 (n, d) on the processor; made once per vocabulary."""
        import torch

        if self._vectors is None or self._vectors[0] != prompts:
            rows = self._texts.map(partial(_encode_texts, loaded), prompts)
            self._vectors = prompts, torch.stack(rows)
        return self._vectors[1]

    def _read(self, folder: Path, device: str) -> Loaded:
        return load(folder, device)


def load(folder: Path, device: str) -> Loaded:
    """Read the model from its folder; nothing else is looked at.

    Raises:
        ValueError: the file lacks weights, which transformers would fill at random.
    """
    vendor = _vendor()
    vendor.utils.logging.disable_progress_bar()  # a run draws its own
    model, report = vendor.Owlv2ForObjectDetection.from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if lacking := sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"])):
        raise ValueError(f"{len(lacking)} weights are missing or misshapen, such as {lacking[0]}")
    return Loaded(
        model=model.float().to(device).eval(),
        pictures=vendor.Owlv2ImageProcessor.from_pretrained(str(folder), local_files_only=True),
        tokenizer=vendor.CLIPTokenizer.from_pretrained(str(folder), local_files_only=True),
        places=model.config.text_config.max_position_embeddings,
        device=device,
    )


def _vendor() -> Any:
    """transformers, whose classes mypy cannot follow."""
    import transformers

    return transformers


def _encode_texts(loaded: Loaded, prompts: Sequence[str]) -> list[torch.Tensor]:
    """As Owlv2Model's forward; the class head brings them to unit length."""
    import torch

    for prompt in prompts:
        if (count := len(loaded.tokenizer(prompt, verbose=False)["input_ids"])) > loaded.places:
            log.warning(
                "%r has %d tokens, of which %s reads %d", prompt, count, NAME, loaded.places
            )
    tokens = loaded.tokenizer(
        list(prompts),
        padding="max_length",
        truncation=True,
        max_length=loaded.places,
        return_tensors="pt",
    ).to(loaded.device)
    with torch.inference_mode():
        found = loaded.model.owlv2.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
    return list(found.pooler_output.float().cpu())


def _forward(
    loaded: Loaded, vectors: torch.Tensor, settings: Detect, images: Sequence[RGB]
) -> list[list[Found]]:
    """One batch of pictures of any sizes: each is padded to a square and resized.

    The heads count in 32 bits: with 16, boxes are off by a pixel.
    """
    import torch

    inputs = loaded.pictures(
        images=[np.ascontiguousarray(image) for image in images],
        input_data_format="channels_last",  # a picture of 3 rows looks like one of 3 colours
        return_tensors="pt",
        device=loaded.device,
    )
    kind = loaded.device.partition(":")[0]
    with torch.inference_mode():
        with torch.autocast(device_type=kind, dtype=torch.float16, enabled=kind == "cuda"):
            cells, _ = loaded.model.image_embedder(inputs["pixel_values"].to(loaded.device))
        cells = cells.float()
        flat = cells.flatten(1, 2)
        logits, _ = loaded.model.class_predictor(flat, vectors.expand(len(images), -1, -1))
        boxes = loaded.model.box_predictor(flat, cells)
        if not bool(logits.isfinite().all() and boxes.isfinite().all()):
            raise EngineFailed(f"{NAME} gives values that are no numbers")
        results = loaded.pictures.post_process_object_detection(
            SimpleNamespace(logits=logits, pred_boxes=boxes),
            threshold=settings.min_confidence or MIN_CONFIDENCE,
            target_sizes=[image.shape[:2] for image in images],  # it knows of the padding
        )
        return [
            _found(result, image.shape[:2], settings)
            for result, image in zip(results, images, strict=True)
        ]


def _found(result: dict[str, Any], shape: tuple[int, ...], settings: Detect) -> list[Found]:
    """Of boxes that overlap the surest; cut to the picture, those in the padding left out."""
    from torchvision.ops import batched_nms

    height, width = shape
    kept = batched_nms(
        result["boxes"], result["scores"], result["labels"], settings.max_overlap
    ).tolist()
    corners, scores, words = (result[key].tolist() for key in ("boxes", "scores", "labels"))
    found = [
        Found(words[n], scores[n], box)
        for n in kept
        if (box := inside(corners[n], width=width, height=height))
    ]
    return found[: settings.max_per_frame]
