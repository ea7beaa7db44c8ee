"""What is asked of a chat model and what comes back, in our own words.

engines/openai_chat.py speaks to the servers; nothing here knows their format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

ResponseFormat: TypeAlias = Literal["json_schema", "json_object", "text"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture inside a message.

    Attributes:
        file: name inside the video's frames folder; this stands in logs, never the bytes.
        jpeg: the file's bytes as they are sent.
        width: pixels.
        height: pixels.
        detail: how closely the model looks.
    """

    file: str
    jpeg: bytes = field(repr=False)
    width: int
    height: int
    detail: Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: texts and pictures in order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True)  # without slots: the key, over all pictures, is made once
class ChatRequest:
    """A question to a chat model.

    Attributes:
        model: as the server names it.
        messages: the conversation so far.
        response_format: how the answer's shape is asked for.
        schema: strict JSON schema of the answer; sent with `json_schema` alone.
        max_output_tokens: of the answer.
        temperature: None: the server's own.
    """

    model: str
    messages: tuple[Message, ...]
    response_format: ResponseFormat
    schema: dict[str, Any] | None
    max_output_tokens: int
    temperature: float | None = None

    @cached_property
    def key(self) -> str:
        """sha256 over all that the answer depends on, pictures by their bytes."""
        return _sha256(json.dumps(self._plain(hashed=True)).encode())

    def shown(self) -> dict[str, Any]:
        """As plain data for logs and files: pictures as their file names, the schema as its hash.

        The schema says again what the messages say, at five times their length.
        """
        schema = self.schema and _sha256(json.dumps(self.schema).encode())
        return {**self._plain(hashed=False), "schema": schema}

    def _plain(self, *, hashed: bool) -> dict[str, Any]:
        def part(given: str | Picture) -> dict[str, Any]:
            if isinstance(given, str):
                return {"text": given}
            bytes_of = {"sha256": _sha256(given.jpeg)} if hashed else {}
            return {"image": given.file, "detail": given.detail, **bytes_of}

        return {
            "model": self.model,
            "response_format": self.response_format,
            "schema": self.schema,
            "max_output_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "messages": [
                {"role": message.role, "parts": [part(p) for p in message.parts]}
                for message in self.messages
            ],
        }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an answer took, as the server counts it."""

    input: int = 0
    cached_input: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a chat model said.

    Attributes:
        text: the answer, unchanged; empty if there is none.
        model: as the server names the one that answered.
        finish: why it ended: `stop`, `length` (no room left) or `content_filter`.
        refusal: why the model would not answer; None: it did.
        tokens: what it took.
    """

    text: str
    model: str
    finish: Literal["stop", "length", "content_filter"]
    refusal: str | None
    tokens: Tokens


class ChatModel(Protocol):
    """What answers. Safe to be asked from many threads at once."""

    @property
    def engine(self) -> str:
        """Which model on which server; the same text as long as the answers may be the same."""
        ...

    def open(self) -> None:
        """Make ready, without asking the server; raises EngineUnavailable."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...

    def ask(self, request: ChatRequest) -> ChatAnswer:
        """One answer, after as much waiting and asking again as the settings allow.

        Raises:
            ServiceClosed: the key is refused, the quota is used up, no such model.
            ServiceFailed: no answer in time, also after asking again.
            RequestRefused: the server will not take this request.
        """
        ...


BatchStatus: TypeAlias = Literal["waiting", "ended", "lost"]


@dataclass(frozen=True, slots=True)
class BatchState:
    """How far a batch of requests is.

    Attributes:
        status: `waiting`: not ready; `ended`: what was answered can be fetched; `lost`:
            it failed as a whole or is not there.
        message: in the server's words, for people.
        done: answered requests so far.
        total: all requests; 0: the server has not counted yet.
    """

    status: BatchStatus
    message: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request of a batch that got no answer, with the reason."""

    message: str


class ChatBatches(Protocol):
    """What takes many requests in a file and answers within a day."""

    def line(self, custom_id: str, request: ChatRequest) -> bytes:
        """The request as one line of the file, with its line feed."""
        ...

    def submit(self, path: Path, *, label: str) -> str:
        """Hand the file over; the batch's id. `label` is kept beside it for `find`.

        Raises:
            ServiceClosed, ServiceFailed, RequestRefused: as `ChatModel.ask`.
        """
        ...

    def find(self, label: str) -> str | None:
        """The id of the batch that was submitted with this label, if there is one."""
        ...

    def state(self, batch_id: str) -> BatchState:
        """How far it is."""
        ...

    def answers(self, batch_id: str) -> Iterator[tuple[str, ChatAnswer | Unanswered]]:
        """(custom id, answer) of every request that has one or failed, in any order."""
        ...
