"""The one table of columns: what a row of the CSV, JSON and Parquet files says of a video.

The files, the Parquet schema and the data dictionaries are made from it. A column is None
(an empty cell) where its stage did not run, was skipped or failed; `status_<stage>` says
which. Those of stage `describe` follow the dimensions in the config: description.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import fmean

from reelscope.export.column import TEXT_JOINT, Cell, Column, of_stage
from reelscope.export.description import description_columns
from reelscope.records import (
    LATER_VALUES,
    STAGE_VALUES,
    CampaignMatch,
    Captions,
    CategoryMatch,
    Choice,
    Detections,
    Embedding,
    EventKind,
    Events,
    FrameKind,
    FrameQuality,
    Keyframes,
    Music,
    OnScreenText,
    Platform,
    Probe,
    Quality,
    RecognisedMusic,
    Separation,
    Shots,
    Similarity,
    SoundGroup,
    Sounds,
    SpeechRate,
    StageRecord,
    Stills,
    Transcript,
    VideoRecord,
    Voice,
)
from reelscope.settings import Dimension

MOST_SOUNDS = 10
"""In a cell; the record has all."""


def columns(dimensions: Sequence[Dimension]) -> tuple[Column, ...]:
    """Every column, in the order of the files.

    Args:
        dimensions: what the description asks for, `description.dimensions`.

    Raises:
        ConfigError: two columns would have the same name.
    """
    return (*_BEFORE, *description_columns(dimensions), *_CAMPAIGN, *_SOUND_GROUP, *_RECORD)


def flat_row(record: VideoRecord, table: Iterable[Column]) -> dict[str, Cell]:
    """The record as one flat row: the name of each column of `table` with its value or None."""
    return {column.name: column.get(record) for column in table}


def in_order(records: Iterable[VideoRecord]) -> Iterator[VideoRecord]:
    """The records by creator and video id: a sequence is sorted, a stream must be already.

    So a batch larger than the memory can be exported from a stream.

    Raises:
        ValueError: a stream is not in order.
    """
    last = ("", "")
    if isinstance(records, Sequence):
        records = sorted(records, key=_place)
    for record in records:
        if _place(record) < last:
            raise ValueError(f"records must come in order: {_place(record)} came after {last}")
        last = _place(record)
        yield record


def stages_in_order(record: VideoRecord) -> list[tuple[str, StageRecord]]:
    """The stages as the vocabulary lists them, whatever order they ended in."""
    known = [*STAGE_VALUES, *LATER_VALUES]
    return sorted(
        record.stages.items(),
        key=lambda item: (known.index(item[0]) if item[0] in known else len(known), item[0]),
    )


def _place(record: VideoRecord) -> tuple[str, str]:
    return record.source.creator, record.source.video_id


# ---------------------------------------------------------------------- taking out


def _utc(time: datetime | None) -> datetime | None:
    if time is None or time.tzinfo is None:
        return time and time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day that there is
        return None


def _count(name: str) -> Callable[[Platform], Cell]:
    return lambda v: getattr(v.counts, name) if v.counts else None


def _track(music: Music, name: str) -> Cell:
    """Of the best finding."""
    cell: Cell = getattr(music.recognised[0], name) if music.recognised else None
    return cell


def _heard_of_library(music: Music) -> list[RecognisedMusic]:
    return [found for found in music.recognised if found.source == "library"]


def _of_library(music: Music, name: str) -> Cell:
    """Of the track of the library that is heard longest."""
    heard = _heard_of_library(music)
    cell: Cell = getattr(heard[0], name) if heard else None
    return cell


def _others(music: Music) -> list[str]:
    """Titles of the other tracks; one that comes again later is no other."""
    heard = _heard_of_library(music)
    titles = {found.library_id: found.title for found in heard}
    return [title for id_, title in titles.items() if id_ != heard[0].library_id]


def _author(name: str) -> Callable[[Platform], Cell]:
    return lambda v: getattr(v.author, name) if v.author else None


def _seconds(kind: EventKind) -> Callable[[Events], Cell]:
    return lambda v: v.seconds.get(kind, 0.0)


def _share(kind: EventKind) -> Callable[[Events], Cell]:
    def share(value: Events) -> Cell:
        if value.duration_s <= 0:
            return None
        return round(value.seconds.get(kind, 0.0) / value.duration_s, 6)

    return share


def _frames(kind: FrameKind) -> Callable[[Keyframes], Cell]:
    return lambda v: sum(kind in frame.kinds for frame in v.frames)


def _verdicts(verdict: str) -> Callable[[Quality], Cell]:
    return lambda v: sum(frame.verdict == verdict for frame in v.frames)


def _mean(read: Callable[[FrameQuality], float]) -> Callable[[Quality], Cell]:
    def mean(value: Quality) -> Cell:
        kept = [read(frame) for frame in value.frames if frame.verdict == "kept"]
        return round(fmean(kept), 6) if kept else None

    return mean


def _text_s(value: OnScreenText) -> float:
    """Length of the union of all appearances."""
    total_s = until_s = 0.0
    for seen in sorted(value.appearances, key=lambda a: a.start_s):
        total_s += max(0.0, seen.end_s - max(seen.start_s, until_s))
        until_s = max(until_s, seen.end_s)
    return round(total_s, 6)


def texts_of(value: OnScreenText) -> list[str]:
    """The texts in the order in which they appear, each once."""
    seen = sorted(value.appearances, key=lambda a: (a.start_s, a.end_s))
    return list(dict.fromkeys(appearance.text for appearance in seen))


def _category(level: int) -> Callable[[Embedding], CategoryMatch | None]:
    return lambda v: next((match for match in v.categories if match.level == level), None)


def _category_name(level: int) -> Callable[[Embedding], Cell]:
    return lambda v: match.name if (match := _category(level)(v)) else None


def _category_confidence(level: int) -> Callable[[Embedding], Cell]:
    return lambda v: match.confidence if (match := _category(level)(v)) else None


def _named_sounds(value: Sounds) -> Iterator[str]:
    """The surest tags as text, "Laughter 2.5-5.0 s"."""
    surest = sorted(value.tags, key=lambda tag: -tag.confidence)[:MOST_SOUNDS]
    for tag in sorted(surest, key=lambda tag: (tag.start_s, tag.end_s, tag.label)):
        yield f"{tag.label} {tag.start_s:.1f}-{tag.end_s:.1f} s"


def _stages_that(status: str) -> Callable[[VideoRecord], Cell]:
    return lambda r: " ".join(n for n, s in stages_in_order(r) if s.status == status) or None


def _status(stage: str) -> Callable[[VideoRecord], Cell]:
    return lambda r: r.stages[stage].status if stage in r.stages else None


# ------------------------------------------------------------------------ the table

_SOURCE = [
    Column("schema_version", "integer", None, "Version of these columns.", "record",
           lambda r: r.schema_version),
    Column("creator", "text", None, "Whose video it is: the name of the creator's folder.",
           "source", lambda r: r.source.creator),
    Column("video_id", "text", None, "Which video: the name of its folder. Text, also if it "
           "consists of digits.", "source", lambda r: r.source.video_id),
    Column("path", "text", None, "The file that was analysed.", "source",
           lambda r: r.source.path),
    Column("url", "text", None, "Where the video stands on the web.", "source",
           lambda r: r.source.url),
    Column("frames_folder", "text", None, "Name of the folder with its pictures, below "
           "data/tiktok_frames.", "source", lambda r: r.source.frames_id),
]  # fmt: skip

_PLATFORM = of_stage(
    Platform,
    ("platform", "text", None, "Where the video comes from: tiktok, folder, ...", lambda v: v.name),
    ("kind", "text", None, "video, or photo: a post of pictures.", lambda v: v.kind),
    ("author_id", "text", None, "Who posted it: the id on the platform.", _author("id")),
    ("author_username", "text", None, "... the name on the platform, without '@'; the column "
     "creator is the name of a folder.", _author("username")),
    ("author_nickname", "text", None, "... the name that is shown.", _author("nickname")),
    ("author_verified", "boolean", None, "Whether the platform vouches for who that is.",
     _author("verified")),
    ("author_followers", "integer", None, "Followers, as the platform states them.",
     _author("followers")),
    ("caption", "text", None, "What the creator wrote under it.", lambda v: v.caption),
    ("hashtags", "text", None, "Separated by blanks.", lambda v: " ".join(v.hashtags) or None),
    ("mentions", "text", None, "People named in the caption, separated by blanks.",
     lambda v: " ".join(v.mentions) or None),
    ("posted_at", "time", "UTC", "When it was posted.", lambda v: _utc(v.posted_at)),
    ("region", "text", None, "Country or region that the platform states.", lambda v: v.region),
    ("platform_duration_s", "number", "s", "Length that the platform states.",
     lambda v: v.duration_s),
    ("plays", "integer", None, "Times played, as the platform states it.", _count("plays")),
    ("likes", "integer", None, "Likes, as the platform states them.", _count("likes")),
    ("comments", "integer", None, "Comments, as the platform states them.", _count("comments")),
    ("shares", "integer", None, "Times shared, as the platform states it.", _count("shares")),
    ("saves", "integer", None, "Times saved, as the platform states it.", _count("saves")),
    ("counts_taken_at", "time", "UTC", "When the platform was asked for these counts.",
     lambda v: _utc(v.counts.taken_at) if v.counts else None),
    ("counts_snapshots", "integer", None, "How often the counts are known, with these; the "
     "record has the earlier ones.", lambda v: len(v.counts_before) + (v.counts is not None)),
    ("music_id", "text", None, "The sound's id on the platform.",
     lambda v: v.music.id if v.music else None),
    ("music_title", "text", None, "The sound's title on the platform.",
     lambda v: v.music.title if v.music else None),
    ("music_author", "text", None, "The sound's author on the platform.",
     lambda v: v.music.author if v.music else None),
    ("music_album", "text", None, "The sound's album on the platform.",
     lambda v: v.music.album if v.music else None),
    ("music_original", "boolean", None, "Whether the platform calls the sound original.",
     lambda v: v.music.original if v.music else None),
    ("effects", "text", None, "Effects that the platform names.",
     lambda v: TEXT_JOINT.join(v.effects) or None),
    ("stickers", "text", None, "Texts of stickers that the platform names.",
     lambda v: TEXT_JOINT.join(v.stickers) or None),
    ("is_ad", "boolean", None, "Whether the platform marks it as an advertisement.",
     lambda v: v.is_ad),
    ("is_paid_partnership", "boolean", None, "Whether the platform says that a brand has paid.",
     lambda v: v.is_paid_partnership),
    ("is_ai_generated", "boolean", None, "Whether the platform marks it as made by a machine.",
     lambda v: v.is_ai_generated),
)  # fmt: skip

_PROBE = of_stage(
    Probe,
    ("container", "text", None, "Format of the file.", lambda v: v.container),
    ("duration_s", "number", "s", "Length, measured from the packets.", lambda v: v.duration_s),
    ("size_bytes", "integer", "bytes", "Size of the file.", lambda v: v.size_bytes),
    ("sha256", "text", None, "Of the whole file, hexadecimal.", lambda v: v.sha256),
    ("bit_rate_bps", "integer", "bit/s", "Of the whole file.", lambda v: v.bit_rate_bps),
    ("created_at", "text", None, "Creation time that the file states, ISO 8601.",
     lambda v: v.created_at),
    ("has_video", "boolean", None, "Whether there is a picture.", lambda v: v.has_video),
    ("has_audio", "boolean", None, "Whether there is sound.", lambda v: v.has_audio),
    ("width", "integer", "px", "Of the upright picture.", lambda v: v.width),
    ("height", "integer", "px", "Of the upright picture.", lambda v: v.height),
    ("rotation_deg", "integer", "degrees", "Clockwise turn that makes the picture upright.",
     lambda v: v.rotation_deg),
    ("fps", "number", "1/s", "Average frames per second.", lambda v: v.fps),
    ("variable_frame_rate", "boolean", None, "Whether the time between frames varies.",
     lambda v: v.variable_frame_rate),
    ("video_codec", "text", None, "Of the picture.", lambda v: v.video_codec),
    ("audio_codec", "text", None, "Of the sound.", lambda v: v.audio_codec),
    ("audio_rate_hz", "integer", "Hz", "Sampling rate of the sound.", lambda v: v.audio_rate_hz),
    ("audio_channels", "integer", None, "Channels of the sound.", lambda v: v.audio_channels),
    ("complete", "boolean", None, "Whether every stream decodes to its end without an error.",
     lambda v: v.integrity.complete),
    ("bad_packets", "integer", None, "Packets that are corrupt or that a decoder refused.",
     lambda v: v.integrity.bad_packets),
)  # fmt: skip

_VOICE = of_stage(
    Voice,
    ("speech_s", "number", "s", "Time in which somebody speaks.", lambda v: v.speech_s),
    ("speech_share", "number", "0-1", "That time as a share of the sound.",
     lambda v: v.speech_share),
    ("speech_segments", "integer", None, "Separate stretches of speech.",
     lambda v: len(v.segments)),
    ("speech_starts_s", "number", "s", "When the first speech begins.",
     lambda v: v.segments[0].start_s if v.segments else None),
)  # fmt: skip

_EVENTS = of_stage(
    Events,
    ("events_speech_s", "number", "s", "Speech without music.", _seconds("speech")),
    ("events_music_s", "number", "s", "Music without speech.", _seconds("music")),
    ("events_speech_over_music_s", "number", "s", "Speech and music together.",
     _seconds("speech_over_music")),
    ("events_other_s", "number", "s", "Sound that is neither.", _seconds("other")),
    ("events_silence_s", "number", "s", "Silence.", _seconds("silence")),
    ("events_speech_share", "number", "0-1", "Share of the sound.", _share("speech")),
    ("events_music_share", "number", "0-1", "Share of the sound.", _share("music")),
    ("events_speech_over_music_share", "number", "0-1", "Share of the sound.",
     _share("speech_over_music")),
    ("events_other_share", "number", "0-1", "Share of the sound.", _share("other")),
    ("events_silence_share", "number", "0-1", "Share of the sound.", _share("silence")),
    ("loudness_lufs", "number", "LUFS", "Integrated loudness (EBU R128).",
     lambda v: v.loudness.integrated_lufs),
    ("loudness_range_lu", "number", "LU", "Loudness range (EBU Tech 3342).",
     lambda v: v.loudness.range_lu),
    ("true_peak_dbtp", "number", "dBTP", "Highest true peak (ITU-R BS.1770).",
     lambda v: v.loudness.true_peak_dbtp),
)  # fmt: skip

_SEPARATION = of_stage(
    Separation,
    ("separated", "boolean", None, "Whether voices were separated from the music behind them.",
     lambda v: v.applied),
    ("separated_share", "number", "0-1", "Stretches that were separated, as a share of the sound.",
     lambda v: round(v.seconds / v.duration_s, 6) if v.duration_s else None),
)  # fmt: skip

_SOUNDS = of_stage(
    Sounds,
    ("sounds", "text", None, "The surest sounds that have a name, each with when it is heard, "
     "in order of time.", lambda v: TEXT_JOINT.join(_named_sounds(v)) or None),
    ("sounds_count", "integer", None, "Sounds that have a name.", lambda v: len(v.tags)),
)  # fmt: skip

_TRANSCRIPT = of_stage(
    Transcript,
    ("transcript", "text", None, "What is said, after the garbage filter if that is on.",
     lambda v: v.text or None),
    ("transcript_language", "text", None, "Whisper's code of the language; empty: nothing is "
     "said.", lambda v: v.language),
    ("transcript_language_probability", "number", "0-1", "How sure that is; empty: it was set, or "
     "the engine knows one language alone.", lambda v: v.language_probability),
    ("transcript_words", "integer", None, "Words that are said.",
     lambda v: sum(len(segment.words) for segment in v.segments)),
    ("transcript_accuracy", "text", None, "low: the engine for machines without weights; many "
     "words are wrong. Else normal.", lambda v: v.accuracy),
    ("transcript_doubtful_segments", "integer", None, "Stretches of text that may be made up; "
     "why stands in the record.", lambda v: sum(bool(segment.flags) for segment in v.segments)),
    ("transcript_sound", "text", None, "What the text was heard in: the mix or the vocals.",
     lambda v: v.sound),
)  # fmt: skip

_MUSIC = of_stage(
    Music,
    ("music_found_title", "text", None, "Title of the track that is heard or named, by the best "
     "source that knows one; empty: none does.", lambda v: _track(v, "title")),
    ("music_found_artist", "text", None, "Its artist.", lambda v: _track(v, "artist")),
    ("music_found_album", "text", None, "Its album.", lambda v: _track(v, "album")),
    ("music_found_label", "text", None, "Who published it.", lambda v: _track(v, "label")),
    ("music_found_isrc", "text", None, "Its International Standard Recording Code.",
     lambda v: _track(v, "isrc")),
    ("music_found_by", "text", None, "The source: platform, library, memory or shazam.",
     lambda v: _track(v, "source")),
    ("music_found_shazam_id", "text", None, "Key of the track at Shazam.",
     lambda v: _track(v, "shazam_id")),
    ("music_found_at_s", "number", "s", "In the video: where the window begins in which it was "
     "recognised.", lambda v: _track(v, "window_start_s")),
    ("music_found_track_offset_s", "number", "s", "In the track: where that window begins.",
     lambda v: _track(v, "track_offset_s")),
    ("music_found_time_skew", "number", None, "How much faster than the track it is played: 0.05 "
     "is 5 %.", lambda v: _track(v, "time_skew")),
    ("music_found_frequency_skew", "number", None, "How much higher than the track it sounds.",
     lambda v: _track(v, "frequency_skew")),
    ("music_library_id", "text", None, "Track of the music library that is heard longest, whatever "
     "the platform names; empty: none is heard, or none was asked.",
     lambda v: _of_library(v, "library_id")),
    ("music_library_title", "text", None, "Its title.", lambda v: _of_library(v, "title")),
    ("music_library_artist", "text", None, "Its artist.", lambda v: _of_library(v, "artist")),
    ("music_library_start_s", "number", "s", "In the video: where it is heard from.",
     lambda v: _of_library(v, "window_start_s")),
    ("music_library_end_s", "number", "s", "In the video: where it is heard to.",
     lambda v: _of_library(v, "window_end_s")),
    ("music_library_offset_s", "number", "s", "In the track: what is heard there first.",
     lambda v: _of_library(v, "track_offset_s")),
    ("music_library_time_skew", "number", None, "How much faster than the track it is played: 0.05 "
     "is 5 %.", lambda v: _of_library(v, "time_skew")),
    ("music_library_frequency_skew", "number", None, "How much higher than the track it sounds.",
     lambda v: _of_library(v, "frequency_skew")),
    ("music_library_probability", "number", "0-1", "Of being right.",
     lambda v: _of_library(v, "confidence")),
    ("music_library_others", "text", None, "Titles of further tracks of the library that are "
     "heard, the longest first.", lambda v: TEXT_JOINT.join(_others(v)) or None),
    ("music_answers", "text", None, "What came of asking each source: found, no_match, not_asked.",
     lambda v: TEXT_JOINT.join(f"{a.source} {a.outcome}" for a in v.answers) or None),
)  # fmt: skip

_SPEECH_RATE = of_stage(
    SpeechRate,
    ("speech_rate_method", "text", None, "Measured from `words` or from `syllable_nuclei`.",
     lambda v: v.method),
    ("speech_rate_wpm", "number", "1/min", "Words per minute, where words are known.",
     lambda v: v.speech_rate_wpm),
    ("syllables_per_minute", "number", "1/min", "Syllables per minute, pauses included.",
     lambda v: v.syllables_per_minute),
    ("articulation_rate", "number", "1/s", "Syllables per second of speech without its pauses.",
     lambda v: v.metrics.articulation_rate),
    ("rate_category", "text", None, "very_slow, slow, normal, fast, very_fast, extremely_fast.",
     lambda v: v.rate_category),
    ("rate_score", "number", "1-10", "How good the speed is to follow.", lambda v: v.rate_score),
    ("consistency_score", "number", "1-10", "How even the speed is.",
     lambda v: v.consistency_score),
    ("pause_score", "number", "1-10", "How well the pauses are set.", lambda v: v.pause_score),
    ("clarity_score", "number", "1-10", "How clear the speech is.", lambda v: v.clarity_score),
    ("overall_score", "number", "1-10", "All four: rate 40 %, consistency 25 %, clarity 20 %, "
     "pauses 15 %.", lambda v: v.overall_score),
    ("syllable_count", "integer", None, "Syllables that were counted.",
     lambda v: v.metrics.syllable_count),
    ("pause_count", "integer", None, "Pauses inside speech.", lambda v: v.metrics.pause_count),
    ("pause_share", "number", "0-1", "Pauses as a share of the speech.",
     lambda v: v.metrics.pause_share),
    ("mean_pause_s", "number", "s", "Mean length of a pause.", lambda v: v.metrics.mean_pause),
)  # fmt: skip

_PICTURES = [
    *of_stage(
        Keyframes,
        ("frames", "integer", None, "Moments that were looked at.", lambda v: len(v.frames)),
        ("frames_iframe", "integer", None, "Of those: key frames of the codec.",
         _frames("iframe")),
        ("frames_sampled", "integer", None, "Of those: evenly spread.", _frames("sampled")),
        ("frames_highlight", "integer", None, "Of those: in the middle of speech.",
         _frames("highlight")),
    ),
    *of_stage(
        Quality,
        ("frames_kept", "integer", None, "Frames good enough to look at.", _verdicts("kept")),
        ("frames_black", "integer", None, "Frames left out as black.", _verdicts("black")),
        ("frames_blurred", "integer", None, "Frames left out as blurred.", _verdicts("blurred")),
        ("mean_luma", "number", "0-255", "Mean brightness of the kept frames.",
         _mean(lambda f: f.luma)),
        ("mean_contrast", "number", "0-255", "Mean contrast of the kept frames.",
         _mean(lambda f: f.contrast)),
        ("mean_sharpness", "number", None, "Mean variance of the Laplacian of the kept frames.",
         _mean(lambda f: f.sharpness)),
        ("mean_colourfulness", "number", None, "Mean colourfulness of the kept frames.",
         _mean(lambda f: f.colourfulness)),
        ("mean_quality", "number", "0-1", "Mean quality score of the kept frames.",
         _mean(lambda f: f.score)),
    ),
    *of_stage(
        Similarity,
        ("frames_distinct", "integer", None, "Kept frames that do not look like another.",
         lambda v: len(v.kept_s)),
        ("frames_near_duplicate", "integer", None, "Frames that another one stands for.",
         lambda v: sum(len(group.stands_for) for group in v.groups)),
    ),
    *of_stage(
        Stills,
        ("stills", "integer", None, "Pictures saved at full size.", lambda v: len(v.frames)),
    ),
]  # fmt: skip

_SHOTS = of_stage(
    Shots,
    ("shots", "integer", None, "Shots.", lambda v: len(v.shots)),
    ("cuts", "integer", None, "Hard cuts.", lambda v: sum(c.kind == "cut" for c in v.cuts)),
    ("fades", "integer", None, "Fades through black.",
     lambda v: sum(c.kind == "fade" for c in v.cuts)),
    ("dissolves", "integer", None, "Dissolves from one picture into the next.",
     lambda v: sum(c.kind == "dissolve" for c in v.cuts)),
    ("cuts_per_minute", "number", "1/min", "Cuts of all kinds per minute.",
     lambda v: v.cuts_per_minute),
    ("mean_shot_s", "number", "s", "Mean length of a shot.", lambda v: v.mean_shot_s),
    ("hook_end_s", "number", "s", "Length of the hook, the first seconds.",
     lambda v: v.hook.end_s),
    ("hook_cuts", "integer", None, "Cuts of all kinds in the hook.", lambda v: v.hook.cuts),
    ("hook_first_cut_s", "number", "s", "First cut of the video, also if after the hook.",
     lambda v: v.hook.first_cut_s),
    ("hook_motion", "number", "1/s", "Change of brightness per second, 0-255 scale, in the hook.",
     lambda v: v.hook.motion),
    ("hook_luma", "number", "0-255", "Mean brightness of the hook.", lambda v: v.hook.luma),
    ("hook_contrast", "number", "0-255", "Mean contrast of the hook.", lambda v: v.hook.contrast),
    ("hook_colourfulness", "number", None, "Mean colourfulness of the hook.",
     lambda v: v.hook.colourfulness),
    ("hook_speech_share", "number", "0-1", "Share of the hook in which somebody speaks.",
     lambda v: v.hook.speech_share),
    ("hook_speech_starts_s", "number", "s", "First speech of the video, also if after the hook.",
     lambda v: v.hook.speech_starts_s),
    ("hook_music_share", "number", "0-1", "Share of the hook with music.",
     lambda v: v.hook.music_share),
)  # fmt: skip

_TEXT = of_stage(
    OnScreenText,
    ("texts", "text", None, "What is written on the screen, each text once, in order of "
     f"appearance, joined by '{TEXT_JOINT}'.", lambda v: TEXT_JOINT.join(texts_of(v)) or None),
    ("text_appearances", "integer", None, "Texts over the time they are on screen.",
     lambda v: len(v.appearances)),
    ("text_s", "number", "s", "Time in which there is any text on screen.", _text_s),
    ("text_starts_s", "number", "s", "When the first text appears.",
     lambda v: min((a.start_s for a in v.appearances), default=None)),
)  # fmt: skip

_OBJECTS = of_stage(
    Detections,
    ("objects", "text", None, "What is seen, each with its time on screen, the longest first, "
     f"joined by '{TEXT_JOINT}'.",
     lambda v: TEXT_JOINT.join(f"{o.label} {o.seconds:.1f} s" for o in v.objects) or None),
    ("object_kinds", "integer", None, "Different things that are seen.", lambda v: len(v.objects)),
    ("product_kinds", "integer", None, "Of those: products, by the vocabulary.",
     lambda v: sum(o.product for o in v.objects)),
    ("longest_product_s", "number", "s", "Longest time that one product is on screen.",
     lambda v: max((o.seconds for o in v.objects if o.product), default=None)),
)  # fmt: skip

_EMBEDDING = of_stage(
    Embedding,
    ("category", "text", None, "What it is about, from the coarsest level to the finest, joined "
     "by ' > ' (CLIP).", lambda v: " > ".join(match.name for match in v.categories) or None),
    *(
        row
        for level in (1, 2, 3)
        for row in (
            (f"category_{level}", "text", None, f"Its category of level {level}.",
             _category_name(level)),
            (f"category_{level}_confidence", "number", "0-1", "How probable that is.",
             _category_confidence(level)),
        )
    ),
    ("product_relevance", "number", "0-1", "How much its frames are about a product (CLIP).",
     lambda v: v.product_relevance),
    ("likely_products", "text", None, "Products of the vocabulary that its frames are most like, "
     f"the most probable first, joined by '{TEXT_JOINT}' (CLIP).",
     lambda v: TEXT_JOINT.join(match.label for match in v.products) or None),
    ("embedding_model", "text", None, "Whose vectors embeddings.npz and the Parquet file hold.",
     lambda v: v.model if v.frames else None),
)  # fmt: skip

_CHOICE = of_stage(
    Choice,
    ("chosen_frames", "integer", None, "Frames that stand for the video.",
     lambda v: len(v.frames)),
    ("chosen_times_s", "text", "s", "Their times, separated by blanks.",
     lambda v: " ".join(repr(frame.time_s) for frame in v.frames) or None),
    ("chosen_files", "text", None, "Their pictures inside the frames folder, separated by blanks.",
     lambda v: " ".join(frame.file for frame in v.frames) or None),
)  # fmt: skip

_CAPTIONS = of_stage(
    Captions,
    ("frame_captions", "text", None, "What a model says of the chosen frames, in order of time, "
     f"joined by '{TEXT_JOINT}' (BLIP).",
     lambda v: TEXT_JOINT.join(frame.text for frame in v.frames) or None),
)  # fmt: skip

_CAMPAIGN = of_stage(
    CampaignMatch,
    ("campaign_id", "text", None, "Campaign whose sound is heard, by `music match`; empty: none "
     "reaches the threshold.", lambda v: v.campaign_id if v.matched else None),
    ("campaign_similarity", "number", "0-100", "Similarity with the most similar track of any "
     "campaign, also below the threshold.", lambda v: v.similarity),
    ("campaign_track", "text", None, "The matched track: a file of the campaign's folder.",
     lambda v: v.track if v.matched else None),
    ("campaign_start_s", "number", "s", "In the video: where the track is heard from.",
     lambda v: v.start_s if v.matched else None),
    ("campaign_end_s", "number", "s", "In the video: where it is heard to.",
     lambda v: v.end_s if v.matched else None),
    ("campaign_offset_s", "number", "s", "In the track: what is heard there first.",
     lambda v: v.offset_s if v.matched else None),
    ("campaign_tempo", "number", None, "How much faster than the track it runs, as a factor.",
     lambda v: v.tempo if v.matched else None),
    ("campaign_pitch", "number", None, "How much higher than the track it sounds, as a factor.",
     lambda v: v.pitch if v.matched else None),
    ("campaign_engine", "text", None, "Who compared: fingerprint or dtw.", lambda v: v.engine),
)  # fmt: skip

_SOUND_GROUP = of_stage(
    SoundGroup,
    ("sound_group", "text", None, "The first video with this sound, creator/video_id; its own, if "
     "nobody else has it; empty: `music.groups` is off, or there is no sound to be found again.",
     lambda v: v.group),
    ("sound_group_videos", "integer", None, "Videos with this sound, over all batches.",
     lambda v: v.videos),
    ("sound_group_offset_s", "number", "s", "In the first of them: what is heard at this one's "
     "beginning.", lambda v: v.offset_s),
    ("sound_group_tempo", "number", None, "How much faster than in the first it runs, as a "
     "factor.", lambda v: v.tempo),
)  # fmt: skip

_RECORD = [
    Column("failed_stages", "text", None, "Stages that failed, separated by blanks; why stands "
           "in errors.csv.", "record", _stages_that("failed")),
    Column("skipped_stages", "text", None, "Stages that were skipped, separated by blanks.",
           "record", _stages_that("skipped")),
    Column("analysis_s", "number", "s", "Work time of all stages together.", "record",
           lambda r: round(sum(stage.seconds for stage in r.stages.values()), 6)),
    *(
        Column(f"status_{name}", "text", None, f"How stage `{name}` ended: ok, skipped, failed; "
               "empty if it did not run.", "record", _status(name))
        for name in (*STAGE_VALUES, *LATER_VALUES)
    ),
]  # fmt: skip

_BEFORE = (
    *_SOURCE, *_PLATFORM, *_PROBE, *_VOICE, *_EVENTS, *_SEPARATION, *_SOUNDS, *_TRANSCRIPT,
    *_SPEECH_RATE, *_MUSIC, *_PICTURES, *_SHOTS, *_TEXT, *_OBJECTS, *_EMBEDDING, *_CHOICE,
    *_CAPTIONS,
)  # fmt: skip
"""Before those of the description."""
