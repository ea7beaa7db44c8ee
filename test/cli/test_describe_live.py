"""The description as a user calls it, live, against a server on loopback: two tiny videos."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml

from reelscope.testing import chat as fake
from reelscope.testing.chat import Behaviour, FakeChat, serve
from reelscope.testing.media import Scene, write_video
from reelscope.testing.stand_in import prompt_of, stand_in_text

pytestmark = pytest.mark.slow

KEY = "sk-secret-of-the-test-0123456789"
FEW = ("--only", "platform,probe,choose,describe")
"""The stages that two tiny videos need to be described; the others are tested elsewhere."""
OWN = {
    "name": "hook_line",
    "instruction": "The first words that are to keep a viewer.",
    "type": "text",
}
"""A dimension that a user adds."""
DESCRIPTION = {"name": "description", "instruction": "What happens.", "evidence": False}


def put_caption(folder: Path, name: str, caption: str) -> None:
    data = {"name": "tiktok", "caption": caption}
    (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")


def two_videos(folder: Path) -> Path:
    folder.mkdir()
    for name in ("one", "two"):
        write_video(folder / f"{name}.mp4", [Scene(1.0)], size=(64, 64))
        put_caption(folder, name, f"a caption of video {name}")
    return folder


def describing(body: dict[str, Any]) -> str:
    """A stand-in answer whose description depends on the caption."""
    data = json.loads(stand_in_text(body, None))
    found = re.search(r"caption of video [\w ]+", prompt_of(body))
    if found and "description" in data:
        data["description"]["value"] = f"It has the {found[0]}."
    return json.dumps(data)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(key=KEY, answer=describing)) as chat:
        yield chat


@pytest.fixture
def open_server() -> Iterator[FakeChat]:
    """One that asks for no key."""
    with serve(FakeChat()) as chat:
        yield chat


@pytest.fixture
def videos(workplace: Any) -> Path:
    return two_videos(workplace.root / "clips")


def cells(results: Path) -> list[dict[str, str]]:
    """The table of a batch."""
    text = (results / "video_features_results.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def described(workplace: Any) -> dict[str, Any]:
    """How the stage ended on each video."""
    records: dict[str, Any] = workplace.records()
    return {name: record["stages"].get("describe") for name, record in records.items()}


# ------------------------------------------------------------------------- off, or no key


def test_nothing_is_asked_unless_it_is_wished(
    workplace: Any, videos: Path, open_server: FakeChat
) -> None:
    there = {"REELSCOPE_DESCRIPTION__BASE_URL": open_server.url, "OPENAI_API_KEY": KEY}
    done = workplace.call("analyze", videos, "--skip", "text,transcribe,voice,events", **there)
    assert done.returncode == 0, done.stderr
    assert open_server.requests == 0
    assert set(described(workplace).values()) == {None}
    planned = workplace.call("analyze", videos, "--dry-run", **there)
    [line] = [line for line in planned.stdout.splitlines() if line.strip().startswith("describe")]
    assert "--describe turns it on" in line
    assert "tokens" not in planned.stdout
    looked = workplace.call("doctor", **there)
    [line] = [line for line in looked.stdout.splitlines() if "description  " in line]
    assert "off" in line
    assert "--describe" in line
    assert KEY not in looked.stdout + planned.stdout


def test_without_a_key_it_is_left_out_with_the_remedy(workplace: Any, videos: Path) -> None:
    done = workplace.call("analyze", videos, "--describe", *FEW, OPENAI_API_KEY="")
    assert done.returncode == 0, done.stderr
    for stage in described(workplace).values():
        assert stage["status"] == "skipped"
        assert "OPENAI_API_KEY" in stage["remedy"]
        assert "base_url" in stage["remedy"]
    assert "export OPENAI_API_KEY" in done.stdout
    assert "$" not in done.stdout, "nothing was spent"


def test_a_server_of_ones_own_needs_no_key(
    workplace: Any, videos: Path, open_server: FakeChat
) -> None:
    url = {"REELSCOPE_DESCRIPTION__BASE_URL": open_server.url, "OPENAI_API_KEY": ""}
    done = workplace.call("analyze", videos, "--describe", *FEW, **url)
    assert done.returncode == 0, done.stderr
    assert [stage["status"] for stage in described(workplace).values()] == ["ok", "ok"]
    assert open_server.answered == 2


# ---------------------------------------------------------------------------- --dry-run


@pytest.mark.parametrize(
    ("settings", "each"),
    [
        ({"image_detail": "low"}, 85),
        # 768 x 768 touches 2 x 2 tiles of 512
        ({"image_detail": "high"}, 85 + 4 * 170),
        # 2048 x 768 touches 4 x 2; a square would be shrunk to 768 x 768
        ({"image_detail": "high", "image_longest_side": 2048}, 85 + 8 * 170),
        # 4096 is shrunk to 2048 first, and there are no more tiles than that
        ({"image_detail": "high", "image_longest_side": 4096}, 85 + 8 * 170),
    ],
)
def test_a_dry_run_says_what_the_pictures_take_at_most(
    workplace: Any, videos: Path, open_server: FakeChat, settings: dict[str, Any], each: int
) -> None:
    config = workplace.root / "c.yml"
    asked = {"base_url": open_server.url, "max_cost_usd": 2, **settings}
    config.write_text(yaml.safe_dump({"description": asked, "choose": {"max_frames": 7}}))
    before = workplace.files()
    done = workplace.call("analyze", videos, "--describe", "--dry-run", "--config", config)
    assert done.returncode == 0, done.stderr
    assert f"7 images at detail {settings['image_detail']} = {7 * each:,} tokens" in done.stdout
    assert f"images of all 2 videos: at most {2 * 7 * each:,} tokens" in done.stdout
    usd = re.search(r"cost of 2 videos: at most \$(\d+\.\d\d)", done.stdout)
    assert usd
    text = re.search(r"text ([\d,]+) tokens", done.stdout)
    assert text
    tokens = 7 * each + int(text[1].replace(",", ""))
    assert float(usd[1]) == pytest.approx(2 * (2.5 * tokens + 10 * 2000) / 1e6, abs=0.0051)
    assert "description.max_cost_usd: 2" in done.stdout
    assert open_server.paths == []
    assert workplace.files() == before


# --------------------------------------------------------------------- a run and its files


@dataclass
class Done:
    """A workplace after its first run with the description."""

    place: Any
    config: Path
    server: FakeChat
    out: str
    err: str
    asked: list[fake.Asked]

    def again(self) -> Any:
        return self.place.call(
            "analyze", "clips", "--describe", *FEW, "--config", self.config, OPENAI_API_KEY=KEY
        )

    @property
    def results(self) -> Path:
        return Path(self.place.data / "results" / "clips")

    @property
    def creator(self) -> Path:
        return Path(self.place.data / "analysis_results" / "clips")


@pytest.fixture(scope="module")
def done(
    new_workplace: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
    server: FakeChat,
) -> Done:
    place = new_workplace(tmp_path_factory.mktemp("described"))
    two_videos(place.root / "clips")
    config = place.root / "c.yml"
    asked = {
        "base_url": server.url,
        "creator_summary": True,
        "dimensions": [DESCRIPTION, OWN],
    }
    config.write_text(yaml.safe_dump({"description": asked}), encoding="utf-8")
    made = Done(place, config, server, "", "", [])
    ran = made.again()
    assert ran.returncode == 0, ran.stderr
    made.out, made.err, made.asked = ran.stdout, ran.stderr, list(server.asked)
    return made


def test_two_videos_and_their_creator_are_asked_about_once(done: Done) -> None:
    assert len(done.asked) == 3
    about = [str(asked.body) for asked in done.asked]
    assert sum("caption of video one" in body for body in about) == 2  # and in the creator's
    assert not any(asked.behaviour.status != 200 for asked in done.asked)


def test_tokens_and_cost_are_shown_while_it_runs_and_in_the_end(done: Done) -> None:
    videos = re.search(r"2/2 videos, .*, 2 requests, ([\d,]+) tokens, \$0\.\d{4}", done.err)
    assert videos, done.err
    spent = done.place.summary("clips")["stages"]["describe"]["spent"]
    assert spent["requests"] == 3
    usd = (2.5 * spent["input_tokens"] + 10 * spent["output_tokens"]) / 1e6
    assert spent["cost_usd"] == pytest.approx(usd, abs=1e-6)
    assert f"describe: 3 requests, {spent['input_tokens']:,} tokens read" in done.out
    assert f"{spent['output_tokens']:,} written, ${usd:.4f}" in done.out
    assert 0 < int(videos[1].replace(",", "")) < spent["input_tokens"] + spent["output_tokens"]


def test_a_dimension_of_ones_own_is_asked_and_stands_in_every_file(done: Done) -> None:
    first = done.asked[0].body
    schema = first["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["description", "hook_line"]
    assert OWN["instruction"] in json.dumps(first["messages"])
    said = "stand-in answer for hook_line"
    rows = cells(done.results)
    assert [row["description_hook_line"] for row in rows] == [said, said]
    assert [row["description"] for row in rows] == [
        "It has the caption of video one.",
        "It has the caption of video two.",
    ]
    full = json.loads((done.results / "video_features_results.json").read_text("utf-8"))
    assert [video["description_hook_line"] for video in full] == [said, said]
    table = pyarrow.parquet.read_table(done.results / "video_features_results.parquet")
    assert table["description_hook_line"].to_pylist() == [said, said]
    page = (done.creator / "report.md").read_text("utf-8")
    assert page.count("- Hook line: stand-in answer for hook\\_line") == 2
    assert said in (done.creator / "clips.csv").read_text("utf-8")
    words = (done.results / "data-dictionary.md").read_text("utf-8")
    assert "description_hook_line" in words
    assert OWN["instruction"] in words


def test_the_creator_is_summed_up(done: Done) -> None:
    made = json.loads((done.creator / "creator_description.json").read_text("utf-8"))
    assert made["videos"] == 2
    assert made["dimensions"]["overview"]["value"] == "stand-in answer for overview"
    assert made["usage"]["requests"] == 1
    assert "stand-in answer for overview" in (done.creator / "report.md").read_text("utf-8")


def test_what_was_sent_is_in_the_log_with_the_names_of_the_pictures(done: Done) -> None:
    log = (done.place.root / "logs" / "processing_logs.txt").read_text("utf-8")
    frames = sorted((done.place.data / "tiktok_frames").glob("*/*.jpg"))
    assert frames
    for text in ("caption of video one", OWN["instruction"], *{path.name for path in frames}):
        assert text in log
    assert log.count("asks a model") == 3
    assert "Traceback" not in log


def test_neither_key_nor_pictures_are_written_anywhere(done: Done) -> None:
    frames = list((done.place.data / "tiktok_frames").glob("*/*.jpg"))
    secrets = [KEY, KEY[3:], *(base64.b64encode(path.read_bytes()).decode() for path in frames)]
    parts = [secret[-200:].encode() for secret in secrets]
    pictures = [b"base64,", b";base64"]  # a report has small ones of its own in it
    for name, data in done.place.files().items():
        if Path(name).suffix not in (".jpg", ".mp4"):
            unwanted = parts if Path(name).name == "report.html" else parts + pictures
            assert not [part for part in unwanted if part in data], name
    assert KEY[3:] not in done.out + done.err


def test_a_second_run_asks_nothing_and_a_changed_video_is_asked_about_anew(done: Done) -> None:
    before = len(done.server.asked)
    assert done.again().returncode == 0
    assert len(done.server.asked) == before
    put_caption(done.place.root / "clips", "one", "a caption of video one rewritten")
    assert done.again().returncode == 0
    asked = [json.dumps(one.body["messages"]) for one in done.server.asked[before:]]
    assert len(asked) == 2, "the video, and the creator whose video says something else"
    assert all("one rewritten" in body for body in asked)
    assert "of video two" not in asked[0]
    assert "of video two" in asked[1]


# ------------------------------------------------------------------ refused, closed, spent


@pytest.mark.parametrize(
    ("behaviour", "key", "words"),
    [
        (fake.good(), "sk-another-0123456789", "does not accept the key"),
        (fake.forbidden(), KEY, "does not let this key use gpt-4o"),
        (fake.quota(), KEY, "nothing left to spend"),
        (fake.no_model(), KEY, "knows no model gpt-4o"),
    ],
    ids=["401", "403", "quota", "404"],
)
def test_a_service_that_lets_nobody_in_is_said_once_and_the_rest_goes_on(
    workplace: Any, videos: Path, behaviour: Behaviour, key: str, words: str
) -> None:
    with serve(FakeChat(key=KEY, default=behaviour)) as server:
        environ = {"REELSCOPE_DESCRIPTION__BASE_URL": server.url, "OPENAI_API_KEY": key}
        done = workplace.call("analyze", videos, "--describe", *FEW, **environ)
    assert done.returncode == 0, done.stderr
    assert 1 <= server.requests <= 2, "no more than were under way"
    log = (workplace.root / "logs" / "processing_logs.txt").read_text("utf-8")
    errors = [line for line in log.splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert words in errors[0]
    assert done.stdout.count(words) == 1
    assert "Traceback" not in log + done.stderr
    assert key[3:] not in log + done.stdout + done.stderr
    for record in workplace.records().values():
        left = record["stages"].pop("describe")
        assert left["status"] == "skipped"
        assert words in left["reason"]
        assert left["remedy"]
        assert {stage["status"] for stage in record["stages"].values()} == {"ok"}


def test_refusals_are_values_that_are_counted(
    workplace: Any, videos: Path, open_server: FakeChat
) -> None:
    open_server.default = fake.refusal("I will not describe this.")
    url = {"REELSCOPE_DESCRIPTION__BASE_URL": open_server.url}
    done = workplace.call("analyze", videos, "--describe", *FEW, **url)
    assert done.returncode == 0, done.stderr
    summary = workplace.summary("clips")
    assert summary["videos_refused"] == 2
    assert summary["stages"]["describe"]["ok"] == 2
    assert summary["stages"]["describe"]["spent"]["refusals"] == 2
    assert "2 videos that a model would not describe" in done.stdout
    assert "2 refused" in done.stderr
    rows = cells(workplace.data / "results" / "clips")
    assert ["I will not describe this." in row["description_refusal"] for row in rows] == [True] * 2
    assert [row["description"] for row in rows] == ["", ""]


def test_a_budget_that_is_too_small_asks_nothing(
    workplace: Any, videos: Path, open_server: FakeChat
) -> None:
    url = {"REELSCOPE_DESCRIPTION__BASE_URL": open_server.url}
    call = ("analyze", videos, "--describe", *FEW)
    done = workplace.call(*call, "--max-cost-usd", "0.001", **url)
    assert done.returncode == 0, done.stderr
    assert open_server.requests == 0
    for stage in described(workplace).values():
        assert stage["status"] == "skipped"
        assert stage["reason"].startswith("budget:")
    assert workplace.call(*call, "--max-cost-usd", "1", **url).returncode == 0
    assert open_server.answered == 2
