"""kill -9 while a model is asked: nothing that was answered is asked, and paid for, again."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reelscope.description.exchange import FILE_NAME, load_exchange
from reelscope.testing import chat as fake
from reelscope.testing.chat import FakeChat, serve

VIDEOS = 80
KILLS = 8
AT_ONCE = 4
MARK = re.compile(r"video number (\d+) of")


def prepare(folder: Path) -> None:
    """Files that are no videos, each with a caption: nothing but the words is looked at."""
    folder.mkdir()
    for number in range(VIDEOS):
        (folder / f"{number:03}.mp4").write_bytes(b"%d" % number)
        caption = {"name": "tiktok", "caption": f"video number {number:03} of many"}
        (folder / f"{number:03}.json").write_text(json.dumps(caption), encoding="utf-8")


def saved(records: Path) -> set[str]:
    """Videos whose answer stands on the disk."""
    found = set()
    for path in records.glob(f"*/*/{FILE_NAME}"):
        exchange = load_exchange(path.parent)
        assert exchange is not None, f"{path} is whole at any moment"
        if any(turn.answer for turn in exchange.turns):
            found.add(path.parent.name)
    return found


def asked_about(server: FakeChat, *, after: int) -> list[str]:
    return [MARK.findall(str(asked.body))[0] for asked in server.asked[after:]]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_at_random_moments_then_resume_pays_for_nothing_twice(workplace: Any) -> None:
    prepare(workplace.root / "many")
    records = workplace.data / "analysis_results"
    call = ("analyze", "many", "--describe", "--only", "platform,describe")
    moments = random.Random(8)
    with serve(FakeChat(default=fake.slow(0.15))) as server:
        environ = {
            "REELSCOPE_DESCRIPTION__BASE_URL": server.url,
            "REELSCOPE_DESCRIPTION__CONCURRENCY": str(AT_ONCE),
        }
        lost = 0
        for _ in range(KILLS):
            kept, before = saved(records), len(server.asked)
            run = workplace.start(*call, **environ)
            while len(server.asked) == before and run.poll() is None:
                time.sleep(0.01)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(timeout=moments.uniform(0.0, 0.4))
            assert run.poll() is None, "killed before it was done, or this shows nothing"
            run.kill()
            run.communicate()
            time.sleep(0.5)  # what was sent before the kill is taken in
            assert not kept & set(asked_about(server, after=before))
            lost = server.answered - len(saved(records))
        kept, before = saved(records), len(server.asked)
        done = workplace.call(*call, **environ)
        assert done.returncode == 0, done.stderr
        assert sorted(asked_about(server, after=before)) == sorted(
            {f"{number:03}" for number in range(VIDEOS)} - kept
        )
    assert 0 < lost <= KILLS * AT_ONCE, "answers under way when it was killed"
    assert server.answered == VIDEOS + lost
    ended = workplace.records()
    assert len(ended) == VIDEOS
    assert Counter(r["stages"]["describe"]["status"] for r in ended.values()) == {"ok": VIDEOS}
    assert len(saved(records)) == VIDEOS
    assert not list(workplace.root.rglob("*.reelscope-tmp"))
    rows = (workplace.data / "results" / "many" / "video_features_results.csv").read_text("utf-8")
    assert rows.count("stand-in answer for description") == VIDEOS
