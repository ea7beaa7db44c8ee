"""Tokens of pictures, prices, upper bounds, and a budget that threads cannot pass."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.description.chat import ChatRequest, Message, Picture, Tokens
from reelscope.description.cost import (
    Budget,
    Totals,
    check_price,
    cost_usd,
    image_tokens,
    most_cost_usd,
    most_image_tokens,
    most_input_tokens,
    price_of,
)
from reelscope.errors import BudgetSpent, EngineUnavailable
from reelscope.settings import Describe, Price
from reelscope.settings.description import PRICES

GPT_4O = PRICES["gpt-4o"]
UNKNOWN_PICTURES = Price(input_usd=1.0, output_usd=1.0)
LONG = Tokens(input=1000, cached_input=0, output=500)


@pytest.mark.parametrize(
    ("width", "height", "detail", "tokens"),
    [
        (1024, 1024, "high", 765),  # the guide's three examples
        (2048, 4096, "high", 1105),
        (4096, 8192, "low", 85),
        (128, 64, "high", 255),  # not enlarged: community.openai.com/t/1262691
        (512, 512, "high", 255),
        (513, 512, "high", 425),
        (576, 1024, "high", 765),
        (768, 2048, "high", 1445),
        (1, 100_000, "high", 765),  # 2048 long, less than a pixel wide
    ],
)
def test_pictures_by_the_published_rule(
    width: int, height: int, detail: Literal["low", "high"], tokens: int
) -> None:
    assert image_tokens(width, height, detail, GPT_4O) == tokens
    assert image_tokens(height, width, detail, GPT_4O) == tokens


def test_models_have_their_own_numbers() -> None:
    assert image_tokens(1024, 1024, "high", PRICES["gpt-4o-mini"]) == 2833 + 4 * 5667
    assert image_tokens(1024, 1024, "low", PRICES["gpt-5"]) == 70


def test_pictures_of_which_the_list_says_nothing() -> None:
    base_alone = Price(input_usd=1.0, output_usd=1.0, image_base_tokens=85)
    assert image_tokens(64, 64, "low", base_alone) == 85
    assert image_tokens(64, 64, "high", base_alone) is None
    assert image_tokens(64, 64, "low", UNKNOWN_PICTURES) is None
    assert most_image_tokens(64, "high", UNKNOWN_PICTURES) is None


def test_the_most_a_picture_can_take_is_the_most_of_all_shapes() -> None:
    steps = sorted({*range(64, 2400, 97), 512, 513, 768, 769, 1024, 1025, 2047, 2048, 2049})
    most = 0
    for side in range(1, max(steps) + 1):
        shorts = {*range(1, side, 41), side, *(s for s in (512, 513, 767, 768, 769) if s < side)}
        found = max(image_tokens(short, side, "high", GPT_4O) or 0 for short in shorts)
        most = max(most, found)
        if side in steps:
            assert most_image_tokens(side, "high", GPT_4O) == most


def test_the_most_of_pictures_that_are_shrunk() -> None:
    assert most_image_tokens(4096, "high", GPT_4O) == 85 + 8 * 170
    assert image_tokens(1536, 4096, "high", GPT_4O) == 85 + 8 * 170


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 200))
def test_no_picture_takes_more_than_the_bound(one: int, two: int, more: int) -> None:
    bound = most_image_tokens(max(one, two) + more, "high", GPT_4O)
    taken = image_tokens(one, two, "high", GPT_4O)
    assert bound is not None
    assert taken is not None
    assert 255 <= taken <= bound <= 85 + 8 * 170


def test_a_price_stands_for_dated_versions() -> None:
    assert price_of("gpt-4o", PRICES) is GPT_4O
    assert price_of("gpt-4o-2024-08-06", PRICES) is GPT_4O
    assert price_of("gpt-4o-mini-2024-07-18", PRICES) is PRICES["gpt-4o-mini"]
    for other in ("gpt-4o-audio", "gpt-4o-2024-08-06-x", "ft:gpt-4o", "-2024-08-06", "llava"):
        assert price_of(other, PRICES) is None
    dated = Price(input_usd=5.0, output_usd=15.0)
    assert price_of("gpt-4o-2024-05-13", {**PRICES, "gpt-4o-2024-05-13": dated}) is dated


def test_costs() -> None:
    tokens = Tokens(input=1_000_000, cached_input=400_000, output=100_000)
    assert cost_usd(tokens, GPT_4O) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)
    assert cost_usd(tokens, GPT_4O, share=0.5) == pytest.approx(1.5)
    plain = Price(input_usd=2.0, output_usd=0.0)
    assert cost_usd(tokens, plain) == pytest.approx(2.0)
    more_cached_than_read = Tokens(input=10, cached_input=1_000_000, output=0)
    assert cost_usd(more_cached_than_read, GPT_4O) == pytest.approx(10 * 1.25e-6)


def request(*texts: str, pictures: int = 0, schema: dict[str, object] | None = None) -> ChatRequest:
    picture = Picture("a.jpg", b"", 1024, 1024, "high")
    return ChatRequest(
        model="gpt-4o",
        messages=(Message("user", (*texts, *[picture] * pictures)),),
        response_format="json_schema",
        schema=schema,
        max_output_tokens=100,
    )


@given(st.lists(st.text(st.characters())))
def test_text_is_bounded_by_its_bytes(texts: list[str]) -> None:
    most = most_input_tokens(request(*texts, pictures=2, schema={"a": "é"}), GPT_4O)
    bytes_ = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert most is not None
    assert most >= bytes_ + 2 * 765 + len(json.dumps({"a": "é"}))
    assert most <= bytes_ + 2 * 765 + 100 + 16 * len(texts)


def test_a_letter_may_be_several_tokens() -> None:
    assert (most_input_tokens(request("\U0001f600" * 1000), GPT_4O) or 0) >= 4000


def test_the_most_that_a_request_can_cost() -> None:
    short, long = request("a"), request("a" * 1_000_000)
    low, high = most_cost_usd(short, GPT_4O), most_cost_usd(long, GPT_4O)
    assert low is not None
    assert high is not None
    assert high - low == pytest.approx(2.5, rel=1e-3)
    assert low >= 100 * 10e-6
    assert most_cost_usd(long, GPT_4O, share=0.5) == pytest.approx(high / 2)
    assert most_cost_usd(request("a", pictures=1), UNKNOWN_PICTURES) is None
    assert most_cost_usd(request("a"), UNKNOWN_PICTURES) is not None


def test_a_limit_needs_prices() -> None:
    check_price(Describe(max_cost_usd=1.0, image_detail="high"))
    check_price(Describe(model="llava"))
    check_price(Describe(model="gpt-4o-2024-08-06", max_cost_usd=1.0))
    with pytest.raises(EngineUnavailable, match="price of llava is not known") as refused:
        check_price(Describe(model="llava", max_cost_usd=1.0))
    assert refused.value.remedy == (
        "add the model to description.prices, or take away description.max_cost_usd"
    )
    with pytest.raises(EngineUnavailable, match="for a picture is not known"):
        check_price(Describe(model="llava", max_cost_usd=1.0, prices={"llava": UNKNOWN_PICTURES}))


@pytest.mark.parametrize(
    ("totals", "line"),
    [
        (Totals(), "0 requests, 0 tokens, $0.00"),
        (Totals(1, Tokens(1, 0, 0), 0.00123), "1 request, 1 token, $0.0012"),
        (Totals(41, Tokens(60_000, 20_000, 1_500), 0.21), "41 requests, 61,500 tokens, $0.21"),
        (Totals(2, Tokens(), 1234.5, 1), "2 requests, 0 tokens, $1,234.50, 1 refused"),
        (Totals(3, LONG, None), "3 requests, 1,500 tokens"),
    ],
)
def test_the_progress_line(totals: Totals, line: str) -> None:
    assert totals.line() == line


def test_what_was_set_aside_and_not_spent_is_free_again() -> None:
    budget = Budget(max_cost_usd=1.0)
    first = budget.reserve(0.75)
    with pytest.raises(BudgetSpent, match=r"max_cost_usd \(\$1\) is used up"):
        budget.reserve(0.5)
    first.settle(LONG, 0.25)
    second = budget.reserve(0.75)
    second.release()
    second.settle(LONG, 0.5)  # too late: it was let go
    first.release()
    budget.reserve(0.75).settle(LONG, 0.75, refused=True)
    assert budget.totals == Totals(2, Tokens(2000, 0, 1000), 1.0, 1)
    with pytest.raises(BudgetSpent) as spent:
        budget.reserve(1e-9)
    assert spent.value.remedy == "run again, or raise description.max_cost_usd"
    budget.reserve(0.0)  # a local server takes nothing


def test_many_small_sums_are_not_rounded() -> None:
    budget = Budget(max_cost_usd=0.3)
    for _ in range(3):
        budget.reserve(0.1 - 1e-12).settle(LONG, 0.1 - 1e-12)
    assert budget.totals.usd == pytest.approx(0.3)
    with pytest.raises(BudgetSpent):
        budget.reserve(0.1)


def test_requests_are_counted_from_when_they_are_sent() -> None:
    budget = Budget(max_requests=2)
    first, _ = budget.reserve(None), budget.reserve(0.1)
    with pytest.raises(BudgetSpent, match=r"max_requests \(2\)"):
        budget.reserve(0.1)
    first.release()
    budget.reserve(None).settle(LONG, None)
    with pytest.raises(BudgetSpent):
        budget.reserve(0.1)
    with pytest.raises(BudgetSpent):
        Budget(max_requests=0).reserve(0.0)


def test_an_unknown_cost_passes_every_limit_and_makes_the_sum_unknown() -> None:
    with pytest.raises(BudgetSpent):
        Budget(max_cost_usd=1000.0).reserve(None)
    budget = Budget()
    budget.count(LONG, 1.0)
    budget.count(LONG, None)
    budget.count(LONG, 1.0)
    assert budget.totals == Totals(3, Tokens(3000, 0, 1500), None)


def test_who_waits_gets_what_another_did_not_need() -> None:
    budget = Budget(max_cost_usd=1.0)
    first = budget.reserve(1.0)
    threading.Timer(0.1, first.settle, (LONG, 0.25)).start()
    budget.reserve(0.75, wait_s=30.0).settle(LONG, 0.75)
    with pytest.raises(BudgetSpent):  # at once: nothing is under way
        budget.reserve(0.1, wait_s=30.0)


@pytest.mark.parametrize("wait_s", [0.0, 5.0])
def test_threads_cannot_pass_the_limits(wait_s: float) -> None:
    budget, held, lock = Budget(max_cost_usd=1.0, max_requests=400), [0.0], threading.Lock()

    def ask(seed: int) -> int:
        random, sent = Random(seed), 0
        while True:
            most = random.choice([0.001, 0.01, 0.03])
            try:
                reservation = budget.reserve(most, wait_s=wait_s)
            except BudgetSpent:
                return sent
            with lock:
                held[0] += most
                assert held[0] <= 1.0 + 1e-9
            actual = random.uniform(0, most)
            released = random.random() < 0.2
            with lock:  # before it is let go, so that the sum here is never too large
                held[0] -= most if released else most - actual
            reservation.release() if released else reservation.settle(LONG, actual)
            sent += not released

    with ThreadPoolExecutor(16) as threads:
        sent = sum(threads.map(ask, range(16)))
    totals = budget.totals
    assert totals.requests == sent <= 400
    assert totals.tokens == Tokens(1000 * sent, 0, 500 * sent)
    assert totals.usd == pytest.approx(held[0])
    assert totals.usd is not None
    assert totals.usd <= 1.0
    assert sent == 400 or totals.usd > 0.9
