"""What asking a model costs: tokens of pictures, prices, and limits that hold.

An upper bound is reserved before a request is sent and replaced by what it cost once it is
answered: what is spent and what is reserved together never pass the limit.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Literal

from reelscope.description.chat import ChatRequest, Picture, Tokens
from reelscope.errors import BudgetSpent, EngineUnavailable
from reelscope.settings import Describe, Price

TILE_PX = 512
MOST_LONG_PX = 2048
MOST_SHORT_PX = 768
"""The tile rule of OpenAI's guide "Images and vision", section on calculating costs."""
FRAME_TOKENS = 16
"""For what a server writes around each message and part, and before its own answer. OpenAI's
cookbook ("How to count tokens with tiktoken") counts 3 a message and 3 for the answer."""
_DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")
_PICO = 10**12  # dollars are added up in whole millionths of a millionth: no sum is rounded


def image_tokens(
    width: int, height: int, detail: Literal["low", "high"], price: Price
) -> int | None:
    """Tokens that a picture takes; None: the price list does not say.

    Low detail is a fixed number. High: shrunk, never enlarged, to fit 2048 x 2048 and then
    to a shortest side of at most 768; each tile of 512 x 512 that it touches counts. Servers
    may round the shrunk sides to pixels either way; that never makes more tiles than here.

    Args:
        width: pixels, at least 1.
        height: pixels, at least 1.
        detail: how closely the model looks.
        price: of the model.
    """
    if detail == "low" or price.image_base_tokens is None:
        return price.image_base_tokens
    if price.image_tile_tokens is None:
        return None
    short, long = sorted((width, height))
    scale = min(Fraction(1), Fraction(MOST_LONG_PX, long), Fraction(MOST_SHORT_PX, short))
    tiles = ceil(short * scale / TILE_PX) * ceil(long * scale / TILE_PX)
    return price.image_base_tokens + tiles * price.image_tile_tokens


def most_image_tokens(
    longest_side: int, detail: Literal["low", "high"], price: Price
) -> int | None:
    """The most that a picture can take whose longer side is at most this, whatever its shape.

    The widest picture whose shortest side is not shrunk has the most tiles: a narrower one
    is as long, and a wider one is shrunk in both directions.
    """
    scale = min(Fraction(1), Fraction(MOST_LONG_PX, longest_side))
    short = min(longest_side, max(floor(MOST_SHORT_PX / scale), 1))
    return image_tokens(longest_side, short, detail, price)


def price_of(model: str, prices: dict[str, Price]) -> Price | None:
    """Of this model, or of the one whose dated version it is (gpt-4o-2024-08-06)."""
    if model not in prices and (dated := _DATED.fullmatch(model)):
        model = dated[1]
    return prices.get(model)


def cost_usd(tokens: Tokens, price: Price, *, share: float = 1.0) -> float:
    """What these tokens cost; input read from the cache has its own price.

    Args:
        tokens: as the server counted them.
        price: of the model.
        share: of the price that is paid, 0-1.
    """
    cached = min(tokens.cached_input, tokens.input)
    cached_usd = price.input_usd if price.cached_input_usd is None else price.cached_input_usd
    usd = (tokens.input - cached) * price.input_usd
    return share * (usd + cached * cached_usd + tokens.output * price.output_usd) / 1e6


def most_input_tokens(request: ChatRequest, price: Price) -> int | None:
    """More tokens than a request can have; None: the list does not say what a picture takes.

    A token of text stands for at least one byte of UTF-8 (byte-level byte pair encoding, as
    in tiktoken), and servers that know schemas read them as text.
    """
    parts = [part for message in request.messages for part in message.parts]
    most = FRAME_TOKENS * (len(parts) + len(request.messages) + 1)
    if request.schema is not None:
        most += len(json.dumps(request.schema))
    for part in parts:
        if isinstance(part, Picture):
            tokens = image_tokens(part.width, part.height, part.detail, price)
            if tokens is None:
                return None
            most += tokens
        else:
            most += len(part.encode("utf-8", "surrogatepass"))
    return most


def most_cost_usd(request: ChatRequest, price: Price, *, share: float = 1.0) -> float | None:
    """More than a request can cost; None: the list does not say what a picture takes.

    Args:
        request: what would be sent.
        price: of the model.
        share: of the price that is paid, 0-1.
    """
    tokens = most_input_tokens(request, price)
    if tokens is None:
        return None
    dearest = max(price.input_usd, price.cached_input_usd or 0.0)
    return share * (tokens * dearest + request.max_output_tokens * price.output_usd) / 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that one request per video can take.

    Attributes:
        images: pictures of a video.
        image_tokens: of all of these, by the tile rule; None: the price list does not say.
        text_tokens: of all else that is sent: a token stands for at least a byte.
        english_tokens: the same text in English, by OpenAI's rule of thumb of four characters
            a token (help.openai.com, "What are tokens and how to count them?").
        output_tokens: of the answer.
        usd: per video with `text_tokens`; None: the model has no price.
        english_usd: per video with `english_tokens`.
    """

    images: int
    image_tokens: int | None
    text_tokens: int
    english_tokens: int
    output_tokens: int
    usd: float | None
    english_usd: float | None


def estimate(settings: Describe, *, frames: int, prompt_bytes: int) -> Estimate:
    """What a request can take before anything is known of the video.

    Args:
        settings: of the description.
        frames: pictures of a video, at most.
        prompt_bytes: of the prompt without any facts, and of the schema, in UTF-8.
    """
    price = price_of(settings.model, settings.prices)
    each = (
        most_image_tokens(settings.image_longest_side, settings.image_detail, price)
        if price
        else None
    )
    images = None if each is None else frames * each
    around = FRAME_TOKENS * (2 * frames + 4)
    text = prompt_bytes + 4 * settings.max_text_chars + around
    english = (prompt_bytes + settings.max_text_chars) // 4 + around
    share = settings.batch_price_share if settings.mode == "batch" else 1.0

    def usd(text_tokens: int) -> float | None:
        if price is None or images is None:
            return None
        tokens = Tokens(input=images + text_tokens, output=settings.max_output_tokens)
        return cost_usd(tokens, price, share=share)

    return Estimate(
        images=frames,
        image_tokens=images,
        text_tokens=text,
        english_tokens=english,
        output_tokens=settings.max_output_tokens,
        usd=usd(text),
        english_usd=usd(english),
    )


def check_price(settings: Describe) -> None:
    """See that a limit on the cost can be kept.

    Raises:
        EngineUnavailable: there is a limit, but not every price that it takes to keep it.
    """
    if settings.max_cost_usd is None:
        return
    price = price_of(settings.model, settings.prices)
    if price is None:
        raise EngineUnavailable(
            f"the price of {settings.model} is not known, so description.max_cost_usd"
            " cannot be kept",
            remedy="add the model to description.prices, or take away description.max_cost_usd",
        )
    if image_tokens(1, 1, settings.image_detail, price) is None:
        raise EngineUnavailable(
            f"how many tokens {settings.model} takes for a picture is not known, so"
            " description.max_cost_usd cannot be kept",
            remedy="add image_base_tokens and image_tile_tokens to the model in"
            " description.prices, or take away description.max_cost_usd",
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run has taken so far.

    Attributes:
        requests: that were answered.
        tokens: of all of them.
        usd: what they cost; None: a model has no price.
        refusals: answers that a model, or a filter before it, would not give.
    """

    requests: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    usd: float | None = 0.0
    refusals: int = 0

    def line(self) -> str:
        """For people: "41 requests, 61,500 tokens, $0.21"."""
        tokens = self.tokens.input + self.tokens.output
        said = [_count(self.requests, "request"), _count(tokens, "token")]
        if self.usd is not None:
            said.append(f"${self.usd:,.{2 if self.usd >= 0.1 or not self.usd else 4}f}")
        if self.refusals:
            said.append(f"{self.refusals:,} refused")
        return ", ".join(said)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class Budget:
    """What a run has spent and may still spend. Safe to use from many threads at once.

    Args:
        max_cost_usd: of the run; None: no limit.
        max_requests: of the run; None: no limit.
    """

    def __init__(
        self, *, max_cost_usd: float | None = None, max_requests: int | None = None
    ) -> None:
        self._max_cost_usd, self._max_requests = max_cost_usd, max_requests
        self._max_pico = None if max_cost_usd is None else floor(Fraction(max_cost_usd) * _PICO)
        self._changed = threading.Condition()
        self._totals = Totals()
        self._spent_pico = self._reserved_pico = self._under_way = self._kept = 0

    @property
    def totals(self) -> Totals:
        """What was settled and counted so far."""
        with self._changed:
            return self._totals

    def reserve(self, most_usd: float | None, *, wait_s: float = 0.0) -> Reservation:
        """Set aside what a request can cost at most, before it is sent.

        Args:
            most_usd: None: not known, which a limit on the cost does not allow.
            wait_s: how long to wait for requests under way, which may take less than was
                set aside for them.

        Raises:
            BudgetSpent: with the limit that it would pass.
        """
        pico = _up(most_usd or 0.0)
        with self._changed:
            self._changed.wait_for(
                lambda: not self._under_way or self._passed(most_usd, pico) is None, wait_s
            )
            passed = self._passed(most_usd, pico)
            if passed is not None:
                raise passed
            self._reserved_pico += pico
            self._under_way += 1
        return Reservation(self, pico)

    def count(self, tokens: Tokens, usd: float | None, *, refused: bool = False) -> None:
        """An answer that was paid for without a reservation: fetched from a batch.

        Args:
            tokens: as the server counted them.
            usd: what it cost; None: the model has no price.
            refused: whether the model, or a filter before it, would not answer.
        """
        with self._changed:
            before = self._totals
            self._spent_pico += _up(usd or 0.0)
            known = before.usd is not None and usd is not None
            self._totals = Totals(
                requests=before.requests + 1,
                tokens=_sum(before.tokens, tokens),
                usd=self._spent_pico / _PICO if known else None,
                refusals=before.refusals + refused,
            )

    def _passed(self, most_usd: float | None, pico: int) -> BudgetSpent | None:
        """The limit that one more request would pass."""
        requests = self._totals.requests + self._under_way + self._kept
        if self._max_requests is not None and requests >= self._max_requests:
            return _spent("max_requests", f"{self._max_requests:,}")
        usd = self._spent_pico + self._reserved_pico + pico
        if self._max_pico is not None and (most_usd is None or usd > self._max_pico):
            return _spent("max_cost_usd", f"${self._max_cost_usd:g}")
        return None


class Reservation:
    """What was set aside for one request. The first of `settle`, `release` and `keep` counts."""

    def __init__(self, budget: Budget, pico: int) -> None:
        self._budget, self._pico, self._open = budget, pico, True

    def settle(self, tokens: Tokens, usd: float | None, *, refused: bool = False) -> None:
        """The request was answered; what was set aside and not spent is free again.

        Args:
            tokens: as the server counted them.
            usd: what it cost; None: the model has no price.
            refused: whether the model, or a filter before it, would not answer.
        """
        with self._budget._changed:  # a condition's lock may be taken again by who holds it
            if self._open:
                self.release()
                self._budget.count(tokens, usd, refused=refused)

    def keep(self) -> None:
        """It is answered when this run is over: it stays set aside, and nobody waits for it."""
        budget = self._budget
        with budget._changed:
            if self._open:
                self._open = False
                budget._under_way -= 1
                budget._kept += 1
                budget._changed.notify_all()

    def release(self) -> None:
        """The request was not sent, or took nothing."""
        budget = self._budget
        with budget._changed:
            if self._open:
                self._open = False
                budget._reserved_pico -= self._pico
                budget._under_way -= 1
                budget._changed.notify_all()


def _up(usd: float) -> int:
    return ceil(Fraction(usd) * _PICO)


def _sum(one: Tokens, two: Tokens) -> Tokens:
    return Tokens(
        input=one.input + two.input,
        cached_input=one.cached_input + two.cached_input,
        output=one.output + two.output,
    )


def _spent(limit: str, amount: str) -> BudgetSpent:
    return BudgetSpent(
        f"budget: description.{limit} ({amount}) is used up",
        remedy=f"run again, or raise description.{limit}",
    )
