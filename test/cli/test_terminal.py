"""What comes from outside cannot steer the terminal; progress fits where it goes."""

from __future__ import annotations

import io

from rich.console import Console

from reelscope.cli.progress import Lines
from reelscope.cli.terminal import printable
from reelscope.records import StageRecord, VideoRecord, VideoSource

SOURCE = VideoSource(creator="ana", video_id="1", frames_id="1")


def test_control_characters_are_made_visible() -> None:
    assert printable("a\x1b[31mb\nc\u202ed") == "a�[31mb�c�d"
    assert printable("Grüße 你好 🎬") == "Grüße 你好 🎬"


def test_lines_tell_how_far_it_is() -> None:
    output = io.StringIO()
    lines = Lines(2, Console(file=output, width=200), lambda: "9 requests, $0.07")
    failed = StageRecord(status="failed", key="k", engine="e", kind="media", message="m")
    lines.stage_ended(SOURCE, "probe", failed)
    lines.video_ended(VideoRecord(source=SOURCE), frozenset())
    assert output.getvalue() == "", "nothing before it is time"
    lines.video_ended(VideoRecord(source=SOURCE), frozenset())
    assert "2/2 videos" in output.getvalue()
    assert "1 failures, 9 requests, $0.07" in output.getvalue()
