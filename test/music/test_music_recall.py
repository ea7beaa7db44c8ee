"""The benchmark's yardstick: thresholds, shares, and peers that find what they should."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reelscope.music.chromaprint import available
from reelscope.testing.media import write_sound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    folder = str(Path(__file__).parents[2] / "bench")
    names = ("music_material", "music_peers", "music_recall")
    sys.path.insert(0, folder)
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(folder)
    for name in names:
        del sys.modules[name]


def answer(
    bench: dict[str, ModuleType],
    score: float,
    *,
    known: bool,
    hit: bool = False,
    length_s: float = 5.0,
    accepted: bool = True,
    error_s: float | None = None,
) -> object:
    made = bench["music_recall"].Answer
    return made("clean", length_s, known, hit, score, accepted, error_s, 0.1)


def test_a_threshold_lets_one_in_a_thousand_pass(bench: dict[str, ModuleType]) -> None:
    recall = bench["music_recall"]
    scores = np.random.default_rng(0).normal(size=4000)
    wrong = [answer(bench, float(score), known=False) for score in scores]
    least = recall.thresholds(wrong)[5.0]
    assert np.sum(scores >= least) == 4
    few = wrong[:100]
    assert recall.thresholds(few)[5.0] > scores[:100].max()


def test_each_length_has_its_threshold_and_the_same_passage_is_no_error(
    bench: dict[str, ModuleType],
) -> None:
    least = bench["music_recall"].thresholds(
        [
            answer(bench, 3.0, known=False, length_s=3.0),
            answer(bench, 1.0, known=False),
            answer(bench, 9.0, known=False, hit=True),
        ]
    )
    assert 3 < least[3.0] < 3.001
    assert 1 < least[5.0] < 1.001


def test_recall_counts_right_names_above_the_threshold(bench: dict[str, ModuleType]) -> None:
    recall = bench["music_recall"]
    answers = [
        answer(bench, 5.0, known=True, hit=True, error_s=0.01),
        answer(bench, 0.5, known=True, hit=True, error_s=0.4, accepted=False),
        answer(bench, 5.0, known=True),
        answer(bench, 0.5, known=True),
        answer(bench, 5.0, known=False),
        answer(bench, 5.0, known=False, accepted=False),
    ]
    assert recall.recall(answers, {5.0: 1.0}) == 0.25
    assert recall.recall(answers, {5.0: 0.0}) == 0.5
    assert recall.recall(answers) == 0.25
    assert recall.false_positives(answers) == (1, 2)
    assert recall.wrong_names(answers) == (2, 4)
    assert recall.offset_errors_ms(answers, {5.0: 1.0})[0] == pytest.approx(10)


def test_finished_tasks_are_not_asked_again(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    recall = bench["music_recall"]
    task = recall.Task("chromaprint", "clean", 5.0, 1, 1)
    kept = recall._kept(tmp_path, task)
    kept.write_text(
        '[{"condition": "clean", "length_s": 5.0, "known": true, "hit": true, "score": 0.9,'
        ' "accepted": true, "error_s": null, "seconds": 0.1}]'
    )
    assert recall.run_all([task], tmp_path, 1) == [
        answer(bench, 0.9, known=True, hit=True, length_s=5.0)
    ]


@pytest.mark.parametrize("name", ["chromaprint", "dejavu"])
def test_peers_find_a_clean_clip(bench: dict[str, ModuleType], name: str, tmp_path: Path) -> None:
    if name == "chromaprint" and "libchromaprint" not in available():
        pytest.skip("libchromaprint or pyacoustid is not installed")
    material = bench["music_material"]
    tracks = [tmp_path / "0.wav", tmp_path / "1.wav"]
    for number, path in enumerate(tracks):
        sound = material.composed(number)[: 15 * material.RATE_HZ]
        write_sound(path, sound, rate_hz=material.RATE_HZ)
    peer = bench["music_peers"].PEERS[name]()
    peer.index(tracks)
    offset_s = 77 * 2048 / material.RATE_HZ  # on a frame of dejavu: between two it is unsure
    for track in tracks:
        clip = material.track_sound(track, offset_s, 8.0)
        found, found_s, score = peer.query(clip, material.RATE_HZ)[0]
        assert found == track
        assert found_s == pytest.approx(offset_s, abs=0.1)
        assert score > 0.9
