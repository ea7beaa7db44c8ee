"""What doctor, --dry-run and a run say on machines that lack a package, or have everything.

A machine without a package is made of links to all that is installed here but that one:
nothing of our code, and nothing of Python's imports, is patched.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from reelscope.testing import media
from reelscope.testing.weights import write_weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NEURAL = 'pip install "reelscope[neural]"'
EVERY = (
    "faster-whisper-tiny", "openai-whisper-tiny", "htdemucs", "ast-audioset", "yolo-world-s",
    "clip-ViT-B-32", "blip-base",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A package that is away, the weights that are here, and what then cannot be done."""

    package: str
    weights: tuple[str, ...]
    stages: tuple[str, ...]
    remedy: str = NEURAL
    whisper: str = "auto"
    said: str = ""
    still: tuple[str, ...] = field(default=())

    @property
    def reason(self) -> str:
        return self.said or f"the package {self.package} is not installed"


CASES = [
    Case("demucs", ("htdemucs",), ("separate",)),
    Case("transformers", ("ast-audioset", "blip-base"), ("sounds", "caption")),
    Case("open-clip-torch", ("clip-ViT-B-32", "yolo-world-s"), ("embed", "detect")),
    Case(
        "ultralytics",
        ("clip-ViT-B-32", "yolo-world-s"),
        ("detect",),
        'pip install "reelscope[yolo]" or models.detector.engine: owlv2',
        still=("embed",),
    ),
    Case(
        "torch",
        ("htdemucs", "ast-audioset", "clip-ViT-B-32", "blip-base", "faster-whisper-tiny"),
        ("separate", "sounds", "embed", "caption"),
        said="does not import",
        still=("transcribe",),  # CTranslate2 does without
    ),
    Case(
        "torch", ("openai-whisper-tiny",), ("transcribe",),
        whisper="openai-whisper", said="the package openai-whisper does not import",
    ),
    Case("faster-whisper", ("faster-whisper-tiny",), ("transcribe",), whisper="faster-whisper"),
    Case("openai-whisper", ("openai-whisper-tiny",), ("transcribe",), whisper="openai-whisper"),
    Case(
        "pocketsphinx", (), ("transcribe",),
        "pip install -r requirements.txt", whisper="pocketsphinx", still=("speech_rate",),
    ),
]  # fmt: skip


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    write_weights(root, EVERY)
    return root


class Machine:
    """Calls main.py where a package is not installed, with some of the weights."""

    def __init__(self, workplace: Any, weights: Path, case: Case) -> None:
        self.workplace, self.source = workplace, workplace.main.parent / "src"
        self.site = workplace.root / "site"
        hide(case.package, self.site)
        models = workplace.root / "models"
        models.mkdir()
        for name in case.weights:
            (models / name).symlink_to(weights / name)
        self.settings = {
            "PYTHONPATH": f"{self.site}:{self.source}",
            "COLUMNS": "400",
            "REELSCOPE_MODELS__DEVICE": "cpu",
            "REELSCOPE_MODELS__WHISPER__ENGINE": case.whisper,
            "REELSCOPE_MODELS__WHISPER__SIZE": "tiny",
        }

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Without `site`, Python knows of no packages but those of PYTHONPATH."""
        return subprocess.run(
            [sys.executable, "-S", str(self.workplace.main), *arguments],
            cwd=self.workplace.root,
            env=self.workplace.environ(self.settings),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def hide(package: str, site: Path) -> None:
    """A folder of links to every installed module and package but those of one."""
    distribution = metadata.distribution(package)
    own = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    assert len(own) >= 2  # the modules and the note that they are installed
    site.mkdir()
    for path in Path(str(distribution.locate_file(""))).iterdir():
        if path.name not in own:
            (site / path.name).symlink_to(path)


def rows(text: str) -> dict[str, str]:
    """First word of a line of a table -> the line with single spaces."""
    return {words[0]: " ".join(words) for line in text.splitlines() if (words := line.split())}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.package}-{c.stages[-1]}")
def test_a_package_that_is_not_here(case: Case, workplace: Any, tiny_weights: Path) -> None:
    machine = Machine(workplace, tiny_weights, case)

    planned = machine.call("--dry-run")
    assert planned.returncode == 0, planned.stderr
    verdicts = rows(planned.stdout)
    for stage in case.stages:
        assert f"{stage} be skipped" in verdicts[stage]
        assert case.reason in verdicts[stage]
        assert f"-> {case.remedy}" in verdicts[stage]
    for stage in case.still:
        assert verdicts[stage].startswith(f"{stage} run "), verdicts[stage]

    checked = machine.call("doctor")
    lines = [" ".join(line.split()) for line in checked.stdout.splitlines()]
    assert any(f"package {case.package} not installed" in line for line in lines), checked.stderr
    for stage in case.stages:
        (line,) = (line for line in lines if f"engine of {stage} " in line)
        assert case.reason in line
        assert line.endswith(case.remedy)

    video = workplace.root / "short.mp4"
    media.write_video(
        video, [media.Scene(1.5)], size=(96, 160), sound=media.speech_like(1.5, rate_hz=16000)[0]
    )
    done = machine.call(
        "analyze", str(video), "--only", ",".join(("probe", *case.stages, *case.still))
    )
    assert done.returncode == 0, done.stderr
    summary = workplace.summary("short")
    for stage in case.stages:
        (remedy,) = (group for group in summary["remedies"] if group["stage"] == stage)
        assert case.remedy in remedy["remedy"]
        assert case.reason in remedy["message"]
    assert summary["stages"]["probe"]["ok"] == 1
    assert all(stage["failed"] == 0 for stage in summary["stages"].values())
    for stage in case.still:
        assert summary["stages"][stage]["ok"] == 1, summary

    for call in (planned, checked, done):
        assert "Traceback" not in call.stdout + call.stderr


def test_auto_hears_with_what_is_here(workplace: Any, tiny_weights: Path) -> None:
    weights = ("faster-whisper-tiny", "openai-whisper-tiny")
    machine = Machine(workplace, tiny_weights, Case("faster-whisper", weights, ()))
    assert "transcribe run openai-whisper" in rows(machine.call("--dry-run").stdout)["transcribe"]


def test_everything_is_here(workplace: Any, tiny_weights: Path) -> None:
    here = {
        "REELSCOPE_PATHS__MODELS": str(tiny_weights),
        "REELSCOPE_MODELS__WHISPER__SIZE": "tiny",
        "REELSCOPE_MODELS__DEVICE": "cpu",
        "OPENAI_API_KEY": "sk-of-nobody",
        "COLUMNS": "400",
    }
    planned = workplace.call("--dry-run", **here)
    verdicts = rows(planned.stdout)
    neural = ("separate", "sounds", "transcribe", "detect", "embed", "caption")
    for stage in neural:
        assert verdicts[stage].startswith(f"{stage} run "), planned.stderr
        assert "first fetches" not in verdicts[stage]
    checked = workplace.call("doctor", **here)
    assert "engine of" not in checked.stdout
    listed = workplace.call("models", "list", **here)
    for line in listed.stdout.splitlines():
        if any(f" {name} " in line for name in EVERY):
            assert " yes " in line, line
    assert "Traceback" not in planned.stderr + checked.stderr + listed.stderr
