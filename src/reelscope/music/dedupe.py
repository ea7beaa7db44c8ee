"""Which assets of a whole library are the same sound, and which of them to keep.

Pairs are classed by the share of equal bits at the best offset: from 0.95 on identical, from
0.80 the same content, from 0.60 a related version (settings). The last threshold is at the edge
of chance: different tracks reach 0.54 in the median, 0.61 in one pair of a hundred. So every
pair carries a confidence, from how different tracks compare over the same overlap
(`alignment.chance_of`) and from how many others each asset was compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

import numpy as np

from reelscope.music.chromaprint_items import DELAY_S, ITEM_S
from reelscope.music.neighbours import Pair, Search, alike
from reelscope.settings.music import MusicDedupe
from reelscope.store.audio_fingerprint import AssetPrint

SoundLikeness: TypeAlias = Literal["identical", "same_content", "related"]

FEATURELESS_SHARE: Final = 0.9
"""A fingerprint of which one item makes up this much is silence or one tone. It shares its
items with every other such sound, whatever that is."""


@dataclass(frozen=True)
class SoundPair:
    """Two assets that are alike, by their numbers in the report.

    Attributes:
        one, other: numbers; one < other.
        likeness: the class.
        similarity: share of equal bits in the overlap, 0-1.
        confidence: that this is no chance among so many assets, 0-1.
        offset_s: where in `one` the other one begins; negative: it begins before.
        overlap_s: seconds that were compared.
        coverage: share of the longer one that the overlap covers, 0-1.
        joins: the pair holds a group together.
    """

    one: int
    other: int
    likeness: SoundLikeness
    similarity: float
    confidence: float
    offset_s: float
    overlap_s: float
    coverage: float
    joins: bool


@dataclass(frozen=True)
class SoundGroup:
    """Assets that are the same sound.

    Attributes:
        members: numbers, the one to keep first, then from the best to the worst.
        why: what makes the first one the best, a sentence.
    """

    members: tuple[int, ...]
    why: str

    @property
    def keep(self) -> int:
        """The one that is proposed to keep."""
        return self.members[0]


@dataclass(frozen=True)
class DuplicateReport:
    """What was found among some assets.

    Attributes:
        assets: all that were asked about, with their status.
        pairs: that are alike, the most similar first.
        groups: of duplicates, the largest first.
    """

    assets: tuple[AssetPrint, ...]
    pairs: tuple[SoundPair, ...]
    groups: tuple[SoundGroup, ...]


def is_featureless(items: np.ndarray[tuple[int, ...], np.dtype[np.uint32]]) -> bool:
    """Whether it is silence or one tone throughout."""
    return bool(np.unique(items, return_counts=True)[1].max() >= FEATURELESS_SHARE * len(items))


def find_duplicates(
    assets: Iterable[AssetPrint],
    rules: MusicDedupe,
    *,
    threads: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> DuplicateReport:
    """Compare assets with one another.

    Args:
        assets: only the completed ones are compared.
        rules: classes, overlap, what makes a group.
        threads: that work side by side.
        progress: is told how many assets have been dealt with.
    """
    everything = tuple(assets)
    compared = [number for number, one in enumerate(everything) if one.fingerprint is not None
                and one.processing_status == "completed"]  # fmt: skip
    prints = [_items(everything[number]) for number in compared]
    found = alike(prints, _search(rules, threads), progress)
    pairs = [
        pair for raw in found if (pair := _classed(everything, compared, raw, rules)) is not None
    ]
    pairs.sort(key=lambda pair: (-pair.similarity, -pair.overlap_s, pair.one, pair.other))
    groups = [_group(everything, members) for members in _components(pairs)]
    groups.sort(key=lambda group: (-len(group.members), group.members))
    return DuplicateReport(everything, tuple(pairs), tuple(groups))


def _items(one: AssetPrint) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    assert one.fingerprint is not None  # noqa: S101  (chosen so)
    return one.fingerprint


def _search(rules: MusicDedupe, threads: int) -> Search:
    return Search(
        least_items=max(round((rules.min_overlap_s - DELAY_S) / ITEM_S) + 1, 1),
        least_share=rules.min_overlap_share,
        frequent_share=rules.frequent_share,
        all_pairs=rules.all_pairs_assets,
        least_similarity=rules.related,
        threads=threads,
    )


def likeness_of(similarity: float, rules: MusicDedupe) -> SoundLikeness | None:
    """The class of a similarity; None: different."""
    if similarity >= rules.identical:
        return "identical"
    if similarity >= rules.same_content:
        return "same_content"
    return "related" if similarity >= rules.related else None


def _classed(
    assets: Sequence[AssetPrint], compared: Sequence[int], pair: Pair, rules: MusicDedupe
) -> SoundPair | None:
    found = pair.alignment
    likeness = likeness_of(found.similarity, rules)
    # Bonferroni: an asset has as many chances as there are others.
    confidence = max(0.0, 1.0 - found.chance * (len(compared) - 1))
    sure = confidence >= rules.least_confidence
    if likeness is None or (likeness == "related" and not sure):
        return None
    one, other = compared[pair.first], compared[pair.second]
    longer = max(len(_items(assets[one])), len(_items(assets[other])))
    coverage = found.overlap / longer
    return SoundPair(
        one=one,
        other=other,
        likeness=likeness,
        similarity=found.similarity,
        confidence=confidence,
        offset_s=found.offset * ITEM_S,
        overlap_s=(found.overlap - 1) * ITEM_S + DELAY_S,
        coverage=coverage,
        joins=sure and likeness in rules.joins and coverage >= rules.join_coverage,
    )


def _components(pairs: Iterable[SoundPair]) -> list[list[int]]:
    """Assets that hang together by pairs that join."""
    leader: dict[int, int] = {}

    def find(number: int) -> int:
        while leader.setdefault(number, number) != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for pair in pairs:
        if pair.joins:
            one, other = sorted((find(pair.one), find(pair.other)))
            leader[other] = one
    members: defaultdict[int, list[int]] = defaultdict(list)
    for number in sorted(leader):
        members[find(number)].append(number)
    return list(members.values())


_QUALITIES: Final[tuple[tuple[str, Callable[[AssetPrint], float]], ...]] = (
    ("it is lossless", lambda one: not one.lossless),
    ("its bit rate is the highest", lambda one: -(one.bit_rate or 0)),
    ("its sample rate is the highest", lambda one: -(one.sample_rate or 0)),
    ("it has the most channels", lambda one: -(one.channels or 0)),
    ("it is the longest", lambda one: -round(one.duration or 0.0, 1)),
    ("it is the oldest", lambda one: _age(one).timestamp()),
)
"""What makes a file the better one, in this order. Whether a lossless file was made from a lossy
one cannot be seen here."""


def _age(one: AssetPrint) -> datetime:
    return one.modified_at or one.created_at


def quality(one: AssetPrint) -> tuple[float, ...]:
    """Sorts the best file first: lossless, then bit rate, sample rate, channels, duration, age."""
    return tuple(rank(one) for _, rank in _QUALITIES)


def _group(assets: Sequence[AssetPrint], members: Sequence[int]) -> SoundGroup:
    ranked = sorted(members, key=lambda n: (quality(assets[n]), assets[n].key))
    best, second = quality(assets[ranked[0]]), quality(assets[ranked[1]])
    reasons = (name for (name, _), a, b in zip(_QUALITIES, best, second, strict=True) if a < b)
    return SoundGroup(tuple(ranked), next(reasons, "all of them are equally good"))
