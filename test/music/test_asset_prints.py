"""Assets into the table: what is there is not done again, and little is on the disk at a time."""

from __future__ import annotations

import os
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import (
    CrawlFailed,
    EngineUnavailable,
    OutputError,
    UsageError,
)
from reelscope.music.asset_prints import Fingerprinter
from reelscope.music.assets import Asset, assets_in, assets_of_csv, chosen
from reelscope.music.chromaprint import available
from reelscope.settings import MusicDedupe
from reelscope.store.audio_fingerprint import AssetPrint, AudioFingerprints
from reelscope.store.database import Database
from reelscope.testing.sounds import music_like, silence

RULES = MusicDedupe(engine="own", workers=2, batch_size=2, retry_wait_s=0)


def write(path: Path, seconds: float = 4, seed: int = 0, *, quiet: bool = False) -> Path:
    sound = silence(seconds, rate_hz=11025) if quiet else music_like(
        seconds, rate_hz=11025, seed=seed
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 11025, 0, "NONE", ""))
        file.writeframes(np.asarray(sound * 32767, "<i2").tobytes())
    return path


@pytest.fixture
def table(tmp_path: Path) -> Iterator[AudioFingerprints]:
    with Database.open(tmp_path / "table.sqlite") as database:
        yield AudioFingerprints(database)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


class Web:
    """Gives sounds, and counts how many files of them are on the disk at once."""

    def __init__(self, work: Path, *, faults: Callable[[str, int], CrawlFailed | None]) -> None:
        self.work, self.faults = work, faults
        self.calls: dict[str, int] = {}
        self.most = 0
        self.lock = threading.Lock()

    def fetch(self, url: str, folder: Path) -> Path:
        with self.lock:
            self.calls[url] = call = self.calls.get(url, 0) + 1
        path = folder / "sound.wav"
        fault = self.faults(url, call)
        path.write_bytes(b"RIFF half")
        if fault is not None:
            raise fault
        write(path, seed=len(self.calls))
        with self.lock:
            self.most = max(self.most, len(list(self.work.rglob("*.wav"))))
        time.sleep(0.02)
        return path


def no_fault(_url: str, _call: int) -> CrawlFailed | None:
    return None


def run(
    table: AudioFingerprints, work: Path, assets: list[Asset], **how: object
) -> list[AssetPrint | None]:
    rules = how.pop("rules", RULES)
    return list(Fingerprinter(table, rules, work, **how).run(assets))  # type: ignore[arg-type]


def statuses(table: AudioFingerprints, assets: list[Asset]) -> list[str]:
    return [one.processing_status for one in table.prints(asset.key for asset in assets)]


# ----------------------------------------------------------------------------------- files


def test_every_kind_of_file_gets_a_status(
    tmp_path: Path, table: AudioFingerprints, work: Path
) -> None:
    folder = tmp_path / "in"
    write(folder / "a.wav")
    write(folder / "silence.wav", quiet=True)
    write(folder / "short.wav", 0.2)
    (folder / "empty.mp3").write_bytes(b"")
    (folder / "broken.mp3").write_bytes(b"no sound" * 50)
    assets = assets_in(folder)
    assert [asset.asset_id for asset in assets] == sorted(p.name for p in folder.iterdir())
    done = run(table, work, assets)
    assert len(done) == 5
    found = {one.asset_id: one for one in table.prints(asset.key for asset in assets)}
    assert {name: one.processing_status for name, one in found.items()} == {
        "a.wav": "completed", "silence.wav": "featureless", "short.wav": "too_short",
        "empty.mp3": "failed", "broken.mp3": "failed",
    }  # fmt: skip
    assert found["empty.mp3"].error_message == "the file is empty"
    whole = found["a.wav"]
    assert (whole.format, whole.lossless, whole.channels) == ("pcm_s16le", True, 1)
    assert (whole.sample_rate, whole.engine) == (11025, "own")
    assert whole.duration == pytest.approx(4, abs=0.01)
    assert whole.file_size == (folder / "a.wav").stat().st_size


def test_what_the_table_has_is_not_done_again(
    tmp_path: Path, table: AudioFingerprints, work: Path
) -> None:
    folder = tmp_path / "in"
    for number in range(4):
        write(folder / f"{number}.wav", seed=number)
    (folder / "bad.mp3").write_bytes(b"x")
    assets = assets_in(folder)
    run(table, work, assets)
    again = run(table, work, assets)
    assert [one.asset_id for one in again if one] == ["bad.mp3"], "only the failed one"
    assert len(again) == 5
    write(folder / "1.wav", seed=9)
    os.utime(folder / "2.wav", (1_000_000, 1_000_000))
    changed = sorted(one.asset_id for one in run(table, work, assets) if one)
    assert changed == ["1.wav", "2.wav", "bad.mp3"]


def test_an_asset_that_is_listed_twice_is_done_once(
    tmp_path: Path, table: AudioFingerprints, work: Path
) -> None:
    asset = Asset("a", write(tmp_path / "a.wav"))
    assert [one is None for one in sorted(run(table, work, [asset, asset]), key=bool)] == [
        True, False,
    ]  # fmt: skip


def test_hostile_names_are_kept_as_they_are(
    tmp_path: Path, table: AudioFingerprints, work: Path
) -> None:
    names = ["'; DROP TABLE x; --", '"quoted"', "line\nbreak", "\u202eevil", "=1+1", "\udcff"]
    assets = [Asset(n, write(tmp_path / "in" / f"{n}.wav", seed=1)) for n in names]
    run(table, work, assets)
    assert statuses(table, assets) == ["completed"] * len(names)
    assert {one.asset_id for one in table.prints(a.key for a in assets)} == {*names[:-1], "%FF"}


def test_a_file_that_is_gone_is_named(tmp_path: Path, table: AudioFingerprints, work: Path) -> None:
    assets = [Asset("a", tmp_path / "nothing.wav"), Asset("b", tmp_path)]
    run(table, work, assets)
    assert statuses(table, assets) == ["failed", "failed"]
    errors = [one.error_message for one in table.prints(asset.key for asset in assets)]
    assert all(errors)


def test_an_engine_that_is_not_here_stops_it_before_it_begins(
    tmp_path: Path, table: AudioFingerprints, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert "fpcalc" not in available()
    with pytest.raises(EngineUnavailable, match="fpcalc"):
        run(table, work, [Asset("a", tmp_path)], rules=MusicDedupe(engine="fpcalc"))


# ------------------------------------------------------------------------------- addresses


def test_no_more_files_than_allowed_and_none_at_the_end(
    table: AudioFingerprints, work: Path
) -> None:
    web = Web(work, faults=no_fault)
    assets = [Asset(str(n), f"http://a/{n}.mp3") for n in range(12)]
    rules = MusicDedupe(engine="own", workers=6, most_files=2)
    run(table, work, assets, fetcher=web, rules=rules)
    assert statuses(table, assets) == ["completed"] * 12
    assert 1 <= web.most <= 2
    assert list(work.iterdir()) == []
    assert all(one is None for one in run(table, work, assets, fetcher=web, rules=rules))
    assert set(web.calls.values()) == {1}


def test_failed_downloads_are_tried_again_and_reported(
    table: AudioFingerprints, work: Path
) -> None:
    def faults(url: str, call: int) -> CrawlFailed | None:
        if "flaky" in url and call < 3:
            return CrawlFailed("network", "the line is busy", remedy="wait")
        if "gone" in url:
            return CrawlFailed("gone", "there is nothing there", remedy="none")
        if "down" in url:
            return CrawlFailed("network", "no answer", remedy="wait")
        return None

    web, waited = Web(work, faults=faults), list[float]()
    assets = [Asset(n, f"http://a/{n}") for n in ("flaky", "gone", "down")]
    rules = MusicDedupe(engine="own", workers=1, retry_attempts=2, retry_wait_s=1)
    run(table, work, assets, fetcher=web, rules=rules, sleep=waited.append)
    assert web.calls == {"http://a/flaky": 3, "http://a/gone": 1, "http://a/down": 3}
    assert waited == [1, 2, 1, 2]
    assert statuses(table, assets) == ["completed", "failed", "failed"]
    errors = [one.error_message for one in table.prints(asset.key for asset in assets)]
    assert errors == [None, "there is nothing there", "no answer"]
    assert list(work.iterdir()) == []


def test_without_a_fetcher_addresses_fail(table: AudioFingerprints, work: Path) -> None:
    assets = [Asset("a", "https://a/b.mp3")]
    run(table, work, assets)
    assert statuses(table, assets) == ["failed"]


def test_a_full_disk_ends_it_and_what_was_done_is_there(
    tmp_path: Path, table: AudioFingerprints, work: Path
) -> None:
    class Full(Web):
        def fetch(self, url: str, folder: Path) -> Path:
            (folder / "half.wav").write_bytes(b"x")
            raise OutputError("the disk is full")

    assets = [Asset("a", write(tmp_path / "a.wav")), Asset("b", "http://a/b.mp3")]
    rules = MusicDedupe(engine="own", workers=1, batch_size=100)
    with pytest.raises(OutputError, match="disk is full"):
        run(table, work, assets, fetcher=Full(work, faults=no_fault), rules=rules)
    assert statuses(table, assets) == ["completed"]
    assert list(work.iterdir()) == []


def test_it_can_be_stopped_and_goes_on_from_there(
    tmp_path: Path, table: AudioFingerprints, work: Path
) -> None:
    assets = [Asset(str(n), write(tmp_path / f"{n}.wav", seed=n)) for n in range(8)]
    stopped = threading.Event()
    worker = Fingerprinter(table, RULES, work, stopped=stopped.is_set)
    first = []
    for done in worker.run(assets):
        first.append(done)
        stopped.set()
    assert 1 <= len(first) < 8
    assert len(statuses(table, assets)) == len([one for one in first if one])
    rest = [one for one in run(table, work, assets) if one]
    assert len(rest) == 8 - len(first)


# ----------------------------------------------------------------------------------- lists


def test_a_csv_names_ids_and_files(tmp_path: Path) -> None:
    given = tmp_path / "list.csv"
    given.write_text("\ufeffTitle,Asset_ID,URL\nx,a,http://a/b.mp3\ny,,c.mp3\nz,d,\n", "utf-8")
    first, second = assets_of_csv(given)
    assert (first.asset_id, first.url, first.key) == (
        "a", "http://a/b.mp3", ("a", "http://a/b.mp3"),
    )  # fmt: skip
    assert (second.asset_id, second.url, second.source) == ("c.mp3", None, tmp_path / "c.mp3")


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "none of the columns"), ("path\n", "lists no file"), ("", "none of the")],
)
def test_a_csv_that_says_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    given = tmp_path / "list.csv"
    given.write_text(text)
    with pytest.raises(UsageError, match=said):
        assets_of_csv(given)


def test_what_is_no_csv_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "list.csv"
    given.write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(UsageError, match="cannot be read"):
        assets_of_csv(given)
    with pytest.raises(UsageError, match="cannot be read"):
        assets_of_csv(tmp_path / "nothing.csv")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="no sound and no video"):
        assets_in(tmp_path)


def test_ids_choose_assets() -> None:
    assets = [Asset("a", "http://a"), Asset("b", "http://b")]
    assert chosen(assets, []) == assets
    assert chosen(assets, ["b"]) == assets[1:]
    with pytest.raises(UsageError, match="no asset c"):
        chosen(assets, ["a", "c"])
