"""The groups of settings, one for each question, with their defaults."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from reelscope.settings.base import Positive, Section, Unit


class Paths(Section):
    """Where things stand, relative to the folder the command is called in."""

    data: Path = Field(Path("data"), description="Inputs and outputs live below this folder.")
    models: Path = Field(Path("models"), description="Weight caches.")
    logs: Path = Field(Path("logs"), description="processing_logs.txt.")
    vocabulary: Path = Field(
        Path("config/vocabulary.yml"),
        description="Words to look for; the package's own where this file is absent.",
    )
    prompts: Path = Field(
        Path("config/prompts"),
        description="Prompt templates; the package's own where a file is absent.",
    )


class Processing(Section):
    """How much at once, and when to give up."""

    concurrency: int | None = Field(
        None, ge=1, le=64, description="Videos analysed side by side; null: one per core, up to 16."
    )
    batch_size: int = Field(
        8, ge=1, le=4096, description="Videos that share a model's forward pass."
    )
    max_in_flight: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Videos open at once; bounds the memory. Those that wait for a server alone do not count. null: enough to fill the workers twice.",
    )
    limit_per_creator: int | None = Field(
        None, ge=1, description="At most so many videos of each creator."
    )
    item_timeout_s: float = Field(
        900.0, gt=0, description="Longest time a stage may spend on one video."
    )
    max_failure_share: Unit = Field(
        0.9, description="Stop when more than this share fails for the same reason."
    )
    min_failures: Positive = Field(20, description="... but not before so many failures.")
    breaker_failures: Positive = Field(
        5, description="Failures in a row that open a remote service's circuit breaker."
    )

    @property
    def workers(self) -> int:
        """Videos analysed side by side."""
        return self.concurrency or min(os.cpu_count() or 1, 16)


class Logging(Section):
    """logs/processing_logs.txt."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Of logs/processing_logs.txt."
    )


class Media(Section):
    """Decoding: which frames are looked at, and what is kept in memory."""

    sample_fps: float = Field(1.0, gt=0, le=30, description="Frames looked at per second.")
    short_side: int = Field(
        256, ge=32, le=2160, description="Of the small analysis images, pixels."
    )
    max_frames: int = Field(
        300,
        ge=1,
        le=20000,
        description="Frames looked at per video; longer ones are sampled more thinly.",
    )
    integrity: Literal["reference", "full"] = Field(
        "reference", description="What is decoded to judge whether the file is whole."
    )
    cache_mb: int = Field(
        64, ge=0, le=65536, description="Memory per video for sound and frames that are read twice."
    )
    threads: int = Field(
        0, ge=0, le=64, description="Decoder threads per video; 0: cores divided by concurrency."
    )


class Voice(Section):
    """Stage `voice`: where somebody speaks."""

    threshold: Unit = Field(0.5, description="Speech begins above this probability.")
    min_speech_s: float = Field(0.25, ge=0, description="Shorter speech is dropped.")
    min_silence_s: float = Field(0.1, ge=0, description="Shorter gaps are closed.")
    pad_s: float = Field(0.03, ge=0, description="Added to both ends of a segment.")


class Events(Section):
    """Stage `events`: speech, music, silence, and loudness."""

    sample_rate_hz: int = Field(
        16000, ge=8000, le=48000, description="Rate at which the sound is classified."
    )
    min_event_s: float = Field(0.5, ge=0, description="Shorter events join their neighbours.")
    silence_dbfs: float = Field(-50.0, le=0, description="Quieter than this is silence.")


class Separate(Section):
    """Stage `separate`: voices apart from the music behind them."""

    when: Literal["music", "always", "never"] = Field(
        "music", description="music: only where somebody speaks or sings over music."
    )


class Sounds(Section):
    """Stage `sounds`: laughter, applause, a dog, by name."""

    min_confidence: Unit = Field(0.3, description="Sounds that are less sure are not named.")
    window_s: float = Field(
        10.0, ge=1.0, le=10.24, description="Heard at once; the model was trained on 10 s."
    )
    hop_s: float = Field(
        2.5,
        ge=0.5,
        le=10.24,
        description="From one window to the next, at most window_s: as exact are the times.",
    )
    max_tags: int = Field(50, ge=1, description="At most so many sounds, the surest ones.")


class Transcribe(Section):
    """Stage `transcribe`: what is said."""

    language: str | None = Field(
        None, description="Whisper's code, for example en; null: told from the sound."
    )
    garbage_filter: bool = Field(
        True, description="Drop characters that belong to no word of the language's script."
    )
    compare_sounds: bool = Field(
        True,
        description="Where vocals were separated: hear the mix too, and keep the surer text.",
    )

    @field_validator("language", mode="before")
    @classmethod
    def _norwegian(cls, given: object) -> object:
        """YAML 1.1 reads an unquoted `no` as False."""
        return "no" if given is False else given


class SpeechRate(Section):
    """Stage `speech_rate`."""

    min_pause_s: float = Field(
        0.3, gt=0, description="Shorter gaps are not pauses (de Jong and Wempe 2009)."
    )
    min_dip_db: float = Field(2.0, gt=0, description="Dip between two syllable nuclei.")
    window_s: float = Field(3.0, gt=0, description="Window for the local rates behind consistency.")


class Keyframes(Section):
    """Stage `keyframes`: which moments are looked at."""

    iframes: bool = Field(True, description="Take the key frames of the codec.")
    sampled: bool = Field(True, description="Take media.sample_fps frames per second.")
    highlights: bool = Field(True, description="Take the middle of every speech segment.")


class Quality(Section):
    """Stage `quality`: black and blurred frames out."""

    black_luma: float = Field(
        20.0, ge=0, le=255, description="Mean luma below which a frame may be black."
    )
    black_contrast: float = Field(
        6.0, ge=0, le=255, description="... if its standard deviation is below this too."
    )
    blur_share: Unit = Field(
        1.0, description="Blurred: sharpness below this share of the video's upper quartile,"
    )
    blur_edge_share: Unit = Field(
        0.016, description="... and edges wider than this share of the short side"
    )
    blur_edge_ratio: float = Field(
        1.4, ge=1, le=100, description="... and than so many times those of its sharp frames."
    )
    blur_floor: float = Field(
        2.0, ge=0, description="Less sharp than this is blurred too, if the video has better."
    )


class Similarity(Section):
    """Stage `similarity`: near-duplicates out."""

    max_ssim: Unit = Field(0.8, description="Frames more alike than this are near-duplicates.")


class Stills(Section):
    """Stage `stills`: the kept frames on disk."""

    jpeg_quality: int = Field(90, ge=1, le=100, description="Of the kept frames on disk.")


class Shots(Section):
    """Stage `shots`: cuts, fades and the hook."""

    threshold: float = Field(
        2.0,
        gt=0,
        description="A cut: PySceneDetect's adaptive ratio times the squared share that changed.",
    )
    min_content: float = Field(
        15.0, ge=0, description="... whose content_val is at least this, 0-255."
    )
    fade_luma: float = Field(
        12.0, ge=0, le=64, description="Fade: 80 % of the picture has less luma than this."
    )
    min_shot_s: float = Field(0.3, ge=0, description="No shot is shorter.")
    hook_s: float = Field(3.0, gt=0, description="Length of the hook.")


class Text(Section):
    """Stage `text`: on-screen text."""

    min_confidence: Unit = Field(0.6, description="Readings below this are dropped.")
    max_side: int = Field(
        960, ge=64, le=8192, description="Frames are shrunk to this before reading, pixels."
    )
    max_frames: int = Field(
        40, ge=1, description="At most so many kept frames are read, evenly spread."
    )
    min_similarity: Unit = Field(
        0.8, description="Readings more alike than this are one appearance."
    )


class Detect(Section):
    """Stage `detect`: which things are seen. What is looked for: paths.vocabulary."""

    min_confidence: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Less sure findings are dropped; null: 0.25 for yolo-world, 0.1 for owlv2.",
    )
    max_overlap: Unit = Field(
        0.7, description="Of two boxes of a label that share more (IoU), the surer one is kept."
    )
    max_per_frame: int = Field(100, ge=1, le=1000, description="The surest findings of a frame.")
    image_size: int = Field(
        640,
        ge=32,
        le=2048,
        multiple_of=32,
        description="Longest side that yolo-world looks at, pixels; owlv2 has its own.",
    )


class Choose(Section):
    """Stage `choose`: the few frames that stand for the video."""

    min_frames: int = Field(
        2, ge=1, le=50, description="At least so many frames, if the video has them."
    )
    max_frames: int = Field(5, ge=1, le=50, description="At most so many.")
    longest_side: int = Field(
        1024, ge=64, le=8192, description="Of the compressed pictures, pixels."
    )
    jpeg_quality: int = Field(85, ge=1, le=100, description="Of the compressed pictures.")


class Caption(Section):
    """Stage `caption`: the chosen frames in a sentence each."""

    beams: int = Field(
        3, ge=1, le=16, description="Sentences weighed against one another; 1 is fastest."
    )
    max_tokens: int = Field(
        20, ge=1, le=200, description="Length of a sentence at most, in pieces of words."
    )


class Whisper(Section):
    """Which engine writes down what is said (stage `transcribe`)."""

    engine: Literal["auto", "faster-whisper", "openai-whisper", "pocketsphinx"] = Field(
        "auto",
        description="auto: faster-whisper, else openai-whisper, else pocketsphinx (low accuracy).",
    )
    size: Literal[
        "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en",
        "large-v1", "large-v2", "large-v3", "large-v3-turbo",
    ] = Field("small", description="Of Whisper's weights; names with .en know English alone.")  # fmt: skip
    compute_type: Literal["auto", "int8", "int8_float16", "float16", "bfloat16", "float32"] = Field(
        "auto",
        description="Numbers faster-whisper counts with; auto: float16 on a GPU, int8 without.",
    )


class Detector(Section):
    """Which engine finds objects (stage `detect`)."""

    engine: Literal["yolo-world", "owlv2"] = Field(
        "yolo-world",
        description="yolo-world (package ultralytics, AGPL-3.0) or owlv2 (Apache-2.0).",
    )
    size: Literal["s", "m", "l", "x"] = Field("s", description="Of YOLO-World's weights.")


class Embedder(Section):
    """Which engine turns pictures into vectors (stage `embed`)."""

    model: Literal["ViT-B-32", "ViT-L-14"] = Field(
        "ViT-B-32", description="OpenAI's CLIP weights, read by open_clip."
    )


class Models(Section):
    """Neural engines: where they run, and which of them."""

    offline: bool = Field(False, description="Never try to download weights.")
    hub: str = Field(
        "https://huggingface.co", description="Where weights of the Hugging Face hub come from."
    )
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda|cuda:\d+)$")] = Field(
        "auto", description="auto: every CUDA device there is, else the processor; cpu; cuda:0."
    )
    memory_gb: float | None = Field(
        None, gt=0, description="Models kept loaded per device; null: 80 % of what is free there."
    )
    whisper: Whisper = Field(Whisper(), description="Stage `transcribe`.")
    detector: Detector = Field(Detector(), description="Stage `detect`.")
    embedder: Embedder = Field(Embedder(), description="Stage `embed`.")


class Crawl(Section):
    """Fetching: how much, how long, how often, and by which way."""

    max_file_mb: int = Field(
        500, ge=1, le=100_000, description="Larger files are not fetched, megabytes."
    )
    max_picture_mb: int = Field(
        30, ge=1, le=1000, description="... and no larger pictures of photo posts."
    )
    attempts: int = Field(
        4, ge=1, le=20, description="A request that fails in passing is sent so often."
    )
    connect_timeout_s: float = Field(
        10.0, gt=0, le=600, description="A server that has not answered by then is not there."
    )
    read_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Longest silence within an answer."
    )
    download_timeout_s: float = Field(
        900.0, gt=0, description="Longest time for one file, all attempts and waits together."
    )
    pause_s: float = Field(
        1.0, ge=0, le=3600, description="Between two requests for lists and pages."
    )
    pause_spread_s: float = Field(
        1.0, ge=0, le=3600, description="... and by chance up to so much longer."
    )
    max_wait_s: float = Field(
        120.0, ge=0, le=86_400, description="A server that asks to wait longer is given up."
    )
    list_again_h: float = Field(
        6.0, ge=0, description="A creator's list that is younger is not asked for again, hours."
    )
    breaker_failures: int = Field(
        3, ge=1, description="Failures in a row after which a service is left alone in this run."
    )
    proxy: SecretStr | None = Field(
        None,
        description="http://[user:password@]host:port that all requests go through; null: none. HTTPS_PROXY is not read.",
    )
    cookies: Path | None = Field(
        None, description="cookies.txt (Netscape) that yt-dlp may read; null: none."
    )
    loopback: bool = Field(
        False, description="Fetch from this machine itself as well, for tests and trials."
    )

    @field_validator("proxy")
    @classmethod
    def _proxy_address(cls, given: SecretStr | None) -> SecretStr | None:
        """Without the address in the message: it may hold a password."""
        if given and not re.match(r"https?://[^/\s]+/?$", given.get_secret_value()):
            raise ValueError("expected http://host:port or https://host:port")
        return given


class TikTok(Section):
    """Access to TikTok."""

    ms_token: SecretStr | None = Field(
        None, description="Cookie that the crawl needs. Better in TIKTOK_MS_TOKEN."
    )
    browser: Path | None = Field(
        None, description="Chromium or Chrome; null: the one on the PATH, else Playwright's own."
    )
    headless: bool = Field(
        True, description="Whether the browser shows no window. With one, TikTok objects less."
    )
    proxies: tuple[SecretStr, ...] = Field(
        (),
        description="http://[user:password@]host:port, one taken by chance per session; empty: crawl.proxy. Files come through crawl.proxy, else the first of these.",
    )
    sessions: int = Field(1, ge=1, le=16, description="Pages of the browser that ask in turn.")
    browser_arguments: tuple[str, ...] = Field(
        (), description="Further arguments for the browser. Everybody on the machine can see them."
    )
    timeout_s: float = Field(30.0, gt=0, le=600, description="Longest time for a page or answer.")
    recoveries: int = Field(
        3, ge=0, le=100, description="A browser that died is started again so often in a row."
    )

    @field_validator("proxies", "browser_arguments", mode="before")
    @classmethod
    def _words(cls, given: object) -> object:
        """In the environment they are one text, with blanks between them."""
        return shlex.split(given) if isinstance(given, str) else given

    @field_validator("proxies")
    @classmethod
    def _proxy_addresses(cls, given: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        """Without the address in the message: it may hold a password."""
        for proxy in given:
            if not re.match(r"https?://[^/\s]+/?$", proxy.get_secret_value()):
                raise ValueError("expected http://host:port or https://host:port")
        return given


class OpenAI(Section):
    """Access to OpenAI or a compatible server."""

    api_key: SecretStr | None = Field(
        None, description="Key that the description needs. Better in OPENAI_API_KEY."
    )
