"""open_clip (MIT): pictures and texts as vectors of one space, with OpenAI's CLIP weights.

CLIP: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
Supervision". The architecture is read from the `open_clip_config.json` that lies beside
the weights, as open_clip itself does for a local folder, and QuickGELU is forced on: all
weights of the registry are OpenAI's, which were trained with it, and are quietly worse
without (mlfoundations/open_clip issue 771). Weights are loaded strictly from the file's
path, so that no random ones can stand in for them (issue 168); numbers are halved by
autocast, never by halving the inputs (issue 79). The tokenizer's table lies inside the
package. Nothing is ever fetched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reelscope.engines.batching import Batches
from reelscope.engines.lookahead import Lookahead
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY
from reelscope.engines.weights import WeightStore, installed, require
from reelscope.errors import EngineFailed
from reelscope.media.images import RGB

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]

PACKAGE = "open-clip-torch"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
MOST_CROPS = 4
"""Squares that are cut out of one picture at most; enough for 4:1."""
SPARE = 0.05
"""Of a square's side: a picture that is longer by no more than this gets no further square."""
IMAGES, TEXTS = 32, 256
"""In a forward pass to begin with."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model on its device, and what goes with it.

    Attributes:
        clip: open_clip.CLIP.
        tokenizer: texts -> int64 (n, context) tokens.
        device: "cpu" or "cuda:0".
        side_px: of the square pictures that it takes.
        mean: of each colour, RGB, 0-1 scale; subtracted.
        std: of each colour, RGB, 0-1 scale; divided by.
    """

    clip: Any
    tokenizer: Any
    device: str
    side_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class OpenClipEmbedder:
    """Vectors of pictures and of texts; the cosine of two says how well they go together.

    Args:
        model: "ViT-B-32" or "ViT-L-14".
        store: where the weights are.
        pool: who keeps the model loaded.
    """

    def __init__(self, model: str, store: WeightStore, pool: ModelPool) -> None:
        self.name = f"clip-{model}"
        self._model_name = model
        self._store = store
        self._pool = pool
        self._images = Batches(self.name, IMAGES)
        self._texts = Batches(self.name, TEXTS)

    @property
    def engine(self) -> str:
        """The package's version, the model's name and the weights' revision."""
        package = f"open_clip {installed(PACKAGE) or ''}".strip()
        return f"{package} {self._model_name} {self.revision}"

    @property
    def model(self) -> str:
        """Name of the model, as in the settings."""
        return self._model_name

    @property
    def revision(self) -> str:
        """Which weights these are."""
        return self._store.revision(self.name)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry."""
        return (self.name,)

    def open(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: package or weights are missing, or the file is no such model.
        """
        require(PACKAGE)
        with self._model():
            pass

    def close(self) -> None:
        """Let go of the model."""
        self._pool.release(self.name)

    def encode_images(self, pictures: Sequence[Callable[[], RGB]]) -> Vectors:
        """Vectors of pictures of any sizes, those of several videos in shared passes.

        CLIP sees squares: its own preparation scales the short side to 224 pixels and cuts
        off what stands over the middle, nearly half of a 9:16 picture. Here as many squares
        as cover the picture are cut out along its long side, and the mean of their vectors
        is taken, as one of the authors advises for long pictures (openai/CLIP issue 215);
        a square somewhere in a picture is what the model was trained on (issue 33), while
        bars or squeezed pictures are not (docs/adr/016-whole-pictures-for-clip.md). A square
        picture gives what the vendor's own preparation gives.

        Args:
            pictures: give uint8 (h, w, 3) RGB each; called shortly before they are needed, by
                several threads.

        Returns:
            float32 (n, d), each of unit length.

        Raises:
            EngineFailed: the model gives no numbers (NaN).
        """
        with self._model() as loaded, Lookahead(pictures) as images:
            rows = self._images.map(partial(_encode_images, loaded), images)
        return self._stacked(rows)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts; what is longer than 75 tokens is cut off.

        Returns:
            float32 (n, d), each of unit length.

        Raises:
            EngineFailed: the model gives no numbers (NaN).
        """
        with self._model() as loaded:
            rows = self._texts.map(partial(_encode_texts, loaded), list(texts))
        return self._stacked(rows)

    def scale(self) -> float:
        """What cosines are multiplied by before a softmax: learned, at most 100."""
        with self._model() as loaded:
            return float(loaded.clip.logit_scale.detach().exp().item())

    def _stacked(self, rows: Sequence[Vectors]) -> Vectors:
        vectors = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
        if not np.isfinite(vectors).all():
            raise EngineFailed(f"{self.name} gives values that are no numbers")
        return vectors

    def _model(self) -> AbstractContextManager[Loaded]:
        return self._pool.lease(self.name, self._load, size_mb=REGISTRY[self.name].size_mb)

    def _load(self, device: str) -> Loaded:
        with self._store.reading(self.name) as folder:
            return load(folder, device)


def load(folder: Path, device: str) -> Loaded:
    """Read a model from a folder with `open_clip_config.json` and the weights.

    open_clip.create_model does the same for "local-dir:" names, but would also take other
    files that lie in the folder, and sets up Python's logging.
    """
    import open_clip
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    config = open_clip.get_model_config(f"local-dir:{folder}")
    clip = open_clip.CLIP(**{**config, "quick_gelu": True})
    open_clip.load_checkpoint(clip, str(folder / WEIGHTS), strict=True)
    prepare = PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), _prepare_cfg(folder)))
    side_px = clip.visual.image_size
    return Loaded(
        clip=clip.to(device).eval().requires_grad_(requires_grad=False),
        tokenizer=open_clip.SimpleTokenizer(context_length=clip.context_length),
        device=device,
        side_px=side_px if isinstance(side_px, int) else side_px[0],
        mean=tuple(prepare.mean),
        std=tuple(prepare.std),
    )


def _prepare_cfg(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    found: dict[str, Any] = config.get("preprocess_cfg", {})
    return found


# ---------------------------------------------------------------------------- pictures


def squares(height: int, width: int) -> list[tuple[int, int]]:
    """Top left corners (y, x) of the squares that cover a picture along its long side.

    They are as large as the short side and evenly spread, the first and the last at the
    ends; a single one stands in the middle.
    """
    side, long = min(height, width), max(height, width)
    count = min(max(1, math.ceil(long / side - SPARE)), MOST_CROPS)
    if count == 1:
        starts = [(long - side) // 2]
    else:
        starts = [round(n * (long - side) / (count - 1)) for n in range(count)]
    return [(start, 0) if height > width else (0, start) for start in starts]


def _encode_images(loaded: Loaded, images: Sequence[RGB]) -> list[Vectors]:
    import torch

    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(number)
    inputs, owners = [], list[int]()
    with torch.inference_mode(), _autocast(loaded.device):
        for numbers in by_shape.values():
            stack = torch.from_numpy(np.stack([images[n] for n in numbers]))
            cut = _cut(stack.to(loaded.device), loaded)
            inputs.append(cut)
            owners += numbers * (len(cut) // len(numbers))
        parts = loaded.clip.encode_image(torch.cat(inputs), normalize=True).float()
        where = torch.tensor(owners, device=parts.device)
        sums = torch.zeros(len(images), parts.shape[1], device=parts.device)
        means = torch.nn.functional.normalize(sums.index_add_(0, where, parts), dim=-1)
    return list(means.cpu().numpy())


def _cut(stack: torch.Tensor, loaded: Loaded) -> torch.Tensor:
    """Squares of pictures of one size, as the model takes them.

    Args:
        stack: uint8 (n, h, w, 3).
        loaded: says how large and how normalised.

    Returns:
        float32 (squares * n, 3, side, side): all pictures' first squares, then the second.
    """
    import torch

    pictures = stack.permute(0, 3, 1, 2)
    side = min(pictures.shape[2:])
    cut = torch.cat(
        [pictures[:, :, y : y + side, x : x + side] for y, x in squares(*pictures.shape[2:])]
    ).float()
    size = (loaded.side_px, loaded.side_px)
    resized = torch.nn.functional.interpolate(
        cut, size, mode="bicubic", align_corners=False, antialias=True
    )
    resized = resized.round_().clamp_(0, 255).div_(255)  # as if it had been a picture
    per_colour = torch.tensor([loaded.mean, loaded.std], device=cut.device).view(2, 1, 3, 1, 1)
    return (resized - per_colour[0]) / per_colour[1]


# ------------------------------------------------------------------------------- texts


def _encode_texts(loaded: Loaded, texts: Sequence[str]) -> list[Vectors]:
    """open_clip's CLIP.encode_text on as many places as the longest text has.

    It always goes over all 77 places. A place sees those before it alone (the mask), and the
    text's vector is read at its end token, so nothing behind that matters: prompts of ten
    tokens take a seventh of the time.
    """
    import torch
    from open_clip.transformer import text_global_pool

    clip = loaded.clip
    tokens = loaded.tokenizer(list(texts))
    places = int(tokens.argmax(dim=-1).max()) + 1  # the end token has the highest number
    tokens = tokens[:, :places].to(loaded.device)
    with torch.inference_mode(), _autocast(loaded.device):
        x = clip.token_embedding(tokens) + clip.positional_embedding[:places]
        x = clip.transformer(x, attn_mask=clip.attn_mask[:places, :places])
        x = text_global_pool(clip.ln_final(x), tokens, clip.text_pool_type)
        vectors = torch.nn.functional.normalize((x @ clip.text_projection).float(), dim=-1)
    return list(vectors.cpu().numpy())


def _autocast(device: str) -> AbstractContextManager[Any]:
    import torch

    kind = device.partition(":")[0]
    return torch.autocast(device_type=kind, dtype=torch.float16, enabled=kind == "cuda")
