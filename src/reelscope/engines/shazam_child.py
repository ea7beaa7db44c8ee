"""The process in which shazamio works: requests on standard input, answers on standard output.

shazamio's Rust code has crashed with SIGSEGV (https://github.com/shazamio/ShazamIO/issues/154),
which no `except` catches; here it takes nothing along. engines/shazam.py starts this process,
ends it when it hangs, and reads what it answers; this file knows the network alone.

A request is a line of JSON, {"bytes": N, "url": ..., "proxy": ..., "timeout_s": ...}, and N
bytes of a WAV file. An answer is a line of JSON: {"status", "retry_after", "type", "body"} of
Shazam's answer, {"unreachable": why} or {"broken": why}. The process ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BODY_BYTES = 1_000_000
"""Answers have about 10 kB."""


class AnswerArrivedError(Exception):
    """What the service sent; it goes past shazamio, which keeps neither status nor headers."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("answered")
        self.answer = answer


def main() -> None:
    """Work until the input ends."""
    requests = sys.stdin.buffer
    # Whatever a library prints must not stand between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with asyncio.Runner() as runner:
        work = _worker()
        while line := requests.readline():
            request = json.loads(line)
            sound = _exactly(requests, request["bytes"])
            answer = runner.run(work(request, sound))
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise SystemExit(0)  # who asked is gone
    return data


def _worker() -> Callable[..., Any]:
    """shazamio, imported once, with a client that hands on what the service says."""
    import aiohttp
    from shazamio import Shazam, SignatureError
    from shazamio.interfaces.client import HTTPClientInterface

    class Client(HTTPClientInterface):
        """One request, no redirects, no second try: the pace is set elsewhere."""

        def __init__(self, base: str | None, timeout_s: float) -> None:
            self.base = base
            self.timeout = aiohttp.ClientTimeout(total=timeout_s)

        async def request(self, method: str, url: str, **given: Any) -> Any:
            async with (
                aiohttp.ClientSession(timeout=self.timeout) as session,
                session.request(
                    method, moved(url, self.base), allow_redirects=False, **given
                ) as response,
            ):
                body = b""
                async for piece in response.content.iter_chunked(65_536):
                    body += piece
                    if len(body) > MOST_BODY_BYTES:
                        break
                raise AnswerArrivedError(
                    {
                        "status": response.status,
                        "retry_after": response.headers.get("Retry-After"),
                        "type": response.content_type,
                        "body": body[: MOST_BODY_BYTES + 1].decode("utf-8", "replace"),
                    }
                )

        async def request_text(self, url: str, *, content_type: str, **given: Any) -> str:
            raise NotImplementedError("only recognition is asked for")

    async def work(request: dict[str, Any], sound: bytes) -> dict[str, Any]:
        shazam = Shazam(http_client=Client(request["url"], request["timeout_s"]))
        try:
            signature = await shazam.core_recognizer.recognize_bytes(value=sound)
        except SignatureError as error:
            return {"broken": f"no signature of this sound: {error}"[:300]}
        try:
            await shazam.send_recognize_request_v2(sig=signature, proxy=request["proxy"])
        except AnswerArrivedError as answered:
            return answered.answer
        except TimeoutError:
            return {"unreachable": "it took too long"}
        except (aiohttp.ClientError, OSError) as error:
            return {"unreachable": f"the connection failed ({type(error).__name__})"}
        except ValueError:  # of yarl, for an address of the proxy that is none
            return {"unreachable": "the address of the proxy cannot be used"}
        return {"broken": "shazamio sent nothing"}

    return work


def moved(url: str, base: str | None) -> str:
    """The same path at another server."""
    if base is None:
        return url
    parts, to = urlsplit(url), urlsplit(base)
    return parts._replace(scheme=to.scheme, netloc=to.netloc).geturl()


if __name__ == "__main__":
    main()
