"""Audio Spectrogram Transformer (BSD-3-Clause), fine-tuned on AudioSet, from transformers.

Gong, Chung, Glass: AST: Audio Spectrogram Transformer, Interspeech 2021. It tells of 10 s
of sound how likely each of AudioSet's 527 classes is in them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.sparse import csr_array

from reelscope.audio.sounds import RATE_HZ
from reelscope.engines.ahead import ahead
from reelscope.engines.batching import Batches
from reelscope.engines.pool import ModelPool
from reelscope.engines.single import SingleModel
from reelscope.engines.weights import WeightStore
from reelscope.errors import EngineFailed

if TYPE_CHECKING:
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

Float32 = NDArray[np.float32]

NAME = "ast-audioset"
WINDOWS_AT_ONCE = {"cpu": 2, "cuda": 64}
FRAME, STEP, TRANSFORM = 400, 160, 512
"""Samples of a spectrum, from one to the next, and of its transform: Kaldi's 25 and 10 ms."""
PREEMPHASIS = 0.97
FLOOR = 1.192092955078125e-07


@dataclass(frozen=True)
class _Loaded:
    """The model with what prepares its input."""

    model: ASTForAudioClassification
    extractor: ASTFeatureExtractor
    filters: csr_array
    labels: tuple[str, ...]

    def features(self, samples: Float32) -> Float32:
        """The model's picture of a window, float32 (1024, 128).

        The same numbers as ASTFeatureExtractor without torchaudio, in a fifth of the time
        (11 ms a window against 59 on one core; a video of 15 s has nine windows, and a GPU
        should be done with all of its stages in a second).
        """
        extractor = self.extractor
        padded = np.pad(samples, (0, max(FRAME - len(samples), 0)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::STEP]
        bands = _log_mel(frames[: extractor.max_length].astype(np.float64), self.filters)
        whole = np.zeros((extractor.max_length, self.filters.shape[0]), np.float32)
        whole[: len(bands)] = bands
        if extractor.do_normalize:
            whole = (whole - np.float32(extractor.mean)) / np.float32(extractor.std * 2)
        return whole

    def forward(self, features: Sequence[Float32]) -> list[Float32]:
        """One pass over the features of several windows."""
        import torch

        device = self.model.device
        half = device.type == "cuda"
        with torch.inference_mode(), torch.autocast("cuda") if half else nullcontext():
            batch = torch.from_numpy(np.stack(features)).to(device)
            chances = self.model(batch).logits.float().sigmoid().cpu().numpy()
        if not np.isfinite(chances).all():
            raise EngineFailed(f"{NAME} gave numbers that are none")
        return list(chances)


class SpectrogramTagger(SingleModel[_Loaded]):
    """How likely each class of AudioSet is in windows of sound."""

    name = NAME

    def __init__(self, store: WeightStore, pool: ModelPool, *, at_once: int | None = None) -> None:
        super().__init__(store, pool)
        self._batches = {
            kind: Batches(NAME, at_once or size) for kind, size in WINDOWS_AT_ONCE.items()
        }

    def labels(self) -> tuple[str, ...]:
        """The names that the model's own configuration gives its classes."""
        with self._model() as loaded:
            return loaded.labels

    def probabilities(self, windows: Iterable[Float32]) -> Iterator[Float32]:
        """One probability per class, float32 (classes,), 0-1, for each window, in order.

        Args:
            windows: float32 (n,) at 16 kHz; what is longer than 10.24 s is not heard. They
                are asked for by another thread, while the model works.

        Raises:
            EngineFailed: the model's answer is no probability.
        """
        with self._model() as loaded:
            device = str(loaded.model.device)
            batches = self._batches[device.partition(":")[0]]
            with closing(ahead(map(loaded.features, windows), batches.size)) as given:
                while held := list(islice(given, batches.size)):
                    yield from batches.map(loaded.forward, held)

    def _read(self, folder: Path, device: str) -> _Loaded:
        return _read(folder, device)


def _read(folder: Path, device: str) -> _Loaded:
    import torch
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    with quietly():
        extractor = ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
        given: Any = ASTForAudioClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        model, told = given
        # the package fills what a file lacks with random numbers, and only warns
        if lacking := [*told["missing_keys"], *told["mismatched_keys"]]:
            raise ValueError(f"{len(lacking)} of its tensors are missing, {lacking[0]} is one")
        if extractor.sampling_rate != RATE_HZ:
            raise ValueError(f"it hears {extractor.sampling_rate} Hz")
        names = model.config.id2label
        labels = tuple(str(names[index]) for index in range(model.config.num_labels))
        return _Loaded(model.to(device).eval(), extractor, _filters(extractor), labels)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the package's own progress bars, and without its complaint that the lowest of
    AST's 128 bands are narrower than a step of the spectrum: so they were in training."""
    import transformers.utils.logging

    chatter: Any = transformers.utils.logging  # its functions have no types
    chatter.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        yield


def _filters(extractor: ASTFeatureExtractor) -> csr_array:
    """(bands, 257), mostly 0: as ASTFeatureExtractor makes them where there is no torchaudio."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=TRANSFORM // 2 + 1,
        num_mel_filters=extractor.num_mel_bins,
        min_frequency=20,
        max_frequency=extractor.sampling_rate // 2,
        sampling_rate=extractor.sampling_rate,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return csr_array(filters.T)


def _log_mel(frames: NDArray[np.float64], filters: csr_array) -> NDArray[np.float64]:
    """Kaldi's log mel power of each frame, (frames, bands).

    As transformers.audio_utils.spectrogram with the arguments of ASTFeatureExtractor.
    """
    frames = frames - frames.mean(axis=1, keepdims=True)
    raised = frames.copy()
    raised[:, 1:] -= PREEMPHASIS * frames[:, :-1]
    raised[:, 0] *= 1 - PREEMPHASIS
    spectrum = rfft(raised * np.hanning(FRAME), TRANSFORM, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(np.log(np.maximum((filters @ power.T).T, FLOOR)))
