"""A chat model behind OpenAI's API, or any server that speaks it, one by one and in batches.

How often and when something is asked again stands in openai_service.py. See
docs/adr/022-openai-client.md.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from reelscope.description.chat import (
    BatchState,
    BatchStatus,
    ChatAnswer,
    ChatRequest,
    Tokens,
    Unanswered,
)
from reelscope.engines import chat_format
from reelscope.engines.chat_format import NotACompletion, TooLong, count, fault_of
from reelscope.engines.openai_service import MAX_BODY_BYTES, Filtered, OpenAiService, by_openai
from reelscope.errors import RequestRefused, ServiceFailed

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger(__name__)
ENDPOINT: Final = "/v1/chat/completions"
MAX_RESULT_FILE_BYTES = 4_000_000_000
BLOCK_BYTES = 1 << 20
PAGE = 100
MAX_PAGES = 20
ID = re.compile(r"[A-Za-z0-9][\w.:-]{0,199}", re.ASCII)


class OpenAiChat(OpenAiService):
    """A chat model, live (`ChatModel`) and in batches (`ChatBatches`)."""

    def ask(self, request: ChatRequest) -> ChatAnswer:
        """One answer; see `ChatModel.ask`."""
        body = self._body(request)

        def attempt(client: OpenAI, timeout: Any) -> ChatAnswer:
            raw = client.chat.completions.with_raw_response.create(**body, timeout=timeout)
            self._pace.note(raw.headers)
            return chat_format.answer_of(chat_format.read_json(raw.content), model=request.model)

        try:
            answer = self._persist(attempt)
        except Filtered as filtered:
            return ChatAnswer("", request.model, "content_filter", str(filtered), Tokens())
        return answer

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """OpenAI's reasoning models refuse max_tokens; others may know nothing else.

        llama.cpp before February 2026 (issue 13700, pull request 19831), vLLM before November
        2024 (pull request 9837) and Ollama (issue 7125) ignore or refuse max_completion_tokens.
        """
        theirs = by_openai(self._url)
        return chat_format.body_of(
            request, limit="max_completion_tokens" if theirs else "max_tokens"
        )

    # ---- batches ----------------------------------------------------------------------

    def line(self, custom_id: str, request: ChatRequest) -> bytes:
        """See `ChatBatches.line`."""
        line = {
            "custom_id": custom_id,
            "method": "POST",
            "url": ENDPOINT,
            "body": self._body(request),
        }
        return json.dumps(line).encode() + b"\n"

    def submit(self, path: Path, *, label: str) -> str:
        """See `ChatBatches.submit`. `label` has 512 characters at most."""

        def upload(client: OpenAI, timeout: Any) -> Any:
            with path.open("rb") as file:
                return client.files.with_raw_response.create(
                    file=(path.name, file), purpose="batch", timeout=timeout
                )

        file_id = _id_in(self._object(upload, attempt_s=self._settings.total_timeout_s))
        before = False

        def create(client: OpenAI, timeout: Any) -> Any:
            nonlocal before
            if before and (found := self.find(label)):  # the answer was lost, not the batch
                return client.batches.with_raw_response.retrieve(found, timeout=timeout)
            before = True
            return client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={"reelscope": label},
                timeout=timeout,
            )

        return _id_in(self._object(create))

    def find(self, label: str) -> str | None:
        """See `ChatBatches.find`; among the newest 2,000, without those that failed."""
        after: str | None = None
        for _ in range(MAX_PAGES):

            def page(client: OpenAI, timeout: Any, after: str | None = after) -> Any:
                batches = client.batches.with_raw_response
                if after is None:
                    return batches.list(limit=PAGE, timeout=timeout)
                return batches.list(limit=PAGE, after=after, timeout=timeout)

            listed = self._object(page)
            data = listed.get("data")
            batches = [b for b in data if isinstance(b, dict)] if isinstance(data, list) else []
            for batch in batches:
                if _label(batch) == label and batch.get("status") != "failed" and _id(batch):
                    return _id(batch)
            last = _id(batches[-1]) if batches else None
            if listed.get("has_more") is not True or last is None:
                return None
            after = last
        return None

    def state(self, batch_id: str) -> BatchState:
        """See `ChatBatches.state`."""
        batch = self._batch(batch_id)
        if batch is None:
            return BatchState("lost", f"{self._host} knows no batch of this name")
        said = str(batch.get("status"))
        has_results = any(_id(batch, key) for key in ("output_file_id", "error_file_id"))
        status: BatchStatus = "waiting"
        if said == "completed" or (said in ("expired", "cancelled") and has_results):
            status = "ended"
        elif said in ("failed", "expired", "cancelled"):
            status = "lost"
        counts = batch.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        total, *done = (count(counts.get(key)) for key in ("total", "completed", "failed"))
        message = self._clean("; ".join([said, *_batch_errors(batch)]))
        return BatchState(status, message, done=sum(done), total=total)

    def answers(self, batch_id: str) -> Iterator[tuple[str, ChatAnswer | Unanswered]]:
        """See `ChatBatches.answers`. A file is fetched whole, to disk, before its first line."""
        batch = self._batch(batch_id) or {}
        for key in ("output_file_id", "error_file_id"):
            if file_id := _id(batch, key):
                with tempfile.TemporaryFile() as file:
                    self._fetch(file_id, file)
                    yield from self._answers_in(file)

    def _answers_in(self, file: IO[bytes]) -> Iterator[tuple[str, ChatAnswer | Unanswered]]:
        file.seek(0)
        while line := file.readline(MAX_BODY_BYTES):
            if len(line) == MAX_BODY_BYTES and not line.endswith(b"\n"):
                log.warning("%s: a line of the batch's results is too long", self._host)
                while len(line) == MAX_BODY_BYTES and not line.endswith(b"\n"):
                    line = file.readline(MAX_BODY_BYTES)
            elif line.strip():
                yield from self._answer_in(line)

    def _answer_in(self, line: bytes) -> Iterator[tuple[str, ChatAnswer | Unanswered]]:
        try:
            data = chat_format.read_json(line)
        except NotACompletion:
            data = None
        custom_id = data.get("custom_id") if isinstance(data, dict) else None
        if isinstance(custom_id, str):
            yield chat_format.encodable(custom_id), self._answer_of_line(data)
        else:
            log.warning("%s: a line of the batch's results names no request", self._host)

    def _answer_of_line(self, data: dict[str, Any]) -> ChatAnswer | Unanswered:
        response = data.get("response")
        response = response if isinstance(response, dict) else {}
        status, body = response.get("status_code"), response.get("body")
        model = self._settings.model
        if status == 200:
            try:
                return chat_format.answer_of(body, model=model)
            except (NotACompletion, TooLong) as error:
                return Unanswered(self._clean(str(error)))
        fault = fault_of(body if body else data)
        if fault.filtered:
            said = self._shown(fault) or chat_format.FILTERED
            return ChatAnswer("", model, "content_filter", said, Tokens())
        codes = " ".join(sorted(fault.codes))
        words = [f"answered {status}" if isinstance(status, int) else "", self._clean(codes)]
        return Unanswered(": ".join(filter(None, [*words, self._shown(fault)])) or "not answered")

    def _fetch(self, file_id: str, file: IO[bytes]) -> None:
        from openai import NotFoundError

        def attempt(client: OpenAI, timeout: Any) -> bool:
            file.seek(0)
            file.truncate()
            files = client.files.with_streaming_response
            try:
                with files.content(file_id, timeout=timeout) as response:
                    for block in response.iter_bytes(BLOCK_BYTES):
                        file.write(block)
                        if file.tell() > MAX_RESULT_FILE_BYTES:
                            raise TooLong("the results of the batch have no end")
            except NotFoundError:
                return False
            return True

        try:
            there = self._persist(attempt)
        except Filtered:
            there = False
        if not there:  # raised out here, without the request and its key
            raise RequestRefused(f"{self._host} has the results of the batch no more")

    def _batch(self, batch_id: str) -> dict[str, Any] | None:
        from openai import NotFoundError

        if not ID.fullmatch(batch_id):
            return None
        missing = False

        def retrieve(client: OpenAI, timeout: Any) -> Any:
            nonlocal missing
            try:
                return client.batches.with_raw_response.retrieve(batch_id, timeout=timeout)
            except NotFoundError:
                missing = True
                return None

        batch = self._object(retrieve)
        return None if missing else batch

    def _object(
        self, make: Callable[[OpenAI, Any], Any], *, attempt_s: float | None = None
    ) -> dict[str, Any]:
        """The JSON object that a request for files or batches gives; {} if `make` gives None."""

        def attempt(client: OpenAI, timeout: Any) -> dict[str, Any]:
            raw = make(client, timeout)
            data = {} if raw is None else chat_format.read_json(raw.content)
            if not isinstance(data, dict):
                raise NotACompletion("the answer is not what was asked for")
            return data

        try:
            return self._persist(attempt, attempt_s=attempt_s)
        except Filtered as filtered:
            said = str(filtered)
        raise RequestRefused(f"{self._host}: {said}")


def _id(data: dict[str, Any], key: str = "id") -> str | None:
    given = data.get(key)
    return given if isinstance(given, str) and ID.fullmatch(given) else None


def _id_in(data: dict[str, Any]) -> str:
    found = _id(data)
    if found is None:
        raise ServiceFailed("the server took it without saying what it is called there")
    return found


def _label(batch: dict[str, Any]) -> Any:
    metadata = batch.get("metadata")
    return metadata.get("reelscope") if isinstance(metadata, dict) else None


def _batch_errors(batch: dict[str, Any]) -> list[str]:
    errors = batch.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    said = [e.get("message") for e in data if isinstance(e, dict)] if isinstance(data, list) else []
    return [message for message in said[:3] if isinstance(message, str)]
