"""The files of `music match`.

matching-results.json   what came of every video: numbers, matches, the rest, what went wrong
matching-results.csv    one row per video
matching-run.json       what was compared with what, and what a reader has to know
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reelscope.atomic import open_atomic, write_atomic
from reelscope.export.cells import csv_line
from reelscope.export.column import Cell
from reelscope.music.match import Answer
from reelscope.records import CampaignMatch
from reelscope.store.matches import Likeness

RESULTS_NAME = "matching-results.json"
TABLE_NAME = "matching-results.csv"
RUN_NAME = "matching-run.json"
COLUMNS = (
    "video_id", "status", "campaign_id", "similarity", "track", "start_s", "end_s", "offset_s",
    "tempo", "pitch", "engine", "threshold", "error",
)  # fmt: skip


def results(answers: Sequence[Answer], *, threshold: float, seconds: float) -> dict[str, Any]:
    """matching-results.json, whose keys campaign scripts know.

    Args:
        answers: by video id.
        threshold: a match from this similarity on, 0-100.
        seconds: that the run took.
    """
    errors = [one for one in answers if one.error is not None]
    heard = [one for one in answers if one.error is None]
    matched = [one for one in heard if one.similarity >= threshold and one.alike]
    unmatched = [one for one in heard if not (one.similarity >= threshold and one.alike)]
    return {
        "total_processed": len(answers),
        "matched": len(matched),
        "unmatched": len(unmatched),
        "errors_count": len(errors),
        "execution_time_seconds": round(seconds, 3),
        "matched_videos": [_matched(one, threshold) for one in matched],
        "unmatched_videos": [
            {"video_id": one.video_id, "best_similarity": _shown(one.similarity)}
            for one in unmatched
        ],
        "error_details": [{"video_id": one.video_id, "error": one.error} for one in errors],
    }


def write_matching(
    folder: Path,
    answers: Sequence[Answer],
    *,
    engine: str,
    threshold: float,
    seconds: float,
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the three files, each at once.

    Args:
        folder: where they stand.
        answers: by video id.
        engine: who compared.
        threshold: a match from this similarity on, 0-100.
        seconds: that the run took.
        run: plain data for matching-run.json.

    Returns:
        What stands in matching-results.json.

    Raises:
        OutputError: a file cannot be written.
    """
    found = results(answers, threshold=threshold, seconds=seconds)
    with open_atomic(folder / TABLE_NAME) as table:
        table.write(csv_line(COLUMNS))
        for answer in answers:
            table.write(csv_line(_row(answer, engine=engine, threshold=threshold)))
    write_atomic(folder / RUN_NAME, _json(run))
    write_atomic(folder / RESULTS_NAME, _json(found))
    return found


def campaign_match(answer: Answer, *, engine: str, threshold: float) -> CampaignMatch:
    """What stands in the record of a video that was listened to."""
    best = answer.alike[0] if answer.alike else None
    return CampaignMatch.model_validate(
        {
            "engine": engine,
            "threshold": threshold,
            "matched": best is not None and best.similarity >= threshold,
            **dict.fromkeys(Likeness.model_fields),
            "similarity": 0.0,
            **(best.model_dump() if best else {}),
        }
    )


def _matched(answer: Answer, threshold: float) -> dict[str, Any]:
    best = answer.alike[0]
    others = [one for one in answer.alike[1:] if one.similarity >= threshold]
    return {
        "video_id": answer.video_id,
        **{name: _shown(value) for name, value in best.model_dump().items()},
        "other_campaigns": [
            {name: _shown(value) for name, value in other.model_dump().items()} for other in others
        ],
    }


def _row(answer: Answer, *, engine: str, threshold: float) -> Iterator[Cell]:
    cells: dict[str, Cell] = {"video_id": answer.video_id, "error": answer.error}
    cells |= {"engine": engine, "threshold": threshold}
    if answer.error is not None:
        cells["status"] = "error"
    elif answer.alike and answer.similarity >= threshold:
        shown = answer.alike[0].model_dump()
        cells |= {"status": "matched", **{name: _shown(value) for name, value in shown.items()}}
    else:
        cells |= {"status": "unmatched", "similarity": _shown(answer.similarity)}
    return (cells.get(name) for name in COLUMNS)


def _shown(value: Any) -> Any:
    """Numbers to four places, which is far below what any of them means."""
    return round(value, 4) if isinstance(value, float) else value


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
