"""Facts: only what is there, cut to a length, and words that stand in the text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.description.facts import STAGES, Facts, facts_of
from reelscope.records import (
    Captions,
    CategoryMatch,
    Detections,
    Embedding,
    Events,
    Hook,
    Loudness,
    ObjectOnScreen,
    OnScreenText,
    Platform,
    PlatformMusic,
    Shots,
    Sounds,
    SoundTag,
    SpeechSegment,
    StageRecord,
    TextAppearance,
    Transcript,
    TranscriptSegment,
    Value,
    VideoRecord,
    VideoSource,
    Voice,
)

ROOM = 100_000
SOURCE = VideoSource(creator="amy", video_id="1", frames_id="1")
BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def record(*values: Value) -> VideoRecord:
    stages = {v.stage: StageRecord(status="ok", key="k", engine="e", value=v) for v in values}
    return VideoRecord(source=SOURCE, stages=stages)


def platform(**more: Any) -> Platform:
    return Platform(**{"name": "tiktok", **more})


def transcript(*said: tuple[float, str], flags: Any = (), **more: Any) -> Transcript:
    segments = tuple(
        TranscriptSegment(
            start_s=start, end_s=start + 1, text=text, raw_text=text, words=(), avg_logprob=None,
            no_speech_probability=None, compression_ratio=None, flags=flags,
        )
        for start, text in said
    )  # fmt: skip
    filled = {
        "text": "", "raw_text": "", "language": "en" if said else None, "sound": "mix",
        "language_probability": None, "tried": (), "accuracy": "normal", **more,
    }  # fmt: skip
    return Transcript(segments=segments, **filled)


def voice(*spans: tuple[float, float]) -> Voice:
    segments = tuple(SpeechSegment(start_s=a, end_s=b, probability=0.9) for a, b in spans)
    return Voice(segments=segments, duration_s=9.0, speech_s=len(spans), speech_share=0.5)


def screen_text(*shown: tuple[float, str]) -> OnScreenText:
    return OnScreenText(
        frames=(),
        appearances=tuple(
            TextAppearance(
                text=text, start_s=start, end_s=start + 1.5, confidence=0.9, box=BOX, frames=1
            )
            for start, text in shown
        ),
    )


def objects(*labels: str) -> Detections:
    return Detections(
        frames=(),
        objects=tuple(
            ObjectOnScreen(
                label=label, product=at == 0, seconds=2.0, first_s=1.0, last_s=3.0, frames=2,
                confidence=0.5, most_at_once=1, area_share=0.2,
            )
            for at, label in enumerate(labels)
        ),
    )  # fmt: skip


def sounds(*labels: str) -> Sounds:
    tags = tuple(SoundTag(label=x, start_s=0.25, end_s=3.0, confidence=0.5) for x in labels)
    return Sounds(tags=tags, timeline=(), windows=3)


def events(**seconds: float) -> Events:
    silent = Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None)
    return Events.model_validate(
        {"timeline": (), "duration_s": 9.0, "seconds": seconds, "loudness": silent}
    )


def shown(facts: Facts) -> dict[str, Any]:
    read = json.loads(facts.text)
    assert isinstance(read, dict)
    return read


def test_of_a_video_of_which_nothing_is_known_nothing_is_said() -> None:
    assert facts_of(record(), ROOM) == Facts(text="{}", words={})


def test_stages_that_failed_say_nothing() -> None:
    failed = StageRecord(status="failed", key="k", engine="e", value=transcript((0.0, "Hi")))
    assert facts_of(VideoRecord(source=SOURCE, stages={"transcribe": failed}), ROOM).text == "{}"


def test_the_stages_that_are_read() -> None:
    read = set[str]()

    class Watched(dict[str, StageRecord]):
        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return super().get(name, default)

    watched = record(platform()).model_copy(update={"stages": Watched()})
    facts_of(watched, ROOM)
    assert read == set(STAGES)


def test_all_parts() -> None:
    hook = Hook(
        end_s=3.0, cuts=2, first_cut_s=0.7, motion=12.345, luma=1.0, contrast=1.0,
        colourfulness=1.0, speech_share=None, speech_starts_s=None, music_share=1 / 3,
    )  # fmt: skip
    facts = facts_of(
        record(
            platform(
                caption="Best serum\never", hashtags=("skin", "ad"), region="DE", is_ad=True,
                posted_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
                music=PlatformMusic(title="Song", author="Carla", original=False),
                subtitles=("not needed",),
            ),
            transcript((0.333333, "Look at this."), (2.0, "Buy it!")),
            screen_text((1.23456, "-50 %")),
            objects("bottle", "person"),
            Captions.model_validate(
                {"frames": [{"time_s": 1.0, "file": "1.jpg", "text": "a woman with a bottle"}]}
            ),
            sounds("Laughter"),
            events(speech=4.005, music=0.0),
            Shots(cuts=(), shots=(), cuts_per_minute=24.123456, mean_shot_s=2.5, hook=hook),
        ),
        ROOM,
    )  # fmt: skip
    assert list(shown(facts).items()) == [
        ("caption", {"texts": ["Best serum ever", "#skin", "#ad"]}),
        ("speech", {"language": "en", "segments": [
            {"start_s": 0.33, "text": "Look at this."}, {"start_s": 2.0, "text": "Buy it!"}]}),
        ("screen_text", {"appearances": [{"start_s": 1.23, "end_s": 2.73, "text": "-50 %"}]}),
        ("post", {"platform": "tiktok", "posted_at": "2026-01-02T03:04:05+00:00",
                  "region": "DE", "labelled_as_ad": True}),
        ("object", {"objects": [
            {"label": "bottle", "first_s": 1.0, "seconds": 2.0, "product": True},
            {"label": "person", "first_s": 1.0, "seconds": 2.0}]}),
        ("frame_captions", {"note": "by a small model, often wrong in detail",
                            "frames": [{"time_s": 1.0, "text": "a woman with a bottle"}]}),
        ("sound", {"seconds": {"speech": 4.0}, "sounds": [
            {"label": "Laughter", "start_s": 0.25, "end_s": 3.0}]}),
        ("music", {"title": "Song", "author": "Carla", "original_sound": False}),
        ("editing", {"cuts": 0, "cuts_per_minute": 24.12,
                     "hook": {"end_s": 3.0, "cuts": 2, "motion": 12.35, "music_share": 0.33}}),
    ]  # fmt: skip
    assert facts.words == {
        "caption": ((None, "Best serum ever"), (None, "#skin"), (None, "#ad")),
        "speech": ((0.33, "Look at this."), (2.0, "Buy it!")),
        "screen_text": ((1.23, "-50 %"),),
        "object": ((1.0, "bottle"), (1.0, "person")),
        "sound": ((None, "speech"), (0.25, "Laughter")),
        "music": ((None, "Song"), (None, "Carla")),
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([transcript(), voice()], {"note": "nobody speaks"}),
        ([voice()], {"note": "nobody speaks"}),
        ([transcript(), voice((0, 1))],
         {"speech_seconds": 1.0, "note": "no words were understood"}),
        ([voice((0, 1))], {"speech_seconds": 1.0, "note": "nobody wrote down what is said"}),
        ([transcript((0.0, " \u200b"))], {"note": "no words were understood"}),
        ([transcript((0.0, "Hi"), accuracy="low")],
         {"language": "en", "note": "low accuracy: many words are wrong",
          "segments": [{"start_s": 0.0, "text": "Hi"}]}),
        ([transcript((0.0, "Thanks."), flags=("no_voice",))],
         {"language": "en", "segments": [{"start_s": 0.0, "text": "Thanks.", "doubtful": True}]}),
        ([platform(subtitles=("One", "Two")), transcript()],
         {"note": "subtitles of the platform", "segments": ["One", "Two"]}),
    ],
)  # fmt: skip
def test_speech(values: list[Value], said: dict[str, Any]) -> None:
    assert shown(facts_of(record(*values), ROOM))["speech"] == said


def test_stickers_stand_in_for_a_screen_that_nobody_read() -> None:
    post = platform(stickers=("Day 1", " \u200b", "Buy it"), is_paid_partnership=True)
    facts = facts_of(record(post), ROOM)
    assert shown(facts)["screen_text"] == {
        "note": "stickers that the platform names; nobody read the screen",
        "texts": ["Day 1", "Buy it"],
    }
    assert facts.words["screen_text"] == ((None, "Day 1"), (None, "Buy it"))
    assert shown(facts)["post"]["labelled_as_paid_partnership"] is True
    assert (
        "appearances"
        in shown(facts_of(record(post, screen_text((1.0, "SALE"))), ROOM))["screen_text"]
    )
    assert "screen_text" not in shown(facts_of(record(platform(stickers=(" ",))), ROOM))


def test_what_was_looked_for_and_not_found_is_said() -> None:
    nothing = record(platform(caption=""), screen_text(), objects(), sounds(), events(silence=9.0))
    assert shown(facts_of(nothing, ROOM)) == {
        "caption": {"note": "nothing is written under the video"},
        "screen_text": {"note": "no writing was found on the screen"},
        "post": {"platform": "tiktok"},
        "object": {"note": "none of the known things was found"},
        "sound": {"seconds": {"silence": 9.0}, "note": "no sound was named"},
    }
    assert facts_of(nothing, ROOM).words == {"sound": ((None, "silence"),)}


def test_guesses_are_no_evidence() -> None:
    embedding = Embedding(
        model="m", dimensions=0, file=None, size_bytes=None, sha256=None, frames=(), mean=(),
        product_relevance=None, products=(), level_1=(),
        categories=(CategoryMatch(level=1, name="Beauty", confidence=0.777),),
    )  # fmt: skip
    facts = facts_of(record(embedding), ROOM)
    assert shown(facts)["guesses"]["names"] == [{"category": "Beauty", "probability": 0.78}]
    assert facts.words == {}


def test_of_long_speech_the_beginning_and_the_end_are_given() -> None:
    said = [(float(at), f"sentence number {at}") for at in range(120)]
    facts = facts_of(record(platform(caption="short"), transcript(*said)), 2000)
    speech = shown(facts)["speech"]
    times = [segment["start_s"] for segment in speech["segments"]]
    half = len(times) // 2
    assert 20 < len(times) < 50
    assert speech["cut"] == f"{len(times)} of 120 segments given"
    assert times == [float(at) for at in (*range(len(times) - half), *range(120 - half, 120))]
    assert 1900 < len(facts.text) <= 2000
    assert [time for time, _ in facts.words["speech"]] == times


def test_what_a_short_part_does_not_need_goes_to_the_long_ones() -> None:
    texts = [(float(at), "text " * 4) for at in range(200)]
    alone = facts_of(record(screen_text(*texts)), 3000)
    beside = facts_of(record(screen_text(*texts), objects("a"), platform(caption="b")), 3000)
    assert len(alone.words["screen_text"]) - len(beside.words["screen_text"]) < 10


def test_a_text_longer_than_its_room_is_shortened_and_says_so() -> None:
    facts = facts_of(record(platform(caption='word " ' * 1000, hashtags=("ad",))), 500)
    caption = shown(facts)["caption"]
    assert caption["cut"] == "1 of 2 texts given, shortened"
    assert 300 < len(facts.text) <= 500
    assert facts.words["caption"] == ((None, caption["texts"][0]),)


def test_many_short_entries_fit_with_what_stands_between_them() -> None:
    facts = facts_of(record(platform(caption="c", hashtags=("a",) * 5000)), 3000)
    assert 2900 < len(facts.text) <= 3000


def test_parts_without_room_are_named() -> None:
    everything = record(
        platform(caption="c", music=PlatformMusic(title="t" * 150)), screen_text((0.0, "s")),
        transcript((0.0, "hello")), objects("o"), sounds("s"), voice(),
    )  # fmt: skip
    read = shown(facts_of(everything, 500))
    assert read["left_out"] == ["object", "sound", "music"]
    assert read["speech"]["segments"]
    long = record(platform(caption="word " * 99), transcript((0.0, "hello " * 99)), sounds("s"))
    read = shown(facts_of(long, 500))
    assert min(len(read["caption"]["texts"][0]), len(read["speech"]["segments"][0]["text"])) > 60
    assert facts_of(everything, 60).text == "{}"


def test_invisible_text_does_not_get_in() -> None:
    hidden = "".join(chr(0xE0000 + ord(char)) for char in "obey")
    facts = facts_of(record(platform(caption=f"nice{hidden}\u202e\ud800")), ROOM)
    assert facts.words["caption"] == ((None, "nice"),)
    facts.text.encode()


TEXTS = st.text(st.characters(exclude_categories=()), max_size=60)
TIMES = st.floats(0, 1000)
SAID = st.lists(st.tuples(TIMES, TEXTS), max_size=12)
LABELS = st.lists(TEXTS, max_size=8)
VALUES = st.tuples(
    st.builds(
        platform,
        caption=st.none() | st.text(st.characters(exclude_categories=()), max_size=2000),
        hashtags=LABELS.map(tuple),
        region=st.none() | TEXTS,
        is_ad=st.none() | st.booleans(),
        subtitles=LABELS.map(tuple),
        music=st.none() | st.builds(PlatformMusic, title=TEXTS, author=TEXTS),
    ),
    SAID.map(lambda said: transcript(*said)),
    SAID.map(lambda said: screen_text(*said)),
    LABELS.map(lambda labels: objects(*labels)),
    LABELS.map(lambda labels: sounds(*labels)),
    st.builds(events, speech=TIMES, music=TIMES),
)


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in strings(item)]


@given(VALUES, st.sets(st.integers(0, 5)), st.integers(2, 3000))
def test_any_record_fits_and_its_words_stand_in_it(
    values: tuple[Value, ...], which: set[int], max_chars: int
) -> None:
    facts = facts_of(record(*(values[at] for at in which)), max_chars)
    assert len(facts.text) <= max_chars
    assert "<<<" not in facts.text
    read = shown(facts)
    for source, words in facts.words.items():
        # kinds of sound are keys, all else are values
        there = {*strings(read[source]), *read[source].get("seconds", ())}
        assert words
        assert {text for _, text in words} <= there


@given(VALUES)
def test_with_room_enough_nothing_is_cut(values: tuple[Value, ...]) -> None:
    whole = facts_of(record(*values), ROOM)
    assert not {"left_out"} & set(shown(whole))
    assert '"cut": ' not in whole.text
    # the notes of what is cut are reckoned with, so a little more than the text is enough
    assert facts_of(record(*values), len(whole.text) + 60 * 12) == whole
