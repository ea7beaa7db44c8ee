"""Who finds what: every query is asked once with its track in the index and once without.

The answers of one (system, condition, length) are a task; finished tasks lie on the disk, so
that an interrupted run goes on where it was. A system is the library itself or a peer.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import music_material as material
import numpy as np
from music_peers import PEERS, Ranked

OURS = "reelscope"
COMPOSED_SHARE = 0.25
"""As many queries again are of composed music, which is in no index."""
FALSE_POSITIVES = 0.001
"""What a system may accept of the queries that are in no index."""


@dataclass(frozen=True)
class Answer:
    """What a system said to one query.

    Attributes:
        condition, length_s: of the query.
        known: whether its track was in the index.
        hit: the first place named is right (or sounds the same).
        score: of that place, in the system's own measure; -1e9: it named none.
        accepted: it says by itself that this is a find.
        error_s: offset found minus offset; None: another passage or none.
        seconds: it took.
    """

    condition: str
    length_s: float
    known: bool
    hit: bool
    score: float
    accepted: bool
    error_s: float | None
    seconds: float


class System:
    """The library or a peer, with the tracks of the corpus in its index."""

    def __init__(self, name: str, tracks: Sequence[Path]) -> None:
        self.name = name
        self._tracks = list(tracks)
        if name == OURS:
            self._segments = [segment_of(tracks)]
        else:
            self._peer = PEERS[name]()
            self._peer.index(tracks)

    def ask(self, query: material.Query) -> Iterator[tuple[bool, Ranked, bool, float]]:
        """(known, ranked, accepted, seconds): with the query's track and without it."""
        for known in (True, False):
            if known and query.track_path not in self._tracks:
                continue
            begun = time.perf_counter()
            if self.name == OURS:
                ranked, accepted = self._identified(query, known=known)
            else:
                ranked, accepted = self._peer.query(query.samples, query.rate_hz), True
                ranked = [one for one in ranked if known or not self._related(query, one[0])]
            yield known, ranked, accepted and bool(ranked), time.perf_counter() - begun

    def _related(self, query: material.Query, track: Path) -> bool:
        """The query's own track and those that share themes with it are not in the index."""
        return material.family(track) == material.family(query.track_path)

    def _identified(self, query: material.Query, *, known: bool) -> tuple[Ranked, bool]:
        from reelscope.music.confidence import FALSE_POSITIVE_RATE, threshold
        from reelscope.music.identify import identify

        without: tuple[int, ...] = ()
        if not known:
            without = tuple(
                at for at, track in enumerate(self._tracks) if self._related(query, track)
            )
        found = identify(
            query.samples, query.rate_hz, self._segments, doubtful=True, without=without
        )
        ranked = [
            (self._tracks[one.number], one.offset_s - one.start_s * one.tempo, one.score)
            for one in found
        ]
        ranked.sort(key=lambda one: -one[2])
        return ranked, any(one.score >= threshold(FALSE_POSITIVE_RATE) for one in found)


@cache
def constellations(tracks: tuple[Path, ...]) -> tuple[object, ...]:
    from reelscope.music.fingerprint import constellation

    return tuple(constellation(material.track_sound(path), material.RATE_HZ) for path in tracks)


def segment_of(tracks: Sequence[Path], more: Iterable[tuple[int, object]] = ()) -> object:
    from reelscope.music.segment import Segment

    return Segment.build([*enumerate(constellations(tuple(tracks))), *more])


# ---------------------------------------------------------------------------------- the tasks


@dataclass(frozen=True)
class Task:
    system: str
    condition: str
    length_s: float
    count: int
    seed: int


_systems: dict[str, System] = {}


def run(task: Task) -> list[Answer]:
    """Ask all queries of a task."""
    tracks = material.corpus_tracks()
    if task.system not in _systems:
        _systems[task.system] = System(task.system, tracks)
    composed = material.composed_tracks(0, 24)
    answers = []
    for paths, count in ((tracks, task.count), (composed, round(task.count * COMPOSED_SHARE))):
        for query in material.queries(paths, task.condition, task.length_s, count, task.seed):
            for known, ranked, accepted, seconds in _systems[task.system].ask(query):
                answers.append(_judged(query, known, ranked, accepted, seconds))
    return answers


def _judged(
    query: material.Query, known: bool, ranked: Ranked, accepted: bool, seconds: float
) -> Answer:
    hit, error_s, score = False, None, -1e9
    if ranked:
        path, offset_s, score = ranked[0]
        hit = material.is_hit(query, path, offset_s)
        near = path == query.track_path and abs(offset_s - query.offset_s) <= material.RIGHT_S
        error_s = offset_s - query.offset_s if near else None
    place = (query.condition, query.length_s, known)
    return Answer(*place, hit, float(score), accepted, error_s, seconds)


def run_all(tasks: Sequence[Task], folder: Path, processes: int) -> list[Answer]:
    """Run what is not on the disk yet, in processes; print what is done."""
    folder.mkdir(parents=True, exist_ok=True)
    left = [task for task in tasks if not _kept(folder, task).exists()]
    begun = time.perf_counter()
    if left:
        for path in material.corpus_tracks():
            material.duration_s(path)  # decoded before the processes part
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            for i, (task, answers) in enumerate(pool.imap_unordered(_timed, left), start=1):
                text = json.dumps([asdict(answer) for answer in answers])
                _kept(folder, task).with_suffix(".tmp").write_text(text)
                _kept(folder, task).with_suffix(".tmp").replace(_kept(folder, task))
                passed = time.perf_counter() - begun
                print(
                    f"  {i}/{len(left)} {task.system} {task.condition} {task.length_s:g} s: "
                    f"{_hits(answers):.1%} found, {passed:.0f} s, "
                    f"{passed / i * (len(left) - i):.0f} s to go",
                    file=sys.stderr,
                )
    kept = [json.loads(_kept(folder, task).read_text()) for task in tasks]
    return [Answer(**answer) for answers in kept for answer in answers]


def _timed(task: Task) -> tuple[Task, list[Answer]]:
    return task, run(task)


def _hits(answers: Sequence[Answer]) -> float:
    return float(np.mean([answer.hit for answer in answers if answer.known]))


def _kept(folder: Path, task: Task) -> Path:
    names = [task.system, task.condition, f"{task.length_s:g}s", str(task.count), str(task.seed)]
    return folder / ("-".join([*names, _code(task.system)]) + ".json")


@cache
def _code(system: str) -> str:
    """Of what decides the answers: other code, other answers."""
    here = Path(__file__).parent
    files = [here / "music_material.py"]
    if system == OURS:
        importlib.import_module("reelscope.music.identify")
        room = [n for n in sorted(sys.modules) if n.startswith("reelscope.music.")]
        files += [Path(str(sys.modules[name].__file__)) for name in room]
    else:
        files.append(here / "music_peers.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def work_folder() -> Path:
    """For what is finished, unless one is given."""
    import tempfile

    return Path(tempfile.gettempdir()) / f"reelscope-bench-music-{os.getuid()}"


# -------------------------------------------------------------------------------- the figures

Thresholds = dict[float, float]
"""Length of the clips in seconds: score."""


def thresholds(answers: Sequence[Answer], rate: float = FALSE_POSITIVES) -> Thresholds:
    """Of each length, the lowest score that accepts at most `rate` of what is in no index.

    One for all conditions: a system knows how long a clip is and not what was done to it.
    A name for a passage that sounds the same is no error.
    """
    least = {}
    for length in {a.length_s for a in answers}:
        wrong = [a.score for a in answers if not a.known and not a.hit and a.length_s == length]
        wrong.sort(reverse=True)
        least[length] = float(np.nextafter(wrong[int(len(wrong) * rate)], np.inf)) if wrong else 0
    return least


def recall(answers: Iterable[Answer], least: Thresholds | None = None) -> float:
    """Share that is named rightly with at least that score; None: and accepted by itself."""
    known = [a for a in answers if a.known]
    right = [a.hit and (a.score >= least[a.length_s] if least else a.accepted) for a in known]
    return float(np.mean(right)) if right else float("nan")


def false_positives(answers: Iterable[Answer]) -> tuple[int, int]:
    """(accepted by the system itself, asked) of what is in no index."""
    unknown = [a for a in answers if not a.known]
    return sum(a.accepted and not a.hit for a in unknown), len(unknown)


def wrong_names(answers: Iterable[Answer]) -> tuple[int, int]:
    """(accepted and wrong, asked) of what is in the index."""
    known = [a for a in answers if a.known]
    return sum(a.accepted and not a.hit for a in known), len(known)


def offset_errors_ms(answers: Iterable[Answer], least: Thresholds) -> tuple[float, float]:
    """(median, 95th percentile) of the finds in the right passage."""
    errors = [
        abs(a.error_s) * 1000
        for a in answers
        if a.known and a.hit and a.error_s is not None and a.score >= least[a.length_s]
    ]
    if not errors:
        return float("nan"), float("nan")
    return float(np.median(errors)), float(np.percentile(errors, 95))
