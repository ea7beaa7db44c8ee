"""How good and how fast is the music library? Its peers get the same queries.

    python bench/music.py --part recall|speed|index|match|dedupe|peers|all [--quick] [--save]

recall  every condition and length: what is found at 0.1 % false positives, and with the
        library's own threshold; how exact the offsets are
peers   the same of others (music_peers.py), and the figures of the field study
speed   fingerprints, times real time, one core, decode included
index   bytes per hour; time of a query and loss of recall among 36, 1,000, 10,000 tracks
match   videos a second against 9 campaign tracks, by the command
dedupe  files a second, and 10,000 assets compared

Finished tasks of recall and peers lie in --work, so that an interrupted run goes on. What is
asked and how is in music_material.py and music_recall.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import music_material as material
import music_recall as asked
import numpy as np
from machine import RESULTS, describe, save
from music_peers import FIELD, PEERS
from music_recall import OURS, Answer, Task

from reelscope.music.confidence import AT_RATE, FALSE_POSITIVE_RATE
from reelscope.testing.media import write_sound

GOALS = {3.0: 0.95, 5.0: 0.98, 10.0: 0.995, 15.0: 0.998}
BEST_PEER = {3.0: 0.548, 5.0: 0.622, 10.0: 0.738, 15.0: 0.808}
"""Of the field study, mean over the 17 conditions."""
Figures = dict[str, Any]


def rows(*cells: Sequence[object]) -> None:
    """A table in Markdown: the first row is its head."""
    for number, row in enumerate(cells):
        print("| " + " | ".join(map(str, row)) + " |")
        if not number:
            print("|" + "---|" * len(row))
    print()


def percent(share: float) -> str:
    return f"{share:.1%}"


# ------------------------------------------------------------------------------------ recall


def tasks(system: str, call: argparse.Namespace) -> list[Task]:
    conditions = [(name, length) for name in material.PAGE for length in call.lengths]
    conditions += [(name, 5.0) for name in material.BEYOND]
    return [Task(system, name, length, call.queries, call.seed) for name, length in conditions]


def of(answers: Sequence[Answer], condition: str, length: float | None = None) -> list[Answer]:
    return [a for a in answers if a.condition == condition and length in (None, a.length_s)]


def recall(system: str, call: argparse.Namespace) -> Figures:
    """Ask, print and return what one system finds."""
    answers = asked.run_all(tasks(system, call), call.work, call.processes)
    least = asked.thresholds(answers)
    figures: Figures = {"queries": call.queries, "conditions": {}}
    figures["thresholds"] = {str(length): score for length, score in least.items()}
    head = ["condition", *(f"{length:g} s" for length in call.lengths)]
    table, means = [], []
    for name in material.PAGE:
        found = [asked.recall(of(answers, name, length), least) for length in call.lengths]
        means.append(found)
        table.append([name, *map(percent, found)])
        figures["conditions"][name] = dict(zip(map(str, call.lengths), found, strict=True))
    mean = np.mean(means, axis=0)
    figures["mean"] = dict(zip(map(str, call.lengths), mean.tolist(), strict=True))
    goals = [percent(GOALS[n]) if n in GOALS else "" for n in call.lengths]
    print(f"### {system}: recall at 0.1 % false positives \n")
    scores = [f"{least[length]:.4g}" for length in call.lengths]
    rows(
        head,
        *table,
        ["**mean of 17**", *map(percent, mean)],
        ["goal", *goals],
        ["score at least", *scores],
    )
    beyond = {name: asked.recall(of(answers, name, 5.0), least) for name in material.BEYOND}
    figures["beyond"] = beyond
    rows(
        ["beyond, 5 s", "recall", "goal"],
        *([name, percent(found), "95 %"] for name, found in beyond.items()),
    )
    figures["own"] = _own_threshold(answers, call) if system == OURS else {}
    figures["offsets_ms"] = _offsets(answers, least)
    figures["seconds_median"] = float(np.median([a.seconds for a in answers]))
    return figures


def _own_threshold(answers: Sequence[Answer], call: argparse.Namespace) -> Figures:
    """What the library itself accepts; its rate of false positives is promised beforehand."""
    wrong, unknown = asked.false_positives(answers)
    misnamed, known = asked.wrong_names(answers)
    page = [a for a in answers if a.condition in material.PAGE]
    found = {n: asked.recall(a for a in page if a.length_s == n) for n in call.lengths}
    print(f"### With its own threshold, {FALSE_POSITIVE_RATE:g} false positives promised\n")
    rows(
        ["", *(f"{n:g} s" for n in found)],
        ["recall, mean of 17", *map(percent, found.values())],
    )
    print(f"Queries in no index: {wrong} of {unknown} accepted ({wrong / unknown:.3%}).")
    print(f"Queries in the index: {misnamed} of {known} named wrongly.")
    level, fall = _tail(answers)
    print(f"Tail of those in no index: LEVEL {level:.2f} at {AT_RATE:g}, FALL {fall:.2f}.\n")
    return {
        "recall": {str(n): share for n, share in found.items()},
        "false_positives": wrong,
        "of_unknown": unknown,
        "misnamed": misnamed,
        "of_known": known,
    }


def _tail(answers: Sequence[Answer]) -> tuple[float, float]:
    """What music/confidence.py states: the level of one in 1,000, and by how much the highest
    hundredth falls until it is e times fewer."""
    odds = np.array([a.score for a in answers if not a.known])
    highest = odds[odds > np.quantile(odds, 0.99)]
    return float(np.quantile(odds, 1 - AT_RATE)), float(np.mean(highest - highest.min()))


def _offsets(answers: Sequence[Answer], least: asked.Thresholds) -> Figures:
    errors = {
        name: asked.offset_errors_ms(of(answers, name), least) for name in material.CONDITIONS
    }
    every = asked.offset_errors_ms(answers, least)
    rows(
        ["offset error, all lengths", "median", "95th percentile"],
        *([name, f"{one:.0f} ms", f"{high:.0f} ms"] for name, (one, high) in errors.items()),
        ["**all**", f"{every[0]:.0f} ms", f"{every[1]:.0f} ms"],
        ["goal, each", "20 ms", "100 ms"],
    )
    return {"all": every, **errors}


def part_recall(call: argparse.Namespace) -> Figures:
    return {"recall": recall(OURS, call)}


def part_peers(call: argparse.Namespace) -> Figures:
    figures = {name: recall(name, call) for name in call.peers}
    print("### From the field study: other tracks, queries made the same way, not this run\n")
    lengths = list(BEST_PEER)
    rows(
        ["mean of 17", *(f"{n:g} s" for n in lengths)],
        *([name, *(f"{known[n]:.1f}%" for n in lengths)] for name, known in FIELD.items()),
    )
    return {"peers": figures}


# ------------------------------------------------------------------------------------- speed


def part_speed(call: argparse.Namespace) -> Figures:
    """On one core, with whatever threads the decoder and numpy begin on it."""
    from reelscope.music.fingerprint import fingerprint_file

    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        tracks = material.corpus_tracks()
        fingerprint_file(tracks[0])  # compiles
        speeds = []
        for _ in range(1 if call.quick else 3):
            begun, worked = time.perf_counter(), time.process_time()
            heard_s = sum(fingerprint_file(path).duration_s for path in tracks)
            passed, work = time.perf_counter() - begun, time.process_time() - worked
            speeds.append((heard_s / passed, heard_s / work))
    finally:
        os.sched_setaffinity(0, everywhere)
    wall, work = np.median(speeds, axis=0).tolist()
    print("### Speed\n")
    rows(
        ["one core, decode included", "x real time", "goal", "best peer of the study"],
        [f"{len(tracks)} Ogg Vorbis files", f"{wall:.0f}", "500", "390"],
        ["by processor time (others may be at work)", f"{work:.0f}", "", ""],
    )
    return {"fingerprint": {"x_real_time": wall, "x_processor_time": work, "hours": heard_s / 3600}}


# ------------------------------------------------------------------------------------- index

KINDS: dict[str, tuple[str, ...]] = {
    "as it is": ("clean", "aac_64k", "speech_0dB"),
    "edited": ("speed_any", "tempo+4", "pitch+1"),
    "in no index": ("clean", "speech_0dB", "tiktok"),
}


def part_index(call: argparse.Namespace) -> Figures:
    """Real tracks among distractors."""
    tracks = material.corpus_tracks()
    known = asked.constellations(tracks)
    small = asked.segment_of(tracks)
    figures: Figures = {"bytes_per_hour": _bytes_per_hour(small), "tracks": {}}
    print("### Index\n")
    table: list[Sequence[object]] = []
    for count in call.tracks:
        begun = time.perf_counter()
        extra = max(0, count - len(tracks))
        more = material.distractors(known, extra, first_number=len(tracks))  # type: ignore[arg-type]
        segment = asked.segment_of(tracks, more) if extra else small
        print(
            f"  {count} tracks, {_hours(segment):.1f} h, {_bytes_per_hour(segment) / 1e6:.2f} MB "
            f"an hour, built in {time.perf_counter() - begun:.0f} s",
            file=sys.stderr,
        )
        found = figures["tracks"][str(count)] = _among(segment, call)
        times = [f"{found['ms'][kind][0]:.0f} / {found['ms'][kind][1]:.0f}" for kind in KINDS]
        mixed = f"{found['ms']['all'][0]:.0f} / {found['ms']['all'][1]:.0f}"
        lost = f"{percent(found['recall'])} ({found['queries']})"
        wrong = f"{found['false_positives']} of {found['unknown']}"
        table.append([count, f"{_hours(segment):.1f}", *times, mixed, lost, wrong])
    head = ["tracks", "hours", *KINDS, "all", "recall, 5 s", "false positives"]
    print("Query of 10 s, ms, median / 95th percentile, one core (goals: 50 at 1,000 and 150 at")
    print("10,000 tracks); recall over the 17 conditions with its own threshold.\n")
    rows(head, *table)
    rows(
        ["index", "MB an hour", "goal"],
        ["36 tracks", f"{figures['bytes_per_hour'] / 1e6:.2f}", "2"],
    )
    return {"index": figures}


def _hours(segment: Any) -> float:
    return float(segment.lengths.sum()) / 50 / 3600


def _bytes_per_hour(segment: Any) -> float:
    return sum(array.nbytes for array in segment.arrays().values()) / _hours(segment)


def _among(segment: Any, call: argparse.Namespace) -> Figures:
    """Times and finds in a segment whose first tracks are the corpus."""
    from reelscope.music.identify import identify

    tracks = material.corpus_tracks()
    figures: Figures = {"ms": {}}
    wrong = unknown = 0
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    for kind, conditions in KINDS.items():
        inside = kind != "in no index"
        paths = tracks if inside else material.composed_tracks(0, 24)
        times = []
        for condition in conditions:
            for query in material.queries(paths, condition, 10.0, call.timed, call.seed + 1):
                begun = time.perf_counter()
                found = identify(query.samples, query.rate_hz, [segment])
                times.append((time.perf_counter() - begun) * 1000)
                unknown += not inside
                wrong += bool(found) and not inside
        figures["ms"][kind] = np.percentile(times, [50, 95]).tolist()
        figures["ms"].setdefault("_", []).extend(times)
    figures["ms"]["all"] = np.percentile(figures["ms"].pop("_"), [50, 95]).tolist()
    os.sched_setaffinity(0, everywhere)
    hits = []
    for condition in material.PAGE:
        for query in material.queries(tracks, condition, 5.0, call.timed, call.seed + 2):
            found = identify(query.samples, query.rate_hz, [segment])
            hits.append(_is_right(query, found, tracks))
            without = {tracks.index(query.track_path)}
            answer = identify(query.samples, query.rate_hz, [segment], without=without)
            unknown += 1
            wrong += bool(answer) and not _is_right(query, answer, tracks)
    scores = {"recall": float(np.mean(hits)), "queries": len(hits)}
    return {**figures, **scores, "false_positives": wrong, "unknown": unknown}


def _is_right(query: material.Query, found: Sequence[Any], tracks: Sequence[Path]) -> bool:
    if not found or found[0].number >= len(tracks):
        return False
    place = found[0].offset_s - found[0].start_s * found[0].tempo
    return material.is_hit(query, tracks[found[0].number], place)


# -------------------------------------------------------------------------- match and dedupe

CAMPAIGNS = 9
CLIP_S = 15.0


def part_match(call: argparse.Namespace) -> Figures:
    """`music match` over clips of 15 s with speech over them, half of campaigns, half of none."""
    count = 60 if call.quick else 200
    tracks = material.corpus_tracks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, path in enumerate(tracks[:CAMPAIGNS]):
            (folder / "campaigns" / str(number)).mkdir(parents=True)
            (folder / "campaigns" / str(number) / path.name).symlink_to(path)
        (folder / "videos").mkdir()
        truth = {}
        for known, paths in ((True, tracks[:CAMPAIGNS]), (False, tracks[CAMPAIGNS:])):
            clips = material.queries(paths, "speech_0dB", CLIP_S, count // 2, call.seed)
            for number, query in enumerate(clips):
                video = f"{'in' if known else 'out'}{number:04d}"
                truth[video] = known
                target = folder / "videos" / f"{video}.wav"
                write_sound(target, query.samples, rate_hz=query.rate_hz)
        seconds, found = _match_command(folder)
    right = sum((video in found) == known for video, known in truth.items())
    print("### match\n")
    rows(
        ["videos of 15 s", "videos a second", "goal", "matched or not, rightly"],
        [len(truth), f"{len(truth) / seconds:.1f}", "20", f"{right} of {len(truth)}"],
    )
    rate = {"videos_per_s": len(truth) / seconds, "right": right, "videos": len(truth)}
    return {"match": rate}


def _match_command(folder: Path) -> tuple[float, set[str]]:
    """(seconds of the second run of new videos, ids that were matched)."""
    main = Path(__file__).parent.parent / "main.py"
    command = [sys.executable, str(main), "music", "match", "--campaigns", "campaigns"]
    begun = time.perf_counter()
    subprocess.run([*command, "--videos", "videos"], cwd=folder, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    (results,) = folder.rglob("matching-results.json")
    said = json.loads(results.read_text(encoding="utf-8"))
    print(f"  the command: {seconds:.1f} s, its own count: {said}"[:300], file=sys.stderr)
    matched = {Path(str(one["video_id"])).stem for one in said["matched_videos"]}
    return seconds, matched


def part_dedupe(call: argparse.Namespace) -> Figures:
    import dedupe

    found = dedupe.measure(1000 if call.quick else 10_000)
    print("### dedupe\n")
    rows(
        ["files of 3 minutes a second, 2 cores", "", "goal"],
        *([name, f"{speed:.1f}", "8"] for name, speed in found.files_a_second.items()),
        [f"{found.assets} assets compared", f"{found.compare_s:.1f} s", "60 s"],
        ["copies found", f"{found.copies_found} of {found.copies}", ""],
        ["pairs that are no copies", found.false_pairs, "0"],
    )
    return {"dedupe": vars(found)}


# -------------------------------------------------------------------------------------- main

PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "recall": part_recall,
    "speed": part_speed,
    "index": part_index,
    "match": part_match,
    "dedupe": part_dedupe,
    "peers": part_peers,
}


def numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the queries")
    parser.add_argument("--queries", type=int, default=None, help="per condition and length")
    parser.add_argument("--lengths", type=numbers, default=list(GOALS), help="of clips, seconds")
    parser.add_argument("--tracks", type=numbers, default=[36, 1000, 10_000], help="in the index")
    parser.add_argument("--peers", default="chromaprint", help=", ".join(PEERS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=asked.work_folder())
    parser.add_argument("--save", action="store_true")
    call = parser.parse_args()
    call.queries = call.queries or (20 if call.quick else 200)
    call.timed = 4 if call.quick else 12
    call.tracks = [round(count) for count in call.tracks]
    call.peers = [name for name in call.peers.split(",") if name]
    print(describe() + "\n")
    if os.getloadavg()[0] > 0.5:
        print(f"(Others are at work: load {os.getloadavg()[0]:.1f}. Times are too long.)\n")
    for name in PARTS if call.part == "all" else [call.part]:
        figures = PARTS[name](call)
        if call.save:
            _keep(figures)


def _keep(figures: Figures) -> None:
    """Beside what other parts have kept."""
    path = RESULTS / "music.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known.pop("machine", None)
    save("music", {**known, **figures})


if __name__ == "__main__":
    main()
