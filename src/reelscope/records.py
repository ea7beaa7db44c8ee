"""The vocabulary: what is known of a video, stage by stage.

Times are seconds from the start of the video (suffix `_s`), computed from exact
presentation timestamps, never from frame counts; they are rounded to microseconds so
that the same video gives the same bytes. Shares are 0-1, confidences are 0-1. Pixels
count from the top left corner of the upright (rotated) picture.

Every class here is frozen and refuses unknown keys, NaN and infinity.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, ClassVar, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

SCHEMA_VERSION = 1
"""Raised when a reader of the outputs has to change."""


def _six(value: float) -> float:
    return round(value, 6) + 0.0  # + 0.0 turns -0.0 into 0.0


Number: TypeAlias = Annotated[float, AfterValidator(_six)]
Seconds: TypeAlias = Annotated[float, AfterValidator(_six)]
Share: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_six)]
Score10: TypeAlias = Annotated[float, Field(ge=1.0, le=10.0), AfterValidator(_six)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
Lane: TypeAlias = Literal["cpu", "gpu", "network"]


class Frozen(BaseModel):
    """A value object: immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Value(Frozen):
    """What a stage found. Each subclass belongs to the one stage that it names."""

    stage: ClassVar[str]


# --------------------------------------------------------------------------- outcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """The stage did its work. "No speech in it" is Ok with no segments."""

    value: T


@dataclass(frozen=True, slots=True)
class Skipped:
    """The stage had nothing to work on, or lacks something.

    With a `remedy` the cause lies in this machine or this call (weights, a token, a
    flag): the stage is tried again by the next run. Without one the cause lies in the
    video ("no audio stream") and stays.
    """

    reason: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The stage tried and did not succeed.

    Args:
        kind: one word, the same for all failures of one sort ("unreadable", "timeout").
        message: a sentence that a person understands.
        retryable: whether the next run tries again.
    """

    kind: str
    message: str
    retryable: bool = False


Outcome: TypeAlias = Ok[Value] | Skipped | Failed


# ---------------------------------------------------------------------------- source


class Counts(Frozen):
    """Engagement as the platform states it, at the time it was asked."""

    plays: Count | None = None
    likes: Count | None = None
    comments: Count | None = None
    shares: Count | None = None
    saves: Count | None = None
    taken_at: datetime | None = None


class PlatformMusic(Frozen):
    """The sound as the platform names it."""

    id: str | None = None
    title: str | None = None
    author: str | None = None
    original: bool | None = None


class Platform(Value):
    """What the platform says of the video; stage `platform` carries it through."""

    stage = "platform"

    name: str = Field(description="Where it comes from: tiktok, folder, ...")
    caption: str | None = None
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    posted_at: datetime | None = None
    region: str | None = None
    counts: Counts | None = None
    music: PlatformMusic | None = None
    subtitles: tuple[str, ...] = ()
    is_ad: bool | None = None
    is_ai_generated: bool | None = None


class VideoSource(Frozen):
    """Where a video comes from.

    Attributes:
        creator: folder name of the creator (already safe as a path part).
        video_id: folder name of the video (already safe as a path part).
        path: the file on this machine.
        frames_id: folder under `data/tiktok_frames/`; the video id, or
            `<video_id>_<creator>` where two creators have a video of the same name.
    """

    creator: str
    video_id: str
    path: str | None = None
    url: str | None = None
    frames_id: str
    platform: Platform | None = None


class MediaId(Frozen):
    """Which bytes were analysed. Same size and mtime: the hash is not taken again."""

    sha256: str
    size_bytes: int
    mtime_ns: int


# ----------------------------------------------------------------------- probe, media


class Integrity(Frozen):
    """Does the file decode to its end?

    `method`: `reference` decodes every frame that another frame may refer to, `full`
    decodes every frame. Both read every packet, and all of the sound.
    """

    method: Literal["reference", "full"]
    complete: bool = Field(description="Every stream was read to its end without an error.")
    video_packets: int
    audio_packets: int
    bad_packets: int = Field(description="Marked corrupt by the container or refused by a decoder.")
    decoded_until_s: Seconds | None = Field(description="Time of the last frame or sample decoded.")
    first_error: str | None = None


class Probe(Value):
    """Stage `probe`: what the file is."""

    stage = "probe"

    container: str
    duration_s: Seconds | None = Field(description="Measured from the packets, not the header.")
    size_bytes: int
    sha256: str
    bit_rate_bps: int | None
    created_at: str | None = Field(description="creation_time of the container, ISO 8601.")
    has_video: bool
    has_audio: bool
    width: int | None = Field(description="Pixels, after rotation.")
    height: int | None = Field(description="Pixels, after rotation.")
    rotation_deg: int | None = Field(description="Clockwise turn that makes it upright: 0-270.")
    fps: Number | None
    fps_exact: str | None = Field(description='Average rate as a fraction, "30000/1001".')
    variable_frame_rate: bool | None
    video_codec: str | None
    pixel_format: str | None
    audio_codec: str | None
    audio_rate_hz: int | None
    audio_channels: int | None
    integrity: Integrity


# ----------------------------------------------------------------------------- audio


class SpeechSegment(Frozen):
    start_s: Seconds
    end_s: Seconds
    probability: Share = Field(description="Mean speech probability inside the segment.")


class Voice(Value):
    """Stage `voice`: where somebody speaks."""

    stage = "voice"

    segments: tuple[SpeechSegment, ...]
    duration_s: Seconds = Field(description="Length of the sound that was listened to.")
    speech_s: Seconds
    speech_share: Share


EventKind: TypeAlias = Literal["speech", "music", "speech_over_music", "other", "silence"]


class Event(Frozen):
    start_s: Seconds
    end_s: Seconds
    kind: EventKind
    confidence: Share


class Loudness(Frozen):
    """EBU R128 / ITU-R BS.1770. None where the sound is too short or silent."""

    integrated_lufs: Number | None
    range_lu: Number | None
    true_peak_dbtp: Number | None


class Events(Value):
    """Stage `events`: a timeline without gaps, and how loud it is."""

    stage = "events"

    timeline: tuple[Event, ...]
    duration_s: Seconds
    seconds: dict[EventKind, Seconds] = Field(description="Seconds of each kind, all five keys.")
    loudness: Loudness


RateCategory: TypeAlias = Literal[
    "very_slow", "slow", "normal", "fast", "very_fast", "extremely_fast"
]


class SpeechRateMetrics(Frozen):
    """The measurements behind the scores. None: this method cannot know it."""

    total_duration: Seconds
    speech_duration: Seconds
    speaking_time: Seconds = Field(description="Speech without the pauses inside it.")
    word_count: int | None
    syllable_count: int
    speech_segments: int
    articulation_rate: Number | None = Field(description="Syllables per second of speaking time.")
    rate_variation: Number | None = Field(description="Coefficient of variation of local rates.")
    pause_count: int
    pause_duration: Seconds
    pause_share: Share
    mean_pause: Seconds | None


class SpeechRate(Value):
    """Stage `speech_rate`: how fast, how evenly and how clearly somebody speaks."""

    stage = "speech_rate"

    method: Literal["words", "syllable_nuclei"]
    speech_rate_wpm: Number | None
    syllables_per_minute: Number | None
    rate_category: RateCategory | None
    rate_score: Score10 | None
    consistency_score: Score10 | None
    pause_score: Score10 | None
    clarity_score: Score10 | None
    overall_score: Score10 | None
    detailed_report: str
    metrics: SpeechRateMetrics


# ---------------------------------------------------------------------------- vision


FrameKind: TypeAlias = Literal["iframe", "sampled", "highlight"]


class Keyframe(Frozen):
    time_s: Seconds
    kinds: tuple[FrameKind, ...]


class Keyframes(Value):
    """Stage `keyframes`: the moments that are looked at."""

    stage = "keyframes"

    frames: tuple[Keyframe, ...]
    width: int = Field(description="Of the small analysis images, pixels.")
    height: int


class FrameQuality(Frozen):
    time_s: Seconds
    luma: Number = Field(description="Mean luma, 0-255.")
    contrast: Number = Field(description="Standard deviation of luma, 0-255.")
    sharpness: Number = Field(description="Variance of the Laplacian of luma.")
    dark_share: Share = Field(description="Pixels with luma below 16.")
    bright_share: Share = Field(description="Pixels with luma above 239.")
    exposure: Literal["under", "good", "over"]
    colourfulness: Number = Field(description="Hasler and Suesstrunk 2003.")
    score: Share
    verdict: Literal["kept", "black", "blurred"]


class Quality(Value):
    """Stage `quality`: which frames are worth looking at."""

    stage = "quality"

    frames: tuple[FrameQuality, ...]
    kept_s: tuple[Seconds, ...]
    black_below: Number = Field(description="The luma under which a frame was called black.")
    blurred_below: Number = Field(description="The sharpness below which it is blurred.")


class SimilarFrame(Frozen):
    time_s: Seconds
    ssim: Number = Field(description="Structural similarity to the frame that stands for it.")


class SimilarGroup(Frozen):
    time_s: Seconds = Field(description="The frame that was kept.")
    stands_for: tuple[SimilarFrame, ...]


class Similarity(Value):
    """Stage `similarity`: near-duplicates gathered under the frame that stands for them."""

    stage = "similarity"

    groups: tuple[SimilarGroup, ...]
    kept_s: tuple[Seconds, ...]


class Still(Frozen):
    time_s: Seconds
    file: str = Field(description="Name inside the video's frames folder.")
    width: int
    height: int
    size_bytes: int


class Stills(Value):
    """Stage `stills`: the kept frames, at full size, on disk."""

    stage = "stills"

    folder: str = Field(description="Below the frames folder: the video's `frames_id`.")
    frames: tuple[Still, ...]


class Cut(Frozen):
    time_s: Seconds = Field(description="First frame of the new shot.")
    kind: Literal["cut", "fade"]
    score: Number


class Shot(Frozen):
    start_s: Seconds
    end_s: Seconds


class Hook(Frozen):
    """The first seconds in numbers of their own."""

    end_s: Seconds
    cuts: int
    first_cut_s: Seconds | None
    motion: Number = Field(description="Mean absolute luma change per second, 0-255 scale.")
    luma: Number
    contrast: Number
    colourfulness: Number
    speech_share: Share | None
    speech_starts_s: Seconds | None
    music_share: Share | None


class Shots(Value):
    """Stage `shots`: cuts, fades, and the hook."""

    stage = "shots"

    cuts: tuple[Cut, ...]
    shots: tuple[Shot, ...]
    cuts_per_minute: Number
    mean_shot_s: Seconds
    hook: Hook


Point: TypeAlias = tuple[Number, Number]


class TextLine(Frozen):
    text: str
    confidence: Share
    box: tuple[Point, Point, Point, Point] = Field(
        description="Corners in pixels of the upright full frame, clockwise from top left."
    )


class TextFrame(Frozen):
    time_s: Seconds
    lines: tuple[TextLine, ...]


class TextAppearance(Frozen):
    """One text over the time it is on screen."""

    text: str
    start_s: Seconds
    end_s: Seconds
    confidence: Share
    box: tuple[Point, Point, Point, Point]
    frames: int = Field(description="In how many looked-at frames it was read.")


class OnScreenText(Value):
    """Stage `text`: what is written on the screen, when and where."""

    stage = "text"

    frames: tuple[TextFrame, ...]
    appearances: tuple[TextAppearance, ...]


class ChosenFrame(Frozen):
    time_s: Seconds
    score: Number
    reason: str
    file: str = Field(description="The compressed picture, inside the video's frames folder.")
    width: int
    height: int
    bytes_before: int = Field(description="Of the full-size still.")
    bytes_after: int


class Choice(Value):
    """Stage `choose`: the few frames that stand for the video."""

    stage = "choose"

    method: Literal["signal"]
    frames: tuple[ChosenFrame, ...]


STAGE_VALUES: dict[str, type[Value]] = {
    kind.stage: kind
    for kind in (
        Platform, Voice, Probe, Events, SpeechRate, Keyframes, Quality, Similarity,
        Stills, Shots, OnScreenText, Choice,
    )
}  # fmt: skip
"""Stage name -> the type of its value."""


# --------------------------------------------------------------------------- records


class StageRecord(Frozen):
    """How a stage ended for a video, and what it found."""

    status: Literal["ok", "skipped", "failed"]
    key: str = Field(description="sha256 over everything that the value depends on.")
    engine: str = Field(description="Who did the work: name and revision.")
    seconds: Number = 0.0
    device: str = "cpu"
    finished_at: datetime | None = None
    value: SerializeAsAny[Value] | None = None
    reason: str | None = Field(default=None, description="Skipped: why.")
    remedy: str | None = Field(default=None, description="Skipped: what would help.")
    kind: str | None = Field(default=None, description="Failed: sort of failure.")
    message: str | None = Field(default=None, description="Failed: a sentence.")
    retryable: bool | None = Field(default=None, description="Failed: does the next run try again?")

    @cached_property
    def as_json(self) -> str:
        """This record as JSON, made once: the video's file is saved after every stage."""
        return self.model_dump_json()


class VideoRecord(Frozen):
    """What is known of a video: the checkpoint and the deliverable."""

    schema_version: int = SCHEMA_VERSION
    source: VideoSource
    media: MediaId | None = None
    stages: dict[str, StageRecord] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _typed_values(cls, data: object) -> object:
        """Give every stage's value its type; a value of another version is dropped.

        A dropped stage counts as not run, so the next run makes it anew.
        """
        if not isinstance(data, dict) or not isinstance(data.get("stages"), dict):
            return data
        stages: dict[str, object] = {}
        for name, stage in data["stages"].items():
            if not (isinstance(stage, dict) and isinstance(stage.get("value"), dict)):
                stages[name] = stage
            elif kind := STAGE_VALUES.get(name):
                with suppress(ValidationError):
                    stages[name] = {**stage, "value": kind.model_validate(stage["value"])}
        return {**data, "stages": stages}

    def with_stage(self, name: str, stage: StageRecord) -> VideoRecord:
        """The same record with this stage's entry added or replaced."""
        return self.model_copy(update={"stages": {**self.stages, name: stage}})
