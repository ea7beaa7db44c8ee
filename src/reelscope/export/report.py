"""report.md: a creator's videos for reading.

Everything that comes from outside (captions, texts on screen, messages) is escaped, so
that it shows as it was written and can neither format the page nor link out of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from pydantic import JsonValue

from reelscope.export.columns import stages_in_order, texts_of
from reelscope.export.facts import (
    MAX_TEXT,
    Fact,
    Proof,
    clock,
    facts,
    labelled,
    number,
    percent,
    rate_in_words,
    troubles,
)
from reelscope.records import (
    Choice,
    Events,
    OnScreenText,
    Probe,
    Shots,
    SpeechRate,
    VideoRecord,
    Voice,
)

# What formats or links in the middle of a line (CommonMark 0.31 section 6, GFM autolinks).
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~!&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_HIDDEN = {"Cc", "Cf", "Cs"}  # among them the marks that turn the direction of a line
_JOINERS = "\u200c\u200d"  # Persian words and joined emoji need them
_HEADS = ("video", "length", "speech", "rate", "loudness", "cuts/min", "texts", "not done")


def escape(text: str, *, longest: int = MAX_TEXT) -> str:
    """Text from outside as one line of Markdown that shows just this text."""
    text = " ".join(text.split())
    shown = "".join(c for c in text if c in _JOINERS or unicodedata.category(c) not in _HIDDEN)
    if len(shown) > longest:
        shown = shown[: longest - 1].rstrip() + "…"
    return _MARKUP.sub(r"\\\1", shown)


class Report:
    """Gathers the lines of the page record by record.

    Args:
        creator: for the heading.
        frames_link: from the page to the folder of the frames folders, URL-quoted.
        summary: what a model says of the creator, see `facts.labelled`; None: nothing was
            asked.
    """

    def __init__(
        self,
        creator: str,
        *,
        frames_link: str,
        summary: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self.creator = creator
        self.frames_link = frames_link
        self.summary = summary or {}
        self._rows: list[str] = []
        self._sections: list[str] = []
        self._seconds = 0.0

    def add(self, record: VideoRecord) -> None:
        """One more video."""
        probe = record.value(Probe)
        self._seconds += (probe and probe.duration_s) or 0.0
        self._rows.append(f"| {' | '.join(_cells(record))} |")
        lines = "\n".join(self._lines(record))
        self._sections.append(f"## {escape(record.source.video_id)}\n\n{lines}\n")

    def render(self) -> str:
        """The page."""
        count = number(len(self._rows), "video")
        table = "\n".join([f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|", *self._rows])
        head = f"# {escape(self.creator)}\n\n{count}, {clock(self._seconds)} in all.\n"
        said = "".join(f"- {_line(fact)}\n" for fact in labelled(self.summary))
        parts = [head, said, f"{table}\n", *self._sections]
        return "\n".join(part for part in parts if part)

    def _lines(self, record: VideoRecord) -> Iterator[str]:
        for fact in facts(record):
            yield f"- {_line(fact)}"
        for name, reason in troubles(record):
            yield f"- `{name}` {escape(reason)}"
        if (choice := record.value(Choice)) and choice.frames:
            yield ""
            for frame in sorted(choice.frames, key=lambda f: f.time_s):
                link = f"{self.frames_link}/{quote(record.source.frames_id)}/{quote(frame.file)}"
                yield f"![{frame.time_s:.2f} s]({link})"


def _cells(record: VideoRecord) -> list[str]:
    """The row of the table at the top."""
    probe, voice = record.value(Probe), record.value(Voice)
    rate, events = record.value(SpeechRate), record.value(Events)
    shots, text = record.value(Shots), record.value(OnScreenText)
    loudness = events.loudness.integrated_lufs if events else None
    return [
        escape(record.source.video_id, longest=60),
        clock(probe.duration_s) if probe and probe.duration_s is not None else "",
        percent(voice.speech_share) if voice else "",
        rate_in_words(rate) if rate else "",
        f"{loudness:.1f} LUFS" if loudness is not None else "",
        f"{shots.cuts_per_minute:.1f}" if shots else "",
        str(len(texts_of(text))) if text else "",
        " ".join(name for name, stage in stages_in_order(record) if stage.status != "ok"),
    ]


def _line(fact: Fact) -> str:
    text = f"{escape(fact.label)}: {escape(fact.text, longest=fact.longest)}"
    warning = f", **{fact.warning}**" if fact.warning else ""
    proofs = "; ".join(map(_proof, fact.proofs))
    return f"{text}{warning}" + (f" ({proofs})" if proofs else "")


def _proof(proof: Proof) -> str:
    what = f"“{escape(proof.text, longest=80)}”" if proof.quoted else escape(proof.text)
    return f"{what}{proof.when}" + ("" if proof.found else " **not found**")
