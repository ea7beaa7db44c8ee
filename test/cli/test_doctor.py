"""doctor: what is here, what is missing, and what would help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelscope.cli.doctor import Check, checks


def found(config: Path | None = None) -> dict[str, Check]:
    return {check.what: check for check in checks(config)}


def test_this_machine_has_what_is_needed() -> None:
    report = found()
    missing = {what: check.found for what, check in report.items() if check.state == "missing"}
    assert missing == {}
    assert "av 1" in report["packages"].found
    assert "h264" in report["decoders"].found
    assert "silero-vad" in report["engines and weights"].found
    listening = report["engine of transcribe"]
    assert listening.state == "optional"
    assert "pocketsphinx" in listening.found
    assert listening.remedy.startswith("python main.py models pull faster-whisper-small")
    assert "GB free" in report["disk"].found


def test_tokens_are_told_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found()["OpenAI key"].state == "optional"
    assert "OPENAI_API_KEY" in found()["OpenAI key"].remedy
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert found()["OpenAI key"].state == "ok"
    assert not any("secret" in check.found for check in found().values())


def test_what_is_wrong_comes_with_a_remedy(tmp_path: Path) -> None:
    config = tmp_path / "c.yml"
    config.write_text("media: {sample_fsp: 1}\n")
    check = found(config)["config"]
    assert check.state == "missing"
    assert "sample_fps" in check.found


def test_the_command_prints_it(workplace: Any) -> None:
    done = workplace.call("doctor")
    assert done.returncode == 0, done.stdout
    assert "everything that is needed is here" in done.stdout
