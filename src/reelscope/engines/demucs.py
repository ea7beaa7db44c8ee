"""Demucs (MIT licence): htdemucs, which takes voices out of a mix.

Rouard, Massa, Defossez: Hybrid Transformers for Music Source Separation, ICASSP 2023.
The weights are read by the package's own loader from explicit paths; nothing is fetched.
The package gives one file at a time to the model, however short (its issue 164): here the
chunks of several videos share a forward pass. How a sound is cut is in audio/overlap.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from reelscope.audio.separate import RATE_HZ
from reelscope.engines.ahead import ahead
from reelscope.engines.batching import Batches
from reelscope.engines.pool import ModelPool
from reelscope.engines.single import SingleModel
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed
from reelscope.media.audio import Samples

if TYPE_CHECKING:
    from demucs.apply import BagOfModels

NAME = "htdemucs"
KINDS = ("demucs.htdemucs.HTDemucs",)
"""Classes that a file of weights may ask for: the loader would import any that it names."""
CHUNKS_AT_ONCE = {"cpu": 1, "cuda": 16}
"""On a processor four at once took as long as one by one, and 1.4 GB more memory."""


class DemucsSeparator(SingleModel["BagOfModels"]):
    """The voices in chunks of sound.

    Args:
        store: where the weights are.
        pool: who holds the model.
        at_once: chunks that share a forward pass to begin with; None: by the device.
    """

    name = NAME
    growth = 2

    def __init__(self, store: WeightStore, pool: ModelPool, *, at_once: int | None = None) -> None:
        super().__init__(store, pool)
        self._batches = {
            kind: Batches(NAME, at_once or size) for kind, size in CHUNKS_AT_ONCE.items()
        }

    def segment(self) -> int:
        """Samples of a chunk at 44.1 kHz: what the model was trained with."""
        with self._model() as model:
            return _segment(model)

    def vocals(self, chunks: Iterable[Samples]) -> Iterator[Samples]:
        """The voices in each chunk, in order; one forward pass takes several.

        Args:
            chunks: float32 (segment, 2) at 44.1 kHz of about mean 0 and deviation 1; asked
                for by another thread, while the model works.

        Yields:
            float32 (segment, 2).

        Raises:
            EngineFailed: the model's answer is no sound.
        """
        with self._model() as model:
            device = str(next(model.parameters()).device)
            batches = self._batches[device.partition(":")[0]]
            with closing(ahead(iter(chunks), batches.size)) as given:
                while held := list(islice(given, batches.size)):
                    yield from batches.map(lambda some: _forward(model, some), held)

    def _read(self, folder: Path, device: str) -> BagOfModels:
        return _read(folder).to(device).eval()


def _read(folder: Path) -> BagOfModels:
    """As `demucs.hf.get_hf_model` does with what it has fetched."""
    from demucs.apply import BagOfModels
    from demucs.hf import load_safetensors_model

    bag = yaml.safe_load((folder / f"{NAME}.yaml").read_text(encoding="utf-8"))
    paths = [folder / f"{Path(signature).name}.safetensors" for signature in bag["models"]]
    for path in paths:
        _check_kind(path)
    models = [load_safetensors_model(path) for path in paths]
    model = BagOfModels(models, bag.get("weights"), bag.get("segment"))
    if (model.samplerate, model.audio_channels) != (RATE_HZ, 2) or "vocals" not in model.sources:
        raise ValueError("it is no model of vocals in stereo at 44.1 kHz")
    return model


def _check_kind(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
    if metadata.get("klass") not in KINDS:
        raise ValueError(f"{path.name} asks for {json.dumps(metadata.get('klass'))}")


def _segment(model: BagOfModels) -> int:
    return int(model.max_allowed_segment * RATE_HZ)


def _forward(model: BagOfModels, chunks: Sequence[Samples]) -> list[Samples]:
    """One pass over chunks of one length.

    All in single precision, as Demucs' own commands do: what half precision does to the
    voices nobody has published (facebookresearch/demucs issue 553 asks), and the spectrogram
    goes back to sound through complex numbers, which have no half precision to speak of.
    """
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(chunks)).to(device).transpose(1, 2).contiguous()
        at, total, weight = model.sources.index("vocals"), torch.zeros_like(batch), 0.0
        for one, weights in zip(model.models, model.weights, strict=True):
            total += one(batch)[:, at] * weights[at]
            weight += weights[at]
        vocals = (total / weight).transpose(1, 2).float().cpu().numpy()
    if not np.isfinite(vocals).all():
        raise EngineFailed(f"{NAME} gave numbers that are none")
    return list(np.ascontiguousarray(vocals))
