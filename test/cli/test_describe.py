"""Batch mode as a user calls it: the main job hands over, `describe collect` fetches."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reelscope.testing import chat as fake
from reelscope.testing.chat import FakeChat, serve

pytestmark = pytest.mark.slow

KEY = "sk-secret-of-the-batch-0123456789"
FEW = ("--only", "platform,probe,choose,describe", "--limit-per-creator", 1)
CONFIG = """
description:
  enabled: true
  mode: batch
  base_url: {url}
  total_timeout_s: 2
  language: {language}
  dimensions:
    - {{name: description, instruction: What happens., evidence: false}}
    - {{name: mood, instruction: How one feels., type: text}}
"""


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(key=KEY)) as chat:
        yield chat


@pytest.fixture
def place(workplace: Any, server: FakeChat) -> Any:
    configure(workplace, server)
    return workplace


def configure(workplace: Any, server: FakeChat, language: str = "English") -> None:
    path = workplace.root / "config" / "config.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONFIG.format(url=server.url, language=language), encoding="utf-8")


def run(workplace: Any, *more: object, key: str = KEY) -> Any:
    return workplace.call("--csv", "data/creators.csv", *FEW, *more, OPENAI_API_KEY=key)


def collect(workplace: Any, batch_id: str = "creators", key: str = KEY) -> Any:
    return workplace.call("describe", "collect", "--batch-id", batch_id, OPENAI_API_KEY=key)


def endings(workplace: Any) -> list[str]:
    """How the stage ended on each video."""
    return [record["stages"]["describe"]["status"] for record in workplace.records().values()]


def table(workplace: Any) -> list[dict[str, str]]:
    path = workplace.data / "results" / "creators" / "video_features_results.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def holders(root: Path, word: str) -> list[str]:
    """Files anywhere below that hold the word, but for reports, which have pictures in them."""
    found = [
        path
        for path in root.rglob("*")
        if path.is_file() and path.name != "report.html" and word.encode() in path.read_bytes()
    ]
    return sorted(str(path.relative_to(root)) for path in found)


def test_from_the_call_to_the_answers_days_later(place: Any, server: FakeChat) -> None:
    ran = run(place)
    assert ran.returncode == 0, ran.stderr
    assert endings(place) == ["skipped"] * 3
    assert "3 requests handed over as batch_1" in ran.stdout
    assert "python main.py describe collect --batch-id creators" in ran.stdout
    assert holders(place.root, "base64") == [], "pictures that were handed over are not kept twice"
    [batch] = server.batches.values()
    assert all("base64" in json.dumps(request) for request in batch.requests)

    early = collect(place)
    assert early.returncode == 0, early.stderr
    assert "batch_1: waiting, 3 requests; in_progress, 0 of 3" in early.stdout
    assert "the same call again fetches the rest" in early.stdout
    assert endings(place) == ["skipped"] * 3

    again = run(place)
    assert again.returncode == 0, again.stderr
    assert "handed over" not in again.stdout
    assert len(server.batches) == 1

    server.finish_batches()
    shutil.rmtree(place.data / "tiktok_videos")
    fetched = collect(place)
    assert fetched.returncode == 0, fetched.stderr
    assert "batch_1: collected, 3 requests; completed" in fetched.stdout
    assert "fetches the rest" not in fetched.stdout
    paid = server.paid
    usd = (2.5 * paid.input + 10 * paid.output) / 1e6 / 2
    assert f"describe: 3 requests, {paid.input:,} tokens read" in fetched.stdout
    assert f"${usd:.4f}" in fetched.stdout
    assert endings(place) == ["ok"] * 3
    assert [row["description"] for row in table(place)] == ["stand-in answer for description"] * 3
    assert all(row["description_mood"] for row in table(place))
    assert sum(float(row["description_cost_usd"]) for row in table(place)) == pytest.approx(usd)
    for creator in {row["creator"] for row in table(place)}:
        folder = place.data / "analysis_results" / creator
        assert "stand-in answer" in (folder / f"{creator}.csv").read_text(encoding="utf-8")
        assert "stand-in answer" in (folder / f"{creator}.json").read_text(encoding="utf-8")

    before = place.files()
    third = collect(place)
    assert third.returncode == 0, third.stderr
    changed = {name for name, data in place.files().items() if before.get(name) != data}
    assert changed <= {
        "data/results/creators/summary.json",
        "data/results/creators/.lock",
        "logs/processing_logs.txt",
    }
    assert server.requests == 0, "nothing was asked live"
    said = "".join(call.stdout + call.stderr for call in (ran, early, again, fetched, third))
    assert KEY not in said
    assert "Traceback" not in said
    assert holders(place.root, KEY) == []
    assert holders(place.root, "base64") == []


def test_the_settings_of_the_run_count_and_the_next_run_goes_by_todays(
    place: Any, server: FakeChat
) -> None:
    assert run(place).returncode == 0
    configure(place, server, language="French")
    server.finish_batches()
    assert collect(place).returncode == 0
    assert endings(place) == ["ok"] * 3
    configure(place, server)
    assert run(place).returncode == 0
    assert place.summary()["stages"]["describe"]["reused"] == 3
    assert (len(server.batches), server.requests) == (1, 0)


def test_only_a_run_of_the_description_that_waits_is_no_failure(
    place: Any, server: FakeChat
) -> None:
    assert run(place, "--skip", "describe").returncode == 0
    only = place.call("--only", "describe", "--limit-per-creator", 1, OPENAI_API_KEY=KEY)
    assert only.returncode == 0, only.stderr
    assert "handed over" in only.stdout
    server.finish_batches()
    assert collect(place).returncode == 0
    assert endings(place) == ["ok"] * 3


def test_exit_codes_of_what_cannot_be_fetched(place: Any, server: FakeChat) -> None:
    nothing = place.files()
    for name in ("nobody", "../creators", ""):
        done = collect(place, name)
        assert done.returncode == 2, done.stdout
        assert done.stderr.startswith("error: ")
        assert "no batch" in done.stderr
        assert "Traceback" not in done.stderr
    assert place.call("describe", "collect").returncode == 2
    assert place.files() == nothing, "nothing is written"

    assert run(place, "--skip", "describe").returncode == 0
    done = collect(place)
    assert done.returncode == 2
    assert "was handed to" in done.stderr

    assert run(place).returncode == 0
    wrong = collect(place, key="sk-another-key")
    assert wrong.returncode == 1
    assert "OPENAI_API_KEY" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    server.fail_batches("line 1 is no JSON")
    lost = collect(place)
    assert lost.returncode == 1, "nothing succeeded"
    assert "batch_1: lost, 3 requests; failed; line 1 is no JSON" in lost.stdout
    assert endings(place) == ["failed"] * 3
    assert holders(place.root, KEY) == []
    assert holders(place.root, "sk-another-key") == []


def test_a_server_that_takes_nothing_now(place: Any, server: FakeChat) -> None:
    server.batch_script = [fake.quota()]
    ran = run(place)
    assert ran.returncode == 0, ran.stderr
    assert "not handed over" in ran.stdout
    done = collect(place)
    assert done.returncode in (0, 1)
    assert "the run itself, called again, does that" in done.stdout
    again = run(place)
    assert "3 requests handed over as batch_1" in again.stdout
    assert holders(place.root, KEY) == []
