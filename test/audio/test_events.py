"""The timeline: its shape always, its kinds on made scenes and real recordings, bad input."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.io import wavfile

from reelscope.audio.events import (
    BOTH,
    KINDS,
    MUSIC,
    OTHER,
    SILENCE,
    SPEECH,
    Chances,
    EventsStage,
    absorb,
    make_timeline,
    novelty,
    seconds_of,
    smooth,
    voice_at,
)
from reelscope.audio.voice import VoiceStage
from reelscope.engines.silero import SileroDetector
from reelscope.media.clip import Clip
from reelscope.records import (
    Event,
    Events,
    Ok,
    Outcome,
    Skipped,
    SpeechSegment,
    StageRecord,
    VideoRecord,
    VideoSource,
    Voice,
)
from reelscope.settings import Events as Settings
from reelscope.settings import Media
from reelscope.settings import Voice as VoiceSettings
from reelscope.testing.media import Scene, write_sound, write_video
from reelscope.testing.sounds import mix, music_like, noise, sequence, silence, tone
from reelscope.testing.speech import speech_like

Sound = NDArray[np.float32]
RATE = 44100
ALL_KINDS = {"speech", "music", "speech_over_music", "other", "silence"}


@pytest.fixture(scope="module")
def detector() -> SileroDetector:
    one = SileroDetector()
    one.open()
    return one


def listen(
    path: Path, detector: SileroDetector, *, voice: bool = True, settings: Settings | None = None
) -> Outcome:
    source = VideoSource(creator="c", video_id="v", frames_id="v", path=str(path))
    with Clip(source, VideoRecord(source=source), Media(), frames_root=path.parent) as clip:
        if voice:
            (heard,) = VoiceStage(VoiceSettings(), detector).run([clip])
            assert isinstance(heard, Ok)
            clip.record = clip.record.with_stage(
                "voice", StageRecord(status="ok", key="k", engine="e", value=heard.value)
            )
        (outcome,) = EventsStage(settings or Settings()).run([clip])
    return outcome


def heard(path: Path, detector: SileroDetector, settings: Settings | None = None) -> Events:
    outcome = listen(path, detector, settings=settings)
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Events)
    check_shape(outcome.value, (settings or Settings()).min_event_s)
    return outcome.value


def check_shape(events: Events, min_event_s: float) -> None:
    check_timeline(events.timeline, events.duration_s, min_event_s)
    assert set(events.seconds) == ALL_KINDS
    assert sum(events.seconds.values()) == pytest.approx(events.duration_s, abs=1e-4)


def check_timeline(timeline: tuple[Event, ...], duration_s: float, min_event_s: float) -> None:
    if duration_s <= 0:
        assert timeline == ()
        return
    assert timeline[0].start_s == 0
    assert timeline[-1].end_s == pytest.approx(duration_s, abs=1e-6)
    for before, after in pairwise(timeline):
        assert before.end_s == after.start_s
        assert before.kind != after.kind
    shortest = min(event.end_s - event.start_s for event in timeline)
    assert shortest > 0
    assert len(timeline) == 1 or shortest >= min_event_s - 1e-5


def share(events: Events, *kinds: str) -> float:
    return sum(events.seconds[kind] for kind in kinds) / events.duration_s  # type: ignore[index]


def save(path: Path, sound: Sound, rate_hz: int = RATE) -> Path:
    """32 bit floats, which keep every number."""
    wavfile.write(path, rate_hz, sound.astype(np.float32))
    return path


# ------------------------------------------------------------------------ shape, always


chance = st.floats(0, 1)


@given(
    cells=st.lists(st.tuples(chance, chance, chance, st.integers(1, 80)), max_size=30),
    cut=st.floats(0, 0.0099),
    min_event_s=st.sampled_from([0.0, 0.05, 0.5, 3.0]),
)
@example(cells=[(0.0, 0.0, 0.0, 1), (0.0, 0.0, 1.0, 1)], cut=0.0078125, min_event_s=0.0)
def test_the_timeline_covers_everything_once(
    cells: list[tuple[float, float, float, int]], cut: float, min_event_s: float
) -> None:
    lengths = [length for *_, length in cells]
    silence_, speech, music = (
        np.repeat(np.array([cell[i] for cell in cells], float), lengths) for i in range(3)
    )
    duration_s = max(0.0, sum(lengths) / 100 - cut)
    chances = Chances(silence=silence_, speech=speech, music=music)
    timeline = make_timeline(chances, duration_s, min_event_s)
    check_timeline(timeline, duration_s, min_event_s)
    assert sum(seconds_of(timeline).values()) == pytest.approx(duration_s, abs=1e-5)
    np.testing.assert_allclose(chances.of_kinds().sum(axis=0), 1)


def absorbed(*parts: tuple[int, float]) -> list[tuple[int, float]]:
    kinds, seconds = np.array([p[0] for p in parts]), np.cumsum([0.0, *(p[1] for p in parts)])
    borders, kept = absorb(seconds, kinds, 0.5)
    return list(zip(kept.tolist(), np.diff(borders).round(6).tolist(), strict=True))


def test_short_events_join_what_is_like_them() -> None:
    assert absorbed((SPEECH, 3), (SILENCE, 0.3), (SPEECH, 2)) == [(SPEECH, 5.3)]
    assert absorbed((SILENCE, 9), (BOTH, 0.3), (MUSIC, 2)) == [(SILENCE, 9), (MUSIC, 2.3)]
    assert absorbed((SILENCE, 1), (OTHER, 0.4), (SPEECH, 2)) == [(SILENCE, 1), (SPEECH, 2.4)]
    assert absorbed((SPEECH, 0.2), (MUSIC, 0.3)) == [(MUSIC, 0.5)]
    assert absorbed((MUSIC, 0.2)) == [(MUSIC, 0.2)]


@given(arrays.arrays(float, st.integers(0, 60), elements=st.floats(-30, 30)))
def test_smoothing_keeps_chances_and_agrees_with_agreement(logits: NDArray[np.float64]) -> None:
    found = smooth(logits)
    assert found.shape == logits.shape
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(smooth(-logits), 1 - found, atol=1e-9)
    if len(logits) and (logits > 1e-6).all():
        assert (found > 0.5).all()


def test_smoothing_passes_over_a_single_doubt() -> None:
    assert (smooth(np.array([2.0, 2.0, -0.5, 2.0, 2.0])) > 0.5).all()
    assert smooth(np.array([2.0, 2.0, -9.0, -9.0, -9.0]))[2] < 0.5


def test_voice_is_counted_around_each_window() -> None:
    segments = (
        SpeechSegment(start_s=1, end_s=2, probability=0.9),
        SpeechSegment(start_s=2.5, end_s=9, probability=0.7),
    )
    voice = Voice(segments=segments, duration_s=10, speech_s=7.5, speech_share=0.75)
    share_, probability = voice_at(np.array([0.0, 1.5, 2.25, 5.0]), voice)
    np.testing.assert_allclose(share_, [0, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(probability, [0, 0.9, 0, 0.7])


def test_novelty_is_where_the_spectrum_changes() -> None:
    bands = np.concatenate([np.zeros((37, 5)), np.full((40, 5), 9.0)]).astype(np.float32)
    assert novelty(bands).argmax() == 37
    assert novelty(bands[:1]).tolist() == [0.0]


# --------------------------------------------------------------------------- made scenes


def test_a_scene_of_all_kinds(tmp_path: Path, detector: SileroDetector) -> None:
    talk, _ = speech_like(10, rate_hz=RATE, seed=5)
    parts: list[tuple[str, Sound]] = [
        ("speech", talk),
        ("silence", silence(4)),
        ("music", music_like(10, rate_hz=RATE, seed=1)),
        ("other", noise(8, kind="pink")),
        ("silence", silence(3)),
    ]
    sound = sequence(*(part for _, part in parts))
    found = heard(save(tmp_path / "scene.wav", sound), detector)
    assert found.duration_s == pytest.approx(35, abs=0.01)
    start = 0.0
    for kind, part in parts:
        end = start + len(part) / RATE
        inside = [
            min(e.end_s, end - 1) - max(e.start_s, start + 1)
            for e in found.timeline
            if e.kind == kind and e.start_s < end - 1 and e.end_s > start + 1
        ]
        assert sum(inside) > 0.7 * (end - start - 2), (kind, start, found.timeline)
        start = end
    borders = [event.start_s for event in found.timeline]
    for border in (10, 14, 24, 32):
        assert min(abs(border - b) for b in borders) < 0.5, (border, borders)


@pytest.mark.parametrize("hz", [110.0, 440.0, 1000.0, 3000.0])
def test_a_steady_tone_is_not_music(tmp_path: Path, detector: SileroDetector, hz: float) -> None:
    hum = mix(tone(10, hz=hz, amplitude=0.2), tone(10, hz=2 * hz, amplitude=0.05))
    found = heard(save(tmp_path / "hum.wav", hum), detector)
    assert share(found, "other") > 0.9
    assert max(e.confidence for e in found.timeline if e.kind == "other") > 0.6


@pytest.mark.parametrize("kind", ["white", "pink"])
def test_noise_is_not_music(tmp_path: Path, detector: SileroDetector, kind: str) -> None:
    hiss = noise(10, kind=kind)  # type: ignore[arg-type]
    assert share(heard(save(tmp_path / "noise.wav", hiss), detector), "other") == 1.0


def test_opposite_channels_are_not_silence(tmp_path: Path, detector: SileroDetector) -> None:
    one = music_like(6, rate_hz=RATE)
    found = heard(save(tmp_path / "wide.wav", np.stack([one, -one], axis=1)), detector)
    assert found.seconds["silence"] == 0


def test_the_threshold_of_silence_is_a_setting(tmp_path: Path, detector: SileroDetector) -> None:
    path = save(tmp_path / "quiet.wav", noise(4, amplitude=10 ** (-56 / 20)))
    assert share(heard(path, detector), "silence") == 1.0
    assert share(heard(path, detector, Settings(silence_dbfs=-70)), "other") == 1.0


# ----------------------------------------------------------------------- real recordings


def real(corpus: Path, name: str, seconds: float | None = None) -> Sound:
    import av

    with av.open(str(corpus / name)) as container:
        resampler = av.AudioResampler("flt", "mono", 16000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    whole = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return whole[: round(seconds * 16000)] if seconds else whole


def at_rms(sound: Sound, dbfs: float) -> Sound:
    return sound * np.float32(10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(sound))))


@pytest.mark.parametrize(
    "name",
    [
        "music/Kevin_MacLeod_-_Vibe_Ace.hq.ogg",
        "music/442789__lena-orsa__happy-music-pistachio-ice-cream-ragtime.hq.ogg",
        "music/JRPG_temple.ogg",
        "video/chaplin.mp4",  # nothing was fitted on this one
    ],
)
def test_real_music(tmp_path: Path, detector: SileroDetector, corpus: Path, name: str) -> None:
    path = save(tmp_path / "music.wav", real(corpus, name)[: 20 * 16000], 16000)
    found = heard(path, detector)
    assert share(found, "music") > 0.9
    music = [e for e in found.timeline if e.kind == "music"]
    assert np.average([e.confidence for e in music]) > 0.7


@pytest.mark.slow
def test_a_song_is_music_though_somebody_sings(detector: SileroDetector, corpus: Path) -> None:
    found = heard(corpus / "music/Karissa_Hobbs_-_Lets_Go_Fishin.hq.ogg", detector)
    assert share(found, "music", "speech_over_music") > 0.98
    assert share(found, "music") > 0.85


@pytest.mark.parametrize(
    "name",
    [
        "speech/librispeech-3436-172162-0000.ogg",
        "speech/librispeech-5703-47212-0000.ogg",
        "speech/jfk.flac",
    ],
)
def test_real_speech(detector: SileroDetector, corpus: Path, name: str) -> None:
    found = heard(corpus / name, detector)
    assert share(found, "speech") > 0.7
    assert share(found, "music", "speech_over_music") < 0.05


def test_real_speech_over_soft_music(detector: SileroDetector, corpus: Path) -> None:
    """Nothing was fitted on this one. Between the sentences a bass plays D#, C, D and G."""
    found = heard(corpus / "video/nasa_13013.mp4", detector)
    assert share(found, "speech_over_music") > 0.8
    assert share(found, "speech_over_music", "music") > 0.95


@pytest.mark.parametrize("louder_db", [0.0, 6.0, 12.0])
def test_real_speech_over_real_music(
    tmp_path: Path, detector: SileroDetector, corpus: Path, louder_db: float
) -> None:
    speech = real(corpus, "speech/librispeech-5703-47212-0000.ogg")
    music = real(corpus, "music/Kevin_MacLeod_-_Vibe_Ace.hq.ogg", len(speech) / 16000)
    both = at_rms(speech, -18) + at_rms(music, -18 - louder_db)
    found = heard(save(tmp_path / "both.wav", both, 16000), detector)
    assert share(found, "speech_over_music") > 0.8
    assert share(found, "speech_over_music", "music") > 0.9


# ---------------------------------------------------------------------------- bad input


def ramp(seconds: float, rate_hz: int) -> Sound:
    return (0.3 * np.sin(np.arange(round(seconds * rate_hz)) * 0.05)).astype(np.float32)


@pytest.mark.parametrize(
    ("sound", "kinds"),
    [
        (ramp(0.02, RATE), {"other"}),
        (ramp(0.3, RATE), {"other"}),
        (silence(0.02), {"silence"}),
        (silence(5), {"silence"}),
        (np.full(RATE * 3, 0.5, np.float32), {"silence"}),
        (np.full(RATE * 2, np.nan, np.float32), {"silence"}),
        (np.full(RATE * 2, np.inf, np.float32), {"silence"}),
    ],
    ids=["0.02 s", "0.3 s", "silent 0.02 s", "silent", "constant", "nan", "inf"],
)
def test_hostile_sound(
    tmp_path: Path, detector: SileroDetector, sound: Sound, kinds: set[str]
) -> None:
    found = heard(save(tmp_path / "bad.wav", sound), detector)
    assert {event.kind for event in found.timeline} == kinds
    if kinds == {"silence"} and not np.nan_to_num(sound, posinf=0).any():
        assert set(found.loudness.model_dump().values()) == {None}


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_rate_and_number_of_channels(
    tmp_path: Path, detector: SileroDetector, rate_hz: int, channels: int
) -> None:
    sound = np.repeat(noise(2, rate_hz=rate_hz)[:, None], channels, axis=1)
    found = heard(save(tmp_path / "noise.wav", sound, rate_hz), detector)
    assert found.duration_s == pytest.approx(2, abs=0.01)
    assert {event.kind for event in found.timeline} == {"other"}
    assert found.loudness.integrated_lufs is not None
    assert found.loudness.true_peak_dbtp is not None


def test_a_rate_below_all_others_is_no_reason_to_fail(
    tmp_path: Path, detector: SileroDetector
) -> None:
    found = heard(save(tmp_path / "slow.wav", noise(2, rate_hz=1000), 1000), detector)
    assert found.seconds["silence"] == found.seconds["speech"] == 0
    assert found.loudness.integrated_lufs is not None


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 48000])
def test_the_rate_of_classification_hardly_matters(
    tmp_path: Path, detector: SileroDetector, rate_hz: int
) -> None:
    sound = sequence(music_like(8, rate_hz=RATE, seed=3), noise(6))
    path = save(tmp_path / "two.wav", sound)
    found = heard(path, detector, Settings(sample_rate_hz=rate_hz))
    assert [event.kind for event in found.timeline] == ["music", "other"]
    assert found.timeline[1].start_s == pytest.approx(8, abs=0.3)


def test_a_video_without_sound_is_skipped(tmp_path: Path, detector: SileroDetector) -> None:
    write_video(tmp_path / "mute.mp4", [Scene(seconds=0.5)])
    assert listen(tmp_path / "mute.mp4", detector, voice=False) == Skipped(
        "there is no audio stream"
    )


def test_without_the_voice_stage_nothing_is_guessed(
    tmp_path: Path, detector: SileroDetector
) -> None:
    write_sound(tmp_path / "sound.wav", noise(1))
    assert isinstance(listen(tmp_path / "sound.wav", detector, voice=False), Skipped)


def test_the_same_sound_gives_the_same_value(tmp_path: Path, detector: SileroDetector) -> None:
    path = save(tmp_path / "music.wav", music_like(12, rate_hz=16000), 16000)
    assert heard(path, detector) == heard(path, detector)


def test_kinds_are_those_of_the_records() -> None:
    assert set(KINDS) == ALL_KINDS
    assert [KINDS[i] for i in (SPEECH, MUSIC, BOTH, OTHER, SILENCE)] == [
        "speech",
        "music",
        "speech_over_music",
        "other",
        "silence",
    ]
