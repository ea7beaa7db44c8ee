"""What a creator makes and for whom, asked from the descriptions of single videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from reelscope.description.chat import Message
from reelscope.description.facts import to_json
from reelscope.description.prompt import Asking, Prompts, fence, system_message
from reelscope.description.visible import visible
from reelscope.settings import AnswerField, Dimension

LEAST_VIDEO_CHARS = 600
"""So much of a video is given at least; of more videos than fit, some, evenly spread."""


def _question(name: str, instruction: str, **more: Any) -> Dimension:
    return Dimension(name=name, instruction=instruction, evidence=False, **more)


CREATOR_DIMENSIONS = (
    _question("overview", "What the creator makes, two to four sentences."),
    _question("audience", "For whom, one or two sentences."),
    _question("recurring_themes", "What several videos are about.", type="texts"),
    _question(
        "recurring_formats", "How several videos are made: format, hook, editing.", type="texts"
    ),
    _question("products_and_brands", "Those that are named or shown, the most frequent first.",
              type="texts"),
    _question("tone", "The tone, up to three words.", type="texts"),
)  # fmt: skip
"""What is asked of a creator; the schema and the check of the answer are those of a video."""


@dataclass(frozen=True, slots=True)
class DescribedVideo:
    """A video of the creator.

    Attributes:
        video_id: its folder's name.
        posted_at: None: not known.
        values: dimension -> what was answered.
    """

    video_id: str
    posted_at: datetime | None
    values: Mapping[str, JsonValue]


def creator_messages(
    prompts: Prompts,
    videos: Sequence[DescribedVideo],
    settings: Asking,
    schema: dict[str, Any],
    *,
    max_chars: int,
) -> tuple[Message, ...]:
    """The question about a creator, without pictures.

    Args:
        prompts: the templates.
        videos: in order of time.
        settings: what was asked of the videos, and how.
        schema: of the answer to `CREATOR_DIMENSIONS`.
        max_chars: of what is given of the videos, as JSON.
    """
    given = _spread(videos, max(max_chars // LEAST_VIDEO_CHARS, 1))
    text = to_json(_listed(given, settings.dimensions, max_chars))
    begin, end = fence(text)
    asked = prompts.render(
        "creator_user", videos=text, given=len(given), total=len(videos), begin=begin, end=end
    )
    return (
        system_message(prompts, "creator_system", settings, CREATOR_DIMENSIONS, schema=schema),
        Message("user", (asked,)),
    )


def _spread(videos: Sequence[DescribedVideo], most: int) -> Sequence[DescribedVideo]:
    """At most so many, evenly spread, the first among them."""
    if len(videos) <= most:
        return videos
    return [videos[at * len(videos) // most] for at in range(most)]


def _listed(
    videos: Sequence[DescribedVideo], dimensions: Sequence[Dimension], max_chars: int
) -> list[JsonValue]:
    """Each in as much room as the others; what one does not need goes to those after it."""
    listed: list[JsonValue] = []
    room = max_chars - len("[]")
    for at, video in enumerate(videos):
        shown = _shown(video, dimensions, room // (len(videos) - at) - len(", "))
        room -= len(to_json(shown)) + len(", ")
        listed.append(shown)
    return listed


def _shown(
    video: DescribedVideo, dimensions: Sequence[Dimension], room: int
) -> dict[str, JsonValue]:
    """The video with those of its values, in order, that fit as a whole."""
    shown: dict[str, JsonValue] = {"video_id": visible(video.video_id)[:100]}
    if video.posted_at:
        shown["posted_at"] = video.posted_at.date().isoformat()
    for dimension in dimensions:
        if dimension.name in video.values:
            value = _bare(video.values[dimension.name], dimension)
            with_it = {**shown, dimension.name: value}
            shown = with_it if len(to_json(with_it)) <= room else shown
    return shown


def _bare(value: JsonValue, asked: AnswerField) -> JsonValue:
    """Without evidence, and without what cannot be seen."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [_bare(item, asked) for item in value]
    if isinstance(value, dict):
        return {
            field.name: _bare(value[field.name], field)
            for field in asked.fields
            if field.name in value and field.type != "evidence"
        }
    return value
