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
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

from reelscope.rich_repr import record_html

SCHEMA_VERSION = 1
"""Raised when a reader of the outputs has to change."""


def _six(value: float) -> float:
    return round(value, 6) + 0.0  # + 0.0 turns -0.0 into 0.0


Number: TypeAlias = Annotated[float, AfterValidator(_six)]
Dollars: TypeAlias = Annotated[float, Field(ge=0.0), AfterValidator(lambda usd: round(usd, 12))]
"""A token costs millionths of a dollar; sums of many must not drift."""
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


V = TypeVar("V", bound=Value)


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

    plays: Count | None = Field(default=None, description="Times played.")
    likes: Count | None = Field(default=None, description="Likes.")
    comments: Count | None = Field(default=None, description="Comments.")
    shares: Count | None = Field(default=None, description="Times shared.")
    saves: Count | None = Field(default=None, description="Times saved.")
    taken_at: datetime | None = Field(default=None, description="When the platform was asked.")


class PlatformMusic(Frozen):
    """The sound as the platform names it."""

    id: str | None = Field(default=None, description="On the platform.")
    title: str | None = Field(default=None, description="As the platform shows it.")
    author: str | None = Field(default=None, description="As the platform shows it.")
    original: bool | None = Field(
        default=None, description="Whether the platform calls the sound original."
    )
    album: str | None = Field(default=None, description="As the platform shows it.")
    duration_s: Seconds | None = Field(default=None, description="Of the whole sound.")
    play_url: str | None = Field(default=None, description="Where it can be heard; may expire.")


class PlatformAuthor(Frozen):
    """Who posted it, as the platform states it."""

    id: str | None = Field(default=None, description="On the platform.")
    username: str | None = Field(default=None, description="Without '@'.")
    nickname: str | None = Field(default=None, description="The name that is shown.")
    verified: bool | None = Field(default=None, description="Whether the platform vouches.")
    followers: Count | None = Field(default=None, description="When the platform was asked.")


class Platform(Value):
    """What the platform says of the video; stage `platform` carries it through."""

    stage = "platform"

    name: str = Field(description="Where it comes from: tiktok, folder, ...")
    caption: str | None = Field(default=None, description="What the creator wrote under it.")
    hashtags: tuple[str, ...] = Field(
        default=(), description="Without '#', in the order of the caption."
    )
    mentions: tuple[str, ...] = Field(
        default=(), description="People named in the caption, without '@'."
    )
    posted_at: datetime | None = Field(default=None, description="When it was posted.")
    region: str | None = Field(
        default=None, description="Country or region that the platform states."
    )
    counts: Counts | None = Field(default=None, description="Engagement.")
    music: PlatformMusic | None = Field(default=None, description="The sound it is posted with.")
    subtitles: tuple[str, ...] = Field(
        default=(), description="Lines of the platform's own subtitles, in order."
    )
    kind: Literal["video", "photo"] = Field(
        default="video", description="photo: a post of pictures, with or without sound."
    )
    duration_s: Seconds | None = Field(default=None, description="As the platform states it.")
    author: PlatformAuthor | None = Field(default=None, description="Who posted it.")
    effects: tuple[str, ...] = Field(
        default=(), description="Effects that were used: name, else id."
    )
    stickers: tuple[str, ...] = Field(
        default=(), description="Texts of stickers that the creator put on it."
    )
    cover_url: str | None = Field(default=None, description="Its cover; may expire.")
    counts_before: tuple[Counts, ...] = Field(
        default=(), description="Engagement when the platform was asked earlier, oldest first."
    )
    is_ad: bool | None = Field(
        default=None, description="Whether it is marked as an advertisement."
    )
    is_paid_partnership: bool | None = Field(
        default=None, description="Whether its creator says that a brand has paid for it."
    )
    is_ai_generated: bool | None = Field(
        default=None, description="Whether it is marked as made by a machine."
    )


class VideoSource(Frozen):
    """Where a video comes from.

    Attributes:
        creator: folder name of the creator (already safe as a path part).
        video_id: folder name of the video (already safe as a path part).
        path: the file on this machine.
        frames_id: folder under `data/tiktok_frames/`; the video id, or
            `<video_id>_<creator>` where two creators have a video of the same name.
    """

    creator: str = Field(description="Folder name of the creator.")
    video_id: str = Field(description="Folder name of the video.")
    path: str | None = Field(default=None, description="The file on this machine.")
    missing: str | None = Field(
        default=None, description="Why there is no file: what the platform or the net said."
    )
    url: str | None = Field(default=None, description="Where it stands on the web.")
    frames_id: str = Field(description="Folder of its pictures, below data/tiktok_frames.")
    platform: Platform | None = Field(
        default=None, description="What the platform said; stage `platform` carries it through."
    )


class MediaId(Frozen):
    """Which bytes were analysed. Same size and mtime: the hash is not taken again."""

    sha256: str = Field(description="Of the whole file, hexadecimal.")
    size_bytes: int = Field(description="Of the file.")
    mtime_ns: int = Field(description="When the file was last changed, nanoseconds since 1970.")


# ----------------------------------------------------------------------- probe, media


class Integrity(Frozen):
    """Does the file decode to its end?

    `method`: `reference` decodes every frame that another frame may refer to, `full`
    decodes every frame. Both read every packet, and all of the sound.
    """

    method: Literal["reference", "full"] = Field(description="How much was decoded to judge it.")
    complete: bool = Field(description="Every stream was read to its end without an error.")
    video_packets: int = Field(description="Packets of picture that were read.")
    audio_packets: int = Field(description="Packets of sound that were read.")
    bad_packets: int = Field(description="Marked corrupt by the container or refused by a decoder.")
    decoded_until_s: Seconds | None = Field(description="Time of the last frame or sample decoded.")
    first_error: str | None = Field(
        default=None, description="What the decoder said first, if it complained."
    )


class Probe(Value):
    """Stage `probe`: what the file is."""

    stage = "probe"

    container: str = Field(description="Format of the file, FFmpeg's name.")
    duration_s: Seconds | None = Field(description="Measured from the packets, not the header.")
    size_bytes: int = Field(description="Of the file.")
    sha256: str = Field(description="Of the whole file, hexadecimal.")
    bit_rate_bps: int | None = Field(description="Of the whole file.")
    created_at: str | None = Field(description="creation_time of the container, ISO 8601.")
    has_video: bool = Field(description="Whether there is a moving picture; a cover is none.")
    has_audio: bool = Field(description="Whether there is sound.")
    width: int | None = Field(description="Pixels, after rotation.")
    height: int | None = Field(description="Pixels, after rotation.")
    rotation_deg: int | None = Field(description="Clockwise turn that makes it upright: 0-270.")
    fps: Number | None = Field(description="Average frames per second.")
    fps_exact: str | None = Field(description='Average rate as a fraction, "30000/1001".')
    variable_frame_rate: bool | None = Field(description="Whether the time between frames varies.")
    video_codec: str | None = Field(description="FFmpeg's name.")
    pixel_format: str | None = Field(description="FFmpeg's name.")
    audio_codec: str | None = Field(description="FFmpeg's name.")
    audio_rate_hz: int | None = Field(description="Sampling rate of the sound.")
    audio_channels: int | None = Field(description="Channels of the sound.")
    integrity: Integrity = Field(description="Whether it decodes to its end.")


# ----------------------------------------------------------------------------- audio


class SpeechSegment(Frozen):
    start_s: Seconds = Field(description="Speech begins.")
    end_s: Seconds = Field(description="Speech ends.")
    probability: Share = Field(description="Mean speech probability inside the segment.")


class Voice(Value):
    """Stage `voice`: where somebody speaks."""

    stage = "voice"

    segments: tuple[SpeechSegment, ...] = Field(
        description="Stretches of speech, in order, apart from one another."
    )
    duration_s: Seconds = Field(description="Length of the sound that was listened to.")
    speech_s: Seconds = Field(description="Length of all segments.")
    speech_share: Share = Field(description="Segments as a share of the sound.")


EventKind: TypeAlias = Literal["speech", "music", "speech_over_music", "other", "silence"]


class Event(Frozen):
    start_s: Seconds = Field(description="Where the one before ends.")
    end_s: Seconds = Field(description="Where the next one begins.")
    kind: EventKind = Field(description="What is heard.")
    confidence: Share = Field(description="How sure that is.")


class Loudness(Frozen):
    """EBU R128 / ITU-R BS.1770. None where the sound is too short or silent."""

    integrated_lufs: Number | None = Field(description="Integrated loudness, LUFS.")
    range_lu: Number | None = Field(description="Loudness range (EBU Tech 3342), LU.")
    true_peak_dbtp: Number | None = Field(description="Highest true peak, dBTP.")


class Events(Value):
    """Stage `events`: a timeline without gaps, and how loud it is."""

    stage = "events"

    timeline: tuple[Event, ...] = Field(description="From 0 to the end of the sound, without gaps.")
    duration_s: Seconds = Field(description="Length of the sound that was listened to.")
    seconds: dict[EventKind, Seconds] = Field(description="Seconds of each kind, all five keys.")
    loudness: Loudness = Field(description="How loud it is.")


class Stem(Frozen):
    """One part of a separated sound: FLAC, 44.1 kHz, stereo, 16 bits."""

    file: str = Field(description="Name of the file beside the record.")
    size_bytes: int = Field(description="Of the file.")
    sha256: str = Field(description="Of the file, hexadecimal.")


class SeparatedSpan(Frozen):
    start_s: Seconds = Field(description="It begins.")
    end_s: Seconds = Field(description="It ends.")


class Separation(Value):
    """Stage `separate`: voices apart from what plays behind them."""

    stage = "separate"

    applied: bool = Field(description="Whether the sound was separated.")
    reason: str = Field(description="Why, or why not.")
    spans: tuple[SeparatedSpan, ...] = Field(
        description="Stretches that were separated. Elsewhere speech is in the vocals as it is."
    )
    seconds: Seconds = Field(description="Length of these stretches together.")
    duration_s: Seconds = Field(description="Length of the whole sound.")
    vocals: Stem | None = Field(description="The voices; None: not separated.")
    accompaniment: Stem | None = Field(description="All else; both together are the mix.")


class SoundTag(Frozen):
    label: str = Field(description="Class of AudioSet: Laughter, Applause, Dog, ...")
    start_s: Seconds = Field(description="Heard from here ...")
    end_s: Seconds = Field(description="... to here, as closely as the windows tell.")
    confidence: Share = Field(description="Of the window that is surest of it.")


class LabelledEvent(Event):
    labels: tuple[str, ...] = Field(
        description="Of the tags heard in it, the surest first; empty: none."
    )


class Sounds(Value):
    """Stage `sounds`: what is heard, by name."""

    stage = "sounds"

    tags: tuple[SoundTag, ...] = Field(description="In order of time.")
    timeline: tuple[LabelledEvent, ...] = Field(
        description="The timeline of stage `events` with what is heard in each event."
    )
    windows: Count = Field(description="Windows that were listened to; silence is left out.")


TranscriptFlag: TypeAlias = Literal[
    "repetition", "no_voice", "no_speech", "compression", "low_probability"
]


class TranscriptWord(Frozen):
    text: str = Field(description="As it was written down, without blanks around it.")
    start_s: Seconds = Field(description="The word begins.")
    end_s: Seconds = Field(description="The word ends.")
    probability: Share | None = Field(description="How sure the engine is; None: it does not say.")


class TranscriptSegment(Frozen):
    """A stretch of text, about a sentence."""

    start_s: Seconds = Field(description="It begins.")
    end_s: Seconds = Field(description="It ends.")
    text: str = Field(description="What is said, after the garbage filter if that is on.")
    raw_text: str = Field(description="What the engine wrote, unchanged.")
    words: tuple[TranscriptWord, ...] = Field(description="Of the raw text, in order.")
    avg_logprob: Number | None = Field(
        description="Mean log probability of the tokens; None: the engine does not say."
    )
    no_speech_probability: Share | None = Field(
        description="The engine's own guess that nobody speaks; None: it does not say."
    )
    compression_ratio: Number | None = Field(
        description="Bytes of the text over its bytes when compressed: high if it repeats itself."
    )
    flags: tuple[TranscriptFlag, ...] = Field(
        description="Why it may be a hallucination; empty: nothing speaks for that."
    )


class TriedSound(Frozen):
    """A sound that was transcribed, and how sure the engine was of it."""

    sound: Literal["mix", "vocals"] = Field(description="The video's sound, or its vocals alone.")
    avg_logprob: Number | None = Field(description="Mean over the tokens; None: no text.")
    words: int = Field(description="Words that were heard.")


class Transcript(Value):
    """Stage `transcribe`: what is said, word by word."""

    stage = "transcribe"

    text: str = Field(description="All segments' texts, joined by blanks.")
    raw_text: str = Field(description="The same before the garbage filter.")
    language: str | None = Field(
        description="Whisper's code: ISO 639-1, but haw, jw and yue. None: nothing was said."
    )
    language_probability: Share | None = Field(
        description="How sure that is; None: it was set, or the engine knows one language alone."
    )
    segments: tuple[TranscriptSegment, ...] = Field(description="In order of time.")
    sound: Literal["mix", "vocals"] = Field(description="What the text was heard in.")
    tried: tuple[TriedSound, ...] = Field(description="The sounds that were transcribed.")
    accuracy: Literal["normal", "low"] = Field(
        description="low: the packaged engine for machines without weights; many words are wrong."
    )


RateCategory: TypeAlias = Literal[
    "very_slow", "slow", "normal", "fast", "very_fast", "extremely_fast"
]


SyllableSource: TypeAlias = Literal["dictionary", "spelling", "characters", "english_mean"]


class SpeechRateMetrics(Frozen):
    """The measurements behind the scores. None: this method cannot know it."""

    total_duration: Seconds = Field(description="Of the sound, spoken or not.")
    speech_duration: Seconds = Field(
        description="From the first to the last speech, with pauses, without breaks over 5 s."
    )
    speaking_time: Seconds = Field(description="Speech without the pauses inside it.")
    word_count: int | None = Field(description="Words that were heard.")
    syllable_count: int = Field(description="Syllable nuclei found in the signal.")
    speech_segments: int = Field(description="Of stage `voice`.")
    articulation_rate: Number | None = Field(description="Syllables per second of speaking time.")
    rate_variation: Number | None = Field(description="Coefficient of variation of local rates.")
    pause_count: int = Field(description="Pauses inside speech.")
    pause_duration: Seconds = Field(description="Of all pauses together.")
    pause_share: Share = Field(description="Of the speech duration.")
    mean_pause: Seconds | None = Field(description="Mean length of a pause.")
    break_count: int = Field(description="Silences over 5 s: neither speech nor pause.")
    syllables_per_word: Number | None = Field(
        description="Of the words that were heard; without them, the English mean that moved the"
        " wpm borders to syllables; None: not known, not needed."
    )
    syllables_source: SyllableSource | None = Field(
        default=None,
        description="Where that comes from: dictionary (English), spelling (vowels and"
        " hyphenation, about), characters (Chinese, Korean, kana), or english_mean (of spoken"
        " British English).",
    )


class SpeechRate(Value):
    """Stage `speech_rate`: how fast, how evenly and how clearly somebody speaks."""

    stage = "speech_rate"

    method: Literal["words", "syllable_nuclei"] = Field(
        description="What was counted: words, or syllable nuclei in the signal."
    )
    speech_rate_wpm: Number | None = Field(
        description="Words per minute; null where words are not known."
    )
    syllables_per_minute: Number | None = Field(description="Of speech with its pauses.")
    rate_category: RateCategory | None = Field(
        description="Where the rate lies, from very slow to extremely fast."
    )
    rate_score: Score10 | None = Field(description="How easy the speed is to follow.")
    consistency_score: Score10 | None = Field(description="How even the speed is.")
    pause_score: Score10 | None = Field(description="How well the pauses are set.")
    clarity_score: Score10 | None = Field(
        description="How clear the speech is; null where the method cannot know."
    )
    overall_score: Score10 | None = Field(
        description="Rate 40 %, consistency 25 %, clarity 20 %, pauses 15 %."
    )
    detailed_report: str = Field(description="The same in sentences.")
    metrics: SpeechRateMetrics = Field(description="The measurements behind the scores.")


# ---------------------------------------------------------------------------- vision


class MusicTrack(Frozen):
    """A recording as a source names it."""

    title: str = Field(description="As the source writes it.")
    artist: str | None = Field(default=None, description="As the source writes it.")
    album: str | None = Field(default=None, description="As the source writes it.")
    label: str | None = Field(default=None, description="Who published it.")
    isrc: str | None = Field(default=None, description="International Standard Recording Code.")
    shazam_id: str | None = Field(default=None, description="Key of the track at Shazam.")
    library_id: str | None = Field(
        default=None, description="Id of the track in the music library."
    )
    links: dict[str, str] = Field(
        default_factory=dict, description="Where it stands on the web, by service; https alone."
    )


MusicSource: TypeAlias = Literal["platform", "library", "memory", "shazam"]


class RecognisedMusic(MusicTrack):
    """A track that a source hears or names. None: the source does not say."""

    source: MusicSource = Field(
        description="platform: its music fields; library: the music library; memory: recognised "
        "earlier on this machine; shazam."
    )
    matched_by: Literal["name", "platform_id", "fingerprint"] = Field(
        description="name: a text of the platform; platform_id: the sound's id there, which was "
        "recognised earlier; fingerprint: the sound itself."
    )
    window_start_s: Seconds | None = Field(
        description="In the video: the window it was recognised in; library: where the track is "
        "heard from; None: not by the sound."
    )
    window_end_s: Seconds | None = Field(
        description="End of that window; library: where the track is heard to."
    )
    track_offset_s: Seconds | None = Field(
        description="In the track: where the window begins; may be below 0 by a little."
    )
    time_skew: Number | None = Field(
        description="How much faster than the track it is played: 0.05 is 5 % (a sped-up edit)."
    )
    frequency_skew: Number | None = Field(description="How much higher than the track it sounds.")
    confidence: Share | None = Field(
        description="As the source states it; library: the probability of being right; Shazam "
        "states none."
    )
    hashes: Count | None = Field(
        default=None, description="memory: pairs of spectral peaks that agree; at least 60."
    )


class MusicAnswer(Frozen):
    """What came of asking one source."""

    source: MusicSource = Field(description="Who was asked.")
    outcome: Literal["found", "no_match", "not_asked", "rate_limited", "unreachable"] = Field(
        description="no_match: it does not know it; rate_limited, unreachable: it did not say."
    )
    reason: str | None = Field(default=None, description="Why, where that does not go without.")
    requests: Count = Field(default=0, description="Sent over the network.")


class MusicWindow(Frozen):
    start_s: Seconds = Field(description="In the video.")
    end_s: Seconds = Field(description="In the video.")
    music_s: Seconds = Field(description="Music in it, with or without speech over it.")
    speech_s: Seconds = Field(description="Speech in it.")


class Music(Value):
    """Stage `music`: which track is heard, each answer with its source."""

    stage = "music"

    recognised: tuple[RecognisedMusic, ...] = Field(
        description="The best first: platform, library (every track it hears, the one heard "
        "longest first), memory, shazam; empty: nobody knows one."
    )
    answers: tuple[MusicAnswer, ...] = Field(description="One per source, in that order.")
    windows: tuple[MusicWindow, ...] = Field(
        description="What is there to be recognised, the best first; empty: no music was found."
    )
    sound: Literal["mix", "accompaniment"] | None = Field(
        description="What was listened to; None: nothing."
    )
    library_revision: str | None = Field(
        default=None, description="State of the music library that was asked; None: none was."
    )


FrameKind: TypeAlias = Literal["iframe", "sampled", "highlight"]


class Keyframe(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    kinds: tuple[FrameKind, ...] = Field(description="Why it is looked at.")


class Keyframes(Value):
    """Stage `keyframes`: the moments that are looked at."""

    stage = "keyframes"

    frames: tuple[Keyframe, ...] = Field(description="In order of time.")
    width: int = Field(description="Of the small analysis images, pixels.")
    height: int = Field(description="Of the small analysis images, pixels.")


class FrameQuality(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    luma: Number = Field(description="Mean luma, 0-255.")
    contrast: Number = Field(description="Standard deviation of luma, 0-255.")
    sharpness: Number = Field(description="Variance of the Laplacian of luma.")
    edge_px: Number | None = Field(
        description="Typical width of its edges, pixels of the small image; None: it has no edges."
    )
    dark_share: Share = Field(description="Pixels with luma below 16.")
    bright_share: Share = Field(description="Pixels with luma above 239.")
    exposure: Literal["under", "good", "over"] = Field(description="Too dark, good, or too bright.")
    colourfulness: Number = Field(description="Hasler and Suesstrunk 2003.")
    score: Share = Field(description="All of it in one number, 1 is best.")
    verdict: Literal["kept", "black", "blurred"] = Field(
        description="Whether it is worth looking at, or why not."
    )


class Quality(Value):
    """Stage `quality`: which frames are worth looking at."""

    stage = "quality"

    frames: tuple[FrameQuality, ...] = Field(
        description="Every frame that was looked at, in order of time."
    )
    kept_s: tuple[Seconds, ...] = Field(description="Times of those worth looking at.")
    black_below: Number = Field(description="The luma under which a frame was called black.")
    blurred_below: Number = Field(description="The sharpness below which it may be blurred ...")
    blurred_above_px: Number = Field(description="... and is, if its edges are wider than this.")


class SimilarFrame(Frozen):
    time_s: Seconds = Field(description="The frame that was left out.")
    ssim: Number = Field(description="Structural similarity to the frame that stands for it.")


class SimilarGroup(Frozen):
    time_s: Seconds = Field(description="The frame that was kept.")
    stands_for: tuple[SimilarFrame, ...] = Field(description="Near-duplicates that it stands for.")


class Similarity(Value):
    """Stage `similarity`: near-duplicates gathered under the frame that stands for them."""

    stage = "similarity"

    groups: tuple[SimilarGroup, ...] = Field(
        description="One per frame that was kept, in order of time."
    )
    kept_s: tuple[Seconds, ...] = Field(description="Times of the frames that were kept.")


class Still(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    file: str = Field(description="Name inside the video's frames folder.")
    width: int = Field(description="Of the picture, pixels.")
    height: int = Field(description="Of the picture, pixels.")
    size_bytes: int = Field(description="Of the file.")


class Stills(Value):
    """Stage `stills`: the kept frames, at full size, on disk."""

    stage = "stills"

    folder: str = Field(description="Below the frames folder: the video's `frames_id`.")
    frames: tuple[Still, ...] = Field(description="The saved pictures, in order of time.")


class Cut(Frozen):
    time_s: Seconds = Field(description="First frame of the new shot; middle of a dissolve.")
    kind: Literal["cut", "fade", "dissolve"] = Field(
        description="fade: through black, not at once; dissolve: one picture mixed into the next."
    )
    score: Number = Field(description="Strength over what was asked for: 1 is just enough.")


class Shot(Frozen):
    start_s: Seconds = Field(description="Its first frame.")
    end_s: Seconds = Field(description="The first frame of the next, or the end.")


class Hook(Frozen):
    """The first seconds in numbers of their own, measured on tiny pictures."""

    end_s: Seconds = Field(
        description="settings.shots.hook_s, or the whole video if it is shorter."
    )
    cuts: int = Field(description="Of all kinds, in the hook.")
    first_cut_s: Seconds | None = Field(description="Of the video, also if it is after the hook.")
    motion: Number | None = Field(
        description="Mean absolute luma change per second, 0-255 scale, cuts left out."
    )
    luma: Number = Field(description="Mean luma, 0-255.")
    contrast: Number = Field(description="Standard deviation of luma, mean over the frames.")
    colourfulness: Number = Field(description="Hasler and Suesstrunk 2003, mean over the frames.")
    speech_share: Share | None = Field(description="None: nobody listened.")
    speech_starts_s: Seconds | None = Field(
        description="First speech of the video, also if it is after the hook."
    )
    music_share: Share | None = Field(description="With or without speech over it.")


class Shots(Value):
    """Stage `shots`: cuts, fades, and the hook."""

    stage = "shots"

    cuts: tuple[Cut, ...] = Field(description="In order of time.")
    shots: tuple[Shot, ...] = Field(description="In order of time, without gaps.")
    cuts_per_minute: Number = Field(description="Cuts and fades per minute of video.")
    mean_shot_s: Seconds = Field(description="Mean length of a shot.")
    hook: Hook = Field(description="The first seconds.")


Point: TypeAlias = tuple[Number, Number]
Box: TypeAlias = tuple[Point, Point, Point, Point]


class TextLine(Frozen):
    text: str = Field(description="As it was read.")
    confidence: Share = Field(description="How sure the reader is.")
    box: Box = Field(
        description="Corners in pixels of the upright full frame, clockwise from top left."
    )


class TextFrame(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    lines: tuple[TextLine, ...] = Field(description="From top to bottom.")


class TextAppearance(Frozen):
    """One text over the time it is on screen."""

    text: str = Field(description="What most readings agree on; of a typed caption the longest.")
    start_s: Seconds = Field(description="First frame that shows it.")
    end_s: Seconds = Field(description="First frame that no longer shows it, or the end.")
    confidence: Share = Field(description="Of the surest of these readings.")
    box: Box = Field(description="Corners of that reading, as in a line's box.")
    frames: int = Field(description="In how many of the frames that were read it was found.")


class OnScreenText(Value):
    """Stage `text`: what is written on the screen, when and where."""

    stage = "text"

    frames: tuple[TextFrame, ...] = Field(
        description="The frames that were read, in order of time."
    )
    appearances: tuple[TextAppearance, ...] = Field(description="Texts over time, by start.")


class EmbeddedFrame(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    product_relevance: Share = Field(
        description="How much better the vocabulary's product prompts describe it than the others."
    )


class ProductMatch(Frozen):
    """A product of the vocabulary, compared with the pictures by CLIP alone."""

    label: str = Field(description="As the vocabulary names it.")
    similarity: Number = Field(description="Cosine with the frame that is most like it, -1 to 1.")
    time_s: Seconds = Field(description="When that frame is shown.")
    probability: Share = Field(
        description="Among all products of the vocabulary, mean over the frames."
    )


class CategoryMatch(Frozen):
    level: int = Field(description="1 is the coarsest.")
    name: str = Field(description="As the vocabulary names it.")
    confidence: Share = Field(
        description="Probability times that of the level above, mean over the frames."
    )


class Embedding(Value):
    """Stage `embed`: the kept frames as vectors (CLIP), and the words that fit them best."""

    stage = "embed"

    model: str = Field(description="Whose vectors these are; others cannot be compared with them.")
    dimensions: int = Field(description="Numbers in a vector; 0: there is no frame.")
    file: str | None = Field(description="The frames' vectors, beside the record; None: no frame.")
    size_bytes: int | None = Field(description="Of that file.")
    sha256: str | None = Field(description="Of that file, hexadecimal.")
    frames: tuple[EmbeddedFrame, ...] = Field(description="In order of time, as in the file.")
    mean: tuple[Number, ...] = Field(
        description="Mean of the frames' vectors, of unit length: the vector of the video."
    )
    product_relevance: Share | None = Field(description="Mean over the frames.")
    products: tuple[ProductMatch, ...] = Field(description="The most probable, best first.")
    categories: tuple[CategoryMatch, ...] = Field(
        description="What it is about: the best of level 1, the best inside that, and so on."
    )
    level_1: tuple[CategoryMatch, ...] = Field(
        description="All categories of level 1, best first; they sum to 1."
    )


Rect: TypeAlias = tuple[Number, Number, Number, Number]


class DetectedObject(Frozen):
    label: str = Field(description="From the vocabulary.")
    confidence: Share = Field(description="How sure the detector is.")
    box: Rect = Field(
        description="Left, top, right, bottom in pixels of the upright full frame, inside it."
    )


class DetectedFrame(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    objects: tuple[DetectedObject, ...] = Field(description="The surest first.")


class ObjectOnScreen(Frozen):
    """One label over the whole video."""

    label: str = Field(description="From the vocabulary.")
    product: bool = Field(description="Whether the vocabulary lists it among the products.")
    seconds: Seconds = Field(
        description="On screen: each frame that shows it, or that a frame that shows it stands "
        "for, counts until the next frame."
    )
    first_s: Seconds = Field(description="First frame that shows it.")
    last_s: Seconds = Field(description="First frame after the last that shows it, or the end.")
    frames: int = Field(description="Kept frames that show it.")
    confidence: Share = Field(description="Of the surest finding.")
    most_at_once: int = Field(description="Findings in one frame, at most.")
    area_share: Share = Field(
        description="Of the picture that its boxes cover, mean over the frames that show it."
    )


class Detections(Value):
    """Stage `detect`: which things are seen, where and for how long."""

    stage = "detect"

    frames: tuple[DetectedFrame, ...] = Field(description="Every kept frame, in order of time.")
    objects: tuple[ObjectOnScreen, ...] = Field(
        description="One per label that was found, the longest on screen first."
    )


class ChosenFrame(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    score: Number = Field(description="What the choice went by; higher is better.")
    reason: str = Field(description="Why it was chosen, a sentence.")
    file: str = Field(description="The compressed picture, inside the video's frames folder.")
    width: int = Field(description="Of the compressed picture, pixels.")
    height: int = Field(description="Of the compressed picture, pixels.")
    bytes_before: int = Field(description="Of the full-size still.")
    bytes_after: int = Field(description="Of the compressed picture.")


class Choice(Value):
    """Stage `choose`: the few frames that stand for the video."""

    stage = "choose"

    method: Literal["signal", "clip"] = Field(
        description="What chose: `signal`, by measurements alone; `clip`, with CLIP's vectors."
    )
    frames: tuple[ChosenFrame, ...] = Field(description="The chosen frames.")


class CaptionedFrame(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    file: str = Field(description="The picture, inside the video's frames folder.")
    text: str = Field(description="What a model says of it, in English.")


class Captions(Value):
    """Stage `caption`: the chosen frames in a sentence each."""

    stage = "caption"

    frames: tuple[CaptionedFrame, ...] = Field(
        description="In order of time; a frame of which nothing was said is left out."
    )


# ----------------------------------------------------------------------- description


EvidenceSource: TypeAlias = Literal[
    "frame", "speech", "screen_text", "caption", "object", "sound", "music"
]


class Evidence(Frozen):
    """What an answer rests on: a frame that was sent, or words that were given."""

    source: EvidenceSource = Field(
        description="frame: a picture that was sent; speech: the transcript; screen_text; caption:"
        " the platform's, with its hashtags; object, sound, music: by name."
    )
    time_s: Seconds | None = Field(
        description="Of the frame, or where the words are found; null: they have no time."
    )
    quote: str | None = Field(description="The words as the model gave them; null: a frame.")
    found: bool = Field(description="Whether the video really has this frame or these words.")


class DimensionAnswer(Frozen):
    """What was answered to one dimension of description.dimensions."""

    value: JsonValue = Field(
        description="Of the dimension's type. Evidence within it has the keys of the list beside."
    )
    confidence: Share = Field(description="How sure the model says it is.")
    evidence: tuple[Evidence, ...] = Field(
        description="What it rests on; empty where the dimension asks for none."
    )


class Usage(Frozen):
    """What the requests for one value took, as the server counts it."""

    requests: Count = Field(description="Answers that were paid for, with those asked for again.")
    input_tokens: Count = Field(description="Tokens read.")
    cached_input_tokens: Count = Field(description="Of those: read from the server's cache.")
    output_tokens: Count = Field(description="Tokens written.")
    cost_usd: Dollars | None = Field(
        description="By description.prices; null: the model has no price there."
    )


class SentImage(Frozen):
    time_s: Seconds = Field(description="When it is shown.")
    file: str = Field(description="The picture it was made from, inside the video's frames folder.")
    width: int = Field(description="Of what was sent, pixels.")
    height: int = Field(description="Of what was sent, pixels.")
    bytes_before: int = Field(description="Of that file.")
    bytes_after: int = Field(description="Of what was sent.")


class Refusal(Frozen):
    """The model, or a filter before it, would not answer."""

    kind: Literal["refusal", "content_filter"] = Field(description="Who refused.")
    reason: str = Field(description="In its own words, or what the server says.")


class Description(Value):
    """Stage `describe`: what the video is, for whom and why it works, by a language model."""

    stage = "describe"

    schema_version: int = Field(default=1, description="Of these keys.")
    model: str = Field(description="As the server names the one that answered.")
    mode: Literal["live", "batch"] = Field(description="How it was asked.")
    dimensions: dict[str, DimensionAnswer] = Field(
        description="By name, those that were answered; none if it was refused."
    )
    missing: tuple[str, ...] = Field(
        description="Dimensions without an answer: the model's text ended before them."
    )
    truncated: bool = Field(
        description="The text ended too early, also with twice the room; what was whole is here."
    )
    repairs: tuple[str, ...] = Field(
        description="What was put right in the text without changing what it says; empty: nothing."
    )
    refusal: Refusal | None = Field(description="Why there is no answer; null: there is one.")
    images: tuple[SentImage, ...] = Field(description="The pictures that were sent, in order.")
    usage: Usage = Field(description="What it took.")


# -------------------------------------------------------------------------- campaigns


class CampaignMatch(Value):
    """Entry `campaign`, which `music match` writes: which campaign's sound is heard."""

    stage = "campaign"

    engine: Literal["fingerprint", "dtw"] = Field(description="Who compared.")
    threshold: Number = Field(ge=0, le=100, description="A match from this similarity on, 0-100.")
    matched: bool = Field(description="Whether the similarity reaches the threshold.")
    similarity: Number = Field(
        ge=0,
        le=100,
        description="With the most similar track, 0-100. fingerprint: 100 times the probability "
        "of being right. dtw: above 95 for almost any two sounds.",
    )
    campaign_id: str | None = Field(description="Whose track that is; null: nothing is alike.")
    track: str | None = Field(description="Its file, inside the campaign's folder.")
    start_s: Seconds | None = Field(description="In the video: where the track is heard from ...")
    end_s: Seconds | None = Field(description="... to.")
    offset_s: Seconds | None = Field(description="In the track: what is heard at `start_s`.")
    tempo: Number | None = Field(
        description="How much faster than the track it runs: 1.06 is 6 %; null: not measured."
    )
    pitch: Number | None = Field(description="How much higher it sounds, as a factor.")


class SoundGroup(Value):
    """Entry `sound_group`, where `music.groups` is on: who else has this sound.

    It is no part of `record.json`, for it changes with every other video: the tables, the
    creator's JSON and the report take it from the library of sounds when they are written.
    """

    stage = "sound_group"

    group: str = Field(
        description="The first video with this sound, creator/video_id: the one posted first. Its "
        "own, if nobody else has it."
    )
    videos: Count = Field(description="In the group, over all batches.")
    offset_s: Seconds = Field(
        description="In the first video: what is heard at this one's beginning; below 0 where this "
        "one begins earlier."
    )
    tempo: Number = Field(description="How much faster than in the first it runs: 1.06 is 6 %.")


STAGE_VALUES: dict[str, type[Value]] = {
    kind.stage: kind
    for kind in (
        Platform, Probe, Voice, Events, Separation, Sounds, Transcript, SpeechRate, Music,
        Keyframes, Quality, Similarity, Stills, Shots, OnScreenText, Detections, Embedding,
        Choice, Captions, Description,
    )
}  # fmt: skip
"""Stage name -> the type of its value."""

LATER_VALUES: dict[str, type[Value]] = {kind.stage: kind for kind in (CampaignMatch, SoundGroup)}
"""Entries beside the stages', which are made when a batch has ended -> the type of their value."""


# --------------------------------------------------------------------------- records


class StageRecord(Frozen):
    """How a stage ended for a video, and what it found."""

    status: Literal["ok", "skipped", "failed"] = Field(description="How it ended.")
    key: str = Field(description="sha256 over everything that the value depends on.")
    engine: str = Field(description="Who did the work: name and revision.")
    seconds: Number = Field(default=0.0, description="Work time.")
    device: str = Field(default="cpu", description="Where it ran: cpu, cuda:0, ...")
    finished_at: datetime | None = Field(default=None, description="When it ended.")
    value: SerializeAsAny[Value] | None = Field(
        default=None, description="What was found; its keys depend on the stage. Null unless ok."
    )
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

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of these keys.")
    source: VideoSource = Field(description="Where the video comes from.")
    media: MediaId | None = Field(default=None, description="Which bytes were analysed.")
    stages: dict[str, StageRecord] = Field(
        default_factory=dict, description="Stage name -> how it ended and what it found."
    )

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
            elif kind := STAGE_VALUES.get(name) or LATER_VALUES.get(name):
                with suppress(ValidationError):
                    stages[name] = {**stage, "value": kind.model_validate(stage["value"])}
        return {**data, "stages": stages}

    def value(self, kind: type[V]) -> V | None:
        """What the stage of this kind of value found, if it ended well."""
        stage = self.stages.get(kind.stage)
        found = stage.value if stage is not None and stage.status == "ok" else None
        return found if isinstance(found, kind) else None

    def with_stage(self, name: str, stage: StageRecord) -> VideoRecord:
        """The same record with this stage's entry added or replaced."""
        return self.model_copy(update={"stages": {**self.stages, name: stage}})

    @cached_property
    def frames_root(self) -> Path | None:
        """Folder of the frames folders where this record was read from; None: not known.

        It is no key of the record: results can be moved.
        """
        return None

    def read_beside(self, frames_root: Path) -> VideoRecord:
        """The same record, which knows where the pictures of its video are."""
        copy = self.model_copy()
        copy.__dict__["frames_root"] = frames_root
        return copy

    def _repr_html_(self) -> str | None:
        """What notebooks show: frames, timeline, tables; see export/show.py."""
        return record_html(self)
