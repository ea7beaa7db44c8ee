"""The table of columns against a record whose numbers are known."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from reelscope.export.column import Cell
from reelscope.export.columns import columns, in_order, stages_in_order
from reelscope.export.columns import flat_row as row_of
from reelscope.records import LATER_VALUES, STAGE_VALUES, StageRecord, VideoRecord, Voice
from reelscope.settings import Describe

Make = Callable[..., VideoRecord]
COLUMNS = columns(Describe().dimensions)
ENTRIES = (*STAGE_VALUES, *LATER_VALUES)


def flat_row(record: VideoRecord) -> dict[str, Cell]:
    return row_of(record, COLUMNS)


def test_names_are_unique_and_every_column_is_explained() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    for column in COLUMNS:
        assert column.name.replace("_", "").isalnum()
        assert column.name == column.name.lower()
        assert column.description.endswith((".", "..."))
        assert column.stage in {*ENTRIES, "source", "record"}
    assert {column.stage for column in COLUMNS} == {*ENTRIES, "source", "record"}


def test_suffixes_agree_with_units() -> None:
    units = {"_s": "s", "_hz": "Hz", "_bps": "bit/s", "_lufs": "LUFS", "_dbtp": "dBTP",
             "_share": "0-1", "_score": "1-10", "_bytes": "bytes"}  # fmt: skip
    for column in COLUMNS:
        for suffix, unit in units.items():
            assert not column.name.endswith(suffix) or column.unit == unit, column.name


def test_every_column_has_its_value(make: Make) -> None:
    row = flat_row(make())
    assert list(row) == [column.name for column in COLUMNS]
    known = {
        "schema_version": 1, "creator": "anna", "video_id": "1", "url": None, "frames_folder": "1",
        "platform": "tiktok", "hashtags": "run städte", "mentions": None, "kind": "photo",
        "author_id": "9", "author_username": "anna.runs", "author_nickname": "Anna 🌻",
        "author_verified": False, "author_followers": 1200, "platform_duration_s": 12.5,
        "counts_snapshots": 2, "music_album": None, "effects": "Green Screen | Slow, zoom",
        "stickers": "Day 1 | =1+1", "is_paid_partnership": True,
        "posted_at": datetime(2024, 5, 1, 10, tzinfo=UTC), "plays": 10_000_000_000, "likes": 0,
        "comments": None, "music_original": False, "is_ad": True, "is_ai_generated": None,
        "counts_taken_at": datetime(2024, 5, 2, 0, 0, 0, 500_000, tzinfo=UTC),
        "duration_s": 13.1, "fps": 29.97003, "variable_frame_rate": False, "complete": True,
        "speech_s": 4.5, "speech_segments": 2, "speech_starts_s": 0.5,
        "events_music_s": 3.25, "events_music_share": 0.25, "events_speech_over_music_share": 0.75,
        "events_silence_share": 0.0, "loudness_lufs": -23.1,
        "separated": True, "separated_share": 0.5, "sounds_count": 2,
        "sounds": "Music 0.0-13.0 s | Laughter 2.5-5.0 s",
        "music_found_by": "memory", "music_library_id": "long", "music_library_title": "Long",
        "music_library_start_s": 1.0, "music_library_offset_s": 60.5,
        "music_library_time_skew": 0.25, "music_library_others": "Short",
        "speech_rate_wpm": None, "rate_category": "normal", "mean_pause_s": 1.0,
        "frames": 3, "frames_iframe": 1, "frames_sampled": 2, "frames_highlight": 1,
        "frames_kept": 2, "frames_black": 1, "frames_blurred": 0, "mean_luma": 105.0,
        "mean_quality": 0.75, "frames_distinct": 1, "frames_near_duplicate": 1, "stills": 1,
        "shots": 3, "cuts": 1, "fades": 1, "hook_cuts": 1, "hook_first_cut_s": 2.0,
        "texts": "SALE | now | -50 %", "text_appearances": 3, "text_s": 4.5, "text_starts_s": 0.0,
        "objects": "person 13.1 s | lipstick 2.2 s", "object_kinds": 2, "product_kinds": 1,
        "longest_product_s": 2.25,
        "category": "Beauty > Make-up", "category_2": "Make-up", "category_2_confidence": 0.5,
        "category_3": None, "category_3_confidence": None, "product_relevance": 0.7,
        "likely_products": "lipstick | mascara", "embedding_model": "ViT-B-32",
        "chosen_frames": 2, "chosen_times_s": "1.0 0.0",
        "frame_captions": "a woman holding a bottle | a red bottle",
        "campaign_id": "=spring", "campaign_similarity": 99.75, "campaign_track": "a/song.mp3",
        "campaign_start_s": 1.5, "campaign_tempo": 1.06, "status_campaign": "ok",
        "sound_group": "berta/7", "sound_group_videos": 3, "sound_group_offset_s": 12.5,
        "failed_stages": None, "skipped_stages": None, "analysis_s": 0.25 * len(ENTRIES),
        "status_voice": "ok",
    }  # fmt: skip
    assert {name: row[name] for name in known} == known


def test_values_have_the_type_of_their_column(make: Make) -> None:
    types = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "time": datetime}
    row = flat_row(make())
    for column in COLUMNS:
        value = row[column.name]
        assert value is None or isinstance(value, types[column.type]), column.name
        assert column.type == "boolean" or not isinstance(value, bool), column.name


def test_a_stage_without_a_value_leaves_its_columns_empty(
    make: Make, failed: StageRecord, skipped: StageRecord
) -> None:
    row = flat_row(make(voice=skipped, text=failed, without=("shots", "quality")))
    for column in COLUMNS:
        if column.stage in {"voice", "text", "shots", "quality"}:
            assert row[column.name] is None, column.name
    assert (row["status_voice"], row["status_text"]) == ("skipped", "failed")
    assert row["status_shots"] is None
    assert (row["failed_stages"], row["skipped_stages"]) == ("text", "voice")


def test_below_the_threshold_no_campaign_is_named(make: Make) -> None:
    row = flat_row(make(campaign={"matched": False, "similarity": 60.0}))
    assert (row["campaign_similarity"], row["campaign_engine"]) == (60.0, "fingerprint")
    assert [row[f"campaign_{key}"] for key in ("id", "track", "start_s", "offset_s")] == [None] * 4


def test_a_record_of_nothing_has_a_row(make: Make) -> None:
    row = flat_row(make(without=ENTRIES))
    assert {name for name, value in row.items() if value is not None} == {
        "schema_version", "creator", "video_id", "path", "frames_folder", "analysis_s",
    }  # fmt: skip


def test_ok_with_nothing_in_it_is_zero_not_empty(make: Make) -> None:
    silent = {"segments": [], "duration_s": 0.0, "speech_s": 0.0, "speech_share": 0.0}
    row = flat_row(
        make(
            voice=silent,
            events={"timeline": [], "duration_s": 0.0},
            separate={"applied": False, "spans": [], "seconds": 0.0, "duration_s": 0.0},
            sounds={"tags": [], "timeline": [], "windows": 0},
            quality={"frames": [], "kept_s": []},
            text={"frames": [], "appearances": []},
            choose={"frames": []},
        )
    )
    assert (row["speech_s"], row["speech_segments"], row["speech_starts_s"]) == (0.0, 0, None)
    assert row["events_music_share"] is None
    assert (row["separated"], row["separated_share"]) == (False, None)
    assert (row["sounds"], row["sounds_count"]) == (None, 0)
    assert (row["frames_kept"], row["mean_luma"]) == (0, None)
    assert (row["texts"], row["text_s"], row["text_starts_s"]) == (None, 0.0, None)
    assert (row["chosen_frames"], row["chosen_times_s"]) == (0, None)


def test_a_time_at_the_end_of_time_is_left_out(make: Make) -> None:
    row = flat_row(make(platform={"posted_at": "9999-12-31T23:59:59-12:00", "counts": None}))
    assert row["posted_at"] is None
    assert row["counts_taken_at"] is None
    naive = flat_row(make(platform={"posted_at": "2024-05-01T12:00:00"}))
    assert naive["posted_at"] == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_a_value_needs_an_ok(make: Make, failed: StageRecord) -> None:
    assert isinstance(make().value(Voice), Voice)
    assert make(voice=failed).value(Voice) is None


def test_a_sequence_is_sorted_and_a_stream_has_to_be(make: Make) -> None:
    records = [make("b", "1"), make("a-", "2"), make("a", "2"), make("a", "10")]
    ordered = [(r.source.creator, r.source.video_id) for r in in_order(records)]
    assert ordered == [("a", "10"), ("a", "2"), ("a-", "2"), ("b", "1")]
    assert len(list(in_order(iter(sorted(records, key=lambda r: r.source.creator)[2:])))) == 2
    with pytest.raises(ValueError, match="in order"):
        list(in_order(iter(records)))


def test_stages_come_in_one_order_whatever_ended_first(make: Make) -> None:
    record = make()
    turned = record.model_copy(update={"stages": dict(reversed(record.stages.items()))})
    assert stages_in_order(turned) == stages_in_order(record)
