"""Prints what a chat model would be asked about a video, and asks nobody.

    python scripts/show_request.py data/analysis_results/<creator>/<video_id>

Reads the record and the chosen frames of a run, with or without --describe, and fills in the
templates of today's settings. Pictures stand there as their file names. With --page the
prompt and the schema are written into that page, between its two marks: docs/description.md
is made so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reelscope import settings as settings_module
from reelscope.description.chat import ChatRequest
from reelscope.description.describe import DescribeStage
from reelscope.media.clip import Clip
from reelscope.pipeline.checkpoint import RECORD_NAME, read_record
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.plan import DESCRIBE
from reelscope.settings import Settings

BEGIN = "<!-- by scripts/show_request.py, do not edit -->"
END = "<!-- end of what scripts/show_request.py writes -->"


def main() -> int:
    """Print the request, or write it into a page."""
    parser = argparse.ArgumentParser(description="Show what a model would be asked about a video.")
    parser.add_argument("folder", type=Path, help="of the video: it holds record.json")
    parser.add_argument("--config", type=Path, help="default: config/config.yml")
    parser.add_argument("--page", type=Path, help="write it into this page instead")
    asked = parser.parse_args()
    request = request_about(asked.folder.absolute(), settings_module.load(asked.config))
    if request is None:
        print("Nothing is known of it that could be described: no picture, no words.")
        return 1
    if asked.page is None:
        print(prompt_text(request), schema_text(request.schema or {}), sep="\n")
    else:
        page = asked.page.read_text(encoding="utf-8")
        asked.page.write_text(with_request(page, request), encoding="utf-8")
    return 0


def request_about(folder: Path, settings: Settings) -> ChatRequest | None:
    """The first request about a video; None: there is nothing to ask about.

    Args:
        folder: of the video; the frames stand beside the folder of all records.
        settings: of the description.
    """
    record = read_record(folder / RECORD_NAME)
    if record is None:
        raise SystemExit(f"{folder / RECORD_NAME}: no record that can be read")
    stage = build_graph(settings)[DESCRIBE]
    assert isinstance(stage, DescribeStage)  # noqa: S101  (for the type)
    records = folder.parent.parent
    clip = Clip(
        record.source,
        record,
        settings.media,
        frames_root=records.parent / "tiktok_frames",
        records_root=records,
    )
    question = stage.question(clip)
    return question.request if question else None


def prompt_text(request: ChatRequest) -> str:
    """The messages as they are sent, each below its role."""
    return "\n".join(_lines(request))


def _lines(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        yield f"[{message.role}]"
        for part in message.parts:
            if isinstance(part, str):
                yield part
            else:
                size = f"{part.width} x {part.height}"
                yield f"[picture {part.file}, {size}, detail {part.detail}]"


def schema_text(schema: dict[str, Any]) -> str:
    """The schema with a line for each dimension; empty if none is sent."""
    if not schema:
        return ""
    outer = json.dumps({**schema, "properties": {}})
    inner = ",\n".join(
        f" {json.dumps(k)}: {json.dumps(v)}" for k, v in schema["properties"].items()
    )
    return outer.replace('"properties": {}', f'"properties": {{\n{inner}\n}}', 1)


def with_request(page: str, request: ChatRequest) -> str:
    """The page with this request between its marks."""
    blocks = (
        f"{BEGIN}\n\n```text\n{prompt_text(request)}\n```\n\n"
        f"The strict schema, a line for each dimension:\n\n"
        f"```json\n{schema_text(request.schema or {})}\n```\n\n{END}"
    )
    found, times = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: blocks, page, flags=re.DOTALL
    )
    if times != 1:
        raise SystemExit(f"the page needs the two marks once:\n{BEGIN}\n{END}")
    return found


if __name__ == "__main__":
    sys.exit(main())
