"""The fake chat server, asked by httpx as it is and by the official client."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from reelscope.description.answer import answer_schema, check_answer
from reelscope.description.chat import Tokens
from reelscope.settings import Describe
from reelscope.testing import chat as fake
from reelscope.testing.chat import Behaviour, FakeChat, serve

KEY = "sk-test-0123456789abcdef"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tone": {
            "type": "object",
            "properties": {
                "value": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                "kind": {"type": ["string", "null"], "enum": ["calm", "loud", None]},
                "count": {"type": "integer"},
                "evidence": {"type": "array", "items": {"$ref": "#/$defs/evidence"}},
            },
            "required": ["value", "confidence", "kind", "count", "evidence"],
            "additionalProperties": False,
        }
    },
    "required": ["tone"],
    "additionalProperties": False,
    "$defs": {
        "evidence": {
            "type": "object",
            "properties": {
                "source": {"type": "string", "enum": ["frame", "speech"]},
                "time_s": {"type": ["number", "null"]},
                "quote": {"type": ["string", "null"]},
            },
            "required": ["source", "time_s", "quote"],
            "additionalProperties": False,
        }
    },
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/2Q=="}}


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(key=KEY)) as chat:
        yield chat


@pytest.fixture
def client(server: FakeChat) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=server.url, max_retries=0) as it:
        yield it


def body(prompt: str = "frame at 2.50 s", **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": prompt}, IMAGE]
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def post(server: FakeChat, key: str = KEY, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.url}/chat/completions"
    return httpx.post(url, json=body(**more), headers=headers, timeout=5)


def text(server: FakeChat, **more: Any) -> str:
    choice = post(server, **more).json()["choices"][0]
    return str(choice["message"]["content"])


def test_the_official_client_reads_an_answer_that_fits_the_schema(
    server: FakeChat, client: openai.OpenAI
) -> None:
    completion = client.chat.completions.create(**body(response_format=FORMAT))
    choice = completion.choices[0]
    data = json.loads(choice.message.content or "")
    jsonschema.validate(data, SCHEMA)
    assert choice.finish_reason == "stop"
    assert data["tone"]["value"] == "stand-in answer for tone"
    assert data["tone"]["evidence"] == [{"source": "frame", "time_s": 2.5, "quote": None}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type(completion).model_validate(completion.model_dump())
    assert completion.usage is not None
    assert server.paid == Tokens(
        completion.usage.prompt_tokens, 0, completion.usage.completion_tokens
    )
    assert server.paid.input == 4 + fake.IMAGE_TOKENS
    assert (server.requests, server.answered) == (1, 1)


def test_a_stand_in_answers_every_question_that_is_asked_by_default(server: FakeChat) -> None:
    dimensions = Describe().dimensions
    schema = answer_schema(dimensions)
    response_format = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    prompt = 'a caption: "frame at 7.50 s"\nFrame at 2.5 s:'
    data = json.loads(text(server, prompt=prompt, response_format=response_format))
    jsonschema.validate(data, schema)
    checked = check_answer(data, dimensions, whole=True)
    assert not checked.problems and not checked.missing
    assert data["category"]["evidence"][0]["time_s"] == 2.5


def test_no_frame_in_the_prompt_no_evidence(server: FakeChat) -> None:
    data = json.loads(text(server, prompt="nothing", response_format=FORMAT))
    jsonschema.validate(data, SCHEMA)
    assert data["tone"]["evidence"] == []


def test_without_a_schema_in_the_request_its_own_or_words(server: FakeChat) -> None:
    assert text(server) == "stand-in answer for a text"
    server.schema = SCHEMA
    jsonschema.validate(json.loads(text(server)), SCHEMA)
    server.answer = lambda asked: f"{asked['model']} says"
    assert text(server) == "m says"


def test_requests_are_kept_without_pictures_and_without_the_key(server: FakeChat) -> None:
    post(server)
    asked = server.asked[0]
    image = asked.body["messages"][0]["content"][1]["image_url"]["url"]
    assert image.startswith("4 bytes, sha256 ")
    assert asked.authorised and "authorization" in asked.headers
    assert KEY not in repr(server) and "/9j/" not in repr(server)


def test_another_key_is_not_let_in(server: FakeChat) -> None:
    answer = post(server, key="sk-another-key-9876")
    assert answer.status_code == 401
    assert "sk-anoth***9876" in answer.json()["error"]["message"], "as vendors do"
    assert not server.asked[0].authorised
    assert server.answered == 0
    assert httpx.get(f"{server.url}/batches").status_code == 401


@pytest.mark.parametrize(
    ("behaviour", "error", "code"),
    [
        (fake.rate_limited(), openai.RateLimitError, "rate_limit_exceeded"),
        (fake.quota(), openai.RateLimitError, "insufficient_quota"),
        (fake.unauthorized(), openai.AuthenticationError, "invalid_api_key"),
        (fake.forbidden(), openai.PermissionDeniedError, "unsupported_country_region_territory"),
        (fake.no_model(), openai.NotFoundError, "model_not_found"),
        (fake.failing(), openai.InternalServerError, None),
        (fake.failing(503), openai.InternalServerError, None),
        (fake.filtered_request(), openai.BadRequestError, "content_filter"),
    ],
)
def test_errors_reach_the_official_client(
    server: FakeChat,
    client: openai.OpenAI,
    behaviour: Behaviour,
    error: type[openai.APIStatusError],
    code: str | None,
) -> None:
    server.script = [behaviour]
    with pytest.raises(error) as caught:
        client.chat.completions.create(**body())
    assert caught.value.code == code
    assert client.chat.completions.create(**body()).choices, "then all is well again"
    assert (server.requests, server.answered) == (2, 1)


def test_when_to_come_back(server: FakeChat) -> None:
    server.script = [
        fake.rate_limited(7),
        fake.rate_limited(7, as_date=True),
        fake.rate_limited(0.25, as_ms=True),
        fake.rate_limited(),
    ]
    seconds, date, ms, nothing = (post(server).headers for _ in range(4))
    assert seconds["Retry-After"] == "7"
    came = parsedate_to_datetime(date["Date"])
    assert 5 <= (parsedate_to_datetime(date["Retry-After"]) - came).total_seconds() <= 8
    assert ms["retry-after-ms"] == "250"
    assert "Retry-After" not in nothing
    server.script = [fake.rate_headers(requests=0, reset_requests="1m2s")]
    assert post(server).headers["x-ratelimit-reset-requests"] == "1m2s"


@pytest.mark.parametrize(("when", "paid"), [("before", 0), ("after", 1)])
def test_dropped_connections(server: FakeChat, when: Any, paid: int) -> None:
    server.script = [fake.dropped(when)]
    with pytest.raises(httpx.RemoteProtocolError):
        post(server)
    assert server.answered == paid, "a vendor bills what it has sent"


def test_a_slow_answer_does_not_keep_the_server_from_closing() -> None:
    with serve(FakeChat(default=fake.slow(60))) as chat, pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{chat.url}/chat/completions", json=body(), timeout=0.1)


def test_spoiled_answers(server: FakeChat) -> None:
    good = text(server, response_format=FORMAT)
    server.script = [fake.truncated(20), fake.truncated(20, unless_max_tokens=100)]
    cut = post(server, response_format=FORMAT).json()["choices"][0]
    assert (cut["message"]["content"], cut["finish_reason"]) == (good[:20], "length")
    whole = post(server, response_format=FORMAT, max_tokens=100).json()["choices"][0]
    assert (whole["message"]["content"], whole["finish_reason"]) == (good, "stop")
    server.script = [fake.fenced(), fake.wrong_schema(), fake.sloppy(), fake.prose()]
    fenced, wrong, sloppy, prose = (text(server, response_format=FORMAT) for _ in range(4))
    assert f"```json\n{good}\n```" in fenced
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(wrong), SCHEMA)
    for spoiled in (sloppy, prose, fenced):
        with pytest.raises(json.JSONDecodeError):
            json.loads(spoiled)
    assert "'" in sloppy and ",}" in sloppy


def test_answers_without_text(server: FakeChat, client: openai.OpenAI) -> None:
    server.script = [
        fake.refusal("no"), fake.filtered(), fake.null_content(), fake.no_choices(),
        Behaviour(usage=None),
    ]  # fmt: skip
    refused, filtered, null, nothing, uncounted = (
        client.chat.completions.create(**body()) for _ in range(5)
    )
    assert refused.choices[0].message.refusal == "no"
    assert filtered.choices[0].finish_reason == "content_filter"
    assert null.choices[0].message.content is None
    assert nothing.choices == []
    assert uncounted.usage is None
    assert server.answered == 4, "an answer without choices is not billed"
    server.script = [fake.not_json()]
    assert post(server).text.startswith("<html>")


def test_a_share_fails_by_chance_and_repeatably() -> None:
    def outcomes(seed: int) -> list[int]:
        found = []
        share = FakeChat(failure_share=0.5, seed=seed)
        with serve(share) as chat, httpx.Client() as session:
            for _ in range(40):
                try:
                    found.append(
                        session.post(f"{chat.url}/chat/completions", json=body()).status_code
                    )
                except httpx.RemoteProtocolError:
                    found.append(0)
            assert chat.requests == 40
            assert chat.answered == found.count(200), "failures by chance are not billed"
        return found

    first = outcomes(1)
    assert set(first) == {200, 429, 500, 0}
    assert outcomes(1) == first != outcomes(2)


def test_files_and_batches(server: FakeChat, client: openai.OpenAI) -> None:
    lines = [
        {"custom_id": f"v{i}", "method": "POST", "url": "/v1/chat/completions", "body": body()}
        for i in range(3)
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    assert (file.bytes, file.purpose) == (len(data), "batch")
    assert client.files.content(file.id).read() == data
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"reelscope": "a"},
    )
    assert (batch.status, server.answered) == ("in_progress", 0)
    server.finish_batches(behaviours={"v1": fake.failing(400)}, expire={"v2"})
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed" and batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 2)
    assert batch.output_file_id is not None and batch.error_file_id is not None
    (answered,) = client.files.content(batch.output_file_id).text.splitlines()
    assert json.loads(answered)["response"]["body"]["choices"]
    refused, expired = map(json.loads, client.files.content(batch.error_file_id).text.splitlines())
    assert refused["response"]["status_code"] == 400
    assert expired["error"]["code"] == "batch_expired"
    assert server.answered == 1


def test_the_list_of_batches_has_pages(server: FakeChat, client: openai.OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
    for number in range(5):
        client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"reelscope": str(number)},
        )
    assert [b.metadata["reelscope"] for b in client.batches.list(limit=2) if b.metadata] == [
        "4", "3", "2", "1", "0",
    ]  # fmt: skip
    server.fail_batches("bad line")
    errors = client.batches.retrieve("batch_1").errors
    assert errors is not None and errors.data is not None
    assert errors.data[0].message == "bad line"
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_9")
    server.batch_script = [fake.failing(500)]
    with pytest.raises(openai.InternalServerError):
        client.batches.retrieve("batch_1")
