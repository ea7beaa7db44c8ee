"""What lies beside a video, believed only where it has the right type."""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelscope.crawl.sidecar import MAX_BYTES, read_sidecar
from reelscope.records import Platform, VideoSource

FULL: dict[str, Any] = {
    "name": "tiktok",
    "caption": "Morning run 🏃\nsecond line",
    "hashtags": ["run", "städte"],
    "mentions": ["berta"],
    "posted_at": 1_700_000_000,
    "region": "DE",
    "counts": {"plays": 10_000_000_000, "likes": 5, "taken_at": "2024-05-01T12:00:00+02:00"},
    "music": {"id": "7", "title": "Song", "author": "Carla", "original": False, "album": "A",
              "duration_s": 30.5, "play_url": "https://example.org/s"},
    "subtitles": ["good morning"],
    "kind": "photo",
    "duration_s": 12.25,
    "author": {"id": "9", "username": "ana", "nickname": "Ana 🌻", "verified": True,
               "followers": 1200},
    "effects": ["Green Screen"],
    "stickers": ["Day 1"],
    "cover_url": "https://example.org/c",
    "counts_before": [],
    "is_ad": True,
    "is_paid_partnership": True,
    "is_ai_generated": False,
}  # fmt: skip


def read(folder: Path, data: object) -> Platform:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    (folder / "v.json").write_bytes(raw)
    return read_sidecar(folder / "v.mp4")


def test_every_field_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, FULL)
    assert found.counts is not None
    assert found.counts.plays == 10_000_000_000
    assert found.counts.taken_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert found.posted_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    given = {**FULL, "posted_at": None, "counts": None}
    got = found.model_dump(mode="json") | {"posted_at": None, "counts": None}
    assert got == given


def test_without_a_sidecar_it_is_from_a_folder(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "v.mp4") == Platform(name="folder")


def test_a_key_of_the_wrong_type_costs_that_key_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"caption": 3, "hashtags": ["a", 7], "posted_at": "soon", "is_ad": "perhaps",
           "counts": {"plays": -1, "likes": 2**70, "shares": "12", "saves": 4}, "music": "Song",
           "unknown": {"deep": 1}, "region": None}  # fmt: skip
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path, {**FULL, **bad})
    assert found.caption is found.posted_at is found.is_ad is found.music is found.region is None
    assert found.hashtags == ()
    assert found.mentions == ("berta",)
    assert found.counts is not None
    assert found.counts.model_dump(exclude_none=True) == {"shares": 12, "saves": 4}
    assert "counts.plays is ignored" in caplog.text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"caption": NaN}',
        b"[" * 100_000,
        b'{"counts":' * 50_000,
        b"9" * 10_000,
        b'{"caption": "' + b"x" * MAX_BYTES + b'"}',
        b'{"name": 7}',
        b'{"name": null, "counts": {"taken_at": "9999-12-31T23:00:00-12:00"}}',
    ],
)
def test_hostile_files_are_ignored(
    tmp_path: Path, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    found = read(tmp_path, raw)
    assert found.name == "folder"
    assert found.caption is None
    if b"null" not in raw:
        assert str(tmp_path / "v.json") in caplog.text


def test_texts_are_cut_and_lose_control_characters(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "caption": "a\x00b\x1b[31m\ud800c\n" + "x" * 50_000,
            "hashtags": ["y" * 5_000, *["y"] * 5_000],
            "music": {"title": "z\x07" * 5_000},
        },
    )
    assert found.caption is not None
    assert found.caption.startswith("ab[31mc\nxxx")
    assert len(found.caption) == 10_000
    assert len(found.hashtags) == 1_000
    assert len(found.hashtags[0]) == 1_000
    assert found.music is not None
    assert found.music.title == "z" * 1_000


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.json")
    (tmp_path / "w.json").mkdir()
    assert read_sidecar(tmp_path / "v.mp4").name == "folder"
    assert read_sidecar(tmp_path / "w.mp4").name == "folder"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["plays", "title", "taken_at", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(list(FULL)), json_values))
def test_whatever_it_says_a_record_can_be_saved(tmp_path: Path, data: dict[str, Any]) -> None:
    found = read(tmp_path, data)
    source = VideoSource(creator="a", video_id="v", frames_id="v", platform=found)
    assert VideoSource.model_validate_json(source.model_dump_json()) == source


def test_a_name_too_long_for_a_sidecar_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tmp_path / ("v" * 251 + ".mp4")  # 255 bytes, the most; with .json it is one more
    video.write_bytes(b"")
    assert read_sidecar(video) == Platform(name="folder")
    assert not caplog.records
