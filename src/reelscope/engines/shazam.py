"""Shazam through the package shazamio, in a process of its own (engines/shazam_child.py).

What leaves the machine is the signature that shazamio-core makes of a window: where its
spectral peaks lie; no sound. Requests go out one at a time, a minute divided by
`requests_per_minute` apart: users report that Shazam throttles above about five a minute
(https://github.com/shazamio/ShazamIO/pull/82), and that throttling can look like "no match"
(issue 86), so that one does better not to provoke it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.recognition import Heard
from reelscope.audio.sound_memory import Placed
from reelscope.engines.weights import installed
from reelscope.pace import Pace, retry_after_s
from reelscope.records import MusicTrack

log = logging.getLogger(__name__)

CHILD = (sys.executable, "-m", "reelscope.engines.shazam_child")
START_S = 60.0
"""For a child's first answer on top of the usual time: it imports shazamio, 2 s here."""
GRACE_S = 5.0
"""On top of the time that the child gives the service."""
LONGEST_WAIT_S = 120.0
"""For one's turn; a longer Retry-After is not waited for, the next run asks again."""
THROTTLED_S = 60.0
"""Pause after an answer of 429 that names none: the limit is said to count minutes."""
TRIES = 2
"""For one sound: a child that died may have had enough of the one before."""
MOST_CHARS, MOST_SERVICE_CHARS, MOST_ITEMS, MOST_NUMBER = 500, 40, 50, 1e6
"""Of what an answer holds; beyond is nonsense."""
MOST_ANSWER_BYTES = 8_000_000
NOT_FOR_CHILDREN = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""Of the environment: the child has no use for these."""


class Shazam:
    """Asks Shazam which track a window of sound is; see `audio.recognition.MusicRecogniser`.

    Args:
        requests_per_minute: at most.
        timeout_s: for one answer.
        proxy: http://[user:password@]host:port; None: none.
        url: of another server with the same interface, for tests.
        command: starts the child.
        start_s: for its first answer, on top of the usual time.
        grace_s: on top of the time that the child gives the service.
        clock: seconds that never go back.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float = 5.0,
        timeout_s: float = 30.0,
        proxy: str | None = None,
        url: str | None = None,
        command: Sequence[str] = CHILD,
        start_s: float = START_S,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._interval_s = 60.0 / requests_per_minute
        self._ask = {"url": url, "proxy": proxy, "timeout_s": timeout_s}
        self._pace = Pace(clock=clock, sleep=sleep, chance=lambda: 0.0)
        self._child = _Child(command, start_s=start_s, limit_s=timeout_s + grace_s)
        self._lock = threading.Lock()

    @property
    def engine(self) -> str:
        """shazamio and its version."""
        return f"shazamio {installed('shazamio') or 'not installed'}"

    @property
    def absent(self) -> str | None:
        """Why it cannot be asked on this machine."""
        if installed("shazamio") is None:
            return "the package shazamio is not installed (pip install -r requirements.txt)"
        return None

    def recognise(self, samples: NDArray[np.float32], rate_hz: int) -> Heard:
        """Which track this is; waits for its turn, LONGEST_WAIT_S at most.

        Args:
            samples: one channel, (n,), finite, full scale +-1, at most 12 s.
            rate_hz: theirs.
        """
        sound = wav(samples, rate_hz)
        request = {**self._ask, "bytes": len(sound)}
        with self._lock:
            for _ in range(TRIES):
                if not self._pace.wait(at_most_s=max(LONGEST_WAIT_S, self._interval_s)):
                    message = "Shazam asks to be left alone for longer than there is time"
                    return Heard(missed="rate_limited", message=message)
                self._pace.hold(self._interval_s)
                try:
                    answer = self._child.ask(request, sound)
                except ChildLostError as lost:
                    trouble = str(lost)
                    log.warning("shazamio's process %s; it is started anew", trouble)
                    continue
                return self._judged(answer)
        return Heard(missed="broken", message=f"shazamio's process {trouble}, {TRIES} times")

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._child.end()

    def _judged(self, answer: Mapping[str, Any]) -> Heard:
        if why := answer.get("broken"):
            return Heard(missed="broken", message=_text(why))
        if why := answer.get("unreachable"):
            return Heard(missed="unreachable", message=f"Shazam: {_text(why)}", requests=1)
        status, given = answer.get("status"), answer.get("retry_after")
        headers = {"retry-after": given} if isinstance(given, str) else {}
        wait_s = retry_after_s(headers, now_s=time.time())
        if status == 429:
            self._pace.hold(THROTTLED_S if wait_s is None else wait_s)
            return Heard(missed="rate_limited", message="Shazam answers 429", requests=1)
        if wait_s is not None:
            self._pace.hold(wait_s)
        if status != 200:
            said = f"Shazam answers {status}" if isinstance(status, int) else "no answer"
            return Heard(missed="unreachable", message=said, requests=1)
        return read_answer(answer.get("body"))


# ---------------------------------------------------------------------------------- child


class ChildLostError(Exception):
    """The child died, hung, or said what makes no sense; the message ends a sentence."""


class _Child:
    """The process, started when it is first asked and again after it was lost."""

    def __init__(self, command: Sequence[str], *, start_s: float, limit_s: float) -> None:
        self._command = list(command)
        self._start_s, self._limit_s = start_s, limit_s
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Mapping[str, Any], sound: bytes) -> dict[str, Any]:
        """Its answer.

        Raises:
            ChildLostError: there is none; the process is gone.
        """
        process, limit_s = self._process, self._limit_s
        if process is None:
            limit_s += self._start_s
            process = self._process = self._start()
        deadline_s = time.monotonic() + limit_s
        try:
            _send(process, json.dumps(request).encode() + b"\n" + sound, deadline_s)
            answer = json.loads(_line(process, deadline_s))
            if isinstance(answer, dict):
                return answer
            raise ChildLostError("answered what is no answer")
        except BrokenPipeError:
            raise self._lost(process) from None
        except ValueError:
            self.end()
            raise ChildLostError("answered what is no answer") from None
        except EOFError:
            raise self._lost(process) from None
        except TimeoutError:
            self.end()
            raise ChildLostError(f"hung for {limit_s:g} s") from None

    def end(self) -> None:
        """Kill it, if it runs: it keeps nothing that could be lost."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not any(word in name.upper() for word in NOT_FOR_CHILDREN)
        }
        source = str(Path(__file__).parents[2])
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(  # noqa: S603  (our own interpreter)
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**kept, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the run, which lets it finish
        )
        if process.stdin:
            os.set_blocking(process.stdin.fileno(), False)
        return process

    def _lost(self, process: subprocess.Popen[bytes]) -> ChildLostError:
        """How it ended."""
        try:
            code = process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.end()
            return ChildLostError("closed its output")
        self.end()
        if code < 0:
            return ChildLostError(f"was ended by {signal.Signals(-code).name}")
        return ChildLostError(f"ended with code {code}")


def _send(process: subprocess.Popen[bytes], data: bytes, deadline_s: float) -> None:
    """Write all of it; raises BrokenPipeError, TimeoutError."""
    if process.stdin is None:
        raise BrokenPipeError
    left = memoryview(data)
    while left:
        _, ready, _ = select.select([], [process.stdin], [], _left_s(deadline_s))
        if not ready:
            raise TimeoutError
        left = left[os.write(process.stdin.fileno(), left) :]


def _line(process: subprocess.Popen[bytes], deadline_s: float) -> bytes:
    """The next line; raises EOFError, TimeoutError, ValueError (it has no end)."""
    if process.stdout is None:
        raise EOFError
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], _left_s(deadline_s))
        if not ready:
            raise TimeoutError
        piece = os.read(process.stdout.fileno(), 65_536)
        if not piece:
            raise EOFError
        line += piece
        if len(line) > MOST_ANSWER_BYTES:
            raise ValueError("a line without end")
    return line


def _left_s(deadline_s: float) -> float:
    return max(deadline_s - time.monotonic(), 0.0)


# --------------------------------------------------------------------------------- answers


def wav(samples: NDArray[np.float32], rate_hz: int) -> bytes:
    """A WAV file of 16 bits with one channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((samples.clip(-1.0, 1.0) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def read_answer(body: object) -> Heard:
    """What the body of an answer with status 200 says; nothing in it is trusted."""
    try:
        data = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not ("matches" in data or "track" in data):
        return Heard(missed="unreachable", message="Shazam answers no JSON of its own", requests=1)
    track, match = _dict(data.get("track")), _dict(_first(data.get("matches")))
    title = _text(track.get("title"))
    if title is None:
        return Heard(missed="no_match", requests=1)
    about = dict(_metadata(track))
    placed = Placed(
        MusicTrack(
            title=title,
            artist=_text(track.get("subtitle")),
            album=about.get("album"),
            label=about.get("label"),
            isrc=_text(track.get("isrc")),
            shazam_id=_text(track.get("key")),
            links=dict(_links(track)),
        ),
        track_offset_s=_number(match.get("offset")),
        time_skew=_number(match.get("timeskew")),
        frequency_skew=_number(match.get("frequencyskew")),
    )
    return Heard(placed=placed, requests=1)


def _metadata(track: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name in lower case, text) of the sections: album, label, released."""
    for section in _list(track.get("sections")):
        for item in _list(_dict(section).get("metadata")):
            name, text = _text(_dict(item).get("title")), _text(_dict(item).get("text"))
            if name and text:
                yield name.lower(), text


def _links(track: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(service, address), https alone."""
    hub = _dict(track.get("hub"))
    given = [("shazam", track.get("url")), ("shazam", _dict(track.get("share")).get("href"))]
    for option in _list(hub.get("options")):
        given += [("apple_music", uri) for uri in _addresses(option)]
    for provider in _list(hub.get("providers")):
        name = _text(_dict(provider).get("type")) or ""
        if name.isascii() and name.isalnum() and len(name) <= MOST_SERVICE_CHARS:
            given += [(name.lower(), uri) for uri in _addresses(provider)]
    seen: set[str] = set()
    for service, address in given:
        text = _text(address)
        if text and text.startswith("https://") and len(text) < MOST_CHARS and service not in seen:
            seen.add(service)
            yield service, text


def _addresses(holder: object) -> Iterator[object]:
    for action in _list(_dict(holder).get("actions")):
        yield _dict(action).get("uri")


def _text(value: object) -> str | None:
    """A text on one line that JSON can hold; numbers are written out."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        value = str(value)
    if not isinstance(value, str):
        return None
    clean = value[: 4 * MOST_CHARS].encode("utf-8", "replace").decode("utf-8")
    shown = "".join(c if c.isprintable() else " " for c in clean)
    return " ".join(shown.split())[:MOST_CHARS] or None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -MOST_NUMBER < value < MOST_NUMBER else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value[:MOST_ITEMS] if isinstance(value, list) else []


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None
