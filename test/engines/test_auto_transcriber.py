"""`engine: auto`: what is here works, in the order of preference."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelscope.engines.auto_transcriber import AutoTranscriber
from reelscope.engines.faster_whisper import FasterWhisper
from reelscope.engines.openai_whisper import OpenAiWhisper
from reelscope.engines.pocketsphinx import PocketSphinxTranscriber
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import REGISTRY, UrlFile
from reelscope.engines.weights import WeightStore, wanted_files
from reelscope.errors import EngineUnavailable


def auto(root: Path, *, language: str | None = None) -> AutoTranscriber:
    store, pool = WeightStore(root), ModelPool()
    engines = (
        FasterWhisper("tiny", store, pool),
        OpenAiWhisper("tiny", store, pool),
        PocketSphinxTranscriber(),
    )
    return AutoTranscriber(store, engines, language=language)


def put(root: Path, name: str) -> None:
    """Files of the right names; nobody reads them here."""
    (root / name).mkdir()
    source = REGISTRY[name].source
    files = [source.name] if isinstance(source, UrlFile) else wanted_files(REGISTRY[name])
    for file in files:
        (root / name / file.replace("*", "json")).write_text("x")


def test_without_weights_pocketsphinx_is_the_last_resort(tmp_path: Path) -> None:
    chosen = auto(tmp_path)
    assert isinstance(chosen.chosen, PocketSphinxTranscriber)
    assert chosen.accuracy == "low"
    assert chosen.weights == ("faster-whisper-tiny", "pocketsphinx-en-us")
    chosen.open()
    assert chosen.transcribe([]) == []
    chosen.close()


def test_weights_decide(tmp_path: Path) -> None:
    engines = auto(tmp_path)
    put(tmp_path, "openai-whisper-tiny")
    assert engines.engine.startswith("openai-whisper")
    assert engines.weights == ("openai-whisper-tiny",)
    put(tmp_path, "faster-whisper-tiny")
    assert engines.engine.startswith("faster-whisper")
    assert engines.accuracy == "normal"


def test_a_language_that_the_last_resort_does_not_know(tmp_path: Path) -> None:
    german = auto(tmp_path, language="de")
    assert german.engine.startswith("faster-whisper")
    assert "de" in german.languages
    with pytest.raises(EngineUnavailable, match="models pull faster-whisper-tiny"):
        german.open()


def test_the_one_that_was_opened_stays_until_it_is_closed(
    whisper_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "openai-whisper-tiny").symlink_to(whisper_weights / "openai-whisper-tiny")
    engines = auto(tmp_path)
    engines.open()
    put(tmp_path, "faster-whisper-tiny")
    assert engines.engine.startswith("openai-whisper")
    engines.close()
    assert engines.engine.startswith("faster-whisper")
    engines.close()
