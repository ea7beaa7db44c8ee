"""pocketsphinx (BSD-2-Clause): writes down English with the model that its wheel carries.

The last resort, for machines that have no weights and reach no hub. Its model dates from
2015. Of clear reading about six words in ten are right; of another language, of singing and
of noise it makes English words all the same, and nothing in its scores tells which. So it is
labelled low accuracy everywhere, and hears only what stage `voice` calls speech.

Settings are the package's own but for `topn`: what was tried is in
docs/adr/019-pocketsphinx.md. Cepstral mean and noise removal are set by the model's own
feat.params, which overrides what a caller says.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.transcribe import Heard, HeardSegment, Sound
from reelscope.engines.weights import installed, require
from reelscope.errors import EngineFailed, EngineUnavailable
from reelscope.records import TranscriptWord

if TYPE_CHECKING:
    from pocketsphinx import Decoder

RATE_HZ = 16000
FRAMES_PER_S = 100
TOP_GAUSSIANS = 8
"""Of a codebook's 128 that count for a frame; the default of 4 makes 3-10 % more mistakes."""
MODEL_FILES = ("en-us/mdef", "en-us.lm.bin", "cmudict-en-us.dict")
MIN_SAMPLES = RATE_HZ // 10
"""Less than 0.1 s holds no word; the decoder itself breaks on an empty sound."""
MIN_RMS = 0.01
"""Quieter sound is raised to `QUIET_TO_RMS` first: the decoder takes 16 bits, and of speech
at -60 dB only five of them are left. Louder sound is given as it is: the mean of the cepstra
is taken out, so the level itself changes nothing."""
QUIET_TO_RMS = 0.05
SILENT_RMS = 1e-5
"""Below the last of 16 bits there is nothing to hear; of pure silence the decoder makes "of"."""
SENTENCE_GAP_S = 0.5
"""A silence between two words that ends a segment."""
LONGEST_SEGMENT_S = 10.0
MAX_DECODERS = 4
"""They let go of Python's lock while they work, and take about 100 MB each."""
LOWEST_PROBABILITY = 1e-6
"""For the logarithm: the decoder rounds smaller ones to 0."""

_REPAIR = "pip install --force-reinstall pocketsphinx"
_VARIANT = re.compile(r"\(\d+\)$")  # "read(2)": the second pronunciation in the dictionary
_FILLERS = ("<", "[", "+")  # <s>, <sil>, [NOISE], ++NOISE++


class PocketSphinxTranscriber:
    """English words with times and posterior probabilities. Several threads may use one."""

    weights: tuple[str, ...] = ("pocketsphinx-en-us",)
    accuracy: Literal["normal", "low"] = "low"
    languages: tuple[str, ...] = ("en",)

    def __init__(self) -> None:
        self._idle: LifoQueue[Decoder] = LifoQueue()

    @property
    def engine(self) -> str:
        """The package's version; its model comes with it."""
        return " ".join(part for part in ("pocketsphinx", installed("pocketsphinx")) if part)

    def open(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: package or model are missing, or the model does not load.
        """
        require("pocketsphinx", extra=None)
        for name in MODEL_FILES:
            _model_file(name)
        if self._idle.empty():
            self._idle.put(_load())

    def transcribe(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What is said in each sound, taken for English.

        Words are those of the dictionary, in lower case, without punctuation. Their
        probabilities are posteriors of the word lattice: of words below 0.75 about 60 %
        are right, of those above 0.95 about 90 % (readings of ../shared/corpus).

        Raises:
            EngineFailed: the decoder broke.
        """
        workers = min(len(sounds), MAX_DECODERS, os.cpu_count() or 1)
        if workers <= 1:
            return [self._hear(sound) for sound in sounds]
        with ThreadPoolExecutor(workers, thread_name_prefix="pocketsphinx") as threads:
            return list(threads.map(self._hear, sounds))

    def close(self) -> None:
        """Let go of the models."""
        self._idle = LifoQueue()

    def _hear(self, sound: Sound) -> Heard:
        segments: tuple[HeardSegment, ...] = ()
        rms = _rms(sound.samples)
        if len(sound.samples) >= MIN_SAMPLES and rms >= SILENT_RMS:
            idle = self._idle
            try:
                decoder = idle.get_nowait()
            except Empty:
                decoder = _load()
            words = _decode(decoder, _as_int16(sound.samples, rms), sound.duration_s)
            idle.put(decoder)  # one that broke is not put back
            segments = tuple(_segment(group) for group in _sentences(words))
        return Heard(segments, language="en")


def _decode(decoder: Decoder, pcm: bytes, duration_s: float) -> list[TranscriptWord]:
    """All words of a sound.

    Raises:
        EngineFailed: the decoder broke.
    """
    try:
        # Without this the noise estimate of the sound before changes the words of this one.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(pcm, no_search=False, full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is None:
            return []
        found = [(s.word, s.start_frame, s.end_frame + 1, s.prob) for s in decoder.seg()]
    except (RuntimeError, IndexError) as error:
        raise EngineFailed(f"pocketsphinx broke off: {error}") from error
    return [
        TranscriptWord(
            text=_VARIANT.sub("", word),
            start_s=min(start / FRAMES_PER_S, duration_s),
            end_s=min(end / FRAMES_PER_S, duration_s),
            probability=min(max(probability, 0.0), 1.0) if math.isfinite(probability) else None,
        )
        for word, start, end, probability in found
        if not word.startswith(_FILLERS)
    ]


def _rms(samples: NDArray[np.float32]) -> float:
    return math.sqrt(float(np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0


def _as_int16(samples: NDArray[np.float32], rms: float) -> bytes:
    """As the decoder takes it: 16 bits, little endian; quiet sound made louder."""
    peak = float(np.abs(samples).max())
    gain = min(QUIET_TO_RMS / rms, 1.0 / peak) if rms < MIN_RMS else 1.0
    whole = np.clip(np.rint(samples * (gain * 32767.0)), -32768, 32767)
    return bytes(whole.astype("<i2"))


def _sentences(words: Sequence[TranscriptWord]) -> Iterator[list[TranscriptWord]]:
    """Groups between silences; a group that gets too long ends at any gap."""
    if not words:
        return
    group = [words[0]]
    for before, after in pairwise(words):
        gap_s = after.start_s - before.end_s
        long = before.end_s - group[0].start_s >= LONGEST_SEGMENT_S
        if gap_s >= SENTENCE_GAP_S or long:
            yield group
            group = []
        group.append(after)
    yield group


def _segment(words: Sequence[TranscriptWord]) -> HeardSegment:
    known = [max(w.probability, LOWEST_PROBABILITY) for w in words if w.probability is not None]
    return HeardSegment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=" ".join(word.text for word in words),
        words=tuple(words),
        tokens=len(words),
        avg_logprob=float(np.log(known).mean()) if known else None,
    )


def _load() -> Decoder:
    """A decoder with the packaged model, silent.

    Raises:
        EngineUnavailable: the model does not load.
    """
    from pocketsphinx import Decoder

    try:
        return Decoder(
            hmm=str(_model_file("en-us/mdef").parent),
            lm=str(_model_file("en-us.lm.bin")),
            dict=str(_model_file("cmudict-en-us.dict")),
            samprate=RATE_HZ,
            topn=TOP_GAUSSIANS,
            loglevel="FATAL",
            logfn=os.devnull,
        )
    except (RuntimeError, ValueError) as error:
        raise EngineUnavailable(
            f"pocketsphinx does not load its model: {error}", remedy=_REPAIR
        ) from error


def _model_file(name: str) -> Path:
    """A file of the packaged model.

    Raises:
        EngineUnavailable: the package or the file is not there.
    """
    spec = find_spec("pocketsphinx")
    if spec is None or spec.origin is None:
        raise EngineUnavailable("the package pocketsphinx is not installed", remedy=_REPAIR)
    path = Path(spec.origin).parent / "model" / "en-us" / name
    if not path.is_file():
        raise EngineUnavailable(f"the package pocketsphinx carries no {name}", remedy=_REPAIR)
    return path
