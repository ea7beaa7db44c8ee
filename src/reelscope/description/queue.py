"""Requests that wait for a server's batch: gathered, handed over, and found again days later.

In the batch's folder:

    describe/queue/<custom_id>.jsonl   a request that waits to be handed over
    describe/part-<n>.jsonl            a file being handed over
    describe/batches.json              which request went into which batch of the server

The order of writing makes every kill harmless: a part stands in batches.json, under a label
that the server keeps beside its batch, before it is handed over. After a kill in between,
the server is asked for that label first, so that nothing is submitted twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from reelscope.atomic import open_atomic, remove_temporaries, write_atomic
from reelscope.description.chat import ChatAnswer, ChatBatches, ChatRequest
from reelscope.errors import OutputError, RequestRefused
from reelscope.records import Frozen, VideoSource

log = logging.getLogger(__name__)

FOLDER = "describe"
MOST_LINES = 50_000
MOST_BYTES = 190_000_000
"""Of one file: the Batch API takes 50,000 requests and 200 MB
(platform.openai.com/docs/guides/batch)."""


class Waiting(Frozen):
    """A request in a batch of the server."""

    custom_id: str = Field(description="In the server's files.")
    creator: str = Field(description="Whose video it is about.")
    video_id: str = Field(description="Which video.")
    key: str = Field(description="Of the request, as in description_requests.json.")


class Part(Frozen):
    """A file of requests, and the server's batch that it became."""

    label: str = Field(description="What the server keeps beside its batch.")
    file: str = Field(
        pattern=r"^part-\d{3,9}\.jsonl$",
        description="Name of the file; it is removed once it is handed over.",
    )
    batch_id: str | None = Field(default=None, description="The server's; null: not handed over.")
    submitted_at: datetime | None = Field(default=None, description="UTC.")
    status: Literal["submitting", "waiting", "collected", "lost"] = Field(
        default="submitting",
        description="lost: it failed as a whole; its requests may be asked anew.",
    )
    message: str = Field(default="", description="What the server last said of it.")
    requests: tuple[Waiting, ...] = Field(description="What is in it.")
    unanswered: dict[str, str] = Field(
        default_factory=dict, description="Custom id -> why there is no answer."
    )


class Batches(Frozen):
    """batches.json."""

    schema_version: int = Field(default=1, description="Of these keys.")
    parts: tuple[Part, ...] = Field(default=(), description="In the order they were made.")


class BatchQueue:
    """The requests of one batch of videos that wait for a server's batches.

    Args:
        folder: of the batch of videos; everything stands in `describe/` below it.
        chat: the server that takes batches.
        most_lines: of one file that is handed over.
        most_bytes: of one file that is handed over.
    """

    def __init__(
        self,
        folder: Path,
        chat: ChatBatches,
        *,
        most_lines: int = MOST_LINES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.chat = chat
        self._most_lines, self._most_bytes = most_lines, most_bytes
        self.name = folder.name
        self.folder = folder / FOLDER
        self._lock = threading.Lock()
        self._batches: Batches | None = None
        self._asked: dict[str, str | None] | None = None

    def beside(self, name: str) -> BatchQueue:
        """The queue of another batch of videos: the same video may wait there."""
        return BatchQueue(self.folder.parent.parent / name, self.chat)

    @property
    def remedy(self) -> str:
        """How the answers are fetched."""
        return f"python main.py describe collect --batch-id {self.name}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What was handed over so far.

        Raises:
            OutputError: batches.json cannot be read; nothing is guessed, since guessing
                could pay twice.
        """
        with self._lock:
            if self._batches is None:
                self._batches = self._load()
            return self._batches.parts

    def waits_in(self, source: VideoSource, request: ChatRequest) -> str | None:
        """Where this request waits: a batch of the server, or this queue; None: nowhere."""
        return self.where(custom_id(source, request.key))

    def where(self, name: str) -> str | None:
        """As `waits_in`, by custom id.

        Raises:
            OutputError: batches.json cannot be read.
        """
        if name in (under_way := self._under_way()):
            return under_way[name] or "a file that is being handed over"
        return "the queue" if self._line_path(name).exists() else None

    @property
    def to_hand_over(self) -> bool:
        """Whether something waits here and not at the server.

        Raises:
            OutputError: batches.json cannot be read.
        """
        return any(self._lines()) or any(part.status == "submitting" for part in self.parts)

    def add(self, source: VideoSource, request: ChatRequest) -> None:
        """Let a request wait for the next hand-over.

        Raises:
            OutputError: it cannot be written.
        """
        name = custom_id(source, request.key)
        waiting = Waiting(
            custom_id=name, creator=source.creator, video_id=source.video_id, key=request.key
        )
        head = waiting.model_dump_json().encode() + b"\n"
        write_atomic(self._line_path(name), head + self.chat.line(name, request))

    def submit(self) -> tuple[Part, ...]:
        """Hand over all that waits, and what an earlier call was killed over.

        Returns:
            The parts that were handed over now, and those that no file is left of (`lost`).

        Raises:
            ServiceClosed, ServiceFailed, RequestRefused: what was not handed over waits on.
            OutputError: a file cannot be written.
        """
        self._clean_up_after_kills()
        for paths in self._chunks():
            self._make_part(paths)
        return tuple(self._hand_over(part) for part in self.parts if part.status == "submitting")

    def collect(self, deliver: Callable[[Waiting, ChatAnswer], None]) -> tuple[Part, ...]:
        """Fetch what is ready.

        Args:
            deliver: gets every answer; what it has done must be on disk when it returns.

        Returns:
            All parts as they stand now.

        Raises:
            ServiceClosed, ServiceFailed, RequestRefused: what was not fetched can be later.
            OutputError: batches.json cannot be read or written.
        """
        self._clean_up_after_kills()
        for part in self.parts:
            if part.status == "waiting" and part.batch_id:
                self._put(self._collected(part, part.batch_id, deliver))
        return self.parts

    # ------------------------------------------------------------------- handing over

    def _clean_up_after_kills(self) -> None:
        for folder in (self.folder, self.folder / "queue"):
            remove_temporaries(folder)
        for part in self.parts:
            if part.status != "submitting":
                (self.folder / part.file).unlink(missing_ok=True)

    def _lines(self) -> list[Path]:
        return sorted((self.folder / "queue").glob("*.jsonl"))

    def _chunks(self) -> Iterator[list[Path]]:
        """The waiting requests, as many together as one file may hold."""
        chunk: list[Path] = []
        size = 0
        for path in self._lines():
            more = path.stat().st_size
            if chunk and (len(chunk) >= self._most_lines or size + more > self._most_bytes):
                yield chunk
                chunk, size = [], 0
            chunk.append(path)
            size += more
        if chunk:
            yield chunk

    def _make_part(self, paths: list[Path]) -> None:
        number = len(self.parts) + 1
        file = f"part-{number:03}.jsonl"
        requests: list[Waiting] = []
        digest = hashlib.sha256()
        with open_atomic(self.folder / file) as out:
            for waiting, line in self._new(paths):
                out.write(line)
                digest.update(line)
                requests.append(waiting)
        if requests:
            label = f"{self.name[:200]}/{number}/{digest.hexdigest()[:16]}"
            self._put(Part(label=label, file=file, requests=tuple(requests)))
        else:
            (self.folder / file).unlink(missing_ok=True)
        for path in paths:
            path.unlink(missing_ok=True)

    def _new(self, paths: list[Path]) -> Iterator[tuple[Waiting, bytes]]:
        """The requests in these files that are in no part yet.

        One in a damaged file is left out: it was never handed over, so the next run may let
        it wait anew.
        """
        known = self._under_way()
        for path in paths:
            if path.stem in known:  # killed after batches.json was written
                continue
            head, _, line = path.read_bytes().partition(b"\n")
            try:
                waiting = Waiting.model_validate_json(head)
            except ValidationError:
                waiting = None
            if waiting and waiting.custom_id == path.stem and line.endswith(b"}\n"):
                yield waiting, line
            else:
                log.warning("%s is damaged; its request is left out", path)

    def _hand_over(self, part: Part) -> Part:
        path = self.folder / part.file
        batch_id = self.chat.find(part.label)
        if batch_id is None and not path.is_file():
            lost = part.model_copy(update={"status": "lost", "message": f"{path} is gone"})
            self._put(lost)
            return lost
        batch_id = batch_id or self.chat.submit(path, label=part.label)
        done = part.model_copy(
            update={"batch_id": batch_id, "status": "waiting", "submitted_at": datetime.now(UTC)}
        )
        self._put(done)
        path.unlink(missing_ok=True)
        return done

    def _under_way(self) -> dict[str, str | None]:
        """Custom id -> the server's batch, of all that was handed over and not fetched."""
        parts = self.parts
        with self._lock:
            if self._asked is None:
                self._asked = {
                    waiting.custom_id: part.batch_id
                    for part in parts
                    if part.status in ("submitting", "waiting")
                    for waiting in part.requests
                }
            return self._asked

    # --------------------------------------------------------------------- collecting

    def _collected(
        self,
        part: Part,
        batch_id: str,
        deliver: Callable[[Waiting, ChatAnswer], None],
    ) -> Part:
        state = self.chat.state(batch_id)
        if state.status == "waiting":
            progress = f"{state.message}, {state.done} of {state.total or len(part.requests)}"
            return part.model_copy(update={"message": progress})
        if state.status == "lost":
            return part.model_copy(update={"status": "lost", "message": state.message})
        asked = {waiting.custom_id: waiting for waiting in part.requests}
        message = state.message
        left = dict.fromkeys(asked, f"no answer in the batch ({message})")
        try:
            for name, answer in self.chat.answers(batch_id):
                if name not in asked:
                    log.warning("batch %s answers %.80r, which was not asked", batch_id, name)
                elif isinstance(answer, ChatAnswer):
                    deliver(asked[name], answer)
                    left.pop(name, None)
                elif name in left:
                    left[name] = answer.message
        except RequestRefused as error:  # what it answered is not kept there for ever
            message = f"{message}; {error}"
        return part.model_copy(
            update={"status": "collected", "message": message, "unanswered": left}
        )

    # -------------------------------------------------------------------- batches.json

    def _put(self, part: Part) -> None:
        """Add the part, or replace the one with its label, on disk before anything else."""
        others = self.parts
        parts = tuple(part if p.label == part.label else p for p in others)
        if part.label not in {p.label for p in others}:
            parts += (part,)
        batches = Batches(parts=parts)
        write_atomic(self.folder / "batches.json", batches.model_dump_json(indent=1) + "\n")
        with self._lock:
            self._batches, self._asked = batches, None

    def _load(self) -> Batches:
        path = self.folder / "batches.json"
        try:
            return Batches.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Batches()
        except (OSError, ValidationError) as error:
            raise OutputError(
                f"{path} cannot be read, so what was handed over is not known: {error}"
            ) from error

    def _line_path(self, name: str) -> Path:
        return self.folder / "queue" / f"{name}.jsonl"


def custom_id(source: VideoSource, key: str) -> str:
    """Names a video's request among all others; the same bytes may be asked for two videos."""
    text = json.dumps([source.creator, source.video_id, key])
    return hashlib.sha256(text.encode()).hexdigest()[:40]
