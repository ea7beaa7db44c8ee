"""kill -9 while a library is written: what was reported is there, and nothing is wrong."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from reelscope.music.library import MusicLibrary
from reelscope.settings import MusicLibrarySettings
from reelscope.testing.melody import melody, write_wav

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RATE_HZ = 8000
SOUNDS = 24
SMALL = MusicLibrarySettings(tracks_per_segment=2, most_segments=3, workers=2)

WRITER = """
import os, random, sys
from pathlib import Path
from reelscope.music.library import MusicLibrary
from reelscope.music.new_tracks import NewTrack
from reelscope.settings import MusicLibrarySettings

def say(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

where, folder, sounds, seed = sys.argv[1:5]
adds = int(seed) % 2 == 0
chance = random.Random(int(seed))
settings = MusicLibrarySettings(tracks_per_segment=2, most_segments=3, workers=2)
library = MusicLibrary.open(where, folder=Path(folder), settings=settings)
paths = sorted(Path(sounds).glob("*.wav"))
say("phase", "ready")
while True:
    say("phase", "add")
    new = [NewTrack(path, id=path.stem) for path in chance.sample(paths, 8 if adds else 1)]
    say("adding", *(one.id for one in new))
    library.add(new, told=lambda added: say("added", added.track.id))
    going = chance.sample([path.stem for path in paths], 4 if adds else 1)
    say("phase", "remove")
    say("removing", *going)
    library.remove(going)
    say("removed", *going)
    for _ in range(1 if adds else 5):
        say("phase", "compact")
        library.compact()
        going = chance.sample([path.stem for path in paths], 1)
        say("removing", *going)
        library.remove(going)
        say("removed", *going)
"""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for seed in range(SOUNDS):
        write_wav(folder / f"{seed}.wav", melody(seed, 3.0))
    return folder


class Killed:
    """Writers of one library that are killed, and what they had said by then."""

    def __init__(self, where: str, folder: Path, sounds: Path) -> None:
        self.where, self.folder, self.sounds = where, folder, sounds
        self.there: set[str] = set()
        self.phases: Counter[str] = Counter()

    def once(self, seed: int) -> None:
        """A writer that is killed a moment after it began, for the n-th time, one thing."""
        chance = random.Random(seed)
        awaited, longest_s = chance.choice((("add", 0.5), ("remove", 0.05), ("compact", 0.05)))
        arguments = [self.where, str(self.folder), str(self.sounds), str(seed)]
        command = [sys.executable, "-c", WRITER, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said, times = "", chance.randint(1, 2)
            while said.count(f"phase {awaited}\n") < times:
                said += writer.stdout.readline()
            time.sleep(chance.uniform(0.0, longest_s))
            writer.kill()
            said += writer.communicate()[0]
        self._hear(said)
        self._look(chance)

    def _hear(self, said: str) -> None:
        gone: set[str] = set()
        phase = "ready"
        for line in said.splitlines():
            word, *ids = line.split()
            if word == "phase":
                phase = ids[0]
            elif word == "added":
                self.there |= set(ids)
                gone -= set(ids)
            elif word == "adding":  # may be there before it is said
                gone -= set(ids)
            else:  # removing: from here on nothing is promised; removed: they are gone
                self.there -= set(ids)
                gone = gone | set(ids) if word == "removed" else gone - set(ids)
        self.phases[phase] += 1
        self.gone = gone

    def _look(self, chance: random.Random) -> None:
        with MusicLibrary.open(self.where, folder=self.folder, settings=SMALL) as library:
            assert library.verify().problems == ()
            tracks = {track.id: track for track in library.list_tracks()}
            numbers = library.index.snapshot().numbers()
            assert self.there <= set(tracks)
            assert not (self.gone - self.there) & set(tracks)
            assert {track.number for track in tracks.values()} <= numbers
            for id_ in chance.sample(sorted(tracks), min(2, len(tracks))):
                found = library.identify(melody(int(id_), 3.0), RATE_HZ)
                assert {one.track.id for one in found} == {id_}
            self.there = set(tracks)


def test_fifty_kills_lose_nothing(sounds: Path, tmp_path: Path) -> None:
    killed = Killed(str(tmp_path / "library"), tmp_path / "library", sounds)
    for seed in range(50):
        killed.once(seed)
    assert killed.phases["add"] >= 10
    assert killed.phases["compact"] >= 5
    with MusicLibrary.open(killed.where, settings=SMALL) as library:
        library.compact()
        assert library.verify().leftover == 0
        assert len(list((tmp_path / "library" / "index").iterdir())) == 3


def test_ten_kills_lose_nothing_on_postgresql(
    sounds: Path, tmp_path: Path, postgres_url: str
) -> None:
    killed = Killed(postgres_url, tmp_path / "library", sounds)
    for seed in range(10):
        killed.once(seed)


ASKER = """
import sys
from pathlib import Path
from reelscope.music.library import MusicLibrary
from reelscope.testing.melody import melody
where, folder, until = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
library = MusicLibrary.open(where, folder=folder)
print("ready", flush=True)
asked = 0
while True:
    count = library.count()
    found = {one.track.id for one in library.identify(melody(0, 3.0), 8000)}
    assert found == {"0"}, found
    asked += 1
    if count >= until:
        break
print("asked", asked, flush=True)
"""


def test_processes_ask_while_one_adds(sounds: Path, tmp_path: Path, database_where: str) -> None:
    from reelscope.music.new_tracks import NewTrack

    where = database_where if "://" in database_where else str(tmp_path / "library")
    folder = tmp_path / "library"
    with MusicLibrary.open(where, folder=folder, settings=SMALL) as library:
        library.add([NewTrack(sounds / "0.wav", id="0")])
        command = [sys.executable, "-c", ASKER, where, str(folder), str(SOUNDS)]
        askers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        try:
            for asker in askers:
                assert asker.stdout is not None
                assert asker.stdout.readline() == "ready\n"
            library.add([NewTrack(sounds / f"{n}.wav", id=str(n)) for n in range(1, SOUNDS)])
            library.compact()
            for asker in askers:
                said, _ = asker.communicate(timeout=120)
                assert asker.returncode == 0
                assert said.startswith("asked ")
        finally:
            for asker in askers:
                asker.kill()
                asker.communicate()
