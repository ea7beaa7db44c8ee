"""What was asked and answered, on disk: it comes back as it was, or not at all."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.description.chat import ChatAnswer, ChatRequest, Message, Picture, Tokens
from reelscope.description.evidence import Given
from reelscope.description.exchange import FILE_NAME, Exchange, load_exchange
from reelscope.errors import AnswerUnusable, OutputError
from reelscope.records import SentImage

PICTURE = Picture("chosen-0.jpg", b"\xff\xd8 some bytes", 432, 768, "low")
OTHER = Picture("chosen-1.jpg", b"\xff\xd8 others", 432, 768, "low")
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"tone": {"type": "string"}}}
REQUEST = ChatRequest(
    model="gpt-4o",
    messages=(
        Message("system", ("Answer in JSON.",)),
        Message("user", ("Two frames:", PICTURE, "", OTHER, "and words\u2028of it")),
    ),
    response_format="json_schema",
    schema=SCHEMA,
    max_output_tokens=500,
    temperature=0.25,
)
SENT = SentImage(
    time_s=1.5, file="chosen-0.jpg", width=432, height=768, bytes_before=9, bytes_after=9
)
GIVEN = Given(frames_s=(1.5,), words={"speech": ((0.5, "hello"),), "caption": ((None, "Look"),)})
ANSWER = ChatAnswer('{"tone": "calm"}', "gpt-4o-2024-08-06", "stop", None, Tokens(120, 20, 30))


def begun() -> Exchange:
    exchange = Exchange.about(REQUEST, GIVEN, (SENT,), engine="e")
    return exchange.with_turn(REQUEST, mode="batch", answer=None)


def again(exchange: Exchange, **changed: Any) -> ChatRequest:
    pictures = {picture.file: picture for picture in (PICTURE, OTHER)}
    return exchange.first_request({**pictures, **changed}, SCHEMA)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "ana" / "v1"
    assert load_exchange(folder) is None
    exchange = begun().with_answer(REQUEST.key, ANSWER)
    exchange.save(folder)
    back = load_exchange(folder)
    assert back == exchange
    assert back.given == GIVEN
    turn = back.turn(REQUEST.key)
    assert turn is not None and turn.answer is not None
    assert turn.answer.answer() == ANSWER
    assert back.answered(REQUEST) == turn.answer


def test_a_person_can_read_it_and_it_holds_no_picture(tmp_path: Path) -> None:
    begun().save(tmp_path)
    text = (tmp_path / FILE_NAME).read_text(encoding="utf-8")
    assert "chosen-0.jpg" in text
    assert "Two frames:" in text
    assert "some bytes" not in text
    assert "base64" not in text
    assert '"properties"' not in text, "the schema stands there as its hash"


def test_the_first_request_can_be_made_again() -> None:
    made = again(begun())
    assert made == REQUEST
    assert made.key == REQUEST.key == begun().key


@pytest.mark.parametrize("response_format", ["json_object", "text"])
def test_a_request_without_a_schema_gets_none(response_format: Any) -> None:
    request = replace(REQUEST, schema=None, response_format=response_format)
    exchange = Exchange.about(request, GIVEN, (), engine="e").with_turn(
        request, mode="live", answer=None
    )
    assert again(exchange).key == request.key


def test_it_is_the_first_request_even_when_others_followed() -> None:
    longer = replace(REQUEST, max_output_tokens=1000)
    exchange = begun().with_turn(longer, mode="live", answer=ANSWER)
    assert again(exchange).key == REQUEST.key
    assert again(exchange.with_turn(REQUEST, mode="batch", answer=None)).key == REQUEST.key


def test_other_pictures_make_another_request() -> None:
    changed = replace(PICTURE, jpeg=b"\xff\xd8 changed")
    assert again(begun(), **{"chosen-0.jpg": changed}).key != REQUEST.key


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(
    parts=st.lists(texts | st.sampled_from([PICTURE, OTHER]), max_size=6),
    model=texts.filter(bool),
    temperature=st.none() | st.floats(0, 2),
    room=st.integers(1, 10**6),
)
def test_every_request_survives_the_file(
    parts: list[Any], model: str, temperature: float | None, room: int
) -> None:
    request = replace(
        REQUEST,
        messages=(Message("user", tuple(parts)),),
        model=model,
        temperature=temperature,
        max_output_tokens=room,
    )
    exchange = Exchange.about(request, GIVEN, (), engine="e").with_turn(
        request, mode="live", answer=None
    )
    back = Exchange.model_validate_json(exchange.model_dump_json())
    assert again(back).key == request.key


def test_a_turn_is_there_once_and_an_answer_replaces_its_absence() -> None:
    exchange = begun()
    assert exchange.answered(REQUEST) is None
    exchange = exchange.with_turn(REQUEST, mode="live", answer=ANSWER)
    assert len(exchange.turns) == 1
    assert exchange.turns[0].mode == "live"
    saved = exchange.answered(REQUEST)
    assert saved is not None and saved.text == ANSWER.text
    assert exchange.turn("another") is None


def test_an_answer_goes_to_its_question_alone_and_the_first_one_stays() -> None:
    exchange = begun()
    assert exchange.with_answer("another", ANSWER) == exchange
    answered = exchange.with_answer(REQUEST.key, ANSWER)
    later = answered.with_answer(REQUEST.key, replace(ANSWER, text="later"))
    assert later == answered


def test_a_batchs_answer_is_paid_as_one_even_if_it_was_asked_live_since() -> None:
    exchange = begun().with_turn(REQUEST, mode="live", answer=None)
    [turn] = exchange.with_answer(REQUEST.key, ANSWER).turns
    assert turn.mode == "batch"
    live = begun().with_turn(REQUEST, mode="live", answer=ANSWER)
    [turn] = live.with_answer(REQUEST.key, replace(ANSWER, text="late")).turns
    assert (turn.mode, turn.answer and turn.answer.text) == ("live", ANSWER.text)


# ---- a file that was changed or damaged -------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"17",
        b"\xff\xfe\x00",
        b'{"key": "\xc3("}',
        b'{"key": 1, "images": [], "words": {}}',
        b'{"key": "k", "images": {}, "words": {}}',
        b'{"key": "k", "images": [], "words": {"telepathy": []}}',
        b'{"key": "k", "images": [], "words": {}, "turns": [{"key": "k"}]}',
        b'{"key": "k", "images": [], "words": {}, "extra": 1}',
        b'{"key": "\\ud800", "images": [], "words": {}}',
        b"[" * 1_000_000,
        b'{"key": "k", "images": [], "words": {}, "turns": ' + b'{"a":' * 100_000,
        b'{"key": "' + b"x" * 10_000_000,
    ],
    ids=lambda content: repr(content[:30]),
)
def test_what_cannot_be_understood_is_no_exchange(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load_exchange(tmp_path) is None
    assert "made anew" in caplog.text
    assert len(caplog.text) < 3000


def test_ten_megabytes_of_words_are_read(tmp_path: Path) -> None:
    many = Given(frames_s=(), words={"speech": ((0.0, "word " * 2_000_000),)})
    Exchange.about(REQUEST, many, (), engine="e").save(tmp_path)
    back = load_exchange(tmp_path)
    assert back is not None and back.given == many


def test_a_folder_or_a_link_to_nowhere_is_no_exchange(tmp_path: Path) -> None:
    (tmp_path / "a" / FILE_NAME).mkdir(parents=True)
    assert load_exchange(tmp_path / "a") is None
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / FILE_NAME).symlink_to(tmp_path / "nowhere")
    assert load_exchange(tmp_path / "b") is None
    with pytest.raises(OutputError):
        begun().save(tmp_path / "a")


def test_what_a_link_points_to_is_not_written_over(tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text("mine")
    link = tmp_path / "v1" / FILE_NAME
    link.parent.mkdir()
    link.symlink_to(target)
    begun().save(link.parent)
    assert target.read_text() == "mine"
    assert not link.is_symlink()
    assert load_exchange(link.parent) == begun()


@pytest.mark.parametrize(
    "change",
    [
        {"request": None},
        {"request": 17},
        {"request": []},
        {"request": {}},
        {"request": {"schema": None}},
        {"request": {"schema": None, "messages": 5}},
        {"request": {"schema": None, "messages": [5]}},
        {"request": {"schema": None, "messages": [{"role": "user", "parts": [5]}]}},
        {"request": {"schema": None, "messages": [{"role": "user", "parts": [{"image": []}]}]}},
        {"request": {"schema": None, "messages": [], "surprise": 1}},
        {"key": "of another"},
    ],
    ids=str,
)
def test_a_request_that_cannot_be_made_again_is_said(change: dict[str, Any]) -> None:
    data = json.loads(begun().model_dump_json())
    data["turns"][0].update(change)
    changed = Exchange.model_validate(data)
    with pytest.raises(AnswerUnusable, match="does not say what was asked"):
        again(changed)


def test_a_picture_that_is_not_given_is_said() -> None:
    with pytest.raises(AnswerUnusable):
        begun().first_request({"chosen-0.jpg": PICTURE}, SCHEMA)
