"""Which track is heard: whom is asked about what, and what is said of each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.audio.recognition import (
    LEAST_MUSIC_S,
    RATE_HZ,
    WINDOW_S,
    Asked,
    Heard,
    Identified,
    MusicStage,
    choose_windows,
    names_track,
)
from reelscope.audio.sound_memory import Placed, SoundMemory
from reelscope.errors import DatabaseFailed, StoreError
from reelscope.media.clip import Clip
from reelscope.media.flac import write_flac
from reelscope.records import (
    Event,
    EventKind,
    Events,
    Failed,
    Loudness,
    Music,
    MusicTrack,
    Ok,
    Platform,
    PlatformMusic,
    Separation,
    SpeechSegment,
    StageRecord,
    Stem,
    Value,
    VideoRecord,
    VideoSource,
    Voice,
)
from reelscope.settings import Media
from reelscope.testing.media import Sound, write_sound
from reelscope.testing.sounds import music_like, sequence, silence

Part = tuple[float, float, EventKind]
SONG = Placed(MusicTrack(title="First Light", artist="The Made Up"), track_offset_s=30.0)


def timeline(*parts: Part) -> tuple[Event, ...]:
    return tuple(Event(start_s=a, end_s=b, kind=kind, confidence=0.9) for a, b, kind in parts)


def spoken(*spans: tuple[float, float]) -> list[SpeechSegment]:
    return [SpeechSegment(start_s=a, end_s=b, probability=0.9) for a, b in spans]


# --------------------------------------------------------------------------------- windows


def test_the_window_stands_where_music_is_alone() -> None:
    parts = timeline((0, 20, "speech_over_music"), (20, 34, "music"), (34, 60, "speech"))
    (window,) = choose_windows(parts, spoken((0, 20), (34, 60)), most=1)
    assert window.start_s >= 20 and window.end_s <= 34
    assert (window.music_s, window.speech_s) == (WINDOW_S, 0.0)


def test_several_windows_stand_apart_and_the_best_comes_first() -> None:
    parts = timeline((0, 30, "speech_over_music"), (30, 60, "music"))
    windows = choose_windows(parts, spoken((0, 30)), most=3)
    assert [w.speech_s for w in windows] == [0.0, 0.0, 12.0]
    spans = sorted((w.start_s, w.end_s) for w in windows)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_music_that_begins_off_the_grid_is_met_exactly() -> None:
    parts = timeline((0, 7.13, "speech"), (7.13, 19.13, "music"), (19.13, 40, "speech"))
    (window,) = choose_windows(parts, spoken((0, 7.13), (19.13, 40)), most=1)
    assert window.start_s == 7.13


@pytest.mark.parametrize(
    "parts",
    [(), ((0, 30, "speech"),), ((0, 30, "silence"),), ((0, 10, "other"), (10, 12.9, "music"))],
)
def test_without_music_there_is_no_window(parts: tuple[Part, ...]) -> None:
    assert choose_windows(timeline(*parts), [], most=3) == ()


def test_a_short_video_is_one_window() -> None:
    (window,) = choose_windows(timeline((0, 5, "music")), [], most=3)
    assert (window.start_s, window.end_s) == (0.0, 5.0)


kinds = st.sampled_from(["speech", "music", "speech_over_music", "other", "silence"])


@given(
    pieces=st.lists(st.tuples(st.floats(0.01, 40), kinds), max_size=8),
    most=st.integers(1, 3),
    separated=st.booleans(),
)
def test_windows_hold_music_and_lie_inside(
    pieces: list[tuple[float, EventKind]], most: int, separated: bool
) -> None:
    edges = np.cumsum([0.0, *(length for length, _ in pieces)]).tolist()
    parts = [(a, b, kind) for a, b, (_, kind) in zip(edges[:-1], edges[1:], pieces, strict=True)]
    windows = choose_windows(timeline(*parts), [], most=most, separated=separated)
    assert len(windows) <= most
    for window in windows:
        assert -1e-6 <= window.start_s < window.end_s <= edges[-1] + 1e-5
        assert window.end_s - window.start_s <= WINDOW_S + 1e-5
        assert window.music_s >= LEAST_MUSIC_S - 1e-5


@pytest.mark.parametrize(
    ("music", "named"),
    [
        (None, False),
        (PlatformMusic(title=" "), False),
        (PlatformMusic(title="Song"), True),
        (PlatformMusic(title="Song", original=False), True),
        (PlatformMusic(title="Song", original=True), False),
        (PlatformMusic(title="Original Sound - ana"), False),
    ],
)
def test_an_original_sound_is_no_track(music: PlatformMusic | None, named: bool) -> None:
    assert names_track(music) is named


# ------------------------------------------------------------------------------- the stage


class Recogniser:
    """Gives these answers, one after the other, and keeps what it heard."""

    engine = "recogniser 1"
    absent: str | None = None

    def __init__(self, *answers: Heard) -> None:
        self.answers = list(answers)
        self.heard: list[Any] = []

    def recognise(self, samples: Any, rate_hz: int) -> Heard:
        assert rate_hz == RATE_HZ
        self.heard.append(samples)
        return self.answers.pop(0)

    def close(self) -> None: ...


class Library:
    """Hears these, one answer for each stretch of music; in this state."""

    engine = "library 1"

    def __init__(self, *answers: Sequence[Identified] | StoreError, revision: str = "a:1") -> None:
        self.answers = list(answers)
        self.revision = revision
        self.absent: str | None = None
        self.changed: set[str] = set()
        self.lengths_s: list[float] = []

    def identify(self, samples: Any, rate_hz: int) -> Sequence[Identified]:
        self.lengths_s.append(len(samples) / rate_hz)
        answer = self.answers.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def unchanged(self, library_id: str, since: datetime | None) -> bool:
        return library_id not in self.changed

    def close(self) -> None: ...


def heard(id_: str, start_s: float, end_s: float) -> Identified:
    track = MusicTrack(title=f"Song {id_}", library_id=id_)
    placed = Placed(track, track_offset_s=40.0, time_skew=0.25, frequency_skew=0.25)
    return Identified(placed, start_s=start_s, end_s=end_s, confidence=0.9)


def known(placed: Placed = SONG) -> Heard:
    return Heard(placed=placed, requests=1)


def unknown() -> Heard:
    return Heard(missed="no_match", requests=1)


def stage(folder: Path, recogniser: Recogniser | None = None, **more: Any) -> MusicStage:
    asked = Asked(shazam=recogniser is not None, ask_shazam=more.pop("ask", "unnamed"), windows=2)
    memory = SoundMemory(folder / "sounds.sqlite", no_match_days=14)
    why_not = None if recogniser else "offline (models.offline)"
    return MusicStage(asked, memory, recogniser, why_not=why_not, **more)


def ok(value: Value) -> StageRecord:
    return StageRecord(status="ok", key="k", engine="e", value=value)


def clip(
    folder: Path,
    parts: Sequence[Part] = ((0, 4, "silence"), (4, 34, "music")),
    *,
    music: PlatformMusic | None = None,
    name: str = "v",
    seed: int = 0,
    values: Sequence[Value] = (),
) -> Clip:
    path = folder / f"{name}.wav"
    if not path.exists():
        song = music_like(30.0, rate_hz=RATE_HZ, seed=seed)
        samples = sequence(silence(4.0, rate_hz=RATE_HZ), song)
        write_sound(path, Sound(samples, RATE_HZ), codec="pcm_s16le")
    events = Events(
        timeline=timeline(*parts),
        duration_s=34.0,
        seconds={},
        loudness=Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None),
    )
    voice = Voice(segments=(), duration_s=34.0, speech_s=0, speech_share=0)
    platform = Platform(name="tiktok", music=music) if music else None
    source = VideoSource(
        creator="c", video_id=name, frames_id=name, path=str(path), platform=platform
    )
    stages = {value.stage: ok(value) for value in (events, voice, *values)}
    record = VideoRecord(source=source, stages=stages)
    return Clip(source, record, Media(), frames_root=folder / "f", records_root=folder / "r")


def value_of(stage: MusicStage, clip: Clip) -> Music:
    (outcome,) = stage.run([clip])
    assert isinstance(outcome, Ok), outcome
    assert isinstance(outcome.value, Music)
    assert [a.source for a in outcome.value.answers] == ["platform", "library", "memory", "shazam"]
    return outcome.value


def outcomes(music: Music) -> list[str]:
    return [answer.outcome for answer in music.answers]


def test_shazam_is_asked_and_the_same_sound_costs_no_second_request(tmp_path: Path) -> None:
    recogniser = Recogniser(known())
    music = value_of(stage(tmp_path, recogniser), clip(tmp_path))
    assert outcomes(music) == ["not_asked", "not_asked", "no_match", "found"]
    (found,) = music.recognised
    assert (found.source, found.title, found.confidence) == ("shazam", "First Light", None)
    assert (found.window_start_s, found.window_end_s) == (4.0, 16.0)
    assert music.answers[3].requests == 1
    (heard,) = recogniser.heard
    assert len(heard) == 12 * RATE_HZ
    assert np.abs(heard[: RATE_HZ // 2]).max() > 0.01  # the silence before is not in it

    again = value_of(stage(tmp_path, Recogniser()), clip(tmp_path, name="again"))
    assert outcomes(again) == ["not_asked", "not_asked", "found", "not_asked"]
    assert again.answers[3].reason == "it was recognised earlier"
    (found,) = again.recognised
    assert (found.source, found.matched_by, found.track_offset_s) == ("memory", "fingerprint", 30.0)
    assert found.window_start_s == pytest.approx(4.0, abs=0.1)
    assert found.hashes is not None and found.hashes > 100


def test_another_sound_is_asked_about(tmp_path: Path) -> None:
    value_of(stage(tmp_path, Recogniser(known())), clip(tmp_path))
    other = Recogniser(known(Placed(MusicTrack(title="Other"))))
    music = value_of(stage(tmp_path, other), clip(tmp_path, name="other", seed=7))
    assert [found.title for found in music.recognised] == ["Other"]


def test_no_match_is_ok_and_remembered(tmp_path: Path) -> None:
    recogniser = Recogniser(unknown(), unknown())
    music = value_of(stage(tmp_path, recogniser), clip(tmp_path))
    assert outcomes(music)[2:] == ["no_match", "no_match"]
    assert (music.recognised, music.answers[3].requests) == ((), 2)
    again = value_of(stage(tmp_path, Recogniser()), clip(tmp_path))
    assert outcomes(again)[2:] == ["no_match", "no_match"]
    assert again.answers[3].requests == 0
    assert "remembered" in (again.answers[3].reason or "")


def test_the_second_window_may_be_known(tmp_path: Path) -> None:
    music = value_of(stage(tmp_path, Recogniser(unknown(), known())), clip(tmp_path))
    assert music.recognised[0].window_start_s == music.windows[1].start_s
    assert music.answers[3].requests == 2


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([Heard(missed="rate_limited", message="429", requests=1)], "rate_limited"),
        ([unknown(), Heard(missed="unreachable", message="gone")], "unreachable"),
        ([Heard(missed="broken", message="SIGSEGV"), unknown()], "engine_failed"),
    ],
)
def test_no_answer_is_no_missing_match(answers: list[Heard], kind: str, tmp_path: Path) -> None:
    (outcome,) = stage(tmp_path, Recogniser(*answers)).run([clip(tmp_path)])
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.retryable) == (kind, True)


def test_a_window_that_breaks_it_does_not_hide_the_next(tmp_path: Path) -> None:
    answers = [Heard(missed="broken", message="SIGSEGV"), known()]
    music = value_of(stage(tmp_path, Recogniser(*answers)), clip(tmp_path))
    assert music.recognised[0].title == "First Light"


def test_offline_the_other_sources_still_work(tmp_path: Path) -> None:
    named = PlatformMusic(id="7", title="Song", author="Carla", original=False)
    music = value_of(stage(tmp_path), clip(tmp_path, music=named))
    assert outcomes(music) == ["found", "not_asked", "no_match", "not_asked"]
    assert music.answers[3].reason == "offline (models.offline)"
    assert (music.recognised[0].title, music.recognised[0].artist) == ("Song", "Carla")
    value_of(stage(tmp_path, Recogniser(known())), clip(tmp_path, name="w"))
    music = value_of(stage(tmp_path), clip(tmp_path, music=named))
    assert [found.source for found in music.recognised] == ["platform", "memory"]


def test_what_the_platform_names_is_asked_about_only_on_request(tmp_path: Path) -> None:
    named = PlatformMusic(id="7", title="Song", original=False)
    music = value_of(stage(tmp_path, Recogniser()), clip(tmp_path, music=named))
    assert music.answers[3].reason == "the platform names the track"
    music = value_of(
        stage(tmp_path, Recogniser(known()), ask="always"), clip(tmp_path, music=named)
    )
    assert [found.source for found in music.recognised] == ["platform", "shazam"]
    # Its id is not taken for what was heard: the named sound may be there without being heard.
    other = clip(tmp_path, name="other", seed=7, music=named)
    music = value_of(stage(tmp_path, Recogniser()), other)
    assert [found.source for found in music.recognised] == ["platform"]


def test_an_original_sound_is_asked_about_and_known_by_its_id(tmp_path: Path) -> None:
    own = PlatformMusic(id="9", title="original sound", author="ana", original=True)
    music = value_of(stage(tmp_path, Recogniser(known())), clip(tmp_path, music=own))
    assert outcomes(music) == ["no_match", "not_asked", "no_match", "found"]
    parts: list[Part] = [(0, 34, "speech")]
    music = value_of(stage(tmp_path, Recogniser()), clip(tmp_path, parts, music=own))
    (found,) = music.recognised
    assert (found.source, found.matched_by, found.window_start_s) == ("memory", "platform_id", None)


def test_the_library_comes_before_the_memory_and_shazam(tmp_path: Path) -> None:
    library = Library([heard("x", 1.0, 9.0)])
    music = value_of(stage(tmp_path, Recogniser(), library=library), clip(tmp_path))
    assert outcomes(music) == ["not_asked", "found", "no_match", "not_asked"]
    (found,) = music.recognised
    assert (found.source, found.library_id, found.confidence) == ("library", "x", 0.9)
    assert (found.window_start_s, found.window_end_s) == (5.0, 13.0)  # the stretch begins at 4 s
    assert (found.track_offset_s, found.time_skew, found.frequency_skew) == (40.0, 0.25, 0.25)
    assert music.library_revision == "a:1"


def test_the_library_hears_all_music_and_names_every_track(tmp_path: Path) -> None:
    parts: list[Part] = [(0, 4, "silence"), (4, 14, "music"), (14, 18, "speech"), (18, 34, "music")]
    library = Library([heard("x", 0.0, 6.0)], [heard("y", 0.0, 5.0), heard("z", 5.0, 16.0)])
    music = value_of(stage(tmp_path, library=library), clip(tmp_path, parts))
    assert sum(library.lengths_s) == pytest.approx(26, abs=2)  # windows may reach into speech
    assert [found.library_id for found in music.recognised] == ["z", "x", "y"]


def test_where_the_library_knows_nothing_the_others_are_asked(tmp_path: Path) -> None:
    music = value_of(stage(tmp_path, Recogniser(known()), library=Library([])), clip(tmp_path))
    assert outcomes(music) == ["not_asked", "no_match", "no_match", "found"]


def test_a_library_that_cannot_be_asked_is_said(tmp_path: Path) -> None:
    library = Library(revision="")
    library.absent = "the music library cannot be asked: it is damaged (`music verify`)"
    music = value_of(stage(tmp_path, Recogniser(known()), library=library), clip(tmp_path))
    assert outcomes(music) == ["not_asked", "not_asked", "no_match", "found"]
    assert (music.answers[1].reason, music.library_revision) == (library.absent, None)


def test_a_library_that_stops_answering_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    library = Library(DatabaseFailed("the server is gone"))
    (outcome,) = stage(tmp_path, Recogniser(), library=library).run([clip(tmp_path)])
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.retryable) == ("database", True)
    assert "the server is gone" in outcome.message


def test_what_a_grown_library_is_asked_about(tmp_path: Path) -> None:
    """Where nothing was found, and not where a track was, unless that track has changed."""

    def made(*answer: Identified, parts: Sequence[Part] = ((0, 34, "music"),)) -> StageRecord:
        first = stage(tmp_path, library=Library(answer))
        return ok(value_of(first, clip(tmp_path, parts)))

    grown = Library(revision="a:2")
    later = stage(tmp_path, library=grown)
    found, nothing = made(heard("x", 0, 9)), made()
    assert later.revision_for(found) == "a:1"
    assert later.revision_for(nothing) == "a:2"
    assert later.revision_for(None) == "a:2"
    assert later.revision_for(made(parts=[(0, 34, "speech")])) == "a:1"
    grown.changed = {"x"}
    assert later.revision_for(found) == "a:2"
    grown.absent, grown.revision = "it is damaged", ""
    assert later.revision_for(found) == later.revision_for(nothing) == "a:1"  # not lost with it
    assert later.revision_for(None) == ""
    without = ok(value_of(stage(tmp_path), clip(tmp_path)))
    assert stage(tmp_path, library=Library(revision="a:2")).revision_for(without) == "a:2"
    assert stage(tmp_path).revision_for(found) == ""


def test_without_music_nobody_is_asked(tmp_path: Path) -> None:
    music = value_of(stage(tmp_path, Recogniser()), clip(tmp_path, [(0, 34, "speech")]))
    assert (music.recognised, music.windows, music.sound) == ((), (), None)
    assert music.answers[3].reason == "no music was found in it"


def test_a_missing_package_is_said(tmp_path: Path) -> None:
    recogniser = Recogniser()
    recogniser.absent = "the package shazamio is not installed"
    music = value_of(stage(tmp_path, recogniser), clip(tmp_path))
    assert music.answers[3].reason == "the package shazamio is not installed"
    assert stage(tmp_path, recogniser).engine == "reelscope 1"
    assert stage(tmp_path, Recogniser()).engine == "reelscope 1, recogniser 1"


def test_a_memory_that_cannot_be_used_loses_no_answer(tmp_path: Path) -> None:
    (tmp_path / "sounds.sqlite").mkdir()
    music = value_of(stage(tmp_path, Recogniser(known())), clip(tmp_path))
    assert outcomes(music)[2:] == ["not_asked", "found"]


@pytest.fixture
def separated(tmp_path: Path) -> Iterator[Clip]:
    """A clip whose accompaniment is another sound than its mix."""
    found = clip(tmp_path, [(0, 4, "silence"), (4, 34, "speech_over_music")])
    path = found.folder / "accompaniment.flac"
    song = music_like(34.0, rate_hz=44_100, seed=8)
    with write_flac(path, 44_100) as write:
        write(np.stack([song, song], axis=1).astype(np.float32))
    stem = Stem(file=path.name, size_bytes=path.stat().st_size, sha256="0" * 64)
    value = Separation(
        applied=True, reason="r", spans=(), seconds=34.0, duration_s=34.0,
        vocals=stem, accompaniment=stem,
    )  # fmt: skip
    found.record = found.record.with_stage("separate", ok(value))
    yield found


@pytest.mark.slow
def test_the_accompaniment_is_heard_where_there_is_one(separated: Clip, tmp_path: Path) -> None:
    recogniser = Recogniser(unknown(), unknown())
    assert value_of(stage(tmp_path, recogniser), separated).sound == "accompaniment"
    (separated.folder / "accompaniment.flac").unlink()
    mix = Recogniser(known())
    assert value_of(stage(tmp_path, mix), separated).sound == "mix"
    assert not np.allclose(recogniser.heard[0], mix.heard[0], atol=0.01)


def test_new_counts_of_the_platform_do_not_ask_again(tmp_path: Path) -> None:
    music = PlatformMusic(id="7", title="Song", play_url="https://a/1")
    source = clip(tmp_path, music=music).source
    later = music.model_copy(update={"play_url": "https://a/2"})
    platform = Platform(name="tiktok", music=later, caption="new", region="GB")
    again = source.model_copy(update={"platform": platform})
    made = stage(tmp_path)
    assert made.source_key(source) == made.source_key(again)
    other = Platform(name="tiktok", music=PlatformMusic(id="8", title="Song"))
    assert made.source_key(source) != made.source_key(source.model_copy(update={"platform": other}))
