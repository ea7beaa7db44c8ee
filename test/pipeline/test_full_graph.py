"""The whole graph with every stage Ok: tiny weights in the vendors' formats, real loaders.

What the values look like (keys, types, signs) is held in golden/full_graph.json; after a
wanted change: REELSCOPE_GOLDEN=write pytest test/pipeline/test_full_graph.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reelscope
from reelscope.pipeline.checkpoint import read_record, record_json
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.provision import wanted_by
from reelscope.records import STAGE_VALUES, Frozen, VideoRecord
from reelscope.settings import Settings
from reelscope.testing import media
from reelscope.testing.chat import FakeChat, serve
from reelscope.testing.weights import write_weights

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden" / "full_graph.json"
CHOICES: list[dict[str, Any]] = [
    {"whisper": {"engine": "faster-whisper", "size": "tiny"}},
    {"whisper": {"engine": "openai-whisper", "size": "tiny"}, "detector": {"engine": "owlv2"}},
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for choice in CHOICES:
        settings = Settings.model_validate({"models": choice})
        write_weights(root, wanted_by(build_graph(settings)))
    return root


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two videos in which somebody speaks over music, and something is written."""
    paths = []
    for seed in range(2):
        folder = tmp_path_factory.mktemp("ana")
        speech, _ = media.speech_like(6.0, rate_hz=44100, seed=seed)
        music = media.music_like(6.0, rate_hz=44100, seed=seed)
        scenes = [
            media.Scene(3.0, colour=(200, 40 * seed, 40), text="SALE 50%"),
            media.Scene(3.0, colour=(30, 160, 200)),
        ]
        paths.append(folder / f"v{seed}.mp4")
        sound = media.mix(speech, 0.4 * music)
        media.write_video(paths[-1], scenes, size=(180, 320), sound=sound)
    return paths


@pytest.fixture(scope="session")
def chat() -> Iterator[FakeChat]:
    """What answers for stage `describe`."""
    with serve(FakeChat()) as server:
        yield server


def analyse(
    videos: list[Path], models: Path, chat: FakeChat, data: Path, choice: dict[str, Any]
) -> list[VideoRecord]:
    settings = Settings.model_validate(
        {
            "paths": {"data": data, "models": models, "logs": data / "logs"},
            "models": {**choice, "offline": True, "device": "cpu"},
            "description": {"enabled": True, "base_url": chat.url},
        }
    )
    return list(reelscope.analyze(videos, settings=settings, batch_id="full"))


@pytest.mark.parametrize("choice", CHOICES, ids=["defaults", "alternatives"])
def test_every_stage_is_ok_on_every_video(
    choice: dict[str, Any], videos: list[Path], models: Path, chat: FakeChat, tmp_path: Path
) -> None:
    records = analyse(videos, models, chat, tmp_path, choice)
    assert len(records) == len(videos)
    for record in records:
        bad = {
            name: stage.reason or stage.message
            for name, stage in record.stages.items()
            if stage.status != "ok"
        }
        assert bad == {}
        assert record.stages.keys() == STAGE_VALUES.keys()
        assert all(stage.device == "cpu" for stage in record.stages.values())
    if choice is CHOICES[0]:
        hold_to_golden(records)
        hold_bytes(tmp_path)
        hold_embeddings(records[0], tmp_path)


def hold_to_golden(records: list[VideoRecord]) -> None:
    shapes: dict[str, set[str]] = {}
    for record in records:
        for name, stage in record.stages.items():
            assert isinstance(stage.value, Frozen)
            shapes.setdefault(name, set()).update(shape_of(stage.value.model_dump(mode="json")))
    found = {name: sorted(lines) for name, lines in sorted(shapes.items())}
    if os.environ.get("REELSCOPE_GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(GOLDEN.read_text())


def shape_of(value: Any, path: str = "") -> Iterator[str]:
    """Every place in a value with the type, and for numbers the sign, of what stands there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from shape_of(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from shape_of(inner, f"{path}[]")
    elif isinstance(value, bool | str) or value is None:
        yield f"{path}: {type(value).__name__}"
    else:
        yield f"{path}: {type(value).__name__} {'< 0' if value < 0 else '>= 0'}"


def hold_bytes(data: Path) -> None:
    """What is read back and written again is the same file."""
    for path in (data / "analysis_results").glob("*/*/record.json"):
        record = read_record(path)
        assert record is not None
        assert record_json(record) == path.read_text(encoding="utf-8")


def hold_embeddings(record: VideoRecord, data: Path) -> None:
    folder = data / "analysis_results" / record.source.creator / record.source.video_id
    with np.load(folder / "embeddings.npz", allow_pickle=False) as saved:
        vectors = saved["embeddings"].astype(np.float32)
        assert saved["embeddings"].dtype == np.float16
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    for name in ("speech_transcription.txt", "subtitles.srt", "subtitles.vtt", "vocals.flac"):
        assert (folder / name).stat().st_size > 0, name


def test_a_second_run_makes_nothing_again(
    videos: list[Path], models: Path, chat: FakeChat, tmp_path: Path
) -> None:
    analyse(videos, models, chat, tmp_path, CHOICES[0])
    before = {p: p.read_bytes() for p in (tmp_path / "analysis_results").rglob("*.*")}
    analyse(videos, models, chat, tmp_path, CHOICES[0])
    summary = json.loads((tmp_path / "results" / "full" / "summary.json").read_text())
    assert summary["videos_from_earlier_run"] == len(videos)
    assert {p: p.read_bytes() for p in (tmp_path / "analysis_results").rglob("*.*")} == before


def test_a_corrupt_file_is_named_and_the_run_goes_on(
    videos: list[Path], models: Path, chat: FakeChat, tmp_path: Path
) -> None:
    import shutil

    broken = tmp_path / "models"
    shutil.copytree(models, broken)
    for path in broken.glob("*/*"):
        if path.suffix in {".safetensors", ".pt", ".bin"} and path.stat().st_size > 10_000:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (record,) = analyse(videos[:1], broken, chat, tmp_path / "data", CHOICES[0])
    for stage in ("separate", "transcribe", "sounds", "detect", "embed", "caption"):
        entry = record.stages[stage]
        assert entry.status == "skipped", stage
        assert entry.remedy is not None, stage
        assert entry.remedy.startswith("python main.py models pull "), stage
        assert entry.remedy.endswith(" --force"), stage
        assert str(broken) in (entry.reason or ""), stage
    assert record.stages["choose"].status == "ok"
    assert record.stages["speech_rate"].status == "ok"
