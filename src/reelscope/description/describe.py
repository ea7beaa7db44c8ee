"""What is the video, for whom, and why does it work? Stage `describe`.

The chosen frames and all that the other stages found go to a multimodal chat model
(engines/openai_chat.py); its answer is read, checked against the dimensions of the config
and against the video, and comes back as a typed value.

    question     what is known of the video -> a request
    first answer asked now, or handed to a batch of the server and fetched later
    conclusion   cut: asked once more with twice the room; wrong: one request to put it right
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reelscope.description.answer import Checked, answer_schema, schema_problems
from reelscope.description.chat import ChatAnswer, ChatModel, ChatRequest, Picture
from reelscope.description.conversation import Talk, Till, conclude
from reelscope.description.cost import Estimate, Totals, estimate
from reelscope.description.evidence import Given, check_evidence
from reelscope.description.exchange import Exchange, load_exchange
from reelscope.description.facts import STAGES, Facts, facts_of
from reelscope.description.pictures import sent_picture
from reelscope.description.prompt import Prompts, describe_messages
from reelscope.description.queue import BatchQueue
from reelscope.errors import AnswerUnusable, EngineUnavailable, OutputError
from reelscope.media.clip import Clip
from reelscope.records import (
    Choice,
    Description,
    Lane,
    Ok,
    Outcome,
    SentImage,
    Skipped,
)
from reelscope.settings import Describe, Dimension, Section


class Asked(Section):
    """What a description depends on. Prices, limits and waiting do not change it."""

    model: str
    response_format: Literal["json_schema", "json_object", "text"]
    language: str
    image_detail: Literal["low", "high"]
    image_longest_side: int
    image_jpeg_quality: int
    max_text_chars: int
    max_output_tokens: int
    temperature: float | None
    dimensions: tuple[Dimension, ...]
    prompts: dict[str, str]

    @classmethod
    def of(cls, settings: Describe, prompts: Prompts) -> Asked:
        """From all settings of the description, and the templates as they were read."""
        names = cls.model_fields.keys() - {"prompts"}
        return cls(prompts=prompts.hashes, **{name: getattr(settings, name) for name in names})


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a video.

    Attributes:
        request: to the model.
        given: what answers may name as evidence.
        images: what the record says of the pictures that are sent.
    """

    request: ChatRequest
    given: Given
    images: tuple[SentImage, ...]


class DescribeStage:
    """Stage `describe`.

    Args:
        settings: of the description.
        chat: what answers.
        prompts: the templates.
        queue: in batch mode: where requests wait for the server's batches.

    Attributes:
        collecting: whether `run` makes descriptions of fetched answers, and asks nothing new.
    """

    name = "describe"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = (*STAGES, Choice.stage)
    lane: Lane = "network"
    batch_size = 1

    def __init__(
        self,
        settings: Describe,
        chat: ChatModel,
        prompts: Prompts,
        *,
        queue: BatchQueue | None = None,
    ) -> None:
        self.settings = Asked.of(settings, prompts)
        self.at_once = settings.concurrency
        self.till = Till(chat, settings)
        self.queue = queue
        self._all = settings
        self._strict = settings.response_format == "json_schema" and settings.base_url is None
        self.collecting = False
        self.prompts = prompts
        self._schema = answer_schema(settings.dimensions)

    @property
    def spent(self) -> Totals:
        """What this run has taken so far."""
        return self.till.budget.totals

    @property
    def engine(self) -> str:
        """The model and its server."""
        return self.till.chat.engine

    def open(self) -> None:
        """See that somebody can be asked, and that the limits can be kept."""
        self.till.check()
        problems = schema_problems(self._schema) if self._strict else []
        if problems:
            raise EngineUnavailable(
                f"the dimensions do not fit the server's limits: {problems[0]}",
                remedy="ask less in description.dimensions, or set "
                "description.response_format: json_object",
            )
        self.till.chat.open()

    def close(self) -> None:
        """Let go of connections."""
        self.till.chat.close()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Description` per clip."""
        return [self._finish(clip) if self.collecting else self._describe(clip) for clip in clips]

    def estimate(self, frames: int) -> Estimate:
        """The most that one request can take about a video of so many chosen frames."""
        messages = describe_messages(self.prompts, Facts("{}", {}), (), self.settings, self._schema)
        texts = "".join(str(part) for message in messages for part in message.parts)
        sent = texts + json.dumps(self._schema)
        return estimate(self._all, frames=frames, prompt_bytes=len(sent.encode()))

    # ------------------------------------------------------------------------ the question

    def question(self, clip: Clip) -> Question | None:
        """What is asked about this video; None: nothing is known of it."""
        asked = self.settings
        facts = facts_of(clip.record, asked.max_text_chars)
        choice = clip.value(Choice)
        frames = sorted((f.time_s, f.file) for f in choice.frames) if choice else []
        sent = self._sent(clip, [(file, time_s) for time_s, file in frames])
        images = tuple(image for _, image in sent)
        given = Given(frames_s=tuple(image.time_s for image in images), words=facts.words)
        if not images and not any(given.words.values()):
            return None
        pictures = [(image.time_s, picture) for picture, image in sent]
        request = ChatRequest(
            model=asked.model,
            messages=describe_messages(self.prompts, facts, pictures, asked, self._schema),
            response_format=asked.response_format,
            schema=self._schema if asked.response_format == "json_schema" else None,
            max_output_tokens=asked.max_output_tokens,
            temperature=asked.temperature,
        )
        return Question(request, given, images)

    def _sent(
        self, clip: Clip, frames: Sequence[tuple[str, float]]
    ) -> list[tuple[Picture, SentImage]]:
        """The pictures (file, time) as they are sent."""
        return [
            sent_picture(
                clip.frames_dir / file,
                time_s,
                longest_side=self.settings.image_longest_side,
                quality=self.settings.image_jpeg_quality,
                detail=self.settings.image_detail,
            )
            for file, time_s in frames
        ]

    def _describe(self, clip: Clip) -> Outcome:
        question = self.question(clip)
        if question is None:
            return Skipped("nothing is known of it that could be described: no picture, no words")
        exchange = load_exchange(clip.folder)
        request, engine = question.request, self.engine
        if exchange is None or not exchange.goes_on(request, engine=engine):
            exchange = Exchange.about(request, question.given, question.images, engine=engine)
        talk = self._talk(exchange, clip)
        if self.queue and not talk.exchange.answered(question.request):
            return self._let_wait(self.queue, clip, talk, question.request)
        first = talk.answer(question.request)
        return Ok(self._value(talk, first, lambda: question.request))

    def _talk(self, exchange: Exchange, clip: Clip) -> Talk:
        return Talk(exchange, save=lambda e: e.save(clip.folder), ask=self.till.ask)

    def _let_wait(self, queue: BatchQueue, clip: Clip, talk: Talk, request: ChatRequest) -> Skipped:
        """Hand the request to the queue, unless it waits already, here or in another batch."""
        turn = talk.exchange.turn(request.key)
        if turn and turn.batch and turn.batch != queue.name:
            other = queue.beside(turn.batch)
            if where := other.waits_in(clip.source, request):
                return Skipped(f"its answer waits in {where}, of batch {other.name}", other.remedy)
        where = queue.waits_in(clip.source, request)
        if where is None or turn is None:
            talk.note(request, mode="batch", batch=queue.name)  # its answer will be put beside it
        if where is None:
            self.till.reserve(request, mode="batch").keep()
            queue.add(clip.source, request)
            where = "the queue"
        return Skipped(f"its answer waits in {where}", queue.remedy)

    # ---------------------------------------------------------------------- the conclusion

    def _finish(self, clip: Clip) -> Outcome:
        """From an answer that came days later; the video itself need not be here any more."""
        exchange = load_exchange(clip.folder)
        turn = exchange.turn(exchange.key) if exchange else None
        first = turn.answer if turn else None
        if exchange is None or first is None:
            return Skipped("there is no answer to its request", "run the same call again")
        talk = self._talk(exchange, clip)
        return Ok(self._value(talk, first.answer(), lambda: self._again(exchange, clip)))

    def _again(self, exchange: Exchange, clip: Clip) -> ChatRequest:
        """The request of an exchange with its pictures, to go on from it.

        Raises:
            AnswerUnusable: a picture is gone, or it is not the same request any more.
        """
        frames = [(image.file, image.time_s) for image in exchange.images]
        try:
            pictures = {picture.file: picture for picture, _ in self._sent(clip, frames)}
            request = exchange.first_request(pictures, self._schema)
        except (OutputError, AnswerUnusable) as error:
            raise AnswerUnusable(f"it has to be asked again, but {error}") from error
        if request.key != exchange.key:
            raise AnswerUnusable("it has to be asked again, but its pictures have changed")
        return request

    def _value(
        self, talk: Talk, first: ChatAnswer, request: Callable[[], ChatRequest]
    ) -> Description:
        dimensions = self.settings.dimensions
        found = conclude(talk, first, request, dimensions=dimensions, prompts=self.prompts)
        exchange, reading = talk.exchange, found.reading
        checked = reading.checked if reading else Checked({}, (), (), ())
        return Description(
            model=found.model,
            mode=exchange.turns[0].mode,
            dimensions=check_evidence(checked.answers, dimensions, exchange.given),
            missing=checked.missing,
            truncated=reading.cut if reading else False,
            repairs=(*reading.repairs, *checked.repairs) if reading else (),
            refusal=found.refusal,
            images=exchange.images,
            usage=self.till.usage(exchange),
        )
