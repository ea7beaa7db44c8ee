"""Settings of stage `describe`: the model that is asked, the questions, and what they may cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from reelscope.settings.base import Section, Unit

FieldType: TypeAlias = Literal[
    "text", "texts", "number", "integer", "share", "boolean", "choice", "choices", "object", "objects",
    "evidence",
]  # fmt: skip
_Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class AnswerField(Section):
    """Something that is asked for, with the type of its answer."""

    name: _Name = Field(description="Key in the answer: lower case, digits and _.")
    instruction: str = Field("", max_length=2000, description="What the model is told of it.")
    type: FieldType = Field("text", description="Of the answer; texts and choices are lists.")
    optional: bool = Field(False, description="Whether null is an answer.")
    choices: tuple[str, ...] = Field((), max_length=200, description="Of choice and choices.")
    fields: tuple[AnswerField, ...] = Field(
        (), max_length=30, description="Of object, and of each item of objects."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.type in ("choice", "choices")) != bool(self.choices):
            raise ValueError("choices go with the types choice and choices, and only with them")
        if (self.type in ("object", "objects")) != bool(self.fields):
            raise ValueError("fields go with the types object and objects, and only with them")
        _unique("fields", [field.name for field in self.fields])
        _unique("choices", self.choices)
        return self


class Dimension(AnswerField):
    """A question that the description answers."""

    evidence: bool = Field(
        True, description="Whether the answer must name the frames or words that it rests on."
    )

    @model_validator(mode="after")
    def _own_evidence(self) -> Self:
        if self.type == "evidence":
            raise ValueError("a dimension has its evidence beside its value; set evidence: true")
        return self


class Price(Section):
    """What a model's tokens cost, and how many an image takes."""

    input_usd: float = Field(ge=0, description="Per million tokens read.")
    cached_input_usd: float | None = Field(
        None, ge=0, description="Per million tokens read from the server's cache; null: input_usd."
    )
    output_usd: float = Field(ge=0, description="Per million tokens written.")
    image_base_tokens: int | None = Field(
        None, ge=0, description="Of an image; all of it at low detail. null: not known."
    )
    image_tile_tokens: int | None = Field(
        None, ge=0, description="Of each tile of 512 pixels at high detail. null: not known."
    )


def _unique(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} named twice: {', '.join(twice)}")


def _dimension(name: str, instruction: str, **more: Any) -> Dimension:
    return Dimension(name=name, instruction=instruction, **more)


def _field(name: str, instruction: str, **more: Any) -> AnswerField:
    return AnswerField(name=name, instruction=instruction, **more)


_CLAIM = (
    _field("product", "What it is about; null: no product.", optional=True),
    _field("brand", "As it is said or shown; null: none is named.", optional=True),
    _field("claim", "What is promised or shown, one sentence."),
    _field("evidence", "The frames or words that say so.", type="evidence"),
)
DIMENSIONS = (
    _dimension("description", "What happens in the video, two to four sentences.", evidence=False),
    _dimension(
        "category",
        "What the video is about, from the coarse to the fine, for example"
        " Beauty > Skin care > Serum review.",
        type="object",
        fields=(
            _field("level_1", "The coarsest."),
            _field("level_2", "Within level 1; null: none fits.", optional=True),
            _field("level_3", "Within level 2; null: none fits.", optional=True),
            _field("level_1_confidence", "How sure level 1 is.", type="share"),
            _field("level_2_confidence", "How sure level 2 is.", type="share", optional=True),
            _field("level_3_confidence", "How sure level 3 is.", type="share", optional=True),
        ),
    ),
    _dimension(
        "creative_ideas",
        "The creative ideas and concepts that it works with: format, hook, story, editing.",
        type="texts",
    ),
    _dimension(
        "emotional_value",
        "Which feelings it appeals to, and how.",
        type="object",
        fields=(
            _field("emotions", "One word each.", type="texts"),
            _field("appeal", "Why it moves its viewers, one or two sentences."),
        ),
    ),
    _dimension(
        "selling_points",
        "Why one should want it: each benefit or argument for a product, brand or idea.",
        type="objects",
        fields=_CLAIM,
        evidence=False,
    ),
    _dimension(
        "product_features",
        "Each property of a product that is stated or shown.",
        type="objects",
        fields=_CLAIM,
        evidence=False,
    ),
    _dimension(
        "target_demographics",
        "For whom it is made, as far as the content shows it. Do not judge the people in it.",
        type="object",
        fields=(
            _field("age", "Age groups.", type="choices",
                   choices=("under 13", "13-17", "18-24", "25-34", "35-44", "45-54", "55+")),
            _field("gender", "Whom it addresses.", type="choice",
                   choices=("all", "mostly women", "mostly men")),
            _field("interests", "What its viewers care about.", type="texts"),
            _field("summary", "The audience in one sentence."),
        ),
    ),
    _dimension("call_to_action", "What viewers are asked to do; null: nothing.", optional=True),
    _dimension("tone", "The tone, up to three words.", type="texts", evidence=False),
    _dimension(
        "language",
        "ISO 639-1 code of the language that is spoken or, if nobody speaks, written; null: none.",
        optional=True,
        evidence=False,
    ),
    _dimension(
        "brand_safety",
        "What an advertiser would not want to stand beside. Empty: nothing.",
        type="choices",
        choices=("adult", "alcohol", "crime", "dangerous acts", "drugs", "gambling",
                 "hate", "health claims", "politics", "profanity", "tobacco", "violence", "weapons"),
    ),
    _dimension(
        "sponsorship",
        "Whether it advertises something, by what is shown, said and written.",
        type="object",
        fields=(
            _field("verdict", "paid: it is labelled or said to be paid for; likely: signs of it.",
                   type="choice", choices=("paid", "likely", "none")),
            _field("indicators", "Each sign: a label, a code, a link, a named partner.",
                   type="texts"),
        ),
    ),
)  # fmt: skip
"""What is asked unless the config says otherwise."""

PRICES = {
    "gpt-4o": Price(input_usd=2.5, cached_input_usd=1.25, output_usd=10.0,
                    image_base_tokens=85, image_tile_tokens=170),
    "gpt-4o-mini": Price(input_usd=0.15, cached_input_usd=0.075, output_usd=0.6,
                         image_base_tokens=2833, image_tile_tokens=5667),
    "gpt-4.1": Price(input_usd=2.0, cached_input_usd=0.5, output_usd=8.0,
                     image_base_tokens=85, image_tile_tokens=170),
    "gpt-5": Price(input_usd=1.25, cached_input_usd=0.125, output_usd=10.0,
                   image_base_tokens=70, image_tile_tokens=140),
}  # fmt: skip
"""As OpenAI's pricing page and its guide on images gave them; check them before you rely on them."""


class Describe(Section):
    """Stage `describe`: a language model says what the video is, for whom and why it works."""

    enabled: bool = Field(False, description="Whether it runs. Also: the flag --describe.")
    mode: Literal["live", "batch"] = Field(
        "live",
        description="batch: the vendor's Batch API, half the price, within 24 hours; see docs/description.md.",
    )
    model: str = Field(
        "gpt-4o", min_length=1, max_length=200, description="As the server names it."
    )
    base_url: str | None = Field(
        None, description="An OpenAI-compatible server, http://127.0.0.1:8000/v1; null: OpenAI."
    )
    response_format: Literal["json_schema", "json_object", "text"] = Field(
        "json_schema",
        description="How the answer's shape is asked for; not every server knows all.",
    )
    language: str = Field(
        "English", min_length=1, max_length=60, description="In which the answers are written."
    )
    image_detail: Literal["low", "high"] = Field(
        "low", description="How closely the model looks: low is a fixed, small number of tokens."
    )
    image_longest_side: int = Field(
        768, ge=64, le=4096, description="Of the pictures that are sent, pixels."
    )
    image_jpeg_quality: int = Field(80, ge=1, le=100, description="Of the pictures that are sent.")
    max_text_chars: int = Field(
        12_000,
        ge=500,
        le=1_000_000,
        description="Of all that is said, written and known, together.",
    )
    max_output_tokens: int = Field(
        2000,
        ge=16,
        le=200_000,
        description="Of an answer; a cut one is asked for again with twice that.",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="null: the server's own; reasoning models take no other."
    )
    concurrency: int = Field(8, ge=1, le=256, description="Requests under way at once.")
    request_timeout_s: float = Field(120.0, gt=0, description="Longest time for one answer.")
    total_timeout_s: float = Field(
        600.0, gt=0, description="Longest time for one video, with waiting and asking again."
    )
    max_cost_usd: float | None = Field(
        None, ge=0, description="Of one run; what is left is skipped. null: no limit."
    )
    max_requests: int | None = Field(
        None, ge=0, description="Of one run; what is left is skipped. null: no limit."
    )
    creator_summary: bool = Field(
        False, description="One text-only request more per creator: what they make, for whom."
    )
    dimensions: tuple[Dimension, ...] = Field(
        DIMENSIONS, min_length=1, max_length=60, description="What is asked, in this order."
    )
    prices: dict[str, Price] = Field(
        PRICES,
        description="Per model; a name stands for its dated versions too (gpt-4o-2024-08-06).",
    )
    batch_price_share: Unit = Field(0.5, description="Of these prices in batch mode.")

    @model_validator(mode="after")
    def _names(self) -> Self:
        _unique("dimensions", [dimension.name for dimension in self.dimensions])
        return self

    @field_validator("base_url")
    @classmethod
    def _no_secret_in_it(cls, given: str | None) -> str | None:
        """An address without user and password: addresses are shown and saved."""
        if given is None:
            return None
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address such as http://127.0.0.1:8000/v1 is needed")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("no user, password or query in it; the key belongs in OPENAI_API_KEY")
        return given.rstrip("/")
