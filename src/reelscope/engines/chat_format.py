"""The format of chat completions: a request as JSON, an answer from JSON, errors in words.

OpenAI's API reference, "Chat completions" and "Batch". Whatever comes from a server may be
of any type, size and depth.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from reelscope.description.chat import ChatAnswer, ChatRequest, Message, Picture, Tokens

MAX_TEXT_BYTES = 1_000_000
"""Of an answer; 200,000 tokens, the most that the settings allow, are fewer."""
MAX_TOKENS = 1_000_000_000
MAX_MESSAGE_CHARS = 300
MAX_NAME_CHARS = 200
PART_CHARS = 8
"""A run of so many characters of the key is taken for a part of it."""
FILTERED = "the server's content filter held the answer back"
FILTER_CODES = {"content_filter", "content_policy_violation", "moderation_blocked"}
"""The first is Azure's, the others are OpenAI's (their guides on errors)."""
CLOSED_CODES = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active",
    "account_deactivated", "access_terminated",
}  # fmt: skip
"""Of errors that no waiting mends (OpenAI's guide "Error codes")."""


class NotACompletion(ValueError):  # noqa: N818  (named by what happened)
    """JSON in which there is no answer, or no JSON."""


class TooLong(ValueError):  # noqa: N818  (named by what happened)
    """An answer of more than MAX_TEXT_BYTES."""


def body_of(
    request: ChatRequest, *, limit: Literal["max_completion_tokens", "max_tokens"]
) -> dict[str, Any]:
    """The request as the server reads it.

    Args:
        request: the question.
        limit: what the server calls the longest answer.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        limit: request.max_output_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.response_format == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request.response_format == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _message(message: Message) -> dict[str, Any]:
    """Text alone goes as a string: not every server knows lists of parts."""
    texts = [encodable(part) for part in message.parts if isinstance(part, str)]
    if len(texts) == len(message.parts):
        return {"role": message.role, "content": "\n\n".join(texts)}
    return {"role": message.role, "content": [_part(part) for part in message.parts]}


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": encodable(part)}
    url = "data:image/jpeg;base64," + base64.b64encode(part.jpeg).decode()
    return {"type": "image_url", "image_url": {"url": url, "detail": part.detail}}


def read_json(data: str | bytes) -> Any:
    """JSON from a server.

    Raises:
        NotACompletion: it is none, or too deep.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise NotACompletion("the answer is not JSON") from None


def answer_of(data: Any, *, model: str) -> ChatAnswer:
    """The first choice of a chat completion.

    Args:
        data: JSON from the server.
        model: what was asked for, if the server does not name who answered.

    Raises:
        NotACompletion: there is no answer in it. The message may hold the server's words,
            not yet fit to be shown.
        TooLong: the text is longer than any that was asked for.
    """
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        said = fault_of(data).message  # OpenRouter's errors may come with status 200
        raise NotACompletion(": ".join(filter(None, ["the answer is no chat completion", said])))
    text, refusal = message.get("content"), message.get("refusal")
    if not isinstance(text, str | None):
        raise NotACompletion("the text of the answer is no text")
    text = encodable(text or "")
    if len(text) > MAX_TEXT_BYTES or len(text.encode()) > MAX_TEXT_BYTES:
        raise TooLong(f"the answer is longer than {MAX_TEXT_BYTES} bytes")
    named = shortened(data["model"], MAX_NAME_CHARS) if isinstance(data.get("model"), str) else ""
    finish = _finish(choice.get("finish_reason"))
    refused = shortened(refusal, MAX_MESSAGE_CHARS) if isinstance(refusal, str) else ""
    if finish == "content_filter":
        refused = refused or FILTERED
    return ChatAnswer(text, named or model, finish, refused or None, _tokens(data.get("usage")))


def _finish(given: Any) -> Literal["stop", "length", "content_filter"]:
    if given == "length":
        return "length"
    return "content_filter" if given == "content_filter" else "stop"


def _tokens(usage: Any) -> Tokens:
    """Counts; what is missing or absurd is 0."""
    details = _get(usage, "prompt_tokens_details")
    read = count(_get(usage, "prompt_tokens"))
    cached = min(read, count(_get(details, "cached_tokens")))
    return Tokens(read, cached, count(_get(usage, "completion_tokens")))


def _get(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def count(given: Any) -> int:
    """A number of things as a server gives it; 0 for what is none."""
    whole = isinstance(given, int) and not isinstance(given, bool)
    return given if whole and 0 <= given <= MAX_TOKENS else 0


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error says, in the server's words; not yet fit to be shown."""

    message: str
    codes: frozenset[str]

    @property
    def filtered(self) -> bool:
        """Whether a content filter held the request back."""
        return bool(self.codes & FILTER_CODES)

    @property
    def closed(self) -> bool:
        """Whether the account is empty or shut."""
        return bool(self.codes & CLOSED_CODES)


def fault_of(body: Any) -> Fault:
    """An error's body, or its part `error`, in any of the shapes that servers give it."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return Fault(inner if isinstance(inner, str) else "", frozenset())
    said = [inner.get(key) for key in ("message", "detail", "error")]
    message = next((text for text in said if isinstance(text, str)), "")
    codes = {code for code in (inner.get("code"), inner.get("type")) if isinstance(code, str)}
    if _get(inner.get("metadata"), "flagged_input") is not None:
        codes.add("content_filter")  # OpenRouter's 403 for a request that moderation flagged
    return Fault(message, frozenset(codes))


def encodable(text: str) -> str:
    """Without halves of surrogate pairs, which no UTF-8 can hold; they become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def shortened(text: str, most_chars: int) -> str:
    """On one line, only what can be seen, cut with an ellipsis."""
    text = encodable(text[: 20 * most_chars])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most_chars else text[: most_chars - 1] + "…"


def without_key(text: str, key: str) -> str:
    """With every part of the key that can be told as such replaced by ***.

    Vendors echo keys in full, in part, and with asterisks in the middle.
    """
    text = re.sub(r"[^\s'\"]*\*{3,}[^\s'\"]*|\bsk-[\w*.-]+", "***", text)
    size = min(PART_CHARS, len(key))
    parts = {key[i : i + size] for i in range(len(key) - size + 1)} if size >= 4 else set()
    hidden = [False] * len(text)
    for start in range(len(text) - size + 1):
        if text[start : start + size] in parts:
            hidden[start : start + size] = [True] * size
    marked = "".join("\0" if hide else c for c, hide in zip(text, hidden, strict=True))
    return re.sub("\0+", "***", marked)
