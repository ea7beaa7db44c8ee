"""Every video against all campaigns: what is found, what is kept, what goes wrong."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from soxr import resample

from reelscope.engines.media_fetcher import MediaFetcher
from reelscope.errors import CrawlFailed, DatabaseFailed, OutputError
from reelscope.music.campaigns import read_campaigns
from reelscope.music.confidence import FALSE_POSITIVE_RATE, similarity, threshold
from reelscope.music.match import Answer, Candidate, Matcher
from reelscope.music.match_engines import DTW_WARNING, make_engine, similarity_of
from reelscope.music.sound import read_sound
from reelscope.settings import Crawl, MusicMatch
from reelscope.store.database import Database
from reelscope.store.matches import MatchStore
from reelscope.testing import media
from reelscope.testing.melody import RATE_HZ as MELODY_HZ
from reelscope.testing.melody import melody
from reelscope.testing.sounds import mix, noise
from reelscope.testing.speech import speech_like

RATE_HZ = 44_100


class Ended:
    """Hears of every video; may raise."""

    def __init__(self, *, stop_at: int = -1) -> None:
        self.answers: list[Answer] = []
        self._stop_at = stop_at

    def ended(self, answer: Answer) -> None:
        self.answers.append(answer)
        if len(self.answers) == self._stop_at:
            raise KeyboardInterrupt


def song(seed: int, seconds: float) -> NDArray[np.float32]:
    """Music that does not repeat itself."""
    return np.asarray(resample(melody(seed, seconds), MELODY_HZ, RATE_HZ), np.float32) * 0.3


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Campaigns `spring` and `autumn`, and videos of 12 s: each with autumn's music, or none."""
    root = tmp_path_factory.mktemp("sounds")
    (root / "campaigns" / "spring").mkdir(parents=True)
    (root / "campaigns" / "autumn" / "cuts").mkdir(parents=True)
    (root / "videos").mkdir()
    spring = song(11, 30.0)
    autumn = song(12, 40.0)
    media.write_sound(root / "campaigns" / "spring" / "song.mp3", spring)
    media.write_sound(root / "campaigns" / "autumn" / "cuts" / "Song.WAV", autumn)
    speech, _ = speech_like(12.0, rms=0.1, seed=1)
    part = autumn[20 * RATE_HZ : 32 * RATE_HZ]
    scene, size = [media.Scene(12.0)], (64, 96)
    for name, sound in {
        "with.mp4": mix(part, speech), "beginning.mp4": autumn[: 12 * RATE_HZ],
        "without.mp4": speech, "noise.mp4": noise(12.0, seed=3),
    }.items():  # fmt: skip
        media.write_video(root / "videos" / name, scene, size=size, fps=5, sound=sound)
    media.write_video(root / "videos" / "silent.mp4", scene, size=size, fps=5)
    (root / "videos" / "broken.mp4").write_bytes(b"no video at all")
    return root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MatchStore]:
    with Database.open(tmp_path / "matches.sqlite") as database:
        yield MatchStore(database)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def candidates(sounds: Path, *names: str) -> list[Candidate]:
    paths = [sounds / "videos" / name for name in names] or sorted((sounds / "videos").iterdir())
    return [Candidate(path.stem, path) for path in paths]


def answers(
    sounds: Path, store: MatchStore, work: Path, *names: str, **settings: object
) -> dict[str, Answer]:
    matcher = Matcher(MusicMatch.model_validate(settings), store, work=work)
    campaigns = read_campaigns(sounds / "campaigns")
    found = matcher.run(campaigns, candidates(sounds, *names), Ended())
    return {answer.video_id: answer for answer in found}


# ------------------------------------------------------------------------------ engines


@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_a_real_track_under_speech_is_found_with_its_times(
    corpus: Path, store: MatchStore, work: Path, tmp_path: Path, speed: float
) -> None:
    for name, file in {
        "opera": "09_-_Z_339_-_Here_the_Deities_approve",
        "rag": "8bit_airship",
    }.items():
        (tmp_path / "campaigns" / name).mkdir(parents=True)
        shutil.copy(corpus / "music" / f"{file}.ogg", tmp_path / "campaigns" / name)
    (tmp_path / "videos").mkdir()
    track = read_sound(next((tmp_path / "campaigns" / "opera").iterdir()), RATE_HZ)
    part = np.asarray(resample(track[20 * RATE_HZ : 35 * RATE_HZ], RATE_HZ * speed, RATE_HZ))
    speech = read_sound(corpus / "speech" / "jfk.flac", RATE_HZ)[: len(part)]
    scene, size = [media.Scene(len(part) / RATE_HZ)], (64, 96)
    sound = mix(part * (2 * np.std(speech) / np.std(part)), speech)  # 6 dB above the speech
    media.write_video(tmp_path / "videos" / "a.mp4", scene, size=size, fps=5, sound=sound)
    best = answers(tmp_path, store, work)["a"].alike[0]
    assert (best.campaign_id, best.similarity > 95) == ("opera", True)
    assert 0 <= best.start_s < best.end_s <= 15.0 / speed + 0.2
    assert best.end_s - best.start_s > 8 / speed
    assert best.offset_s - best.start_s * speed == pytest.approx(20.0, abs=0.15)
    assert best.tempo == pytest.approx(speed, rel=0.01)
    assert best.pitch == pytest.approx(speed, rel=0.01)


def test_a_track_in_a_video_is_more_alike_than_any_in_another(
    sounds: Path, store: MatchStore, work: Path
) -> None:
    found = answers(sounds, store, work, "with.mp4", "without.mp4", "noise.mp4")
    best = found["with"].alike[0]
    assert (best.campaign_id, best.track) == ("autumn", "cuts/Song.WAV")
    assert best.similarity > 95
    assert all(found[name].similarity < best.similarity for name in ("without", "noise"))


def test_what_does_not_convince_cannot_reach_the_threshold(
    sounds: Path, store: MatchStore, work: Path
) -> None:
    assert similarity(threshold(FALSE_POSITIVE_RATE)) == pytest.approx(95)
    assert MusicMatch().similarity_threshold == 95
    found = answers(sounds, store, work, "noise.mp4")["noise"]
    assert found.similarity < 95


def test_dtw_compares_beginnings_in_the_users_way(
    sounds: Path, store: MatchStore, work: Path
) -> None:
    found = answers(sounds, store, work, engine="dtw", comparison_duration_s=12)
    best = found["beginning"].alike[0]
    assert (best.campaign_id, best.similarity) == ("autumn", pytest.approx(100.0, abs=0.5))
    assert (best.start_s, best.offset_s) == (0.0, 0.0)
    assert best.tempo is None
    assert {one.campaign_id for one in found["noise"].alike} == {"autumn", "spring"}


def test_dtw_finds_a_part_anywhere_in_mode_subsequence(
    sounds: Path, store: MatchStore, work: Path, tmp_path: Path
) -> None:
    settings = {"engine": "dtw", "dtw_mode": "subsequence", "comparison_duration_s": 12}
    own = tmp_path / "own"
    shutil.copytree(sounds, own)
    track = own / "campaigns" / "autumn" / "cuts" / "Song.WAV"
    lead = noise(7.0, seed=5)
    media.write_sound(track, np.concatenate([lead, read_sound(track, RATE_HZ)]))
    found = answers(own, store, work, "beginning.mp4", **settings)
    best = found["beginning"].alike[0]
    assert best.campaign_id == "autumn"
    assert best.offset_s == pytest.approx(7.0, abs=0.2)


def test_dtw_says_what_its_similarity_is_worth(sounds: Path) -> None:
    assert make_engine(MusicMatch(engine="dtw")).warning == DTW_WARNING
    assert "95" in DTW_WARNING
    assert make_engine(MusicMatch()).warning == ""
    assert [similarity_of(d) for d in (0.0, 0.1, 1.0, 2.0, 2.1)] == [100, 95, 50, 0, 0]


# ------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("engine", ["fingerprint", "dtw"])
def test_the_second_run_computes_nothing(
    sounds: Path, store: MatchStore, work: Path, engine: str
) -> None:
    first = answers(sounds, store, work, engine=engine)
    second = answers(sounds, store, work, engine=engine)
    readable = {name for name, answer in first.items() if answer.error is None}
    assert readable == {"with", "beginning", "without", "noise"}
    assert not any(answer.known for answer in first.values())
    assert {name for name, answer in second.items() if answer.known} == readable
    for name in first:
        assert second[name].alike == first[name].alike
        assert second[name].error == first[name].error


def test_another_video_campaign_or_way_of_comparing_is_new(
    sounds: Path, store: MatchStore, work: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(sounds, own)

    def known(**settings: object) -> bool:
        found = answers(own, store, work, "noise.mp4", engine="dtw", **settings)
        return found["noise"].known

    assert [known(), known(), known(similarity_threshold=10.0)] == [False, True, True]
    assert [known(comparison_duration_s=5), known(dtw_mode="subsequence")] == [False, False]
    (own / "campaigns" / "autumn").rename(own / "campaigns" / "winter")
    assert [known(), known()] == [False, True]
    shutil.copy(own / "videos" / "without.mp4", own / "videos" / "noise.mp4")
    assert [known(), known()] == [False, True]


def test_a_run_that_is_stopped_keeps_what_it_has(
    sounds: Path, store: MatchStore, work: Path
) -> None:
    matcher = Matcher(MusicMatch(engine="dtw", max_workers=1), store, work=work)
    given = candidates(sounds, "with.mp4", "without.mp4", "noise.mp4", "beginning.mp4")
    with pytest.raises(KeyboardInterrupt):
        matcher.run(read_campaigns(sounds / "campaigns"), given, Ended(stop_at=2))
    later = answers(sounds, store, work, engine="dtw")
    assert sum(answer.known for answer in later.values()) == 2


def test_results_are_written_in_batches(sounds: Path, store: MatchStore, work: Path) -> None:
    matcher = Matcher(MusicMatch(engine="dtw", max_workers=1, batch_size=2), store, work=work)
    given = candidates(sounds, "with.mp4", "without.mp4", "noise.mp4")
    counts: list[int] = []

    class Counts:
        def ended(self, answer: Answer) -> None:
            found = (store.match(one.key) for one in seen)
            seen.append(answer)
            counts.append(sum(kept is not None for kept in found))

    seen: list[Answer] = []
    matcher.run(read_campaigns(sounds / "campaigns"), given, Counts())
    assert counts == [0, 2, 2]


# -------------------------------------------------------------------------- what is bad


def test_what_cannot_be_listened_to_costs_itself_alone(
    sounds: Path, store: MatchStore, work: Path
) -> None:
    matcher = Matcher(MusicMatch(engine="dtw"), store, work=work)
    given = [
        *candidates(sounds, "noise.mp4", "silent.mp4", "broken.mp4"),
        Candidate("gone", sounds / "none.mp4"),
        Candidate("told", error="line 3 has no path"),
        Candidate("web", url="http://127.0.0.1:1/x.mp4"),
    ]
    found = {
        a.video_id: a for a in matcher.run(read_campaigns(sounds / "campaigns"), given, Ended())
    }
    assert list(found) == sorted(found)
    assert found["noise"].error is None
    assert "no sound" in str(found["silent"].error)
    assert "no file here" in str(found["web"].error)
    assert found["told"].error == "line 3 has no path"
    assert all(found[name].error for name in ("broken", "gone"))


def test_unreadable_tracks_are_named_each_time_and_the_rest_is_used(
    sounds: Path, store: MatchStore, work: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(sounds, own)
    (own / "campaigns" / "autumn" / "empty.mp3").touch()
    (own / "campaigns" / "broken").mkdir()
    (own / "campaigns" / "broken" / "x.ogg").write_bytes(b"OggS" + b"\0" * 100)
    for known in (False, True):
        matcher = Matcher(MusicMatch(engine="dtw"), store, work=work)
        campaigns = read_campaigns(own / "campaigns")
        (found,) = matcher.run(campaigns, candidates(own, "noise.mp4"), Ended())
        assert found.known is known
        assert [where for where, _ in matcher.problems] == ["autumn/empty.mp3", "broken/x.ogg"]
        assert {one.campaign_id for one in found.alike} == {"autumn", "spring"}


def test_campaigns_with_the_same_file_are_found_together(
    sounds: Path, store: MatchStore, work: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(sounds, own)
    shutil.copytree(own / "campaigns" / "autumn", own / "campaigns" / "quo\"te'; DROP")
    found = answers(own, store, work, "with.mp4")["with"]
    assert [one.campaign_id for one in found.alike[:2]] == ["autumn", "quo\"te'; DROP"]
    assert found.alike[0].similarity == found.alike[1].similarity


def test_campaigns_of_which_nothing_can_be_read(
    sounds: Path, store: MatchStore, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "campaigns" / "a").mkdir(parents=True)
    (tmp_path / "campaigns" / "a" / "x.mp3").write_bytes(b"none")
    for engine in ("dtw", "fingerprint"):
        matcher = Matcher(MusicMatch.model_validate({"engine": engine}), store, work=work)
        campaigns = read_campaigns(tmp_path / "campaigns")
        (found,) = matcher.run(campaigns, candidates(sounds, "noise.mp4"), Ended())
        assert (found.alike, found.similarity, found.error) == ((), 0.0, None)
        assert len(matcher.problems) == 1


# ------------------------------------------------------------------------------ the web


class _Server:
    """Files of a folder; the first so many requests for a path are answered with a status."""

    def __init__(self, root: Path, *, refuses: dict[str, list[int]]) -> None:
        self.asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.asked.append(handler.path)
                if left := refuses.get(handler.path):
                    handler.send_error(left.pop(0))
                else:
                    super(Handler, handler).do_GET()

            def log_message(handler, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.slow
def test_downloads_are_tried_again_and_nothing_stays(
    sounds: Path, store: MatchStore, work: Path
) -> None:
    refuses = {"/noise.mp4": [503, 503], "/without.mp4": [503] * 9, "/none.mp4": [404] * 9}
    server = _Server(sounds / "videos", refuses=refuses)
    waits: list[float] = []
    names = ("noise", "without", "none", "broken", "silent", "with")
    matcher = Matcher(
        MusicMatch(engine="dtw", retry_attempts=2, retry_wait_s=0.5),
        store,
        work=work,
        fetcher=MediaFetcher(Crawl(loopback=True, attempts=7), attempts=1),
        sleep=waits.append,
    )
    given = [Candidate(name, url=f"{server.url}/{name}.mp4") for name in names]
    try:
        found = {
            a.video_id: a for a in matcher.run(read_campaigns(sounds / "campaigns"), given, Ended())
        }
    finally:
        server.close()
    assert {name for name in names if found[name].error is None} == {"noise", "with"}
    assert {path: server.asked.count(path) for path in set(server.asked)} == {
        "/noise.mp4": 3, "/without.mp4": 3, "/none.mp4": 1, "/broken.mp4": 1, "/silent.mp4": 1,
        "/with.mp4": 1,
    }  # fmt: skip
    assert sorted(waits) == [0.5, 0.5, 1.0, 1.0]
    assert "gone" in str(found["none"].error)
    assert "network" in str(found["without"].error) or "rate" in str(found["without"].error)
    assert list(work.iterdir()) == []


class _Breaks:
    """A fetcher whose disk is full, or that leaves something half done."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def fetch(self, url: str, folder: Path) -> Path:
        (folder / "half.part").write_bytes(b"half")
        raise self._error


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (OutputError("the disk is full"), OutputError),
        (DatabaseFailed("gone"), DatabaseFailed),
        (CrawlFailed("gone", "no such video", remedy="none"), None),
    ],
)
def test_what_was_half_fetched_goes_whatever_happens(
    sounds: Path, store: MatchStore, work: Path, error: Exception, ends: type[Exception] | None
) -> None:
    matcher = Matcher(MusicMatch(engine="dtw"), store, work=work, fetcher=_Breaks(error))
    given = [Candidate("a", url="https://example.com/a.mp4")]
    if ends is None:
        (found,) = matcher.run(read_campaigns(sounds / "campaigns"), given, Ended())
        assert found.error == "no such video (gone; none)"
    else:
        with pytest.raises(ends):
            matcher.run(read_campaigns(sounds / "campaigns"), given, Ended())
    assert list(work.iterdir()) == []
