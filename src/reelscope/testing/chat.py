"""A chat server on loopback: chat completions, files and batches in OpenAI's shapes.

It speaks real HTTP, so that the official client talks to it unmodified, misbehaves as it
is told, and counts for itself what a vendor would bill. The shapes are those that the
types of the package `openai` 3.54 describe (types/chat, types/batch.py, types/file_object.py)
and, for the lines of batches, the vendor's guide "Batch API".
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from reelscope.description.chat import Tokens
from reelscope.testing.stand_in import image_count, prompt_of, stand_in_text

IMAGE_TOKENS = 85
CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Behaviour:
    """What the server does with one request; the functions below name the usual ones.

    Attributes:
        status: of the HTTP answer; 200: a chat completion.
        message: of an error, in the server's words.
        code: of an error.
        error_type: of an error.
        headers: added to the answer's.
        retry_date_in_s: Retry-After as the date so long after the answer.
        wait_s: before anything is sent.
        drop: the connection ends before the headers, or in the middle of the body.
        body: sent instead of everything else, with the status.
        rewrite: makes the answer's text from the good one.
        cut_chars: the answer's text ends after so many characters, for want of room ...
        unless_max_tokens: ... unless the request allows at least so many tokens.
        finish: why the answer ends.
        refusal: the model's own words for not answering; there is no text then.
        no_choices: an answer without any; it is not billed.
        null_content: an answer whose text is null.
        usage: sent instead of the true counts; None: no usage at all.
    """

    status: int = 200
    message: str = ""
    code: str | None = None
    error_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_date_in_s: float | None = None
    wait_s: float = 0.0
    drop: Literal["before", "after"] | None = None
    body: bytes | None = None
    rewrite: Callable[[str], str] | None = None
    cut_chars: int | None = None
    unless_max_tokens: int | None = None
    finish: str = "stop"
    refusal: str | None = None
    no_choices: bool = False
    null_content: bool = False
    usage: Any = "true counts"

    def all_headers(self) -> dict[str, str]:
        """Those to send now."""
        if self.retry_date_in_s is None:
            return dict(self.headers)
        date = formatdate(time.time() + self.retry_date_in_s, usegmt=True)
        return {**self.headers, "Retry-After": date}

    def error(self) -> dict[str, Any]:
        """The body of an error, as the vendor writes it."""
        return {
            "error": {
                "message": self.message,
                "type": self.error_type,
                "param": None,
                "code": self.code,
            }
        }


def good() -> Behaviour:
    """The answer, at once."""
    return Behaviour()


def slow(seconds: float) -> Behaviour:
    """The answer, late."""
    return Behaviour(wait_s=seconds)


def rate_limited(
    retry_after: float | None = None, *, as_date: bool = False, as_ms: bool = False
) -> Behaviour:
    """429: too many requests; `retry_after` in seconds, if the server tells it at all."""
    headers: dict[str, str] = {}
    date_in_s = None
    if retry_after is not None and as_date:
        date_in_s = retry_after
    elif retry_after is not None and as_ms:
        headers = {"retry-after-ms": f"{retry_after * 1000:.0f}"}
    elif retry_after is not None:
        headers = {"Retry-After": f"{retry_after:g}"}
    message = "Rate limit reached for requests"
    return Behaviour(
        429, message, "rate_limit_exceeded", "requests", headers, retry_date_in_s=date_in_s
    )


def quota() -> Behaviour:
    """429 that no waiting mends: nothing is left on the account."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return Behaviour(429, message, "insufficient_quota", "insufficient_quota")


def unauthorized() -> Behaviour:
    """401, with a part of the key in the message, as the vendor's."""
    return Behaviour(401, "Incorrect API key provided", "invalid_api_key", "invalid_request_error")


def forbidden() -> Behaviour:
    """403."""
    message = "Country, region, or territory not supported"
    return Behaviour(403, message, "unsupported_country_region_territory", "request_forbidden")


def no_model() -> Behaviour:
    """404: a model that the server does not know."""
    message = "The model does not exist or you do not have access to it."
    return Behaviour(404, message, "model_not_found", "invalid_request_error")


def failing(status: int = 500, message: str = "The server had an error") -> Behaviour:
    """Any other error."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return Behaviour(status, message, None, kind)


def dropped(when: Literal["before", "after"] = "before") -> Behaviour:
    """The connection ends before the headers, or in the middle of the (billed) answer."""
    return Behaviour(drop=when)


def truncated(chars: int, *, unless_max_tokens: int | None = None) -> Behaviour:
    """An answer for which there was no room."""
    return Behaviour(cut_chars=chars, unless_max_tokens=unless_max_tokens)


def fenced() -> Behaviour:
    """The answer inside a Markdown fence, with words around."""
    return Behaviour(rewrite=lambda text: f"Here it is:\n```json\n{text}\n```\nAnything else?")


def wrong_schema() -> Behaviour:
    """JSON whose first value has a type that nobody asked for."""

    def rewrite(text: str) -> str:
        data = json.loads(text)
        return json.dumps({**data, next(iter(data)): [[17]]})

    return Behaviour(rewrite=rewrite)


def sloppy() -> Behaviour:
    """Trailing commas and, where no text has any, single quotes."""

    def rewrite(text: str) -> str:
        commas = re.sub(r'(["\d\]}a-z])([}\]])', r"\1,\2", text)
        return commas if "'" in text or '\\"' in text else commas.replace('"', "'")

    return Behaviour(rewrite=rewrite)


def prose() -> Behaviour:
    """Words and no JSON."""
    return Behaviour(rewrite=lambda _: "I see a video. It is about several things.")


def refusal(words: str = "I'm sorry, I can't assist with that.") -> Behaviour:
    """The model does not want to."""
    return Behaviour(refusal=words)


def filtered() -> Behaviour:
    """The answer is held back by the server's content filter."""
    return Behaviour(finish="content_filter", null_content=True)


def filtered_request() -> Behaviour:
    """The request is held back by the content filter, in the form of Azure's service."""
    error = {
        "message": "The response was filtered due to the prompt triggering the content policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
    return Behaviour(400, body=json.dumps({"error": error}).encode())


def no_choices() -> Behaviour:
    """200 without an answer in it."""
    return Behaviour(no_choices=True)


def null_content() -> Behaviour:
    """An answer without text."""
    return Behaviour(null_content=True)


def not_json() -> Behaviour:
    """200 with a web page, as from a proxy or a wrong address."""
    page = b"<html><body>Welcome</body></html>"
    return Behaviour(body=page, headers={"Content-Type": "text/html"})


def rate_headers(
    *,
    requests: int = 100,
    tokens: int = 10_000,
    reset_requests: str = "1s",
    reset_tokens: str = "6m0s",
) -> Behaviour:
    """The answer, with what is left of the vendor's limits."""
    return Behaviour(
        headers={
            "x-ratelimit-remaining-requests": str(requests),
            "x-ratelimit-remaining-tokens": str(tokens),
            "x-ratelimit-reset-requests": reset_requests,
            "x-ratelimit-reset-tokens": reset_tokens,
        }
    )


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it.

    Attributes:
        body: pictures are replaced by their length and sha256.
        headers: the names, lower case.
        authorised: whether the key was the right one; True where none is needed.
        behaviour: what the server did.
    """

    body: dict[str, Any]
    headers: frozenset[str]
    authorised: bool
    behaviour: Behaviour


@dataclass
class FakeBatch:
    """A batch and the requests in it."""

    fields: dict[str, Any]
    requests: list[dict[str, Any]]


@dataclass
class FakeChat:
    """What the server knows, how it misbehaves and what it has counted.

    Attributes:
        script: for the next chat requests, one each.
        default: for all others.
        batch_script: for the next requests to files and batches, one each; then `good()`.
        failure_share: of the chat requests beyond the script that fail at random: 429
            without Retry-After, 500, or a dropped connection; none of them is billed.
        seed: of that chance.
        answer: the good answer's text from the request's body; None: a stand-in.
        schema: of the stand-in where the request names none.
        key: the only one that is let in; None: all are.
        requests: chat requests that came.
        answered: chat requests that were answered, which is what a vendor bills.
        paid: tokens of these.
        asked: every chat request.
        paths: method and path of every request.
    """

    script: list[Behaviour] = field(default_factory=list)
    default: Behaviour = field(default_factory=Behaviour)
    batch_script: list[Behaviour] = field(default_factory=list)
    failure_share: float = 0.0
    seed: int = 0
    answer: Callable[[dict[str, Any]], str] | None = None
    schema: dict[str, Any] | None = None
    key: str | None = field(default=None, repr=False)
    url: str = ""
    requests: int = 0
    answered: int = 0
    paid: Tokens = field(default_factory=Tokens)
    asked: list[Asked] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    files: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    batches: dict[str, FakeBatch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._random = random.Random(self.seed)  # noqa: S311  (a chance that can be repeated)
        self.stopping = threading.Event()

    def choose(self, body: dict[str, Any], headers: Mapping[str, str]) -> Behaviour:
        """Note a chat request and say what becomes of it; names of headers in lower case."""
        with self._lock:
            authorised = self.lets_in(headers)
            if not authorised:
                behaviour = self._stranger(headers)
            elif self.script:
                behaviour = self.script.pop(0)
            elif self._random.random() < self.failure_share:
                behaviour = self._random.choice([rate_limited(), failing(), dropped()])
            else:
                behaviour = self.default
            self.requests += 1
            self.asked.append(
                Asked(_without_pictures(body), frozenset(headers), authorised, behaviour)
            )
            return behaviour

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the right key."""
        return self.key is None or headers.get("authorization") == f"Bearer {self.key}"

    def _stranger(self, headers: Mapping[str, str]) -> Behaviour:
        given = (headers.get("authorization") or "").removeprefix("Bearer ")
        message = f"Incorrect API key provided: {given[:8]}***{given[-4:]}."
        return replace(unauthorized(), message=message)

    def next_batch_behaviour(self) -> Behaviour:
        """For a request to files or batches."""
        with self._lock:
            return self.batch_script.pop(0) if self.batch_script else good()

    def completion(self, body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
        """A chat completion; it is counted as paid."""
        text, finish = self._text(body, behaviour)
        prompt = math.ceil(len(prompt_of(body)) / CHARS_PER_TOKEN)
        prompt += IMAGE_TOKENS * image_count(body)
        written = math.ceil(len(text or behaviour.refusal or "") / CHARS_PER_TOKEN)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        }
        message = {"role": "assistant", "content": text, "refusal": behaviour.refusal}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        with self._lock:
            if not behaviour.no_choices:
                self.answered += 1
                self.paid = Tokens(self.paid.input + prompt, 0, self.paid.output + written)
            data = {
                "id": f"chatcmpl-{self.answered}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": body["model"],
                "choices": [] if behaviour.no_choices else [choice],
            }
        counts = usage if behaviour.usage == "true counts" else behaviour.usage
        return data if counts is None else {**data, "usage": counts}

    def _text(self, body: dict[str, Any], behaviour: Behaviour) -> tuple[str | None, str]:
        if behaviour.null_content or behaviour.refusal is not None or behaviour.no_choices:
            return None, behaviour.finish
        text = self.answer(body) if self.answer else stand_in_text(body, self.schema)
        text = behaviour.rewrite(text) if behaviour.rewrite else text
        allowed = body.get("max_completion_tokens") or body.get("max_tokens") or math.inf
        enough = behaviour.unless_max_tokens
        if behaviour.cut_chars is None or (enough is not None and allowed >= enough):
            return text, behaviour.finish
        return text[: behaviour.cut_chars], "length"

    def add_file(self, name: str, purpose: str, data: bytes) -> dict[str, Any]:
        """Keep a file; what the vendor says of it."""
        with self._lock:
            file_id = f"file-{len(self.files) + 1}"
            self.files[file_id] = (name, purpose, data)
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(data),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }

    def add_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take a batch in; nothing of it is answered until the test says so."""
        lines = self.files[asked["input_file_id"]][2].splitlines()
        requests = [json.loads(line) for line in lines]
        now = int(time.time())
        with self._lock:
            batch_id = f"batch_{len(self.batches) + 1}"
            fields = {
                "id": batch_id,
                "object": "batch",
                "endpoint": asked["endpoint"],
                "completion_window": asked["completion_window"],
                "input_file_id": asked["input_file_id"],
                "created_at": now,
                "expires_at": now + 86_400,
                "status": "in_progress",
                "output_file_id": None,
                "error_file_id": None,
                "errors": None,
                "metadata": asked.get("metadata"),
                "request_counts": {"total": len(requests), "completed": 0, "failed": 0},
            }
            self.batches[batch_id] = FakeBatch(fields, requests)
        return fields

    def finish_batches(
        self,
        status: Literal["completed", "expired", "cancelled"] = "completed",
        *,
        behaviours: Mapping[str, Behaviour] | None = None,
        expire: Collection[str] = (),
    ) -> None:
        """Answer every batch in progress.

        Args:
            status: which the batches end with.
            behaviours: by custom id, for lines that go otherwise than well.
            expire: custom ids of lines for which there was no time.
        """
        for batch in self.batches.values():
            if batch.fields["status"] == "in_progress":
                self._finish(batch, status, behaviours or {}, expire)

    def _finish(
        self,
        batch: FakeBatch,
        status: str,
        behaviours: Mapping[str, Behaviour],
        expire: Collection[str],
    ) -> None:
        answered: list[bytes] = []
        failed: list[bytes] = []
        for number, request in enumerate(batch.requests):
            behaviour = behaviours.get(request["custom_id"], self.default)
            expired = request["custom_id"] in expire
            line = self._batch_line(f"batch_req_{number}", request, behaviour, expired=expired)
            went_well = not expired and behaviour.status == 200
            (answered if went_well else failed).append(json.dumps(line).encode() + b"\n")
        for key, lines in (("output_file_id", answered), ("error_file_id", failed)):
            if lines:
                data = b"".join(lines)
                batch.fields[key] = self.add_file(key, "batch_output", data)["id"]
        batch.fields["request_counts"] = {
            "total": len(batch.requests),
            "completed": len(answered),
            "failed": len(failed),
        }
        batch.fields["status"] = status

    def _batch_line(
        self, line_id: str, request: dict[str, Any], behaviour: Behaviour, *, expired: bool
    ) -> dict[str, Any]:
        line = {"id": line_id, "custom_id": request["custom_id"], "response": None, "error": None}
        if expired:
            message = "This request could not be executed before the completion window expired."
            return {**line, "error": {"code": "batch_expired", "message": message}}
        if behaviour.body is not None:
            body = json.loads(behaviour.body)
        elif behaviour.status != 200:
            body = behaviour.error()
        else:
            body = self.completion(request["body"], behaviour)
        response = {"status_code": behaviour.status, "request_id": line_id, "body": body}
        return {**line, "response": response}

    def fail_batches(self, message: str = "The input file is not valid JSONL.") -> None:
        """Every batch in progress fails as a whole."""
        for batch in self.batches.values():
            if batch.fields["status"] == "in_progress":
                error = {"code": "invalid_json_line", "line": 1, "message": message, "param": None}
                batch.fields["errors"] = {"object": "list", "data": [error]}
                batch.fields["status"] = "failed"

    def list_batches(self, *, limit: int, after: str | None) -> dict[str, Any]:
        """A page of batches, the newest first."""
        every = [batch.fields for batch in reversed(self.batches.values())]
        ids = [fields["id"] for fields in every]
        start = ids.index(after) + 1 if after in ids else 0
        page = every[start : start + limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(every),
        }


class _Handler(BaseHTTPRequestHandler):
    chat: FakeChat
    _cut = False
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer on a kept connection comes 40 ms late

    def log_message(self, *_: object) -> None:  # it would go to stderr
        pass

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.chat.paths.append(f"POST {self.path}")
        if self.path == "/v1/chat/completions":
            self._chat(json.loads(data))
        elif self._lets_in():
            if self.path == "/v1/files":
                self._json(self._upload(data))
            elif self.path == "/v1/batches":
                self._json(self.chat.add_batch(json.loads(data)))
            else:
                self._error(failing(404, "Unknown request URL"))

    def do_GET(self) -> None:
        self.chat.paths.append(f"GET {self.path}")
        if not self._lets_in():
            return
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if match := re.fullmatch(r"/v1/files/([^/]+)/content", path):
            self._content(match[1])
        elif path == "/v1/batches":
            limit, after = int(query.get("limit", ["20"])[0]), query.get("after", [None])[0]
            self._json(self.chat.list_batches(limit=limit, after=after))
        elif (match := re.fullmatch(r"/v1/batches/([^/]+)", path)) and match[1] in (
            self.chat.batches
        ):
            self._json(self.chat.batches[match[1]].fields)
        else:
            self._error(failing(404, "No such object"))

    def _chat(self, body: dict[str, Any]) -> None:
        behaviour = self.chat.choose(body, self._lower())
        self.chat.stopping.wait(behaviour.wait_s)
        if behaviour.drop == "before":
            self._hang_up()
        elif behaviour.body is not None:
            self._send(behaviour.status, behaviour.body, behaviour.all_headers())
        elif behaviour.status != 200:
            self._error(behaviour)
        else:
            data = json.dumps(self.chat.completion(body, behaviour)).encode()
            self._send(200, data, behaviour.all_headers(), cut=behaviour.drop == "after")

    def _lower(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _lets_in(self) -> bool:
        """For files and batches: the key and the script. What is cut off is done all the same."""
        behaviour = self.chat.next_batch_behaviour()
        if not self.chat.lets_in(self._lower()):
            behaviour = unauthorized()
        if behaviour.drop == "before":
            self._hang_up()
        elif behaviour.body is not None:
            self._send(behaviour.status, behaviour.body, behaviour.all_headers())
        elif behaviour.status != 200:
            self._error(behaviour)
        else:
            self._cut = behaviour.drop == "after"
            return True
        return False

    def _upload(self, data: bytes) -> dict[str, Any]:
        boundary = self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
        fields: dict[str, tuple[str, bytes]] = {}
        for part in data.split(b"--" + boundary)[1:-1]:
            head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            names = dict(re.findall(r'(\w+)="([^"]*)"', head.decode()))
            fields[names["name"]] = (names.get("filename", ""), content.removesuffix(b"\r\n"))
        name, content = fields["file"]
        return self.chat.add_file(name, fields["purpose"][1].decode(), content)

    def _content(self, file_id: str) -> None:
        if file_id in self.chat.files:
            kind = {"Content-Type": "application/octet-stream"}
            self._send(200, self.chat.files[file_id][2], kind, cut=self._cut)
        else:
            self._error(failing(404, "No such File object"))

    def _json(self, data: dict[str, Any]) -> None:
        self._send(200, json.dumps(data).encode(), {}, cut=self._cut)

    def _error(self, behaviour: Behaviour) -> None:
        self._send(
            behaviour.status, json.dumps(behaviour.error()).encode(), behaviour.all_headers()
        )

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], *, cut: bool = False
    ) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + cut))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
        except OSError:  # who asked is gone
            self.close_connection = True
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # who asked may have been quicker
            self.connection.shutdown(socket.SHUT_RDWR)


def _listening(port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    try:
        return _Server(("127.0.0.1", port), handler)
    except OSError:
        return _Server(("127.0.0.1", 0), handler)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that end early are part of the play; all else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _without_pictures(body: dict[str, Any]) -> dict[str, Any]:
    """A copy in which a picture's data address is its length and sha256."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return _without_pictures(value)
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if isinstance(value, str) and value.startswith("data:"):
            data = base64.b64decode(value.partition(",")[2])
            return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
        return value

    return {key: plain(inner) for key, inner in body.items()}


@contextmanager
def serve(chat: FakeChat, *, port: int = 0) -> Iterator[FakeChat]:
    """The server at `chat.url` (which ends in /v1), on loopback, while the block runs.

    Args:
        chat: what it does.
        port: where, so that it is the same server next time; another if that is taken.
    """
    handler = type("Handler", (_Handler,), {"chat": chat})
    with _listening(port, handler) as server:
        chat.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield chat
        finally:
            chat.stopping.set()
            server.shutdown()
            thread.join()
