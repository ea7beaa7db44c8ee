"""The life cycle of sounds: which video is the original, who uses it, from which second on.

All finished videos stand in one order, their seniority: published earlier, then longer, then
by id (what has no date comes after what has one). What a video is follows from those before
it: it is a `match` of the original among them whose sound it has (the one that most of it is
found in), else an `original` itself. So the end state is a function of the videos alone, and
the same in whatever order they arrive.

A newcomer is therefore decided like this: is there an older original with its sound? Then it
is a match. Otherwise it is an original, and all younger ones with its sound, the former
originals and all that had matched them, are measured against it and decided anew; the roles
swap, with offsets that are measured and not added up. A copy of a former original that shares
nothing with the new one becomes an original of its own.

Nothing but the comparison of two videos (music/original_rules.py) decides, and each pair is
compared once. The plan is made twice: first beside the other workers, where all that takes time
is done, then under the lock, where it is only looked up again and written.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from sqlalchemy.engine import Connection

from reelscope.errors import MediaError
from reelscope.music.fingerprint import RATE_HZ, VERSION, Constellation
from reelscope.music.original_rules import (
    SEARCHED,
    Hashes,
    Heard,
    hash_share,
    hashes_of,
    sampled,
    searched,
)
from reelscope.music.sound import Sound, read_sound
from reelscope.settings.music import MusicOriginals
from reelscope.store.originals import Claim, OriginalsStore, Pair, Peaks, Place, Status, Video

log = logging.getLogger(__name__)

SAME_PLACE_S = 0.5
"""The two rules agree where they place a clip within this of one another."""
SAME_TEMPO = 0.02
"""The rule of hashes knows the tempo of the original only; beyond this it is not asked to agree."""
KEPT = 64
"""Fingerprints that are kept in memory during one decision."""
Seniority: TypeAlias = tuple[float, float, str, int]


def seniority(video: Video, settings: MusicOriginals) -> Seniority:
    """Of two videos with the same sound the one with the lower value is the original."""
    published = video.published_at.timestamp() if video.published_at else math.inf
    longer = -float(video.length or 0)
    first, second = (
        (published, longer) if settings.seniority == "published" else (longer, published)
    )
    return first, second, video.video_id, video.id


# ------------------------------------------------------------------------------ two videos


@dataclass(frozen=True, slots=True)
class _Role:
    """A pair, seen from the one that may be the clip.

    Attributes:
        matched: by the rule that decides.
        offset_s: second of the original at which the clip begins (or would begin).
        weight: how much speaks for it; the highest one is taken.
        flags: why a person may want to look.
    """

    matched: bool
    offset_s: float | None
    tempo: float | None
    weight: tuple[float, float]
    flags: frozenset[str]


def role_of(pair: Pair, clip: int, settings: MusicOriginals) -> _Role:
    """What a pair says of one of its two videos as the clip of the other."""
    by_hashes = pair.share >= settings.share and pair.hits >= settings.min_hashes
    by_sound = pair.probability is not None
    calibrated = settings.decide_by == "calibrated" and pair.listened
    offset_s, tempo = (pair.offset_s, pair.tempo) if calibrated else (pair.share_offset_s, 1.0)
    if offset_s is not None and tempo is not None and clip == pair.long:
        offset_s, tempo = -offset_s / tempo, 1 / tempo
    weight = (pair.heard_s or 0.0, pair.share) if calibrated else (pair.share, 0.0)
    flags = frozenset(_flags(pair, by_hashes, by_sound, settings))
    return _Role(by_sound if calibrated else by_hashes, offset_s, tempo, weight, flags)


def _flags(pair: Pair, by_hashes: bool, by_sound: bool, settings: MusicOriginals) -> Iterator[str]:
    if settings.decide_by == "calibrated" and pair.listened:
        if pair.probability is not None and pair.probability < settings.sure_probability:
            yield "near_threshold"
    elif _near(pair, settings):
        yield "near_threshold"
    if not pair.listened:
        return
    if not by_sound:
        if by_hashes:
            yield "rules_disagree"
    elif abs((pair.tempo or 1.0) - 1.0) <= SAME_TEMPO:
        apart_s = abs((pair.offset_s or 0.0) - (pair.share_offset_s or 0.0))
        if not by_hashes or apart_s > SAME_PLACE_S:
            yield "rules_disagree"


def _near(pair: Pair, settings: MusicOriginals) -> bool:
    """Around the threshold of the rule of hashes."""
    low, high = 1 - settings.flag_margin, 1 + settings.flag_margin
    enough = pair.hits >= settings.min_hashes * low
    return enough and settings.share * low <= pair.share < settings.share * high


def worth_keeping(pair: Pair, settings: MusicOriginals) -> bool:
    """Whether the two are alike by one of the rules, or nearly."""
    by_hashes = pair.share >= settings.share and pair.hits >= settings.min_hashes
    return by_hashes or pair.probability is not None or _near(pair, settings)


# -------------------------------------------------------------------------------- the sounds


class Ears(Protocol):
    """The calibrated rule, and who sounds like a clip at whatever speed."""

    def alike(self, connection: Connection, sound: Sound, asked: set[int]) -> list[int]:
        """Originals that a clip sounds like, but for those in `asked`, to which all that were
        compared are added."""

    def heard(self, sound: Sound, reference: Constellation) -> Heard | None:
        """The place of a clip in another sound; None: it is not there."""


class _Sounds:
    """Sounds of the files that one decision compares; None where the file is gone."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._kept: dict[int, Sound | None] = {}

    def of(self, video: Video) -> Sound | None:
        if video.id not in self._kept:
            if len(self._kept) >= 2:  # the newcomer's, which is the first, and another one's
                self._kept.pop(list(self._kept)[-1])
            self._kept[video.id] = _sound_or_none(video, self._most_s)
        return self._kept[video.id]


def _sound_or_none(video: Video, most_s: float) -> Sound | None:
    try:
        return read_sound(Path(video.path), RATE_HZ, most_s=most_s)
    except (MediaError, OSError) as error:
        log.info("%s: its sound cannot be heard again: %s", video.video_id, error)
        return None


@dataclass
class _Newcomer:
    """A video about to be decided, with all that was measured for it."""

    id: int
    constellation: Constellation
    hashes: Hashes
    sounds: _Sounds
    measured: dict[tuple[int, int], Pair] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    by_ear: list[int] = field(default_factory=list)


# ---------------------------------------------------------------------------------- the plan


@dataclass
class Plan:
    """What is to be written.

    Attributes:
        places: of the newcomer and of those whose place changes.
        before: their states until now.
        pairs: that were measured and are worth keeping.
    """

    places: dict[int, Place] = field(default_factory=dict)
    before: dict[int, Status] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)


class _Planner:
    """Decides a newcomer and all that follows from it; reads only."""

    def __init__(
        self,
        store: OriginalsStore,
        connection: Connection,
        settings: MusicOriginals,
        newcomer: _Newcomer,
        ears: Ears | None,
    ) -> None:
        self._store, self._connection, self._settings = store, connection, settings
        self._newcomer, self._ears = newcomer, ears
        self._plan = Plan()
        self._videos: dict[int, Video] = {}
        self._pairs: dict[int, dict[int, Pair]] = {}
        self._sounds: dict[int, tuple[Constellation, Hashes]] = {}
        found = store.video(connection, newcomer.id)
        self._videos[found.id] = replace(found, length=newcomer.constellation.length)
        self._keep(newcomer.id, (newcomer.constellation, newcomer.hashes))

    def plan(self) -> Plan:
        """From the newcomer on to its juniors, the most senior first; each is decided once."""
        waiting = [self._seniority(self._newcomer.id)]
        decided: set[int] = set()
        while waiting:
            number = heapq.heappop(waiting)[-1]
            if number in decided:
                continue
            decided.add(number)
            for other in self._decide(number):
                heapq.heappush(waiting, self._seniority(other))
        return self._plan

    def _decide(self, number: int) -> list[int]:
        """Place one; returns those for whom that may change something."""
        was = self._video(number).status
        new = number == self._newcomer.id
        if new:
            self._compare(number, self._found(number, originals=True))
        place = self._place(number)
        if place.status == "original" and was != "original":
            others = self._found(number, originals=False)
            self._compare(number, others if new else others + self._found(number, originals=True))
            self._compare(number, self._copies_of_juniors(number))
        if new or not self._is_so(number, place):
            self._plan.before.setdefault(number, was)
            self._plan.places[number] = place
        if place.status == was or (new and place.status == "match"):
            return []
        return [other for other in self._alike(number) if self._is_senior(number, other)]

    def _place(self, number: int) -> Place:
        """By the originals among its seniors."""
        seniors = [
            (role_of(pair, number, self._settings), other)
            for other, pair in self._alike(number).items()
            if self._status(other) == "original" and self._is_senior(other, number)
        ]
        matched = [(role, other) for role, other in seniors if role.matched]
        if not matched:
            flags = frozenset().union(*(role.flags for role, _ in seniors))
            return Place("original", flag=_flag(flags))
        best, original = min(
            matched, key=lambda one: ([-w for w in one[0].weight], self._seniority(one[1]))
        )
        pair = self._alike(number)[original]
        flags = best.flags | ({"two_originals"} if len(matched) > 1 else frozenset())
        return Place(
            "match", _flag(flags), original, best.offset_s, pair.share, pair.probability, best.tempo
        )

    def _is_so(self, number: int, place: Place) -> bool:
        video = self._video(number)
        return all(getattr(video, name) == getattr(place, name) for name in Place.__slots__)

    # ------------------------------------------------------------------- who is compared

    def _found(self, number: int, *, originals: bool) -> list[int]:
        """Videos that share hashes with this one, or sound alike."""
        _, hashes = self._sound(number)
        settings, query = self._settings, searched(hashes)
        share = settings.stop_share * self._store.originals(self._connection)
        found = self._store.candidates(
            self._connection,
            query.words,
            query.frames,
            originals=originals,
            fewest=settings.candidate_hashes,
            stop_rows=max(settings.stop_rows, math.ceil(share)),
            most=settings.most_candidates,
        )
        counts = self._store.hash_counts(self._connection, [one.video for one in found])
        least = settings.candidate_share / SEARCHED
        heard = self._by_ear() if originals and number == self._newcomer.id else []
        return heard + [
            one.video
            for one in found
            if one.video != number and one.hits >= least * min(counts[one.video], len(hashes))
        ]

    def _by_ear(self) -> list[int]:
        """Originals that the newcomer sounds like, at any speed."""
        newcomer, ears = self._newcomer, self._ears
        sound = newcomer.sounds.of(self._video(newcomer.id)) if ears else None
        if ears is not None and sound is not None:
            newcomer.by_ear += ears.alike(self._connection, sound, newcomer.asked)
        return newcomer.by_ear

    def _copies_of_juniors(self, number: int) -> list[int]:
        """All that is alike to originals that this one is about to replace."""
        return [
            copy
            for junior, pair in list(self._alike(number).items())
            if self._status(junior) == "original"
            and self._is_senior(number, junior)
            and role_of(pair, junior, self._settings).matched
            for copy in self._alike(junior)
            if copy != number
        ]

    def _compare(self, number: int, others: list[int]) -> None:
        for other in dict.fromkeys(others):
            if other not in self._alike(number):
                pair = self._measured(number, other)
                if worth_keeping(pair, self._settings):
                    self._plan.pairs.append(pair)
                    self._alike(number)[other] = self._alike(other)[number] = pair

    def _measured(self, one: int, other: int) -> Pair:
        short, long = sorted((one, other), key=self._by_length)
        if (short, long) not in self._newcomer.measured:
            self._newcomer.measured[short, long] = self._measure(short, long)
        return self._newcomer.measured[short, long]

    def _measure(self, short: int, long: int) -> Pair:
        (clip, hashes), (reference, others) = self._sound(short), self._sound(long)
        sample = sampled(hashes, clip.length, self._settings)
        share = hash_share(sample, others, merge_frames=self._settings.merge_frames)
        pair = Pair(short, long, share.share, share.hits, share.offset_s)
        if self._ears is None:
            return pair
        sound = self._newcomer.sounds.of(self._video(short))
        if sound is not None:
            return _with(pair, self._ears.heard(sound, reference))
        sound = self._newcomer.sounds.of(self._video(long))
        if sound is not None:
            return _with(pair, _turned(self._ears.heard(sound, clip)))
        return pair

    # --------------------------------------------------------------------------- looking

    def _by_length(self, number: int) -> tuple[int, str]:
        video = self._video(number)
        return video.length or 0, video.video_id

    def _seniority(self, number: int) -> Seniority:
        return seniority(self._video(number), self._settings)

    def _is_senior(self, one: int, other: int) -> bool:
        return self._seniority(one) < self._seniority(other)

    def _status(self, number: int) -> Status:
        place = self._plan.places.get(number)
        return place.status if place else self._video(number).status

    def _video(self, number: int) -> Video:
        if number not in self._videos:
            self._videos[number] = self._store.video(self._connection, number)
        return self._videos[number]

    def _alike(self, number: int) -> dict[int, Pair]:
        """All that was found alike to a video, by their numbers."""
        if number not in self._pairs:
            stored = self._store.pairs(self._connection, number)
            self._pairs[number] = {_other(pair, number): pair for pair in stored}
            for pair in self._plan.pairs:
                if number in (pair.short, pair.long):
                    self._pairs[number][_other(pair, number)] = pair
        return self._pairs[number]

    def _sound(self, number: int) -> tuple[Constellation, Hashes]:
        if number not in self._sounds:
            peaks = self._store.peaks(self._connection, number)
            constellation = Constellation(peaks.frames, peaks.bins, peaks.length)
            self._keep(number, (constellation, hashes_of(constellation)))
        return self._sounds[number]

    def _keep(self, number: int, sound: tuple[Constellation, Hashes]) -> None:
        if len(self._sounds) >= KEPT:
            self._sounds.pop(next(n for n in self._sounds if n != self._newcomer.id))
        self._sounds[number] = sound


def _other(pair: Pair, number: int) -> int:
    return pair.long if pair.short == number else pair.short


def _flag(flags: frozenset[str]) -> str | None:
    return " ".join(sorted(flags)) or None


def _with(pair: Pair, heard: Heard | None) -> Pair:
    if heard is None:
        return replace(pair, listened=True)
    return replace(
        pair,
        listened=True,
        probability=heard.probability,
        offset_s=heard.offset_s,
        tempo=heard.tempo,
        heard_s=heard.heard_s,
    )


def _turned(heard: Heard | None) -> Heard | None:
    """The longer sound was looked for in the shorter one: the same, the other way round."""
    if heard is None:
        return None
    tempo = heard.tempo
    return Heard(heard.probability, -heard.offset_s / tempo, 1 / tempo, heard.heard_s * tempo)


# ------------------------------------------------------------------------------- deciding


def decide(
    store: OriginalsStore,
    claim: Claim,
    constellation: Constellation,
    *,
    settings: MusicOriginals,
    ears: Ears | None = None,
) -> Status:
    """Say what a claimed video is, and move all whose place changes by that.

    Args:
        store: of the tables.
        claim: of the video; it is given up.
        constellation: its fingerprint.
        settings: of the rules.
        ears: the calibrated rule; None: the rule of hashes decides alone.

    Returns:
        What the video is now.

    Raises:
        ClaimLostError: it is another's by now; nothing was written.
    """
    hashes = hashes_of(constellation)
    if reason := _too_little(constellation, hashes, settings):
        store.too_short(claim, reason, duration_s=constellation.duration_s)
        return "too_short"
    sounds = _Sounds(settings.most_listened_s)
    newcomer = _Newcomer(claim.id, constellation, hashes, sounds)
    with store.database.reading() as connection:
        _Planner(store, connection, settings, newcomer, ears).plan()
    with store.deciding() as connection:
        plan = _Planner(store, connection, settings, newcomer, ears).plan()
        _write(store, connection, claim, newcomer=newcomer, plan=plan)
    return plan.places[claim.id].status


def _too_little(sound: Constellation, hashes: Hashes, settings: MusicOriginals) -> str | None:
    if sound.duration_s < settings.min_duration_s:
        return f"{sound.duration_s:.2f} s of sound, {settings.min_duration_s:g} s are needed"
    if len(hashes) < settings.min_hashes:
        return f"{len(hashes)} hashes in its sound, {settings.min_hashes} are needed"
    return None


def _write(
    store: OriginalsStore,
    connection: Connection,
    claim: Claim,
    *,
    newcomer: _Newcomer,
    plan: Plan,
) -> None:
    """All of it in one transaction, the claim first: who has lost it writes nothing."""
    store.end(connection, claim, {"duration_s": newcomer.constellation.duration_s})
    sound = newcomer.constellation
    peaks = Peaks(VERSION, sound.frames, sound.bins, sound.length)
    store.save_fingerprint(connection, claim.id, peaks, hashes=len(newcomer.hashes))
    for number, place in plan.places.items():
        store.place(connection, number, place)
        is_original, was = place.status == "original", plan.before[number]
        if number == claim.id:
            words, frames = newcomer.hashes.words, newcomer.hashes.frames
            store.save_hashes(connection, number, words, frames, original=is_original)
        elif place.status != was:
            stored = store.peaks(connection, number)
            moved = hashes_of(Constellation(stored.frames, stored.bins, stored.length))
            store.move_hashes(connection, number, moved.words, moved.frames, original=is_original)
    store.save_pairs(connection, plan.pairs)
    log.info("%s is %s", claim.video_id, plan.places[claim.id].status)
