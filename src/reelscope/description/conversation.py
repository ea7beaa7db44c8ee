"""A conversation with a chat model: paid within a budget, saved, and brought to a conclusion.

An answer that was cut is asked for once more with twice the room, and one that does not fit
is given back once with what is wrong in it. What was answered once is never asked again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reelscope.description.answer import Checked, check_answer
from reelscope.description.chat import ChatAnswer, ChatModel, ChatRequest, Tokens
from reelscope.description.cost import (
    Budget,
    Reservation,
    check_price,
    cost_usd,
    most_cost_usd,
    price_of,
)
from reelscope.description.exchange import Exchange, Mode
from reelscope.description.json_text import NotJson, read_json
from reelscope.description.prompt import Prompts, repair_messages
from reelscope.errors import AnswerUnusable
from reelscope.records import Refusal, Usage
from reelscope.settings import Describe, Dimension

log = logging.getLogger(__name__)


class Till:
    """Asks a model and keeps to the budget.

    Args:
        chat: what answers.
        settings: of the description: model, prices, limits.
    """

    def __init__(self, chat: ChatModel, settings: Describe) -> None:
        self.chat = chat
        self.budget = Budget(max_cost_usd=settings.max_cost_usd, max_requests=settings.max_requests)
        self._settings = settings
        self._price = price_of(settings.model, settings.prices)

    def check(self) -> None:
        """See that the limits can be kept.

        Raises:
            EngineUnavailable: there is a limit on the cost and no price.
        """
        check_price(self._settings)

    def ask(self, request: ChatRequest, sending: Callable[[], None]) -> ChatAnswer:
        """One answer.

        Args:
            request: to the model.
            sending: called before it is sent, and only if it may be paid for.

        Raises:
            BudgetSpent: the run may not spend so much.
            ServiceClosed, ServiceFailed, RequestRefused: as `ChatModel.ask`.
        """
        reservation = self.reserve(request, mode="live")
        try:
            sending()
            answer = self.chat.ask(request)
            cost = self.cost_usd(answer.tokens, "live")
            reservation.settle(answer.tokens, cost, refused=refusal_of(answer) is not None)
        finally:
            reservation.release()
        return answer

    def reserve(self, request: ChatRequest, *, mode: Mode) -> Reservation:
        """Set aside what it can cost at most.

        Raises:
            BudgetSpent: the run may not spend so much.
        """
        most = most_cost_usd(request, self._price, share=self._share(mode)) if self._price else None
        # what waits for a batch is never settled in this run: no use waiting for that
        wait_s = self._settings.request_timeout_s if mode == "live" else 0.0
        return self.budget.reserve(most, wait_s=wait_s)

    def count(self, answer: ChatAnswer, *, mode: Mode) -> None:
        """Note an answer that this run has not asked for but pays: one that a batch brought."""
        cost = self.cost_usd(answer.tokens, mode)
        self.budget.count(answer.tokens, cost, refused=refusal_of(answer) is not None)

    def cost_usd(self, tokens: Tokens, mode: Mode) -> float | None:
        """What an answer cost; None: the model has no price."""
        return cost_usd(tokens, self._price, share=self._share(mode)) if self._price else None

    def usage(self, exchange: Exchange) -> Usage:
        """What all answers of an exchange took."""
        paid = [(turn.mode, turn.answer.answer().tokens) for turn in exchange.turns if turn.answer]
        costs = [self.cost_usd(tokens, mode) for mode, tokens in paid]
        return Usage(
            requests=len(paid),
            input_tokens=sum(tokens.input for _, tokens in paid),
            cached_input_tokens=sum(tokens.cached_input for _, tokens in paid),
            output_tokens=sum(tokens.output for _, tokens in paid),
            cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        )

    def _share(self, mode: Mode) -> float:
        return self._settings.batch_price_share if mode == "batch" else 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer as it was understood.

    Attributes:
        text: as it came.
        checked: what was understood.
        whole: whether the text did not end too early.
        repairs: what was put right in the text.
    """

    text: str
    checked: Checked
    whole: bool
    repairs: tuple[str, ...]

    @property
    def cut(self) -> bool:
        """Whether something is missing because the text ended too early."""
        return not self.whole and bool(self.checked.missing)


class Talk:
    """The conversation about one video; what was answered once is not asked again.

    Args:
        exchange: as it stands beside the record.
        save: keeps it there; called before a request is sent and after its answer.
        ask: asks the model; calls what it is given before it sends anything.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        save: Callable[[Exchange], None],
        ask: Callable[[ChatRequest, Callable[[], None]], ChatAnswer],
    ) -> None:
        self.exchange = exchange
        self._save = save
        self._ask = ask

    def answer(self, request: ChatRequest) -> ChatAnswer:
        """The saved answer to this very request, else the model's."""
        if saved := self.exchange.answered(request):
            return saved.answer()
        answer = self._ask(request, lambda: self.note(request, mode="live"))
        self.note(request, mode="live", answer=answer)
        return answer

    def note(
        self,
        request: ChatRequest,
        *,
        mode: Mode,
        answer: ChatAnswer | None = None,
        batch: str | None = None,
    ) -> None:
        """Save a request before it is sent, and again with its answer."""
        if answer is None:
            log.info("asks a model: %s", json.dumps(request.shown(), ensure_ascii=False))
        self._keep(self.exchange.with_turn(request, mode=mode, answer=answer, batch=batch))

    def give_up(self) -> None:
        """No answer could be understood: they stay to be read, and the next run asks anew."""
        self._keep(self.exchange.model_copy(update={"usable": False}))

    def _keep(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._save(exchange)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What came of a conversation.

    Attributes:
        model: as the server names the one that answered.
        reading: the answer as it was understood; None: it was refused.
        refusal: why; None: it was not.
    """

    model: str
    reading: Reading | None
    refusal: Refusal | None


def conclude(
    talk: Talk,
    first: ChatAnswer,
    request: Callable[[], ChatRequest],
    *,
    dimensions: Sequence[Dimension],
    prompts: Prompts,
) -> Conclusion:
    """What the answers say, after asking again where that is needed.

    Args:
        talk: the conversation.
        first: answer to its first request.
        request: gives that request, if it has to go on.
        dimensions: what was asked.
        prompts: the templates.

    Raises:
        AnswerUnusable: the answers cannot be understood.
    """
    answer, reading, room = first, read_answer(first, dimensions), 1
    if refusal_of(answer) is None and reading.cut:
        room = 2
        answer = talk.answer(_with_room(request(), room))
        longer = read_answer(answer, dimensions)
        reading = reading if _more(reading, longer) else longer
    if refusal_of(answer) is None and reading.checked.problems:
        before = _with_room(request(), room)
        messages = repair_messages(prompts, before.messages, reading.text, reading.checked.problems)
        answer = talk.answer(replace(before, messages=messages))
        reading = read_answer(answer, dimensions)
    if refusal := refusal_of(answer):
        return Conclusion(answer.model, None, refusal)
    if trouble := _trouble(reading):
        talk.give_up()
        raise AnswerUnusable(trouble)
    return Conclusion(answer.model, reading, None)


def read_answer(answer: ChatAnswer, dimensions: Sequence[Dimension]) -> Reading:
    """The answer as far as it can be understood."""
    try:
        found = read_json(answer.text)
    except NotJson as error:
        whole = answer.finish != "length"
        problems = (f"the answer is not one JSON object: {error}",) if whole else ()
        missing = tuple(dimension.name for dimension in dimensions)
        return Reading(answer.text, Checked({}, problems, missing, ()), whole, ())
    checked = check_answer(found.value, dimensions, cut=found.cut, whole=found.whole)
    return Reading(answer.text, checked, found.whole, found.repairs)


def refusal_of(answer: ChatAnswer) -> Refusal | None:
    """Why the model, or a filter before it, would not answer; None: it did."""
    if answer.finish == "content_filter":
        return Refusal(kind="content_filter", reason=answer.refusal or "stopped by a filter")
    if answer.refusal is not None:
        return Refusal(kind="refusal", reason=answer.refusal)
    return None


def _more(one: Reading, other: Reading) -> bool:
    """Whether the first of two cut readings says more than the second."""
    return other.cut and len(one.checked.answers) > len(other.checked.answers)


def _trouble(reading: Reading) -> str | None:
    """Why there is nothing to keep."""
    if reading.checked.problems:
        return f"its answer does not fit, also when asked again: {reading.checked.problems[0]}"
    if not reading.checked.answers:
        return (
            "its answer was cut before its first dimension was complete; "
            "raise description.max_output_tokens"
        )
    return None


def _with_room(request: ChatRequest, room: int) -> ChatRequest:
    return replace(request, max_output_tokens=room * request.max_output_tokens)
