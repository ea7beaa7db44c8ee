"""How many words the transcriber gets right: `python bench/transcriber.py [--engine E] [--save]`.

Needs ../shared/corpus. Real speech with known text through the stages as in a run: `voice`
says where somebody speaks, `transcribe` cuts and writes down. The engine is the one that the
settings give; by default pocketsphinx, which needs no weights.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import machine

from reelscope.media.clip import Clip
from reelscope.pipeline.graph import build_graph
from reelscope.records import Ok, StageRecord, Transcript, VideoRecord, VideoSource, Voice
from reelscope.settings import Settings

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "speech"
TEXTS = {
    "jfk.flac": "And so my fellow Americans, ask not what your country can do for you, ask what"
    " you can do for your country.",
    "librispeech-5703-47212-0000.ogg": "With her white paint and her scarlet smokestack, the"
    " Inverashiel, one of the two small steamers that during the summer months plied up and down"
    " the loch, and incidentally carried on communication between Inverashiel and Crianan",
    # J. Austen, Northanger Abbey, chapter 12
    "librispeech-198-209-0000.ogg": "Mrs. Allen, said Catherine the next morning, will there be"
    " any harm in my calling on Miss Tilney today? I shall not be easy till I have explained"
    " everything. Go, by all means, my dear; only put on a white gown; Miss Tilney always wears"
    " white.",
    # T. Malory's story retold; the first words as they are heard, the rest as in print
    "librispeech-3436-172162-0000.ogg": "The adventure of the cart. It befell in the month of"
    " May, Queen Guenever called to her knights of the Table Round and gave them warning that"
    " early upon the morrow she would ride a maying into the woods and fields beside"
    " Westminster",
}


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def errors(wanted: list[str], heard: list[str]) -> int:
    """Words put in, left out or changed (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            diagonal, row[to] = (
                row[to],
                min(row[to] + 1, row[to - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="pocketsphinx")
    parser.add_argument("--size", default="small")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    models = {"whisper": {"engine": options.engine, "size": options.size}, "offline": True}
    settings = Settings.model_validate({"models": models})
    graph = build_graph(settings)
    for name in ("voice", "transcribe"):
        graph[name].open()
    figures = {name: judge(settings, graph, name) for name in TEXTS}
    total = sum(f["errors"] for f in figures.values()) / sum(f["words"] for f in figures.values())
    print(machine.describe())
    print(f"{graph['transcribe'].engine}: word error rate {total:.2f} over all")
    for name, f in figures.items():
        print(f"  {name:34} {f['errors']:3.0f} of {f['words']:.0f} wrong, {f['heard']:.0f} heard,"
              f" {f['real_time']:.1f} x real time, {f['cpu_s_per_s']:.2f} s of processor"
              " per second of sound")  # fmt: skip
    if options.save:
        machine.save("transcriber", {"engine": graph["transcribe"].engine, "files": figures})


def judge(settings: Settings, graph, name: str) -> dict[str, float]:
    path = CORPUS / name
    source = VideoSource(creator="c", video_id="v", frames_id="v", path=str(path))
    record = VideoRecord(source=source)
    with Clip(source, record, settings.media, frames_root=path.parent) as clip:
        (spoken,) = graph["voice"].run([clip])
        assert isinstance(spoken, Ok)
        assert isinstance(spoken.value, Voice)
        entry = StageRecord(status="ok", key="k", engine="e", value=spoken.value)
        clip.record = record.with_stage("voice", entry)
        begin, begin_cpu = time.perf_counter(), time.process_time()
        (outcome,) = graph["transcribe"].run([clip])
        seconds, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Transcript)
    wanted, heard = words_of(TEXTS[name]), words_of(outcome.value.raw_text)
    return {
        "words": len(wanted),
        "heard": len(heard),
        "errors": errors(wanted, heard),
        "real_time": spoken.value.duration_s / seconds,
        "cpu_s_per_s": cpu_s / spoken.value.duration_s,
    }


if __name__ == "__main__":
    main()
