"""Classes, groups and the file to keep: on rows, and on real music that was coded again."""

from __future__ import annotations

import wave
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from reelscope.music.chromaprint import chromaprint
from reelscope.music.chromaprint_items import RATE_HZ, items_of
from reelscope.music.dedupe import DuplicateReport, find_duplicates, is_featureless, likeness_of
from reelscope.music.sound import read_sound
from reelscope.settings import MusicDedupe
from reelscope.store.audio_fingerprint import AssetPrint
from reelscope.testing.sounds import music_like, noise, silence, tone

RULES = MusicDedupe()
MADE = datetime(2026, 1, 1, tzinfo=UTC)


def asset(name: str, items: NDArray[np.uint32] | None, **known: Any) -> AssetPrint:
    row: dict[str, Any] = {"processing_status": "completed", "modified_at": MADE} | known
    return AssetPrint(name, f"/{name}", fingerprint=items, **row)


def random_items(count: int = 400, seed: int = 0) -> NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)


def with_errors(items: NDArray[np.uint32], share: float, seed: int = 1) -> NDArray[np.uint32]:
    flips = np.random.default_rng(seed).random((len(items), 32)) < share
    return items ^ np.packbits(flips, axis=1).view(np.uint32)[:, 0]


def names(report: DuplicateReport) -> list[list[str]]:
    return [[report.assets[n].asset_id for n in group.members] for group in report.groups]


def heard(samples: NDArray[np.float32]) -> NDArray[np.uint32]:
    return items_of(np.asarray(np.clip(samples, -1, 1) * 32767, np.int16))


# ------------------------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("similarity", "likeness"),
    [
        (1.0, "identical"),
        (0.95, "identical"),
        (0.9499, "same_content"),
        (0.8, "same_content"),
        (0.7999, "related"),
        (0.6, "related"),
        (0.5999, None),
        (0.0, None),
    ],
)
def test_the_classes_begin_where_the_settings_say(similarity: float, likeness: str | None) -> None:
    assert likeness_of(similarity, RULES) == likeness


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="related <= same_content"):
        MusicDedupe(identical=0.5)


@pytest.mark.parametrize(
    ("errors", "likeness", "grouped"),
    [(0.02, "identical", True), (0.12, "same_content", True), (0.3, "related", False)],
)
def test_errors_give_the_class_and_the_class_the_group(
    errors: float, likeness: str, grouped: bool
) -> None:
    one = random_items()
    report = find_duplicates([asset("a", one), asset("b", with_errors(one, errors))], RULES)
    (pair,) = report.pairs
    assert pair.likeness == likeness
    assert pair.confidence > 0.999
    assert pair.joins == grouped
    assert (names(report) != []) == grouped


def test_which_classes_join_is_a_setting() -> None:
    one = random_items()
    pair = [asset("a", one), asset("b", with_errors(one, 0.3))]
    rules = MusicDedupe(joins=("identical", "same_content", "related"))
    assert names(find_duplicates(pair, rules)) == [["a", "b"]]


def test_an_excerpt_is_found_but_is_no_duplicate() -> None:
    one = random_items(1000)
    report = find_duplicates([asset("whole", one), asset("part", one[300:500])], RULES)
    (pair,) = report.pairs
    assert pair.likeness == "identical"
    assert pair.coverage == pytest.approx(0.2)
    assert pair.offset_s == pytest.approx(300 * 1365 / 11025)
    assert not report.groups


def test_chance_pairs_are_in_no_group_and_not_listed() -> None:
    strangers = [asset(str(n), random_items(60, n)) for n in range(40)]
    report = find_duplicates(strangers, MusicDedupe(related=0.5, same_content=0.55, identical=0.6))
    assert not report.groups
    assert not [pair for pair in report.pairs if pair.likeness == "related"]


def test_more_assets_make_the_same_pair_less_sure() -> None:
    whole = random_items(30)
    pair = [asset("a", whole), asset("b", with_errors(whole, 0.36))]
    rules = MusicDedupe(least_confidence=0.0)
    few = find_duplicates(pair, rules).pairs
    crowd = [asset(str(n), random_items(300, n)) for n in range(200)]
    many = [p for p in find_duplicates(pair + crowd, rules).pairs if (p.one, p.other) == (0, 1)]
    assert few[0].confidence > many[0].confidence


def test_groups_are_connected_components() -> None:
    one, other = random_items(seed=1), random_items(seed=2)
    chain = [one]
    for seed in range(3):
        chain.append(with_errors(chain[-1], 0.1, seed))
    rows = [asset(f"a{n}", items) for n, items in enumerate(chain)]
    rows += [asset("b0", other), asset("b1", other), asset("alone", random_items(seed=3))]
    report = find_duplicates(rows, RULES)
    assert sorted(map(sorted, names(report))) == [["a0", "a1", "a2", "a3"], ["b0", "b1"]]
    ends = next(pair for pair in report.pairs if (pair.one, pair.other) == (0, 3))
    assert not ends.joins, "the chain holds what its ends would not"


def test_two_assets_with_the_same_content_under_different_ids() -> None:
    items = random_items()
    hostile = asset("'; DROP TABLE audio_fingerprint; --/../x", items)
    report = find_duplicates([asset("plain", items), hostile], RULES)
    assert report.pairs[0].similarity == 1.0
    assert len(report.groups) == 1


def test_what_was_not_fingerprinted_is_not_compared() -> None:
    items = random_items()
    rows = [
        asset("a", items),
        asset("silent", items, processing_status="featureless"),
        asset("gone", None, processing_status="failed"),
        asset("short", items[:0], processing_status="too_short"),
    ]
    report = find_duplicates(rows, RULES)
    assert report.assets == tuple(rows)
    assert not report.pairs
    assert find_duplicates([], RULES).groups == ()


# ------------------------------------------------------------------------- the one to keep


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({"lossless": True, "bit_rate": 1}, {"lossless": False, "bit_rate": 9}, "lossless"),
        ({"bit_rate": 320_000, "sample_rate": 1}, {"bit_rate": 1, "sample_rate": 9}, "bit rate"),
        ({"sample_rate": 48_000, "channels": 1}, {"sample_rate": 1, "channels": 2}, "sample rate"),
        ({"channels": 2, "duration": 1.0}, {"channels": 1, "duration": 2.0}, "channels"),
        ({"duration": 60.0}, {"duration": 50.0}, "longest"),
        ({"modified_at": MADE.replace(year=2020)}, {"modified_at": MADE}, "oldest"),
        ({}, {}, "equally good"),
    ],
)
def test_the_best_file_is_kept(better: dict[str, Any], worse: dict[str, Any], why: str) -> None:
    items = random_items()
    rows = [asset("z" if better else "a", items, **better), asset("m", items, **worse)]
    (group,) = find_duplicates(rows[::-1], RULES).groups
    assert group.keep == 1
    assert why in group.why


# ----------------------------------------------------------------------------- real sounds


@pytest.mark.parametrize("sound", [silence(10, rate_hz=RATE_HZ), tone(10, rate_hz=RATE_HZ)])
def test_silence_and_a_sine_have_no_features(sound: NDArray[np.float32]) -> None:
    assert is_featureless(heard(sound))


def test_music_and_noise_have_features() -> None:
    assert not is_featureless(heard(music_like(10, rate_hz=RATE_HZ)))
    assert not is_featureless(heard(noise(10, rate_hz=RATE_HZ)))


def coded(folder: Path, samples: NDArray[np.float32], codec: str, bit_rate: int) -> Path:
    path = folder / f"{codec}.{'mp3' if codec == 'mp3' else 'm4a'}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44100)
        stream.layout, stream.bit_rate = "mono", bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def tilted(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Less bass, more treble: a first difference added."""
    return np.asarray(0.6 * samples + 0.6 * np.diff(samples, prepend=samples[:1]), np.float32)


CHANGES: list[tuple[str, Callable[[NDArray[np.float32]], NDArray[np.float32]], float]] = [
    ("volume", lambda x: np.asarray(x * 0.3, np.float32), 0.95),
    ("trimmed", lambda x: x[2 * 44100 :], 0.95),
    ("noise", lambda x: x + noise(len(x) / 44100, amplitude=0.01)[: len(x)], 0.8),
    ("tilted", tilted, 0.8),
]


@pytest.mark.slow
def test_real_tracks_and_their_copies(corpus: Path, tmp_path: Path) -> None:
    rows, original_of = [], {}
    for track in sorted((corpus / "music").glob("*.ogg"))[:6]:
        samples = read_sound(track, 44100, most_s=25)
        rows.append(asset(track.stem, chromaprint_of(tmp_path, samples)))
        for codec, bit_rate in (("mp3", 64_000), ("aac", 96_000)):
            path = coded(tmp_path, samples, codec, bit_rate)
            rows.append(asset(f"{track.stem} {codec}", chromaprint(path, "own").items))
            original_of[rows[-1].asset_id] = (track.stem, 0.95)
        for name, change, least in CHANGES:
            rows.append(asset(f"{track.stem} {name}", chromaprint_of(tmp_path, change(samples))))
            original_of[rows[-1].asset_id] = (track.stem, least)
    report = find_duplicates(rows, RULES, threads=2)
    assert len(report.groups) == 6
    assert all(len(group.members) == 7 for group in report.groups)
    found = {(rows[p.one].asset_id, rows[p.other].asset_id): p.similarity for p in report.pairs}
    for copy, (original, least) in original_of.items():
        assert found[original, copy] >= least, copy


def chromaprint_of(folder: Path, samples: NDArray[np.float32]) -> NDArray[np.uint32]:
    path = folder / "plain.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44100, 0, "NONE", ""))
        file.writeframes(np.asarray(np.clip(samples, -1, 1) * 32767, "<i2").tobytes())
    return chromaprint(path, "own").items


@pytest.mark.slow
def test_different_tracks_stay_different(corpus: Path) -> None:
    tracks = sorted((corpus / "music").glob("*.ogg"))
    rows = [asset(track.stem, chromaprint(track, "own").items) for track in tracks]
    report = find_duplicates(rows, RULES, threads=2)
    assert not report.groups
    # tracks of one soundtrack quote one another
    assert len(report.pairs) <= 10
    by_index = find_duplicates(rows, MusicDedupe(all_pairs_assets=0), threads=2)
    assert not by_index.groups
