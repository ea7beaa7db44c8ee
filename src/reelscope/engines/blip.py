"""BLIP through transformers (Apache-2.0): a sentence about a picture.

BLIP: Li et al. 2022, "Bootstrapping Language-Image Pre-training". transformers 5 has no
`image-to-text` pipeline any more; the model and its processor are called directly, from
the folder of weights alone. Beam search without sampling: the same pictures give the same
sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reelscope.engines.batching import Batches
from reelscope.engines.lookahead import Lookahead
from reelscope.engines.pool import ModelPool
from reelscope.engines.single import SingleModel
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed
from reelscope.media.images import RGB

if TYPE_CHECKING:
    import torch

NAME = "blip-base"
PACKAGE = "transformers"
IMAGES = 16
"""In a forward pass to begin with."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model on its device, with its processor.

    Attributes:
        model: transformers.BlipForConditionalGeneration.
        processor: transformers.BlipProcessor.
        device: "cpu" or "cuda:0".
    """

    model: Any
    processor: Any
    device: str


class BlipCaptioner(SingleModel[Loaded]):
    """Sentences about pictures.

    Args:
        store: where the weights are.
        pool: who keeps the model loaded.
    """

    name = NAME

    def __init__(self, store: WeightStore, pool: ModelPool) -> None:
        super().__init__(store, pool)
        self._batches = Batches(NAME, IMAGES)

    def caption(
        self, pictures: Sequence[Callable[[], RGB]], *, beams: int, max_tokens: int
    ) -> list[str]:
        """One sentence per picture, or an empty text; pictures may come from several videos.

        Args:
            pictures: give uint8 (h, w, 3) RGB each, of any sizes; called shortly before they
                are needed, by several threads. Squeezed to a square, as the model was tested
                (salesforce/BLIP, data/__init__.py).
            beams: sentences that are weighed against one another; 1: the next best word.
            max_tokens: pieces of words at most.

        Raises:
            EngineFailed: the model gives no numbers (NaN).
        """
        with self._model() as loaded, Lookahead(pictures) as images:
            forward = partial(_captions, loaded, beams=beams, max_tokens=max_tokens)
            return self._batches.map(forward, images)

    def _read(self, folder: Path, device: str) -> Loaded:
        return load(folder, device)


def load(folder: Path, device: str) -> Loaded:
    """Read the model from its folder; nothing else is looked at.

    Raises:
        ValueError: the file lacks weights, which transformers would fill at random.
    """
    vendor = _vendor()
    vendor.utils.logging.disable_progress_bar()  # a run draws its own
    model, report = vendor.BlipForConditionalGeneration.from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if lacking := sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"])):
        raise ValueError(f"{len(lacking)} weights are missing or misshapen, such as {lacking[0]}")
    processor = vendor.BlipProcessor.from_pretrained(str(folder), local_files_only=True)
    return Loaded(model=model.float().to(device).eval(), processor=processor, device=device)


def _vendor() -> Any:
    """transformers, whose classes mypy cannot follow."""
    import transformers

    return transformers


def _captions(loaded: Loaded, images: Sequence[RGB], *, beams: int, max_tokens: int) -> list[str]:
    import torch

    inputs = loaded.processor.image_processor(
        images=[np.ascontiguousarray(image) for image in images],
        input_data_format="channels_last",  # a picture of 3 rows looks like one of 3 colours
        return_tensors="pt",
        device=loaded.device,
    )
    kind = loaded.device.partition(":")[0]
    with (
        torch.inference_mode(),
        torch.autocast(device_type=kind, dtype=torch.float16, enabled=kind == "cuda"),
    ):
        tokens = loaded.model.generate(
            pixel_values=inputs["pixel_values"].to(loaded.device),
            num_beams=beams,  # no generation_config: BLIP's own code adds arguments to it
            max_new_tokens=max_tokens,
            do_sample=False,
            logits_processor=_vendor().LogitsProcessorList([_refuse_nan]),
        )
    found: list[str] = loaded.processor.batch_decode(tokens, skip_special_tokens=True)
    return found


def _refuse_nan(_tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    if bool(scores.isnan().any()):
        raise EngineFailed(f"{NAME} gives values that are no numbers")
    return scores
