"""A record with a value for every stage, and the same with everything that can be missing."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from reelscope.records import (
    LATER_VALUES,
    STAGE_VALUES,
    StageRecord,
    Value,
    VideoRecord,
    VideoSource,
)

BOX = ((1.0, 2.0), (30.0, 2.0), (30.0, 9.0), (1.0, 9.0))

VALUES: dict[str, dict[str, Any]] = {
    "platform": {
        "name": "tiktok",
        "caption": "Morning run\nwith “friends”, 5 km",
        "hashtags": ["run", "städte"],
        "posted_at": "2024-05-01T12:00:00+02:00",
        "counts": {"plays": 10_000_000_000, "likes": 0, "taken_at": "2024-05-02T00:00:00.5Z"},
        "music": {"id": "7", "title": "Song", "author": "Carla", "original": False},
        "is_ad": True,
        "kind": "photo", "duration_s": 12.5, "effects": ["Green Screen", "Slow, zoom"],
        "stickers": ["Day 1", "=1+1"], "is_paid_partnership": True,
        "author": {"id": "9", "username": "anna.runs", "nickname": "Anna 🌻", "verified": False,
                   "followers": 1200},
        "counts_before": [{"plays": 5, "taken_at": "2024-05-01T00:00:00Z"}],
    },
    "probe": {
        "container": "mov,mp4", "duration_s": 13.1, "size_bytes": 1000, "sha256": "ab" * 32,
        "bit_rate_bps": 610, "has_video": True, "has_audio": True, "width": 320, "height": 568,
        "rotation_deg": 90, "fps": 29.97003, "fps_exact": "30000/1001",
        "variable_frame_rate": False, "video_codec": "h264", "pixel_format": "yuv420p",
        "audio_codec": "aac", "audio_rate_hz": 44100, "audio_channels": 2,
        "integrity": {"method": "reference", "complete": True, "video_packets": 390,
                      "audio_packets": 560, "bad_packets": 0, "decoded_until_s": 13.0},
    },
    "voice": {
        "segments": [{"start_s": 0.5, "end_s": 4.0, "probability": 0.9},
                     {"start_s": 5.0, "end_s": 6.0, "probability": 0.8}],
        "duration_s": 13.0, "speech_s": 4.5, "speech_share": 0.346154,
    },
    "events": {
        "timeline": [{"start_s": 0.0, "end_s": 13.0, "kind": "speech_over_music",
                      "confidence": 0.7}],
        "duration_s": 13.0,
        "seconds": {"speech": 0.0, "music": 3.25, "speech_over_music": 9.75, "other": 0.0,
                    "silence": 0.0},
        "loudness": {"integrated_lufs": -23.1, "range_lu": 4.2, "true_peak_dbtp": -1.0},
    },
    "separate": {
        "applied": True, "reason": "somebody speaks or sings over music",
        "spans": [{"start_s": 0.0, "end_s": 7.0}], "seconds": 7.0, "duration_s": 14.0,
        "vocals": {"file": "vocals.flac", "size_bytes": 900, "sha256": "ef" * 32},
        "accompaniment": {"file": "accompaniment.flac", "size_bytes": 800, "sha256": "fe" * 32},
    },
    "sounds": {
        "tags": [{"label": "Music", "start_s": 0.0, "end_s": 13.0, "confidence": 0.9},
                 {"label": "Laughter", "start_s": 2.5, "end_s": 5.0, "confidence": 0.4}],
        "timeline": [{"start_s": 0.0, "end_s": 13.0, "kind": "speech_over_music",
                      "confidence": 0.7, "labels": ["Music", "Laughter"]}],
        "windows": 9,
    },
    "transcribe": {
        "text": "Hello. Well, ask what you can do.",
        "raw_text": "Hello. Well, ask what you can do.",
        "language": "en", "language_probability": 0.98, "sound": "vocals", "accuracy": "normal",
        "tried": [{"sound": "mix", "avg_logprob": -0.6, "words": 7},
                  {"sound": "vocals", "avg_logprob": -0.31, "words": 8}],
        "segments": [
            {"start_s": 0.5, "end_s": 1.0, "text": "Hello.", "raw_text": "Hello.",
             "words": [{"text": "Hello.", "start_s": 0.5, "end_s": 1.0, "probability": 0.9}],
             "avg_logprob": -0.2, "no_speech_probability": 0.01, "compression_ratio": 0.5,
             "flags": []},
            {"start_s": 2.2, "end_s": 4.0, "text": "Well, ask what you can do.",
             "raw_text": "Well, ask what you can do.",
             "words": [{"text": word, "start_s": 2.2 + 0.3 * at, "end_s": 2.5 + 0.3 * at,
                        "probability": 0.5 + 0.05 * at}
                       for at, word in enumerate(["Well,", "ask", "what", "you", "can", "do."])],
             "avg_logprob": -0.4, "no_speech_probability": 0.2, "compression_ratio": 0.9,
             "flags": ["low_probability"]},
        ],
    },
    "speech_rate": {
        "method": "syllable_nuclei", "speech_rate_wpm": None, "syllables_per_minute": 210.5,
        "rate_category": "normal", "rate_score": 9.1, "consistency_score": 7.5,
        "pause_score": 8.0, "clarity_score": None, "overall_score": None,
        "detailed_report": "A report.",
        "metrics": {"total_duration": 13.0, "speech_duration": 5.5, "speaking_time": 4.5,
                    "word_count": None, "syllable_count": 19, "speech_segments": 2,
                    "articulation_rate": 4.2, "rate_variation": 0.15, "pause_count": 1,
                    "pause_duration": 1.0, "pause_share": 0.18, "mean_pause": 1.0},
    },
    "music": {
        "recognised": [
            {"source": "memory", "matched_by": "fingerprint", "title": "=Song, or “not”",
             "artist": "Carla", "album": "First", "label": "Own", "isrc": "USABC1234567",
             "shazam_id": "549952578", "links": {"shazam": "https://www.shazam.com/track/1"},
             "window_start_s": 1.5, "window_end_s": None, "track_offset_s": 33.8,
             "time_skew": 0.05, "frequency_skew": -0.001, "confidence": None, "hashes": 310},
            *({"source": "library", "matched_by": "fingerprint", "title": title, "artist": None,
               "library_id": title.lower(), "window_start_s": start_s, "window_end_s": 13.0,
               "track_offset_s": 60.5, "time_skew": 0.25, "frequency_skew": 0.0,
               "confidence": 0.99}
              for title, start_s in (("Long", 1.0), ("Short", 9.0), ("Long", 11.0))),
        ],
        "answers": [
            {"source": "platform", "outcome": "no_match", "reason": "an original sound"},
            {"source": "library", "outcome": "not_asked", "reason": "there is no music library"},
            {"source": "memory", "outcome": "found"},
            {"source": "shazam", "outcome": "not_asked", "reason": "it was recognised earlier"},
        ],
        "windows": [{"start_s": 1.0, "end_s": 13.0, "music_s": 12.0, "speech_s": 4.0}],
        "sound": "accompaniment", "library_revision": "ab:12",
    },
    "keyframes": {
        "frames": [{"time_s": 0.0, "kinds": ["iframe", "sampled"]},
                   {"time_s": 1.0, "kinds": ["sampled"]},
                   {"time_s": 2.25, "kinds": ["highlight"]}],
        "width": 144, "height": 256,
    },
    "quality": {
        "frames": [
            {"time_s": 0.0, "luma": 100.0, "contrast": 40.0, "sharpness": 300.0,
             "dark_share": 0.1, "bright_share": 0.0, "exposure": "good", "colourfulness": 30.0,
             "score": 0.8, "verdict": "kept"},
            {"time_s": 1.0, "luma": 110.0, "contrast": 42.0, "sharpness": 310.0,
             "dark_share": 0.1, "bright_share": 0.0, "exposure": "good", "colourfulness": 31.0,
             "score": 0.7, "verdict": "kept"},
            {"time_s": 2.25, "luma": 3.0, "contrast": 1.0, "sharpness": 0.0,
             "dark_share": 1.0, "bright_share": 0.0, "exposure": "under", "colourfulness": 0.0,
             "score": 0.0, "verdict": "black"},
        ],
        "kept_s": [0.0, 1.0], "black_below": 20.0, "blurred_below": 45.0,
    },
    "similarity": {
        "groups": [{"time_s": 0.0, "stands_for": [{"time_s": 1.0, "ssim": 0.93}]}],
        "kept_s": [0.0],
    },
    "stills": {
        "folder": "1", "frames": [{"time_s": 0.0, "file": "0.000000.jpg", "width": 320,
                                   "height": 568, "size_bytes": 9000}],
    },
    "shots": {
        "cuts": [{"time_s": 2.0, "kind": "cut", "score": 7.0},
                 {"time_s": 9.0, "kind": "fade", "score": 1.0}],
        "shots": [{"start_s": 0.0, "end_s": 2.0}, {"start_s": 2.0, "end_s": 9.0},
                  {"start_s": 9.0, "end_s": 13.0}],
        "cuts_per_minute": 9.230769, "mean_shot_s": 4.333333,
        "hook": {"end_s": 3.0, "cuts": 1, "first_cut_s": 2.0, "motion": 12.5, "luma": 100.0,
                 "contrast": 40.0, "colourfulness": 30.0, "speech_share": 0.8,
                 "speech_starts_s": 0.5, "music_share": 0.0},
    },
    "text": {
        "frames": [{"time_s": 0.0, "lines": [{"text": "SALE", "confidence": 0.9, "box": BOX}]}],
        "appearances": [
            {"text": "SALE", "start_s": 0.0, "end_s": 2.0, "confidence": 0.9, "box": BOX,
             "frames": 2},
            {"text": "now | -50 %", "start_s": 1.0, "end_s": 3.0, "confidence": 0.8, "box": BOX,
             "frames": 2},
            {"text": "SALE", "start_s": 5.0, "end_s": 6.5, "confidence": 0.9, "box": BOX,
             "frames": 1},
        ],
    },
    "detect": {
        "frames": [{"time_s": 0.0, "objects": [
            {"label": "person", "confidence": 0.9, "box": [0.0, 0.0, 320.0, 568.0]},
            {"label": "lipstick", "confidence": 0.5, "box": [100.0, 200.0, 120.0, 260.5]},
        ]}],
        "objects": [
            {"label": "person", "product": False, "seconds": 13.1, "first_s": 0.0,
             "last_s": 13.1, "frames": 1, "confidence": 0.9, "most_at_once": 1,
             "area_share": 1.0},
            {"label": "lipstick", "product": True, "seconds": 2.25, "first_s": 0.0,
             "last_s": 2.25, "frames": 1, "confidence": 0.5, "most_at_once": 1,
             "area_share": 0.006654},
        ],
    },
    "embed": {
        "model": "ViT-B-32", "dimensions": 2, "file": "embeddings.npz", "size_bytes": 900,
        "sha256": "cd" * 32, "frames": [{"time_s": 0.0, "product_relevance": 0.7}],
        "mean": [0.6, -0.8], "product_relevance": 0.7,
        "products": [
            {"label": "lipstick", "similarity": 0.31, "time_s": 0.0, "probability": 0.6},
            {"label": "mascara", "similarity": 0.28, "time_s": 0.0, "probability": 0.2},
        ],
        "categories": [{"level": 1, "name": "Beauty", "confidence": 0.8},
                       {"level": 2, "name": "Make-up", "confidence": 0.5}],
        "level_1": [{"level": 1, "name": "Beauty", "confidence": 0.8},
                    {"level": 1, "name": "Home", "confidence": 0.2}],
    },
    "choose": {
        "method": "signal",
        "frames": [
            {"time_s": 1.0, "score": 0.5, "reason": "text", "file": "chosen 1.jpg", "width": 576,
             "height": 1024, "bytes_before": 9000, "bytes_after": 4000},
            {"time_s": 0.0, "score": 0.9, "reason": "sharpest", "file": "chosen_0.jpg",
             "width": 576, "height": 1024, "bytes_before": 9000, "bytes_after": 4000},
        ],
    },
    "caption": {
        "frames": [{"time_s": 0.0, "file": "chosen_0.jpg", "text": "a woman holding a bottle"},
                   {"time_s": 1.0, "file": "chosen 1.jpg", "text": "a red bottle"}],
    },
    "campaign": {
        "engine": "fingerprint", "threshold": 95, "matched": True, "similarity": 99.75,
        "campaign_id": "=spring", "track": "a/song.mp3", "start_s": 1.5, "end_s": 9.0,
        "offset_s": 30.25, "tempo": 1.06, "pitch": 1.0,
    },
    "sound_group": {"group": "berta/7", "videos": 3, "offset_s": 12.5, "tempo": 0.8},
    "describe": {
        "model": "gpt-4o-2024-08-06", "mode": "live",
        "dimensions": {
            "description": {"value": "A woman shows a lipstick.", "confidence": 0.9,
                            "evidence": []},
            "category": {
                "value": {"level_1": "Beauty", "level_2": "Make-up", "level_3": None,
                          "level_1_confidence": 0.9, "level_2_confidence": 0.7,
                          "level_3_confidence": None},
                "confidence": 0.8,
                "evidence": [{"source": "frame", "time_s": 1.0, "quote": None, "found": True}],
            },
            "creative_ideas": {"value": ["before and after", "=speaks to the camera"],
                               "confidence": 0.6,
                               "evidence": [{"source": "speech", "time_s": 0.5,
                                             "quote": "look at this", "found": False}]},
            "selling_points": {
                "value": [{"product": "lipstick", "brand": None, "claim": "It stays on all day.",
                           "evidence": [{"source": "speech", "time_s": 0.5, "quote": "all day",
                                         "found": True}]}],
                "confidence": 0.7, "evidence": [],
            },
            "brand_safety": {"value": [], "confidence": 0.9, "evidence": []},
        },
        "missing": ["tone"], "truncated": True, "repairs": ["trailing comma"], "refusal": None,
        "images": [{"time_s": 1.0, "file": "chosen 1.jpg", "width": 432, "height": 768,
                    "bytes_before": 4000, "bytes_after": 2500}],
        "usage": {"requests": 2, "input_tokens": 1500, "cached_input_tokens": 0,
                  "output_tokens": 400, "cost_usd": 0.00775},
    },
}  # fmt: skip

Make = Callable[..., VideoRecord]


def complete(kind: type[Value], given: dict[str, Any]) -> Value:
    """A value of `kind`; required keys that the samples do not name are None, 0 or empty."""
    data = deepcopy(given)
    filled: set[tuple[int | str, ...]] = set()
    for candidate in (None, 0, "", (), {}):
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            for problem in error.errors():
                where = problem["loc"]
                assert problem["type"] == "missing" or where in filled, problem
                filled.add(where)
                _put(data, where, candidate)
    return kind.model_validate(data)


def _put(data: Any, where: tuple[int | str, ...], value: object) -> None:
    for part in where[:-1]:
        data = data[part]
    data[where[-1]] = value


def make_record(
    creator: str = "anna", video_id: str = "1", *, without: tuple[str, ...] = (), **changes: Any
) -> VideoRecord:
    """A record; `changes` are stage -> dict of changed keys, or a StageRecord."""
    stages: dict[str, StageRecord] = {}
    for number, (name, kind) in enumerate({**STAGE_VALUES, **LATER_VALUES}.items()):
        change = changes.get(name, {})
        if name in without:
            continue
        if isinstance(change, StageRecord):
            stages[name] = change
            continue
        stages[name] = StageRecord(
            status="ok",
            key=f"{number:064x}",
            engine="reelscope 1",
            seconds=0.25,
            finished_at=datetime(2024, 6, 1, tzinfo=UTC),
            value=complete(kind, {**VALUES.get(name, {}), **change}),
        )
    source = VideoSource(
        creator=creator, video_id=video_id, path=f"videos/{creator}/{video_id}.mp4",
        frames_id=video_id,
    )  # fmt: skip
    return VideoRecord(source=source, stages=stages)


FAILED = StageRecord(status="failed", key="0" * 64, engine="reelscope 1", kind="unreadable",
                     message="no stream | in it <b>", retryable=False)  # fmt: skip
SKIPPED = StageRecord(status="skipped", key="0" * 64, engine="reelscope 1",
                      reason="the video has no audio stream")  # fmt: skip


@pytest.fixture(scope="session")
def make() -> Make:
    return make_record


@pytest.fixture
def failed() -> StageRecord:
    return FAILED


@pytest.fixture
def skipped() -> StageRecord:
    return SKIPPED
