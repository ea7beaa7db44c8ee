"""Runs the commands and examples of docs/music.md and puts what they print into it.

    python scripts/show_music.py            # prints the page
    python scripts/show_music.py --write    # writes it

The sound is composed here, so that everybody gets the same. It works in a folder that is gone
afterwards, or in the one after --into.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from reelscope.testing.media import write_sound
from reelscope.testing.melody import RATE_HZ, melody, write_wav
from reelscope.testing.speech import speech_like

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "music.md"
COMMAND = re.compile(r"```text\n\$ (.+)\n(?:.*\n)*?```")
EXAMPLE = re.compile(r"```python\n((?:.*\n)*?)```\n\n```text\n(?:.*\n)*?```")
Sound = NDArray[np.float32]

ROOFTOPS, LOW_TIDE, PAPER_PLANES = (melody(seed, 75.0) for seed in (11, 12, 13))
STRANGER = melody(14, 12.0)


def main() -> int:
    """Run it; 0 if every command and example did what it should."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="The outputs of docs/music.md")
    parser.add_argument("--write", action="store_true", help="into the page")
    parser.add_argument("--into", type=Path, help="folder for the sounds and what is made of them")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.into or Path(temporary)).absolute()
        compose(folder)
        page = with_outputs(PAGE.read_text(encoding="utf-8"), lambda given: run(folder, given))
    if wrong := names_the_stranger(page):
        print(f"the clip that is in no track was given one: {wrong}", file=sys.stderr)
        return 1
    if asked.write:
        PAGE.write_text(page, encoding="utf-8")
    else:
        print(page, end="")
    return 0


def names_the_stranger(page: str) -> str | None:
    """The line in which a clip that is in no track has one; None: all is well.

    Engine dtw does name one, which is what the page shows.
    """
    for found in COMMAND.finditer(page):
        for line in found[0].splitlines():
            named = line.startswith(("unknown: ", "clips/unknown.wav: "))
            if named and "--engine dtw" not in found[1] and "no track of the library" not in line:
                return line
    return None


def with_outputs(page: str, ask: Callable[[list[str]], str]) -> str:
    """The page with what its commands and examples print now.

    Args:
        page: with blocks that begin with "$ command", and examples followed by a block.
        ask: runs a command and gives what it printed.
    """

    def command(found: re.Match[str]) -> str:
        words = shlex.split(found[1])
        return f"```text\n$ {found[1]}\n{ask(words)}```"

    def example(found: re.Match[str]) -> str:
        return f"```python\n{found[1]}```\n\n```text\n{ask(['python', '-c', found[1]])}```"

    # In the order of the page: an example may use what a command has made.
    both = re.compile(f"(?:{COMMAND.pattern})|(?:{EXAMPLE.pattern})")
    return both.sub(
        lambda found: (
            command(again) if (again := COMMAND.fullmatch(found[0])) else example(_match(found[0]))
        ),
        page,
    )


def _match(text: str) -> re.Match[str]:
    found = EXAMPLE.fullmatch(text)
    if found is None:
        raise ValueError(f"no example: {text[:80]}")
    return found


def run(folder: Path, words: list[str]) -> str:
    """What a command prints; progress and warnings go elsewhere.

    Raises:
        SystemExit: it ends with another code than 0.
    """
    program = [sys.executable if word == "python" else word for word in words[:1]]
    rest = [str(ROOT / word) if word == "main.py" else word for word in words[1:]]
    environment = {**os.environ, "COLUMNS": "98", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*program, *rest],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}:\n{said}")
    lines = [line.rstrip() for line in done.stdout.replace(str(folder), "...").splitlines()]
    return "".join(f"{line}\n" for line in lines)


def compose(folder: Path) -> None:
    """The sounds that the page speaks of."""
    songs = {"rooftops": ROOFTOPS, "low_tide": LOW_TIDE, "paper_planes": PAPER_PLANES}
    for name, samples in songs.items():
        write_wav(folder / "music" / f"{name}.wav", samples)
    for campaign, name in (("spring", "rooftops"), ("summer", "low_tide")):
        write_wav(folder / "campaigns" / campaign / f"{name}.wav", songs[name])
    _table(
        folder / "tracks.csv",
        "path,id,title,artist,campaign",
        "music/rooftops.wav,rooftops,Rooftops,Anna Lee,spring",
        "music/low_tide.wav,low-tide,Low Tide,Anna Lee,summer",
        "music/paper_planes.wav,paper-planes,Paper Planes,The Kites,",
    )
    clips = {
        "plain": part(ROOFTOPS, 21.0, 12.0),
        "spoken_over_fast": under_speech(part(faster(LOW_TIDE, 1.25), 10.0, 12.0)),
        "two_songs": np.concatenate([part(ROOFTOPS, 40.0, 10.0), part(PAPER_PLANES, 5.0, 10.0)]),
        "unknown": STRANGER,
    }
    for name, samples in clips.items():
        write_wav(folder / "clips" / f"{name}.wav", samples)
    _posts(folder)
    _assets(folder)


def _posts(folder: Path) -> None:
    """Videos of one sound, not in the order in which they were posted."""
    sound = part(LOW_TIDE, 0.0, 40.0)
    posts = {
        "repost": part(sound, 8.0, 15.0),
        "first": sound,
        "sped_up": part(faster(sound, 1.25), 4.0, 15.0),
        "other": STRANGER,
        "blip": sound[:4000],
    }
    for name, samples in posts.items():
        write_wav(folder / "posts" / f"{name}.wav", samples)
    days = ("2026-03-09", "2026-03-02", "2026-03-12", "2026-03-05", "2026-03-20")
    rows = [f"posts/{name}.wav,{name},{day}" for name, day in zip(posts, days, strict=True)]
    _table(folder / "posts.csv", "path,video_id,published_at", *rows)


def _assets(folder: Path) -> None:
    """The same song in three files, an excerpt of it, and another song."""
    assets = folder / "assets"
    write_wav(assets / "rooftops.wav", ROOFTOPS)
    write_wav(assets / "rooftops_quiet.wav", ROOFTOPS * np.float32(0.4))
    write_sound(assets / "rooftops_64k.mp3", _at(ROOFTOPS, 44100), rate_hz=44100)
    write_wav(assets / "excerpt.wav", part(ROOFTOPS, 20.0, 20.0))
    write_wav(assets / "low_tide.wav", LOW_TIDE)


def part(sound: Sound, start_s: float, seconds: float) -> Sound:
    """A stretch of a sound."""
    return sound[round(start_s * RATE_HZ) : round((start_s + seconds) * RATE_HZ)]


def faster(sound: Sound, speed: float) -> Sound:
    """Tempo and pitch together, as by a faster tape."""
    return np.asarray(soxr.resample(sound, RATE_HZ * speed, RATE_HZ), np.float32)


def under_speech(sound: Sound) -> Sound:
    """With a voice over it that is as loud."""
    said = speech_like(len(sound) / RATE_HZ + 1, rate_hz=16_000, seed=3)[0]
    voice = np.asarray(soxr.resample(said, 16_000, RATE_HZ), np.float32)[: len(sound)]
    loud = float(np.sqrt(np.mean(sound**2) / np.mean(voice**2)))
    both = sound + loud * voice
    return np.asarray(0.8 * both / np.abs(both).max(), np.float32)


def _at(sound: Sound, rate_hz: int) -> Sound:
    return np.asarray(soxr.resample(sound, RATE_HZ, rate_hz), np.float32)


def _table(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
