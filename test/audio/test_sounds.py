"""Sounds by name: what is said of which stretch, and the timeline that carries it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelscope.audio.sounds import (
    RATE_HZ,
    SoundsStage,
    cut,
    cut_with_edges,
    find_tags,
    label_event,
    place,
)
from reelscope.engines.audio_spectrogram import SpectrogramTagger
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.media.clip import Clip
from reelscope.records import (
    Event,
    EventKind,
    Events,
    Loudness,
    Ok,
    Outcome,
    Skipped,
    Sounds,
    SoundTag,
    StageRecord,
    VideoRecord,
    VideoSource,
)
from reelscope.settings import Media
from reelscope.settings import Sounds as Settings
from reelscope.testing.ast_audioset import CLASSES, write_ast_audioset
from reelscope.testing.media import Scene, Sound, write_sound, write_video

Float32 = NDArray[np.float32]
Parts = Sequence[tuple[float, float, EventKind]]
LABELS = ("Beep", "Quiet")


class Beeps:
    """A tagger that hears a beep where the sound is loud."""

    engine = "beeps 1"
    weights = ("beeps",)

    def __init__(self) -> None:
        self.heard: list[int] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def labels(self) -> tuple[str, ...]:
        return LABELS

    def probabilities(self, windows: Iterable[Float32]) -> Iterator[Float32]:
        for window in windows:
            self.heard.append(len(window))
            loud = float(np.abs(window).max()) > 0.25
            yield np.array([0.9 if loud else 0.01, 0.2], np.float32)


def clip_of(path: Path, parts: Parts, name: str = "v") -> Clip:
    events = Events(
        timeline=tuple(Event(start_s=a, end_s=b, kind=k, confidence=0.9) for a, b, k in parts),
        duration_s=max([0.0, *(b for _, b, _ in parts)]),
        seconds={},
        loudness=Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None),
    )
    source = VideoSource(creator="c", video_id=name, frames_id=name, path=str(path))
    stages = {"events": StageRecord(status="ok", key="k", engine="e", value=events)}
    record = VideoRecord(source=source, stages=stages)
    return Clip(source, record, Media(), frames_root=path.parent / "frames")


def write_beeps(path: Path, seconds: float, *beeps: tuple[float, float]) -> Path:
    samples = np.full(round(seconds * RATE_HZ), 0.01, np.float32)
    for start_s, end_s in beeps:
        samples[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] = 0.5
    write_sound(path, Sound(samples, RATE_HZ))
    return path


def value(outcome: Outcome) -> Sounds:
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Sounds)
    return outcome.value


def spans_of(found: Sounds, label: str = "Beep") -> list[tuple[float, float]]:
    return [(tag.start_s, tag.end_s) for tag in found.tags if tag.label == label]


# ---------------------------------------------------------------------------- windows


@given(sizes=st.lists(st.integers(0, 50), max_size=8), window=st.integers(1, 40), data=st.data())
def test_windows_overlap_and_end_with_the_sound(
    sizes: list[int], window: int, data: st.DataObject
) -> None:
    hop = data.draw(st.integers(1, window))
    whole = np.arange(sum(sizes), dtype=np.float32)
    blocks = np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []
    found = list(cut(blocks, window, hop))
    starts = [start for start, _ in found]
    assert all(0 < after - before <= hop for before, after in pairwise(starts))
    for start, samples in found:
        assert len(samples) == min(window, len(whole))
        np.testing.assert_array_equal(samples, whole[start : start + window])
    if len(whole):
        assert starts[0] == 0
        assert starts[-1] + len(found[-1][1]) == len(whole)
    else:
        assert not found


@given(
    seconds=st.integers(1, 60), first=st.floats(0, 59), length=st.floats(0.1, 30),
)  # fmt: skip
def test_a_sound_is_placed_as_closely_as_the_windows_follow_one_another(
    seconds: int, first: float, length: float
) -> None:
    hop_s = 2.5
    start_s = min(first, seconds - 0.1)
    end_s = min(start_s + length, seconds)
    blocks = [np.zeros(seconds * RATE_HZ, np.float32)]
    cuts = list(cut_with_edges(blocks, 10 * RATE_HZ, round(hop_s * RATE_HZ)))
    spans = [(at / RATE_HZ, (at + len(some)) / RATE_HZ) for at, some, _ in cuts]
    heard = [index for index, (a, b) in enumerate(spans) if a < end_s and b > start_s]
    assert heard == list(range(heard[0], heard[-1] + 1))
    found = place(spans, heard[0], heard[-1])
    assert start_s - hop_s <= found[0] <= start_s
    edge_s = 1.0 if found[1] == seconds else 0.0  # no window at the end is shorter
    assert end_s <= found[1] <= end_s + hop_s + edge_s


def test_where_a_neighbour_should_have_heard_it_all_that_did_agree() -> None:
    spans = [(0.0, 10.0), (2.5, 12.5), (5.0, 15.0), (7.5, 17.5), (10.0, 20.0)]
    assert place(spans, 1, 1) == (2.5, 12.5)
    assert place(spans, 1, 2) == (5.0, 12.5)
    assert place(spans, 0, 4) == (0.0, 20.0)


def test_the_ends_say_where_but_not_what() -> None:
    spans = [(0.0, 5.0), (0.0, 10.0), (5.0, 10.0)]
    whole = np.array([False, True, False])
    chances = np.array([[0.9, 0.16], [0.1, 0.4], [0.9, 0.1]], np.float32)
    (tag,) = find_tags(spans, chances, whole, ("a", "b"), 0.3)
    assert (tag.label, tag.start_s, tag.end_s) == ("b", 0.0, 5.0)
    assert tag.confidence == pytest.approx(0.4)


# ----------------------------------------------------------------------------- the stage


@pytest.mark.parametrize("seconds", [0.3, 8.0, 15.0, 61.3])
def test_beeps_are_found_where_they_are(tmp_path: Path, seconds: float) -> None:
    beep = (seconds * 0.6, seconds * 0.6 + min(1.0, seconds * 0.2))
    path = write_beeps(tmp_path / "beep.wav", seconds, beep)
    with clip_of(path, [(0, seconds, "other")]) as clip:
        found = value(SoundsStage(Settings(), Beeps()).run([clip])[0])
    ((start_s, end_s),) = spans_of(found)
    assert max(beep[0] - 2.5, 0) <= start_s <= beep[0]
    assert beep[1] <= end_s <= min(beep[1] + 2.5, seconds) + 1e-6
    assert found.tags[0].confidence == pytest.approx(0.9)
    assert found.timeline[0].labels == ("Beep",)
    assert not spans_of(found, "Quiet")


def test_one_sound_heard_twice_is_two_tags(tmp_path: Path) -> None:
    path = write_beeps(tmp_path / "two.wav", 60, (5, 6), (50, 51))
    with clip_of(path, [(0, 60, "other")]) as clip:
        found = value(SoundsStage(Settings(), Beeps()).run([clip])[0])
    (early, late) = spans_of(found)
    assert early[1] < 10 < 45 < late[0]


def test_several_videos_go_through_one_stream_and_silence_does_not(tmp_path: Path) -> None:
    quiet = write_beeps(tmp_path / "a.wav", 30)
    loud = write_beeps(tmp_path / "b.wav", 4, (1, 2))
    parts: Parts = [(0, 30, "silence")]
    tagger = Beeps()
    clips = [clip_of(quiet, parts, "a"), clip_of(loud, [(0, 4, "other")], "b")]
    first, second = (value(one) for one in SoundsStage(Settings(), tagger).run(clips))
    assert (first.tags, first.windows) == ((), 0)
    assert [event.labels for event in first.timeline] == [()]
    assert spans_of(second) == [(0, 2.5)]
    assert second.windows == len(tagger.heard) == 3


def test_at_most_so_many_tags_the_surest(tmp_path: Path) -> None:
    path = write_beeps(tmp_path / "b.wav", 4, (1, 2))
    settings = Settings(min_confidence=0.1, max_tags=1)
    with clip_of(path, [(0, 4, "other")]) as clip:
        found = value(SoundsStage(settings, Beeps()).run([clip])[0])
    assert [tag.label for tag in found.tags] == ["Beep"]


def test_no_sound_is_skipped_and_an_empty_stream_is_ok(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", [Scene(0.5)])
    with clip_of(tmp_path / "mute.mp4", []) as clip:
        (outcome,) = SoundsStage(Settings(), Beeps()).run([clip])
    assert outcome == Skipped("there is no audio stream")


def test_a_click_is_too_short_for_a_name(tmp_path: Path) -> None:
    path = write_beeps(tmp_path / "click.wav", 0.1, (0, 0.1))
    tagger = Beeps()
    with clip_of(path, [(0, 0.1, "other")]) as clip:
        found = value(SoundsStage(Settings(), tagger).run([clip])[0])
    assert (found.tags, found.windows, tagger.heard) == ((), 0, [])
    assert [event.labels for event in found.timeline] == [()]


@pytest.mark.parametrize(
    ("tag", "event", "belongs"),
    [
        ((0, 10), (2, 3, "other"), True),
        ((2, 3), (0, 10, "speech"), True),
        ((2, 4), (3.5, 10, "speech"), False),  # most of it is elsewhere
        ((2, 3), (0, 10, "silence"), False),
        ((2, 3), (3, 10, "other"), False),
    ],
)
def test_a_label_belongs_to_the_event_that_it_shares_time_with(
    tag: tuple[float, float], event: tuple[float, float, EventKind], belongs: bool
) -> None:
    one = SoundTag(label="Dog", start_s=tag[0], end_s=tag[1], confidence=0.5)
    part = Event(start_s=event[0], end_s=event[1], kind=event[2], confidence=1)
    labelled = label_event(part, [one])
    assert labelled.labels == (("Dog",) if belongs else ())
    assert (labelled.start_s, labelled.end_s, labelled.kind) == event


def test_the_real_tagger_through_the_whole_stage(tmp_path: Path) -> None:
    write_ast_audioset(tmp_path / "models")
    tagger = SpectrogramTagger(WeightStore(tmp_path / "models"), ModelPool(1))
    stage = SoundsStage(Settings(min_confidence=0.3, max_tags=5), tagger)
    assert stage.weights == ("ast-audioset",)
    stage.open()
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.wav"
    noise = (rng.standard_normal(12 * RATE_HZ) * 0.1).astype(np.float32)
    write_sound(path, Sound(noise, RATE_HZ))
    with clip_of(path, [(0, 7, "other"), (7, 12, "music")]) as clip:
        found = value(stage.run([clip])[0])
    assert found.windows == 8
    assert len(found.tags) == 5  # random weights name something
    for tag in found.tags:
        assert tag.label in tagger.labels()
        assert 0 <= tag.start_s < tag.end_s <= 12
        assert 0.3 <= tag.confidence <= 1
    assert [(event.start_s, event.kind) for event in found.timeline] == [(0, "other"), (7, "music")]
    assert len(tagger.labels()) == CLASSES
    stage.close()
