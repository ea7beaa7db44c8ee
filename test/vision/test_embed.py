"""Vectors and words: hand-made vectors for the arithmetic, a tiny CLIP for the stage."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.engines.open_clip import OpenClipEmbedder
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.errors import StageTimeout
from reelscope.records import Embedding, Ok, Skipped
from reelscope.settings import Keyframes, Media, Quality, Similarity
from reelscope.testing import media, sounds
from reelscope.testing.open_clip import write_clip
from reelscope.vision.embed import (
    FILE_NAME,
    PRODUCTS,
    TEMPLATES,
    EmbedStage,
    Known,
    Node,
    Words,
    match_categories,
    match_products,
    probabilities,
    read_embeddings,
    relevance_of,
    unit,
    write_embeddings,
)
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import QualityStage
from reelscope.vision.similarity import SimilarityStage
from reelscope.vision.vocabulary import Vocabulary, load_vocabulary

RED, GREEN, BLUE = (200, 30, 30), (30, 180, 40), (30, 40, 200)
X, Y, Z = np.eye(3, dtype=np.float32)


def known(scale: float = 10.0) -> Known:
    lips = Node("Lips", X, ())
    face = Node("Face", unit(X + Y), ())
    return Known(
        labels=("lipstick", "shoe", "car"),
        products=np.stack([X, Y, Z]),
        relevant=np.stack([X, Y]),
        irrelevant=np.stack([Z]),
        categories=(Node("Beauty", unit(X + Y), (lips, face)), Node("Cars", Z, ())),
        scale=scale,
    )


def test_probabilities_are_a_softmax_of_scaled_cosines() -> None:
    shares = probabilities(np.stack([X]), np.stack([X, Y]), 2.0)
    assert shares[0] == pytest.approx(np.exp([2, 0]) / np.exp([2, 0]).sum())
    assert np.isfinite(probabilities(np.stack([X]), np.stack([X, Y]), 1e6)).all()


def test_relevance_is_the_share_of_all_product_prompts() -> None:
    relevance = relevance_of(np.stack([X, Z, unit(X + Z)]), known())
    assert relevance[0] > 0.99
    assert relevance[1] < 0.01
    assert 0.4 < relevance[2] < 0.6


def test_products_come_best_first_with_the_frame_that_shows_them_best() -> None:
    frames = np.stack([unit(X + 0.2 * Y), Y, unit(Y + 0.1 * X)])
    first, second, third = match_products(frames, (0.0, 1.0, 2.5), known())
    assert (first.label, first.time_s, first.similarity) == ("shoe", 1.0, 1.0)
    assert (second.label, second.time_s) == ("lipstick", 0.0)
    assert third.label == "car"
    assert first.probability + second.probability + third.probability == pytest.approx(1)


def test_a_category_is_never_surer_than_the_one_around_it() -> None:
    path, first = match_categories(np.stack([X, unit(X + 0.1 * Y), Z]), known())
    assert [(match.level, match.name) for match in path] == [(1, "Beauty"), (2, "Lips")]
    assert path[0].confidence >= path[1].confidence > 0.5
    assert [match.name for match in first] == ["Beauty", "Cars"]
    assert sum(match.confidence for match in first) == pytest.approx(1)
    assert path[0].confidence == pytest.approx(2 / 3, abs=0.01)


def test_the_file_says_the_same_in_the_same_bytes(tmp_path: Path) -> None:
    vectors = np.stack([X, unit(X + Y)])
    written = write_embeddings(tmp_path, (0.0, 1.5), vectors, "a model")
    data = (tmp_path / FILE_NAME).read_bytes()
    assert write_embeddings(tmp_path, (0.0, 1.5), vectors, "a model") == written
    assert (tmp_path / FILE_NAME).read_bytes() == data
    dates = {info.date_time for info in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}
    with np.load(tmp_path / FILE_NAME, allow_pickle=False) as arrays:
        assert arrays["times_s"].tolist() == [0.0, 1.5]
        assert arrays["embeddings"].dtype == np.float16
        assert str(arrays["model"]) == "a model"


@pytest.mark.slow
def test_the_templates_are_the_authors() -> None:
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    assert set(TEMPLATES) <= {template("{}") for template in OPENAI_IMAGENET_TEMPLATES}


# ----------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> OpenClipEmbedder:
    root = tmp_path_factory.mktemp("models")
    write_clip(root)
    return OpenClipEmbedder("ViT-B-32", WeightStore(root), ModelPool())


@pytest.fixture
def ready(
    tmp_path: Path, open_clip: Callable[..., Any], chain: Callable[..., list[Any]]
) -> Callable[..., Any]:
    """A clip with its kept frames known."""

    def make(name: str, *scenes: media.Scene, size: tuple[int, int] = (180, 320)) -> Any:
        truth = media.write_video(tmp_path / f"{name}.mp4", list(scenes), size=size)
        clip = open_clip(truth.path)
        chain(
            clip,
            [
                KeyframesStage(Keyframes(), media=Media()),
                QualityStage(Quality()),
                SimilarityStage(Similarity()),
            ],
        )
        return clip

    return make


def small() -> Vocabulary:
    return Vocabulary.model_validate(
        {
            "objects": {"products": ["lipstick", "shoe"]},
            "relevance": {"products": ["a product"], "others": ["a landscape"]},
            "categories": [
                {"name": "Beauty", "within": [{"name": "Make-up", "within": ["Lipstick"]}]},
                {"name": "Cars"},
            ],
        }
    )


def values(outcomes: list[Any]) -> list[Embedding]:
    assert all(isinstance(outcome, Ok) for outcome in outcomes), outcomes
    return [outcome.value for outcome in outcomes]


def test_videos_share_a_call_and_get_what_they_get_alone(
    embedder: OpenClipEmbedder, ready: Callable[..., Any]
) -> None:
    a = ready("a", media.Scene(1.0, text="SALE", colour=RED), media.Scene(1.0, colour=BLUE))
    b = ready("b", media.Scene(1.0, text="wide", colour=GREEN), size=(320, 180))
    stage = EmbedStage(small(), embedder)
    stage.open()
    first, second = values(stage.run([a, b]))
    assert len(first.frames) >= 2
    assert first.dimensions == 16
    assert np.linalg.norm(first.mean) == pytest.approx(1, abs=1e-4)
    assert first.categories[0].name in {"Beauty", "Cars"}
    assert {match.label for match in first.products} == {"lipstick", "shoe"}
    assert first.product_relevance is not None
    assert a.folder != b.folder
    kept = read_embeddings(a.folder, first)
    assert list(kept) == [frame.time_s for frame in first.frames]
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) for vector in kept.values())
    data = (b.folder / FILE_NAME).read_bytes()
    assert len(data) == second.size_bytes
    (alone,) = values(stage.run([b]))
    assert np.allclose(alone.mean, second.mean, atol=1e-4)


def test_the_packaged_words_give_a_few_products_and_a_path(
    embedder: OpenClipEmbedder, ready: Callable[..., Any]
) -> None:
    stage = EmbedStage(load_vocabulary(), embedder)
    (value,) = values(stage.run([ready("a", media.Scene(1.0, text="SALE", colour=RED))]))
    assert len(value.products) == PRODUCTS
    assert 1 <= len(value.categories) <= 3
    levels = [match.confidence for match in value.categories]
    assert levels == sorted(levels, reverse=True)
    assert sum(match.confidence for match in value.level_1) == pytest.approx(1, abs=1e-5)


def test_a_vocabulary_without_products_and_categories_names_none(
    embedder: OpenClipEmbedder, ready: Callable[..., Any]
) -> None:
    bare = Vocabulary.model_validate(
        {
            "objects": {"others": ["dog"]},
            "relevance": {"products": ["a product"], "others": ["a landscape"]},
        }
    )
    stage = EmbedStage(bare, embedder)
    (value,) = values(stage.run([ready("a", media.Scene(1.0, colour=RED))]))
    assert (value.products, value.categories, value.level_1) == ((), (), ())
    assert value.product_relevance is not None


def test_no_frame_gives_an_empty_value_and_no_file(
    embedder: OpenClipEmbedder, ready: Callable[..., Any]
) -> None:
    clip = ready("black", media.Scene(1.0, black=True))
    clip.folder.mkdir(parents=True)
    (clip.folder / FILE_NAME).write_bytes(b"of an earlier run")
    (value,) = values(EmbedStage(small(), embedder).run([clip]))
    assert (value.dimensions, value.frames, value.file) == (0, (), None)
    assert not (clip.folder / FILE_NAME).exists()


def test_sound_alone_is_skipped_beside_a_video(
    tmp_path: Path,
    embedder: OpenClipEmbedder,
    ready: Callable[..., Any],
    open_clip: Callable[..., Any],
) -> None:
    path = tmp_path / "sound.wav"
    media.write_sound(path, sounds.silence(1.0), rate_hz=44100)
    stage = EmbedStage(small(), embedder)
    skipped, good = stage.run([open_clip(path), ready("a", media.Scene(1.0, colour=RED))])
    assert isinstance(skipped, Skipped)
    assert isinstance(good, Ok)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", None])
def test_a_file_that_is_not_the_records_is_left_alone(
    damage: bytes | None, embedder: OpenClipEmbedder, ready: Callable[..., Any]
) -> None:
    clip = ready("a", media.Scene(1.0, colour=RED))
    (value,) = values(EmbedStage(small(), embedder).run([clip]))
    if damage is None:
        (clip.folder / FILE_NAME).unlink()
    else:
        (clip.folder / FILE_NAME).write_bytes(damage)
    assert read_embeddings(clip.folder, value) == {}


def test_only_the_words_that_it_reads_are_its_settings(embedder: OpenClipEmbedder) -> None:
    plain = small()
    more = plain.objects.model_copy(update={"others": load_vocabulary().objects.others})
    changed = plain.model_copy(update={"objects": more})
    assert Words.of(changed) == Words.of(plain)
    stage = EmbedStage(plain, embedder, batch_size=3)
    assert stage.settings == Words.of(plain)
    assert stage.weights == ("clip-ViT-B-32",)
    assert (stage.lane, stage.batch_size) == ("gpu", 3)


def test_a_time_limit_ends_it(embedder: OpenClipEmbedder, ready: Callable[..., Any]) -> None:
    clip = ready("a", media.Scene(1.0, colour=RED))
    clip.deadline = 0.0
    with pytest.raises(StageTimeout):
        EmbedStage(small(), embedder).run([clip])


UNIT = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).map(
    lambda numbers: unit(np.array(numbers, np.float32) + np.float32(1e-3))
)


@given(st.lists(UNIT, min_size=1, max_size=5), st.floats(0.1, 100))
def test_shares_stay_shares(frames: list[Any], scale: float) -> None:
    vectors, words = np.stack(frames), known(scale)
    assert ((relevance_of(vectors, words) >= 0) & (relevance_of(vectors, words) <= 1)).all()
    path, first = match_categories(vectors, words)
    assert all(a.confidence >= b.confidence for a, b in pairwise(path))
    assert sum(match.confidence for match in first) == pytest.approx(1, abs=1e-5)
    matches = match_products(vectors, [float(n) for n in range(len(frames))], words)
    assert sum(match.probability for match in matches) == pytest.approx(1, abs=1e-5)
    assert all(-1 <= match.similarity <= 1 for match in matches)
