"""music dedupe as a user calls it."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
import subprocess
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelscope.music.library import MusicLibrary
from reelscope.testing.sounds import music_like

pytestmark = pytest.mark.slow


def write(path: Path, seed: int, seconds: float = 12, gain: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = music_like(seconds, rate_hz=22050, seed=seed, beats_per_minute=90 + 7 * seed)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 22050, 0, "NONE", ""))
        file.writeframes(np.asarray(samples * gain * 32767, "<i2").tobytes())


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    for seed in range(4):
        write(folder / f"{seed}.wav", seed)
    write(folder / "copies" / "1 again.wav", 1, gain=0.5)
    (folder / "=broken.mp3").write_bytes(b"not a sound")
    return folder


def in_table(root: Path) -> dict[str, str]:
    path = root / "data" / "audio_fingerprint.sqlite"
    if not path.exists():
        return {}
    with sqlite3.connect(path, timeout=30) as connection:
        try:
            rows = connection.execute(
                "SELECT asset_id || ' ' || created_at, updated_at FROM audio_fingerprint"
                " WHERE processing_status = 'completed'"
            ).fetchall()
        except sqlite3.OperationalError:  # not made yet
            rows = []
    connection.close()
    return dict(rows)


def test_a_folder(workplace: Any, sounds: Path) -> None:
    done = workplace.call("music", "dedupe", sounds, "--stats", "--out", workplace.root / "out")
    assert done.returncode == 0, done.stderr
    assert "keep 1.wav" in done.stdout or "keep copies/1 again.wav" in done.stdout
    assert "failed: =broken.mp3: not a media file that can be decoded" in done.stdout
    assert "Groups   1 groups, 1 duplicates" in done.stdout
    assert "In the table: 5 completed, 1 failed" in done.stdout
    assert "6/6 assets" in done.stderr
    text = (workplace.root / "out" / "duplicates.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["role"] for row in rows[:2]] == ["keep", "duplicate"]
    assert {row["role"] for row in rows[2:]} <= {"pair"}
    assert (workplace.root / "out" / "duplicates.html").read_text().startswith("<!doctype html>")
    assert not list(workplace.data.glob(".reelscope-work-*"))


def test_json_ids_and_a_second_call(workplace: Any, sounds: Path) -> None:
    first = workplace.call("music", "dedupe", sounds, "--json")
    assert first.returncode == 0, first.stderr
    data = json.loads(first.stdout)
    assert data["counts"]["groups"] == {"groups": 1, "duplicates": 1}
    before = in_table(workplace.root)
    again = ("--resume", "--json", "--asset-ids", "0.wav,1.wav", "--batch-size", 1)
    some = workplace.call("music", "dedupe", sounds, *again)
    assert json.loads(some.stdout)["counts"]["assets"] == {"completed": 2}
    assert in_table(workplace.root) == before, "nothing was fingerprinted again"
    stats = workplace.call("music", "dedupe", "--stats", "--json")
    assert json.loads(stats.stdout)["assets"] == {"completed": 5, "failed": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a folder, a CSV or the word library"),
        (["nowhere"], "no such folder or CSV"),
        (["empty"], "no sound and no video"),
        (["list.csv"], "none of the columns"),
        (["library"], "no music library here"),
        (["data/tiktok_videos", "--asset-ids", "nobody"], "there is no asset nobody"),
    ],
)
def test_calls_that_make_no_sense(workplace: Any, arguments: list[str], said: str) -> None:
    (workplace.root / "empty").mkdir()
    (workplace.root / "list.csv").write_text("a,b\n1,2\n")
    done = workplace.call("music", "dedupe", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_but_broken_files_is_a_failure(workplace: Any) -> None:
    folder = workplace.root / "broken"
    folder.mkdir()
    (folder / "a.mp3").write_bytes(b"")
    done = workplace.call("music", "dedupe", folder)
    assert done.returncode == 1
    assert "a.mp3: the file is empty" in done.stdout


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: Any) -> None:
        self.asked.append(self.path)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Quiet,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_addresses_in_a_csv(workplace: Any, sounds: Path) -> None:
    with served(sounds) as (address, asked):
        lines = [f"{n},{address}/{n}.wav" for n in range(4)]
        lines += [f"again,{address}/copies/1%20again.wav", f"gone,{address}/nothing.wav"]
        given = workplace.root / "assets.csv"
        given.write_text("\n".join(["id,url", *lines]) + "\n")
        environ = {
            "REELSCOPE_CRAWL__LOOPBACK": "true",
            "REELSCOPE_MUSIC__DEDUPE__RETRY_WAIT_S": "0",
        }
        done = workplace.call("music", "dedupe", given, "--json", **environ)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)
        assert data["counts"]["assets"] == {"completed": 5, "failed": 1}
        assert {m["asset_id"] for m in data["groups"][0]["members"]} == {"1", "again"}
        assert [one["asset_id"] for one in data["not_compared"]] == ["gone"]
        asked.clear()
        workplace.call("music", "dedupe", given, "--json", **environ)
        assert {path.rpartition("/")[2] for path in asked} == {"nothing.wav"}
    assert not list(workplace.data.glob(".reelscope-work-*"))


def test_the_music_library(workplace: Any, sounds: Path) -> None:
    (sounds / "=broken.mp3").unlink()
    library = workplace.data / "library"
    with MusicLibrary.open(library) as opened:
        added = opened.add([sounds])
        ids = {Path(one.source).name: one.track.id for one in added if one.track}
    assert len(ids) == 5
    done = workplace.call("music", "dedupe", "library", "--json")
    assert done.returncode == 0, done.stderr
    (group,) = json.loads(done.stdout)["groups"]
    assert {m["asset_id"] for m in group["members"]} == {ids["1.wav"], ids["1 again.wav"]}


def many(folder: Path, count: int, seconds: float) -> Path:
    """Sounds that are quickly made and take long to listen to."""
    folder.mkdir()
    for seed in range(count):
        samples = np.random.default_rng(seed).integers(-9999, 9999, round(11025 * seconds), "<i2")
        with wave.open(str(folder / f"{seed:03}.wav"), "wb") as file:
            file.setparams((1, 2, 11025, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    return folder


def begun(workplace: Any, folder: Path, until: int) -> subprocess.Popen[str]:
    """A run that has fingerprinted so many in all."""
    process: subprocess.Popen[str] = workplace.start(
        "music", "dedupe", folder, "--batch-size", 1,
        REELSCOPE_MUSIC__DEDUPE__WORKERS="1", REELSCOPE_MUSIC__DEDUPE__ENGINE="own",
    )  # fmt: skip
    while len(in_table(workplace.root)) < until and process.poll() is None:
        time.sleep(0.01)
    return process


@pytest.mark.timeout(300)
def test_killed_and_interrupted_it_goes_on(workplace: Any, tmp_path: Path) -> None:
    folder = many(tmp_path / "many", 60, 120)
    seen: dict[str, str] = {}
    for until in (1, 8, 15):
        process = begun(workplace, folder, until)
        process.kill()
        process.communicate()
        now = in_table(workplace.root)
        assert until <= len(now) < 60
        assert seen.items() <= now.items(), "what was there is there, and was not done again"
        seen = now
    process = begun(workplace, folder, 22)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same call goes on from here" in out
    assert not list(workplace.data.glob(".reelscope-work-*")), "what the killed runs left is gone"
    done = workplace.call("music", "dedupe", folder, "--batch-size", 4)
    assert done.returncode == 0, done.stderr
    final = in_table(workplace.root)
    assert len(final) == 60
    assert seen.items() <= final.items()
