"""The user's music library, asked by a run: what it hears, what grows, what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

import reelscope
from reelscope.music.library import MusicLibrary
from reelscope.music.new_tracks import NewTrack
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.track_library import users_library
from reelscope.records import Music, StageRecord, VideoRecord
from reelscope.settings import Settings
from reelscope.testing.melody import RATE_HZ as MELODY_HZ
from reelscope.testing.melody import melody, write_wav
from reelscope.testing.sounds import mix
from reelscope.testing.speech import speech_like

RATE_HZ = 16_000
SPEED = 1.25
STAGES = ("voice", "events", "music")


def song(seed: int, seconds: float = 30.0) -> NDArray[np.float32]:
    """Two notes every eighth of a second, by chance, over a drum on every fourth."""
    rng = np.random.default_rng(seed)
    tune = np.asarray(soxr.resample(melody(seed, seconds), MELODY_HZ, RATE_HZ), np.float32)
    hit = 0.3 * rng.standard_normal(2000) * np.exp(-np.arange(2000) / 300)
    for start in range(0, len(tune) - len(hit), RATE_HZ // 2):
        tune[start : start + len(hit)] += hit
    return tune.clip(-1, 1)


def played(samples: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    return np.asarray(soxr.resample(samples, RATE_HZ * speed, RATE_HZ), np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A song, a video with it sped up under speech from its second 5 on, and one without it."""
    root = tmp_path_factory.mktemp("ana")
    talk = speech_like(16.0, rate_hz=RATE_HZ, seed=1, rms=0.05)[0]
    clip = played(song(1)[5 * RATE_HZ : round((5 + 16 * SPEED) * RATE_HZ)], SPEED)[: len(talk)]
    return {
        "song": write_wav(root / "songs" / "song.wav", song(1), RATE_HZ),
        "other": write_wav(root / "songs" / "other.wav", song(2), RATE_HZ),
        "with": write_wav(root / "with.wav", mix(clip, talk[: len(clip)]), RATE_HZ),
        "without": write_wav(root / "without.wav", song(7, 15.0), RATE_HZ),
    }


def settings(data: Path, **music: Any) -> Settings:
    return Settings.model_validate(
        {"paths": {"data": data, "logs": data / "logs"}, "music": {"library": music}}
    )


def add(data: Path, path: Path, id_: str, title: str | None = None) -> None:
    with MusicLibrary.open(data / "library") as library:
        new = NewTrack(path, id=id_, title=title, artist="Ana" if title else None)
        assert [added.outcome for added in library.add([new])] == ["added"]


def run(files: dict[str, Path], data: Path, **music: Any) -> dict[str, VideoRecord]:
    paths = [files["with"], files["without"]]
    records = reelscope.analyze(paths, settings=settings(data, **music), batch_id="b", only=STAGES)
    return {record.source.video_id: record for record in records}


def music_of(record: VideoRecord) -> Music:
    value = record.value(Music)
    assert value is not None, record.stages["music"]
    return value


def made(records: dict[str, VideoRecord]) -> dict[str, StageRecord]:
    return {name: record.stages["music"] for name, record in records.items()}


def test_a_sped_up_song_under_speech_is_named_with_its_place_and_speed(
    files: dict[str, Path], tmp_path: Path
) -> None:
    add(tmp_path, files["song"], "x1", "First Light")
    records = run(files, tmp_path)
    (found,) = music_of(records["with"]).recognised
    assert (found.source, found.title, found.artist) == ("library", "First Light", "Ana")
    assert (found.library_id, found.matched_by) == ("x1", "fingerprint")
    assert found.time_skew == pytest.approx(SPEED - 1, abs=0.01)
    assert found.frequency_skew == pytest.approx(SPEED - 1, abs=0.01)
    assert found.window_start_s is not None and found.track_offset_s is not None
    assert found.time_skew is not None
    begins = found.track_offset_s - found.window_start_s * (1 + found.time_skew)
    assert begins == pytest.approx(5.0, abs=0.15)
    assert found.confidence is not None and found.confidence > 0.9
    music = music_of(records["without"])
    assert (music.recognised, music.answers[1].outcome) == ((), "no_match")
    table = (tmp_path / "results" / "b" / "video_features_results.csv").read_text()
    assert "First Light" in table and "x1" in table


def test_without_a_library_nothing_is_asked_or_made(files: dict[str, Path], tmp_path: Path) -> None:
    records = run(files, tmp_path)
    for record in records.values():
        answer = music_of(record).answers[1]
        assert (answer.outcome, answer.reason) == ("not_asked", "there is no music library")
        assert music_of(record).library_revision is None
    assert not (tmp_path / "library").exists()
    assert build_graph(settings(tmp_path))["music"].engine == "reelscope 1"


def test_what_is_asked_again_when_the_library_has_grown(
    files: dict[str, Path], tmp_path: Path
) -> None:
    add(tmp_path, files["song"], "x1", "First Light")
    first = made(run(files, tmp_path))
    assert made(run(files, tmp_path)) == first
    add(tmp_path, files["other"], "x2")
    second = made(run(files, tmp_path))
    assert second["with"] == first["with"]
    assert second["without"].key != first["without"].key
    with MusicLibrary.open(tmp_path / "library") as library:
        library.update("x1", title="Renamed")
    third = made(run(files, tmp_path))
    assert isinstance(third["with"].value, Music)
    assert third["with"].value.recognised[0].title == "Renamed"


def test_what_is_added_during_a_run_makes_nothing_anew_in_it(
    files: dict[str, Path], tmp_path: Path
) -> None:
    add(tmp_path, files["song"], "x1")
    asked = users_library(settings(tmp_path))
    assert asked is not None and asked.absent is None
    before, engine = asked.revision, asked.engine
    add(tmp_path, files["other"], "x2")
    assert (asked.revision, asked.engine) == (before, engine)
    later = users_library(settings(tmp_path))
    assert later is not None and (later.revision != before, later.engine) == (True, engine)
    asked.close()
    later.close()


@pytest.mark.parametrize("damage", ["segment cut", "segment changed", "manifest", "catalogue"])
def test_a_damaged_library_is_named_and_nothing_else_suffers(
    damage: str, files: dict[str, Path], tmp_path: Path
) -> None:
    add(tmp_path, files["song"], "x1")
    index = tmp_path / "library" / "index"
    (segment,) = index.glob("segment-*.idx")
    whole = segment.read_bytes()
    if damage == "segment cut":
        segment.write_bytes(whole[: len(whole) // 2])
    elif damage == "segment changed":
        segment.write_bytes(whole[:-2000] + bytes(b ^ 255 for b in whole[-2000:]))
    elif damage == "manifest":
        (index / "manifest.json").write_text("{}")
    else:
        (tmp_path / "library" / "catalogue.sqlite").write_bytes(b"no database" * 1000)
    records = run({**files, "without": files["with"]}, tmp_path)
    answer = music_of(records["with"]).answers[1]
    assert answer.outcome == "not_asked"
    assert "cannot be asked" in (answer.reason or "") and "music verify" in (answer.reason or "")
    assert music_of(records["with"]).recognised == ()


def test_a_library_that_is_damaged_later_keeps_what_it_said_and_is_asked_when_mended(
    files: dict[str, Path], tmp_path: Path
) -> None:
    add(tmp_path, files["song"], "x1", "First Light")
    first = made(run(files, tmp_path))
    manifest = tmp_path / "library" / "index" / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-40])
    assert made(run(files, tmp_path)) == first
    fresh = tmp_path / "results"
    (tmp_path / "analysis_results").rename(tmp_path / "kept")
    assert fresh.is_dir()
    missed = run(files, tmp_path)
    assert music_of(missed["with"]).answers[1].outcome == "not_asked"
    manifest.write_bytes(whole)
    mended = run(files, tmp_path)
    assert music_of(mended["with"]).recognised[0].library_id == "x1"


def test_an_empty_library_and_a_server_that_is_not_there_are_said(
    files: dict[str, Path], tmp_path: Path
) -> None:
    with MusicLibrary.open(tmp_path / "library"):
        pass
    empty = users_library(settings(tmp_path))
    assert empty is not None
    assert "no track" in (empty.absent or "")
    assert (empty.revision, empty.identify(song(1), RATE_HZ)) == ("", [])
    address = "postgresql://ana:s3cret@127.0.0.1:1/none"
    gone = users_library(settings(tmp_path, database=address))
    assert gone is not None
    assert "cannot be asked" in (gone.absent or "")
    assert "s3cret" not in (gone.absent or "")
    assert users_library(settings(tmp_path / "nowhere")) is None
