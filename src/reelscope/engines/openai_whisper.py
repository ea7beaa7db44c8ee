"""openai-whisper (MIT): the published model in PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reelscope.engines import device as devices
from reelscope.engines.weights import importing, require
from reelscope.engines.whisper import Decoded, Samples, Timing, Whisper, padded

if TYPE_CHECKING:
    import torch
    from whisper import Whisper as Model

SAMPLES = 5
"""Texts drawn at temperatures above 0 (whisper/transcribe.py, --best_of)."""
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
"""Signs that belong to the word after and before (whisper/transcribe.py)."""
SEED = 0
_ALIGNING = threading.Lock()
"""`find_alignment` switches a variable of the package's class (whisper/model.py,
disable_sdpa), which workers of several devices would switch back too early."""


class OpenAiWhisper(Whisper["torch.Tensor"]):
    """Writes down speech with openai-whisper."""

    package = "openai-whisper"
    weights_name = "openai-whisper-"
    cpu_memory = gpu_memory = 2.0  # four bytes a number; the package casts them for each pass

    def _load(self, device: str) -> OpenAiModel:
        require(self.package)
        with importing(self.package):
            import whisper

        with self._store.reading(self.name) as folder:
            model = whisper.load_model(str(folder / f"{self.size}.pt"), device=device)
            # load_model sets these for a name alone, not for a file
            model.set_alignment_heads(whisper._ALIGNMENT_HEADS[self.size])
        return OpenAiModel(model.eval())


class OpenAiModel:
    """A loaded model of openai-whisper; the attributes are those of `WhisperModel[E]`."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._half = model.device.type != devices.CPU
        self.multilingual = bool(model.is_multilingual)
        self._english = self._speaking("en")
        self.end_of_text = int(self._english.eot)
        self.timestamp_begin = int(self._english.timestamp_begin)

    def encode(self, sounds: Sequence[Samples]) -> torch.Tensor:
        """Spectrograms of 30 s through the encoder, (n, 1500, state)."""
        import torch
        import whisper

        device, mels = self._model.device, self._model.dims.n_mels
        pictures = [whisper.log_mel_spectrogram(padded(s), mels, device=device) for s in sounds]
        features = torch.stack(pictures)
        with torch.inference_mode():
            found: torch.Tensor = self._model.encoder(features.half() if self._half else features)
        return found

    def pick(self, encoded: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Some of the encoded sounds."""
        return encoded[list(rows)]

    def languages(self, encoded: torch.Tensor) -> list[dict[str, float]]:
        """The probability of each language, by sound."""
        import torch

        with torch.inference_mode():
            _, found = self._model.detect_language(encoded, self._english)
        return list(found)

    def decode(self, encoded: torch.Tensor, language: str, temperature: float) -> list[Decoded]:
        """The most likely next token each time, or the best of some drawn texts above 0.

        The package's beam search asks the device for every number of every beam: with many
        sounds at once it costs more than it brings. Its `best_of` repeats the texts but not
        the sounds, and breaks with more than one of them: here the sounds are repeated.
        """
        import torch
        from whisper.decoding import DecodingOptions, decode

        drawn = SAMPLES if temperature > 0 else 1
        # on a processor the package would warn of 16 bits, and count with 32
        options = DecodingOptions(language=language, temperature=temperature, fp16=self._half)
        mine = [encoded.device] if self._half else []
        with torch.random.fork_rng(devices=mine), torch.inference_mode():
            torch.manual_seed(SEED)
            results = decode(self._model, encoded.repeat_interleave(drawn, dim=0), options)
        best = [
            max(results[first : first + drawn], key=lambda result: result.avg_logprob)
            for first in range(0, len(results), drawn)
        ]
        return [Decoded(r.tokens, float(r.avg_logprob), float(r.no_speech_prob)) for r in best]

    def align(
        self,
        encoded: torch.Tensor,
        language: str,
        *,
        tokens: Sequence[list[int]],
        frames: Sequence[int],
    ) -> list[list[Timing]]:
        """Words by the decoder's attention (whisper/timing.py), one sound after the other."""
        from whisper.timing import find_alignment, merge_punctuations

        model, tokenizer = _Decoder(self._model), self._speaking(language)
        found = []
        for features, text, count in zip(encoded, tokens, frames, strict=True):
            with _ALIGNING:
                words = find_alignment(model, tokenizer, text, features, count)
            merge_punctuations(words, PREPENDED, APPENDED)
            found.append([_timing(word) for word in words])
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """The text of text tokens."""
        return str(self._english.decode(list(tokens)))

    def _speaking(self, language: str) -> Any:
        from whisper.tokenizer import get_tokenizer

        model = self._model
        return get_tokenizer(
            self.multilingual,
            num_languages=model.num_languages,
            language=language,
            task="transcribe",
        )


class _Decoder:
    """The model as `find_alignment` uses it, for sounds that are encoded already."""

    def __init__(self, model: Model) -> None:
        self.device, self.dims, self.decoder = model.device, model.dims, model.decoder
        self.alignment_heads = model.alignment_heads

    def __call__(self, features: torch.Tensor, tokens: torch.Tensor) -> Any:
        return self.decoder(tokens, features)


def _timing(word: Any) -> Timing:
    return Timing(
        word=word.word,
        tokens=len(word.tokens),
        start_s=float(word.start),
        end_s=float(word.end),
        probability=float(word.probability),
    )
