"""rapidocr (Apache-2.0): reads text with the PP-OCRv6 models that its wheel carries.

The package would download a model that it does not find; here every model is named by
its path inside the package, so nothing is ever fetched. See docs/adr/006-rapidocr.md.
"""

from __future__ import annotations

import threading
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import EngineUnavailable
from reelscope.media.images import RGB
from reelscope.records import Box, TextLine

if TYPE_CHECKING:
    from rapidocr import RapidOCR

DETECTOR = "PP-OCRv6_det_small.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
DETECT_SIDE_PX = 960
"""Larger pictures are shrunk for finding lines. The package's default would enlarge every
picture to 736 px on its short side: five times the time for the same lines on phone video."""
MAX_SIDE_PX = 2000
MIN_SIDE_PX = 30
"""The package enlarges pictures below 30 px and shrinks those above 2000 px a side, and
breaks on strips that are both; what is thinner than this holds no readable text."""
REMEDY = "pip install -r requirements.txt"


class RapidOcrReader:
    """Lines of text in a picture. Several threads may use one reader.

    Each thread gets models of its own (about 90 MB): the package keeps state between the
    steps of one picture, and a lock would leave a core idle.
    """

    def __init__(self) -> None:
        self._models = threading.local()
        self._ready = False

    @property
    def engine(self) -> str:
        """The package's version and the models'."""
        try:
            return f"rapidocr {version('rapidocr')} PP-OCRv6 small"
        except PackageNotFoundError:
            return "rapidocr"

    def open(self) -> None:
        """Check that package and models are here.

        Raises:
            EngineUnavailable: something is missing.
        """
        _model(DETECTOR)
        _model(RECOGNISER)
        try:
            from rapidocr import RapidOCR  # noqa: F401  (loads what it depends on)
        except ImportError as error:
            raise EngineUnavailable(f"rapidocr does not load: {error}", remedy=REMEDY) from error
        self._ready = True

    def read(self, image: RGB) -> list[TextLine]:
        """The lines in a picture, from top to bottom.

        Args:
            image: uint8 (h, w, 3) RGB.

        Returns:
            Lines with boxes in this picture's pixels, clockwise from the top left.
        """
        if not self._ready:
            self.open()
        from rapidocr.utils.output import RapidOCROutput

        short, long = sorted(image.shape[:2])
        if short * min(1.0, MAX_SIDE_PX / long) < MIN_SIDE_PX:
            return []
        found = self._reader()(image[:, :, ::-1])  # BGR, as cv2.imread would give it
        if not isinstance(found, RapidOCROutput) or found.boxes is None:
            return []
        return [
            TextLine(
                text=text,
                confidence=min(max(float(score), 0.0), 1.0),
                box=_corners(box),
            )
            for box, text, score in zip(
                found.boxes, found.txts or (), found.scores or (), strict=True
            )
        ]

    def close(self) -> None:
        """Let go of the models."""
        self._models = threading.local()
        self._ready = False

    def _reader(self) -> RapidOCR:
        reader: RapidOCR | None = getattr(self._models, "reader", None)
        if reader is None:
            reader = self._models.reader = _load()
        return reader


def _corners(box: NDArray[np.float32]) -> Box:
    a, b, c, d = ((float(x), float(y)) for x, y in box)
    return a, b, c, d


def _load() -> RapidOCR:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,  # text that stands on its head is not worth a third model
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECT_SIDE_PX,
            "Global.max_side_len": MAX_SIDE_PX,
            "Det.model_path": str(_model(DETECTOR)),
            "Rec.model_path": str(_model(RECOGNISER)),
            # the runner has several videos at work at once
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _model(name: str) -> Path:
    """A model file inside the package.

    Raises:
        EngineUnavailable: the package or the file is not there.
    """
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise EngineUnavailable("the package rapidocr is not installed", remedy=REMEDY)
    path = Path(spec.origin).parent / "models" / name
    if not path.is_file():
        raise EngineUnavailable(
            f"the package rapidocr carries no {name}", remedy=f"{REMEDY} --force-reinstall"
        )
    return path
