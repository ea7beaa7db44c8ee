"""Which track is heard? Stage `music`.

Sources are asked in this order, each answer is kept: what the platform says, the user's music
library, sounds recognised earlier (audio/sound_memory.py), Shazam (engines/shazam.py). The
library hears all music that was read, and names every track in it. Shazam is the scarce thing:
it is asked where the timeline has music and none of the others names the track, about one to
three windows, and what it says is remembered.

A library grows. What it was asked in stands in the value (`library_revision`), and part of the
key is the state that counts for a video (`MusicStage.revision_for`): a video in which a track was
found is not asked about again, one in which none was is, as soon as a later run meets a library
that has changed. What a run asks is held against the state at its beginning, so tracks that are
added meanwhile make nothing anew in it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.landmarks import Landmarks, landmarks
from reelscope.audio.separate import accompaniment_of
from reelscope.audio.sound_memory import Known, Placed
from reelscope.errors import OutputError, StoreError
from reelscope.media.audio import Audio, Samples
from reelscope.media.clip import Clip
from reelscope.records import (
    Event,
    Events,
    Failed,
    Lane,
    Music,
    MusicAnswer,
    MusicSource,
    MusicTrack,
    MusicWindow,
    Ok,
    Outcome,
    PlatformMusic,
    RecognisedMusic,
    Separation,
    SpeechSegment,
    StageRecord,
    VideoSource,
    Voice,
)
from reelscope.settings import Section

log = logging.getLogger(__name__)

RATE_HZ = 16_000
"""Of what is listened to: Shazam's signature is made of sound at this rate."""
WINDOW_S = 12.0
"""What Shazam's own program sends (SongRec, src/core/fingerprinting/algorithm.rs); from 15 s
on it answers that there is no match (https://github.com/shazamio/ShazamIO/issues/150)."""
LEAST_MUSIC_S = 3.0
"""In a window, for asking at all: a jingle is no track."""
STEP_S = 0.5
"""Windows begin on this grid."""
MOST_HEARD_S = 120.0
"""Of a video's music, for finding it in the memory."""
MUSIC_WEIGHT, BOTH_WEIGHT, SEPARATED_WEIGHT = 1.0, 0.5, 0.8
"""A second of music alone, under speech, and under speech that was taken out of it (what
separation leaves is damaged). Chosen, not measured: they only order windows."""
SPEECH_COST = 0.25
"""Of a second in which a voice was found, in the mix."""
MUSICAL = ("music", "speech_over_music")
ORIGINAL = "original sound"
"""What TikTok calls a sound that is no track, in English; other languages come with the mark
`original`."""

Sound: TypeAlias = NDArray[np.float32]
Missed: TypeAlias = Literal["no_match", "rate_limited", "unreachable", "broken"]


# ------------------------------------------------------------------ what others have to do


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recogniser says of a window.

    Attributes:
        placed: the track; None: none.
        missed: why there is none; broken: it could not work on this sound.
        message: a sentence, where there is no track.
        requests: that were sent.
    """

    placed: Placed | None = None
    missed: Missed | None = None
    message: str | None = None
    requests: int = 0


class MusicRecogniser(Protocol):
    """A remote service that knows tracks."""

    @property
    def engine(self) -> str:
        """Name and version."""
        ...

    @property
    def absent(self) -> str | None:
        """Why it cannot be asked on this machine; None: it can."""
        ...

    def recognise(self, samples: Sound, rate_hz: int) -> Heard:
        """Which track this is; waits for its turn.

        Args:
            samples: one channel, (n,), finite, full scale +-1, at most WINDOW_S.
            rate_hz: theirs.
        """
        ...

    def close(self) -> None:
        """Let go of what was started."""
        ...


class TrackLibrary(Protocol):
    """The user's own tracks."""

    @property
    def engine(self) -> str:
        """Name and version; the same whatever is in the library, and cheap to ask."""
        ...

    @property
    def absent(self) -> str | None:
        """Why it cannot be asked, with the remedy; None: it can."""
        ...

    @property
    def revision(self) -> str:
        """Its state when this run first asked; another one where a track is added, changed or
        removed. Empty where it cannot be asked."""
        ...

    def identify(self, samples: Sound, rate_hz: int) -> Sequence[Identified]:
        """Every track that is heard, with its place.

        Args:
            samples: one channel, (n,), finite, full scale +-1, of any length.
            rate_hz: theirs.

        Raises:
            StoreError, OutputError: it does not answer any more.
        """
        ...

    def unchanged(self, library_id: str, since: datetime | None) -> bool:
        """Whether this track still stands in it as it did then; also where nobody can say."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


@dataclass(frozen=True, slots=True)
class Identified:
    """A track of the library.

    Attributes:
        placed: which, and what of it is heard at `start_s`.
        start_s, end_s: of the match, in the sound that was asked about.
        confidence: probability of being right, 0-1.
    """

    placed: Placed
    start_s: float
    end_s: float
    confidence: float | None = None


class SoundMemory(Protocol):
    """Sounds that were recognised earlier."""

    def by_id(self, platform: str, music_id: str) -> Known | None:
        """What is remembered of a sound of a platform; raises OutputError."""
        ...

    def by_sound(self, heard: Landmarks) -> Known | None:
        """What is remembered of this sound; raises OutputError."""
        ...

    def learn(
        self,
        placed: Placed | None,
        heard: Landmarks,
        *,
        platform: str | None = None,
        music_id: str | None = None,
    ) -> None:
        """Remember a window of sound; raises OutputError."""
        ...


# --------------------------------------------------------------------------------- windows


def choose_windows(
    timeline: Sequence[Event],
    speech: Sequence[SpeechSegment],
    *,
    most: int,
    separated: bool = False,
    window_s: float = WINDOW_S,
) -> tuple[MusicWindow, ...]:
    """Where music is strongest and speech weakest, the best first, without overlap.

    Args:
        timeline: of stage `events`.
        speech: of stage `voice`.
        most: windows at most.
        separated: voices were taken out of what will be listened to.
        window_s: length; shorter where the sound is.
    """
    end_s = timeline[-1].end_s if timeline else 0.0
    length_s = min(window_s, end_s)
    music = [(e.start_s, e.end_s) for e in timeline if e.kind in MUSICAL]
    spoken = [(s.start_s, s.end_s) for s in speech]
    both = SEPARATED_WEIGHT if separated else BOTH_WEIGHT
    weight = {"music": MUSIC_WEIGHT, "speech_over_music": both}
    weighed = [(e.start_s, e.end_s, weight[e.kind]) for e in timeline if e.kind in MUSICAL]
    cost = 0.0 if separated else SPEECH_COST
    starts_s = {*np.arange(0.0, max(end_s - length_s, 0.0) + 1e-9, STEP_S).tolist()}
    starts_s |= {min(a, end_s - length_s) for a, _ in music}  # music may begin off the grid
    scored: list[tuple[float, MusicWindow]] = []
    for start_s in sorted(starts_s):
        window = MusicWindow(
            start_s=start_s,
            end_s=start_s + length_s,
            music_s=_shared_s(music, start_s, start_s + length_s),
            speech_s=_shared_s(spoken, start_s, start_s + length_s),
        )
        strength = sum(
            share * _shared_s([(a, b)], start_s, start_s + length_s) for a, b, share in weighed
        )
        if window.music_s >= LEAST_MUSIC_S:
            scored.append((strength - cost * window.speech_s, window))
    return _apart(
        [w for _, w in sorted(scored, key=lambda s: (-round(s[0], 6), s[1].start_s))], most
    )


def _apart(windows: Iterable[MusicWindow], most: int) -> tuple[MusicWindow, ...]:
    chosen: list[MusicWindow] = []
    for window in windows:
        if len(chosen) == most:
            break
        if all(window.start_s >= w.end_s or window.end_s <= w.start_s for w in chosen):
            chosen.append(window)
    return tuple(chosen)


def _shared_s(spans: Iterable[tuple[float, float]], start_s: float, end_s: float) -> float:
    return sum(max(min(b, end_s) - max(a, start_s), 0.0) for a, b in spans)


def names_track(music: PlatformMusic | None) -> bool:
    """Whether the platform names a track, and not somebody's own sound."""
    if music is None or not (music.title or "").strip() or music.original:
        return False
    return not (music.title or "").strip().lower().startswith(ORIGINAL)


# --------------------------------------------------------------------------------- listening


class _Listening:
    """A clip's music: what is cut out of its sound, read once.

    The sound is opened anew and not through the clip's view: time limits are set there for
    stages that compute, and this one waits for others.
    """

    def __init__(self, clip: Clip, most: int) -> None:
        self.windows: tuple[MusicWindow, ...] = ()
        self.sound: Literal["mix", "accompaniment"] | None = None
        self.why_not: str | None = None
        self._stretches: list[tuple[float, Sound]] = []
        events, voice = clip.value(Events), clip.value(Voice)
        if not clip.info.has_audio:
            self.why_not = "there is no sound"
        elif events is None:
            self.why_not = "it is not known where music plays (stage events)"
        else:
            separation = clip.value(Separation)
            separated = separation is not None and separation.accompaniment is not None
            speech = voice.segments if voice else ()
            self.windows = choose_windows(events.timeline, speech, most=most, separated=separated)
            self.why_not = None if self.windows else "no music was found in it"
        if self.windows and events is not None:
            self._read(clip, _stretches(events.timeline, self.windows))

    def _read(self, clip: Clip, spans: Sequence[tuple[float, float]]) -> None:
        blocks = accompaniment_of(clip, RATE_HZ)
        self.sound = "mix" if blocks is None else "accompaniment"
        if blocks is None:
            audio = Audio(clip.info, cache_bytes=0, check_time=lambda: None)
            blocks = audio.blocks(RATE_HZ)
        self._stretches = list(_cut(blocks, spans))

    def window(self, window: MusicWindow) -> Sound:
        """Its samples at RATE_HZ."""
        for start_s, samples in self._stretches:
            first = round((window.start_s - start_s) * RATE_HZ)
            if first >= 0 and window.start_s < start_s + len(samples) / RATE_HZ:
                return samples[first : first + round((window.end_s - window.start_s) * RATE_HZ)]
        return np.zeros(0, np.float32)

    def stretches(self) -> Iterator[tuple[float, Sound]]:
        """(start_s, samples) of all that was read, about MOST_HEARD_S at most."""
        yield from self._stretches


def _stretches(
    timeline: Sequence[Event], windows: Sequence[MusicWindow]
) -> list[tuple[float, float]]:
    """What is read: the windows, and other music as far as there is room, in order."""
    spans = [(w.start_s, w.end_s) for w in windows]
    left_s = MOST_HEARD_S - sum(b - a for a, b in spans)
    for event in timeline:
        if event.kind in MUSICAL and left_s > 0:
            length_s = min(event.end_s - event.start_s, left_s)
            inside_s = _shared_s(spans, event.start_s, event.start_s + length_s)
            spans.append((event.start_s, event.start_s + length_s))
            left_s -= length_s - inside_s
            spans = _joined(spans)
    return _joined(spans)


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if found and start_s <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end_s)
        else:
            found.append((start_s, end_s))
    return found


def _cut(
    blocks: Iterable[Samples], spans: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, Sound]]:
    """(start_s, samples) of spans that are in order and apart."""
    source, held, at = iter(blocks), np.zeros(0, np.float32), 0
    for start_s, end_s in spans:
        first, end = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
        while at + len(held) < end and (block := next(source, None)) is not None:
            gone = min(max(first - at, 0), len(held))
            clean = np.nan_to_num(block[:, 0], nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
            held, at = np.concatenate([held[gone:], clean]), at + gone
        if at + len(held) > first:
            yield start_s, held[max(first - at, 0) : end - at].copy()


# ----------------------------------------------------------------------------------- stage


class Asked(Section):
    """What a result depends on. Pace, limits and places of files do not change it."""

    shazam: bool
    ask_shazam: Literal["unnamed", "always"]
    windows: int


@dataclass
class _Findings:
    """What is found of one video on the way."""

    found: list[RecognisedMusic] = field(default_factory=list)
    answers: list[MusicAnswer] = field(default_factory=list)

    def add(
        self,
        source: MusicSource,
        *found: RecognisedMusic,
        missed: Literal["no_match", "not_asked", "rate_limited", "unreachable"] = "no_match",
        reason: str | None = None,
        requests: int = 0,
    ) -> None:
        self.found += found
        self.answers.append(
            MusicAnswer(
                source=source,
                outcome="found" if found else missed,
                reason=reason,
                requests=requests,
            )
        )

    def named(self) -> str | None:
        """Why nobody else has to be asked."""
        if not self.found:
            return None
        return {
            "platform": "the platform names the track",
            "library": "it is a track of the library",
            "memory": "it was recognised earlier",
            "shazam": "Shazam knows it",
        }[self.found[0].source]


class MusicStage:
    """Stage `music`.

    Args:
        asked: what a result depends on.
        memory: sounds recognised earlier.
        recogniser: Shazam; None: it is not asked.
        why_not: why there is none.
        library: the user's own tracks; None: there is no library.
    """

    name = "music"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ("voice", "events", "separate")
    lane: Lane = "network"
    batch_size = 1
    at_once = 4
    """Videos that wait for their turn at Shazam do not keep others from other services."""

    def __init__(
        self,
        asked: Asked,
        memory: SoundMemory,
        recogniser: MusicRecogniser | None,
        *,
        why_not: str | None = None,
        library: TrackLibrary | None = None,
    ) -> None:
        self.settings = asked
        self._memory = memory
        self._recogniser = recogniser
        self._why_not = why_not
        self._library = library
        self._asking = threading.Lock()

    @property
    def engine(self) -> str:
        """This program, and whom it can ask."""
        recogniser = self._recogniser
        can_ask = recogniser is not None and recogniser.absent is None
        others = [self._library.engine] if self._library else []
        if recogniser is not None and can_ask:
            others.append(recogniser.engine)
        return ", ".join(["reelscope 1", *others])

    def source_key(self, source: VideoSource) -> str:
        """The platform's music and, through the stages that this one uses, the media.

        Not all that the platform says: the counts are new whenever it is asked.
        """
        music = source.platform.music if source.platform else None
        return music.model_dump_json(exclude={"play_url"}) if music else ""

    def revision_for(self, earlier: StageRecord | None) -> str:
        """The state of the library that the video's value goes with.

        That of the earlier value, where asking again is no use or not possible: tracks were
        found and stand unchanged in the library, there is no music to ask about, or the library
        cannot be asked today. Else today's.
        """
        if self._library is None:
            return ""
        value = earlier.value if earlier and earlier.status == "ok" else None
        if earlier is None or not isinstance(value, Music) or value.library_revision is None:
            return self._library.revision
        ids = [found.library_id for found in value.recognised if found.source == "library"]
        named = [id_ for id_ in ids if id_ is not None]
        if (
            not value.windows
            or self._library.absent
            or (named and all(self._library.unchanged(id_, earlier.finished_at) for id_ in named))
        ):
            return value.library_revision
        return self._library.revision

    def open(self) -> None:
        """Nothing to load; a recogniser that is absent is not asked."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with what is known, also if that is nothing; Failed where Shazam gave no answer."""
        return [self._recognise(clip) for clip in clips]

    def close(self) -> None:
        """Let go of the recogniser and the library."""
        if self._recogniser:
            self._recogniser.close()
        if self._library:
            self._library.close()

    def _recognise(self, clip: Clip) -> Outcome:
        so_far = _Findings()
        self._ask_platform(clip, so_far)
        listening = _Listening(clip, self.settings.windows)
        if failed := self._ask_library(listening, so_far):
            return failed
        prints = [(start_s, landmarks(s, RATE_HZ)) for start_s, s in listening.stretches()]
        with self._asking:  # the next video with the same sound finds it in the memory
            nobody = self._ask_memory(clip, prints, so_far)
            failed = self._ask_shazam(clip, listening, so_far, nobody)
        if failed:
            return failed
        return Ok(
            Music(
                recognised=tuple(so_far.found),
                answers=tuple(so_far.answers),
                windows=listening.windows,
                sound=listening.sound,
                library_revision=(self._library.revision or None) if self._library else None,
            )
        )

    def _ask_platform(self, clip: Clip, so_far: _Findings) -> None:
        platform = clip.source.platform
        music = platform.music if platform else None
        if music is None or not music.title:
            so_far.add("platform", missed="not_asked", reason="the source names no sound")
        elif not names_track(music):
            so_far.add("platform", reason="the platform calls it an original sound")
        else:
            track = MusicTrack(title=music.title, artist=music.author, album=music.album)
            so_far.add("platform", _found("platform", Placed(track), matched_by="name"))

    def _ask_library(self, listening: _Listening, so_far: _Findings) -> Failed | None:
        """Ask about all music that was read; Failed where it stopped answering on the way."""
        library = self._library
        reason = library.absent if library else "there is no music library"
        if library is None or reason or not listening.windows:
            so_far.add("library", missed="not_asked", reason=reason or listening.why_not)
            return None
        try:
            heard = [
                _in_video(one, start_s)
                for start_s, samples in listening.stretches()
                for one in library.identify(samples, RATE_HZ)
            ]
        except (StoreError, OutputError) as error:
            return Failed(error.kind, f"the music library: {error}", retryable=True)
        so_far.add("library", *sorted(heard, key=_longest_first))
        return None

    # ---- memory

    def _ask_memory(
        self, clip: Clip, prints: Sequence[tuple[float, Landmarks]], so_far: _Findings
    ) -> Known | None:
        """What is remembered; returned is that nobody knew it."""
        nobody: Known | None = None
        try:
            for start_s, known in self._remembered(clip, prints):
                if known.placed:
                    so_far.add("memory", _remembered_as(known.placed, known, start_s))
                    return None
                nobody = nobody or known
        except OutputError as error:
            log.warning("sounds recognised earlier: %s", error)
            so_far.add("memory", missed="not_asked", reason=str(error))
            return None
        so_far.add("memory", reason="it is remembered that nobody knew it" if nobody else None)
        return nobody

    def _remembered(
        self, clip: Clip, prints: Sequence[tuple[float, Landmarks]]
    ) -> Iterator[tuple[float | None, Known]]:
        for start_s, heard in prints:
            if known := self._memory.by_sound(heard):
                yield start_s, known
        if (where := _id_of(clip)) and (known := self._memory.by_id(*where)):
            yield None, known

    def _learn(self, clip: Clip, placed: Placed | None, window: Sound) -> None:
        """Remember an answer; what is known of this video is not lost if that fails."""
        platform, music_id = _id_of(clip) or (None, None)
        heard = landmarks(window, RATE_HZ)
        try:
            self._memory.learn(placed, heard, platform=platform, music_id=music_id)
        except OutputError as error:
            log.warning("a recognised sound could not be remembered: %s", error)

    # ---- Shazam

    def _ask_shazam(
        self, clip: Clip, listening: _Listening, so_far: _Findings, nobody: Known | None
    ) -> Failed | None:
        """Ask about one window after the other until one is known."""
        recogniser = self._recogniser
        reason = self._not_asked(listening, so_far)
        if reason or recogniser is None:
            so_far.add("shazam", missed="not_asked", reason=reason)
            return None
        if nobody:
            so_far.add("shazam", reason="asked earlier; that is remembered for a while")
            return None
        requests, unknown, trouble = 0, [], None
        for window in listening.windows:
            samples = listening.window(window)
            heard = recogniser.recognise(samples, RATE_HZ)
            requests += heard.requests
            if heard.placed:
                self._learn(clip, heard.placed, samples)
                found = _found("shazam", heard.placed, window=window)
                so_far.add("shazam", found, requests=requests)
                return None
            if heard.missed in ("rate_limited", "unreachable"):
                return _failed(heard)
            trouble = heard if heard.missed == "broken" else trouble
            unknown += [] if heard.missed == "broken" else [samples]
        for samples in unknown:
            self._learn(clip, None, samples)
        if trouble:
            return _failed(trouble)
        so_far.add("shazam", requests=requests)
        return None

    def _not_asked(self, listening: _Listening, so_far: _Findings) -> str | None:
        if self._recogniser is None:
            return self._why_not
        if self.settings.ask_shazam == "unnamed" and (named := so_far.named()):
            return named
        return listening.why_not or self._recogniser.absent


def _id_of(clip: Clip) -> tuple[str, str] | None:
    """(platform, id) of a sound that the platform has no name for.

    Where it names a track, the id stands for that name, and what is heard may be another
    sound: the platform's is often added without being heard.
    """
    platform = clip.source.platform
    music = platform.music if platform else None
    if platform is None or music is None or not music.id or names_track(music):
        return None
    return platform.name, music.id


def _failed(heard: Heard) -> Failed:
    kind = "engine_failed" if heard.missed in ("broken", None) else heard.missed
    return Failed(kind, heard.message or "Shazam gave no answer", retryable=True)


def _found(
    source: MusicSource,
    placed: Placed,
    *,
    window: MusicWindow | None = None,
    matched_by: Literal["name", "fingerprint"] = "fingerprint",
) -> RecognisedMusic:
    return RecognisedMusic(
        **dict(placed.track),
        source=source,
        matched_by=matched_by,
        window_start_s=window.start_s if window else None,
        window_end_s=window.end_s if window else None,
        track_offset_s=placed.track_offset_s,
        time_skew=placed.time_skew,
        frequency_skew=placed.frequency_skew,
        confidence=None,
    )


def _in_video(identified: Identified, start_s: float) -> RecognisedMusic:
    """What the library heard in a stretch that begins there in the video."""
    placed = identified.placed
    return RecognisedMusic(
        **dict(placed.track),
        source="library",
        matched_by="fingerprint",
        window_start_s=start_s + identified.start_s,
        window_end_s=start_s + identified.end_s,
        track_offset_s=placed.track_offset_s,
        time_skew=placed.time_skew,
        frequency_skew=placed.frequency_skew,
        confidence=identified.confidence,
    )


def _longest_first(found: RecognisedMusic) -> tuple[float, float]:
    """All are as sure as the library asks: the song of the video is the one heard longest."""
    start_s, end_s = found.window_start_s or 0.0, found.window_end_s or 0.0
    return start_s - end_s, start_s


def _remembered_as(placed: Placed, known: Known, start_s: float | None) -> RecognisedMusic:
    """A finding of the memory; it sounds as it did then, so the skews hold here too.

    Args:
        placed: the track.
        known: how it was found.
        start_s: where the stretch begins that was asked about; None: found by id.
    """
    begins_s: float | None = None
    if start_s is not None and known.start_s is not None:
        begins_s = max(start_s + known.start_s, 0.0)
    by_sound = begins_s is not None
    return RecognisedMusic(
        **dict(placed.track),
        source="memory",
        matched_by="fingerprint" if by_sound else "platform_id",
        window_start_s=begins_s,
        window_end_s=None,
        track_offset_s=placed.track_offset_s if by_sound else None,
        time_skew=placed.time_skew if by_sound else None,
        frequency_skew=placed.frequency_skew if by_sound else None,
        confidence=None,
        hashes=known.hashes,
    )
