"""How sure is it that this is the track? One number, and what it means.

A logistic model of the traits of a place (evidence.py) with weights fitted by
`python bench/fit_music.py` on clips whose answer is known: two thirds of them are in no track. What
it gives is the log of the odds; the false positives of clips in no track fall off with it
exponentially, which gives the threshold for any rate that is set in advance.
"""

from __future__ import annotations

import math

from reelscope.music.evidence import Traits
from reelscope.music.fingerprint import FRAMES_PER_S

FALSE_POSITIVE_RATE = 1e-4
"""Of clips that are in no track, one in 10,000 may get an answer."""
WEIGHTS: dict[str, float] = {
    "one": -14.651,
    "score": 0.135,
    "beside": -0.288,
    "weakest": 0.39,
    "weak": 0.452,
    "covered": 2.878,
    "standing": 3.351,
    "high": 0.635,
    "met": 4.794,
    "votes": 0.242,
    "plain": 0.152,
    "rate": 0.42,
}
"""Of `features`, in log-odds per unit."""
LEVEL, FALL, AT_RATE = 1.0, 0.76, 1e-3
"""A share AT_RATE of the clips that are in no track reach LEVEL; e times fewer for every FALL.

Of the 21,000 such clips of 3 to 15 s, under all edits, of `python bench/music.py --part recall`:
their level at one in 1,000, and how fast the highest hundredth falls off.
"""


def features(traits: Traits) -> dict[str, float]:
    """What the model sees."""
    seconds = max(traits.end - traits.start, 1) / FRAMES_PER_S
    return {
        "one": 1.0,
        "score": min(traits.score, 40.0),
        "beside": traits.beside,
        "weakest": min(traits.weakest, 12.0),
        "weak": min(traits.weak, 12.0),
        "covered": traits.covered,
        "standing": traits.standing,
        "high": traits.high,
        "met": traits.met,
        "votes": math.log(max(traits.votes, 1)),
        "plain": min(traits.score, 40.0) if traits.plain else 0.0,
        "rate": min(traits.score / seconds**0.5, 15.0),
    }


def log_odds(traits: Traits) -> float:
    """Of the place being right, for a clip that is in the library with even odds."""
    return float(sum(WEIGHTS[name] * value for name, value in features(traits).items()))


def probability(odds: float) -> float:
    """Of being right, 0 to 1, from log-odds."""
    return 1 / (1 + math.exp(-min(max(odds, -700.0), 700.0)))


def similarity(odds: float) -> float:
    """0 to 100, growing with the probability; 95 is where FALSE_POSITIVE_RATE is kept.

    So a threshold of 95 accepts one of 10,000 clips that are in no track.
    """
    return 100 * probability(odds - threshold(FALSE_POSITIVE_RATE) + math.log(95 / 5))


def threshold(false_positive_rate: float) -> float:
    """The log-odds that clips in no track reach at this rate; -inf for 1 and more."""
    if false_positive_rate >= 1:
        return -math.inf
    return LEVEL + FALL * math.log(AT_RATE / false_positive_rate)
