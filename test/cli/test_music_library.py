"""The library as a user calls it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from reelscope.cli.app import app
from reelscope.cli.music_library_work import read_tracks
from reelscope.errors import CsvError, ReelscopeError, UsageError
from reelscope.testing.media import write_sound
from reelscope.testing.melody import RATE_HZ, melody, write_wav


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for seed in range(3):
        write_wav(tmp_path / "music" / f"{seed}.wav", melody(seed, 6.0))
    yield tmp_path


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["music", *map(str, arguments)])
    if isinstance(result.exception, ReelscopeError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_whole_life_of_a_library(folder: Path) -> None:
    added = call("add", "music", "--campaign", "spring")
    assert added.exit_code == 0
    assert "3 added; 3 tracks in the library" in added.stdout
    assert "3/3 tracks" in added.stderr
    assert "4 unchanged; 3 tracks" in call("add", "music/0.wav", "music").stdout
    listed = lines(call("list", "--json"))
    assert {Path(track["path"]).name for track in listed} == {"0.wav", "1.wav", "2.wav"}
    id_ = next(track["id"] for track in listed if track["path"].endswith("1.wav"))
    assert call("update", id_, "--title", "Sky", "--artist", "A").exit_code == 0
    assert "A - Sky" in call("list", "--text", "sky").stdout
    assert "spring" in call("show", id_).stdout
    assert call("count", "--campaign", "spring").stdout == "3\n"
    assert "all is well" in call("verify").stdout

    write_sound(folder / "clip.ogg", melody(1, 6.0)[RATE_HZ:], rate_hz=RATE_HZ)
    write_sound(folder / "other.ogg", melody(77, 6.0), rate_hz=RATE_HZ)
    (folder / "notes.txt").write_text("no sound")
    found = call("identify", "clip.ogg", "notes.txt", "other.ogg")
    assert found.exit_code == 0
    said = found.stdout.splitlines()
    assert "of the clip is 0:0" in said[0]
    assert said[0].startswith("clip.ogg: 0:0")
    assert " of A - Sky (probability 9" in said[0]
    assert said[1].startswith("notes.txt: error: ")
    assert said[2] == "other.ogg: no track of the library is in it"
    assert call("identify", "notes.txt").exit_code == 1
    (facts,) = lines(call("identify", "clip.ogg", "--json", "--top", 1))
    (one,) = facts["found"]
    assert (one["track"]["id"], facts["error"]) == (id_, None)
    assert one["offset_s"] - one["start_s"] == pytest.approx(1.0, abs=0.06)
    assert one["probability"] > 0.99
    assert one["line"] in said[0]

    removed = call("remove", id_, "nobody")
    assert removed.exit_code == 0
    assert "error: there is no track nobody\n1 removed" in removed.stdout
    assert call("remove", "nobody").exit_code == 1
    assert "no track of the library" in call("identify", "clip.ogg").stdout
    assert "the index has 1 files" in call("compact").stdout
    assert "2 tracks are at" in call("move", "elsewhere").stdout
    assert call("count", "--library", "elsewhere").stdout == "2\n"
    assert call("count").stdout == "0\n"


def test_what_is_wrong_is_said(folder: Path) -> None:
    for wrong in (["list"], ["identify", "music/0.wav"], ["verify"], ["remove", "x"]):
        with pytest.raises(UsageError, match="no music library here"):
            call(*wrong)
    assert not (folder / "data").exists()
    with pytest.raises(UsageError, match="nothing to add"):
        call("add")
    (folder / "empty").mkdir()
    nothing = call("add", "empty")
    assert nothing.exit_code == 1
    assert "error: empty: there is no sound and no video in this folder" in nothing.stdout
    with pytest.raises(UsageError, match="there is no track 'x'"):
        call("show", "x")
    with pytest.raises(UsageError, match="3 files cannot have one id"):
        call("add", "music", "--id", "x")
    with pytest.raises(UsageError, match="nothing to change"):
        call("update", "x")
    with pytest.raises(UsageError, match="kind mysql://"):
        call("list", "--library", "mysql://u:geheim@h/x")


def test_a_damaged_library_is_named_and_the_code_says_so(folder: Path) -> None:
    call("add", "music")
    (segment,) = (folder / "data" / "library" / "index").glob("segment-*")
    raw = bytearray(segment.read_bytes())
    raw[-200] ^= 4
    segment.write_bytes(raw)
    verified = call("verify")
    assert verified.exit_code == 1
    assert f"{segment.name}: " in verified.stdout
    assert "damaged" in verified.stdout


def test_a_table_is_added(folder: Path) -> None:
    table = folder / "music" / "tracks.csv"
    table.write_text(
        "Track ID;File Path;Title;Campaign-ID;URL\n"
        "a;0.wav;Erster;spring;https://example.org/a\n"
        ";1.wav;;;\n"
        "c;absent.wav;;;\n"
        "d;;nothing;;\n",
        encoding="utf-8",
    )
    added = call("add", "--csv", table, "--campaign", "autumn")
    assert added.exit_code == 0
    assert "2 added, 1 failed; 2 tracks in the library" in added.stdout
    assert "note: line 5: no path and no address" in added.stderr
    (first,) = lines(call("list", "--text", "erster", "--json"))
    assert (first["id"], first["campaign"], first["source_url"]) == (
        "a",
        "spring",
        "https://example.org/a",
    )
    assert call("count", "--campaign", "autumn", "--status", "ready").stdout == "1\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "found nothing"),
        ("title,artist\nx,y\n", "found 'title', 'artist'"),
        ("path\n\n", "no us"),
    ],
)
def test_tables_that_cannot_be_used(folder: Path, text: str, why: str) -> None:
    (folder / "x.csv").write_text(text)
    with pytest.raises(CsvError, match=why):
        read_tracks(folder / "x.csv")


def test_every_added_track_is_a_line_for_programs(folder: Path) -> None:
    (folder / "music" / "bad.mp3").write_bytes(b"ID3" + bytes(100))
    results = lines(call("add", "music", "--json"))
    assert sorted(one["outcome"] for one in results) == ["added"] * 3 + ["failed"]
    assert all(one["track"]["sha256"] for one in results if one["outcome"] == "added")


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_heard_and_the_same_call_goes_on(
    folder: Path, repository: Path
) -> None:
    for seed in range(300):
        write_wav(folder / "many" / f"{seed}.wav", np.roll(melody(1, 10.0), 263 * seed))
    command = [sys.executable, str(repository / "main.py"), "music", "add", "many"]
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as adding:
        assert adding.stdout is not None and adding.stderr is not None
        first = adding.stdout.readline()
        adding.send_signal(signal.SIGINT)
        said, told = adding.stdout.read(), adding.stderr.read()
    assert adding.returncode == 130
    assert "The same call goes on" in told
    reported = {json.loads(line)["track"]["id"] for line in [first, *said.splitlines()]}
    there = {track["id"] for track in lines(call("list", "--json"))}
    assert reported <= there
    assert 64 <= len(there) < 300
    assert "all is well" in call("verify").stdout
    again = call("add", "many").stdout
    assert f"{300 - len(there)} added, {len(there)} unchanged; 300 tracks" in again


def test_files_of_every_kind(folder: Path) -> None:
    kinds = folder / "kinds"
    kinds.mkdir()
    stereo = np.stack([melody(5, 6.0), np.zeros_like(melody(5, 6.0))], axis=1)
    write_wav(kinds / "8k.wav", melody(3, 6.0))
    write_wav(kinds / "192k.wav", np.repeat(melody(4, 6.0), 24), 192_000)
    write_sound(kinds / "stereo.m4a", stereo, rate_hz=RATE_HZ)
    write_wav(kinds / "short.WAV", melody(6, 0.2))
    write_wav(kinds / "offset.wav", melody(7, 6.0) * 0.5 + 0.4)
    write_wav(kinds / "clipped.wav", np.clip(melody(8, 6.0) * 20, -0.99, 0.99))
    assert "6 added" in call("add", "kinds").stdout
    for seed, name in ((3, "8k.wav"), (4, "192k.wav"), (5, "stereo.m4a"), (7, "offset.wav")):
        write_wav(folder / "clip.wav", melody(seed, 6.0)[RATE_HZ:])
        assert f" of {name}" in call("identify", "clip.wav").stdout
    time_s = np.arange(6 * RATE_HZ) / RATE_HZ
    random = np.random.default_rng(1)
    for nothing in (
        np.zeros(6 * RATE_HZ, np.float32),
        (0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32),
        (random.normal(0, 0.2, 6 * RATE_HZ)).clip(-1, 1).astype(np.float32),
        melody(3, 0.2),
    ):
        write_wav(folder / "clip.wav", nothing)
        assert "no track of the library is in it" in call("identify", "clip.wav").stdout
