"""Fetching weights from a hub that answers, breaks off, lies, or is not there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelscope.engines.download import Downloader, answering
from reelscope.engines.registry import REGISTRY, HubFiles
from reelscope.engines.weights import MANIFEST_NAME, WeightStore
from reelscope.errors import DownloadFailed, EngineUnavailable
from reelscope.testing.hub import COMMIT, FakeHub, serve

NAME = "htdemucs"
FILES = {"htdemucs.yaml": b"models: ['955717e8']", "955717e8.safetensors": bytes(range(256)) * 900}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    source = REGISTRY[NAME].source
    assert isinstance(source, HubFiles)
    with serve(FakeHub({source.repo: {**FILES, "README.md": b"hello", "sub/x.yaml": b"no"}})) as it:
        yield it


def downloader(hub: FakeHub, root: Path) -> Downloader:
    return Downloader(WeightStore(root), hub.url, pause_s=0.01)


def here(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (root / NAME).iterdir() if p.name != MANIFEST_NAME}


def test_a_set_arrives_whole_with_its_manifest(hub: FakeHub, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    store = WeightStore(tmp_path)
    assert store.state(NAME) == "absent"
    downloader(hub, tmp_path).pull(NAME, lambda *now: heard.append(now))
    assert here(tmp_path) == FILES, "the files of the registry and nothing else"
    assert store.state(NAME) == "present"
    assert store.revision(NAME) == COMMIT[:12]
    assert store.damaged_files(NAME) == []
    assert store.locate(NAME) == tmp_path / NAME
    big = FILES["955717e8.safetensors"]
    assert ("955717e8.safetensors", len(big), len(big)) in heard
    asked = len(hub.asked)
    downloader(hub, tmp_path).pull(NAME)
    assert len(hub.asked) == asked, "what is here is not asked for again"


@pytest.mark.parametrize("ranges", [True, False])
def test_it_goes_on_where_it_broke_off(hub: FakeHub, tmp_path: Path, ranges: bool) -> None:
    hub.ranges = ranges
    hub.cut_after = [7, 10**6, 100_000]  # the small file breaks off once, then the large one
    downloader(hub, tmp_path).pull(NAME)
    assert here(tmp_path) == FILES
    wanted = [part for path, part in hub.asked if path.endswith("safetensors")]
    assert wanted == [None, "bytes=100000-"]


def test_a_killed_download_is_taken_up_by_the_next_call(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after = [20, 50_000, 0, 0, 0, 0]
    with pytest.raises(DownloadFailed, match="the connection broke"):
        downloader(hub, tmp_path).pull(NAME)
    store = WeightStore(tmp_path)
    assert store.state(NAME) == "incomplete"
    with pytest.raises(EngineUnavailable, match="not complete") as caught:
        store.locate(NAME)
    assert caught.value.remedy == "python main.py models pull htdemucs"
    hub.asked.clear()
    hub.cut_after = []
    downloader(hub, tmp_path).pull(NAME)
    assert here(tmp_path) == FILES
    assert ("bytes=50000-") in [part for _, part in hub.asked]


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_what_the_hub_promised_is_thrown_away(
    name: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.tampered = {name}
    with pytest.raises(DownloadFailed, match="it was thrown away"):
        downloader(hub, tmp_path).pull(NAME)
    assert name not in here(tmp_path)
    hub.tampered = set()
    downloader(hub, tmp_path).pull(NAME)
    assert here(tmp_path) == FILES


@pytest.mark.parametrize(
    ("status", "said"), [(401, "HF_TOKEN"), (404, "not there"), (500, "answered 500")]
)
def test_a_refusal_says_why(hub: FakeHub, tmp_path: Path, status: int, said: str) -> None:
    hub.status = {"955717e8.safetensors": status}
    with pytest.raises(DownloadFailed, match=said):
        downloader(hub, tmp_path).pull(NAME)


def test_a_repository_that_lacks_a_file_is_named(hub: FakeHub, tmp_path: Path) -> None:
    for files in hub.repos.values():
        del files["htdemucs.yaml"]
    with pytest.raises(DownloadFailed, match=r"adefossez/HTDemucs has no file htdemucs\.yaml"):
        downloader(hub, tmp_path).pull(NAME)


def test_force_repairs_what_is_damaged_and_keeps_the_rest(hub: FakeHub, tmp_path: Path) -> None:
    downloader(hub, tmp_path).pull(NAME)
    store, damaged = WeightStore(tmp_path), tmp_path / NAME / "955717e8.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert store.state(NAME) == "present", "a look at the sizes does not tell"
    assert store.damaged_files(NAME) == ["955717e8.safetensors"]
    hub.asked.clear()
    downloader(hub, tmp_path).pull(NAME, force=True)
    assert here(tmp_path) == FILES
    assert not any(path.endswith(".yaml") for path, _ in hub.asked)


def test_files_put_there_by_hand_count(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    (tmp_path / NAME).mkdir()
    for name, data in FILES.items():
        assert store.state(NAME) != "present"
        (tmp_path / NAME / name).write_bytes(data)
    assert (store.state(NAME), store.revision(NAME)) == ("present", "by hand")


def test_weights_inside_a_package_are_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    assert WeightStore(tmp_path).state("silero-vad") == "present"
    with pytest.raises(DownloadFailed, match="install"):
        downloader(hub, tmp_path).pull("silero-vad")


def test_a_server_that_is_not_there_fails_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        Downloader(WeightStore(tmp_path), nobody).pull(NAME)
    assert answering([nobody]) == set()
    assert time.monotonic() - began < 2


def test_a_server_that_is_silent_counts_as_absent_in_time(hub: FakeHub) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert answering([mute, hub.url], within_s=0.5) == {hub.url}
        assert time.monotonic() - began < 1.5
