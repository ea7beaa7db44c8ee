"""The music: recognition in a video, and the music library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from reelscope.settings.base import Positive, Section, Unit


class MusicRecognition(Section):
    """Stage `music`: which track is heard. Local sources are always asked, Shazam if it is on."""

    shazam: bool = Field(
        False,
        description="Ask Shazam too (not if models.offline). A signature of up to 12 s of music leaves the machine: spectral peaks, no sound.",
    )
    ask_shazam: Literal["unnamed", "always"] = Field(
        "unnamed",
        description="unnamed: not where the platform, the library or an earlier answer names the track; always.",
    )
    windows: int = Field(
        2, ge=1, le=3, description="Windows of a video that Shazam is asked about at most."
    )
    requests_per_minute: float = Field(
        5.0, gt=0, le=600, description="To Shazam; users report that it throttles above about 5."
    )
    timeout_s: float = Field(
        30.0, ge=0.1, le=300, description="For one answer of Shazam; what hangs longer is ended."
    )
    proxy: SecretStr | None = Field(
        None, description="HTTP proxy for Shazam; null: none. http://user:password@host:port"
    )
    memory: Path | None = Field(
        None,
        description="File of the sounds recognised earlier; null: sound_memory.sqlite below paths.data.",
    )
    no_match_days: float = Field(
        14.0, ge=0, le=3650, description="So long is it remembered that Shazam knows a sound not."
    )


class MusicOriginals(Section):
    """`music originals`: whose sound is in whose video."""

    database: SecretStr | None = Field(
        None,
        description="Where the videos stand: path or postgresql://...; null: originals.sqlite below paths.data.",
    )
    decide_by: Literal["calibrated", "hashes"] = Field(
        "calibrated",
        description="The rule that decides; hashes: the share of sampled hashes. Both are measured and kept.",
    )
    seniority: Literal["published", "length"] = Field(
        "published",
        description="The original is the older one, then the longer one; length: the longer one, then the older one.",
    )
    min_duration_s: float = Field(1.0, ge=0, le=60, description="Shorter sounds are too_short.")
    most_listened_s: float = Field(
        600.0, gt=0, description="Rule calibrated: so much of the shorter sound is compared."
    )
    min_hashes: int = Field(
        20,
        ge=1,
        description="Sounds with fewer hashes are too_short; fewer that agree decide nothing.",
    )
    share: Unit = Field(
        0.1, description="Rule hashes: of the sampled hashes, from here on a match."
    )
    merge_frames: int = Field(
        1, ge=0, le=10, description="... that agree within so many frames of 20 ms."
    )
    segment_s: float = Field(
        15.0, gt=0, description="... sampled from segments; one for each so many seconds,"
    )
    most_segments: int = Field(16, ge=1, le=1000, description="... at most so many,")
    hashes_per_segment: int = Field(300, ge=1, le=100_000, description="... so many from each.")
    false_positive_rate: float = Field(
        1e-4,
        gt=0,
        le=0.1,
        description="Rule calibrated: share of clips that it may take for a stranger's.",
    )
    sure_probability: Unit = Field(
        0.99, description="Flagged below this probability, for a person to look at."
    )
    flag_margin: Unit = Field(
        0.5, description="Rule hashes: flagged within this share of its threshold on either side."
    )
    candidate_hashes: int = Field(
        5,
        ge=1,
        description="Hashes in common for two videos to be compared at all (one in four is looked up),",
    )
    candidate_share: Unit = Field(
        0.02, description="... and this share of the shorter one's; strangers share up to 0.013."
    )
    most_candidates: int = Field(
        100, ge=1, le=10_000, description="At most so many videos are compared with a new one."
    )
    stop_rows: int = Field(
        1000, ge=1, description="Stop-words: hashes that more rows have are not looked up,"
    )
    stop_share: Unit = Field(
        0.05, description="... or, if that is more, rows for this share of all originals."
    )
    lease_s: float = Field(
        600.0, gt=0, description="A worker that has not ended a video by then has lost it."
    )
    attempts: Positive = Field(3, description="So often a video is tried before it has failed.")


class MusicMatch(Section):
    """`music match`: which campaign's sound is in which video."""

    engine: Literal["fingerprint", "dtw"] = Field(
        "fingerprint",
        description="fingerprint: spectral peaks, found anywhere and calibrated; dtw: MFCC and cosine DTW, whose similarity is above 95 for almost any two sounds.",
    )
    similarity_threshold: float = Field(
        95.0,
        ge=0,
        le=100,
        description="A video matches from this similarity on, 0-100; of fingerprint it is 100 times the probability.",
    )
    batch_size: Positive = Field(
        32, description="Results that are written to the database and the records together."
    )
    max_workers: int = Field(
        0, ge=0, le=256, description="Videos listened to at the same time; 0: as many as cores."
    )
    retry_attempts: int = Field(
        3, ge=0, le=20, description="A download that failed in passing is tried again so often."
    )
    retry_wait_s: float = Field(
        1.0, ge=0, le=60, description="Before the first of these, doubled before each further one."
    )
    comparison_duration_s: float = Field(
        30.0, gt=0, le=600, description="dtw compares the first so many seconds."
    )
    dtw_mode: Literal["whole", "subsequence"] = Field(
        "whole",
        description="whole: beginning against beginning; subsequence: that of the video anywhere in the track.",
    )
    longest_video_s: float = Field(
        3600.0, gt=0, le=36_000, description="fingerprint listens to at most so much of a video."
    )
    database: SecretStr | None = Field(
        None,
        description="Keeps the results: path or postgresql://...; null: music_matches.sqlite below paths.data.",
    )


class MusicLibrarySettings(Section):
    """The music library: where it is, and how tracks are added and identified."""

    folder: Path | None = Field(
        None, description="catalogue.sqlite and index/ stand there; null: library below paths.data."
    )
    database: SecretStr | None = Field(
        None,
        description="The catalogue elsewhere: path or postgresql://...; the index stays in the folder.",
    )
    workers: int | None = Field(
        None, ge=1, le=256, description="Files listened to at once; null: one per core, up to 16."
    )
    tracks_per_segment: int = Field(
        64, ge=1, le=10_000, description="New tracks that are written, and then reported, together;"
    )
    report_after_s: float = Field(
        30.0, gt=0, le=3600, description="... or what there is after so many seconds."
    )
    most_segments: int = Field(
        16,
        ge=1,
        le=1000,
        description="Files of the index; with more of them the smallest are merged.",
    )
    attempts: int = Field(3, ge=1, le=20, description="For a URL whose fetching failed in passing.")
    wait_s: float = Field(
        1.0, ge=0, le=60, description="Before the second attempt, doubled before each further one."
    )
    false_positive_rate: float = Field(
        1e-4, gt=0, le=0.1, description="Share of unknown clips for which a track may be named."
    )


class SoundGroups(Section):
    """Videos with the same sound, whoever posted them: column `sound_group`."""

    enabled: bool = Field(
        False,
        description="Add every video's own sound to a library of sounds when a run has ended, and group those that are the same.",
    )
    folder: Path | None = Field(
        None, description="That library; null: sounds below paths.data. All batches share it."
    )
    share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Sounds are the same if they have this share of the shorter one in common.",
    )
    longest_s: float = Field(
        120.0, ge=5, le=3600, description="So much of each video is listened to for that."
    )
    false_positive_rate: float = Field(
        1e-4,
        gt=0,
        le=0.1,
        description="Share of sounds that may be taken for a stranger's.",
    )


class MusicDedupe(Section):
    """`music dedupe`: which assets of a whole library are the same sound."""

    engine: Literal["auto", "libchromaprint", "fpcalc", "own"] = Field(
        "auto",
        description="Computes the Chromaprints; auto: the first of these that is here. own needs nothing.",
    )
    identical: Unit = Field(0.95, description="Pairs are identical from this similarity on,")
    same_content: Unit = Field(0.8, description="... have the same content from this one on,")
    related: Unit = Field(
        0.6, description="... are related versions from this one on; below it they are different."
    )
    joins: tuple[Literal["identical", "same_content", "related"], ...] = Field(
        ("identical", "same_content"),
        description="Pairs of these classes hold groups together; others are listed as pairs.",
    )
    join_coverage: Unit = Field(
        0.75,
        description="... if they overlap in this share of the longer one: an excerpt is no duplicate.",
    )
    least_confidence: Unit = Field(
        0.99,
        description="... and are no chance with this confidence; related versions are not listed below it.",
    )
    min_overlap_s: float = Field(
        10.0, ge=0.1, le=3600, description="Pairs are compared over this much, or the shorter one,"
    )
    min_overlap_share: float = Field(
        0.5, gt=0, le=1, description="... and over this share of the shorter one."
    )
    all_pairs_assets: int = Field(
        300,
        ge=0,
        le=5000,
        description="Up to so many assets every pair is compared; more go through an index.",
    )
    frequent_share: Unit = Field(
        0.02, description="Stop-words: items of more than this share of the assets count little."
    )
    batch_size: Positive = Field(32, description="Fingerprints written to the table together.")
    workers: int = Field(0, ge=0, le=256, description="Listen at the same time; 0: all cores.")
    most_files: int = Field(
        4, ge=1, le=256, description="Downloaded files that are on the disk at the same time."
    )
    retry_attempts: int = Field(
        3, ge=0, le=20, description="A download that failed in passing is tried again so often."
    )
    retry_wait_s: float = Field(
        1.0, ge=0, le=60, description="Before the first of these, doubled before each further one."
    )
    database: SecretStr | None = Field(
        None,
        description="Keeps the fingerprints: path or postgresql://...; null: audio_fingerprint.sqlite below paths.data.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> MusicDedupe:
        if not self.related <= self.same_content <= self.identical:
            raise ValueError("music.dedupe: related <= same_content <= identical must hold")
        return self


class Music(MusicRecognition):
    """Stage `music`: which track is heard. Local sources are always asked, Shazam if it is on."""

    library: MusicLibrarySettings = Field(MusicLibrarySettings(), description="The music library.")
    match: MusicMatch = Field(
        MusicMatch(), description="`music match`: which campaign's sound is in which video."
    )
    originals: MusicOriginals = Field(
        MusicOriginals(), description="`music originals`: whose sound is in whose video."
    )
    groups: SoundGroups = Field(
        SoundGroups(), description="Videos with the same sound: column `sound_group`."
    )
    dedupe: MusicDedupe = Field(
        MusicDedupe(), description="`music dedupe`: which assets are the same sound."
    )
