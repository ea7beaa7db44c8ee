"""What does a creator make, for whom, and what recurs? From the descriptions of the videos.

One text-only request per creator. Its answer stands in the creator's folder as
creator_description.json, and what was asked in creator_description_requests.json; the same
descriptions are not asked about again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from reelscope.atomic import write_atomic
from reelscope.description.answer import answer_schema
from reelscope.description.chat import ChatRequest
from reelscope.description.conversation import Talk, Till, conclude
from reelscope.description.creator import CREATOR_DIMENSIONS, DescribedVideo, creator_messages
from reelscope.description.evidence import Given
from reelscope.description.exchange import Exchange, load_exchange
from reelscope.description.prompt import Prompts
from reelscope.records import (
    Description,
    Frozen,
    Platform,
    Refusal,
    Share,
    Usage,
    VideoRecord,
)
from reelscope.settings import Describe

log = logging.getLogger(__name__)

FILE_NAME = "creator_description.json"
REQUESTS_NAME = "creator_description_requests.json"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class CreatorAnswer(Frozen):
    """What was answered to one question."""

    value: JsonValue = Field(description="A text or a list of texts.")
    confidence: Share = Field(description="How sure the model says it is.")


class CreatorDescription(Frozen):
    """creator_description.json."""

    schema_version: int = Field(default=1, description="Of these keys.")
    creator: str = Field(description="Who.")
    videos: int = Field(description="Described videos that it is made from.")
    model: str = Field(description="As the server names the one that answered.")
    dimensions: dict[str, CreatorAnswer] = Field(
        description="overview, audience, recurring themes and formats, products and brands, tone."
    )
    refusal: Refusal | None = Field(description="Why there is no answer; null: there is one.")
    usage: Usage = Field(description="What it took.")


class CreatorDescriber:
    """Asks about creators.

    Args:
        settings: of the description.
        till: asks within the run's budget.
        prompts: the templates.
    """

    def __init__(self, settings: Describe, till: Till, prompts: Prompts) -> None:
        self._settings = settings
        self._till = till
        self._prompts = prompts
        self._schema = answer_schema(CREATOR_DIMENSIONS)

    def describe(self, records: Iterable[VideoRecord], folder: Path) -> CreatorDescription | None:
        """Ask about a creator and write the answer down.

        Args:
            records: of the creator's videos.
            folder: the creator's; named after the creator.

        Returns:
            What was answered; None: none of the videos is described.

        Raises:
            BudgetSpent, ServiceClosed, ServiceFailed, RequestRefused: there is no answer.
            AnswerUnusable: it cannot be understood.
            OutputError: it cannot be written.
        """
        videos = described(records)
        if not videos:
            return None
        request = self._request(videos)
        exchange = load_exchange(folder, REQUESTS_NAME)
        engine = self._till.chat.engine
        if exchange is None or not exchange.goes_on(request, engine=engine):
            exchange = Exchange.about(request, Given(frames_s=(), words={}), (), engine=engine)
        talk = Talk(exchange, save=lambda e: e.save(folder, REQUESTS_NAME), ask=self._till.ask)
        found = conclude(
            talk,
            talk.answer(request),
            lambda: request,
            dimensions=CREATOR_DIMENSIONS,
            prompts=self._prompts,
        )
        answers = found.reading.checked.answers if found.reading else {}
        made = CreatorDescription(
            creator=folder.name,
            videos=len(videos),
            model=found.model,
            dimensions={
                name: CreatorAnswer(value=answer.value, confidence=answer.confidence)
                for name, answer in answers.items()
            },
            refusal=found.refusal,
            usage=self._till.usage(talk.exchange),
        )
        write_atomic(folder / FILE_NAME, made.model_dump_json(indent=1) + "\n")
        return made

    def _request(self, videos: Sequence[DescribedVideo]) -> ChatRequest:
        settings = self._settings
        return ChatRequest(
            model=settings.model,
            messages=creator_messages(
                self._prompts, videos, settings, self._schema, max_chars=settings.max_text_chars
            ),
            response_format=settings.response_format,
            schema=self._schema if settings.response_format == "json_schema" else None,
            max_output_tokens=settings.max_output_tokens,
            temperature=settings.temperature,
        )


def described(records: Iterable[VideoRecord]) -> list[DescribedVideo]:
    """The videos that a model has described, in order of time, those without a time first."""
    videos = []
    for record in records:
        value = record.value(Description)
        if value and value.dimensions:
            platform = record.value(Platform)
            posted_at = platform.posted_at if platform else None
            answers = {name: answer.value for name, answer in value.dimensions.items()}
            videos.append(DescribedVideo(record.source.video_id, posted_at, answers))
    return sorted(videos, key=lambda video: (_when(video), video.video_id))


def _when(video: DescribedVideo) -> datetime:
    posted_at = video.posted_at or LONG_AGO
    return posted_at if posted_at.tzinfo else posted_at.replace(tzinfo=UTC)


def load_creator_description(folder: Path) -> CreatorDescription | None:
    """What was written down of a creator; None if there is nothing that can be understood."""
    try:
        return CreatorDescription.model_validate_json((folder / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s is not of this version: %s", folder / FILE_NAME, error)
        return None
