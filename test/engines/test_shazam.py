"""Shazam: the real shazamio in a real process against a fake service; and processes that die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.engines import shazam as adapter
from reelscope.engines.shazam import Shazam, read_answer, wav
from reelscope.testing import shazam as fake
from reelscope.testing.shazam import FakeShazam, Reply, a_match, no_match, serve, throttled
from reelscope.testing.sounds import music_like

RATE_HZ = 16_000
Make = Callable[..., Shazam]
SHORT = {"start_s": 0.5, "grace_s": 0.2}


def sound(seconds: float = 12.0, seed: int = 0) -> Any:
    return music_like(seconds, rate_hz=RATE_HZ, seed=seed)


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.fixture
def service() -> Iterator[FakeShazam]:
    with serve(FakeShazam()) as server:
        yield server


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Shazam] = []

    def one(service: FakeShazam | None = None, clock: Clock | None = None, **more: Any) -> Shazam:
        clock = clock or Clock()
        url = service.url if service else None
        made.append(Shazam(url=url, clock=clock, sleep=clock.sleep, **more))
        return made[-1]

    yield one
    for shazam in made:
        shazam.close()


# ------------------------------------------------------------------------- real shazamio


@pytest.mark.slow
def test_every_outcome_through_the_real_package(service: FakeShazam, make: Make) -> None:
    """One process, one after the other, so that it is imported once."""
    shazam = make(service, timeout_s=1.0, requests_per_minute=600)
    service.replies = [
        a_match(),
        no_match(),
        throttled("7"),
        fake.a_page(),
        Reply(503, "busy", "text/plain"),
        Reply(302, "", "text/plain"),
        Reply(dropped=True),
        Reply(after_s=2.0),
        Reply(body="{not json"),
        Reply(body='{"matches": "' + "x" * 2_000_000 + '"}'),
    ]
    found = shazam.recognise(sound(), RATE_HZ)
    assert found.placed is not None
    track = found.placed.track
    assert (track.title, track.artist, track.album) == ("First Light", "The Made Up", "First")
    assert (track.label, track.isrc, track.shazam_id) == ("Own", "USABC1234567", "549952578")
    assert track.links == {
        "shazam": "https://www.shazam.com/track/549952578/first-light",
        "apple_music": "https://music.apple.com/gb/album/first/1?i=2",
    }
    assert found.placed.track_offset_s == 33.8268125
    assert found.placed.time_skew == -0.00022029877
    expected = ["no_match", "rate_limited", *["unreachable"] * 7]
    missed = [shazam.recognise(sound(), RATE_HZ) for _ in expected]
    assert [heard.missed for heard in missed] == expected
    assert [heard.requests for heard in missed] == [1] * len(expected)
    assert missed[3].message == "Shazam answers 503"
    assert "too long" in (missed[6].message or "")
    # What left the machine: a signature, and no sound.
    assert len(service.asked) == 10
    assert service.asked[0]["signature"]["uri"].startswith("data:audio/vnd.shazam.sig;base64,")
    assert service.asked[0]["signature"]["samplems"] == pytest.approx(12_000, abs=100)
    assert len(json.dumps(service.asked[0])) < 60_000
    assert service.asked[0]["signature"] == service.asked[1]["signature"]
    assert service.paths[0].startswith("/discovery/v5/")


@pytest.mark.slow
def test_a_proxy_is_used_and_its_password_is_in_no_message(make: Make) -> None:
    with serve(FakeShazam()) as proxy:
        address = proxy.url.replace("http://", "http://user:hush@")
        shazam = make(FakeShazam(url="http://shazam.invalid"), proxy=address)
        assert shazam.recognise(sound(4.0), RATE_HZ).missed == "no_match"
        assert proxy.paths[0].startswith("http://shazam.invalid/discovery/v5/")
    bad = make(FakeShazam(url="http://shazam.invalid"), proxy="http://user:hush@:x")
    heard = bad.recognise(sound(4.0), RATE_HZ)
    assert heard.missed == "unreachable"
    assert "hush" not in (heard.message or "")


def test_what_is_no_sound_breaks_nothing(service: FakeShazam, make: Make) -> None:
    shazam = make(service)
    for samples in (np.zeros(0, np.float32), np.zeros(10, np.float32)):
        assert shazam.recognise(samples, RATE_HZ).missed in ("broken", "no_match")
    assert shazam.recognise(sound(4.0), RATE_HZ).missed == "no_match"


# -------------------------------------------------------------------------------- pace


def test_requests_are_a_minute_over_five_apart(make: Make) -> None:
    clock = Clock()
    shazam = make(clock=clock, command=child("print(json.dumps({'status': 200, 'body': BODY}))"))
    for _ in range(4):
        assert shazam.recognise(sound(1.0), RATE_HZ).missed == "no_match"
    assert clock.slept == [12.0, 12.0, 12.0]


@pytest.mark.parametrize(("said", "pause_s"), [("30", 30.0), (None, adapter.THROTTLED_S)])
def test_retry_after_holds_whoever_comes_next(said: str | None, pause_s: float, make: Make) -> None:
    clock = Clock()
    answer = {"status": 429, "retry_after": said, "body": ""}
    shazam = make(clock=clock, command=child(f"print(json.dumps({answer!r}))"))
    assert shazam.recognise(sound(1.0), RATE_HZ).missed == "rate_limited"
    assert shazam.recognise(sound(1.0), RATE_HZ).missed == "rate_limited"
    assert clock.slept == [pause_s]


def test_a_pause_that_is_too_long_is_not_waited_for_and_nobody_is_asked(make: Make) -> None:
    clock = Clock()
    answer = {"status": 429, "retry_after": "3600", "body": ""}
    shazam = make(clock=clock, command=child(f"print(json.dumps({answer!r}))"))
    assert shazam.recognise(sound(1.0), RATE_HZ).requests == 1
    heard = shazam.recognise(sound(1.0), RATE_HZ)
    assert (heard.missed, heard.requests, clock.slept) == ("rate_limited", 0, [])


# ---------------------------------------------------------------------- children that die


def child(act: str, before: str = "") -> tuple[str, ...]:
    """A process that reads requests as the real one does, and then does this."""
    script = f"""
import json, os, signal, sys, time
BODY = '{{"matches": []}}'
{before}
while line := sys.stdin.buffer.readline():
    sys.stdin.buffer.read(json.loads(line)["bytes"])
    {act}
    sys.stdout.flush()
"""
    return (sys.executable, "-c", script)


def test_a_crash_takes_nothing_along_and_the_next_process_answers(
    make: Make, tmp_path: Path
) -> None:
    crashed = tmp_path / "crashed"
    act = (
        f"p = {str(crashed)!r}; "
        "os.path.exists(p) or (open(p, 'w').close(), os.kill(os.getpid(), signal.SIGSEGV)); "
        "print(json.dumps({'status': 200, 'body': BODY}))"
    )
    shazam = make(command=child(act))
    assert shazam.recognise(sound(1.0), RATE_HZ).missed == "no_match"
    assert crashed.exists()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("sys.exit(3)", "code 3"),
        ("print('nonsense')", "no answer"),
        ("print('[1]')", "no answer"),
        ("sys.stdout.buffer.write(b'{' * 9_000_000)", "no answer"),
    ],
)
def test_a_sound_on_which_it_always_dies_is_broken(act: str, told: str, make: Make) -> None:
    heard = make(command=child(act)).recognise(sound(1.0), RATE_HZ)
    assert heard.missed == "broken"
    assert told in (heard.message or "")


def test_a_process_that_hangs_is_ended(make: Make, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    act = f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
    began = time.monotonic()
    heard = make(command=child(act), timeout_s=0.1, **SHORT).recognise(sound(1.0), RATE_HZ)
    assert heard.missed == "broken"
    assert "hung" in (heard.message or "")
    assert time.monotonic() - began < 20
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == adapter.TRIES
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_one_that_does_not_even_read_is_ended_too(
    make: Make,
) -> None:
    silent = (sys.executable, "-c", "import time; time.sleep(600)")
    heard = make(command=silent, timeout_s=0.1, **SHORT).recognise(sound(12.0), RATE_HZ)
    assert heard.missed == "broken"


def test_the_child_knows_no_secret_and_is_ended_by_close(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hush")
    monkeypatch.setenv("TIKTOK_MS_TOKEN", "hush")
    act = "assert 'hush' not in os.environ.values(); print(json.dumps({'status': os.getpid()}))"
    shazam = make(command=child(act))
    heard = shazam.recognise(sound(1.0), RATE_HZ)
    assert heard.missed == "unreachable"
    pid = int((heard.message or "").split()[-1])
    os.kill(pid, 0)
    shazam.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_the_child_ends_when_its_parent_is_killed() -> None:
    """The real child, waiting for a request."""
    parent = """
import sys
from reelscope.engines.shazam import _Child, CHILD
print(_Child(CHILD, start_s=1, limit_s=1)._start().pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(pid, 0)
        process.kill()
    for _ in range(200):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":  # ended; nobody has asked for its code
            return
        time.sleep(0.05)
    pytest.fail("the child outlived its parent")


def test_ctrl_c_is_not_for_the_child(make: Make) -> None:
    act = "print(json.dumps({'status': os.getpgid(0)}))"
    heard = make(command=child(act)).recognise(sound(1.0), RATE_HZ)
    assert int((heard.message or "").split()[-1]) != os.getpgid(0)


# -------------------------------------------------------------------------- hostile answers


def test_what_an_answer_holds_is_checked_key_by_key() -> None:
    reply = a_match(
        title="A\u202e\x00 b\ud800" + "x" * 10_000,
        subtitle={"no": "text"},
        key=7,
        isrc=["x"],
        url="javascript:alert(1)",
        share={"href": "http://plain.example"},
        hub={"providers": [{"type": "../x", "actions": [{"uri": "https://a"}]}, 3]},
        sections="none",
    )
    found = read_answer(reply.body)
    assert found.placed is not None
    track = found.placed.track
    assert len(track.title) == 500
    assert track.title.startswith("A b?x")
    assert track.title.isprintable()
    assert (track.artist, track.isrc, track.links, track.shazam_id) == (None, None, {}, "7")
    track.model_dump_json().encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
keys = st.sampled_from(["title", "subtitle", "key", "sections", "hub", "url", "share", "isrc"])


@given(
    track=st.dictionaries(keys, json_values) | json_values,
    match=st.dictionaries(st.sampled_from(["offset", "timeskew"]), json_values) | json_values,
)
def test_no_answer_raises(track: Any, match: Any) -> None:
    heard = read_answer(json.dumps({"matches": [match], "track": track}))
    assert (heard.placed is None) == (heard.missed is not None)
    if heard.placed:
        heard.placed.track.model_dump_json().encode()


@pytest.mark.parametrize("body", [None, "", "[]", "null", '{"error": 1}', "[" * 100_000])
def test_other_bodies_are_no_answer(body: str | None) -> None:
    assert read_answer(body).missed == "unreachable"


def test_a_wav_file_holds_the_samples() -> None:
    import io
    import wave

    samples = np.array([0.0, 1.0, -1.0, 2.0], np.float32)
    with wave.open(io.BytesIO(wav(samples, 16_000))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 16_000, 4)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 32767, -32767, 32767]
