"""The adapter with the official client, asked over HTTP; time passes only on its clock."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from reelscope.description.chat import (
    ChatAnswer,
    ChatBatches,
    ChatModel,
    ChatRequest,
    Message,
    Picture,
    Tokens,
    Unanswered,
)
from reelscope.engines import openai_chat, openai_service
from reelscope.engines.openai_chat import OpenAiChat
from reelscope.errors import EngineUnavailable, RequestRefused, ServiceClosed, ServiceFailed
from reelscope.settings import Describe
from reelscope.testing import chat as fake
from reelscope.testing.chat import Behaviour, FakeChat, serve

KEY = "sk-proj-Zq81kLmN0pRs7TuVwXyZ"
SCHEMA = {
    "type": "object",
    "properties": {"tone": {"type": "string"}},
    "required": ["tone"],
    "additionalProperties": False,
}
ANSWER = '{"tone": "stand-in answer for tone"}'


class Time:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now_s += seconds


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(key=KEY)) as chat:
        yield chat


@pytest.fixture
def clock() -> Time:
    return Time()


Make = Callable[..., OpenAiChat]


@pytest.fixture
def make(server: FakeChat, clock: Time) -> Iterator[Make]:
    made: list[OpenAiChat] = []

    def chat(*, key: str | None = KEY, chance: float = 0.0, **settings: Any) -> OpenAiChat:
        settings = {"base_url": server.url, "request_timeout_s": 5, **settings}
        secret = None if key is None else SecretStr(key)
        it = OpenAiChat(
            Describe(**settings), secret, sleep=clock.sleep, clock=clock, chance=lambda: chance
        )
        made.append(it)
        return it

    yield chat
    for it in made:
        it.close()


def request(**more: Any) -> ChatRequest:
    picture = Picture("a.jpg", b"\xff\xd8\xff\xd9", 2, 2, "low")
    return ChatRequest(**{
        "model": "gpt-4o",
        "messages": (
            Message("system", ("be", "brief")),
            Message("user", ("what is this?", picture)),
        ),
        "response_format": "json_schema",
        "schema": SCHEMA,
        "max_output_tokens": 50,
        **more,
    })  # fmt: skip


def everything_said(error: BaseException) -> str:
    """The error and all that hangs on it, as a traceback or a report might show it."""
    said, seen = [], set()
    todo: list[BaseException | None] = [error]
    while todo:
        if (one := todo.pop()) is not None and id(one) not in seen:
            seen.add(id(one))
            said += [str(one), repr(one), repr(vars(one))]
            todo += [one.__cause__, one.__context__]
    return "\n".join(said)


def assert_no_key(text: str) -> None:
    for start in range(len(KEY) - 5):
        assert KEY[start : start + 6] not in text
    assert KEY[-4:] not in text


# ---- what is sent, and a good answer ----------------------------------------------------


def test_an_answer_comes_with_its_counts(server: FakeChat, make: Make) -> None:
    chat = make()
    model: ChatModel = chat
    batches: ChatBatches = chat
    assert batches is model
    answer = chat.ask(request())
    assert answer == ChatAnswer(ANSWER, "gpt-4o", "stop", None, server.paid)
    assert server.requests == 1


def test_what_is_sent(server: FakeChat, make: Make) -> None:
    make().ask(request(temperature=0.5))
    body = server.asked[0].body
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "response_format"}
    assert body["max_tokens"] == 50
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["response_format"]["json_schema"]["strict"] is True
    system, user = body["messages"]
    assert system == {"role": "system", "content": "be\n\nbrief"}
    text, image = user["content"]
    assert text == {"type": "text", "text": "what is this?"}
    assert image["image_url"]["detail"] == "low"
    assert image["image_url"]["url"].startswith("4 bytes, sha256 ")


def test_the_weaker_formats(server: FakeChat, make: Make) -> None:
    chat = make()
    chat.ask(request(response_format="json_object", schema=None))
    chat.ask(request(response_format="text", schema=None))
    first, second = (asked.body for asked in server.asked)
    assert first["response_format"] == {"type": "json_object"}
    assert "response_format" not in second
    assert "temperature" not in first and "store" not in first


@pytest.mark.parametrize(
    ("url", "limit"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
        ("https://api.openai.com.example.org/v1", "max_tokens"),
    ],
)
def test_what_the_longest_answer_is_called(make: Make, url: str | None, limit: str) -> None:
    line = json.loads(make(base_url=url).line("a", request()))
    assert line["body"][limit] == 50
    assert len({"max_tokens", "max_completion_tokens"} & line["body"].keys()) == 1


def test_words_that_no_utf8_can_hold_are_sent_without_them(server: FakeChat, make: Make) -> None:
    messages = (Message("user", ("a\ud800b", Picture("a", b"x", 1, 1, "high"))),)
    make().ask(request(messages=messages))
    assert server.asked[0].body["messages"][0]["content"][0]["text"] == "a�b"


def test_the_engine_names_model_and_host_and_no_version(make: Make, server: FakeChat) -> None:
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert make().engine == f"openai-chat gpt-4o at {host}"
    assert make(base_url=None, model="x").engine == "openai-chat x at api.openai.com"


# ---- opening and closing ----------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_without_key_and_server_it_says_what_to_do(make: Make, key: str | None) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        make(key=key, base_url=None).open()
    assert "OPENAI_API_KEY" in caught.value.remedy and "description.base_url" in caught.value.remedy
    assert not isinstance(caught.value, ServiceClosed)


def test_a_key_with_odd_characters_is_not_sent(make: Make, server: FakeChat) -> None:
    for key in (f"{KEY}\nX: y", f"{KEY}ü", "a b"):
        with pytest.raises(EngineUnavailable) as caught:
            make(key=key).open()
        assert_no_key(everything_said(caught.value))
    make(key=f" {KEY}\n").ask(request())
    assert server.answered == 1, "blanks around it are nothing odd"


def test_a_local_server_needs_no_key(make: Make, server: FakeChat) -> None:
    server.key = openai_service.NO_KEY
    chat = make(key=None)
    chat.open()
    chat.close()
    assert chat.ask(request()).text == ANSWER, "and it opens itself again"


def test_the_environment_has_no_say(
    make: Make, server: FakeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    assert make().ask(request()).text == ANSWER
    assert not server.asked[0].headers & {"openai-organization", "openai-project"}


def test_importing_it_does_not_import_the_package() -> None:
    code = (
        "import sys, reelscope.engines.openai_chat as it;"
        "assert not {'openai', 'httpx2', 'tenacity'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


@pytest.mark.parametrize("package", ["openai", "tenacity"])
def test_without_the_package_it_says_what_to_do(package: str, tmp_path: Path) -> None:
    """Python without `site` knows of no packages but those of PYTHONPATH."""
    distribution = metadata.distribution(package)
    own = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    for path in Path(str(distribution.locate_file(""))).iterdir():
        if path.name not in own:
            (tmp_path / path.name).symlink_to(path)
    code = (
        "from reelscope.engines.openai_chat import OpenAiChat\n"
        "from reelscope.settings import Describe\n"
        "OpenAiChat(Describe(base_url='http://127.0.0.1:1/v1'), None).open()"
    )
    source = Path(openai_chat.__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{source}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"EngineUnavailable: the package {package} is not installed" in ran.stderr
    assert "requirements.txt" in ran.stderr


# ---- asking again -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [
        fake.rate_limited(), fake.failing(500), fake.failing(503), fake.failing(529),
        fake.failing(408), fake.failing(409), fake.dropped("before"), fake.dropped("after"),
        fake.not_json(), fake.no_choices(), Behaviour(body=b"[]"), Behaviour(body=b""),
        Behaviour(body=b'{"choices": [7]}'), Behaviour(body=b"[" * 200_000),
        Behaviour(body=b"{}", headers={"Content-Encoding": "gzip"}),
        Behaviour(body=gzip.compress(b" " * 20_000_000), headers={"Content-Encoding": "gzip"}),
    ],
)  # fmt: skip
def test_what_may_pass_is_asked_again(
    server: FakeChat, make: Make, clock: Time, behaviour: Behaviour
) -> None:
    server.script = [behaviour, behaviour]
    assert make(chance=1.0).ask(request()).text == ANSWER
    assert server.requests == 3
    assert clock.slept[0] >= 0.5 and clock.slept[-1] >= 1.0, "longer each time"


def test_a_slow_answer_is_asked_for_again(server: FakeChat, make: Make) -> None:
    server.script = [fake.slow(2)]
    assert make(request_timeout_s=0.15).ask(request()).text == ANSWER
    assert server.requests == 2


def test_an_answer_that_trickles_is_cut_off() -> None:
    """Each piece comes in time, the whole does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            talk, _ = listening.accept()
            with talk:
                talk.recv(65_536)
                talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                try:
                    for _ in range(100):
                        talk.sendall(b" ")
                        time.sleep(0.02)
                except OSError:
                    pass

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        began = time.monotonic()
        settings = Describe(base_url=url, request_timeout_s=0.1, total_timeout_s=0.25)
        chat = OpenAiChat(settings, None, chance=lambda: 1.0)
        with pytest.raises(ServiceFailed, match="asked once: it took too long"):
            chat.ask(request())
        assert time.monotonic() - began < 0.5
        chat.close()
        thread.join()


@pytest.mark.parametrize(
    ("behaviour", "low", "high"),
    [
        (fake.rate_limited(7), 7, 7),
        (fake.rate_limited(0.25, as_ms=True), 0.25, 0.25),
        (fake.rate_limited(30, as_date=True), 28, 30),
        (Behaviour(503, "busy", headers={"Retry-After": "4"}), 4, 4),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to(
    server: FakeChat, make: Make, clock: Time, behaviour: Behaviour, low: float, high: float
) -> None:
    server.script = [behaviour]
    make().ask(request())
    assert low <= sum(clock.slept) <= high
    assert server.requests == 2


def test_what_cannot_begin_in_time_is_not_waited_for(
    server: FakeChat, make: Make, clock: Time
) -> None:
    server.script = [fake.rate_limited(601)]
    chat = make(total_timeout_s=600)
    with pytest.raises(ServiceFailed, match=r"asked once.*429"):
        chat.ask(request())
    assert clock.slept == []
    with pytest.raises(ServiceFailed, match="left alone"):
        chat.ask(request())
    assert server.requests == 1, "nobody asks while the server wants to be left alone"


@pytest.mark.parametrize(("wait_s", "asked"), [(8, 2), (10, 1)])
def test_nothing_is_sent_for_whose_answer_there_is_no_time(
    server: FakeChat, make: Make, wait_s: int, asked: int
) -> None:
    server.script = [fake.rate_limited(wait_s)]
    chat = make(total_timeout_s=12)  # a quarter of it has to be left
    with pytest.raises(ServiceFailed) if asked == 1 else nullcontext():
        chat.ask(request())
    assert server.requests == asked


def test_the_total_time_is_kept(server: FakeChat, make: Make, clock: Time) -> None:
    server.default = fake.failing(500)
    with pytest.raises(ServiceFailed, match=r"asked \d+ times.*500"):
        make(chance=1.0, total_timeout_s=100).ask(request())
    assert clock.now_s < 100
    assert clock.slept == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert server.requests == 9


def test_where_nobody_listens_it_is_given_up_soon(make: Make, clock: Time) -> None:
    chat = make(base_url="http://127.0.0.1:1/v1", chance=1.0)
    with pytest.raises(ServiceFailed, match="no connection"):
        chat.ask(request())
    assert len(clock.slept) == openai_service.UNREACHED_ATTEMPTS - 1
    assert clock.now_s < 20


def test_an_error_with_status_200_is_told(server: FakeChat, make: Make) -> None:
    error = {"error": {"code": 502, "message": f"Provider\nreturned error for {KEY}"}}
    server.default = Behaviour(body=json.dumps(error).encode())
    with pytest.raises(ServiceFailed, match=r"Provider returned error for \*\*\*$") as caught:
        make().ask(request())
    assert_no_key(everything_said(caught.value))


def test_senseless_answers_are_not_bought_for_ten_minutes(server: FakeChat, make: Make) -> None:
    server.default = fake.not_json()
    with pytest.raises(ServiceFailed, match="not JSON"):
        make().ask(request())
    assert server.requests == openai_service.SENSELESS_ATTEMPTS


def test_a_429_holds_everybody(server: FakeChat) -> None:
    """Real time: eight threads, one is told to wait."""
    server.script = [fake.rate_limited(0.2)]
    chat = OpenAiChat(Describe(base_url=server.url), SecretStr(KEY))
    with pytest.raises(ServiceFailed):
        small = OpenAiChat(Describe(base_url=server.url, total_timeout_s=0.1), SecretStr(KEY))
        chat._pace = small._pace
        try:
            small.ask(request())
        finally:
            small.close()
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: chat.ask(request()).text, range(8)))
    chat.close()
    assert answers == [ANSWER] * 8
    assert time.monotonic() - began >= 0.15
    assert server.requests == 9


def test_what_is_left_of_the_limits_is_heeded(server: FakeChat, make: Make, clock: Time) -> None:
    server.script = [
        fake.rate_headers(requests=0, reset_requests="1m2s"),
        fake.rate_headers(tokens=0, reset_tokens="20ms"),
        fake.rate_headers(),
    ]
    chat = make()
    for slept in ([], [62.0], [62.0, pytest.approx(0.02)], [62.0, pytest.approx(0.02)]):
        chat.ask(request())
        assert clock.slept == slept
    assert server.requests == 4


def test_many_threads_at_once_share_one_client(server: FakeChat, make: Make) -> None:
    server.failure_share = 0.2
    chat = make(concurrency=16)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: chat.ask(request()), range(100)))
    total = Tokens(sum(a.tokens.input for a in answers), 0, sum(a.tokens.output for a in answers))
    assert total == server.paid
    assert server.answered == 100 < server.requests


# ---- what does not pass -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (fake.unauthorized(), "does not accept the key"),
        (Behaviour(401, f"Incorrect API key provided: {KEY[:8]}*****{KEY[-4:]}"), "not accept"),
        (Behaviour(403, f"key {KEY} may not"), "does not let this key"),
        (fake.forbidden(), "does not let this key"),
        (fake.quota(), "nothing left to spend"),
        (Behaviour(429, "quota", None, "insufficient_quota"), "nothing left to spend"),
        (Behaviour(400, "limit", "billing_hard_limit_reached"), "nothing left to spend"),
        (Behaviour(429, "off", "billing_not_active"), "nothing left to spend"),
        (Behaviour(402, "Insufficient Balance"), "nothing left to spend"),
        (fake.no_model(), "no model gpt-4o"),
        (Behaviour(404, body=b"404 page not found"), "nothing at this address"),
        (Behaviour(307, headers={"Location": "/elsewhere"}), "another address"),
    ],
)
def test_what_closes_the_service(
    server: FakeChat, make: Make, clock: Time, behaviour: Behaviour, words: str
) -> None:
    server.script = [behaviour]
    with pytest.raises(ServiceClosed, match=words) as caught:
        make().ask(request())
    assert server.requests == 1 and clock.slept == []
    assert caught.value.remedy and "\n" not in str(caught.value)
    assert_no_key(everything_said(caught.value))


def test_a_key_of_another(server: FakeChat, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    server.key = "sk-somebody-else"
    with caplog.at_level(logging.DEBUG), pytest.raises(ServiceClosed) as caught:
        make().ask(request())
    assert_no_key(everything_said(caught.value))
    assert_no_key("\n".join(f"{r.getMessage()} {r.exc_text}" for r in caplog.records))
    server.key = None
    with pytest.raises(ServiceClosed, match="asks for a key"):
        server.script = [fake.unauthorized()]
        make(key=None).ask(request())


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(400, "Invalid schema for response_format"), "400: Invalid schema"),
        (Behaviour(422, "a\x1b[31m\nb\u202e"), r"422: a \[31m b"),
        (Behaviour(413, "x" * 5000), "x" * 100),
        (Behaviour(400, f"your key is {KEY}, you know"), r"your key is \*\*\*, you know"),
        (Behaviour(400, f"key={KEY[5:20]} is odd"), r"key=\*\*\* is odd"),
        (Behaviour(400, "x" * 290 + KEY), "xxx"),
        (Behaviour(400, body=b"plain words"), "plain words"),
        (Behaviour(400, body=b'{"detail": "no pictures"}'), "no pictures"),
        (Behaviour(400, body=b'{"error": "no such thing"}'), "no such thing"),
        (Behaviour(400, body=b'{"error": {"message": ["odd"], "code": 17}}'), "400"),
        (Behaviour(418, body=b'"\\ud800 lone"'), "lone"),
    ],
)
def test_what_is_refused_is_not_asked_again(
    server: FakeChat, make: Make, behaviour: Behaviour, said: str
) -> None:
    server.script = [behaviour]
    with pytest.raises(RequestRefused, match=said) as caught:
        make().ask(request())
    message = str(caught.value)
    assert len(message) < 400 and message.isprintable()
    message.encode()
    assert_no_key(everything_said(caught.value))
    assert server.requests == 1


def test_a_failure_shows_no_key_either(
    server: FakeChat, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server.default = fake.failing(500, f"broken for {KEY} and {KEY[3:15]}")
    with caplog.at_level(logging.DEBUG), pytest.raises(ServiceFailed) as caught:
        make(chance=1.0).ask(request())
    assert_no_key(everything_said(caught.value))
    assert_no_key("\n".join(f"{r.getMessage()} {r.exc_text}" for r in caplog.records))
    assert any("asked again" in r.getMessage() for r in caplog.records)
    assert "/9j" not in caplog.text and "base64" not in caplog.text


# ---- answers that are none --------------------------------------------------------------


def test_refusals_and_filters_are_answers(server: FakeChat, make: Make) -> None:
    flagged = {"error": {"message": "flagged", "code": 403, "metadata": {"flagged_input": "x"}}}
    server.script = [
        fake.refusal("I'd rather\nnot"),
        fake.filtered(),
        fake.filtered_request(),
        Behaviour(403, body=json.dumps(flagged).encode()),
        fake.null_content(),
    ]
    chat = make()
    refused, held_back, not_read, moderated, empty = (chat.ask(request()) for _ in range(5))
    assert (refused.finish, refused.refusal, refused.text) == ("stop", "I'd rather not", "")
    assert held_back.finish == "content_filter" and held_back.refusal
    assert held_back.tokens.input > 0, "it is paid for"
    assert not_read.finish == "content_filter"
    assert "content policy" in (not_read.refusal or "")
    assert not_read.tokens == Tokens()
    assert (moderated.finish, moderated.refusal) == ("content_filter", "flagged")
    assert (empty.text, empty.finish, empty.refusal) == ("", "stop", None)
    assert server.requests == 5


def test_a_cut_answer_says_so(server: FakeChat, make: Make) -> None:
    server.script = [fake.truncated(9), fake.truncated(9, unless_max_tokens=100)]
    cut = make().ask(request())
    assert (cut.text, cut.finish) == (ANSWER[:9], "length")
    whole = make().ask(request(max_output_tokens=100))
    assert (whole.text, whole.finish) == (ANSWER, "stop")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, Tokens()),
        ("many", Tokens()),
        ({"prompt_tokens": "12", "completion_tokens": 3.5}, Tokens()),
        ({"prompt_tokens": -1, "completion_tokens": True}, Tokens()),
        ({"prompt_tokens": 10**30, "completion_tokens": 4}, Tokens(0, 0, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None},
         Tokens(9, 0, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4,
          "prompt_tokens_details": {"cached_tokens": 5}}, Tokens(9, 5, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4,
          "prompt_tokens_details": {"cached_tokens": 50}}, Tokens(9, 9, 4)),
    ],
)  # fmt: skip
def test_counts_of_any_kind(server: FakeChat, make: Make, usage: Any, tokens: Tokens) -> None:
    server.script = [Behaviour(usage=usage)]
    assert make().ask(request()).tokens == tokens


def completion(content: Any, **more: Any) -> Behaviour:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Behaviour(body=json.dumps({"model": "m", "choices": [choice], **more}).encode())


def test_hostile_answers(server: FakeChat, make: Make) -> None:
    server.script = [
        completion("a\ud800b\U0001f600"),
        completion("x", model="m\x00\n" * 900),
        completion("x", model={"a": 1}),
    ]
    chat = make()
    lone, long_name, odd_name = (chat.ask(request()) for _ in range(3))
    assert lone.text == "a�b\U0001f600"
    assert len(long_name.model) <= 200 and long_name.model.isprintable()
    assert odd_name.model == "gpt-4o"


def test_a_server_that_compresses_all_the_same(server: FakeChat, make: Make) -> None:
    data = gzip.compress(completion("hello").body or b"")
    server.script = [Behaviour(body=data, headers={"Content-Encoding": "gzip"})]
    assert make().ask(request()).text == "hello"


@pytest.mark.parametrize(
    "behaviour",
    [
        completion("é" * 600_000),
        Behaviour(body=b" " * 9_000_000),
        Behaviour(500, body=b" " * 9_000_000),
        Behaviour(body=gzip.compress(b" " * 90_000_000), headers={"Content-Encoding": "gzip"}),
        Behaviour(body=b"{}", headers={"Content-Encoding": "br"}),
    ],
)
def test_endless_answers_are_not_bought_twice(
    server: FakeChat, make: Make, behaviour: Behaviour
) -> None:
    server.script = [behaviour]
    with pytest.raises(ServiceFailed, match=r"longer than|without end|compresses"):
        make().ask(request())
    assert server.requests == 1


# ---- batches ----------------------------------------------------------------------------


@pytest.fixture
def lines(tmp_path: Path, make: Make) -> Path:
    path = tmp_path / "in.jsonl"
    chat = make()
    path.write_bytes(b"".join(chat.line(f"v{i}", request()) for i in range(5)))
    return path


def test_a_batch_from_its_file_to_its_answers(server: FakeChat, make: Make, lines: Path) -> None:
    chat = make()
    batch_id = chat.submit(lines, label="run 1")
    sent = server.files[server.batches[batch_id].fields["input_file_id"]]
    assert sent == ("in.jsonl", "batch", lines.read_bytes())
    waiting = chat.state(batch_id)
    assert (waiting.status, waiting.done, waiting.total) == ("waiting", 0, 5)
    assert list(chat.answers(batch_id)) == []
    server.finish_batches(
        behaviours={
            "v1": fake.failing(400, f"bad picture for {KEY}"),
            "v3": fake.filtered_request(),
            "v4": fake.refusal("no"),
        },
        expire={"v2"},
    )
    ended = chat.state(batch_id)
    assert (ended.status, ended.done, ended.total) == ("ended", 5, 5)
    answers = dict(chat.answers(batch_id))
    assert set(answers) == {"v0", "v1", "v2", "v3", "v4"}
    good, refused = answers["v0"], answers["v4"]
    assert isinstance(good, ChatAnswer) and isinstance(refused, ChatAnswer)
    assert good.text == ANSWER and refused.refusal == "no"
    assert server.paid.input == good.tokens.input + refused.tokens.input
    bad, late = answers["v1"], answers["v2"]
    assert isinstance(bad, Unanswered) and "bad picture" in bad.message
    assert_no_key(bad.message)
    assert isinstance(late, Unanswered) and "batch_expired" in late.message
    held_back = answers["v3"]
    assert isinstance(held_back, ChatAnswer) and held_back.finish == "content_filter"
    assert server.requests == 0


def test_a_batch_is_found_by_its_label(
    server: FakeChat, make: Make, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_chat, "PAGE", 2)
    chat = make()
    assert chat.find("a") is None
    ids = [chat.submit(lines, label=label) for label in "abcde"]
    assert [chat.find(label) for label in "abcde"] == ids
    assert chat.find("f") is None
    monkeypatch.setattr(openai_chat, "MAX_PAGES", 1)
    assert chat.find("a") is None, "it does not look for ever"
    assert chat.find("e") == ids[4]
    server.fail_batches()
    assert chat.find("e") is None, "a batch that failed is sent again"


def test_batches_that_come_to_nothing(server: FakeChat, make: Make, lines: Path) -> None:
    chat = make()
    failed = chat.submit(lines, label="a")
    server.fail_batches(f"line 1 is\nwrong {KEY}")
    state = chat.state(failed)
    assert (state.status, state.message) == ("lost", "failed; line 1 is wrong ***")
    for missing in ("batch_99", "", "..", "a/b", "x" * 300):
        assert chat.state(missing).status == "lost"
        assert list(chat.answers(missing)) == []
    expired = chat.submit(lines, label="b")
    server.finish_batches("expired", expire={f"v{i}" for i in range(5)})
    assert chat.state(expired).status == "ended", "each request learns that it expired"
    assert all(isinstance(a, Unanswered) for _, a in chat.answers(expired))
    cancelled = chat.submit(lines, label="c")
    server.batches[cancelled].fields["status"] = "cancelled"
    assert chat.state(cancelled).status == "lost"


def test_batches_are_asked_for_again_too(
    server: FakeChat, make: Make, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_chat, "BLOCK_BYTES", 64)  # so that half a file is half read
    chat = make()
    server.batch_script = [fake.failing(500), fake.dropped(), fake.good(), fake.rate_limited(3)]
    batch_id = chat.submit(lines, label="a")
    assert len(server.batches) == 1 and len(server.files) == 1
    server.finish_batches()
    server.batch_script = [fake.failing(503), fake.good(), fake.dropped(), fake.dropped("after")]
    answers = list(chat.answers(batch_id))
    assert [name for name, _ in answers] == [f"v{i}" for i in range(5)], "once each"
    assert all(isinstance(answer, ChatAnswer) for _, answer in answers)


def test_a_batch_whose_receipt_was_lost_is_not_submitted_twice(
    server: FakeChat, make: Make, lines: Path
) -> None:
    server.batch_script = [fake.good(), fake.dropped("after")]
    batch_id = make().submit(lines, label="a")
    assert list(server.batches) == [batch_id]


def test_hostile_results(
    server: FakeChat, make: Make, lines: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(openai_chat, "MAX_BODY_BYTES", 1000)
    chat = make()
    batch_id = chat.submit(lines, label="a")
    server.finish_batches()
    good = json.loads(server.files["file-2"][2].splitlines()[0])
    results = [
        b"", b"no json", b"[" * 900, b"[]", b'{"custom_id": 7}', b"x" * 3500,
        json.dumps({"custom_id": "a", "response": "odd"}).encode(),
        json.dumps({"custom_id": "b", "response": {"status_code": 200, "body": []}}).encode(),
        json.dumps({"custom_id": "c", "response": {"status_code": "x", "body": "no"}}).encode(),
        json.dumps({"custom_id": "d", "error": {"code": "odd", "message": "\x1b" * 9}}).encode(),
        json.dumps({**good, "custom_id": "e"}).encode(),
    ]  # fmt: skip
    server.files["file-2"] = ("out", "batch_output", b"\n".join(results))
    answers = dict(chat.answers(batch_id))
    assert set(answers) == set("abcde")
    assert isinstance(answers["e"], ChatAnswer)
    for name in "abcd":
        unanswered = answers[name]
        assert isinstance(unanswered, Unanswered) and unanswered.message
        assert unanswered.message.isprintable()
    assert "names no request" in caplog.text and "too long" in caplog.text
    monkeypatch.setattr(openai_chat, "MAX_RESULT_FILE_BYTES", 1000)
    with pytest.raises(ServiceFailed, match="no end"):
        list(chat.answers(batch_id))


def test_a_server_without_batches(server: FakeChat, make: Make, lines: Path) -> None:
    server.batch_script = [fake.failing(404), fake.unauthorized()]
    for _ in range(2):
        with pytest.raises(ServiceClosed):
            make().submit(lines, label="a")
