"""What was asked about a video and what came back, beside its record.

Every request is saved before it is sent and every answer as soon as it is there. So
nothing that was answered is paid for twice, however the run ends, and a person can read
what a model was told: pictures stand there as file names, and no key does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, JsonValue, ValidationError

from reelscope.atomic import write_atomic
from reelscope.description.chat import ChatAnswer, ChatRequest, Message, Picture, Tokens
from reelscope.description.evidence import Given
from reelscope.errors import AnswerUnusable
from reelscope.records import Count, EvidenceSource, Frozen, SentImage

log = logging.getLogger(__name__)

FILE_NAME = "description_requests.json"
Mode = Literal["live", "batch"]


class SavedAnswer(Frozen):
    """An answer as the server gave it."""

    text: str = Field(description="Unchanged.")
    model: str = Field(description="As the server names it.")
    finish: Literal["stop", "length", "content_filter"] = Field(description="Why it ended.")
    refusal: str | None = Field(description="Why there is no answer; null: there is one.")
    input_tokens: Count = Field(description="Read.")
    cached_input_tokens: Count = Field(description="Of those: from the server's cache.")
    output_tokens: Count = Field(description="Written.")
    received_at: datetime = Field(description="UTC.")

    def answer(self) -> ChatAnswer:
        """In the words of description/chat.py."""
        tokens = Tokens(self.input_tokens, self.cached_input_tokens, self.output_tokens)
        return ChatAnswer(self.text, self.model, self.finish, self.refusal, tokens)


class Turn(Frozen):
    """A request and, once it is there, its answer."""

    key: str = Field(description="sha256 over all that the answer depends on.")
    mode: Mode = Field(description="How it was asked.")
    batch: str | None = Field(
        default=None,
        pattern=r"^[^/\\]+$",
        description="Folder name of the batch of videos in which it was let wait.",
    )
    request: JsonValue = Field(
        description="What was sent, pictures as their file names, the schema as its sha256."
    )
    answer: SavedAnswer | None = Field(description="null: none came (yet).")


class Exchange(Frozen):
    """description_requests.json."""

    schema_version: int = Field(default=1, description="Of these keys.")
    key: str = Field(description="Of the first request: another question, another exchange.")
    engine: str = Field(description="Who was asked: model and server.")
    usable: bool = Field(
        default=True, description="false: no answer could be understood; the next run asks anew."
    )
    images: tuple[SentImage, ...] = Field(description="The pictures that were sent, in order.")
    words: dict[EvidenceSource, tuple[tuple[float | None, str], ...]] = Field(
        description="What answers may quote: source -> time and text of each piece."
    )
    turns: tuple[Turn, ...] = Field(default=(), description="In the order they were asked.")

    @classmethod
    def about(
        cls,
        request: ChatRequest,
        given: Given,
        images: tuple[SentImage, ...],
        *,
        engine: str,
    ) -> Exchange:
        """One that has not begun."""
        return cls(key=request.key, engine=engine, images=images, words=dict(given.words))

    def goes_on(self, request: ChatRequest, *, engine: str) -> bool:
        """Whether it began with this request to this server, and can be used."""
        return self.usable and (self.key, self.engine) == (request.key, engine)

    @property
    def given(self) -> Given:
        """What answers may name as evidence."""
        return Given(frames_s=tuple(image.time_s for image in self.images), words=self.words)

    def first_request(self, pictures: Mapping[str, Picture], schema: dict[str, Any]) -> ChatRequest:
        """The first request again.

        Args:
            pictures: by file name.
            schema: sent with it if it had one.

        Raises:
            AnswerUnusable: the file was changed, and no request can be read from it.
        """
        turn = self.turn(self.key)
        try:
            plain = dict(cast("dict[str, Any]", turn and turn.request))
            plain["schema"] = schema if plain["schema"] else None
            messages = tuple(
                Message(
                    turn["role"],
                    tuple(
                        str(part["text"]) if "text" in part else pictures[part["image"]]
                        for part in turn["parts"]
                    ),
                )
                for turn in plain.pop("messages")
            )
            return ChatRequest(messages=messages, **plain)
        except (TypeError, LookupError, AttributeError, ValueError) as error:
            raise AnswerUnusable(f"{FILE_NAME} does not say what was asked") from error

    def turn(self, key: str) -> Turn | None:
        """The request with this key, if it was asked."""
        return next((turn for turn in self.turns if turn.key == key), None)

    def answered(self, request: ChatRequest) -> SavedAnswer | None:
        """The saved answer to this very request, if there is one."""
        turn = self.turn(request.key)
        return turn.answer if turn else None

    def with_turn(
        self,
        request: ChatRequest,
        *,
        mode: Mode,
        answer: ChatAnswer | None,
        batch: str | None = None,
    ) -> Exchange:
        """The same with this request, in place of itself without an answer."""
        turn = Turn(
            key=request.key,
            mode=mode,
            batch=batch,
            request=_plain(request.shown()),
            answer=_saved(answer),
        )
        kept = tuple(t for t in self.turns if t.key != turn.key)
        return self.model_copy(update={"turns": (*kept, turn)})

    def with_answer(self, key: str, answer: ChatAnswer) -> Exchange:
        """The same with a batch's answer to a request that had none; else unchanged.

        It counts as a batch's, and is paid as such, even if it was asked live since, in vain.
        """
        turns = tuple(
            turn.model_copy(update={"answer": _saved(answer), "mode": "batch"})
            if turn.key == key and turn.answer is None
            else turn
            for turn in self.turns
        )
        return self.model_copy(update={"turns": turns})

    def save(self, folder: Path, name: str = FILE_NAME) -> None:
        """Write it beside the record.

        Raises:
            OutputError: it cannot be written.
        """
        write_atomic(folder / name, self.model_dump_json(indent=1) + "\n")


def load_exchange(folder: Path, name: str = FILE_NAME) -> Exchange | None:
    """What was saved; None if nothing was, or it cannot be understood."""
    path = folder / name
    try:
        return Exchange.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s is not of this version and is made anew: %s", path, error)
        return None


def _saved(answer: ChatAnswer | None) -> SavedAnswer | None:
    if answer is None:
        return None
    return SavedAnswer(
        text=answer.text,
        model=answer.model,
        finish=answer.finish,
        refusal=answer.refusal,
        input_tokens=answer.tokens.input,
        cached_input_tokens=answer.tokens.cached_input,
        output_tokens=answer.tokens.output,
        received_at=datetime.now(UTC),
    )


def _plain(data: Mapping[str, Any]) -> JsonValue:
    return dict(data)
