"""models list, pull, verify; and a run on a machine without weights."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reelscope.engines.registry import REGISTRY, HubFiles
from reelscope.testing.hub import COMMIT, FakeHub, serve

DEMUCS = {"htdemucs.yaml": b"models: []", "955717e8.safetensors": bytes(range(256)) * 99}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    source = REGISTRY["htdemucs"].source
    assert isinstance(source, HubFiles)
    with serve(FakeHub({source.repo: dict(DEMUCS)})) as running:
        yield running


def online(hub: FakeHub) -> dict[str, str]:
    return {"REELSCOPE_MODELS__OFFLINE": "false", "REELSCOPE_MODELS__HUB": hub.url}


def line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if f" {name} " in f" {line} ")


@pytest.mark.slow
def test_list_pull_verify(workplace: Any, hub: FakeHub) -> None:
    listed = workplace.call("models", "list")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in REGISTRY)
    assert line(listed.stdout, "htdemucs").split()[2:6] == ["main", "84", "MIT", "no"]
    assert "AGPL-3.0" in line(listed.stdout, "yolo-world-s")
    assert "in package" in line(listed.stdout, "silero-vad")
    assert line(listed.stdout, "htdemucs").split()[-1] == "separate"

    hub.cut_after = [10**6, 5000]
    pulled = workplace.call("models", "pull", "htdemucs", **online(hub))
    assert pulled.returncode == 0, pulled.stderr
    assert "1 of 1 sets" in pulled.stdout
    assert (workplace.root / "models/htdemucs/955717e8.safetensors").stat().st_size == 99 * 256
    listed = workplace.call("models", "list")
    assert line(listed.stdout, "htdemucs").split()[2:6] == [COMMIT[:12], "84", "MIT", "yes"]

    assert workplace.call("models", "verify").returncode == 0
    (workplace.root / "models/htdemucs/htdemucs.yaml").write_bytes(b"models: ()")
    verified = workplace.call("models", "verify")
    assert verified.returncode == 1
    assert "models pull htdemucs --force" in line(verified.stdout, "htdemucs:")
    repaired = workplace.call("models", "pull", "htdemucs", "--force", **online(hub))
    assert repaired.returncode == 0, repaired.stderr
    assert workplace.call("models", "verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("htdemuks",), "no weights are called 'htdemuks'"),
        (("silero-vad",), "inside the package silero-vad"),
    ],
)
def test_what_cannot_be_pulled_is_refused(
    arguments: tuple[str, ...], said: str, workplace: Any, hub: FakeHub
) -> None:
    done = workplace.call("models", "pull", *arguments, **online(hub))
    assert done.returncode == 2
    assert said in done.stderr


def test_pull_says_which_did_not_come(workplace: Any, hub: FakeHub) -> None:
    done = workplace.call("models", "pull", "htdemucs", "blip-base", **online(hub))
    assert done.returncode == 1
    assert "blip-base did not come" in done.stderr
    assert "not there" in done.stderr
    assert "1 of 2 sets" in done.stdout


def test_offline_pulls_nothing(workplace: Any) -> None:
    done = workplace.call("models", "pull", "htdemucs")
    assert done.returncode == 2
    assert "models.offline" in done.stderr


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_told_once_and_in_time(workplace: Any) -> None:
    began = time.monotonic()
    done = workplace.call(
        "--only", "separate,sounds,detect,embed,caption",
        REELSCOPE_MODELS__OFFLINE="false", REELSCOPE_MODELS__HUB="http://127.0.0.1:1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    assert done.stderr.count("http://127.0.0.1:1 does not answer") == 1
    remedies = {group["stage"]: group for group in workplace.summary()["remedies"]}
    for stage, weights in {"separate": "htdemucs", "caption": "blip-base"}.items():
        assert remedies[stage]["remedy"] == f"python main.py models pull {weights}"
        assert remedies[stage]["count"] == workplace.summary()["stages"][stage]["skipped"] - (
            stage == "separate"  # the video without sound has nothing to separate
        )


@pytest.mark.slow
def test_a_hub_that_is_silent_holds_a_run_up_for_five_seconds_at_most(workplace: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quick = ["--only", "probe,separate,embed", "--limit-per-creator", "1"]
        began = time.monotonic()
        assert workplace.call(*quick).returncode == 0
        offline_s = time.monotonic() - began
        online = {"REELSCOPE_MODELS__OFFLINE": "false", "REELSCOPE_MODELS__HUB": mute}
        began = time.monotonic()
        done = workplace.call("--batch-id", "again", *quick, **online)
        assert done.returncode == 0
        assert done.stderr.count("does not answer") == 1
        assert time.monotonic() - began < 2 * offline_s + 6


@pytest.mark.slow
def test_a_run_fetches_what_it_lacks(workplace: Any, hub: FakeHub) -> None:
    done = workplace.call("--only", "separate", **online(hub))
    assert "fetching the weights htdemucs" in done.stderr
    verified = workplace.call("models", "verify")
    assert "htdemucs: as fetched" in verified.stdout
    # these bytes are no model, and the record says what to do about it
    (remedy,) = workplace.summary()["remedies"]
    assert remedy["remedy"] == "python main.py models pull htdemucs --force"
    assert "models/htdemucs" in remedy["message"]


@pytest.mark.slow
def test_dry_run_says_what_would_be_fetched(workplace: Any, hub: FakeHub) -> None:
    done = workplace.call("--dry-run", **online(hub))
    assert "first fetches htdemucs (84 MB)" in line(done.stdout, "separate")
    assert "fetch what is better: faster-whisper-small (484 MB)" in line(done.stdout, "transcribe")
    done = workplace.call("--dry-run")
    assert "be skipped" in line(done.stdout, "separate")
    assert "better" not in line(done.stdout, "transcribe")
    assert "models pull htdemucs" in line(done.stdout, "separate")
    assert not hub.asked
