"""silero-vad (MIT licence): the ONNX model that its PyPI package carries.

The package itself is not imported, because it imports torch. Of the models in it this
takes `silero_vad_16k_sequence.onnx`: the same weights as `silero_vad.onnx` and the same
numbers, but many windows in one call. See docs/adr/002-silero-onnx.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.voice import WINDOW
from reelscope.errors import EngineFailed, EngineUnavailable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL = "silero_vad_16k_sequence.onnx"
CONTEXT = 64
"""Samples of the window before that the model sees again (OnnxWrapper in the package)."""
STATE_SIZE = 128
WINDOWS_PER_CALL = 128
"""4 s: longer calls are no faster and hold more memory."""
REMEDY = "pip install -r requirements.txt"


class SileroDetector:
    """Speech probabilities by silero-vad. Several threads may use one detector."""

    def __init__(self) -> None:
        self._session: InferenceSession | None = None

    @property
    def engine(self) -> str:
        """ "silero-vad" and the version of the package that carries the weights."""
        try:
            return f"silero-vad {version('silero-vad')}"
        except PackageNotFoundError:
            return "silero-vad"

    def open(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: onnxruntime or the model file is not on this machine.
        """
        if self._session is not None:
            return
        path = model_path()
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable(f"onnxruntime does not load: {error}", remedy=REMEDY) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # several videos are worked on at once
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: the file has initializers it never uses
        self._session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """One speech probability, 0-1, per window of 512 samples, float32 (n,).

        Args:
            blocks: consecutive pieces of one sound at 16 kHz, float32 (n,), full scale
                +-1, of any lengths. The last window is filled up with zeros.

        Raises:
            EngineFailed: the model was not opened.
        """
        if self._session is None:
            raise EngineFailed("silero-vad was asked before it was opened")
        hidden = cell = np.zeros((1, 1, STATE_SIZE), np.float32)
        found = [np.zeros(0, np.float32)]
        for windows in _windows(blocks):
            some, hidden, cell = self._session.run(
                ["speech_probs", "hn", "cn"], {"input": windows, "h": hidden, "c": cell}
            )
            found.append(some)
        return np.concatenate(found)

    def close(self) -> None:
        """Let go of the model."""
        self._session = None


def model_path() -> Path:
    """The model file inside the installed package, which is not imported.

    Raises:
        EngineUnavailable: the package, or this file in it, is not on this machine.
    """
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise EngineUnavailable("the package silero-vad is not installed", remedy=REMEDY)
    path = Path(spec.origin).parent / "data" / MODEL
    if not path.is_file():
        raise EngineUnavailable(f"this silero-vad carries no {MODEL}", remedy=REMEDY)
    return path


def _windows(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The sound cut into windows, each led by the end of the one before.

    Yields float32 (1 to WINDOWS_PER_CALL, CONTEXT + WINDOW), contiguous.
    """
    size = WINDOWS_PER_CALL * WINDOW
    rest = np.zeros(CONTEXT, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= CONTEXT + size:
            yield _framed(rest[: CONTEXT + size])
            rest = rest[size:]
    left = len(rest) - CONTEXT
    if left:
        yield _framed(np.pad(rest, (0, -left % WINDOW)))


def _framed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    windows = np.lib.stride_tricks.sliding_window_view(samples, CONTEXT + WINDOW)[::WINDOW]
    return np.ascontiguousarray(windows, dtype=np.float32)
