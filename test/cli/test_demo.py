"""`python main.py demo`: everything at once, as the README promises it, and nobody else asked."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from reelscope.cli.demo import EXCERPT, MARK, REPOST, SAMPLE, demo
from reelscope.errors import UsageError
from reelscope.testing.weights import write_weights

SECRETS = {"OPENAI_API_KEY": "sk-of-the-user-12345", "TIKTOK_MS_TOKEN": "token-of-the-user-12345"}
ELSEWHERE = "http://203.0.113.7:9"
"""Documentation's own network (RFC 5737): nobody is there."""

CONFIG = f"""
description: {{enabled: true, base_url: "{ELSEWHERE}/v1"}}
openai: {{api_key: {SECRETS["OPENAI_API_KEY"]}}}
tiktok: {{ms_token: {SECRETS["TIKTOK_MS_TOKEN"]}}}
music: {{shazam: true, ask_shazam: always}}
models: {{hub: "{ELSEWHERE}"}}
"""
"""Of a user who has real servers, which the demo must leave alone."""

GUARD = """
import os, socket

def watched(name):
    before = getattr(socket.socket, name)
    def call(self, *arguments):
        address = arguments[-1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["ASKED"], "a") as file:
                print(name, address[0], file=file)
            raise OSError("this machine has no network")
        return before(self, *arguments)
    setattr(socket.socket, name, call)

for name in ("connect", "connect_ex", "sendto"):
    watched(name)

look_up = socket.getaddrinfo
def getaddrinfo(host, *arguments, **more):
    if host not in ("127.0.0.1", "::1", "localhost", None):
        with open(os.environ["ASKED"], "a") as file:
            print("getaddrinfo", host, file=file)
        raise socket.gaierror("this machine has no network")
    return look_up(host, *arguments, **more)
socket.getaddrinfo = getaddrinfo
"""
"""`sitecustomize.py` of a machine whose network refuses, and which keeps who was asked for."""


def environ_of(root: Path) -> dict[str, str]:
    """Of a user with keys, proxies and settings of their own, on a machine with the guard."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REELSCOPE_")}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), ELSEWHERE)
    own = {
        "REELSCOPE_DESCRIPTION__BASE_URL": f"{ELSEWHERE}/v1",
        "REELSCOPE_PATHS__DATA": str(root / "data"),
        "OPENAI_BASE_URL": f"{ELSEWHERE}/v1",
        "PYTHONPATH": str(root / "guard"),
        "ASKED": str(root / "asked.txt"),
        "COLUMNS": "200",
    }
    return {**clean, **SECRETS, **proxies, **own}


def call(root: Path, repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(repository / "main.py"), "demo", *arguments],
        cwd=root,
        env=environ_of(root),
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder."""
    for name, text in (
        ("config/config.yml", CONFIG),
        ("guard/sitecustomize.py", GUARD),
        ("data/creators.csv", "username\nsomebody\n"),
        ("data/library/catalogue.sqlite", "theirs"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_sample_is_what_stands_in_data(repository: Path) -> None:
    data = repository / "data"
    with (data / "creators.csv").open(encoding="utf-8", newline="") as file:
        assert sorted(row["username"] for row in csv.DictReader(file)) == sorted(SAMPLE)
    for creator, videos in SAMPLE.items():
        found = sorted(path.stem for path in (data / "tiktok_videos" / creator).glob("*.mp4"))
        assert found == list(videos)


@pytest.mark.parametrize("taken", ["data", "data/creators.csv"])
def test_what_is_not_the_demos_is_not_written_to(
    home: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    before = sorted(home.rglob("*"))
    monkeypatch.chdir(home)
    with pytest.raises(UsageError, match=f"--into: {taken} is not the demo's"):
        demo(Path(taken), neural=False)
    assert sorted(home.rglob("*")) == before


def test_an_installed_package_without_the_sample_says_what_to_do(
    tmp_path: Path, repository: Path
) -> None:
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "reelscope").symlink_to(repository / "src" / "reelscope")
    cwd = tmp_path / "empty"
    cwd.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "from reelscope.cli.app import main; main()", "demo"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "git clone" in done.stderr
    assert "analyze PATH" in done.stderr
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize(
    "attempt",
    ["urllib.request.urlopen('http://example.org')", "socket.socket().connect(('203.0.113.7', 9))"],
)
def test_the_guard_notices(home: Path, attempt: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import socket, urllib.request; {attempt}"],
        env=environ_of(home),
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert "203.0.113.7" in (home / "asked.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_everything_at_once_and_nobody_asked(home: Path, repository: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    cpu_s = children_cpu_s()
    done = call(home, repository)
    assert done.returncode == 0, done.stderr + done.stdout
    assert children_cpu_s() - cpu_s < 120, "under two minutes, even on one core"
    report = home / done.stdout.splitlines()[-1].removeprefix("Report: ")
    assert report.is_file()
    assert "stand-in" in report.read_text(encoding="utf-8")
    assert "6/6 videos" in done.stderr, "how far it is"

    assert not (home / "asked.txt").exists(), (home / "asked.txt").read_text(encoding="utf-8")
    assert {path: path.read_bytes() for path in before} == before, "what is the user's is as it was"
    folder = home / "data" / "demo"
    made = [path for path in home.rglob("*") if path.is_file() and path not in before]
    assert all(path.is_relative_to(folder) for path in made)
    for path in made:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in SECRETS.values()), path
        assert b"203.0.113.7" not in content, path

    check_tables(folder)
    check_shown(home, done.stdout)

    cpu_s = children_cpu_s()
    again = call(home, repository)
    assert again.returncode == 0, again.stderr
    assert "from an earlier run, so nothing was analysed again" in again.stdout
    assert "answered 0 requests" in again.stdout
    assert children_cpu_s() - cpu_s < 30
    check_request(folder, repository)

    write_weights(home / "models", ["clip-ViT-B-32"])
    neural = call(home, repository, "--neural")
    assert neural.returncode == 0, neural.stderr
    assert {row["status_embed"] for row in rows_of(folder)} == {"ok"}
    assert not (home / "asked.txt").exists(), (home / "asked.txt").read_text(encoding="utf-8")


def rows_of(folder: Path) -> list[dict[str, str]]:
    table = folder / "results" / "demo" / "video_features_results.csv"
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_tables(folder: Path) -> None:
    """Descriptions, groups and the table; every text of the model says what it is."""
    assert (folder / MARK).is_file()
    rows = rows_of(folder)
    assert [(row["creator"], row["video_id"]) for row in rows] == [
        (creator, video) for creator, videos in sorted(SAMPLE.items()) for video in videos
    ]
    for row in rows:
        assert row["description"] == "stand-in answer for description"
        assert int(row["description_evidence_found"]) == int(row["description_evidence"]) > 0
        assert float(row["description_confidence"]) == 0, "it is sure of nothing"
        assert row["description_brand_safety"] == row["description_target_demographics_age"] == ""
        assert row["description_sponsorship_verdict"] == "none"
        reposted = (row["creator"], row["video_id"]) == REPOST.of
        assert row["sound_group_videos"] == ("2" if reposted else "1" if row["sound_group"] else "")
    assert len(list((folder / "analysis_results").glob("*/creator_description.json"))) == 3


def check_shown(home: Path, shown: str) -> None:
    """The clip is recognised; every path in the guide is there."""
    assert f"of {EXCERPT.of[0]}/{EXCERPT.of[1]}, played 3 % slower" in shown
    assert f"{REPOST.of[0]}/{REPOST.of[1]} shares its sound with 1 other" in shown
    assert "answered 9 requests" in shown, "6 videos and 3 creators"
    guide = shown.partition("Next, open\n")[2]
    paths = [word for word in guide.split() if word.startswith("data/demo/")]
    assert len(paths) == 6
    for path in paths:
        assert (home / path).is_file(), path


def check_request(folder: Path, repository: Path) -> None:
    """scripts/show_request.py shows what was sent."""
    video = folder / "analysis_results" / REPOST.of[0] / REPOST.of[1]
    shown = subprocess.run(
        [sys.executable, str(repository / "scripts" / "show_request.py"), str(video)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    saved = json.loads((video / "description_requests.json").read_bytes())
    for message in saved["turns"][0]["request"]["messages"]:
        for part in message["parts"]:
            assert part.get("text", part.get("image")) in shown
    assert "base64" not in shown
