"""What do the frames mean? Stage `embed`: vectors of pictures, and the words nearest to them.

CLIP (Radford et al. 2021) gives pictures and texts vectors of one space. A picture is
compared with a list of texts as in section 3.1 of the paper: cosines, times the model's
learned scale, through a softmax, give the probability of each text *among these*. A word
is put into several templates and their vectors are averaged (section 3.1.4 and
notebooks/Prompt_Engineering_for_ImageNet.ipynb of openai/CLIP, whose templates these are).

The embedder (engines/open_clip.py) takes the small pictures that every stage shares: with
256 pixels on the short side they are larger than the 224 that the model sees.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reelscope.atomic import write_atomic
from reelscope.errors import OutputError
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import (
    CategoryMatch,
    EmbeddedFrame,
    Embedding,
    Lane,
    Ok,
    Outcome,
    ProductMatch,
    Similarity,
)
from reelscope.settings import Section
from reelscope.vision.keyframes import images_at, value_of
from reelscope.vision.vocabulary import Category, Relevance, Term, Vocabulary

log = logging.getLogger(__name__)

FILE_NAME = "embeddings.npz"
"""Beside the record: `times_s` float64 (n,), `embeddings` float16 (n, d), `model` text."""
PRODUCTS = 5
"""Products that a record names."""
TEMPLATES = (
    "a photo of a {}.",
    "a close-up photo of a {}.",
    "a bad photo of a {}.",
    "a cropped photo of a {}.",
    "a photo of my {}.",
)

Vectors = NDArray[np.float32]
Shares = NDArray[np.float64]


class Embedder(Protocol):
    """What gives vectors. All are of unit length."""

    @property
    def engine(self) -> str:
        """Name and revision."""
        ...

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry."""
        ...

    def open(self) -> None:
        """Load it; raises EngineUnavailable."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def encode_images(self, pictures: Sequence[Callable[[], RGB]]) -> Vectors:
        """What gives uint8 (h, w, 3) RGB each -> float32 (n, d)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """-> float32 (n, d)."""
        ...

    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        ...


class Words(Section):
    """The part of the vocabulary that the value depends on."""

    products: tuple[Term, ...]
    relevance: Relevance
    categories: tuple[Category, ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Words:
        """What this stage reads of it."""
        return cls(
            products=vocabulary.objects.products,
            relevance=vocabulary.relevance,
            categories=vocabulary.categories,
        )


# ------------------------------------------------------------------------------ words


@dataclass(frozen=True, eq=False)
class Node:
    """A category with its vector, and those inside it."""

    name: str
    vector: Vectors
    within: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Known:
    """The words' vectors.

    Attributes:
        labels: of the products.
        products: float32 (products, d).
        relevant: float32 (prompts, d): product pictures.
        irrelevant: float32 (prompts, d): other pictures.
        categories: of level 1.
        scale: of the cosines.
    """

    labels: tuple[str, ...]
    products: Vectors
    relevant: Vectors
    irrelevant: Vectors
    categories: tuple[Node, ...]
    scale: float

    @classmethod
    def of(cls, words: Words, embedder: Embedder) -> Known:
        """All texts in one call, so that they share forward passes."""
        groups = [[t.format(term.prompt) for t in TEMPLATES] for term in words.products]
        groups += [[prompt] for prompt in words.relevance.products + words.relevance.others]
        groups += [list(category.prompts) for category in _flat(words.categories)]
        vectors = iter(_means(groups, embedder))
        return cls(
            labels=tuple(term.label for term in words.products),
            products=_rows(vectors, len(words.products)),
            relevant=_rows(vectors, len(words.relevance.products)),
            irrelevant=_rows(vectors, len(words.relevance.others)),
            categories=_nodes(words.categories, vectors),
            scale=embedder.scale(),
        )


def _rows(vectors: Iterator[Vectors], count: int) -> Vectors:
    rows = list(islice(vectors, count))
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def _flat(categories: Sequence[Category]) -> Iterator[Category]:
    for category in categories:
        yield category
        yield from _flat(category.within)


def _nodes(categories: Sequence[Category], vectors: Iterator[Vectors]) -> tuple[Node, ...]:
    """In the order of `_flat`."""
    return tuple(
        Node(category.name, next(vectors), _nodes(category.within, vectors))
        for category in categories
    )


def _means(groups: Sequence[Sequence[str]], embedder: Embedder) -> list[Vectors]:
    """One vector per group of texts: their mean, of unit length."""
    found = embedder.encode_texts([text for group in groups for text in group])
    ends = accumulate((len(group) for group in groups), initial=0)
    return [unit(found[start:end].mean(axis=0)) for start, end in pairwise(ends)]


def unit(vector: Vectors) -> Vectors:
    """The vector with length 1; a zero vector stays."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector


# ---------------------------------------------------------------------------- comparing


def probabilities(frames: Vectors, texts: Vectors, scale: float) -> Shares:
    """How probable each text is among all of them.

    Args:
        frames: float32 (n, d).
        texts: float32 (m, d).
        scale: of the cosines.

    Returns:
        float64 (n, m); each row sums to 1.
    """
    logits = scale * (frames.astype(np.float64) @ texts.T.astype(np.float64))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Shares = powers / powers.sum(axis=1, keepdims=True)
    return shares


def relevance_of(frames: Vectors, known: Known) -> Shares:
    """Probability of all product prompts together, among them and the others: float64 (n,)."""
    texts = np.concatenate([known.relevant, known.irrelevant])
    shares = probabilities(frames, texts, known.scale)[:, : len(known.relevant)]
    sums: Shares = np.clip(shares.sum(axis=1), 0.0, 1.0)
    return sums


def match_products(frames: Vectors, times_s: Sequence[float], known: Known) -> list[ProductMatch]:
    """The products that are most probable over all frames, best first."""
    if not known.labels:
        return []
    mean = probabilities(frames, known.products, known.scale).mean(axis=0)
    cosines = np.clip(frames.astype(np.float64) @ known.products.T.astype(np.float64), -1.0, 1.0)
    best = sorted(range(len(mean)), key=lambda n: (-round(float(mean[n]), 9), n))[:PRODUCTS]
    return [
        ProductMatch(
            label=known.labels[n],
            similarity=float(cosines[:, n].max()),
            time_s=times_s[int(cosines[:, n].argmax())],
            probability=min(float(mean[n]), 1.0),
        )
        for n in best
    ]


def match_categories(
    frames: Vectors, known: Known
) -> tuple[list[CategoryMatch], list[CategoryMatch]]:
    """The best category of each level inside the best of the level above, and all of level 1.

    In every frame a category's probability is that among its siblings times that of the
    category that holds them, so a deeper level is never surer than the one above.

    Returns:
        (path, all of level 1), the latter best first.
    """
    path: list[CategoryMatch] = []
    first: list[CategoryMatch] = []
    nodes, above = known.categories, np.ones(len(frames))
    while nodes:
        texts = np.stack([node.vector for node in nodes])
        shares = probabilities(frames, texts, known.scale) * above[:, None]
        mean = shares.mean(axis=0)
        order = sorted(range(len(nodes)), key=lambda n: (-round(float(mean[n]), 9), n))
        level = [
            CategoryMatch(
                level=len(path) + 1, name=nodes[n].name, confidence=min(float(mean[n]), 1.0)
            )
            for n in order
        ]
        first = first or level
        path.append(level[0])
        nodes, above = nodes[order[0]].within, shares[:, order[0]]
    return path, first


# ------------------------------------------------------------------------------ the file


def write_embeddings(
    folder: Path, times_s: Sequence[float], vectors: Vectors, engine: str
) -> tuple[int, str]:
    """Write the frames' vectors; the same vectors give the same bytes.

    Args:
        folder: the video's.
        times_s: of the frames.
        vectors: float32 (n, d).
        engine: whose vectors these are.

    Returns:
        Size of the file in bytes, and its sha256.

    Raises:
        OutputError: it cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(  # the dates inside are always those of 1980
        buffer,
        allow_pickle=False,
        times_s=np.asarray(times_s, np.float64),
        embeddings=vectors.astype(np.float16),
        model=np.array(engine),
    )
    data = buffer.getvalue()
    write_atomic(folder / FILE_NAME, data)
    return len(data), hashlib.sha256(data).hexdigest()


def read_embeddings(folder: Path, value: Embedding) -> dict[float, Vectors]:
    """The frames' vectors by their times, if the file is there and is the one of the record.

    Returns:
        Time -> float32 (d,) of unit length; empty if there is no such file.
    """
    try:
        data = (folder / FILE_NAME).read_bytes()
        if hashlib.sha256(data).hexdigest() != value.sha256:
            raise ValueError("it is not the one that the record speaks of")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            vectors = arrays["embeddings"].astype(np.float32)
        times_s = [frame.time_s for frame in value.frames]
        return {t: unit(vector) for t, vector in zip(times_s, vectors, strict=True)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is left alone: %s", folder / FILE_NAME, error)
        return {}


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise OutputError(f"{path} could not be removed: {error.strerror}") from error


# ------------------------------------------------------------------------------ the stage


class EmbedStage:
    """Stage `embed`: frames of several videos share each forward pass.

    Args:
        vocabulary: the words that pictures are compared with.
        embedder: what gives vectors.
        batch_size: videos in a call.
    """

    name = "embed"
    version = 1
    needs: tuple[str, ...] = ("similarity",)
    uses: tuple[str, ...] = ()
    lane: Lane = "gpu"

    def __init__(self, vocabulary: Vocabulary, embedder: Embedder, *, batch_size: int = 8) -> None:
        self.settings = Words.of(vocabulary)
        self.embedder = embedder
        self.batch_size = batch_size
        self._known: Known | None = None
        self._lock = threading.Lock()

    @property
    def engine(self) -> str:
        """The embedder's."""
        return self.embedder.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """The embedder's."""
        return self.embedder.weights

    def open(self) -> None:
        """Load the embedder."""
        self.embedder.open()

    def close(self) -> None:
        """Let go of the embedder and of the words' vectors."""
        self.embedder.close()
        self._known = None

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Embedding` per clip."""
        skips = [clip.missing_video() for clip in clips]
        times_s = [
            () if skip else value_of(clip, Similarity).kept_s
            for clip, skip in zip(clips, skips, strict=True)
        ]
        vectors = self.embedder.encode_images(
            [
                partial(_timely, clip, image)
                for clip, wanted_s in zip(clips, times_s, strict=True)
                for image in (images_at(clip, wanted_s) if wanted_s else ())
            ]
        )
        ends = accumulate((len(wanted_s) for wanted_s in times_s), initial=0)
        return [
            skip or self._one(clip, wanted_s, vectors[start:end])
            for clip, skip, wanted_s, (start, end) in zip(
                clips, skips, times_s, pairwise(ends), strict=True
            )
        ]

    def _one(self, clip: Clip, times_s: Sequence[float], vectors: Vectors) -> Outcome:
        clip.check_time()
        if not times_s:
            _remove(clip.folder / FILE_NAME)
            return Ok(_empty(self.embedder.model))
        known = self._words()
        size_bytes, sha256 = write_embeddings(clip.folder, times_s, vectors, self.engine)
        relevance = relevance_of(vectors, known)
        path, first = match_categories(vectors, known)
        return Ok(
            Embedding(
                model=self.embedder.model,
                dimensions=vectors.shape[1],
                file=FILE_NAME,
                size_bytes=size_bytes,
                sha256=sha256,
                frames=tuple(
                    EmbeddedFrame(time_s=t, product_relevance=float(share))
                    for t, share in zip(times_s, relevance, strict=True)
                ),
                mean=tuple(unit(vectors.mean(axis=0)).tolist()),
                product_relevance=float(relevance.mean()),
                products=tuple(match_products(vectors, times_s, known)),
                categories=tuple(path),
                level_1=tuple(first),
            )
        )

    def _words(self) -> Known:
        """The words' vectors, made once, when the first frames are there."""
        with self._lock:
            if self._known is None:
                self._known = Known.of(self.settings, self.embedder)
            return self._known


def _timely(clip: Clip, image: RGB) -> RGB:
    """The image, unless the clip's time has run out."""
    clip.check_time()
    return image


def _empty(model: str) -> Embedding:
    return Embedding(
        model=model,
        dimensions=0,
        file=None,
        size_bytes=None,
        sha256=None,
        frames=(),
        mean=(),
        product_relevance=None,
        products=(),
        categories=(),
        level_1=(),
    )
