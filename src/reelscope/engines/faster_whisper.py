"""faster-whisper (MIT): Whisper through CTranslate2, which counts in 8 or 16 bits.

The package's own `BatchedInferencePipeline` batches within one file; here its model,
tokenizer and spectrogram are used, and sounds of several videos share each pass.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reelscope.engines import device as devices
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore, importing, require
from reelscope.engines.whisper import (
    HOP,
    TEMPERATURES,
    Decoded,
    Samples,
    Timing,
    Whisper,
    padded,
)
from reelscope.errors import EngineUnavailable

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

BEAMS, SAMPLES = 5, 5
"""Texts followed side by side, and drawn at higher temperatures (the package's defaults)."""
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
"""Signs that belong to the word after and before (the package's defaults)."""
PREFERRED = {"cpu": ("int8", "float32"), "cuda": ("float16", "float32")}
FFT = 400
"""Samples in a window of the spectrogram (whisper/audio.py, N_FFT)."""
MOST_THREADS = 8
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Spectrograms, float32 (n, mels, 3000), and what the encoder made of them."""

    features: NDArray[np.float32]
    output: Any


class FasterWhisper(Whisper[Encoded]):
    """Writes down speech with faster-whisper.

    Args:
        size: of the weights, as in `models.whisper.size`.
        store: where the weights are.
        pool: which lends the model out.
        compute_type: as in `models.whisper.compute_type`.
        temperatures: tried one after the other.
    """

    package = "faster-whisper"
    weights_name = "faster-whisper-"
    cpu_memory, gpu_memory = 0.6, 1.0

    def __init__(
        self,
        size: str,
        store: WeightStore,
        pool: ModelPool,
        *,
        compute_type: str = "auto",
        temperatures: Sequence[float] = TEMPERATURES,
    ) -> None:
        super().__init__(size, store, pool, temperatures=temperatures)
        self.compute_type = compute_type

    @property
    def engine(self) -> str:
        """Package and version, size, numbers if they were chosen, revision of the weights."""
        chosen = "" if self.compute_type == "auto" else f" {self.compute_type}"
        return super().engine + chosen

    def _load(self, device: str) -> FasterModel:
        require(self.package)
        with importing(self.package):
            if device != devices.CPU:
                # CTranslate2 finds cuDNN and cuBLAS through torch's copies if torch came first
                # (OpenNMT/CTranslate2 issue 1826)
                import torch  # noqa: F401
            from faster_whisper import WhisperModel

        kind, _, index = device.partition(":")
        compute_type = self._compute_type(kind, int(index or 0))
        with self._store.reading(self.name) as folder:
            return FasterModel(
                WhisperModel(
                    str(folder),
                    device=kind,
                    device_index=int(index or 0),
                    compute_type=compute_type,
                    cpu_threads=min(os.cpu_count() or 1, MOST_THREADS),
                    local_files_only=True,
                ),
                device,
            )

    def _compute_type(self, kind: str, index: int) -> str:
        """What the device counts with.

        Raises:
            EngineUnavailable: it cannot count with what is set.
        """
        import ctranslate2

        can = ctranslate2.get_supported_compute_types(kind, index)
        wanted = PREFERRED[kind] if self.compute_type == "auto" else (self.compute_type,)
        found = next((name for name in wanted if name in can), None)
        if found is None:
            names = ", ".join(sorted(can))
            raise EngineUnavailable(
                f"{devices.current()} cannot count with {wanted[0]}",
                remedy=f"set models.whisper.compute_type to auto or one of {names}",
            )
        return found


class FasterModel:
    """A loaded model of faster-whisper; the attributes are those of `WhisperModel[E]`."""

    def __init__(self, model: WhisperModel, device: str) -> None:
        from faster_whisper.tokenizer import Tokenizer

        self._model = model
        self._device = device
        self._tokenizer = Tokenizer
        self.multilingual = bool(model.model.is_multilingual)
        english = self._speaking("en")
        self.end_of_text = int(english.eot)
        self.timestamp_begin = int(english.timestamp_begin)
        self._english = english

    def encode(self, sounds: Sequence[Samples]) -> Encoded:
        """Spectrograms of 30 s through the encoder."""
        extractor = self._model.feature_extractor
        if self._device == devices.CPU:
            found = np.stack([extractor(padded(sound), padding=0) for sound in sounds])
        else:
            found = spectrograms(sounds, extractor.mel_filters, device=self._device)
        features = np.ascontiguousarray(found, np.float32)
        return Encoded(features, self._model.encode(features))

    def pick(self, encoded: Encoded, rows: Sequence[int]) -> Encoded:
        """Encodes some again: CTranslate2 cuts no rows out of what it holds."""
        features = np.ascontiguousarray(encoded.features[list(rows)])
        return Encoded(features, self._model.encode(features))

    def languages(self, encoded: Encoded) -> list[dict[str, float]]:
        """The probability of each language, by sound."""
        found = self._model.model.detect_language(encoded.output)
        return [{token[2:-2]: float(p) for token, p in sound} for sound in found]

    def decode(self, encoded: Encoded, language: str, temperature: float) -> list[Decoded]:
        """Beam search, or the best of some drawn texts at temperatures above 0."""
        import ctranslate2
        from faster_whisper.transcribe import get_suppressed_tokens

        tokenizer = self._speaking(language)
        prompt = self._model.get_prompt(tokenizer, [])
        how: dict[str, Any] = {"beam_size": BEAMS}
        if temperature > 0:
            ctranslate2.set_random_seed(SEED)
            how = {
                "beam_size": 1,
                "num_hypotheses": SAMPLES,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        results = self._model.model.generate(
            encoded.output,
            [prompt] * len(encoded.features),
            max_length=self._model.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=list(get_suppressed_tokens(tokenizer, [-1])),
            **how,
        )
        return [_decoded(result) for result in results]

    def align(
        self, encoded: Encoded, language: str, *, tokens: Sequence[list[int]], frames: Sequence[int]
    ) -> list[list[Timing]]:
        """Words by the decoder's attention (find_alignment of the package)."""
        from faster_whisper.transcribe import merge_punctuations

        tokenizer = self._speaking(language)
        found = self._model.find_alignment(tokenizer, list(tokens), encoded.output, list(frames))
        for words in found:
            merge_punctuations(words, PREPENDED, APPENDED)
        return [[_timing(word) for word in words] for words in found]

    def text(self, tokens: Sequence[int]) -> str:
        """The text of text tokens."""
        return str(self._english.decode(list(tokens)))

    def _speaking(self, language: str) -> Any:
        model = self._model
        return self._tokenizer(
            model.hf_tokenizer, self.multilingual, task="transcribe", language=language
        )


def spectrograms(
    sounds: Sequence[Samples], filters: NDArray[np.float32], *, device: str
) -> NDArray[np.float32]:
    """Log-mel spectrograms of 30 s, float32 (n, mels, 3000), made on a device.

    The package makes them one by one with numpy, while a GPU would wait. The formula is that
    of whisper/audio.py, log_mel_spectrogram.

    Args:
        sounds: float32 (n,) at 16 kHz each.
        filters: the package's, float32 (mels, 201).
        device: torch's name of it.
    """
    import torch

    samples = torch.from_numpy(np.stack([padded(sound) for sound in sounds])).to(device)
    window = torch.hann_window(FFT, device=device)
    waves = torch.stft(samples, FFT, HOP, window=window, return_complex=True)
    mels = torch.from_numpy(filters).to(device) @ (waves[..., :-1].abs() ** 2)
    levels = mels.clamp(min=1e-10).log10()
    levels = torch.maximum(levels, levels.amax(dim=(1, 2), keepdim=True) - 8.0)
    found: NDArray[np.float32] = ((levels + 4.0) / 4.0).cpu().numpy()
    return found


def _decoded(result: Any) -> Decoded:
    """The package's own mean: the score is one over the tokens, the end of the text counts."""
    tokens = list(result.sequences_ids[0])
    total = result.scores[0] * len(tokens)
    return Decoded(tokens, total / (len(tokens) + 1), float(result.no_speech_prob))


def _timing(word: dict[str, Any]) -> Timing:
    return Timing(
        word=word["word"],
        tokens=len(word["tokens"]),
        start_s=float(word["start"]),
        end_s=float(word["end"]),
        probability=float(word["probability"]),
    )
