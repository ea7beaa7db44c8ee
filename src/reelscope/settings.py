"""Every setting: `config/config.yml`, then the environment, then the call's flags.

`config/config.yml` holds each key with its default and a comment; a test keeps the
two together. Any key can be set by `REELSCOPE_<SECTION>__<KEY>`, and the names in
`FAMILIAR_NAMES` work as well. Order, the later wins: defaults, file, environment, flags.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from reelscope.errors import ConfigError

FAMILIAR_NAMES = {
    "BATCH_SIZE": "processing.batch_size",
    "SAMPLE_RATE": "events.sample_rate_hz",
    "LOG_LEVEL": "logging.level",
    "TIKTOK_MS_TOKEN": "tiktok.ms_token",
    "OPENAI_API_KEY": "openai.api_key",
}
"""Environment names that users of such tools know -> our key."""

PREFIX = "REELSCOPE_"


class Section(BaseModel):
    """A group of settings that belong to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Paths(Section):
    data: Path = Field(Path("data"), description="Inputs and outputs live below this folder.")
    models: Path = Field(Path("models"), description="Weight caches.")
    logs: Path = Field(Path("logs"), description="processing_logs.txt.")


class Processing(Section):
    concurrency: int = Field(2, ge=1, le=64, description="Videos analysed side by side.")
    batch_size: int = Field(8, ge=1, le=4096, description="Videos that share a model's forward pass.")
    max_in_flight: int = Field(4, ge=1, le=1024, description="Videos open at once; bounds the memory.")
    limit_per_creator: int | None = Field(None, ge=1, description="At most so many videos of each creator.")
    item_timeout_s: float = Field(900.0, gt=0, description="Longest time a stage may spend on one video.")
    max_failure_share: Unit = Field(0.9, description="Stop when more than this share fails for the same reason.")
    min_failures: Positive = Field(20, description="... but not before so many failures.")
    breaker_failures: Positive = Field(5, description="Failures in a row that open a remote service's circuit breaker.")


class Logging(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Of logs/processing_logs.txt.")


class Media(Section):
    sample_fps: float = Field(1.0, gt=0, le=30, description="Frames looked at per second.")
    short_side: int = Field(256, ge=32, le=2160, description="Of the small analysis images, pixels.")
    max_frames: int = Field(300, ge=1, le=20000, description="Frames looked at per video; longer ones are sampled more thinly.")
    integrity: Literal["reference", "full"] = Field("reference", description="What is decoded to judge whether the file is whole.")
    cache_mb: int = Field(64, ge=0, le=65536, description="Memory per video for sound and frames that are read twice.")
    threads: int = Field(0, ge=0, le=64, description="Decoder threads per video; 0: cores divided by concurrency.")


class Voice(Section):
    threshold: Unit = Field(0.5, description="Speech begins above this probability.")
    min_speech_s: float = Field(0.25, ge=0, description="Shorter speech is dropped.")
    min_silence_s: float = Field(0.1, ge=0, description="Shorter gaps are closed.")
    pad_s: float = Field(0.03, ge=0, description="Added to both ends of a segment.")


class Events(Section):
    sample_rate_hz: int = Field(16000, ge=8000, le=48000, description="Rate at which the sound is classified.")
    min_event_s: float = Field(0.5, ge=0, description="Shorter events join their neighbours.")
    silence_dbfs: float = Field(-50.0, le=0, description="Quieter than this is silence.")


class SpeechRate(Section):
    min_pause_s: float = Field(0.3, gt=0, description="Shorter gaps are not pauses (de Jong and Wempe 2009).")
    min_dip_db: float = Field(2.0, gt=0, description="Dip between two syllable nuclei.")
    window_s: float = Field(3.0, gt=0, description="Window for the local rates behind consistency.")


class Keyframes(Section):
    iframes: bool = Field(True, description="Take the key frames of the codec.")
    sampled: bool = Field(True, description="Take media.sample_fps frames per second.")
    highlights: bool = Field(True, description="Take the middle of every speech segment.")


class Quality(Section):
    black_luma: float = Field(20.0, ge=0, le=255, description="Mean luma below which a frame may be black.")
    black_contrast: float = Field(12.0, ge=0, le=255, description="... if its standard deviation is below this too.")
    blur_share: Unit = Field(0.15, description="Blurred: sharpness below this share of the video's upper quartile.")
    blur_floor: float = Field(2.0, ge=0, description="... or below this variance of the Laplacian.")


class Similarity(Section):
    max_ssim: Unit = Field(0.8, description="Frames more alike than this are near-duplicates.")


class Stills(Section):
    jpeg_quality: int = Field(90, ge=1, le=100, description="Of the kept frames on disk.")


class Shots(Section):
    threshold: float = Field(3.0, gt=0, description="PySceneDetect AdaptiveDetector: adaptive_threshold.")
    min_content: float = Field(15.0, ge=0, description="... min_content_val.")
    fade_luma: float = Field(12.0, ge=0, le=255, description="Fade to black: mean luma below this.")
    min_shot_s: float = Field(0.3, ge=0, description="Cuts closer than this to the last one are dropped.")
    hook_s: float = Field(3.0, gt=0, description="Length of the hook.")


class Text(Section):
    min_confidence: Unit = Field(0.6, description="Readings below this are dropped.")
    max_side: int = Field(960, ge=64, le=8192, description="Frames are shrunk to this before reading, pixels.")
    max_frames: int = Field(40, ge=1, description="At most so many kept frames are read, evenly spread.")
    min_similarity: Unit = Field(0.8, description="Readings more alike than this are one appearance.")


class Choose(Section):
    min_frames: int = Field(2, ge=1, le=50, description="At least so many frames, if the video has them.")
    max_frames: int = Field(5, ge=1, le=50, description="At most so many.")
    longest_side: int = Field(1024, ge=64, le=8192, description="Of the compressed pictures, pixels.")
    jpeg_quality: int = Field(85, ge=1, le=100, description="Of the compressed pictures.")


class TikTok(Section):
    ms_token: SecretStr | None = Field(None, description="Cookie that the crawl needs. Better in TIKTOK_MS_TOKEN.")


class OpenAI(Section):
    api_key: SecretStr | None = Field(None, description="Key that the description needs. Better in OPENAI_API_KEY.")


class Settings(Section):
    """All settings, checked. Build it with `load`."""

    paths: Paths = Paths()
    processing: Processing = Processing()
    logging: Logging = Logging()
    media: Media = Media()
    voice: Voice = Voice()
    events: Events = Events()
    speech_rate: SpeechRate = SpeechRate()
    keyframes: Keyframes = Keyframes()
    quality: Quality = Quality()
    similarity: Similarity = Similarity()
    stills: Stills = Stills()
    shots: Shots = Shots()
    text: Text = Text()
    choose: Choose = Choose()
    tiktok: TikTok = TikTok()
    openai: OpenAI = OpenAI()

    def public(self) -> dict[str, Any]:
        """As plain data without the secrets, for settings.yml."""
        return self.model_dump(mode="json", exclude={"tiktok": {"ms_token"}, "openai": {"api_key"}})
